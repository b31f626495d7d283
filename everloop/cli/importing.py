"""``everloop import``: what other tools logged, a row at a time. What can't be taken is said, and the rest is kept.

The same file again brings nothing twice: a row's id is its own, or follows from what it holds.
"""

import argparse
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext, suppress
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from everloop.cli.console import Console
from everloop.cli.home import acted, opened
from everloop.cli.reading import Row, read_rows
from everloop.collect import build_interaction, heard
from everloop.collect.consent import stored
from everloop.collect.incoming import check_label, imported_label
from everloop.errors import EverloopError, InvalidInput, UserError
from everloop.interop import columns, detect, langfuse_export, nvidia, openai_batch, otlp
from everloop.interop.judgement import Declared, feedback_of
from everloop.interop.pieces import Ids, Piece
from everloop.interop.spans import read_spans
from everloop.types import FeedbackFields, Interaction, Label, LoopSpec
from everloop.wheel import Wheel

_TABLES = ("csv", "jsonl", "parquet")  # what people call a file of columns
_SAMPLE = 200  # rows by which a file's format and columns are known
_BATCH = 1_000  # records written at once
_LISTED = 20  # refused rows that are listed
_REASONS = 50  # kinds of reasons that are told apart
_NAMES = 100  # columns left out that are named
_OWN = columns.Columns({name: name for name in columns.FIELDS})
_VARIES = re.compile(r"'[^']*'|\"[^\"]*\"|\d[\d,.]*")  # what differs between two refusals of one kind

Reader = Callable[[dict[str, Any]], Iterable[Piece]]


class Built(NamedTuple):
    """The records of one row."""

    row: Row
    records: list[msgspec.Struct]


class Source(NamedTuple):
    """One file, and how it is read."""

    path: Path
    format: str
    read: Reader
    table: columns.Columns | None = None  # what its columns are, where it is one


class Tally:
    """What became of the rows."""

    def __init__(self) -> None:
        self.rows = self.interactions = self.known = self.labels = self.feedback = self.held = self.refused = (
            self.taken
        ) = 0
        self.skipped: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.listed: list[dict[str, Any]] = []
        self.left_out: dict[str, None] = {}

    def refuse(self, path: Path, line: int, why: str) -> None:
        """A row that is not taken."""
        self.refused += 1
        if len(self.listed) < _LISTED:
            self.listed.append({"file": str(path), "line": line, "reason": why[:500]})
        kind = _VARIES.sub("…", why)[:120]
        self.reasons[kind if kind in self.reasons or len(self.reasons) < _REASONS else "other reasons"] += 1

    def skip(self, what: str) -> None:
        """A row that is something else."""
        self.skipped[what if what in self.skipped or len(self.skipped) < _REASONS else "other"] += 1

    def count(self, record: msgspec.Struct, receipt: str) -> None:
        """A record that was written, or was there."""
        self.taken += 1
        if isinstance(record, Interaction):
            self.interactions += receipt == "new"
            self.known += receipt == "known"
        elif isinstance(record, Label):
            self.labels += receipt != "known"
        else:
            self.feedback += receipt != "known"
        self.held += receipt == "held"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The loop, the files, and what they are."""
    known = ("auto", *(name for name in detect.FORMATS if name != "columns"), *_TABLES)
    parser.add_argument("loop")
    parser.add_argument(
        "file", type=Path, nargs="+",
        help=".jsonl, .json, .csv, .tsv, each also .gz, or .parquet; of an OpenAI batch the input and the output",
    )  # fmt: skip
    parser.add_argument("--format", choices=known, default="auto", help="what wrote it (auto: seen from its rows)")
    parser.add_argument(
        "--map", action="append", default=[], metavar="FIELD=COLUMN",
        help="what a column is: input=question, label=intent, thumb=liked, context.channel=source",
    )  # fmt: skip
    parser.add_argument("--parse", action="store_true", help="inputs in a CSV are JSON: lists of numbers, objects")
    parser.add_argument("--dry-run", action="store_true", help="read and check everything, write nothing")


def run(args: argparse.Namespace, console: Console) -> int:
    """Import, and say what became of every row; 1 if some were refused."""
    told = columns.mapped(args.map)
    with opened(args) as wheel:
        spec = wheel.get(args.loop).spec
        tally = Tally()
        sources = _sources(args, told, spec, wheel.settings.max_body_bytes, tally)
        for source in sources:
            console.say(f"{source.path}: {_described(source)}")
        names = ", ".join(source.path.name for source in sources)
        with nullcontext() if args.dry_run else acted(wheel, "import", target=names, loop=spec.name):
            for source in sources:
                _bring(source, spec, wheel, tally, console, dry=args.dry_run)
        if tally.rows == 0 and not tally.refused:
            raise InvalidInput(f"{names}: no rows")
        if tally.refused and not tally.taken:
            first = tally.listed[0]
            raise InvalidInput(f"{first['file']}, line {first['line']}: {first['reason']} (and nothing else was taken)")
    console.document(_document(spec, sources, tally, dry=args.dry_run))
    _report(spec, tally, console, dry=args.dry_run)
    return 1 if tally.refused else 0


def _sources(
    args: argparse.Namespace, told: dict[str, str], spec: LoopSpec, max_bytes: int, tally: Tally
) -> list[Source]:  # fmt: skip
    """The files with the way to read each; a batch's requests are none by themselves, they are looked up."""
    found: list[Source] = []
    requests: dict[str, tuple[Path, int]] = {}
    for path in args.file:
        rows = read_rows(path, max_bytes, lambda line, why: None, any_form=True)
        sample = [row.fields for row in islice(rows, _SAMPLE)]
        form = "columns" if args.format in _TABLES or told else args.format
        if form == "auto":
            form = detect.detect(sample)
        if form == "openai-batch" and sample and openai_batch.is_request(sample[0]):
            requests.update(_index(path, max_bytes))
            continue
        named = columns.guess(sample, told) if form == "columns" and sample else None
        found.append(Source(path, form, _reader(form, named, spec, requests, max_bytes, tally, args.parse), named))
    if not found:
        raise InvalidInput(f"{args.file[0]}: a batch's requests; name the file with the answers too")
    return found


def _reader(
    form: str, named: columns.Columns | None, spec: LoopSpec, requests: dict[str, tuple[Path, int]], max_bytes: int,
    tally: Tally, parse: bool,
) -> Reader:  # fmt: skip
    """The function that makes pieces of a row."""
    said = Declared(frozenset(signal.name for signal in spec.signals if signal.kind == "outcome"), spec.labels)

    def table(row: dict[str, Any]) -> Iterable[Piece]:
        piece = columns.read(row, named or _OWN, tally.left_out, parse=parse, loose=named is not None)
        while len(tally.left_out) > _NAMES:
            tally.left_out.popitem()
        return [piece]

    def own(row: dict[str, Any]) -> Iterable[Piece]:
        return [Piece(feedback=(row,))] if "kind" in row and "input" not in row else table(row)

    def batch(row: dict[str, Any]) -> Iterable[Piece]:
        at = requests.get(str(row.get("custom_id")))
        return [openai_batch.read(row, None if at is None else _request(*at, max_bytes))]

    def spans(row: dict[str, Any]) -> Iterator[Piece]:
        body = msgspec.json.encode(row)
        for reading in read_spans(otlp.read_logs_json(body) if "resourceLogs" in row else otlp.read_json(body)):
            if reading.refused:
                raise InvalidInput(reading.refused)
            if reading.interaction is None and not reading.scores:
                yield Piece(skipped=reading.skipped)
            else:
                feedback = [one for score in reading.scores for one in feedback_of(score, said)]
                yield Piece(reading.interaction, feedback=tuple(feedback))

    readers: dict[str, Reader] = {
        "columns": table, "everloop": own, "nvidia": lambda row: [nvidia.read(row)], "openai-batch": batch,
        "langfuse": lambda row: langfuse_export.read(row, said), "otlp": spans,
    }  # fmt: skip
    return readers[form]


def _index(path: Path, max_bytes: int) -> Iterator[tuple[str, tuple[Path, int]]]:
    """Where in a file each request stands: the file may be larger than the memory."""
    if path.suffix.lower() not in {".jsonl", ".ndjson"}:
        raise InvalidInput(f"{path}: the requests of a batch must be a .jsonl file that is not packed")
    at = 0
    with path.open("rb") as file:
        for raw in iter(lambda: file.readline(max_bytes + 1), b""):
            # Of a line that can't be read, whoever asks for it is told that it is not there.
            with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                yield msgspec.json.decode(raw, type=_Custom).custom_id, (path, at)
            at += len(raw)


class _Custom(msgspec.Struct):
    custom_id: str


def _request(path: Path, at: int, max_bytes: int) -> dict[str, Any] | None:
    with path.open("rb") as file:
        file.seek(at)
        found = msgspec.json.decode(file.readline(max_bytes + 1))
    return found if isinstance(found, dict) else None


def _bring(source: Source, spec: LoopSpec, wheel: Wheel, tally: Tally, console: Console, *, dry: bool) -> None:
    """Read a file to its end, and write what it brings."""
    ids, size = Ids(), 0
    waiting: list[Built] = []
    with console.progress(f"{'checking' if dry else 'importing'} {source.path.name}") as advance:

        def flush() -> None:
            _write(waiting, source, wheel, tally, dry=dry)
            advance(len(waiting))
            waiting.clear()

        def refuse(line: int, why: str) -> None:
            tally.refuse(source.path, line, why)

        try:
            for row in read_rows(source.path, wheel.settings.max_body_bytes, refuse, any_form=True):
                tally.rows += 1
                records = _records(row, source, spec, wheel, ids, tally)
                waiting.append(Built(row, records))
                size += len(records)
                if size >= _BATCH:
                    flush()
                    size = 0
        except UserError as error:  # the file can't be read on from here
            flush()
            if not tally.interactions:
                raise
            raise type(error)(f"{error}; the {tally.interactions:,} interactions before it are kept") from None
        flush()


def _records(row: Row, source: Source, spec: LoopSpec, wheel: Wheel, ids: Ids, tally: Tally) -> list[msgspec.Struct]:
    """The records of a row; none, and it is refused, if one can't be."""
    try:
        return list(_built(source.read(row.fields), spec, wheel, ids, tally))
    except UserError as error:
        tally.refuse(source.path, row.line, str(error))
    except RecursionError:
        tally.refuse(source.path, row.line, "nested too deeply")
    return []


def _built(
    pieces: Iterable[Piece], spec: LoopSpec, wheel: Wheel, ids: Ids, tally: Tally
) -> Iterator[msgspec.Struct]:  # fmt: skip
    """The records of a row's pieces; raises UserError for the first that can't be."""
    for piece in pieces:
        if piece.skipped:
            tally.skip(piece.skipped)
            continue
        made: Interaction | None = None
        if piece.fields is not None:
            if piece.label is not None:
                check_label(piece.label, spec.labels, spec.name)
            id = piece.fields.get("id") or ids.of(spec.name, piece.fields, piece.label)
            made = build_interaction(spec, {**piece.fields, "id": id}, wheel.door)
            if not stored(made):
                tally.skip("without consent")
                continue
            yield made
            if piece.label is not None:
                yield imported_label(spec, made, piece.label, piece.split, wheel.door)
        for fields in piece.feedback:
            given = {"source": "import", **fields}
            if made is not None:
                given = {"interaction": made.id, "id": f"{made.id}.{fields.get('kind')}", "at": made.at, **given}
            elif "id" not in fields:
                given["id"] = ids.of(spec.name, fields, None)
            said = heard(given, wheel.door, spec, made)
            if stored(said):
                yield said


def _write(waiting: list[Built], source: Source, wheel: Wheel, tally: Tally, *, dry: bool) -> None:
    """Write the records of some rows in one commit, or, if one is in conflict, of each row in its own."""
    records = [record for built in waiting for record in built.records]
    if not records:
        return
    if dry:
        for record in records:
            tally.count(record, _there(wheel, record))
        return
    try:
        for record, receipt in zip(records, wheel.store.records.put(*records), strict=True):
            tally.count(record, receipt)
    except UserError:
        for built in waiting:
            try:
                receipts = wheel.store.records.put(*built.records)
            except UserError as error:
                tally.refuse(source.path, built.row.line, str(error))
            else:
                for record, receipt in zip(built.records, receipts, strict=True):
                    tally.count(record, receipt)
    except EverloopError as error:
        kept = f"{tally.interactions:,} interactions are kept, and known when you import again"
        raise type(error)(f"{source.path}: {error}; {kept}") from None


def _there(wheel: Wheel, record: msgspec.Struct) -> str:
    kind = Interaction if isinstance(record, Interaction) else FeedbackFields
    return "new" if wheel.store.records.get(kind, record.id) is None else "known"  # type: ignore[attr-defined]


def _described(source: Source) -> str:
    if source.table is None:
        return source.format
    if not source.table.guessed:
        return "a table with columns called by their names"
    return f"a table, taking {', '.join(source.table.guessed)} (--map FIELD=COLUMN says otherwise)"


def _document(spec: LoopSpec, sources: list[Source], tally: Tally, *, dry: bool) -> dict[str, Any]:
    files = [
        {"file": str(one.path), "format": one.format, "columns": one.table.fields if one.table else {},
         "guessed": list(one.table.guessed) if one.table else []}
        for one in sources
    ]  # fmt: skip
    return {
        "loop": spec.name, "dry_run": dry, "files": files, "rows": tally.rows, "interactions": tally.interactions,
        "known": tally.known, "labels": tally.labels, "feedback": tally.feedback, "held": tally.held,
        "skipped": dict(tally.skipped), "refused": tally.refused, "reasons": dict(tally.reasons),
        "lines": tally.listed, "left_out": list(tally.left_out),
    }  # fmt: skip


def _report(spec: LoopSpec, tally: Tally, console: Console, *, dry: bool) -> None:
    known = f"; {tally.known:,} were here already" if tally.known else ""
    console.say(
        f"{'would bring ' if dry else ''}{tally.interactions:,} interactions, {tally.labels:,} labels and "
        f"{tally.feedback:,} pieces of feedback into {spec.name}{known}"
    )
    if tally.held:
        console.say(f"{tally.held:,} of the feedback is held: what it speaks of has not arrived yet")
    if tally.skipped:
        console.say("left out: " + ", ".join(f"{what} {count:,}" for what, count in tally.skipped.most_common()))
    if tally.left_out:
        console.say(f"columns left out: {', '.join(tally.left_out)} (--map context.NAME=COLUMN keeps one)")
    if not tally.refused:
        return
    console.say(f"{tally.refused:,} rows were refused:")
    for one in tally.listed:
        console.say(f"  {one['file']}, line {one['line']}: {one['reason']}")
    if tally.refused > len(tally.listed):
        console.say("all of them, by reason:")
        for why, count in tally.reasons.most_common():
            console.say(f"  {count:,}  {why}")

"""``everloop log``: import interactions from a file. The whole file is checked before the first row is kept."""

import argparse
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from everloop.cli.console import Console
from everloop.cli.home import opened
from everloop.cli.reading import read_rows
from everloop.collect.incoming import build_interaction, check_label, imported_label
from everloop.errors import InvalidInput, UserError
from everloop.types import Interaction, Label, LoopSpec
from everloop.wheel import Wheel

_BATCH = 1000
_NUMBERS: dict[str, Callable[[str], float]] = {"at": int, "confidence": float}
_OWN = ("output", "id", "subject", "session", "context", "consent", *_NUMBERS)
_CONTEXT = "context."  # a column context.channel is the interaction's context "channel"; slices are read from there


class Import(NamedTuple):
    """One row: an interaction, and the label that came with it."""

    interaction: Interaction
    label: Label | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The loop, the file, and what its columns are called."""
    parser.add_argument("loop")
    parser.add_argument("file", type=Path, help="CSV or TSV with a header, or JSONL; columns input[,label][,output]")
    parser.add_argument("--input", metavar="COLUMN", default="input", help="the column with the input (input)")
    parser.add_argument("--label", metavar="COLUMN", default="label", help="the column with the right answer (label)")
    parser.add_argument("--parse", action="store_true", help="inputs in a CSV are JSON: lists of numbers, objects")


def run(args: argparse.Namespace, console: Console) -> int:
    """Check every row, then keep them. A row that was imported before is known by its content, and not kept twice."""
    with opened(args) as wheel:
        loop = wheel.get(args.loop).name
        rows = 0
        ignored: dict[str, None] = {}
        with console.progress(f"checking {args.file}") as advance:
            for _ in _imports(args, wheel, ignored):
                rows += 1
                advance()
        if rows == 0:
            raise InvalidInput(f"{args.file}: no rows")
        kept = labels = 0
        with console.progress(f"importing {args.file}", total=rows) as advance:
            source = _imports(args, wheel, ignored)
            while batch := list(islice(source, _BATCH)):
                said = [record.label for record in batch if record.label is not None]
                receipts = wheel.store.records.put(*(record.interaction for record in batch), *said)
                kept += receipts[: len(batch)].count("new")
                labels += receipts[len(batch) :].count("new")
                advance(len(batch))
    console.document({"loop": loop, "rows": rows, "interactions": kept, "labels": labels, "known": rows - kept,
                      "ignored": list(ignored)})  # fmt: skip
    known = f"; {rows - kept:,} rows were here already" if kept < rows else ""
    console.say(f"{kept:,} interactions and {labels:,} labels into {loop}{known}")
    if ignored:
        console.say(f"columns left out: {', '.join(ignored)} (call one context.NAME to keep it)")
    return 0


def _imports(args: argparse.Namespace, wheel: Wheel, ignored: dict[str, None]) -> Iterator[Import]:
    """Each row as records, checked; raises the first mistake with its line. Names of columns left out: `ignored`."""
    spec = wheel.get(args.loop).spec
    seen: Counter[bytes] = Counter()
    parse = args.parse and args.file.suffix.lower() in {".csv", ".tsv"}
    for row in read_rows(args.file, wheel.settings.max_body_bytes):
        try:
            given, label, split = _fields(row.fields, args.input, args.label, ignored, parse=parse)
            if label is not None:
                check_label(label, spec.labels, spec.name)
            given.setdefault("id", _id_of(spec, given, label, seen))
            made = build_interaction(spec, given, wheel.door)
            yield Import(made, None if label is None else imported_label(made, label, split))
        except UserError as error:
            raise type(error)(f"{args.file}, line {row.line}: {error}") from None


def _fields(
    row: Mapping[str, Any], input: str, label: str, ignored: dict[str, None], *, parse: bool
) -> tuple[dict[str, Any], str | None, str | None]:
    """The interaction's fields, the label and its split; a blank cell is an absent one, but for the input."""
    if input not in row:
        raise InvalidInput(f"no {input!r}; there are: {', '.join(row) or 'none'} (--input names the column)")
    given: dict[str, Any] = {"input": _parsed(row[input]) if parse else row[input]}
    context: dict[str, Any] = {}
    for name, value in row.items():
        if name in {input, label, "split"} or value is None or value == "":
            continue
        if name.startswith(_CONTEXT):
            context[name.removeprefix(_CONTEXT)] = value
        elif name in _OWN:
            given[name] = _number(name, value) if name in _NUMBERS and isinstance(value, str) else value
        else:
            ignored[name] = None
    own = given.get("context", {})
    if context and isinstance(own, dict):
        given["context"] = {**own, **context}
    said, split = row.get(label) or None, row.get("split") or None
    if said is None and split is not None:
        raise InvalidInput("split says where a label goes, and this row has no label")
    if said is not None and not isinstance(said, str):
        raise InvalidInput(f"{label}: expected a text, got {type(said).__name__}")
    return given, said, split


def _id_of(spec: LoopSpec, given: dict[str, Any], label: str | None, seen: Counter[bytes]) -> str:
    """An id that follows from the row's content, and from how often it was seen before in this file."""
    content = msgspec.json.encode([spec.name, given, label], order="sorted")
    digest = hashlib.sha256(content).digest()
    seen[digest] += 1
    return f"import-{hashlib.sha256(digest + str(seen[digest]).encode()).hexdigest()[:32]}"


def _number(name: str, text: str) -> float:
    try:
        return _NUMBERS[name](text)
    except ValueError:
        raise InvalidInput(f"{name}: expected a number, got {text[:40]!r}") from None


def _parsed(text: Any) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, TypeError) as error:
        raise InvalidInput(f"the input is not JSON: {error}") from None

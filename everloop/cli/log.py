"""``everloop log``: import interactions from a file. The whole file is checked before the first row is kept."""

import argparse
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from everloop.cli.console import Console
from everloop.cli.home import opened
from everloop.cli.reading import read_rows
from everloop.collect.consent import stored
from everloop.collect.incoming import build_interaction, check_label, imported_label
from everloop.errors import InvalidInput, UserError
from everloop.interop import columns
from everloop.interop.pieces import Ids
from everloop.types import Interaction, Label
from everloop.wheel import Wheel

_BATCH = 1000
_OWN = ("output", "id", "subject", "session", "context", "consent", "at", "confidence", "split")


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
    ids = Ids()
    parse = args.parse and args.file.suffix.lower() in {".csv", ".tsv"}
    named = columns.Columns({**{name: name for name in _OWN}, args.label: "label", args.input: "input"})
    for row in read_rows(args.file, wheel.settings.max_body_bytes):
        try:
            if args.input not in row.fields:
                there = ", ".join(row.fields) or "none"
                raise InvalidInput(f"no {args.input!r}; there are: {there} (--input names the column)")
            given, label, split, _, _ = columns.read(row.fields, named, ignored, parse=parse)
            given = given or {}
            if label is not None:
                check_label(label, spec.labels, spec.name)
            given.setdefault("id", ids.of(spec.name, given, label))
            made = build_interaction(spec, given, wheel.door)
            if not stored(made):
                continue
            yield Import(made, None if label is None else imported_label(spec, made, label, split, wheel.door))
        except UserError as error:
            raise type(error)(f"{args.file}, line {row.line}: {error}") from None

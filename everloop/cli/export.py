"""``everloop export``: a dataset version as a file, JSONL or CSV."""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from everloop.cli.console import Console
from everloop.cli.datasets import version_of
from everloop.cli.home import opened
from everloop.cli.writing import csv_lines, say_what_may_leave, write_whole
from everloop.collect.leaving import leaving
from everloop.errors import InvalidInput
from everloop.interop.training import public
from everloop.types import Example

# The first three are what `everloop log` reads back.
_COLUMNS = ("input", "label", "split", "origin", "weight", "depth", "slices", "group", "example")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The loop, which version, and the file."""
    parser.add_argument("loop")
    parser.add_argument("--version", default="latest", metavar="V", help="id or hash, or 8 characters (latest)")
    parser.add_argument("--split", choices=["train", "golden"], help="only this part")
    parser.add_argument("--to", required=True, type=Path, metavar="FILE", help="ends in .jsonl or .csv")
    parser.add_argument("--shareable", action="store_true", help="only what everybody it is made of agreed to share")
    parser.add_argument("--force", action="store_true", help="overwrite the file")


def run(args: argparse.Namespace, console: Console) -> int:
    """Write the file whole, or not at all."""
    ending = args.to.suffix.lower()
    if ending not in {".jsonl", ".csv"}:
        raise InvalidInput(f"--to {args.to}: must end in .jsonl or .csv")
    with opened(args) as wheel:
        version = version_of(wheel, wheel.get(args.loop).name, args.version)
        found = wheel.store.datasets.examples(version.id, args.split)
        left = leaving(wheel.store.records, found, shareable=args.shareable)
        examples = left.examples
        chunks = _jsonl(examples) if ending == ".jsonl" else csv_lines(_COLUMNS, map(_cells, examples))
        size = write_whole(args.to, chunks, force=args.force)
    console.document({"file": str(args.to), "version": version.id, "hash": version.hash, "split": args.split,
                      "examples": len(examples), "shareable": left.shareable, "withheld": left.withheld,
                      "unshared": left.unshared, "bytes": size})  # fmt: skip
    console.say(f"{len(examples):,} examples of {version.id} into {args.to} ({size:,} bytes)")
    say_what_may_leave(console, args.shareable, left.shareable, left.unshared, left.withheld)
    return 0


def _jsonl(examples: Sequence[Example]) -> Iterator[bytes]:
    for example in examples:
        yield msgspec.json.encode(public(example)) + b"\n"


def _cells(example: Example) -> tuple[str | float, ...]:
    given = example.input if isinstance(example.input, str) else msgspec.json.encode(example.input).decode()
    return (given, example.target, example.split, example.origin, example.weight, example.depth,
            " ".join(example.slices), example.group, example.id)  # fmt: skip

"""``everloop derive``: derive a loop's signals anew over all its history."""

import argparse

from everloop.cli.console import Console
from everloop.cli.home import opened
from everloop.types import Interaction


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The loop, and which rules."""
    parser.add_argument("loop")
    parser.add_argument("--rule", metavar="NAME", action="append", default=[],
                        help="only this rule, like retry.v1; may be given again (default: all it has)")  # fmt: skip


def run(args: argparse.Namespace, console: Console) -> int:
    """Derive, and print how many signals there are by rule."""
    with opened(args) as wheel:
        loop = wheel.get(args.loop)
        total = loop.records.count(Interaction, loop.name)
        with console.progress(f"deriving signals of {loop.name}", total=total) as advance:
            counted = loop.derive(*args.rule, told=advance)
    console.document(counted)
    console.table(["rule", "signals"], sorted(counted.items()))
    return 0

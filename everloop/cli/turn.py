"""``everloop turn``: turn the wheel once, by hand."""

import argparse

from everloop.cli.console import Console
from everloop.cli.home import opened


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The loop."""
    parser.add_argument("loop")


def run(args: argparse.Namespace, console: Console) -> int:
    """Turn, and print the turn's report."""
    with opened(args) as wheel:
        loop = wheel.get(args.loop)
        with console.progress(f"turning {loop.name}"):
            report = loop.turn()
    console.document(report)
    console.say(report.report())
    return 0

"""``everloop turn``: turn the wheel once, by hand; a worker that is at it already is helped, not fought."""

import argparse

from everloop.cli.console import Console
from everloop.cli.home import acted, opened
from everloop.loop import STEPS
from everloop.types import Turn


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The loop."""
    parser.add_argument("loop")


def run(args: argparse.Namespace, console: Console) -> int:
    """Turn, and print the turn's report."""
    with opened(args) as wheel:
        loop = wheel.get(args.loop)
        with console.progress(f"turning {loop.name}", total=len(STEPS)) as advance:
            done = 0

            def told(turn: Turn) -> None:
                nonlocal done
                left = [name for name in STEPS if name not in {step.name for step in turn.steps}]
                advance(len(turn.steps) - done, f"turn {turn.number} of {loop.name}: {left[0] if left else ''}")
                done = len(turn.steps)

            with acted(wheel, "turn", loop=loop.name):
                report = loop.turn(told)
    console.document(report)
    console.say(report.report())
    return 0

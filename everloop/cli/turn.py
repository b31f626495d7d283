"""``everloop turn``: turn the wheel once, by hand; a worker that is at it already is helped, not fought."""

import argparse
import time

from everloop.cli.console import Console
from everloop.cli.home import opened
from everloop.errors import Conflict, LeaseLost
from everloop.loop import STEPS, open_turn
from everloop.types import Turn
from everloop.wheel import Loop

_PAUSE = 0.1  # seconds between two looks at what another worker does


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The loop."""
    parser.add_argument("loop")


def run(args: argparse.Namespace, console: Console) -> int:
    """Turn, and print the turn's report."""
    with opened(args) as wheel:
        loop = wheel.get(args.loop)
        with console.progress(f"turning {loop.name}", total=len(STEPS)) as advance:
            number = _begun(loop).number
            done = 0
            while (turn := open_turn(wheel.store, loop.name)) is not None and turn.number == number:
                left = [name for name in STEPS if name not in {step.name for step in turn.steps}]
                advance(len(turn.steps) - done, f"turn {number} of {loop.name}: {left[0] if left else ''}")
                done = len(turn.steps)
                _step(loop)
        report = loop.report(number)
    console.document(report)
    console.say(report.report())
    return 0


def _begun(loop: Loop) -> Turn:
    """The turn that is open: ours, or the one that a worker of `everloop up` began."""
    while (turn := open_turn(loop.wheel.store, loop.name)) is None:
        try:
            loop.advance("hand")
        except (Conflict, LeaseLost):
            time.sleep(_PAUSE)
    return turn


def _step(loop: Loop) -> None:
    """One step of the open turn. Without a trigger: if another worker has just closed it, no new one is begun."""
    try:
        if loop.advance() is None:
            time.sleep(_PAUSE)
    except LeaseLost:
        time.sleep(_PAUSE)

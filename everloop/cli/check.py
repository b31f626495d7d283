"""``everloop check``: is it a flywheel, or does it only accumulate data?"""

import argparse

from everloop.cli.console import Console
from everloop.cli.home import chosen, opened
from everloop.cli.status import interval

_WORDS = {"pass": "supported", "fail": "against it", "inconclusive": "not known yet"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One loop, or all."""
    parser.add_argument("loop", nargs="?", help="one loop; without it all of them")


def run(args: argparse.Namespace, console: Console) -> int:
    """Print each loop's sentence, and what the evidence says of each of its arrows."""
    with opened(args) as wheel:
        found = [loop.check() for loop in chosen(wheel, args.loop)]
    console.document(found if args.loop is None else found[0])
    for number, check in enumerate(found):
        if number:
            console.say()
        console.say(f"{check.loop}: {check.sentence}")
        console.say(check.summary)
        console.table(
            ["claim", "evidence says", "estimate", "interval", "n", "because"],
            [
                [arrow.claim, _WORDS[arrow.verdict], arrow.estimate, interval(arrow.low, arrow.high), arrow.n or None,
                 arrow.evidence]
                for arrow in check.arrows
            ],
        )  # fmt: skip
    return 0

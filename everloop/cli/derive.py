"""``everloop derive``: derive a loop's signals anew over all its history."""

import argparse

from everloop.cli.console import Console
from everloop.cli.home import opened
from everloop.collect.deriving import rules_of
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
        spec = loop.spec
        total = loop.records.count(Interaction, loop.name)
        with console.progress(f"deriving signals of {loop.name}", total=total) as advance:
            counted = loop.derive(*args.rule, told=advance)
    console.document(counted)
    console.table(["rule", "signals"], sorted(counted.items()))
    waits = {name: rule.settle_s for name, rule in rules_of(spec).items() if rule.session and name in counted}
    if waits:
        said = ", ".join(f"{name} {seconds / 60:g}" for name, seconds in sorted(waits.items()))
        console.say(f"minutes after an interaction until a rule that looks at its session speaks of it: {said}")
    return 0

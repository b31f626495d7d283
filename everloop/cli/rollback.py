"""``everloop rollback``: put an earlier model back in front, at once."""

import argparse

from everloop.cli.console import Console
from everloop.cli.home import acted, opened


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The loop, and to what."""
    parser.add_argument("loop")
    parser.add_argument("--to", metavar="MODEL", help="a model's id; without it the one that was live before")
    parser.add_argument("--reason", default="", help="why; it stands in the release")


def run(args: argparse.Namespace, console: Console) -> int:
    """Roll back, and print which model answers now."""
    with opened(args) as wheel, acted(wheel, "rollback", target=args.to or "", loop=args.loop):
        release = wheel.get(args.loop).rollback(args.to, by="hand", reason=args.reason)
    console.document(release)
    console.say(f"live in {release.loop}: {release.model or 'nothing, the loop abstains'}")
    console.facts([("before", release.previous), ("reason", release.reason or None)])
    return 0

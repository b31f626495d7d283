"""``everloop forget``: erase a person everywhere, for ever."""

import argparse
import sys

from everloop.auditing import noted
from everloop.cli.console import Console
from everloop.cli.home import acted, opened
from everloop.errors import InvalidInput


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Whom, and that it is meant."""
    parser.add_argument("subject", help="the person, as your product calls them")
    parser.add_argument("--yes", action="store_true", help="don't ask")


def run(args: argparse.Namespace, console: Console) -> int:
    """Erase, and print what went and which models had learned from it."""
    if not args.yes and not _agreed(args.subject, console):
        raise InvalidInput("nothing was erased; --yes means it, it can't be undone")
    with opened(args) as wheel, acted(wheel, "forget"):
        erased = wheel.forget(args.subject)
        noted(detail=", ".join(f"{n} {kind}" for kind, n in sorted(erased.rows.items()) if n))
    console.document(erased._asdict())
    if not any(erased.rows.values()):
        console.say(f"nothing is known of {args.subject}")
        return 0
    console.say(f"erased: {', '.join(f'{n:,} {kind}' for kind, n in sorted(erased.rows.items()) if n)}")
    console.facts([
        ("dataset versions it was in", len(erased.versions)),
        ("models that learned from it", ", ".join(erased.models) or "none"),
    ])  # fmt: skip
    return 0


def _agreed(subject: str, console: Console) -> bool:
    if not (console.terminal and sys.stdin.isatty()):
        return False
    console.say(f"This erases everything of {subject}, for ever. Type yes to go on:")
    return sys.stdin.readline().strip().lower() == "yes"

"""``everloop consent``: what a person allows their data to be used for, in the past and from now on."""

import argparse
from contextlib import nullcontext

from everloop.auditing import noted
from everloop.cli.console import Console
from everloop.cli.home import acted, opened

_WORDS = {"yes": True, "no": False, "default": None}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Whom, and what they said."""
    parser.add_argument("subject", help="the person, as your product calls them")
    for purpose, means in (("improve", "may be learned from"), ("share", "may leave this installation")):
        parser.add_argument(f"--{purpose}", choices=[*_WORDS], help=f"whether what is theirs {means}")


def run(args: argparse.Namespace, console: Console) -> int:
    """Write it down, or print what was said so far."""
    said = {purpose: _WORDS[word] for purpose in ("improve", "share") if (word := getattr(args, purpose)) is not None}
    with opened(args) as wheel, acted(wheel, "consent") if said else nullcontext():
        held = wheel.consent(args.subject, **said)
        noted(detail=", ".join(said))
    console.document(held._asdict())
    told = ", ".join(f"{purpose} {'yes' if yes else 'no'}" for purpose, yes in held.allows.items())
    console.say(f"{args.subject}: {told or 'said nothing; the consent of each request counts'}")
    if held.interactions or held.feedback:
        console.say(f"changed {held.interactions:,} interactions and {held.feedback:,} pieces of feedback of the past; "
                    "it counts from the next turn on")  # fmt: skip
    if held.reviews:
        console.say(f"closed {held.reviews:,} open reviews of theirs")
    return 0

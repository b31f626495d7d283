"""``everloop undo``: take back what curation left out; the next turn keeps it."""

import argparse

from everloop.cli.console import Console
from everloop.cli.home import acted, opened


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The interaction."""
    parser.add_argument("interaction", help="id of the interaction that was dropped")


def run(args: argparse.Namespace, console: Console) -> int:
    """Undo the drop, and print what it was."""
    with opened(args) as wheel:
        loop = wheel.get(wheel.interaction(args.interaction).loop)
        with acted(wheel, "undo", target=args.interaction, loop=loop.name):
            drop = loop.undo(args.interaction)
    console.document(drop)
    console.say(f"taken back: {drop.id} was left out in turn {drop.turn} by {drop.reason}; the next turn keeps it")
    return 0

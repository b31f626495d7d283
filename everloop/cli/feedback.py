"""``everloop feedback``: say what an answer was worth."""

import argparse
from typing import Any

from everloop.cli.console import Console
from everloop.cli.home import chosen, opened
from everloop.errors import InvalidInput, NotFound
from everloop.wheel import Loop, Wheel

_KINDS = ("thumb", "correction", "label", "rating", "comment", "outcome")
_SAID = {
    "new": "kept",
    "known": "known already, nothing changed",
    "held": "held: it is joined when the interaction arrives",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The interaction, one thing said of it, and who says it."""
    parser.add_argument("interaction", help="id of the interaction, as predict printed it")
    said = parser.add_mutually_exclusive_group(required=True)
    said.add_argument("--thumb", choices=["up", "down"])
    said.add_argument("--correction", metavar="LABEL", help="what the answer should have been")
    said.add_argument("--label", help="the right answer, brought from elsewhere")
    said.add_argument("--rating", type=float, help="0 to 5")
    said.add_argument("--comment", metavar="TEXT")
    said.add_argument("--outcome", type=float, metavar="NUMBER", help="the declared outcome, measured")
    parser.add_argument("--rationale", help="why")
    parser.add_argument("--seconds", type=float, help="time the person took")
    parser.add_argument("--subject", help="who says it (kept as a pseudonym)")
    parser.add_argument("--id", help="your own id: the same call again is the same feedback")
    parser.add_argument("--hold", action="store_true", help="keep it also if the interaction has not arrived yet")


def run(args: argparse.Namespace, console: Console) -> int:
    """Keep the feedback, and say what became of it."""
    given: dict[str, Any] = {
        name: getattr(args, name)
        for name in (*_KINDS, "rationale", "seconds", "subject", "id")
        if getattr(args, name) is not None
    }
    if "rationale" in given and not {"thumb", "correction"} & given.keys():
        raise InvalidInput("--rationale goes with --thumb or --correction")
    if "seconds" in given and "correction" not in given:
        raise InvalidInput("--seconds goes with --correction")
    with opened(args) as wheel:
        receipt = _loop_of(wheel, args.interaction, hold=args.hold).feedback(args.interaction, hold=args.hold, **given)
    kind = next(name for name in _KINDS if name in given)
    console.document({"interaction": args.interaction, "kind": kind, "receipt": receipt})
    console.say(f"{kind} {_SAID[receipt]}")
    return 0


def _loop_of(wheel: Wheel, interaction: str, *, hold: bool) -> Loop:
    try:
        return wheel.get(wheel.interaction(interaction).loop)
    except NotFound:
        if hold:  # held feedback belongs to no loop yet: any one can take it in
            return chosen(wheel, None)[0]
        raise NotFound(f"no interaction {interaction!r}, nothing was kept; --hold keeps it until it arrives") from None

"""``everloop review``: the queue of questions to people, and their answers."""

import argparse

from everloop.cli.console import Console, cell
from everloop.cli.home import acted, chosen, opened
from everloop.errors import InvalidInput, NotFound
from everloop.turn.doubting import Argument, Queued, shown
from everloop.types import Review
from everloop.wheel import Wheel

_SHOWN = 60
_LIMIT = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Nothing or a loop lists; a review's id shows it; an id and a label answer it."""
    parser.add_argument("which", nargs="?", metavar="LOOP|ID", help="a loop lists its queue; an id shows one review")
    parser.add_argument("label", nargs="?", help="the answer to that review")
    parser.add_argument("--accept", action="store_true", help="the machine's proposal is right")
    parser.add_argument("--rationale", help="why")
    parser.add_argument("--annotator", default="me", help="who answers (me)")
    parser.add_argument("--limit", type=int, default=_LIMIT, metavar="N", help=f"list at most so many ({_LIMIT})")


def run(args: argparse.Namespace, console: Console) -> int:
    """List, show or answer."""
    if args.limit < 1:
        raise InvalidInput("--limit: must be 1 or more")
    if args.label is not None and args.accept:
        raise InvalidInput("a label or --accept, not both")
    with opened(args) as wheel:
        loops = [loop.name for loop in wheel.loops()]
        listing = args.which is None or (args.which in loops and args.label is None)
        if listing and not args.accept:
            _list(wheel, args.which, args.limit, console)
        elif args.which is None:
            raise InvalidInput("--accept needs the id of a review")
        else:
            review = wheel.store.records.get(Review, args.which)
            if review is None:
                raise NotFound(f"no loop and no review called {args.which!r}; everloop review lists the open ones")
            _one(wheel, review, args, console)
    return 0


def _list(wheel: Wheel, name: str | None, limit: int, console: Console) -> None:
    found = [review for loop in chosen(wheel, name) for review in loop.reviews()]
    listed = shown(wheel.store.records, found[:limit])
    console.document(listed)
    if not found:
        console.say("no open review; a turn asks them")
        return
    console.table(
        ["review", "loop", "why", "input", "given", "proposal", "confidence"],
        [[r.id, r.loop, r.why, cell(r.input, _SHOWN), _given(r), r.proposal, r.confidence] for r in listed],
    )
    if any(r.argument is not None for r in listed):
        console.say("a label somebody gave is doubted where one is given; why: everloop review ID")
    more = f" of {len(found):,}" if len(found) > limit else ""
    console.say(f"{min(limit, len(found)):,}{more} open; answer one with: everloop review ID LABEL (or ID --accept)")


def _one(wheel: Wheel, review: Review, args: argparse.Namespace, console: Console) -> None:
    label = review.proposal if args.accept else args.label
    if args.accept and label is None:
        raise InvalidInput("the machine has no proposal for this one; give the label")
    if label is None:
        (one,) = shown(wheel.store.records, [review])
        console.document(one)
        console.facts([
            ("review", review.id), ("loop", review.loop), ("state", review.state), ("why", review.why),
            ("input", review.input), ("given", _given(one)),
            ("probably wrong", review.doubt.score if review.doubt else None), ("proposal", review.proposal),
            ("confidence", review.confidence), *_argued(one.argument),
        ])  # fmt: skip
        return
    with acted(wheel, "review", target=review.id, loop=review.loop):
        made = wheel.get(review.loop).annotate(review.id, label, annotator=args.annotator, rationale=args.rationale)
    console.document(made)
    console.say(f"answered: {made.value}")


def _given(review: Queued) -> str | None:
    return review.doubt.given if review.doubt is not None else None


def _argued(argument: Argument | None) -> list[tuple[str, str]]:
    """The argument, and the rows that speak for it and against it."""
    if argument is None:
        return []
    return [
        ("argument", argument.sentence),
        *(("like it, as proposed", cell(one.words, _SHOWN)) for one in argument.supporting),
        *(("like it, as given", cell(one.words, _SHOWN)) for one in argument.opposing),
    ]

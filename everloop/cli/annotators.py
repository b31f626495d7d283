"""``everloop annotators``: who answers reviews, how far they agree, and how far each one's word goes."""

import argparse

from everloop.cli.console import Console, cell
from everloop.cli.home import opened
from everloop.turn.believing import Annotator, Annotators, Share, annotators


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The loop."""
    parser.add_argument("loop")


def run(args: argparse.Namespace, console: Console) -> int:
    """Everybody, by name: what can be said of them, and what can't yet."""
    with opened(args) as wheel:
        found = annotators(wheel.store, wheel.get(args.loop).name)
    console.document(found)
    if not found.annotators:
        console.say(f"nobody has answered a review of {found.loop} yet (see: everloop review {found.loop})")
        return 0
    console.table(
        ["annotator", "answered", "compared", "right", "on known labels", "weight", ""],
        [_row(one) for one in found.annotators],
        title=f"who answers the reviews of {found.loop}",
    )  # fmt: skip
    _agreement(found, console)
    return 0


def _row(one: Annotator) -> list[object]:
    known = one.right is not None
    return [
        cell(one.name), one.answered, one.compared, _share(one.right), _share(one.gold), one.weight if known else None,
        cell("; ".join(one.flags), most=120),
    ]  # fmt: skip


def _share(found: Share | None) -> str | None:
    return None if found is None else f"{found.estimate:.0%} ({found.low:.0%} to {found.high:.0%}, n {found.n:,})"


def _agreement(found: Annotators, console: Console) -> None:
    if found.alpha is None:
        console.say("no agreement to tell of: it takes rows that two people gave a label, and that differ; a second "
                    "person may answer a review, too (everloop review ID LABEL --annotator NAME)")  # fmt: skip
    else:
        a = found.alpha
        console.say(f"agreement beyond chance: α = {a.estimate:.2f} ({a.low:.2f} to {a.high:.2f}) on {a.n:,} rows")
    if found.pairs:
        console.table(
            ["", "and", "κ", "interval", "rows"],
            [[cell(p.first), cell(p.second), *_kappa(p.kappa)] for p in found.pairs], title="two by two",
        )  # fmt: skip
    if found.users:
        console.say(f"users beside them: {found.users:,}, of whom {found.users_known:,} said enough to be weighed")


def _kappa(found: Share | None) -> list[object]:
    if found is None:
        return [None, "always one label", None]
    return [f"{found.estimate:.2f}", f"{found.low:.2f} to {found.high:.2f}", found.n]

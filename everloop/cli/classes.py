"""``everloop classes``: inputs that fit no class of a loop, as proposed new ones, and what a person decides of them."""

import argparse

from everloop import deciding
from everloop.cli.console import Console, cell
from everloop.cli.home import acted, opened
from everloop.cli.status import moment
from everloop.curate import text_of
from everloop.deciding import Classes, Proposal
from everloop.errors import InvalidInput
from everloop.wheel import Loop

_DO = ("list", "show", "accept", "refuse")
_WORDS = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The loop alone lists; then what to do with one."""
    parser.add_argument("loop")
    parser.add_argument("do", nargs="?", default="list", metavar="list|show|accept|refuse", help="list, by default")
    parser.add_argument("which", nargs="?", metavar="ID", help="the number, the id or the name of a proposed class")
    parser.add_argument("--as", dest="name", default="", metavar="NAME", help="what to call it (default: as proposed)")
    parser.add_argument("--label-shown", action="store_true", help="accept: the inputs that `show` shows are labelled "
                        "with it, as your word; the others go to the review queue")  # fmt: skip
    parser.add_argument("--annotator", default="me", help="whose word that is (me)")


def run(args: argparse.Namespace, console: Console) -> int:
    """List, show, accept or refuse."""
    if args.do not in _DO:
        raise InvalidInput(f"{args.do!r}: {', '.join(_DO)}")
    if args.do != "list" and not args.which:
        raise InvalidInput(f"which class? everloop classes {args.loop} {args.do} 1, or its id")
    with opened(args) as wheel:
        loop = wheel.get(args.loop)
        found = deciding.classes(wheel.store, loop.spec)
        if args.do == "list":
            _list(found, loop.name, console)
            return 0
        which = _chosen(found, args.which)
        if args.do == "show":
            records = wheel.store.records
            _show(deciding.shown(records, deciding.named(records, loop.name, which)), console)
        else:
            _decide(loop, which, args, console)
    return 0


def _decide(loop: Loop, which: str, args: argparse.Namespace, console: Console) -> None:
    store, door = loop.wheel.store, loop.wheel.door
    one = deciding.named(store.records, loop.name, which)
    with acted(loop.wheel, f"classes.{args.do}", target=one.id, loop=loop.name):
        if args.do == "refuse":
            done = deciding.refuse(store, loop.spec, one.id, by="cli")
        else:
            rows = deciding.shown(store.records, one).typical if args.label_shown else []
            done = deciding.accept(
                store, door, loop.spec, one.id, name=args.name, by="cli", annotator=args.annotator,
                labelled=[row.interaction for row in rows],
            )  # fmt: skip
    console.document(done)
    if args.do == "refuse":
        console.say(f"refused: {cell(one.name)} is not proposed again, nor is what is like it")
        return
    new = f", now a label of {loop.name}" if done.added else ""
    console.say(f"accepted: {cell(done.proposed.label)}{new}")
    if done.labelled:
        console.say(f"{done.labelled:,} labelled, as the word of {cell(args.annotator)}")
    if done.asked:
        console.say(f"{done.asked:,} wait for a person, with this label as the proposal: everloop review {loop.name}")


def _list(found: Classes, loop: str, console: Console) -> None:
    console.document(found)
    if not found.open:
        console.say(f"no class is proposed: {found.waits}")
    else:
        console.table(
            ["", "name", "inputs", "words", "nearest class", "novelty", "such as", "id"],
            [[i, cell(one.proposed.name), one.proposed.size, cell(", ".join(one.proposed.words)),
              cell(one.proposed.nearest or ""), f"{one.proposed.score:.2f}", cell(_words(one, 0)), one.proposed.id]
             for i, one in enumerate(found.open, start=1)],
            title=f"classes proposed for {loop}",
        )  # fmt: skip
        console.say(f"look at one: everloop classes {loop} show 1; then accept 1 --as NAME, or refuse 1")
    if found.decided:
        console.table(
            ["proposed as", "decision", "label", "inputs", "turn", "when", "id"],
            [[cell(one.name or "(erased)"), one.state, cell(one.label), one.size, one.turn, moment(one.at), one.id]
             for one in found.decided],
            title="decided",
        )  # fmt: skip


def _show(one: Proposal, console: Console) -> None:
    console.document(one)
    what = one.proposed
    console.facts([
        ("class", what.id), ("name", what.name), ("state", what.state), ("label", what.label), ("inputs", what.size),
        ("words", ", ".join(what.words)), ("nearest class", what.nearest), ("novelty", f"{what.score:.2f}"),
        ("turn", what.turn),
    ])  # fmt: skip
    console.table(
        ["interaction", "input"],
        [[row.interaction, cell(_words(one, i), _WORDS)] for i, row in enumerate(one.typical)],
        title="the most typical",
    )  # fmt: skip


def _words(one: Proposal, place: int) -> str:
    if place >= len(one.typical):
        return ""
    value = one.typical[place].input
    return text_of(value) or str(value)


def _chosen(found: Classes, said: str) -> str:
    """The id behind a number of the list; what is no number as it is."""
    if said.isascii() and said.isdigit() and 0 < int(said[:9]) <= len(found.open):
        return found.open[int(said[:9]) - 1].proposed.id
    return said

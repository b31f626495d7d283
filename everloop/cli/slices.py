"""``everloop slices``: where the live model is weak, and the slices no candidate may get worse in."""

import argparse

from everloop.cli.console import Console, cell
from everloop.cli.home import acted, opened
from everloop.errors import InvalidInput, NotFound
from everloop.evaluate import WeakSlice, parse
from everloop.types import WatchedSlice
from everloop.watching import (
    Rows,
    Watching,
    Weakness,
    unknown_terms,
    unwatch,
    watch_found,
    watch_terms,
    watchings,
    weakness,
)
from everloop.wheel import Loop

_DO = ("list", "watch", "unwatch")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The loop alone looks for weak slices; then what to do with one."""
    parser.add_argument("loop")
    parser.add_argument("do", nargs="?", metavar="list|watch|unwatch", help="without it, weak slices are looked for")
    parser.add_argument("slice", nargs="*", metavar="SLICE", help='the number or id of a weak slice, or terms: '
                        '"channel=web & lang=de"; unwatch also takes a name')  # fmt: skip
    parser.add_argument("--name", default="", help="what verdicts call it (default: its terms)")
    parser.add_argument("--note", default="", help="why it is watched")
    parser.add_argument("--golden", action="store_true", help="look in golden rows alone: no model is trained for it")


def run(args: argparse.Namespace, console: Console) -> int:
    """Find, list, watch or unwatch."""
    if args.do not in {None, *_DO}:
        raise InvalidInput(f"{args.do!r}: {', '.join(_DO)}, or nothing to look for weak slices")
    said = " & ".join(args.slice)
    if args.do in {"watch", "unwatch"} and not said:
        raise InvalidInput(f'which slice? everloop slices {args.loop} {args.do} "channel=web & lang=de", or its number')
    rows: Rows = "golden" if args.golden else "all"
    with opened(args) as wheel:
        loop = wheel.get(args.loop)
        if args.do == "watch":
            with acted(wheel, "slices.watch", target=said, loop=loop.name):
                _watch(loop, said, args, rows, console)
        elif args.do == "unwatch":
            with acted(wheel, "slices.unwatch", target=said, loop=loop.name):
                gone = unwatch(wheel.store, loop.name, said)
            console.document(gone)
            console.say(f"{cell(gone.name)} is watched no longer: from the next turn on a loss there blocks nothing")
        elif args.do == "list":
            _list(watchings(wheel.store, loop.name), loop.name, console)
        else:
            _print(weakness(wheel.store, loop.spec, rows), console)
    return 0


def _watch(loop: Loop, said: str, args: argparse.Namespace, rows: Rows, console: Console) -> None:
    store = loop.wheel.store
    remarks: list[str] = []
    more = {"name": args.name, "by": "cli", "note": args.note}
    if "=" in said:
        remarks = unknown_terms(store, loop.name, parse(said))
        made = watch_terms(store, loop.name, parse(said), **more)
    else:
        made = watch_found(store, loop.name, _chosen(weakness(store, loop.spec, rows), said), **more)
    console.document(made)
    there = next(one for one in watchings(store, loop.name) if one.slice.id == made.id)
    console.say(f"watched: {cell(made.name)}, {_what(made)}, {_golden(there)}")
    for remark in remarks:
        console.say(cell(remark, most=200))


def _chosen(found: Weakness, said: str) -> WeakSlice:
    slices = found.found.slices
    if said.isascii() and said.isdigit() and 0 < int(said[:9]) <= len(slices):
        return slices[int(said[:9]) - 1]
    by_id = [one for one in slices if one.id == said]
    if not by_id:
        raise NotFound(
            f"no weak slice {said[:80]!r}: there are {len(slices)}; a slice of your own is written name=value"
        )
    return by_id[0]


def _print(weak: Weakness, console: Console) -> None:
    console.document(weak)
    found = weak.found
    where = f"{weak.golden:,} golden rows"
    if weak.out_of_fold:
        where += f" and {weak.out_of_fold:,} that people labelled (answered by models that had not seen them)"
    if not found.slices:
        console.say(f"no weak slice of {weak.loop}: {found.reason} ({where})")
        return
    rows = [
        [i, cell(one.name), f"{one.estimate:.1%}", f"{one.low:.1%} to {one.high:.1%}", one.n, f"{one.elsewhere:.1%}",
         f"{one.p:.2g}", one.support, f"{one.id} (watched)" if one.id in weak.watched else one.id]
        for i, one in enumerate(found.slices, start=1)
    ]  # fmt: skip
    console.table(
        ["", "slice", "errors", f"{found.level:.0%} interval", "n", "elsewhere", "p", "rows", "id"], rows,
        title=f"where {weak.loop} is weak",
    )  # fmt: skip
    console.say(f"looked in {where}, at {found.looked} slices; {found.method}")
    console.say(f"so that no candidate gets worse there: everloop slices {weak.loop} watch 1")


def _list(there: list[Watching], loop: str, console: Console) -> None:
    console.document(there)
    if not there:
        console.say(f'nothing is watched; watch a slice: everloop slices {loop} watch "channel=web & lang=de"')
        return
    console.table(
        ["slice", "what", "golden rows", "last verdict", "by", "note"],
        [[cell(one.slice.name), cell(_what(one.slice)), _golden(one), _last(one), one.slice.by, cell(one.slice.note)]
         for one in there],
    )  # fmt: skip


def _what(one: WatchedSlice) -> str:
    return " & ".join(one.terms) or f"inputs within {one.radius:.2f} of a point ({one.space})"


def _golden(one: Watching) -> str:
    more = one.needed - one.golden
    return f"{one.golden:,} golden rows" + (f": {more} more are needed to tell anything" if more > 0 else "")


def _last(one: Watching) -> str | None:
    if one.last is None:
        return None
    return (
        f"{one.last.outcome} in turn {one.turn}: {one.last.estimate * 100:+.1f} points "
        f"({one.last.low * 100:+.1f} to {one.last.high * 100:+.1f})"
    )

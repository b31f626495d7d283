"""``everloop datasets LOOP branch | tag | edit | merge``: names for versions, and changes by hand."""

import argparse
from typing import cast

from everloop import versions
from everloop.cli.console import Console, cell
from everloop.cli.home import acted
from everloop.cli.status import moment
from everloop.errors import Conflict, InvalidInput
from everloop.versions.merging import Clash, Prefer
from everloop.versions.naming import LATEST, MAIN
from everloop.wheel import Wheel

OPTIONS = ("by", "why", "move", "delete", "relabel", "drop", "into", "human", "newest", "ours", "theirs", "dry_run")
_SHOWN = 40


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of these actions."""
    group = parser.add_argument_group("branch, tag, edit, merge")
    group.add_argument("--by", metavar="NAME", help="who does it (me)")
    group.add_argument("--why", metavar="TEXT", help="kept with the version, the branch or the tag")
    group.add_argument("--move", action="store_true", help="branch: put one that is there at V")
    group.add_argument("--delete", action="store_true", help="branch, tag: forget the name; its versions stay")
    group.add_argument("--relabel", action="append", default=[], metavar="EXAMPLE=LABEL", help="edit: another label")
    group.add_argument("--drop", action="append", default=[], metavar="EXAMPLE", help="edit: take it out")
    group.add_argument("--into", metavar="BRANCH", help="merge: the branch that is changed (main)")
    group.add_argument("--human", action="store_true", help="merge: where lines clash, a person's label wins")
    group.add_argument("--newest", action="store_true", help="merge: where lines clash, the later change wins")
    group.add_argument("--ours", action="store_true", help="merge: where lines clash, the branch's own change wins")
    group.add_argument("--theirs", action="store_true", help="merge: where lines clash, V's change wins")
    group.add_argument("--dry-run", action="store_true", help="merge: say what would happen, and change nothing")


def branch(wheel: Wheel, loop: str, args: argparse.Namespace, console: Console) -> None:
    """List the branches, or begin, move or delete one."""
    _name(wheel, loop, "branch", args, console)


def tag(wheel: Wheel, loop: str, args: argparse.Namespace, console: Console) -> None:
    """List the tags, or make or delete one."""
    _name(wheel, loop, "tag", args, console)


def _name(wheel: Wheel, loop: str, kind: str, args: argparse.Namespace, console: Console) -> None:
    datasets = wheel.store.datasets
    if not args.words:
        if args.delete or args.move:
            raise InvalidInput(f"say which {kind}: everloop datasets {loop} {kind} NAME")
        refs = [ref for ref in datasets.refs(loop) if ref.kind == kind]
        console.document(refs)
        if not refs:
            console.say(f"no {kind} yet; make one with: everloop datasets {loop} {kind} NAME V")
            return
        console.table([kind, "version", "by", "why", "since"],
                      [[r.id, r.version, r.by, cell(r.why, 60), moment(r.at) if r.at else None]
                       for r in refs])  # fmt: skip
        return
    name, word = args.words[0], args.words[1] if len(args.words) > 1 else LATEST
    who, why = args.by or "me", args.why or ""
    if args.delete:
        if len(args.words) > 1 or args.move:
            raise InvalidInput(f"--delete takes the name of the {kind} alone")
        with acted(wheel, f"datasets.{kind}.delete", target=name, loop=loop):
            gone = versions.delete(datasets, loop, kind, name)
        console.document(gone)
        console.say(f"{kind} {name} is forgotten; its version stays: {gone.version}")
        return
    version = versions.named(datasets, loop, word)
    with acted(wheel, f"datasets.{kind}", target=name, loop=loop):
        if kind == "branch":
            ref = versions.branch(datasets, loop, name, version, by=who, why=why, move=args.move)
        else:
            ref = versions.tag(datasets, loop, name, version, by=who, why=why)
    console.document(ref)
    console.say(f"{kind} {name} is at {version.id} ({version.size:,} examples)")


def edit(wheel: Wheel, loop: str, args: argparse.Namespace, console: Console) -> None:
    """A new version on a branch."""
    relabel: dict[str, str] = {}
    for given in args.relabel:
        example, sign, label = given.rpartition("=")
        if not sign or not example or not label:
            raise InvalidInput(f"--relabel {given!r}: say EXAMPLE=LABEL")
        if example in relabel:
            raise InvalidInput(f"--relabel {example!r}: given twice")
        relabel[example] = label
    if not relabel and not args.drop:
        raise InvalidInput("nothing to edit: say --relabel EXAMPLE=LABEL or --drop EXAMPLE, as often as you like")
    name = args.words[0]
    with acted(wheel, "datasets.edit", target=name, loop=loop):
        made = versions.edit(_editor(wheel, loop, args), name, relabel=relabel, drop=args.drop, why=args.why or "")
    console.document(made)
    done = made.recipe.args
    console.say(f"{done['relabelled']:,} relabelled, {done['dropped']:,} taken out: {name} is at {made.id}")
    console.say(_next(loop, name))


def merge(wheel: Wheel, loop: str, args: argparse.Namespace, console: Console) -> None:
    """Bring another line into a branch, or list what clashes and change nothing."""
    prefer = [name for name in ("human", "newest", "ours", "theirs") if getattr(args, name)]
    if args.ours and args.theirs:
        raise InvalidInput("--ours or --theirs, not both")
    theirs, into = args.words[0], args.into or MAIN
    with acted(wheel, "datasets.merge", target=into, loop=loop):
        done = versions.merge(
            _editor(wheel, loop, args), theirs, into, cast(list[Prefer], prefer), why=args.why or "", dry=args.dry_run
        )
        if done.kind == "clash":
            # Under --json too, a mistake is one line on stderr and nothing on stdout: the clashes are in it by number.
            _clashes(done.clashes, args.limit, console)
            left = [clash for clash in done.clashes if clash.took is None]
            raise Conflict(
                f"{len(left):,} of {len(done.clashes):,} clashes open, first {_clash(left[0])}: nothing was changed; "
                "settle them with --human, --newest, --ours or --theirs"
            )
    console.document({
        "kind": done.kind, "version": done.version, "base": done.base, "clashes": done.clashes, "put": done.put,
        "removed": done.removed, "dry_run": args.dry_run,
    })  # fmt: skip
    _clashes(done.clashes, args.limit, console)
    changes = f"{done.put:,} examples added or changed, {done.removed:,} taken out"
    if done.kind == "nothing":
        console.say(f"nothing to merge: {into} has all of {theirs} already")
    elif args.dry_run:
        console.say(f"would change {into}: {changes}; nothing was changed (--dry-run)")
    else:
        how = "moved on to it" if done.kind == "forward" else "a new version with two parents"
        console.say(f"{into} is at {done.version.id} ({how}): {changes}")
        console.say(_next(loop, into))


def _editor(wheel: Wheel, loop: str, args: argparse.Namespace) -> versions.Editor:
    return versions.Editor(wheel.store, wheel.get(loop).spec, wheel.door, args.by or "me", wheel.owner)


def _next(loop: str, branch: str) -> str:
    if branch == MAIN:
        return f"what changed is also evidence now, and the next turn learns from it: everloop turn {loop}"
    return f"bring it into main with: everloop datasets {loop} merge {branch}"


def _clashes(clashes: tuple[Clash, ...], limit: int, console: Console) -> None:
    if not clashes:
        return
    console.table(["clash", "input", "base", "ours", "theirs", "took"],
                  [[c.example, cell(c.input, _SHOWN), c.base or "(not there)", *_sides(c), c.took]
                   for c in clashes[:limit]])  # fmt: skip
    if len(clashes) > limit:
        console.say(f"{limit:,} of {len(clashes):,}; --limit shows more")


def _clash(clash: Clash) -> str:
    ours, theirs = _sides(clash)
    return f"{clash.example} (ours: {ours}, theirs: {theirs})"


def _sides(clash: Clash) -> tuple[str, str]:
    """What each side has it as; with the split, where that is what differs."""
    splits = clash.ours == clash.theirs
    pairs = ((clash.ours, clash.ours_split), (clash.theirs, clash.theirs_split))
    ours, theirs = (
        "(taken out)" if label is None else f"{label} in {split}" if splits else label for label, split in pairs
    )
    return ours, theirs

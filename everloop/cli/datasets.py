"""``everloop datasets``: the versions of a loop's dataset, used as people use code."""

import argparse
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from everloop import versions
from everloop.cli import datasets_changing as changing
from everloop.cli import datasets_leaving as leaving
from everloop.cli.console import Console, cell
from everloop.cli.home import opened
from everloop.cli.status import moment
from everloop.errors import InvalidInput
from everloop.interop.training import public
from everloop.types import DatasetVersion, Example
from everloop.wheel import Wheel

_HASH = 8
_LIMIT = 20
_SHOWN = 60


class _Action(NamedTuple):
    """One of the words after the loop."""

    run: Callable[[Wheel, str, argparse.Namespace, Console], None]
    words: tuple[str, ...]  # what it takes; in brackets: or not
    does: str
    options: frozenset[str] = frozenset()  # that it understands, beside --limit


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The loop, what to do, and with which versions."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    lines = [f"  {name + ' ' + ' '.join(one.words):24}{one.does}" for name, one in ACTIONS.items()]
    parser.epilog = "\n".join([
        "actions:", *lines, "",
        'V is "latest", a branch, a tag, an id or hash, or 8 characters of one; V~1 is its parent.',
        "main is the branch of the loop's turns. EXAMPLE is an id, or the whole text of an input.",
    ])  # fmt: skip
    parser.add_argument("loop")
    parser.add_argument(
        "action", nargs="?", choices=[*ACTIONS], default="log", metavar="ACTION", help="see below (log)"
    )
    parser.add_argument("words", nargs="*", metavar="V", help="what the action takes")
    parser.add_argument("--limit", type=int, default=_LIMIT, metavar="N", help=f"print at most so many ({_LIMIT})")
    changing.add_arguments(parser)
    leaving.add_arguments(parser)


def run(args: argparse.Namespace, console: Console) -> int:
    """Do one of them."""
    action = ACTIONS[args.action]
    least = sum(not word.startswith("[") for word in action.words)
    if not least <= len(args.words) <= len(action.words):
        takes = " ".join(action.words) or "nothing"
        many = f"{least} versions" if action.words == ("A", "B") else takes
        raise InvalidInput(f"datasets {args.loop} {args.action}: takes {many}, got {len(args.words)}")
    if args.limit < 1:
        raise InvalidInput("--limit: must be 1 or more")
    given = {name for name in (*changing.OPTIONS, *leaving.OPTIONS) if getattr(args, name) not in (None, False, [])}
    if strange := sorted(given - action.options):
        raise InvalidInput(f"datasets {args.loop} {args.action} takes no --{strange[0].replace('_', '-')}")
    with opened(args) as wheel:
        action.run(wheel, wheel.get(args.loop).name, args, console)
    return 0


def version_of(wheel: Wheel, loop: str, word: str) -> DatasetVersion:
    """The version of a loop that `word` names; raises NotFound."""
    return versions.named(wheel.store.datasets, loop, word)


def _log(wheel: Wheel, loop: str, args: argparse.Namespace, console: Console) -> None:
    datasets = wheel.store.datasets
    found = datasets.log(loop)
    if args.words:
        line = versions.line(datasets, version_of(wheel, loop, args.words[0]))
        found = [version for version in found if version.id in line]
    at = {id: [ref.id for ref in refs] for id, refs in versions.names(datasets, loop).items()}
    console.document([{**msgspec.structs.asdict(v), "names": at.get(v.id, [])} for v in found])
    if not found:
        console.say(f"no dataset version yet; a turn makes the first: everloop turn {loop}")
        return
    console.table(
        ["version", "hash", "examples", "change", "made", "by", "names"],
        [[v.id, v.hash[:_HASH], v.size, f"+{v.added:,} -{v.removed:,}", moment(v.at), cell(_maker(v), 40),
          ", ".join(at.get(v.id, []))] for v in found[: args.limit]],
    )  # fmt: skip
    _more(len(found), args.limit, console)


def _maker(version: DatasetVersion) -> str:
    """What made a version, in a few words."""
    args = version.recipe.args
    if "turn" in args:
        return f"turn {args['turn']}"
    name = version.recipe.name.partition(".")[0]
    return f"{name} by {args['by']}" + (f": {args['why']}" if args.get("why") else "") if "by" in args else name


def _show(wheel: Wheel, loop: str, args: argparse.Namespace, console: Console) -> None:
    version = version_of(wheel, loop, args.words[0])
    examples = wheel.store.datasets.examples(version.id)
    made = versions.compose(examples)
    at = [ref.id for ref in versions.names(wheel.store.datasets, loop).get(version.id, ())]
    console.document({
        "version": version, "names": at, "composition": made, "examples": [public(e) for e in examples[: args.limit]],
        "counts": {"split": made.splits, "origin": made.origins, "target": made.classes},
    })  # fmt: skip
    console.facts([
        ("version", version.id), ("names", ", ".join(at) or None), ("hash", version.hash), ("parent", version.parent),
        ("merged with", version.merged), ("recipe", version.recipe), ("made", moment(version.at)),
        ("examples", made.examples), ("erased", version.erased or None), ("weight", made.weight),
        ("splits", _counted(made.splits)), ("origins", _counted(made.origins)), ("classes", _counted(made.classes)),
        ("slices", _counted(made.slices) or None), ("synthetic", made.synthetic or None), ("people", made.people),
    ])  # fmt: skip
    console.say()
    console.table(["example", "input", "target", "split", "origin", "weight"],
                  [[e.id, cell(e.input, _SHOWN), e.target, e.split, e.origin, e.weight]
                   for e in examples[: args.limit]])  # fmt: skip
    _more(len(examples), args.limit, console)


def _diff(wheel: Wheel, loop: str, args: argparse.Namespace, console: Console) -> None:
    old, new = (version_of(wheel, loop, word) for word in args.words)
    diff = wheel.store.datasets.diff(old.id, new.id)
    told = versions.compare(diff)
    before = {example.id: example for example in diff.removed}
    after = {example.id: example for example in diff.added}
    console.document({
        "old": old.id, "new": new.id, "comparison": told,
        "added": [public(e) for e in diff.added], "removed": [public(e) for e in diff.removed],
    })  # fmt: skip
    console.say(f"{told.added:,} added, {told.removed:,} removed, {told.changed:,} changed"
                f" ({told.heavier:,} weigh more, {told.lighter:,} less)")  # fmt: skip
    for what in ("classes", "slices", "origins", "splits"):
        moves = getattr(told, what)
        if moves:
            console.table([what, "added", "removed"],
                          [[name, m.added, m.removed] for name, m in list(moves.items())[: args.limit]])  # fmt: skip
            _more(len(moves), args.limit, console)
    if told.relabelled:
        console.table(["from", "to", "examples", "such as"],
                      [[r.old, r.new, r.n, cell(after[r.examples[0]].input, _SHOWN)]
                       for r in told.relabelled[: args.limit]])  # fmt: skip
        _more(len(told.relabelled), args.limit, console)
    rows: list[list[Any]] = []
    for id in sorted({**before, **after}):
        one, other = before.get(id), after.get(id)
        sign = "~" if one and other else "+" if other else "-"
        shown = other or one
        if shown is not None:
            rows.append([sign, id, cell(shown.input, _SHOWN), *_what(one, other)])
    if rows:
        console.table(["", "example", "input", "target", "split", "weight"], rows[: args.limit])
    _more(len(rows), args.limit, console)


def _what(old: Example | None, new: Example | None) -> list[str]:
    """Target, split and weight; both values where a change made them different."""
    found = []
    for name in ("target", "split", "weight"):
        values = dict.fromkeys(cell(getattr(e, name)) for e in (old, new) if e is not None)
        found.append(" → ".join(values))
    return found


def _counted(counts: dict[str, int]) -> str:
    shown = [f"{name} {n:,}" for name, n in list(counts.items())[:10]]
    return ", ".join(shown) + (f", and {len(counts) - 10:,} more" if len(counts) > 10 else "")


def _more(n: int, limit: int, console: Console) -> None:
    if n > limit:
        console.say(f"{limit:,} of {n:,}; --limit shows more")


ACTIONS = {
    "log": _Action(_log, ("[V]",), "every version, the newest first; with V, its line"),
    "show": _Action(_show, ("V",), "what a version is made of"),
    "diff": _Action(_diff, ("A", "B"), "what B has otherwise than A"),
    "branch": _Action(changing.branch, ("[NAME]", "[V]"), "list, or begin one at V (latest); --move, --delete",
                      frozenset({"by", "why", "move", "delete"})),
    "tag": _Action(changing.tag, ("[NAME]", "[V]"), "list, or give V (latest) a name that stays; --delete",
                   frozenset({"by", "why", "delete"})),
    "edit": _Action(changing.edit, ("BRANCH",), "a new version on it: --relabel EXAMPLE=LABEL, --drop EXAMPLE",
                    frozenset({"by", "why", "relabel", "drop"})),
    "merge": _Action(changing.merge, ("V",), "bring V's line into main, or --into BRANCH; --human settles clashes",
                     frozenset({"by", "why", "into", "human", "newest", "ours", "theirs", "dry_run"})),
    "blame": _Action(leaving.blame, ("EXAMPLE",), "where it came from, who said so, which models learned it"),
    "export": _Action(leaving.export, ("V",), "as a file for a trainer or a labelling tool: --format, --out",
                      frozenset({"format", "out", "split", "shareable", "force"})),
}  # fmt: skip


__all__ = ["ACTIONS", "add_arguments", "run", "version_of"]

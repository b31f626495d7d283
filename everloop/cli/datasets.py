"""``everloop datasets``: the versions of a loop's dataset, what is in one, and what changed between two."""

import argparse
from collections import Counter
from typing import Any

from everloop.cli.console import Console, cell
from everloop.cli.home import opened
from everloop.cli.status import moment
from everloop.errors import InvalidInput, NotFound
from everloop.types import DatasetVersion, Example
from everloop.wheel import Wheel

_HASH = 8
_LIMIT = 20
_SHOWN = 60
_TAKES = {"log": 0, "show": 1, "diff": 2}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The loop, what to do, and with which versions."""
    parser.add_argument("loop")
    parser.add_argument("action", nargs="?", choices=[*_TAKES], default="log", help="show V, diff A B, log (default)")
    parser.add_argument("versions", nargs="*", metavar="V", help='id or hash, or 8 characters of it, or "latest"')
    parser.add_argument("--limit", type=int, default=_LIMIT, metavar="N", help=f"print at most so many ({_LIMIT})")


def run(args: argparse.Namespace, console: Console) -> int:
    """Print the log, one version, or a difference."""
    takes = _TAKES[args.action]
    if len(args.versions) != takes:
        raise InvalidInput(f"datasets {args.loop} {args.action}: takes {takes} versions, got {len(args.versions)}")
    if args.limit < 1:
        raise InvalidInput("--limit: must be 1 or more")
    with opened(args) as wheel:
        loop = wheel.get(args.loop).name
        versions = [version_of(wheel, loop, word) for word in args.versions]
        match versions:
            case [old, new]:
                _diff(wheel, old, new, args.limit, console)
            case [version]:
                _show(wheel, version, args.limit, console)
            case _:
                _log(wheel.store.datasets.log(loop), loop, console)
    return 0


def version_of(wheel: Wheel, loop: str, word: str) -> DatasetVersion:
    """The version of a loop that `word` names: "latest", an id or hash, or 8 characters of one; raises NotFound."""
    if word == "latest":
        log = wheel.store.datasets.log(loop)
        found = log[0] if log else None
    else:
        found = wheel.store.datasets.get(word)
    if found is None or found.loop != loop:
        raise NotFound(f"no dataset version {word!r} in {loop}; everloop datasets {loop} lists them")
    return found


def _log(versions: list[DatasetVersion], loop: str, console: Console) -> None:
    console.document(versions)
    if not versions:
        console.say(f"no dataset version yet; a turn makes the first: everloop turn {loop}")
        return
    console.table(
        ["version", "hash", "examples", "change", "made"],
        [[v.id, v.hash[:_HASH], v.size, f"+{v.added:,} -{v.removed:,}", moment(v.at)] for v in versions],
    )


def _show(wheel: Wheel, version: DatasetVersion, limit: int, console: Console) -> None:
    examples = wheel.store.datasets.examples(version.id)
    counts = {name: dict(Counter(getattr(e, name) for e in examples).most_common())
              for name in ("split", "origin", "target")}  # fmt: skip
    console.document({"version": version, "counts": counts, "examples": [public(e) for e in examples[:limit]]})
    console.facts([
        ("version", version.id), ("hash", version.hash), ("parent", version.parent), ("recipe", version.recipe),
        ("examples", len(examples)), ("splits", _counted(counts["split"])), ("origins", _counted(counts["origin"])),
        ("targets", _counted(counts["target"])), ("made", moment(version.at)),
    ])  # fmt: skip
    console.say()
    console.table(["input", "target", "split", "origin", "weight"],
                  [[cell(e.input, _SHOWN), e.target, e.split, e.origin, e.weight]
                   for e in examples[:limit]])  # fmt: skip
    _more(len(examples), limit, console)


def _diff(wheel: Wheel, old: DatasetVersion, new: DatasetVersion, limit: int, console: Console) -> None:
    diff = wheel.store.datasets.diff(old.id, new.id)
    before = {example.id: example for example in diff.removed}
    after = {example.id: example for example in diff.added}
    changed = before.keys() & after.keys()
    console.document({
        "old": old.id, "new": new.id,
        "added": [public(e) for e in diff.added], "removed": [public(e) for e in diff.removed],
    })  # fmt: skip
    both = len(changed)
    console.say(f"{len(after) - both:,} added, {len(before) - both:,} removed, {both:,} changed")
    rows: list[list[Any]] = []
    for id in sorted({**before, **after}):
        one, other = before.get(id), after.get(id)
        sign = "~" if one and other else "+" if other else "-"
        shown = other or one
        if shown is not None:
            rows.append([sign, cell(shown.input, _SHOWN), *_what(one, other)])
    if rows:
        console.table(["", "input", "target", "split", "weight"], rows[:limit])
    _more(len(rows), limit, console)


def _what(old: Example | None, new: Example | None) -> list[str]:
    """Target, split and weight; both values where a change made them different."""
    found = []
    for name in ("target", "split", "weight"):
        values = dict.fromkeys(cell(getattr(e, name)) for e in (old, new) if e is not None)
        found.append(" → ".join(values))
    return found


def public(example: Example) -> dict[str, Any]:
    """An example without the people behind it: their pseudonyms stay at home."""
    return {name: getattr(example, name) for name in example.__struct_fields__ if name != "subjects"}


def _counted(counts: dict[str, int]) -> str:
    shown = [f"{name} {n:,}" for name, n in list(counts.items())[:10]]
    return ", ".join(shown) + (f", and {len(counts) - 10:,} more" if len(counts) > 10 else "")


def _more(n: int, limit: int, console: Console) -> None:
    if n > limit:
        console.say(f"{limit:,} of {n:,}; --limit shows more")

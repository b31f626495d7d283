"""What a dataset version is called: latest, a branch, a tag, an id or a hash, and the parents of each."""

import re

from everloop.errors import Conflict, InvalidInput, NotFound
from everloop.ids import now
from everloop.store import Datasets
from everloop.types import DatasetVersion, Ref

MAIN = "main"  # the branch of the loop's turns
LATEST = "latest"  # its head
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_LIKE_AN_ID = re.compile(r"[0-9a-fA-F-]{8,}")
_BACK = re.compile(r"~([0-9]{0,6})")
_LONGEST = 500  # characters of a reason


def named(datasets: Datasets, loop: str, word: str) -> DatasetVersion:
    """The version of `loop` that `word` stands for.

    "latest" (the head of main), a branch, a tag, an id or hash, or 8 characters of one; behind any of them "~" or "~2":
    its parent, or the parent of that. Raises NotFound, or InvalidInput where it stands for several.
    """
    name, *steps = re.split(r"(?=~)", word)
    found = datasets.head(loop, MAIN if name == LATEST else name) or datasets.get(name)
    if found is None or found.loop != loop:
        raise NotFound(f"no dataset version {name!r} in {loop}; everloop datasets {loop} lists them")
    for step in steps:
        if (back := _BACK.fullmatch(step)) is None:
            raise InvalidInput(f"{word!r}: behind a version comes ~ or ~2, not {step!r}")
        for _ in range(int(back[1] or 1)):
            parent = datasets.get(found.parent) if found.parent is not None else None
            if parent is None:
                raise NotFound(f"{word!r}: {found.id} is the first of its line, and has no parent")
            found = parent
    return found


def names(datasets: Datasets, loop: str) -> dict[str, list[Ref]]:
    """The branches and tags at each version, by its id; main first, then branches, then tags."""
    found: dict[str, list[Ref]] = {}
    for ref in sorted(datasets.refs(loop), key=lambda ref: (ref.id != MAIN, ref.kind, ref.id)):
        found.setdefault(ref.version, []).append(ref)
    return found


def check_name(name: str) -> str:
    """`name`, if a branch or tag can be called so; InvalidInput if it can't.

    >>> check_name("before-relabelling")
    'before-relabelling'
    >>> check_name("deadbeef")
    Traceback (most recent call last):
    everloop.errors.InvalidInput: a branch or tag can't be called 'deadbeef': it looks like an id or a hash
    """
    if not _NAME.fullmatch(name):
        raise InvalidInput(f"a branch or tag can't be called {name[:70]!r}: use letters, digits, '.', '_' and '-'")
    if name == LATEST:
        raise InvalidInput("a branch or tag can't be called 'latest': that is the head of main")
    if _LIKE_AN_ID.fullmatch(name):
        raise InvalidInput(f"a branch or tag can't be called {name!r}: it looks like an id or a hash")
    return name


def reason(why: str) -> str:
    """`why` as it is kept: one line of at most 500 characters; InvalidInput for more."""
    line = " ".join(why.split())
    if len(line) > _LONGEST:
        raise InvalidInput(f"why: at most {_LONGEST} characters, not {len(line):,}")
    return line


def branch(
    datasets: Datasets, loop: str, name: str, version: DatasetVersion, *, by: str, why: str = "", move: bool = False
) -> Ref:
    """Begin a branch at a version or, with `move`, put one there that is elsewhere; main moves by turns and merges."""
    ref = Ref(id=check_name(name), loop=loop, kind="branch", version=version.id, by=by, why=reason(why), at=now())
    if name == MAIN:
        raise Conflict("main is the line of the loop's turns: it moves by turns, edits and merges, not by hand")
    old = datasets.ref(loop, name)
    if old is not None and not move:
        raise Conflict(f"there is a {old.kind} {name!r} already, at {old.version}; --move puts a branch elsewhere")
    datasets.point(ref, old.version if old else None)
    return ref


def tag(datasets: Datasets, loop: str, name: str, version: DatasetVersion, *, by: str, why: str = "") -> Ref:
    """Give a version a name that stays; Conflict if the name is taken."""
    ref = Ref(id=check_name(name), loop=loop, kind="tag", version=version.id, by=by, why=reason(why), at=now())
    datasets.point(ref, None)
    return ref


def delete(datasets: Datasets, loop: str, kind: str, name: str) -> Ref:
    """Forget a branch or a tag; the versions stay, and are found by their ids."""
    ref = datasets.ref(loop, name)
    if ref is None or ref.kind != kind:
        raise NotFound(f"no {kind} {name!r} in {loop}")
    if name == MAIN:
        raise Conflict("main is the line of the loop's turns, and can't be deleted")
    datasets.unpoint(ref)
    return ref


__all__ = ["LATEST", "MAIN", "branch", "check_name", "delete", "named", "names", "reason", "tag"]

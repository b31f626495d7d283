"""Two lines of a dataset become one again: what both did since they parted, example by example. Pure.

A three-way merge: what one line alone changed is taken; where both changed the same example, and not alike, it is a
clash, which a preference settles or a person has to.
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from msgspec import Struct

from everloop.store.digests import example_digest
from everloop.types import Diff, Example, Input, Split

Prefer = Literal["ours", "theirs", "newest", "human"]


class Clash(Struct, frozen=True, kw_only=True):
    """An example that both lines changed, and not alike."""

    example: str
    input: Input
    base: str | None  # its label when they parted; None: it was not there
    ours: str | None  # None: taken out
    theirs: str | None
    ours_split: Split | None = None  # None: taken out
    theirs_split: Split | None = None
    took: Literal["ours", "theirs"] | None = None  # None: open
    by: Prefer | None = None  # the preference that settled it


class Author(NamedTuple):
    """Who made the last change of an example on one line."""

    human: bool  # a person did
    at: int  # ms since 1970


class Merged(NamedTuple):
    """What is to be done to our line so that it has theirs in it."""

    put: tuple[Example, ...]  # ordered by id
    remove: tuple[str, ...]
    clashes: tuple[Clash, ...]  # all there were, ordered by id; with one open nothing may be done

    @property
    def open(self) -> tuple[Clash, ...]:
        """Those that no preference settled."""
        return tuple(clash for clash in self.clashes if clash.took is None)


def join(
    ours: Diff, theirs: Diff, prefer: Sequence[Prefer] = (),
    authors: Callable[[str], tuple[Author, Author]] | None = None,
) -> Merged:  # fmt: skip
    """Put `theirs` on top of `ours`: both are differences from the version where the lines parted.

    `prefer` settles clashes, the first that can: "ours" and "theirs" always can; "human" where exactly one side's
    change is a person's; "newest" where one is later. `authors` tells of an example who changed it (ours, theirs); it
    is asked for clashes alone, and needed for "human" and "newest".

    Different labels, different splits, and a change on one side of what the other took out clash. The same label with
    another weight or other slices does not: a person's label goes first, then the one that weighs more, so that it
    makes no difference which of two lines is merged into the other.
    """
    mine, yours = _changes(ours), _changes(theirs)
    before = {e.id: e for e in (*ours.removed, *theirs.removed)}
    put: dict[str, Example] = {}
    remove: list[str] = []
    clashes: list[Clash] = []
    for id in sorted(yours):
        old, new = mine.get(id), yours[id]
        if id not in mine:
            take = True
        elif old is None and new is None:
            take = False
        elif old is not None and new is not None and _alike(old, new):
            take = _rank(new) > _rank(old)
        else:
            clash = _settled(_clash(id, before.get(id), old, new), prefer, authors)
            clashes.append(clash)
            take = clash.took == "theirs"
        if take and new is not None:
            put[id] = new
        elif take:
            remove.append(id)
    return Merged(tuple(put.values()), tuple(remove), tuple(clashes))


def _changes(diff: Diff) -> dict[str, Example | None]:
    return {**{e.id: None for e in diff.removed}, **{e.id: e for e in diff.added}}


def _alike(one: Example, other: Example) -> bool:
    return (one.target, one.split) == (other.target, other.split)


def _rank(example: Example) -> tuple[bool, int, float, bytes]:
    return example.origin == "human", -example.depth, example.weight, example_digest(example)


def _clash(id: str, base: Example | None, ours: Example | None, theirs: Example | None) -> Clash:
    shown = base or ours or theirs
    assert shown is not None
    return Clash(
        example=id, input=shown.input, base=base.target if base else None, ours=ours.target if ours else None,
        theirs=theirs.target if theirs else None, ours_split=ours.split if ours else None,
        theirs_split=theirs.split if theirs else None,
    )  # fmt: skip


def _settled(
    clash: Clash, prefer: Sequence[Prefer], authors: Callable[[str], tuple[Author, Author]] | None
) -> Clash:  # fmt: skip
    took: Literal["ours", "theirs"]
    for by in prefer:
        if by in {"ours", "theirs"}:
            took = "ours" if by == "ours" else "theirs"
        else:
            assert authors is not None, "human and newest have to know who changed what"
            mine, yours = authors(clash.example)
            known = (mine.human, yours.human) if by == "human" else (mine.at, yours.at)
            if known[0] == known[1]:
                continue
            took = "ours" if known[0] > known[1] else "theirs"
        return Clash(
            example=clash.example, input=clash.input, base=clash.base, ours=clash.ours, theirs=clash.theirs,
            ours_split=clash.ours_split, theirs_split=clash.theirs_split, took=took, by=by,
        )  # fmt: skip
    return clash


__all__ = ["Author", "Clash", "Merged", "Prefer", "join"]

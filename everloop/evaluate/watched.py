"""Watched slices: which rows are in them, and how they are written down."""

import hashlib
import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from everloop.errors import InvalidInput
from everloop.types import Example, Input, WatchedSlice

_AND = re.compile(r"(?:^|\s+)&(?=\s|$)")
_MOST_TERMS, _LONGEST = 8, 200


def parse(text: str) -> tuple[str, ...]:
    """The terms of "channel=web & lang=de", sorted; InvalidInput for what is none.

    >>> parse("lang=de & channel=web")
    ('channel=web', 'lang=de')
    """
    return checked(_AND.split(text.strip()))


def checked(terms: Sequence[str]) -> tuple[str, ...]:
    """The terms of a conjunction, sorted and once each; InvalidInput for what is none."""
    found = tuple(sorted({term.strip() for term in terms}))
    for term in found:
        name, sign, _ = term.partition("=")
        if not sign or not name:
            raise InvalidInput(f'slice {term[:80]!r}: write it as name=value, several as "channel=web & lang=de"')
        if len(term) > _LONGEST:
            raise InvalidInput(f"a term of a slice has at most {_LONGEST} characters, not {len(term)}")
    if not 1 <= len(found) <= _MOST_TERMS:
        raise InvalidInput(f"a watched slice has 1 to {_MOST_TERMS} terms, not {len(found)}")
    return found


def named(name: str, terms: Sequence[str]) -> str:
    """The name somebody gave, or the terms; InvalidInput for one that would pass for another slice."""
    said = " & ".join(terms)
    given = " ".join(name.split()) or said
    if len(given) > _LONGEST and given != said:
        raise InvalidInput(f"a slice's name has at most {_LONGEST} characters, not {len(given)}")
    if "=" in given and given != said:
        raise InvalidInput(f"the name {given[:80]!r} looks like terms; leave out the '='")
    return given


def id_of(loop: str, terms: Sequence[str], centroid: Sequence[float] = (), radius: float = 0.0, space: str = "") -> str:
    """The id of a slice, by what it is: 12 hex digits."""
    body = msgspec.json.encode([loop, sorted(terms), list(centroid), radius, space])
    return hashlib.sha256(body).hexdigest()[:12]


def space_of(inputs: Sequence[Input]) -> str:
    """Which space the vectors of such inputs are in: "text.256", or "numbers.64" for lists of 64 numbers."""
    first = inputs[0] if inputs else ""
    return f"numbers.{len(first)}" if isinstance(first, list) else "text.256"


def members(
    slices: Sequence[WatchedSlice],
    terms: Sequence[Sequence[str]],
    space: str,
    vectors: Callable[[], ArrayLike],
) -> list[NDArray[np.bool_]]:
    """For each slice, which of n rows are in it: `terms` are each row's, `vectors` is asked only where a cluster of
    that `space` is among them."""
    matrix: Any = None
    found = []
    for one in slices:
        if one.terms:
            wanted = frozenset(one.terms)
            found.append(np.array([wanted.issubset(row) for row in terms], dtype=bool))
            continue
        inside = np.zeros(len(terms), dtype=bool)
        if one.centroid and one.space == space and len(terms):
            matrix = np.asarray(vectors(), dtype=np.float64) if matrix is None else matrix
            if matrix.shape[1] == len(one.centroid):
                inside = np.linalg.norm(matrix - np.array(one.centroid), axis=1) <= one.radius
        found.append(inside)
    return found


def terms_of(example: Example) -> tuple[str, ...]:
    """What can be watched of an example: its metadata, and its right answer as "label=…"."""
    return (*example.slices, f"label={example.target}")


def with_watched(
    slices: Sequence[WatchedSlice], examples: Sequence[Example], vectors: Callable[[], ArrayLike]
) -> list[tuple[str, ...]]:
    """The examples' slices, and beside them the names of the watched ones each is in."""
    found = [list(one.slices) for one in examples]
    space = space_of([one.input for one in examples])
    inside = members(slices, [terms_of(one) for one in examples], space, vectors)
    for one, rows in zip(slices, inside, strict=True):
        for i in np.flatnonzero(rows):
            if one.name not in found[i]:
                found[i].append(one.name)
    return [tuple(names) for names in found]

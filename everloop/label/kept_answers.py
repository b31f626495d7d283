"""Answers that were paid for: which rows have one, and where they may count.

A bound is certified on rows people labelled and holds for rows that are judged in the same way. So a source's word
counts for as large a share of the one kind as of the other, in each stretch of what the loop's own model is sure of.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from everloop.label.paid import Terms, key_of
from everloop.store import Records
from everloop.types import Evidence, SourceAnswer, Spec

_STRETCHES = 20  # of certainty, each with as many rows


class Kept(NamedTuple):
    """What a paid source has said of n rows."""

    answers: NDArray[np.int64]  # (n,) places in the classes; -1: none of them, or none yet
    confidence: NDArray[np.float64]  # (n,)
    answered: NDArray[np.bool_]  # (n,) asking again would tell nothing new

    def part(self, some: slice) -> "Kept":
        """Of some of the rows."""
        return Kept(self.answers[some], self.confidence[some], self.answered[some])


def source_key(spec: Spec, terms: Terms) -> str:
    """What answers are kept under: equal where the same would be answered.

    >>> one, other = Terms({"model": "m"}, most=5), Terms({"model": "m"}, max_cost=1.0)
    >>> source_key(Spec(name="x.v1"), one) == source_key(Spec(name="x.v1", args={"most": 2}), other)
    True
    """
    return key_of(spec.name, terms.decides)


def answer_id(loop: str, source: str, row: Evidence) -> str:
    """The id of a source's answer to a row."""
    return f"{loop}:{source}:{row.id}"


def classes_key(offered: Sequence[str]) -> str:
    """Equal for the same classes in any order."""
    return key_of(sorted(offered))


def kept(
    records: Records, loop: str, source: str, rows: Sequence[Evidence], classes: Sequence[str], offered: Sequence[str]
) -> Kept:  # fmt: skip
    """The answers of a source that are kept for `rows`. `offered` are the classes it would choose among now; of these,
    `classes` are those that count.

    One that names a class that is no longer offered is none, and so is "none of them" among other classes.
    """
    place = {name: i for i, name in enumerate(classes)}
    among, now = classes_key(offered), set(offered)
    at = {answer_id(loop, source, row): i for i, row in enumerate(rows)}
    found = Kept(np.full(len(rows), -1, np.int64), np.zeros(len(rows)), np.zeros(len(rows), bool))
    for one in records.find(SourceAnswer, loop, id=list(at)) if at else ():
        i = at[one.id]
        if one.label in now if one.label is not None else one.classes == among:
            found.answered[i] = True
            found.answers[i] = place.get(one.label, -1) if one.label is not None else -1
            found.confidence[i] = one.confidence if found.answers[i] >= 0 else 0.0
    return found


def on_equal_terms(
    certainty: NDArray[np.float64], there: NDArray[np.bool_], measures: NDArray[np.bool_], ids: Sequence[str]
) -> NDArray[np.bool_]:
    """(n,) which of the rows that are `there` count, so that among rows alike in `certainty` they are as large a share
    of those that measure as of the others. `ids` are hashes: by them it is decided which.

    >>> there = np.array([True, True, False, True, True, True])
    >>> on_equal_terms(np.zeros(6), there, np.arange(6) < 3, list("abcdef")).tolist()
    [True, True, False, True, True, False]
    """
    counts = there.copy()
    n = len(certainty)
    if not n:
        return counts
    order = np.lexsort((np.array(ids), certainty))
    stretches = max(1, min(_STRETCHES, int(measures.sum()) // 10))
    for stretch in np.array_split(order, stretches):
        sides = [stretch[measures[stretch]], stretch[~measures[stretch]]]
        if not all(len(side) for side in sides):
            continue
        share = min(float(there[side].mean()) for side in sides)
        for side in sides:
            have = sorted(side[there[side]].tolist(), key=lambda i: ids[i])
            counts[have[round(share * len(side)) :]] = False
    return counts


__all__ = ["Kept", "answer_id", "classes_key", "kept", "on_equal_terms", "source_key"]

"""What is said against a label, for the person who decides: beside it, in one line, with the rows that say so."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from everloop.errors import InvalidInput
from everloop.features.neighbours import Neighbours


class Argument(NamedTuple):
    """Of one suspect. It proposes; the label stays until a person says otherwise."""

    row: int
    given: int  # class of the label it has
    given_probability: float  # of that class, by a model that has not seen the row
    proposed: int  # the most probable other class
    proposed_probability: float
    supporting: tuple[int, ...]  # nearest labelled rows that have the proposed label, nearest first
    opposing: tuple[int, ...]  # those that have the given one
    sentence: str  # plain text, in which the labels are as they are: a page escapes it


def argument(
    rows: NDArray[np.int64],
    labels: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    names: Sequence[str],
    *,
    proposed: NDArray[np.int64] | None = None,
    near: Neighbours | None = None,
    doubted: NDArray[np.bool_] | None = None,
) -> list[Argument]:
    """The argument for each of `rows` (r,), in their order.

    `labels` (n,), out-of-fold `probabilities` (n, k), `names` of the k classes; `proposed` (n,) classes, else the most
    probable ones that were not given; `near` the neighbours of these rows (r, m), of which those `doubted` (n,)
    themselves are no witnesses. Raises InvalidInput for shapes that don't match, or a row that is none.

    >>> found = argument(np.array([0]), np.array([1, 0, 0]), np.array([[0.9, 0.1], [1, 0], [1, 0]]), ["lost", "late"],
    ...                  near=Neighbours(np.array([[2, 1]]), np.array([[0.9, 0.8]], np.float32)))
    >>> found[0].sentence
    'Labelled “late” (10 %), but the model says “lost” (90 %), as are both of its nearest neighbours.'
    >>> found[0].supporting
    (2, 1)
    """
    n, k = probabilities.shape
    rows = np.asarray(rows, np.int64)
    if len(labels) != n or len(names) != k:
        raise InvalidInput(f"probabilities {n} by {k} need {n} labels and {k} names, not {len(labels)}, {len(names)}")
    if rows.size and (rows.min() < 0 or rows.max() >= n):
        raise InvalidInput(f"rows must lie between 0 and {n - 1}")
    if near is not None and len(near.rows) != len(rows):
        raise InvalidInput(f"{len(rows)} rows need the neighbours of each, not of {len(near.rows)}")
    other = probabilities[rows].copy()
    other[np.arange(len(rows)), labels[rows]] = -1.0
    better = other.argmax(axis=1) if proposed is None else np.asarray(proposed, np.int64)[rows]
    result = []
    for i, (row, target) in enumerate(zip(rows.tolist(), better.tolist(), strict=True)):
        around = near.rows[i] if near is not None else np.zeros(0, np.int64)
        if doubted is not None:
            around = around[~doubted[around]]
        given = int(labels[row])
        for_it = tuple(around[labels[around] == target].tolist())
        sure, doubt = float(probabilities[row, target]), float(probabilities[row, given])
        against = tuple(around[labels[around] == given].tolist())
        said = sentence(names[given], doubt, names[target], sure, len(for_it), len(around))
        result.append(Argument(row, given, doubt, target, sure, for_it, against, said))
    return result


def sentence(given: str, doubt: float, proposed: str, sure: float, support: int, n: int) -> str:
    """The argument in words: two labels with their probabilities, and how many of `n` neighbours support the second.

    >>> sentence("late", 0.1, "lost", 0.9, 3, 5)
    'Labelled “late” (10 %), but the model says “lost” (90 %), as are 3 of its 5 nearest neighbours.'
    """
    verb = "but" if sure > doubt else "where"
    return (
        f"Labelled “{given}” ({_percent(doubt)}), {verb} the model says “{proposed}” "
        f"({_percent(sure)}){_witnesses(support, n)}."
    )


def _percent(share: float) -> str:
    """As a person reads it: nothing is certain.

    >>> _percent(0.0004), _percent(0.256), _percent(0.9996)
    ('under 1 %', '26 %', 'over 99 %')
    """
    whole = round(share * 100)
    return "under 1 %" if whole < 1 else "over 99 %" if whole > 99 else f"{whole} %"


def _witnesses(support: int, n: int) -> str:
    if not n:
        return ""
    if support == n:
        whose = {1: "is its nearest neighbour", 2: "are both of its nearest neighbours"}
        return f", as {whose.get(n, f'are all {n} of its nearest neighbours')}"
    if not support:
        return f", but none of its {n} nearest neighbours is" if n > 1 else ", but its nearest neighbour is not"
    return f", as {'is' if support == 1 else 'are'} {support} of its {n} nearest neighbours"

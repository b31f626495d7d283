"""Semantic duplicates: inputs that mean the same, by the cosine of their vectors, at a threshold learned per loop.

There is no cosine that fits every loop: what is a paraphrase among open questions is another intent among short ones.
So the threshold is found on the loop's own labelled rows, or not at all: then nothing is dropped for its meaning.
A row is dropped for a row that is kept and that it resembles itself; there are no chains, which drift in meaning.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from everloop.stats.estimate import Estimate
from everloop.stats.intervals import exact

ALGORITHM = "cosine.v1"
GRID = tuple(round(0.99 - 0.01 * step, 2) for step in range(30))  # 0.99 down to 0.70
_ROWS = 2_048  # rows compared at a time, with so many kept ones: a block of cosines takes 34 MB
_KEPT = 4_096
_STARTS = (2, 4)  # early, for a loop with few rows; later, where one mistake more or less does not decide
_ROUNDING = 1e-6  # of a cosine in single precision, so that equal rows are equal

Vectors = NDArray[np.float32] | NDArray[np.float64]


class Tried(NamedTuple):
    """A threshold and what it did to the labelled rows."""

    threshold: float
    dropped: int  # rows
    different: int  # of them, those with another label than the row they were dropped for
    kept_for: int  # rows they were dropped for
    misled: int  # of those, the ones that a row with another label was dropped for


class Calibration(NamedTuple):
    """The lowest threshold that may be used, or none, and what it was judged by."""

    threshold: float | None  # None: no threshold keeps the promise on these rows, so semantic duplicates stay
    different: Estimate | None  # share of the rows it drops that differ; `high` is the one-sided bound
    needed: int  # rows dropped without a mistake that it takes to certify anything
    tried: tuple[Tried, ...]  # from the highest threshold down


def groups(vectors: Vectors, threshold: float) -> NDArray[np.int64]:
    """(n,) for each row itself where it is kept, else the kept row before it that is most like it.

    Rows are taken in their order; one is kept unless its cosine with a row kept before is at least `threshold`. All
    are compared, in blocks: memory stays at two to three times that of the vectors, time grows with rows times rows
    kept. A row of zeros has no direction and is nobody's duplicate. Raises ValueError unless 0 < threshold <= 1 and
    the (n, d) vectors are finite.

    Source: greedy leader clustering (Hartigan 1975, "Clustering Algorithms", ch. 3), without a limit on leaders.

    >>> groups(np.array([[1.0, 0.0], [0.99, 0.01], [0.0, 1.0]]), 0.95).tolist()
    [0, 0, 2]
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"a cosine to drop from lies above 0 and at most at 1, not at {threshold}")
    return _greedy(_unit(vectors), threshold)


def calibrate(
    vectors: Vectors, labels: NDArray[Any], max_different: float = 0.02, level: float = 0.95,
    grid: tuple[float, ...] = GRID,
) -> Calibration:  # fmt: skip
    """The lowest cosine at which at most `max_different` of the rows that `groups` drops differ from the row kept.

    `vectors` (n, d) and `labels` (n,) of rows that people labelled; two rows differ where their labels do. From the
    highest threshold of `grid` down, the exact upper bound (Clopper-Pearson, one-sided) of the share has to be at most
    `max_different`, counted in rows dropped and counted in rows they were dropped for, since those dropped for one row
    are no independent trials. The first threshold that does not pass ends the search (fixed-sequence testing). There
    are two searches at half the error each: one begins where rows were dropped for twice the fewest rows that can
    certify anything, one where for four times, which no label decides; so the bound holds at `level` for what is
    returned. It assumes labels that are right and rows like those to come.

    Raises ValueError for shapes that do not fit, or shares that do not lie between 0 and 1.
    """
    rows = _unit(vectors)
    if labels.shape != (len(rows),):
        raise ValueError(f"{len(rows)} vectors need as many labels, not an array of shape {labels.shape}")
    if not (0 < max_different < 1 and 0.5 < level < 1):
        raise ValueError("the share that may differ lies between 0 and 1, the level between 0.5 and 1")
    each = 1 - (1 - level) / len(_STARTS)
    needed = int(np.ceil(np.log(1 - each) / np.log1p(-max_different)))
    tried: list[Tried] = []
    threshold, share = None, None
    running = set(_STARTS)
    for step in sorted(set(grid), reverse=True):
        one = _try(rows, labels, step)
        tried.append(one)
        by_row = _bound(one.different, one.dropped, each)
        held = max(by_row.high, _bound(one.misled, one.kept_for, each).high) <= max_different
        begun = {start for start in running if one.kept_for >= start * needed}
        if begun and held:
            threshold, share = step, by_row
        elif begun:
            running -= begun
            if not running:
                break
    return Calibration(threshold, share, needed, tuple(tried))


def differing(vectors: Vectors, labels: NDArray[Any], threshold: float) -> Tried:
    """What `threshold` would do to labelled rows: how many `groups` drops, and how many of those differ."""
    return _try(_unit(vectors), labels, threshold)


def _try(rows: NDArray[np.float32], labels: NDArray[Any], threshold: float) -> Tried:
    kept = _greedy(rows, threshold)
    dropped = np.flatnonzero(kept != np.arange(len(rows)))
    wrong = dropped[labels[dropped] != labels[kept[dropped]]]
    return Tried(threshold, len(dropped), len(wrong), len(np.unique(kept[dropped])), len(np.unique(kept[wrong])))


def _bound(mistakes: int, n: int, level: float) -> Estimate:
    if not n:
        return Estimate(0.0, 0.0, 1.0, 0)
    return exact(mistakes, n, 2 * level - 1)  # both ends of it are one-sided bounds at `level`


def _unit(vectors: Vectors) -> NDArray[np.float32]:
    rows = np.asarray(vectors, np.float32)
    if rows.ndim != 2 or not np.isfinite(rows).all():
        raise ValueError(f"vectors are finite numbers of shape (n, d), not {rows.shape} or with gaps")
    length = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    return (rows / np.where(length > 0, length, 1)).astype(np.float32)


def _greedy(rows: NDArray[np.float32], threshold: float) -> NDArray[np.int64]:
    least = np.float32(threshold - _ROUNDING)
    of = np.arange(len(rows))
    leaders = np.empty_like(rows)  # filled from the front
    names = np.empty(len(rows), np.int64)
    n = 0
    for begin in range(0, len(rows), _ROWS):
        block = rows[begin : begin + _ROWS]
        best, at = np.full(len(block), -2, np.float32), np.zeros(len(block), np.int64)
        for first in range(0, n, _KEPT):
            cosine = block @ leaders[first : min(n, first + _KEPT)].T
            where = cosine.argmax(axis=1)
            value = cosine[np.arange(len(block)), where]
            better = value > best
            best[better], at[better] = value[better], first + where[better]
        like = best >= least
        of[begin + np.flatnonzero(like)] = names[at[like]]
        rest = np.flatnonzero(~like)
        fresh = _among(block[rest], least)
        of[begin + rest] = begin + rest[fresh]
        new = rest[fresh == np.arange(len(rest))]
        leaders[n : n + len(new)], names[n : n + len(new)] = block[new], begin + new
        n += len(new)
    return of


def _among(rows: NDArray[np.float32], least: np.float32) -> NDArray[np.int64]:
    """The same within a block, where none of the rows is like one kept before."""
    cosine = np.tril(rows @ rows.T, -1)
    kept = np.ones(len(rows), bool)
    of = np.arange(len(rows))
    for row in np.flatnonzero((cosine >= least).any(axis=1)).tolist():
        value = np.where(kept[:row], cosine[row, :row], -2)
        if value.max() >= least:
            of[row], kept[row] = int(value.argmax()), False
    return of

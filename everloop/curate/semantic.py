"""Semantic duplicates: inputs that mean the same, by the cosine of their vectors, at a threshold learned per loop.

There is no cosine that fits every loop: what is a paraphrase among open questions is another intent among short ones.
So the threshold is found on the loop's own labelled rows, or not at all: then nothing is dropped for its meaning.
A row is dropped for a row that is kept and that it resembles itself; there are no chains, which drift in meaning.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from everloop.curate.cosines import AT_ONCE, BESIDE, alike, near, sieved
from everloop.stats.estimate import Estimate
from everloop.stats.intervals import exact

ALGORITHM = "cosine.v1"
GRID = tuple(round(0.99 - 0.01 * step, 2) for step in range(30))  # 0.99 down to 0.70
_STARTS = (2, 4)  # early, for a loop with few rows; later, where one mistake more or less does not decide
_ROUNDING = 1e-6  # of a cosine in single precision, so that equal rows are equal
_STRIDE = 0.08  # how far below the threshold that is tried pairs are looked for, so that few passes see all of them
_PAIRS = 10_000_000  # alike, of labelled rows: where there are more, no lower threshold is tried. 160 MB
_FARTHEST = 1_000_000  # labelled rows; whoever would need more is told that no number will do

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
    n: int = 0  # labelled rows
    more: int | None = None  # labelled rows that would probably certify something; None: it is, or none would


class Repeats(NamedTuple):
    """Which rows say the same as one before them."""

    of: NDArray[np.int64]  # (n,) the place of the kept row, the known ones first; its own where it is kept
    cosine: NDArray[np.float32]  # (n,) of the two; 1 where it is kept


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


def repeats(
    known: Vectors, new: Vectors, threshold: float, staying: NDArray[np.bool_] | None = None
) -> Repeats:  # fmt: skip
    """For each of `new` (n, d) the row it repeats: one of `known` (m, d), which are all kept, or of those before it.

    As `groups` takes rows, but that `known` are kept whatever they are like, and so are those of `new` that are
    `staying` (n,). Raises ValueError as `groups` does, and for shapes that do not fit.

    >>> repeats(np.array([[1.0, 0.0]]), np.array([[0.0, 1.0], [0.99, 0.01], [0.01, 0.99]]), 0.95).of.tolist()
    [1, 0, 1]
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"a cosine to drop from lies above 0 and at most at 1, not at {threshold}")
    first, rows = _unit(known), _unit(new)
    if len(first) and len(rows) and first.shape[1] != rows.shape[1]:
        raise ValueError(f"vectors of {first.shape[1]} and of {rows.shape[1]} numbers can't be compared")
    if staying is not None and staying.shape != (len(rows),):
        raise ValueError(f"{len(rows)} rows stay or not, not an array of shape {staying.shape}")
    of = _greedy(rows, threshold, first if len(first) else None, staying)
    cosine = np.ones(len(rows), np.float32)
    gone = np.flatnonzero(of != np.arange(len(rows)) + len(first))
    twins = np.empty((len(gone), rows.shape[1]), np.float32)
    old = of[gone] < len(first)
    twins[old], twins[~old] = first[of[gone][old]], rows[of[gone][~old] - len(first)]
    cosine[gone] = np.einsum("ij,ij->i", rows[gone], twins)
    return Repeats(of, cosine)


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
    for one in _tries(rows, labels, sorted(set(grid), reverse=True)):
        tried.append(one)
        by_row = _bound(one.different, one.dropped, each)
        held = max(by_row.high, _bound(one.misled, one.kept_for, each).high) <= max_different
        begun = {start for start in running if one.kept_for >= start * needed}
        if begun and held:
            threshold, share = one.threshold, by_row
        elif begun:
            running -= begun
            if not running:
                break
    more = None
    if threshold is None:
        more = min((n for one in tried if (n := _enough(one, len(rows), needed, max_different, each))), default=None)
    return Calibration(threshold, share, needed, tuple(tried), len(rows), more)


def differing(vectors: Vectors, labels: NDArray[Any], threshold: float) -> Tried:
    """What `threshold` would do to labelled rows: how many `groups` drops, and how many of those differ."""
    return _try(_unit(vectors), labels, threshold)


def _try(rows: NDArray[np.float32], labels: NDArray[Any], threshold: float) -> Tried:
    return _tried(_greedy(rows, threshold), labels, threshold)


def _tried(kept: NDArray[np.int64], labels: NDArray[Any], threshold: float) -> Tried:
    dropped = np.flatnonzero(kept != np.arange(len(kept)))
    wrong = dropped[labels[dropped] != labels[kept[dropped]]]
    return Tried(threshold, len(dropped), len(wrong), len(np.unique(kept[dropped])), len(np.unique(kept[wrong])))


def _tries(rows: NDArray[np.float32], labels: NDArray[Any], grid: list[float]) -> Iterator[Tried]:
    """What each threshold would do, from the highest down. All pairs are compared once for several thresholds."""
    floor, pairs, compared = 2.0, None, sieved(rows)
    for threshold in grid:
        if threshold < floor or pairs is None:
            floor = max(grid[-1], round(threshold - _STRIDE, 4))
            pairs = alike(compared, floor - _ROUNDING, _PAIRS)
            if pairs is None:
                return
        earlier, later, cosine = pairs
        enough = cosine >= np.float32(threshold - _ROUNDING)
        yield _tried(_leaders(len(rows), earlier[enough], later[enough], cosine[enough]), labels, threshold)


def _leaders(
    n: int, earlier: NDArray[np.int64], later: NDArray[np.int64], cosine: NDArray[np.float32]
) -> NDArray[np.int64]:  # fmt: skip
    """`_greedy` on pairs that are known."""
    of = np.arange(n)
    kept = np.ones(n, bool)
    rows, starts = np.unique(later, return_index=True)
    ends = np.append(starts, len(later))[1:]
    for row, start, end in zip(rows.tolist(), starts.tolist(), ends.tolist(), strict=True):
        twins = earlier[start:end]
        value = np.where(kept[twins], cosine[start:end], -2)
        best = int(value.argmax())
        if value[best] > -2:
            of[row], kept[row] = twins[best], False
    return of


def _enough(one: Tried, n: int, needed: int, most: float, level: float) -> int | None:
    """Labelled rows with which a threshold that did so well on `n` would be certified; None: not within reason."""
    if not one.kept_for or not one.dropped:
        return None
    wrong = max(one.different / one.dropped, one.misled / one.kept_for)
    groups = _STARTS[0] * needed
    while groups * n <= _FARTHEST * one.kept_for:
        if _bound(round(wrong * groups), groups, level).high <= most:
            return int(np.ceil(n * max(groups, one.kept_for) / one.kept_for))
        groups = int(np.ceil(groups * 1.1))
    return None


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


def _greedy(
    rows: NDArray[np.float32], threshold: float, known: NDArray[np.float32] | None = None,
    staying: NDArray[np.bool_] | None = None,
) -> NDArray[np.int64]:  # fmt: skip
    least = threshold - _ROUNDING
    places = n = 0 if known is None else len(known)  # the place of the first of `rows`, and how many are kept
    every = sieved(rows if known is None else np.concatenate([known, rows]))
    of = np.arange(places, places + len(rows))
    kept = np.empty(places + len(rows), np.int64)  # filled from the front
    kept[:n] = np.arange(n)
    for begin in range(places, places + len(rows), AT_ONCE):
        block = every.part(slice(begin, begin + AT_ONCE))
        size = len(block.whole)
        best, at = np.full(size, -2, np.float32), np.zeros(size, np.int64)
        for first in range(0, n, BESIDE):
            some = kept[first : min(n, first + BESIDE)]
            _better(best, at, some, *near(block, every.part(some), least))
        said = best > -2
        if staying is not None:
            said &= ~staying[begin - places : begin - places + AT_ONCE]
        rest, again = np.flatnonzero(~said), np.flatnonzero(said)
        fresh = _among(
            block.whole[rest], np.float32(least), None if staying is None else staying[begin - places + rest]
        )
        of[begin - places + rest] = begin + rest[fresh]
        new = rest[fresh == np.arange(len(rest))]
        if len(new) and len(again):  # one of their own block may be nearer still
            row, to, cosine = near(block.part(again), block.part(new), least)
            before = new[to] < again[row]
            _better(best, at, begin + new, again[row][before], to[before], cosine[before])
        of[begin - places + again] = at[again]
        kept[n : n + len(new)] = begin + new
        n += len(new)
    return of


def _better(
    best: NDArray[np.float32], at: NDArray[np.int64], names: NDArray[np.int64],
    rows: NDArray[np.int64], to: NDArray[np.int64], cosine: NDArray[np.float32],
) -> None:  # fmt: skip
    """Take over what is nearer than the best so far; of equals the first."""
    order = np.lexsort((to, -cosine, rows))
    first, where = np.unique(rows[order], return_index=True)
    nearest = order[where]
    more = cosine[nearest] > best[first]
    best[first[more]], at[first[more]] = cosine[nearest[more]], names[to[nearest[more]]]


def _among(
    rows: NDArray[np.float32], least: np.float32, staying: NDArray[np.bool_] | None = None
) -> NDArray[np.int64]:  # fmt: skip
    """The same within a block, where none of the rows is like one kept before."""
    cosine = np.tril(rows @ rows.T, -1)
    kept = np.ones(len(rows), bool)
    of = np.arange(len(rows))
    like = (cosine >= least).any(axis=1)
    if staying is not None:
        like &= ~staying
    for row in np.flatnonzero(like).tolist():
        value = np.where(kept[:row], cosine[row, :row], -2)
        if value.max() >= least:
            of[row], kept[row] = int(value.argmax()), False
    return of

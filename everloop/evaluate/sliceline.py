"""The worst conjunctions of metadata, exactly: SliceLine's level-wise search with bounds that lose nothing.

Source: Sagadeeva and Boehm 2021, "SliceLine: Fast, Linear-Algebra-based Slice Finding for ML Model Debugging", SIGMOD.
The score, its bounds and the growth level by level are the paper's. Different here: equal rows are counted once, a
slice grows from its prefix alone so that one sparse product measures all its extensions, and the most promising
prefixes come first, so that the bar to pass rises early.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_PAIRS = 1_000_000  # candidates formed at once
_ENTRIES = 8_000_000  # entries of a sparse matrix held at once
_CELLS = 4_000_000  # cells of its product
_ROUNDING = 1e-9  # a score so small is 0


class Slice(NamedTuple):
    """Rows that have all of some values."""

    predicates: tuple[tuple[int, int], ...]  # (column, code), ascending by column
    size: int  # rows
    error: float  # their mean error
    score: float  # above 0: worse than all rows together, by more than its smallness excuses


class _Scale(NamedTuple):
    """What scores are measured by."""

    rows: int
    mean: float  # error of a row
    alpha: float
    support: int

    def score(self, size: Floats, error: Floats) -> Floats:
        """Of slices with these sizes and sums of errors."""
        worse = error / (size * self.mean) - 1
        return np.asarray(self.alpha * worse - (1 - self.alpha) * (self.rows / size - 1))

    def bound(self, size: Floats, error: Floats, most: Floats) -> Floats:
        """What no slice within one of that size, sum of errors and largest error can exceed."""
        # The mean error of s rows is at most min(error / s, most): the score rises up to where the two meet, and is
        # monotone from there on. So its maximum is there or at an end.
        meet = np.clip(error / most, self.support, np.maximum(size, self.support))
        ends = (np.full_like(size, self.support), meet, np.maximum(size, self.support))
        return np.asarray(np.max([self.score(s, np.minimum(error, s * most)) for s in ends], axis=0))

    def hopeful(self, level: "_Level", bar: float) -> NDArray[np.bool_]:
        """Which slices may be, or may hold, one that scores above `bar`."""
        good = (level.size >= self.support) & (level.error > 0)
        good[good] = self.bound(level.size[good], level.error[good], level.most[good]) > bar
        return good


class _Best:
    """The k best slices so far."""

    def __init__(self, k: int):
        self.k = k
        self.found: list[Slice] = []

    @property
    def bar(self) -> float:
        """What a slice must exceed to be of interest."""
        return self.found[-1].score if len(self.found) == self.k else _ROUNDING

    def offer(self, level: "_Level", scale: _Scale, names: list[tuple[int, int]]) -> None:
        score = scale.score(np.maximum(level.size, 1), level.error)
        good = np.flatnonzero((level.size >= scale.support) & (score > self.bar))
        for i in good[np.argsort(-score[good], kind="stable")][: self.k]:
            size = int(level.size[i])
            predicates = tuple(names[b] for b in level.members[i])
            self.found.append(Slice(predicates, size, float(level.error[i]) / size, float(score[i])))
        self.found = sorted(self.found, key=lambda s: (-s.score, s.predicates))[: self.k]


class _Level(NamedTuple):
    """Slices of as many predicates, in lexicographic order."""

    members: Ints  # (slices, predicates) numbers of basic slices, ascending
    size: Floats
    error: Floats  # sum
    most: Floats  # no row's error is larger

    def only(self, at: NDArray[np.bool_] | Ints) -> "_Level":
        return _Level(self.members[at], self.size[at], self.error[at], self.most[at])


class _Rows(NamedTuple):
    """The distinct rows."""

    one_hot: "csr_matrix"  # (rows, basic slices), complex
    turned: "csr_matrix"  # (basic slices, rows), real
    weight: NDArray[np.complex128]  # how often each occurs, and i times the sum of its errors


def top(
    codes: ArrayLike,
    errors: ArrayLike,
    *,
    k: int = 4,
    alpha: float = 0.95,
    support: int | None = None,
    max_level: int | None = None,
) -> list[Slice]:
    """The k slices with the highest score above 0, best first: no slice of enough rows has been passed over.

    `codes` (n, columns) holds a number from 0 for each value of a categorical column, -1 where there is none; `errors`
    (n,) are at least 0. The score is ``alpha * (mean error / mean error of all - 1) - (1 - alpha) * (n / size - 1)``:
    the smaller `alpha`, the larger slices must be. `support` is the least size (default: a hundredth of the rows, at
    least 32), `max_level` the most predicates (default: all columns). Of slices that score alike any may be given.

    Raises ValueError for shapes that don't fit, an error below 0 or not finite, or a parameter out of its range.

    >>> codes = [[0, 0], [0, 1], [1, 0], [1, 1]] * 20
    >>> errors = [0, 0, 0, 1] * 20
    >>> [worst] = top(codes, errors, k=1, support=10)
    >>> worst.predicates, worst.size, worst.error, round(worst.score, 6)
    (((0, 1), (1, 1)), 20, 1.0, 2.7)
    """
    table, error = _checked(codes, errors, k, alpha)
    n, total = error.size, float(error.sum())
    if not n or not total or not table.shape[1]:
        return []
    scale = _Scale(n, total / n, alpha, max(1, support if support is not None else max(32, n // 100)))
    basic, names, first = _basic(table, error)
    best = _Best(k)
    best.offer(basic, scale, names)
    keep = np.flatnonzero(scale.hopeful(basic, best.bar))
    names = [names[i] for i in keep]
    level = basic.only(keep)._replace(members=np.arange(keep.size)[:, None])
    rows = _distinct(table, error, keep, first)
    search = _Search(rows, scale, best, names, [np.arange(keep.size, dtype=np.int64)])
    while level.size.size > 1 and level.members.shape[1] < (max_level or table.shape[1]):
        level = search.grown(level)
    return best.found


class _Search:
    """The search from level to level."""

    def __init__(self, rows: _Rows, scale: _Scale, best: _Best, names: list[tuple[int, int]], index: list[Ints]):
        self.rows = rows
        self.scale = scale
        self.best = best
        self.names = names
        self.column = np.array([column for column, _ in names], dtype=np.int64)
        self.index = index  # of each level: number of the prefix times basic slices, plus the last one; ascending
        self.reach = np.diff(rows.turned.indptr)  # distinct rows of each basic slice

    def grown(self, level: _Level) -> _Level:
        """The slices with one predicate more that may still hold, or lead to, one of the best."""
        parts = list(self._candidates(level))
        if not parts:
            return level.only(np.zeros(0, np.int64))
        parent = np.concatenate([p for p, _ in parts])
        there = _Level(*(np.concatenate(columns) for columns in zip(*(level for _, level in parts), strict=True)))
        bound = self.scale.bound(there.size, there.error, there.most)
        found = self._measured(level, parent, there, bound)
        found = found.only(self.scale.hopeful(found, self.best.bar))
        width = len(self.names)
        key = self._number(found.members[:, :-1]) * width + found.members[:, -1]
        order = np.argsort(key, kind="stable")
        self.index.append(key[order])
        return found.only(order)

    def _candidates(self, level: _Level) -> Iterator[tuple[Ints, _Level]]:
        """(number of the prefix, slices with bounds for sizes and errors) of pairs that differ in the last predicate.

        One whose every part of one predicate less is still in the race, and whose bounds give it a chance.
        """
        members, count = level.members, level.size.size
        new = np.ones(count, bool)
        new[1:] = (members[1:, :-1] != members[:-1, :-1]).any(axis=1)
        starts = np.flatnonzero(new)
        end = np.repeat(np.append(starts[1:], count), np.diff(np.append(starts, count)))
        partners = end - np.arange(count) - 1
        for block in _blocks(partners, _PAIRS):
            many = partners[block]
            left = np.repeat(np.arange(count)[block], many)
            right = left + 1 + np.arange(left.size) - np.repeat(np.cumsum(many) - many, many)
            apart = self.column[members[left, -1]] != self.column[members[right, -1]]
            left, right = left[apart], right[apart]
            whole = np.column_stack((members[left], members[right, -1]))
            size = np.minimum(level.size[left], level.size[right])
            error = np.minimum(level.error[left], level.error[right])
            most = np.minimum(level.most[left], level.most[right])
            for gone in range(members.shape[1] - 1):
                part = self._number(np.delete(whole, gone, axis=1))
                there = part >= 0
                left, whole, part = left[there], whole[there], part[there]
                size = np.minimum(size[there], level.size[part])
                error = np.minimum(error[there], level.error[part])
                most = np.minimum(most[there], level.most[part])
            found = _Level(whole, size, error, most)
            good = self.scale.hopeful(found, self.best.bar)
            if good.any():
                yield left[good], found.only(good)

    def _measured(self, level: _Level, parent: Ints, there: _Level, bound: Floats) -> _Level:
        """The candidates with their sizes and errors; those the best ones found meanwhile rule out are left out."""
        parents, of = np.unique(parent, return_inverse=True)
        promise = np.full(parents.size, -np.inf)
        np.maximum.at(promise, of, bound)
        order = np.argsort(-promise, kind="stable")
        place = np.empty_like(order)
        place[order] = np.arange(order.size)
        by_place = np.argsort(place[of], kind="stable")
        of = place[of][by_place]
        there, bound = there.only(by_place), bound[by_place]
        parents = parents[order]
        reach = self.reach[level.members[parents]].min(axis=1)
        done = []
        width = len(self.names)
        for block in _blocks(np.maximum(reach, width * _ENTRIES // _CELLS), _ENTRIES):
            at = slice(*np.searchsorted(of, [block.start, block.stop]))
            picked = np.flatnonzero(bound[at] > self.best.bar) + at.start
            if not picked.size:
                continue
            needed, row = np.unique(of[picked], return_inverse=True)
            part = there.only(picked)
            size, error = self._extended(level.members[parents[needed]], row, part.members[:, -1])
            some = (size >= self.scale.support) & (error > 0)
            part = part._replace(size=size, error=error).only(some)
            if part.size.size:
                self.best.offer(part, self.scale, self.names)
                done.append(part)
        if not done:
            return there.only(np.zeros(0, np.int64))
        return _Level(*(np.concatenate(columns) for columns in zip(*done, strict=True)))

    def _extended(self, prefixes: Ints, row: Ints, last: Ints) -> tuple[Floats, Floats]:
        """Sizes and sums of errors of ``prefixes[row]`` and `last` together."""
        from scipy.sparse import csr_matrix

        prefixes = np.take_along_axis(prefixes, np.argsort(self.reach[prefixes], axis=1), axis=1)  # the rarest first
        inside = self.rows.turned[prefixes[:, 0]]
        for other in prefixes[:, 1:].T:
            inside = inside.multiply(self.rows.turned[other]).tocsr()
        # Sizes and errors in one product, as the parts of complex numbers: to find the places costs more than to add.
        weighted = csr_matrix((self.rows.weight[inside.indices], inside.indices, inside.indptr), shape=inside.shape)
        found = np.asarray((weighted @ self.rows.one_hot).toarray())[row, last]
        return np.asarray(found.real), np.asarray(found.imag)

    def _number(self, members: Ints) -> Ints:
        """Where slices stand in their level; -1 for one that is not, or no longer, in it."""
        width, number = len(self.names), members[:, 0]
        for depth in range(1, members.shape[1]):
            key, known = number * width + members[:, depth], self.index[depth]
            at = np.minimum(np.searchsorted(known, key), max(known.size - 1, 0))
            hit = (number >= 0) & (known[at] == key) if known.size else np.zeros(key.size, bool)
            number = np.where(hit, at, -1)
        return number


def _checked(codes: ArrayLike, errors: ArrayLike, k: int, alpha: float) -> tuple[Ints, Floats]:
    table, error = np.asarray(codes), np.asarray(errors, dtype=np.float64)
    if table.ndim != 2 or error.shape != (table.shape[0],) or (table.size and table.dtype.kind not in "iu"):
        raise ValueError(f"codes (n, columns) of whole numbers and errors (n,), not {table.shape} and {error.shape}")
    if not (np.isfinite(error).all() and (error >= 0).all()):
        raise ValueError("errors must be finite, and at least 0")
    if k < 1 or not 0 < alpha <= 1:
        raise ValueError(f"k from 1 and alpha above 0 up to 1, not {k} and {alpha}")
    if table.size and table.min() < -1:
        raise ValueError("a code is a number from 0, or -1 where there is none")
    return table.astype(np.int64, copy=False), error


def _basic(table: Ints, error: Floats) -> tuple[_Level, list[tuple[int, int]], Ints]:
    """Every value of every column as a slice, their names, and where each column's begin."""
    sizes, errors, mosts, names, first = [], [], [], [], [0]
    for column, codes in enumerate(table.T):
        there = codes >= 0
        here, weight = codes[there], error[there]
        count = int(here.max()) + 1 if here.size else 0
        most = np.zeros(count)
        np.maximum.at(most, here, weight)
        sizes.append(np.bincount(here, minlength=count).astype(np.float64))
        errors.append(np.bincount(here, weight, minlength=count).astype(np.float64))
        mosts.append(most)
        names += [(column, code) for code in range(count)]
        first.append(first[-1] + count)
    parts = (np.concatenate(values) for values in (sizes, errors, mosts))
    return _Level(np.arange(first[-1])[:, None], *parts), names, np.array(first, dtype=np.int64)


def _distinct(table: Ints, error: Floats, keep: Ints, first: Ints) -> _Rows:
    """The rows as basic slices still of interest (numbers in `keep`), equal ones once."""
    from scipy.sparse import csr_matrix

    number = np.full(int(first[-1]) + 1, -1, dtype=np.int64)  # the last stands for "none"
    number[keep] = np.arange(keep.size)
    left = [np.where(codes >= 0, number[codes + first[j]], -1) for j, codes in enumerate(table.T)]
    left = [codes for codes in left if (codes >= 0).any()]
    key, room = np.zeros(error.size, dtype=np.int64), 1
    for codes in left:
        low = int(codes[codes >= 0].min()) - 1
        span = int(codes.max()) - low + 1
        if room > 2**62 // span:  # a key would not fit: number the distinct ones so far
            kinds, key = np.unique(key, return_inverse=True)
            room = kinds.size
        key = key * span + np.where(codes >= 0, codes - low, 0)
        room *= span
    _, at, which = np.unique(key, return_index=True, return_inverse=True)
    columns = np.column_stack([codes[at] for codes in left]) if left else np.zeros((at.size, 0), np.int64)
    there = columns >= 0
    rows = np.concatenate(([0], np.cumsum(there.sum(axis=1))))
    one_hot = csr_matrix((np.ones(int(rows[-1])), columns[there], rows), shape=(at.size, keep.size))
    weight = np.bincount(which, minlength=at.size) + 1j * np.bincount(which, error, minlength=at.size)
    return _Rows(one_hot.astype(np.complex128), one_hot.T.tocsr(), weight)


def _blocks(cost: Ints, most: int) -> Iterator[slice]:
    """Consecutive stretches whose costs add up to `most`, or of one."""
    total = np.concatenate(([0], np.cumsum(cost)))
    start = 0
    while start < cost.size:
        stop = max(start + 1, int(np.searchsorted(total, total[start] + most, side="right")) - 1)
        yield slice(start, stop)
        start = stop

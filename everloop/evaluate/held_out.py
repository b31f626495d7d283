"""Is the place really worse? Asked of rows that had no part in finding it.

Whoever picks the worst of many places and measures them on the same rows will always find bad ones. So a place is
found on one half of the rows, and its error rate, interval and p-value come from the other.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from everloop.stats import intervals
from everloop.stats.multiplicity import holm, simultaneous

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]


class Halves(NamedTuple):
    """Rows in two halves, near-duplicates on one side; and in each half one row of each group."""

    first: Mask
    alone: Mask  # counts in a test: the first row of its group


class Place(NamedTuple):
    """Some rows of a half that were not used to find them."""

    inside: Mask  # (n,) which rows of all
    fresh: Mask  # (n,) those of them that no place found before has: the test is of these
    rest: Mask  # (n,) rows to compare with
    held: Mask  # (n,) the half that counts


class Confirmed(NamedTuple):
    """What the other half says of a place; all the intervals of one call hold together."""

    estimate: float  # error rate of its rows there
    low: float
    high: float
    n: int  # its rows there, one a group
    elsewhere: float  # error rate of the rows it is compared with
    p: float  # one-sided p-value of "no more errors than elsewhere", corrected for the number of places


def halves(n: int, groups: Sequence[str] | None, rng: np.random.Generator) -> Halves:
    """Two halves at random, groups kept whole."""
    index = np.arange(n)
    if groups is not None:
        _, first, index = np.unique(np.asarray(groups, dtype=object).astype(str), return_index=True,
                                    return_inverse=True)  # fmt: skip
    count = int(index.max()) + 1 if n else 0
    side = np.zeros(count, bool)
    side[rng.permutation(count)[: count // 2]] = True
    alone = np.ones(n, bool)
    if groups is not None:
        alone[:] = False
        alone[first] = True
    return Halves(side[index], alone)


def confirm(places: Sequence[Place], errors: Floats, level: float) -> list[Confirmed | None]:
    """Each place's error rate, and Holm's p-values over all of them; None for one without a row to test.

    `errors` (n,) are 0 or 1. The p-value is Fisher's, exact: it holds however few the rows. The interval is Clopper and
    Pearson's, at a level at which those of all places hold together.
    """
    together = simultaneous(level, len(places))
    found: list[Confirmed | None] = []
    for place in places:
        inside, fresh = errors[place.inside & place.held], errors[place.fresh & place.held]
        rest = errors[place.rest & place.held]
        if not inside.size or not fresh.size or not rest.size:
            found.append(None)
            continue
        rate = intervals.exact(int(inside.sum()), inside.size, together)
        p = _fisher(int(fresh.sum()), fresh.size, int(rest.sum()), rest.size)
        found.append(Confirmed(rate.estimate, rate.low, rate.high, inside.size, float(rest.mean()), p))
    # One that can't be tested was looked at all the same.
    corrected = holm([1.0 if one is None else one.p for one in found])
    return [None if one is None else one._replace(p=float(p)) for one, p in zip(found, corrected, strict=True)]


def worse(errors: Floats, inside: Mask, rest: Mask) -> float:
    """One-sided p-value of "the rows `inside` have no more errors than `rest`", Fisher's exact test; 1 without rows.

    >>> round(worse(np.repeat([1.0, 0.0], 5), np.arange(10) < 4, np.arange(10) >= 4), 4)
    0.0238
    """
    a, b = errors[inside], errors[rest]
    return _fisher(int(a.sum()), a.size, int(b.sum()), b.size) if a.size and b.size else 1.0


def _fisher(wrong: int, n: int, wrong_rest: int, n_rest: int) -> float:
    """P(at least `wrong` of the errors fall among the n), were they dealt out at random."""
    from scipy.special import gammaln

    total, errors = n + n_rest, wrong + wrong_rest
    k = np.arange(wrong, min(n, errors) + 1)
    k = k[errors - k <= n_rest]

    def choose(a: int, b: NDArray[np.int64]) -> Floats:
        return np.asarray(gammaln(a + 1) - gammaln(b + 1) - gammaln(a - b + 1))

    log = choose(errors, k) + choose(total - errors, n - k) - choose(total, np.array(n))
    return float(min(1.0, np.exp(log).sum()))

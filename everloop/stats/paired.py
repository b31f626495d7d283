"""Two answers to each question: how much better is one series than the other?"""

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from everloop.stats import tango
from everloop.stats.clusters import index, variance, worth
from everloop.stats.intervals import quantile


class PairedResult(NamedTuple):
    """The mean of a - b, with what it rests on."""

    estimate: float
    low: float  # two-sided interval
    high: float
    n: int  # pairs
    clusters: int  # independent groups of pairs; n where each pair stands alone
    method: str
    p: float  # one-sided p-value of "a is worse than b by the margin or more"
    better: int  # pairs in which a is larger
    worse: int  # pairs in which b is


def compare(
    a: ArrayLike,
    b: ArrayLike,
    clusters: Sequence[str] | None = None,
    margin: float = 0.0,
    level: float = 0.95,
) -> PairedResult:
    """The mean paired difference of the scores `a` and `b`, each of shape (n,), n >= 1.

    Scores that are all 0 or 1 get Tango's score interval, others Student's t. `clusters` names the group of each
    pair; pairs of one group count as dependent: the standard error is cluster-robust, with t at (groups - 1) degrees
    of freedom. For 0/1 scores that error sets the effective number of pairs in Tango's interval (`clusters.worth`).
    A single group has no interval: its ends are those of the scale, or infinite.

    Raises ValueError for lengths that differ, no pairs, or a score that is not finite.

    >>> result = compare([1, 1, 1, 0] * 10, [1, 0, 1, 0] * 10)
    >>> result.estimate, round(result.low, 3), round(result.high, 3), result.method
    (0.25, 0.14, 0.402, 'tango')
    """
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if x.ndim != 1 or x.shape != y.shape or not x.size:
        raise ValueError(f"a paired comparison needs two series of the same length, not {x.shape} and {y.shape}")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("scores must be finite")
    d = x - y
    group = index(clusters, int(d.size))
    binary = bool(np.isin(x, (0, 1)).all() and np.isin(y, (0, 1)).all())
    return (_binary if binary else _scores)(d, group, margin, level)


def _binary(d: NDArray[np.float64], group: NDArray[np.int64], margin: float, level: float) -> PairedResult:
    """Tango's interval, on as many pairs as the clusters are worth."""
    n, count = int(d.size), int(group.max()) + 1
    better, worse = int((d > 0).sum()), int((d < 0).sum())
    estimate = float(d.mean())
    if count == n:
        low, high = tango.interval(better, worse, n, quantile(level))
        p = NormalDist().cdf(-tango.statistic(-margin, better, worse, n))
        return PairedResult(estimate, low, high, n, n, "tango", p, better, worse)
    if count == 1:
        return PairedResult(estimate, -1.0, 1.0, n, 1, "tango, clustered", 1.0, better, worse)
    from scipy.special import stdtr  # 0.3 s to import: only who asks for it pays

    scale = worth(d, group) / n
    counts = (better * scale, worse * scale, n * scale)
    low, high = tango.interval(*counts, quantile(level, count - 1))
    p = float(stdtr(count - 1, -tango.statistic(-margin, *counts)))
    return PairedResult(estimate, low, high, n, count, "tango, clustered", p, better, worse)


def _scores(d: NDArray[np.float64], group: NDArray[np.int64], margin: float, level: float) -> PairedResult:
    """Student's t on the mean difference."""
    from scipy.special import stdtr

    n, count = int(d.size), int(group.max()) + 1
    better, worse = int((d > 0).sum()), int((d < 0).sum())
    estimate = float(d.mean())
    method = "t" if count == n else "t, clustered"
    if count == 1:
        return PairedResult(estimate, -math.inf, math.inf, n, 1, method, 1.0, better, worse)
    error = math.sqrt(variance(d, group))
    half = quantile(level, count - 1) * error
    gap = estimate + margin
    p = float(stdtr(count - 1, -gap / error)) if error > 0 else (0.0 if gap > 0 else 1.0)
    return PairedResult(estimate, estimate - half, estimate + half, n, count, method, p, better, worse)

"""Intervals for one proportion and for one mean."""

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from everloop.stats.estimate import Estimate


def wilson(successes: float, n: int, level: float = 0.95) -> Estimate:
    """The score interval of a proportion: close to its level on average, also where n is small.

    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference". Raises ValueError
    unless 0 <= successes <= n, n >= 1 and 0 < level < 1.

    >>> share = wilson(81, 263)
    >>> round(share.low, 4), round(share.high, 4)
    (0.2553, 0.3662)
    """
    share = _share(successes, n, level)
    z = quantile(level)
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # At 0 and at n the ends are 0 and 1 exactly; arithmetic leaves a last bit.
    low = 0.0 if successes == 0 else max(0.0, middle - half)
    high = 1.0 if successes == n else min(1.0, middle + half)
    return Estimate(share, low, high, n)


def exact(successes: int, n: int, level: float = 0.95) -> Estimate:
    """The interval of a proportion that holds its level whatever the truth is: never too short, often too long.

    Source: Clopper and Pearson 1934, "The use of confidence or fiducial limits illustrated in the case of the
    binomial". Raises ValueError as `wilson`.

    >>> share = exact(81, 263)
    >>> round(share.low, 4), round(share.high, 4)
    (0.2527, 0.3676)
    """
    from scipy.special import betaincinv  # 0.3 s to import: only who asks for it pays

    share = _share(successes, n, level)
    tail = (1 - level) / 2
    low = 0.0 if successes == 0 else float(betaincinv(successes, n - successes + 1, tail))
    high = 1.0 if successes == n else float(betaincinv(successes + 1, n - successes, 1 - tail))
    return Estimate(share, low, high, n)


def mean(values: Sequence[float] | NDArray[np.float64], level: float = 0.95) -> Estimate:
    """The mean and its interval by Student's t; assumes independent values, and normal ones where n is small.

    One value has no interval: its ends are infinite. Raises ValueError for none, or for one that is not finite.

    >>> result = mean([4.0, 5.0, 6.0])
    >>> result.estimate, round(result.low, 3), round(result.high, 3), result.n
    (5.0, 2.516, 7.484, 3)
    """
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or not x.size or not np.isfinite(x).all():
        raise ValueError("a mean needs at least one value, and finite ones")
    middle = float(x.mean())
    if x.size == 1:
        return Estimate(middle, -math.inf, math.inf, 1)
    half = quantile(level, x.size - 1) * float(x.std(ddof=1)) / math.sqrt(x.size)
    return Estimate(middle, middle - half, middle + half, int(x.size))


def quantile(level: float, freedom: float = math.inf) -> float:
    """How many standard errors to either side hold `level`: by the normal, or by Student's t with so much `freedom`.

    >>> round(quantile(0.95), 3), round(quantile(0.95, 4), 3)
    (1.96, 2.776)
    """
    if not 0 < level < 1:
        raise ValueError(f"a level lies between 0 and 1, not {level}")
    if math.isinf(freedom):
        return NormalDist().inv_cdf((1 + level) / 2)
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + level) / 2))


def _share(successes: float, n: int, level: float) -> float:
    if n < 1 or not 0 <= successes <= n or not 0 < level < 1:
        raise ValueError(f"no proportion: {successes} of {n} at level {level}")
    return successes / n

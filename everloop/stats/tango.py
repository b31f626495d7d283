"""Tango's score interval for the difference of two paired proportions.

Source: Tango 1998, "Equivalence test and confidence interval for the difference in proportions for the paired-sample
design", Statistics in Medicine 17:891-908. It keeps close to its level at small n and where nothing differs, which
Wald's does not (Fagerland, Lydersen and Laake 2014, Statistics in Medicine 33:2850-2875).
"""

import math


def interval(better: float, worse: float, n: float, z: float) -> tuple[float, float]:
    """The differences (a - b) that the data do not refute at `z` standard errors.

    Of n pairs, a alone was right in `better` and b alone in `worse`; the counts may be fractions.

    >>> [round(x, 4) for x in interval(6, 16, 161, 1.959964)]
    [-0.124, -0.0054]
    """
    estimate = (better - worse) / n
    ends = []
    for sign, limit in ((1, -1.0), (-1, 1.0)):
        # The statistic falls from `limit` to the estimate through every value: halve the gap where z lies.
        outside, inside = limit, estimate
        for _ in range(60):
            middle = (outside + inside) / 2
            if sign * statistic(middle, better, worse, n) > z:
                outside = middle
            else:
                inside = middle
        ends.append((outside + inside) / 2)
    return ends[0], ends[1]


def statistic(difference: float, better: float, worse: float, n: float) -> float:
    """Standard errors by which the observed difference exceeds `difference`, were that the true one.

    Falls as `difference` grows. The variance is that of the likeliest table with that difference.
    """
    two_n = 2 * n
    b = -better - worse + (two_n - better + worse) * difference
    c = -worse * difference * (1 - difference)
    q = (math.sqrt(max(0.0, b * b - 4 * two_n * c)) - b) / (2 * two_n)  # likeliest share in which b alone is right
    variance = n * (2 * q + difference * (1 - difference))
    gap = better - worse - n * difference
    if variance <= 1e-12 * n:
        return 0.0 if abs(gap) < 1e-9 * n else math.copysign(math.inf, gap)
    return gap / math.sqrt(variance)

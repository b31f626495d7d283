"""What a comparison of a given size can see."""

import math
from statistics import NormalDist


def detectable(n: float, spread: float, level: float = 0.95, power: float = 0.8) -> float:
    """The smallest true difference that a one-sided test at `level` finds with probability `power`.

    `spread` is the standard deviation of the paired differences, n the number of pairs that are independent. By the
    normal approximation.

    >>> round(detectable(400, 0.3), 4)
    0.0373
    """
    if n <= 0:
        return math.inf
    normal = NormalDist()
    return (normal.inv_cdf(level) + normal.inv_cdf(power)) * spread / math.sqrt(n)

"""Many questions asked of the same data: what still counts."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def bonferroni(p: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Each p-value times their number, at most 1.

    >>> bonferroni([0.01, 0.5]).tolist()
    [0.02, 1.0]
    """
    values = _checked(p)
    return np.minimum(values * values.size, 1.0)


def holm(p: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Adjusted p-values, in the order given: reject where one is at most alpha, and the chance of a single false
    rejection is at most alpha, however the questions depend on each other.

    Source: Holm 1979, "A simple sequentially rejective multiple test procedure".

    >>> holm([0.01, 0.04, 0.03, 0.005]).round(3).tolist()
    [0.03, 0.06, 0.06, 0.02]
    """
    values = _checked(p)
    order = np.argsort(values, kind="stable")
    stepped = np.maximum.accumulate(values[order] * np.arange(values.size, 0, -1))
    result = np.empty_like(values)
    result[order] = np.minimum(stepped, 1.0)
    return result


def simultaneous(level: float, count: int) -> float:
    """The level at which each of `count` intervals must be taken so that all of them hold together at `level`.

    Bonferroni's, which holds however the intervals depend on each other.

    >>> round(simultaneous(0.95, 5), 6)
    0.99
    """
    if not 0 < level < 1 or count < 0:
        raise ValueError(f"no simultaneous level for {count} intervals at {level}")
    return 1 - (1 - level) / max(count, 1)


def _checked(p: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    values = np.asarray(p, dtype=np.float64)
    if values.ndim != 1 or not ((values >= 0) & (values <= 1)).all():
        raise ValueError("p-values lie between 0 and 1")
    return values

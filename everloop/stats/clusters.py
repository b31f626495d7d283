"""Observations that come in groups: how many independent ones they are worth."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def index(clusters: Sequence[str] | None, n: int) -> NDArray[np.int64]:
    """A number from 0 for each observation's group; each its own group without `clusters`.

    Raises ValueError unless there are n.
    """
    if clusters is None:
        return np.arange(n)
    if len(clusters) != n:
        raise ValueError(f"{n} observations need as many clusters, not {len(clusters)}")
    number: dict[str, int] = {}
    return np.array([number.setdefault(cluster, len(number)) for cluster in clusters], dtype=np.int64)


def variance(values: NDArray[np.float64], group: NDArray[np.int64]) -> float:
    """Cluster-robust variance of the mean of `values` (n,); needs two groups.

    Source: Liang and Zeger 1986, with the usual correction of groups / (groups - 1).
    """
    total = np.bincount(group, values - values.mean())
    count = total.size
    return float(count / (count - 1) * (total @ total)) / values.size**2


def worth(values: NDArray[np.float64], group: NDArray[np.int64]) -> float:
    """How many independent observations `values` (n,) are worth: at least 1, at most n.

    That is n over the design effect (Kish 1965; for proportions Rao and Scott 1992). Values that don't vary, or whose
    variation cancels within each group, can't tell: then a group counts as one.

    >>> worth(np.array([0.0, 0.0, 1.0, 1.0] * 8), np.repeat(np.arange(16), 2))
    15.483870967741936
    """
    n, count = int(values.size), int(group.max()) + 1
    if count == n:
        return float(n)
    if count == 1:
        return 1.0
    robust = variance(values, group)
    # A float's rounding must not pass for variance.
    if robust <= 1e-18 * max(1.0, float(np.square(values).max())):
        return float(count)
    return float(np.clip(n * variance(values, np.arange(n)) / robust, 1.0, n))

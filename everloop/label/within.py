"""A space in which rows of one class lie close: what varies within the known classes is made to count for less."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from everloop.errors import InvalidInput

_RIDGE = 1.0  # times the mean variance within classes is added: few labels leave most directions unmeasured


class Space(NamedTuple):
    """Rows go in by `moved`."""

    middle: NDArray[np.float64]  # (d,)
    weights: NDArray[np.float64]  # (d, d)

    def moved(self, vectors: NDArray[np.floating]) -> NDArray[np.float64]:
        """`vectors` (n, d) as unit vectors of this space; zeros for a row at its middle."""
        found = (np.asarray(vectors, np.float64) - self.middle) @ self.weights
        length = np.linalg.norm(found, axis=1, keepdims=True)
        return np.asarray(found / np.where(length > 1e-9, length, 1))


def class_space(labelled: NDArray[np.floating], labels: NDArray[np.integer]) -> Space:
    """Learned from `labelled` (m, d) and the number of each row's class.

    Source: within-class covariance normalisation (Hatch, Kajarekar and Stolcke 2006). Raises InvalidInput unless some
    class has two different rows.

    >>> rows = np.array([[0, 0], [4, 0], [0, 1], [4, 1]], float)  # classes differ in the second number only
    >>> across, along = np.abs(class_space(rows, np.array([0, 0, 1, 1])).weights.diagonal())
    >>> bool(across < along)
    True
    """
    rows, of = np.asarray(labelled, np.float64), np.unique(labels, return_inverse=True)[1]
    if rows.ndim != 2 or len(rows) != len(of) or not len(rows) or not np.isfinite(rows).all():
        raise InvalidInput(f"a row of finite numbers and its class belong together, not {rows.shape} and {of.shape}")
    total = np.zeros((of.max() + 1, rows.shape[1]))
    np.add.at(total, of, rows)
    off = rows - (total / np.bincount(of)[:, None])[of]
    values, directions = np.linalg.eigh(off.T @ off / len(rows))
    mean = float(values.mean())
    if mean <= 1e-12:
        raise InvalidInput("what varies within a class takes two different rows of one class to see")
    weights = (directions * (np.maximum(values, 0) + _RIDGE * mean) ** -0.5) @ directions.T
    return Space(rows.mean(axis=0), weights)

"""Columns of numbers on one scale."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

REACH = 3.0  # standard deviations beyond which a value says no more: one outlier must not drown the other columns


class Scale(NamedTuple):
    """Where each column lies and how far it spreads."""

    mean: NDArray[np.float64]  # (columns,)
    spread: NDArray[np.float64]  # (columns,) standard deviation; 1 for a column that never changes


def learn(values: NDArray[np.float64]) -> Scale:
    """The scale of a matrix (n, columns) with at least one row.

    >>> learn(np.array([[0.0, 5.0], [2.0, 5.0]]))
    Scale(mean=array([1., 5.]), spread=array([1., 1.]))
    """
    mean, spread = values.mean(axis=0), values.std(axis=0)
    # A column of equal numbers gets a spread of a few last bits, by which nothing may be divided.
    constant = spread <= 1e-12 * np.maximum(np.abs(mean), 1e-300)
    return Scale(mean, np.where(constant, 1.0, spread))


def scaled(scale: Scale, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Columns with mean 0 and standard deviation 1, cut at `REACH`; rows (n, columns) about as long as 1."""
    centred = np.clip((values - scale.mean) / scale.spread, -REACH, REACH)
    return np.asarray(centred / np.sqrt(values.shape[1]))

"""Confident learning: how many labels are wrong, class by class, and which rows the count points at.

Source: Northcutt, Jiang, Chuang 2021, "Confident learning: estimating uncertainty in dataset labels" (JAIR 70), with
the ties, roundings and last exceptions of the ``cleanlab`` package, so that both name the same rows.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

By = Literal["off_diagonal", "noise_rate", "class", "both", "low_self_confidence"]

_SLACK = 1e-6  # a probability so little under its class's threshold still reaches it
_NEVER = 2.0  # threshold of a class nobody has: no probability reaches it


def thresholds(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """(k,): the mean probability of each class among the rows labelled with it; 2 for a class without a row.

    `labels` (n,) index into the k columns of `probabilities` (n, k), which come from models that have not seen the row.

    >>> thresholds(np.array([0, 0, 1]), np.array([[0.9, 0.1], [0.7, 0.3], [0.4, 0.6]])).round(2).tolist()
    [0.8, 0.6]
    """
    k = probabilities.shape[1]
    count = np.bincount(labels, minlength=k)
    total = np.bincount(labels, probabilities[np.arange(len(labels)), labels], minlength=k)
    return np.where(count > 0, np.maximum(total / np.maximum(count, 1), _SLACK), _NEVER)


def confident_class(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> NDArray[np.int64]:
    """(n,): the class each row belongs to with confidence, -1 where there is none.

    Of several classes above their thresholds it is the most probable of all classes (the paper: of those above).
    """
    reached = probabilities >= thresholds(labels, probabilities) - _SLACK
    several = reached.sum(axis=1)
    found = np.where(several > 1, probabilities.argmax(axis=1), reached.argmax(axis=1))
    return np.where(several > 0, found, -1)


def joint(
    labels: NDArray[np.int64], probabilities: NDArray[np.float64], *, calibrate: bool = True
) -> NDArray[np.int64]:
    """(k, k) counts of rows labelled i that confidently belong to j; at least 1 on the diagonal.

    Calibrated, each row i of it adds up to the number of rows labelled i.

    >>> p = np.array([[0.9, 0.1], [0.8, 0.2], [0.2, 0.8], [0.3, 0.7], [0.1, 0.9]])
    >>> joint(np.array([0, 0, 0, 1, 1]), p).tolist()
    [[2, 1], [0, 2]]
    """
    k = probabilities.shape[1]
    confident = confident_class(labels, probabilities)
    known = confident >= 0
    counts = np.bincount(labels[known] * k + confident[known], minlength=k * k).reshape(k, k)
    np.fill_diagonal(counts, np.maximum(counts.diagonal(), 1))
    if not calibrate:
        return counts
    wanted = np.bincount(labels, minlength=k)
    scaled = counts.T / counts.sum(axis=1) * wanted
    return whole((scaled / max(scaled.sum(), _SLACK) * len(labels)).T)


def whole(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """Each row of `values` (r, k) in whole numbers that add up to the row's sum, rounded: the largest rests give way.

    >>> whole(np.array([[0.5, 0.4, 2.1], [1.0, 0.0, 2.0]])).tolist()
    [[1, 0, 2], [1, 0, 2]]
    """
    result = np.round(values)
    missing = np.round(values.sum(axis=1)) - result.sum(axis=1)
    order = np.argsort(values - result, axis=1)
    order = np.where((missing > 0)[:, None], order[:, ::-1], order)
    place = np.empty(values.shape, np.int64)
    np.put_along_axis(place, order, np.arange(values.shape[1])[None, :], axis=1)
    result += (place < np.abs(missing)[:, None]) * np.sign(missing)[:, None]
    return result.astype(np.int64)


def flag(labels: NDArray[np.int64], probabilities: NDArray[np.float64], by: By = "noise_rate") -> NDArray[np.bool_]:
    """(n,) which labels are wrong, as confident learning counts them.

    "off_diagonal": rows that confidently belong to another class. "noise_rate": as many of each pair of classes as the
    calibrated joint says, those with the largest margin. "class": as many of each class, those with the least
    self-confidence. "both": those both say. "low_self_confidence": as many rows as "off_diagonal", those with the
    least self-confidence. But for the last, no row is named whose label is also the most probable class.
    """
    n = len(labels)
    own = probabilities[np.arange(n), labels]
    if by in ("off_diagonal", "low_self_confidence"):
        confident = confident_class(labels, probabilities)
        found: NDArray[np.bool_] = (confident >= 0) & (confident != labels) & (own < probabilities.max(axis=1) - _SLACK)
        if by == "off_diagonal":
            return found
        result = np.zeros(n, np.bool_)
        result[np.argsort(own, kind="stable")[: found.sum()]] = True
        return result
    true_given = _leave_one(joint(labels, probabilities).T)
    found = np.ones(n, np.bool_)
    if by in ("noise_rate", "both"):
        found &= _by_noise_rate(labels, probabilities, true_given)
    if by in ("class", "both"):
        found &= _by_class(labels, own, true_given)
    found &= own < probabilities.max(axis=1) - _SLACK
    return found


def _leave_one(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """`counts` (k true, k given) with at least one right row in each class, taken from its wrong ones evenly."""
    diagonal = counts.diagonal()
    raised = np.maximum(diagonal, 1)
    sources = np.maximum(np.count_nonzero(counts, axis=0) - 1, 1)
    lowered = np.maximum(counts - (raised - diagonal) / sources, 0)
    np.fill_diagonal(lowered, raised)
    result: NDArray[np.int64] = lowered.astype(np.int64)
    return result


def _by_noise_rate(
    labels: NDArray[np.int64], probabilities: NDArray[np.float64], true_given: NDArray[np.int64]
) -> NDArray[np.bool_]:
    found = np.zeros(len(labels), np.bool_)
    for given, rows in _by_label(labels, len(true_given)):
        if len(rows) < 2:
            continue
        counts = true_given[:, given].copy()
        counts[given] = 0
        for true in np.flatnonzero(counts):
            margin = probabilities[rows, given] - probabilities[rows, true]
            found[rows[_smallest(margin, counts[true])]] = True
    return found


def _by_class(labels: NDArray[np.int64], own: NDArray[np.float64], true_given: NDArray[np.int64]) -> NDArray[np.bool_]:
    found = np.zeros(len(labels), np.bool_)
    for given, rows in _by_label(labels, len(true_given)):
        wrong = len(rows) - true_given[given, given]
        if len(rows) > 1 and wrong > 0:
            found[rows[_smallest(own[rows], wrong)]] = True
    return found


def _by_label(labels: NDArray[np.int64], k: int) -> list[tuple[int, NDArray[np.int64]]]:
    """The rows of each class, ascending."""
    order = np.argsort(labels, kind="stable")
    return list(enumerate(np.split(order, np.cumsum(np.bincount(labels, minlength=k))[:-1])))


def _smallest(values: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Places of the `count` smallest."""
    if count >= len(values):
        return np.arange(len(values))
    result: NDArray[np.int64] = np.argpartition(values, count - 1)[:count]
    return result

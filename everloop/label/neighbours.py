"""The label of the nearest labelled rows, and how far it can be trusted: k nearest neighbours by cosine."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_BLOCK = 16 << 20  # similarities computed at once: 64 MB


class Neighbours(NamedTuple):
    """What the nearest labelled rows say of each of n rows."""

    labels: NDArray[np.int64]  # (n,)
    confidence: NDArray[np.float64]  # (n,) the winner's share of the neighbours' weight, times how near the nearest is
    nearest: NDArray[np.int64]  # (n, k) places of the labelled rows, nearest first


def neighbours(
    vectors: NDArray[np.float32], known: NDArray[np.float32], labels: NDArray[np.int64], n_classes: int, k: int = 10
) -> Neighbours:
    """Labels of `vectors` (n, d) by the `k` nearest of `known` (m, d), whose labels are `labels` (m,).

    A neighbour weighs its cosine, never less than nothing. Memory is bounded; time grows with n·m. m must be 1 or more.
    Source: Dudani 1976, "The distance-weighted k-nearest-neighbor rule", with cosine for distance.

    >>> found = neighbours(np.eye(2, dtype=np.float32), np.array([[1, 0], [.9, .1], [0, 1]], np.float32),
    ...                    np.array([0, 0, 1]), 2, k=2)
    >>> found.labels.tolist(), found.nearest[0].tolist()
    ([0, 1], [0, 1])
    """
    n, k = len(vectors), min(k, len(known))
    unit, against = _unit(vectors), _unit(known)
    answers, sure = np.empty(n, np.int64), np.empty(n)
    nearest = np.empty((n, k), np.int64)
    step = max(1, _BLOCK // max(1, len(known)))
    for start in range(0, n, step):
        near = np.round(unit[start : start + step] @ against.T, 5)  # the rest could differ on another machine
        some = np.argpartition(-near, k - 1, axis=1)[:, :k] if k < len(known) else np.tile(np.arange(k), (len(near), 1))
        close = np.take_along_axis(near, some, axis=1)
        order = np.lexsort((some, -close), axis=1)
        some, close = np.take_along_axis(some, order, axis=1), np.take_along_axis(close, order, axis=1)
        weight = np.maximum(close, 0.0).astype(np.float64) + 1e-6
        votes = np.zeros((len(near), n_classes))
        np.add.at(votes, (np.arange(len(near))[:, None], labels[some]), weight)
        best = votes.argmax(axis=1)
        end = start + len(near)
        answers[start:end], nearest[start:end] = best, some
        sure[start:end] = votes[np.arange(len(near)), best] / votes.sum(axis=1) * np.clip(close[:, 0], 0.0, 1.0)
    return Neighbours(answers, sure, nearest)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: NDArray[np.float32] = (vectors / np.maximum(length, 1e-12)).astype(np.float32)
    return unit

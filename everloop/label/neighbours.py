"""The label of the nearest labelled rows, and how far it can be trusted: k nearest neighbours by cosine."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from everloop.features import neighbours as features


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
    found = features.across(vectors, known, k)
    near = np.round(found.similarity, 5).astype(np.float64)  # the rest could differ on another machine
    votes = np.zeros((len(vectors), n_classes))
    np.add.at(votes, (np.arange(len(vectors))[:, None], labels[found.rows]), np.maximum(near, 0.0) + 1e-6)
    best = votes.argmax(axis=1)
    share = votes[np.arange(len(votes)), best] / votes.sum(axis=1)
    return Neighbours(best, share * np.clip(near[:, 0], 0.0, 1.0), found.rows)

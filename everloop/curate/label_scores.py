"""How far a label agrees with what a model that has not seen its row says: 1 is agreement, 0 is none.

Source: Kuan and Mueller 2022, "Model-agnostic label quality scoring to detect real-world label errors".
"""

import numpy as np
from numpy.typing import NDArray


def self_confidence(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,): the probability of the given label.

    >>> self_confidence(np.array([1]), np.array([[0.2, 0.5, 0.3]])).tolist()
    [0.5]
    """
    result: NDArray[np.float64] = probabilities[np.arange(len(labels)), labels]
    return result


def normalized_margin(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,): half of 1 plus the given label's probability less the largest of another.

    >>> normalized_margin(np.array([1, 0]), np.array([[0.2, 0.5, 0.3], [0.2, 0.5, 0.3]])).round(3).tolist()
    [0.6, 0.35]
    """
    own = self_confidence(labels, probabilities)
    result: NDArray[np.float64] = (own - others(labels, probabilities).max(axis=1) + 1) / 2
    return result


def adjusted(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,): self-confidence less its mean over the rows of the same label, moved and scaled into 0 to 1.

    Takes out that some classes are harder: it helps where classes are very uneven, and costs where they are many.

    >>> p = np.array([[0.9, 0.1], [0.7, 0.3], [0.6, 0.4]])
    >>> adjusted(np.array([0, 0, 1]), p).round(3).tolist()
    [0.55, 0.45, 0.5]
    """
    k = probabilities.shape[1]
    own = self_confidence(labels, probabilities)
    mean = np.bincount(labels, own, minlength=k) / np.maximum(np.bincount(labels, minlength=k), 1)
    return (own - mean[labels] + 1) / 2


def others(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """A copy of (n, k) `probabilities` with -1 at the given label: what else the row could be."""
    result = probabilities.astype(np.float64, copy=True)
    result[np.arange(len(labels)), labels] = -1.0
    return result

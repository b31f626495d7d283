"""How unsure the models are of each row: the margin of one, and the disagreement between several."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from everloop.errors import InvalidInput


def unsure(probabilities: NDArray[np.floating], committee: Sequence[NDArray[np.floating]] = ()) -> NDArray[np.float64]:
    """1 - margin of each row, from 0 (sure) to 1; raised towards 1 by how much `committee` and the model disagree.

    `probabilities` (n, k), and each of `committee` as many. A row without any probability is wholly unsure.

    >>> unsure(np.array([[0.9, 0.1, 0.0], [0.4, 0.4, 0.2]])).round(2).tolist()
    [0.2, 1.0]
    """
    p = checked(probabilities)
    doubt = 1 - margin(p)
    if len(committee):
        doubt = 1 - (1 - doubt) * (1 - divergence([p, *committee]))
    return np.clip(doubt, 0.0, 1.0)


def margin(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """The best class's probability less the second's, (n,). With one class, its probability."""
    p = np.asarray(probabilities, np.float64)
    if p.shape[1] == 1:
        return p[:, 0]
    two = np.partition(p, -2, axis=1)[:, -2:]
    return np.asarray(two[:, 1] - two[:, 0])


def divergence(members: Sequence[NDArray[np.floating]]) -> NDArray[np.float64]:
    """The mean Kullback-Leibler divergence of the members from their mean, (n,), from 0 (agreed) to 1.

    Each member is (n, k) and its rows sum to 1. Source: McCallum and Nigam 1998, "Employing EM and pool-based active
    learning for text classification"; divided by its greatest value, the logarithm of members or classes.

    >>> divergence([np.array([[1.0, 0.0], [0.5, 0.5]]), np.array([[0.0, 1.0], [0.5, 0.5]])]).round(3).tolist()
    [1.0, 0.0]
    """
    all_of_them = _alike(members)
    most = np.log(min(len(all_of_them), all_of_them[0].shape[1]))
    if most <= 0:
        return np.zeros(len(all_of_them[0]))
    mean = np.mean(all_of_them, axis=0)
    found = _entropy(mean) - np.mean([_entropy(p) for p in all_of_them], axis=0)
    return np.asarray(np.clip(found / most, 0.0, 1.0))


def vote_entropy(members: Sequence[NDArray[np.floating]]) -> NDArray[np.float64]:
    """The entropy of the members' answers, (n,), from 0 (one answer) to 1 (all differ).

    Source: Dagan and Engelson 1995, "Committee-based sampling for training probabilistic classifiers".

    >>> vote_entropy([np.array([[0.9, 0.1], [0.6, 0.4]]), np.array([[0.2, 0.8], [0.7, 0.3]])]).round(3).tolist()
    [1.0, 0.0]
    """
    all_of_them = _alike(members)
    most = np.log(min(len(all_of_them), all_of_them[0].shape[1]))
    if most <= 0:
        return np.zeros(len(all_of_them[0]))
    votes = np.zeros(all_of_them[0].shape)
    rows = np.arange(len(votes))
    for p in all_of_them:
        votes[rows, p.argmax(axis=1)] += 1 / len(all_of_them)
    return np.asarray(np.abs(np.clip(_entropy(votes) / most, 0.0, 1.0)))


def checked(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """As float64 (n, k); raises InvalidInput for another shape, or values that are no probabilities."""
    p = np.asarray(probabilities, np.float64)
    if p.ndim != 2 or not p.shape[1]:
        raise InvalidInput(f"probabilities come as a matrix of rows and classes, not {p.shape}")
    if not np.isfinite(p).all() or (p < -1e-6).any() or (p > 1 + 1e-6).any():
        raise InvalidInput("probabilities must be numbers from 0 to 1")
    return p


def _alike(members: Sequence[NDArray[np.floating]]) -> list[NDArray[np.float64]]:
    found = [checked(p) for p in members]
    if not found or len({p.shape for p in found}) > 1:
        raise InvalidInput("a committee needs matrices of one shape: the same rows, the same classes")
    return found


def _entropy(p: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(-(p * np.log(np.maximum(p, 1e-300))).sum(axis=1))

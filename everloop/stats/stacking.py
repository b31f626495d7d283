"""Several ways of aggregating together, each weighed by how probable it held the gold items' truth."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from everloop.stats.judgements import Aggregated

_LEAST = 1e-3  # what a way held for impossible may still be so: one item must not rule it out
_STEPS = 200


class Stacked(NamedTuple):
    """What the ways say together."""

    labels: NDArray[np.int64]  # (n_items,)
    probabilities: NDArray[np.float64]  # (n_items, n_classes), rows sum to 1
    weights: dict[str, float]  # of each way, sum 1
    gold: int  # items whose truth was known


def stacked(results: Mapping[str, Aggregated], gold: ArrayLike) -> Stacked:
    """The mixture of `results`' probabilities that the `gold` items (n_items,) are likeliest under; -1 where unknown.

    Expectation-maximisation on the weights alone, each with one gold item to begin with, so that none is left out on
    few; without gold all count alike. Where classes tie, the first way's label is taken among them. Raises ValueError
    for nothing to stack and for gold that does not fit.

    Source: Yao, Vehtari, Simpson and Gelman 2018, "Using stacking to average Bayesian predictive distributions".

    >>> sure = Aggregated(np.array([0, 1]), np.array([[0.9, 0.1], [0.1, 0.9]]), np.ones(1), None, 0)
    >>> wrong = Aggregated(np.array([1, 1]), np.array([[0.2, 0.8], [0.4, 0.6]]), np.ones(1), None, 0)
    >>> found = stacked({"wrong": wrong, "sure": sure}, [0, -1])
    >>> found.labels.tolist(), round(found.weights["sure"], 2)
    ([0, 1], 0.63)
    """
    known = np.asarray(gold)
    if not results:
        raise ValueError("nothing to stack")
    each = np.stack([one.probabilities for one in results.values()])
    if known.shape != each.shape[1:2] or known.dtype.kind not in "iu":
        raise ValueError(f"gold is one whole number an item, {each.shape[1]} in all, not {known.shape}")
    if known.min() < -1 or known.max() >= each.shape[2]:
        raise ValueError("gold is a class, or -1 where the truth is unknown")
    at = np.flatnonzero(known >= 0)
    held = np.maximum(each[:, at, known[at]].T, _LEAST)
    weights = np.full(len(each), 1 / len(each))
    for _ in range(_STEPS):
        shares = held * weights
        shares /= shares.sum(axis=1, keepdims=True)
        weights = shares.sum(axis=0) + 1
        weights /= weights.sum()
    joined = np.tensordot(weights, each, axes=1)
    best = joined >= joined.max(axis=1, keepdims=True) - 1e-9
    first = next(iter(results.values())).labels
    labels = np.where(best[np.arange(len(first)), first], first, best.argmax(axis=1))
    return Stacked(labels, joined, dict(zip(results, weights.tolist(), strict=True)), int(at.size))

"""A confusion matrix a worker: which label they give for which truth."""

import math

import numpy as np
from numpy.typing import ArrayLike

from everloop.stats.judgements import Aggregated, checked, normalised, result, said, shares


def dawid_skene(
    workers: ArrayLike,
    items: ArrayLike,
    labels: ArrayLike,
    n_classes: int,
    iterations: int = 100,
    tolerance: float = 1e-6,
    smoothing: float = 0.01,
) -> Aggregated:
    """Expectation-maximisation from the majority's shares.

    It finds workers who mix two classes up, and needs many judgements a worker for it; with few it can lose to the
    majority. `smoothing` is added to each cell of a confusion matrix, so that what was never seen stays possible. It
    ends when a step gains less than `tolerance` of log-likelihood a judgement. `workers`, `items` and `labels` are
    (n,) whole numbers from 0. Raises ValueError as `judgements.checked`.

    Source: Dawid and Skene 1979, "Maximum likelihood estimation of observer error-rates using the EM algorithm".

    >>> found = dawid_skene([0, 1, 2] * 4, [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3], [1, 1, 0, 0, 0, 1] * 2, 2)
    >>> found.labels.tolist(), found.quality.round(2).tolist()  # the third always says the opposite
    ([1, 0, 1, 0], [1.0, 1.0, 0.0])
    """
    judged = checked(workers, items, labels, n_classes)
    k = judged.n_classes
    by_item, by_answer = said(judged)
    gain = tolerance * float(judged.weights.sum())
    probabilities, before = shares(judged), -math.inf
    step, likelihood = 0, -math.inf
    while step < iterations:
        step += 1
        # By worker, label and truth.
        confusion = (by_answer @ probabilities).reshape(judged.n_workers, k, k) + smoothing
        confusion /= confusion.sum(axis=1, keepdims=True)
        prior = probabilities.sum(axis=0) + smoothing
        scores = by_item @ np.log(confusion, out=confusion).reshape(-1, k)
        scores += np.log(prior / prior.sum())
        probabilities, likelihood = normalised(scores)
        if abs(likelihood - before) <= gain:
            break
        before = likelihood
    return result(judged, probabilities, likelihood, step)

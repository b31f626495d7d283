"""One number a worker: how often they are right, whatever the class."""

import math

import numpy as np
from numpy.typing import ArrayLike

from everloop.stats.judgements import Aggregated, checked, normalised, result, shares


def one_coin(
    workers: ArrayLike,
    items: ArrayLike,
    labels: ArrayLike,
    n_classes: int,
    iterations: int = 100,
    tolerance: float = 1e-6,
) -> Aggregated:
    """Expectation-maximisation from the majority's shares; a wrong answer is any other class with equal chance.

    It needs far fewer judgements a worker than Dawid and Skene's confusion matrix, and is surer than it should be
    where workers' mistakes depend on each other. It ends when a step gains less than `tolerance` of log-likelihood a
    judgement. `workers`, `items` and `labels` are (n,) whole numbers from 0. Raises ValueError as
    `judgements.checked`.

    Source: the "homogeneous" Dawid-Skene model in Zhang, Chen, Zhou and Jordan 2016, "Spectral methods meet EM".

    >>> found = one_coin([0, 1, 2] * 4, [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3], [1, 1, 0, 0, 0, 1, 1, 1, 1, 0, 0, 1], 2)
    >>> found.labels.tolist(), found.quality.round(2).tolist()
    ([1, 0, 1, 0], [1.0, 1.0, 0.25])
    """
    from scipy.sparse import csr_array  # 0.2 s to import: only who asks for it pays

    judged = checked(workers, items, labels, n_classes)
    k = judged.n_classes
    cell = judged.items * k + judged.labels
    shape = (judged.n_items * k, judged.n_workers)
    to_cells = csr_array((judged.weights, (cell, judged.workers)), shape=shape)
    to_workers = csr_array((judged.weights, (judged.workers, cell)), shape=shape[::-1])
    given = np.bincount(judged.workers, judged.weights, judged.n_workers)
    gain = tolerance * float(given.sum())
    probabilities, before = shares(judged), -math.inf
    step, likelihood = 0, -math.inf
    while step < iterations:
        step += 1
        right = np.asarray(to_workers @ probabilities.ravel())
        # Half a judgement of doubt: nobody is right, or wrong, always.
        accuracy = (right + 0.25) / (given + 0.5)
        wrong = np.log((1 - accuracy) / (k - 1))
        prior = probabilities.sum(axis=0) + 0.01
        scores = (to_cells @ (np.log(accuracy) - wrong)).reshape(judged.n_items, k)
        scores += np.log(prior / prior.sum())
        probabilities, total = normalised(scores)
        likelihood = total + float(given @ wrong)
        if abs(likelihood - before) <= gain:
            break
        before = likelihood
    return result(judged, probabilities, likelihood, step)

"""Confusion matrices for hidden kinds of items within each class: workers may err together."""

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from everloop.stats.judgements import Aggregated, Judgements, checked, normalised, result, said, shares

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Floats = NDArray[np.float64]


class Prior(NamedTuple):
    """The model's fixed numbers, as published."""

    classes: Floats  # (k,) of the classes' shares: what the majority counts
    groups: float = 0.1  # of the groups' shares in a class, all together
    right: float = 4.0  # of the diagonal of a confusion matrix
    wrong: float = 1.0  # of the rest of it


def ebcc(
    workers: ArrayLike,
    items: ArrayLike,
    labels: ArrayLike,
    n_classes: int,
    rng: np.random.Generator,
    groups: int = 10,
    restarts: int = 10,
    iterations: int = 500,
    tolerance: float = 1e-3,
) -> Aggregated:
    """Enhanced Bayesian classifier combination by mean-field variational inference; the best of `restarts`.

    Within each class items fall into `groups` hidden kinds, and each worker has a confusion matrix for each: so
    workers' mistakes may go together (the hard ones of a class), which Dawid and Skene's can't say. Each restart
    begins from the majority's shares split at random among the groups; the one with the highest bound on the
    evidence is returned, and the bound as its `log_likelihood` (less constants that are the same for all restarts). A
    restart ends when no class's probability moves by more than `tolerance`.

    `workers`, `items` and `labels` are (n,) whole numbers from 0. Raises ValueError as `judgements.checked`, and for
    no group or no restart.

    Source: Li, Rubinstein and Cohn 2019, "Exploiting worker correlation for label aggregation in crowdsourcing". The
    published figures are the best of 40 restarts.

    >>> found = ebcc([0, 1, 2] * 4, [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3], [1, 1, 0, 0, 0, 1] * 2, 2,
    ...              np.random.default_rng(0))
    >>> found.labels.tolist()
    [1, 0, 1, 0]
    """
    if groups < 1 or restarts < 1:
        raise ValueError(f"at least one group and one restart, not {groups} and {restarts}")
    judged = checked(workers, items, labels, n_classes)
    matrices, start = said(judged), shares(judged)
    # A class nobody named keeps a little, or its logarithm is none.
    prior = Prior(np.maximum(start.sum(axis=0), 0.01))
    best: tuple[float, Floats, int] | None = None
    for _ in range(restarts):
        split = rng.dirichlet(np.ones(groups), start.shape) * start[:, :, None]
        found = _fit(judged, matrices, split, prior, iterations, tolerance)
        if best is None or found[0] > best[0]:
            best = found
    assert best is not None
    return result(judged, best[1], best[0], best[2])


def _fit(
    judged: Judgements, said: "tuple[csr_array, csr_array]", split: Floats, prior: Prior, limit: int, tolerance: float
) -> tuple[float, Floats, int]:
    """(bound, probabilities (n_items, k), steps) from `split` (n_items, k, m): shares of class and group, in place."""
    from scipy.special import digamma, gammaln

    by_item, by_answer = said
    n, k, m = split.shape
    # [worker, label, truth, group]: what a confusion matrix counts before any evidence
    diagonal = np.where(np.eye(k, dtype=bool), prior.right, prior.wrong)[None, :, :, None]
    joint, classes = split.reshape(n, k * m), split.sum(axis=2)
    step, bound = 0, -math.inf
    while step < limit:
        step += 1
        of_group = prior.groups / m + joint.sum(axis=0).reshape(k, m)
        of_class = prior.classes + classes.sum(axis=0)
        of_label = (by_answer @ joint).reshape(judged.n_workers, k, k, m) + diagonal
        log_group = digamma(of_group) - digamma(of_group.sum(axis=1, keepdims=True))
        log_class = digamma(of_class) - digamma(of_class.sum())
        log_label = digamma(of_label) - digamma(of_label.sum(axis=1, keepdims=True))
        scores = by_item @ log_label.reshape(-1, k * m)
        scores += (log_group + log_class[:, None]).ravel()
        joint, bound = normalised(scores)
        before, classes = classes, joint.reshape(n, k, m).sum(axis=2)
        if np.abs(classes - before).max() <= tolerance:
            break
    # At its update the items' part of the bound is the rows' log totals; the rest is the distance of each Dirichlet
    # from its prior, whose own constants are the same for every restart.
    for posterior, before_it, logs, axis in (
        (of_class, prior.classes, log_class, 0),
        (of_group, prior.groups / m, log_group, 1),
        (of_label, diagonal, log_label, 1),
    ):
        bound += float(gammaln(posterior).sum() - gammaln(posterior.sum(axis=axis)).sum())
        bound -= float(((posterior - before_it) * logs).sum())
    return bound, classes, step

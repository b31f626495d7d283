"""How far each person can be believed: agreement with known truth and with each other, shrunk where there is little."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from everloop.stats.judgements import checked, votes


class Trust(NamedTuple):
    """For each worker (n_workers,): how often their judgements can be expected to be agreed with."""

    estimate: NDArray[np.float64]  # posterior mean
    low: NDArray[np.float64]  # ends of the credible interval
    high: NDArray[np.float64]
    n: NDArray[np.int64]  # judgements that were evidence
    gold: NDArray[np.int64]  # of these, on items whose truth is known
    usual: float  # the mean everybody is drawn to
    right: NDArray[np.float64]  # what the evidence adds up to: in favour,
    given: NDArray[np.float64]  # and in all


class Shrunk(NamedTuple):
    """Rates, each drawn to that of all by as much as it rests on little."""

    estimate: NDArray[np.float64]  # posterior mean
    low: NDArray[np.float64]  # ends of the credible interval
    high: NDArray[np.float64]
    usual: float  # the mean everybody is drawn to


def shrunk(right: ArrayLike, given: ArrayLike, strength: float = 5.0, level: float = 0.95) -> Shrunk:
    """The rates `right` of `given`, both (n,) and perhaps in parts of a judgement: the mean of a Beta posterior.

    Everybody starts from `strength` judgements at the rate of all. Raises ValueError for more right than given, and
    unless strength > 0 and 0 < level < 1.

    >>> shrunk([9, 0], [10, 0]).estimate.round(2).tolist()
    [0.89, 0.86]
    """
    from scipy.special import betaincinv  # 0.3 s to import: only who asks for it pays

    good, all_of_it = np.asarray(right, np.float64), np.asarray(given, np.float64)
    if good.shape != all_of_it.shape or not ((good >= -1e-9) & (good <= all_of_it + 1e-9)).all():
        raise ValueError("of each there are as many right as given, at most")
    if not (strength > 0 and 0 < level < 1):
        raise ValueError(f"nothing is shrunk with strength {strength}, level {level}")
    usual = float((good.sum() + 0.5) / (all_of_it.sum() + 1))
    a = np.maximum(good, 0.0) + strength * usual
    b = np.maximum(all_of_it - good, 0.0) + strength * (1 - usual)
    tail = (1 - level) / 2
    return Shrunk(
        a / (a + b),
        np.asarray(betaincinv(a, b, tail), dtype=np.float64),
        np.asarray(betaincinv(a, b, 1 - tail), dtype=np.float64),
        usual,
    )


def trust(
    workers: ArrayLike,
    items: ArrayLike,
    labels: ArrayLike,
    n_classes: int,
    gold: ArrayLike | None = None,
    peers: float = 0.5,
    strength: float = 5.0,
    level: float = 0.95,
) -> Trust:
    """A weight for each person: the mean of a Beta posterior, with its interval and what it rests on.

    A judgement on a `gold` item ((n_items,), -1 where unknown) is right or wrong; on any other item that somebody
    else judged it counts for the share of the others who say the same, and for `peers` of a judgement, as the others
    may be wrong. What only one person judged is no evidence. Everybody starts from `strength` judgements at the rate
    of all, so that a first lucky answer doesn't make an expert, and who has no evidence is as good as the usual.

    `workers`, `items` and `labels` are (n,) whole numbers from 0. Raises ValueError as `judgements.checked`, for gold
    that does not fit, and unless 0 <= peers <= 1, strength > 0 and 0 < level < 1.

    >>> found = trust([0, 1, 2] * 2, [0, 0, 0, 1, 1, 1], [1, 1, 0, 0, 0, 1], 2, gold=[1, -1])
    >>> found.estimate.round(2).tolist(), found.n.tolist(), found.gold.tolist()
    ([0.61, 0.61, 0.42], [2, 2, 2], [1, 1, 1])
    """
    if not (0 <= peers <= 1 and strength > 0 and 0 < level < 1):
        raise ValueError(f"no trust with peers {peers}, strength {strength}, level {level}")
    judged = checked(workers, items, labels, n_classes)
    known = np.full(judged.n_items, -1) if gold is None else np.asarray(gold)
    if known.shape != (judged.n_items,) or known.min() < -1 or known.max() >= n_classes:
        raise ValueError(f"gold is a class or -1 for each of {judged.n_items} items")
    counted = votes(judged)
    others = counted.sum(axis=1)[judged.items] - judged.weights
    same = counted[judged.items, judged.labels] - judged.weights
    truth = known[judged.items]
    golden = truth >= 0
    beside = ~golden & (others > 1e-9)
    value = np.where(golden, truth == judged.labels, same / np.where(beside, others, 1.0))
    weight = judged.weights * np.where(golden, 1.0, np.where(beside, peers, 0.0))
    given = np.bincount(judged.workers, weight, judged.n_workers)
    right = np.bincount(judged.workers, weight * value, judged.n_workers)
    found = shrunk(right, given, strength, level)
    return Trust(
        found.estimate,
        found.low,
        found.high,
        np.bincount(judged.workers[golden | (beside & (peers > 0))], minlength=judged.n_workers),
        np.bincount(judged.workers[golden], minlength=judged.n_workers),
        found.usual,
        right.astype(np.float64),
        given.astype(np.float64),
    )

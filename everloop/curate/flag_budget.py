"""How many suspects people should look at next: as many as past looks say are worth it.

A model's own probability that a label is wrong is where it begins; what people found in flags of a like score corrects
it. Looking stops where fewer than a floor's share of flags would be right.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from everloop.errors import InvalidInput
from everloop.stats.estimate import Estimate
from everloop.stats.intervals import exact

_BINS = 8  # stretches of the queue, of which each has its own share of right flags
_LEAST = 20  # flags in a stretch, at least
_STRENGTH = 8.0  # flags that the model's own word weighs, in each stretch


class Stretch(NamedTuple):
    """A part of the queue: scores from `high` down to `low`."""

    high: float
    low: float
    seen: int  # flags people have looked at
    right: int  # those whose label was wrong
    waiting: int  # flags nobody has looked at
    precision: Estimate  # share of its waiting flags that will be right


class Budget(NamedTuple):
    """What to queue."""

    queue: int  # so many of the waiting, those with the highest scores
    right: Estimate  # how many of these will be right; n is `queue`
    measured: Estimate | None  # share of all past flags that were right; None: there are none
    stretches: tuple[Stretch, ...]  # the highest scores first
    stopped: str  # why there: "floor", "least" (too few seen to know), "most" or "end" (nothing waits below)


def budget(
    right: NDArray[np.bool_],
    seen: NDArray[np.float64],
    waiting: NDArray[np.float64],
    *,
    floor: float = 0.5,
    least: int = 20,
    most: int | None = None,
    level: float = 0.95,
) -> Budget:
    """How many of the `waiting` (w,) scores to queue, after flags with scores `seen` (s,) were `right` (s,) or not.

    Scores are probabilities that a label is wrong (`label_errors.Suspects.score`). Each stretch of scores has a Beta
    distribution, begun at its mean score and updated by what was seen; higher scores are never worse than lower ones
    (Ayer et al. 1955). Intervals are from beta-binomial distributions; those of `measured` are Clopper and Pearson's,
    and assume that what was seen was not chosen by its answer. Until `least` flags have been seen, so many are queued
    whatever the model says of them: a model that thinks no label wrong would never be corrected. Raises InvalidInput
    for lengths that differ, a score or `floor` outside of 0 to 1, `least` or `most` below 0.

    >>> rng = np.random.default_rng(0)
    >>> seen = rng.uniform(size=400)
    >>> found = budget(rng.uniform(size=400) < seen / 2, seen, rng.uniform(size=1000), floor=0.3)
    >>> found.stopped, 300 < found.queue < 500  # half as good as it says: only scores from 0.6 on are worth it
    ('floor', True)
    """
    right, seen, waiting = np.asarray(right, np.bool_), np.asarray(seen, np.float64), np.asarray(waiting, np.float64)
    if right.shape != seen.shape or seen.ndim != 1 or waiting.ndim != 1:
        raise InvalidInput(f"{seen.size} flags seen need as many verdicts, not {right.size}")
    for scores in (seen, waiting, np.array([floor, level])):
        if scores.size and not (np.isfinite(scores).all() and (scores >= 0).all() and (scores <= 1).all()):
            raise InvalidInput("scores, floor and level must lie between 0 and 1")
    if not 0 < level < 1 or least < 0 or (most is not None and most < 0):
        raise InvalidInput("level must lie between 0 and 1, and least and most must not be negative")
    measured = exact(int(right.sum()), seen.size, level) if seen.size else None
    edges = _edges(np.concatenate((seen, waiting)))
    if not edges.size:
        return Budget(0, Estimate(0.0, 0.0, 0.0, 0), measured, (), "end")
    bins = len(edges) - 1
    of_seen, of_waiting = _place(seen, edges), _place(waiting, edges)
    n, hits = np.bincount(of_seen, minlength=bins), np.bincount(of_seen, right, minlength=bins)
    ahead = np.bincount(of_waiting, minlength=bins)
    both = np.concatenate((of_seen, of_waiting))
    said = np.bincount(both, np.concatenate((seen, waiting)), minlength=bins) / np.maximum(
        np.bincount(both, minlength=bins), 1
    )
    a, b = 0.5 + hits + _STRENGTH * said, 0.5 + n - hits + _STRENGTH * (1 - said)
    share = _falling(a / (a + b), a + b)
    a, b = share * (a + b), (1 - share) * (a + b)
    good = share >= floor
    upto = bins if good.all() else int(np.argmin(good))
    count = int(ahead[:upto].sum())
    stopped = "end" if count == waiting.size else "floor"
    if count < (first := min(waiting.size, least - seen.size)):
        count, stopped = first, "least"
    if most is not None and count > most:
        count, stopped = most, "most"
    taken = np.clip(count - (np.cumsum(ahead) - ahead), 0, ahead)
    stretches = tuple(
        Stretch(float(edges[i]), float(edges[i + 1]), int(n[i]), int(hits[i]), int(ahead[i]),
                Estimate(float(share[i]), *_interval(a[i], b[i], level), int(n[i])))
        for i in range(bins)
    )  # fmt: skip
    return Budget(count, _total(taken, a, b, level), measured, stretches, stopped)


def _edges(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Falling scores between which stretches lie; none has fewer than `_LEAST` flags unless all are one."""
    if not scores.size:
        return np.zeros(0)
    bins = int(np.clip(scores.size // _LEAST, 1, _BINS))
    inner = np.quantile(scores, np.linspace(1, 0, bins + 1)[1:-1])
    kept = [edge for edge in np.unique(inner)[::-1].tolist() if scores.min() < edge < scores.max()]
    return np.array([scores.max(), *kept, scores.min()])


def _place(scores: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.int64]:
    """The stretch of each: a score on an edge lies above it."""
    inner = edges[1:-1]
    return np.searchsorted(-inner, -scores, side="left").astype(np.int64)


def _falling(values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """The nearest values that never rise: neighbours that do are pooled.

    >>> _falling(np.array([0.9, 0.3, 0.5]), np.array([1.0, 3.0, 1.0])).round(3).tolist()
    [0.9, 0.35, 0.35]
    """
    blocks: list[tuple[float, float, int]] = []
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        mean, total, size = value, weight, 1
        while blocks and blocks[-1][0] < mean:
            before, heavy, long = blocks.pop()
            mean, total, size = (before * heavy + mean * total) / (heavy + total), heavy + total, size + long
        blocks.append((mean, total, size))
    return np.concatenate([np.full(size, mean) for mean, _, size in blocks])


def _interval(a: float, b: float, level: float) -> tuple[float, float]:
    from scipy.special import betaincinv  # 0.3 s to import: only who asks for it pays

    return float(betaincinv(a, b, (1 - level) / 2)), float(betaincinv(a, b, (1 + level) / 2))


def _total(taken: NDArray[np.int64], a: NDArray[np.float64], b: NDArray[np.float64], level: float) -> Estimate:
    """How many of `taken` from each stretch are right: the sum's mean and variance, as one beta-binomial."""
    from scipy.stats import betabinom

    count = int(taken.sum())
    if not count:
        return Estimate(0.0, 0.0, 0.0, 0)
    share, size = a / (a + b), a + b
    mean = float((taken * share).sum())
    variance = float((taken * share * (1 - share) * (size + taken) / (size + 1)).sum())
    p = min(max(mean / count, 1e-9), 1 - 1e-9)
    # A beta-binomial of `count` has the variance count p (1 - p) (1 + (count - 1) rho); rho between 0 and 1.
    rho = 0.5 if count < 2 else (variance / (count * p * (1 - p)) - 1) / (count - 1)
    strength = 1 / min(max(rho, 1e-9), 1 - 1e-9) - 1
    spread = betabinom(count, p * strength, (1 - p) * strength)
    return Estimate(mean, float(spread.ppf((1 - level) / 2)), float(spread.ppf((1 + level) / 2)), count)

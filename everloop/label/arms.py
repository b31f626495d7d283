"""What choosing brings, measured in production: the rows drawn at random beside the rows that were chosen."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from everloop.errors import InvalidInput
from everloop.stats.estimate import Estimate
from everloop.stats.intervals import wilson


class Gain(NamedTuple):
    """The share of proposals that people found wrong: a label that only confirms teaches little."""

    random: Estimate  # of the rows drawn at random: the model's error on what comes in
    chosen: Estimate  # of the rows that were chosen
    difference: Estimate  # chosen - random; n is that of both


def gain(
    random_wrong: Sequence[bool], chosen_wrong: Sequence[bool], level: float = 0.95, *,
    weights: Sequence[float] | None = None,
) -> Gain:  # fmt: skip
    """For each reviewed row of either arm, whether the machine's proposal was wrong; either arm needs one at least.

    The interval of the difference is Newcombe's hybrid of two Wilson intervals. Source: Newcombe 1998, "Interval
    estimation for the difference between independent proportions", method 10. Where the arms share the rows otherwise
    in one turn than in the next, `weights` says how many chosen rows each random one stands for, by chosen / random of
    its turn: the random arm is then what as many rows drawn at random in the same turns would have shown, and its
    interval is that of so many as tell as much (Kish 1965, "Survey sampling"). Raises InvalidInput for an empty arm, or
    weights that are not as many, or not above 0.

    >>> found = gain([True] * 48 + [False] * 32, [True] * 56 + [False] * 14)
    >>> [round(x, 4) for x in found.difference]
    [0.2, 0.0524, 0.3339, 150]
    """
    if not len(random_wrong) or not len(chosen_wrong):
        raise InvalidInput("the gain of choosing needs reviewed rows of both arms, random and chosen")
    base, best = (wilson(sum(map(bool, arm)), len(arm), level) for arm in (random_wrong, chosen_wrong))
    if weights is not None:
        base = _standing(random_wrong, weights, level)
    gap = best.estimate - base.estimate
    low = gap - math.hypot(best.estimate - best.low, base.high - base.estimate)
    high = gap + math.hypot(best.high - best.estimate, base.estimate - base.low)
    return Gain(base, best, Estimate(gap, low, high, base.n + best.n))


def _standing(wrong: Sequence[bool], weights: Sequence[float], level: float) -> Estimate:
    if len(weights) != len(wrong) or not all(weight > 0 for weight in weights):
        raise InvalidInput("each random row needs a weight above 0")
    total = math.fsum(weights)
    worth = max(1, round(total * total / math.fsum(weight * weight for weight in weights)))
    share = min(1.0, math.fsum(weight for weight, bad in zip(weights, wrong, strict=True) if bad) / total)
    return wilson(share * worth, worth, level)._replace(n=len(wrong))

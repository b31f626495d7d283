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


def gain(random_wrong: Sequence[bool], chosen_wrong: Sequence[bool], level: float = 0.95) -> Gain:
    """For each reviewed row of either arm, whether the machine's proposal was wrong; either arm needs one at least.

    The interval of the difference is Newcombe's hybrid of two Wilson intervals. Source: Newcombe 1998, "Interval
    estimation for the difference between independent proportions", method 10. Raises InvalidInput for an empty arm.

    >>> found = gain([True] * 48 + [False] * 32, [True] * 56 + [False] * 14)
    >>> [round(x, 4) for x in found.difference]
    [0.2, 0.0524, 0.3339, 150]
    """
    if not len(random_wrong) or not len(chosen_wrong):
        raise InvalidInput("the gain of choosing needs reviewed rows of both arms, random and chosen")
    base, best = (wilson(sum(map(bool, arm)), len(arm), level) for arm in (random_wrong, chosen_wrong))
    gap = best.estimate - base.estimate
    low = gap - math.hypot(best.estimate - best.low, base.high - base.estimate)
    high = gap + math.hypot(best.high - best.estimate, base.estimate - base.low)
    return Gain(base, best, Estimate(gap, low, high, base.n + best.n))

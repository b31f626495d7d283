"""An interval of a share that holds at every moment at once: it may be looked at after each observation, for ever."""

import math

from everloop.stats.estimate import Estimate

_STEPS = 60  # halvings: the ends are exact to the last bits


def bernoulli(successes: int, n: int, level: float = 0.95) -> Estimate:
    """The shares under which a bet on every other share would not have multiplied its stake by 1 / (1 - level).

    With probability `level` or more the truth lies in all the intervals of a sequence, however long it is watched and
    whenever somebody stops. Wider than `intervals.exact`, which holds for one look. The bet is a mixture, Beta(1/2,
    1/2) over the alternatives. Source: Robbins 1970, "Statistical methods related to the law of the iterated
    logarithm", and Waudby-Smith and Ramdas 2023 (arXiv 2010.09686). (0, 1) where n is 0; raises ValueError unless
    0 <= successes <= n and 0 < level < 1.

    >>> share = bernoulli(81, 263)
    >>> round(share.low, 3), round(share.high, 3)
    (0.216, 0.411)
    """
    if not 0 <= successes <= n or not 0 < level < 1:
        raise ValueError(f"no proportion: {successes} of {n} at level {level}")
    if n == 0:
        return Estimate(0.5, 0.0, 1.0, 0)
    failures = n - successes
    mixture = (
        math.lgamma(successes + 0.5) + math.lgamma(failures + 0.5) - math.lgamma(n + 1.0) - 2 * math.lgamma(0.5)
    )  # fmt: skip
    most = -math.log(1 - level)

    def outside(share: float) -> bool:
        likely = 0.0
        for count, chance in ((successes, share), (failures, 1 - share)):
            if count:
                likely += count * math.log(chance) if chance > 0 else -math.inf
        return mixture - likely >= most

    middle = successes / n
    ends = []
    for end in (0.0, 1.0):
        near, far = middle, end
        for _ in range(_STEPS if outside(end) else 0):
            half = (near + far) / 2
            near, far = (near, half) if outside(half) else (half, far)
        ends.append(far)
    return Estimate(middle, ends[0], ends[1], n)

"""A number with what it rests on."""

from typing import NamedTuple


class Estimate(NamedTuple):
    """A number, its interval and the count behind it."""

    estimate: float
    low: float  # lower end of the interval
    high: float  # upper end
    n: int  # observations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from everloop.stats import intervals

# Newcombe 1998, "Two-sided confidence intervals for the single proportion", Statistics in Medicine 17:857-872, Table I.
PUBLISHED = [
    (81, 263, (0.2553, 0.3662), (0.2527, 0.3676)),
    (15, 148, (0.0624, 0.1605), (0.0578, 0.1617)),
    (0, 20, (0.0, 0.1611), (0.0, 0.1684)),
    (1, 29, (0.0061, 0.1718), (0.0009, 0.1776)),
]


@pytest.mark.parametrize(("successes", "n", "score", "clopper"), PUBLISHED)
def test_published_intervals(successes, n, score, clopper):
    assert intervals.wilson(successes, n)[1:3] == pytest.approx(score, abs=5e-5)
    assert intervals.exact(successes, n)[1:3] == pytest.approx(clopper, abs=5e-5)


@given(
    st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.sampled_from([0.8, 0.95, 0.99])
)
def test_against_scipy(counts, level):
    successes, n = counts
    oracle = stats.binomtest(successes, n)
    for ours, method in ((intervals.wilson, "wilson"), (intervals.exact, "exact")):
        low, high = oracle.proportion_ci(level, method)
        found = ours(successes, n, level)
        assert found.low == pytest.approx(low, abs=1e-9)
        assert found.high == pytest.approx(high, abs=1e-9)
        assert found.low <= found.estimate <= found.high
        assert found.n == n


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=30).filter(lambda x: np.std(x) > 1e-6))
def test_mean_against_scipy(values):
    found = intervals.mean(values, 0.9)
    low, high = stats.t.interval(0.9, len(values) - 1, np.mean(values), stats.sem(values))
    assert found.low == pytest.approx(low, rel=1e-9, abs=1e-6)
    assert found.high == pytest.approx(high, rel=1e-9, abs=1e-6)


def test_one_value_has_no_interval():
    assert intervals.mean([3.0]) == (3.0, -math.inf, math.inf, 1)


@pytest.mark.parametrize(
    ("successes", "n", "level"), [(1, 0, 0.95), (3, 2, 0.95), (-1, 2, 0.95), (1, 2, 1.0), (1, 2, 0.0)]
)
def test_nonsense_raises(successes, n, level):
    for interval in (intervals.wilson, intervals.exact):
        with pytest.raises(ValueError, match="no proportion"):
            interval(successes, n, level)


def test_a_mean_of_nothing_raises():
    for values in ([], [float("nan")], [float("inf"), 1.0]):
        with pytest.raises(ValueError, match="finite"):
            intervals.mean(values)

"""What choosing brings, from the two arms."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.errors import InvalidInput
from everloop.label import gain

arm = st.lists(st.booleans(), min_size=1, max_size=80)


@pytest.mark.parametrize(
    ("a", "m", "b", "n", "low", "high"),
    [(9, 10, 3, 10, 0.1705, 0.8090), (10, 10, 0, 20, 0.6791, 1.0), (5, 56, 0, 29, -0.0381, 0.1926)],
)
def test_newcombes_published_intervals(a, m, b, n, low, high):
    found = gain([True] * b + [False] * (n - b), [True] * a + [False] * (m - a)).difference
    assert (found.low, found.high) == (pytest.approx(low, abs=6e-5), pytest.approx(high, abs=6e-5))


@given(arm, arm)
def test_the_interval_holds_the_estimate_and_turns_with_the_arms(a, b):
    there, back = gain(a, b), gain(b, a).difference
    assert -1 <= there.difference.low <= there.difference.estimate <= there.difference.high <= 1
    assert there.difference.estimate == pytest.approx(-back.estimate)
    assert there.difference.low == pytest.approx(-back.high)
    assert there.difference.n == len(a) + len(b)
    assert there.random.n == len(a)


@pytest.mark.parametrize("arms", [([], [True]), ([False], [])])
def test_an_empty_arm_has_no_gain(arms):
    with pytest.raises(InvalidInput):
        gain(*arms)

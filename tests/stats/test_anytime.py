import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.stats.anytime import bernoulli
from everloop.stats.intervals import exact


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_it_holds_the_exact_interval_of_one_look(counts):
    successes, n = counts
    found, once = bernoulli(successes, n), exact(successes, n)
    assert found.low <= once.low + 1e-9
    assert found.high >= once.high - 1e-9
    mirrored = bernoulli(n - successes, n)
    assert (1 - mirrored.high, 1 - mirrored.low) == pytest.approx((found.low, found.high), abs=1e-9)


def test_the_truth_is_inside_at_every_look():
    rng = np.random.default_rng(0)
    for share in (0.05, 0.5):
        table = {}
        outside = 0
        for _ in range(100):
            counts = np.cumsum(rng.random(400) < share)
            for n in range(1, 401, 8):
                key = (int(counts[n - 1]), n)
                if key not in table:
                    found = bernoulli(*key)
                    table[key] = found.low <= share <= found.high
                if not table[key]:
                    outside += 1
                    break
        assert outside / 100 <= 0.1


def test_nothing_seen_and_nonsense():
    assert bernoulli(0, 0)[1:] == (0.0, 1.0, 0)
    with pytest.raises(ValueError, match="no proportion"):
        bernoulli(3, 2)

"""Exact upper bounds: against scipy, against counting, and against the tables auditors use."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from everloop.stats.bounds import binomial_upper, hypergeometric_cdf, hypergeometric_upper, labels_for

counts = st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
levels = st.sampled_from([0.8, 0.9, 0.95, 0.99])
# size, n, errors
pools = st.integers(1, 60).flatmap(
    lambda size: st.integers(0, size).flatmap(lambda n: st.tuples(st.just(size), st.just(n), st.integers(0, n)))
)

# AICPA, Audit Guide: Audit Sampling, the table of sample sizes for tests of controls at 5 % risk of overreliance:
# tolerable rate, errors expected, rows to draw.
AUDITORS = [(0.05, 0, 59), (0.05, 1, 93), (0.05, 2, 124), (0.10, 0, 29), (0.10, 1, 46), (0.02, 0, 149)]


@pytest.mark.parametrize(("rate", "errors", "n"), AUDITORS)
def test_the_tables_of_auditors(rate, errors, n):
    assert binomial_upper(errors, n) <= rate + 5e-4  # they round to the nearest row
    assert binomial_upper(errors, n - 2) > rate
    assert errors or labels_for(rate) == n


@given(counts, levels)
def test_the_binomial_bound_is_scipys(drawn, level):
    errors, n = drawn
    oracle = stats.binomtest(errors, n, alternative="less").proportion_ci(level, "exact").high
    assert binomial_upper(errors, n, level) == pytest.approx(oracle, abs=1e-9)


@given(pools, levels)
def test_the_hypergeometric_bound_is_what_counting_finds(drawn, level):
    size, n, errors = drawn
    chance = {w: stats.hypergeom.cdf(errors, size, w, n) for w in range(errors, size - n + errors + 1)}
    fits = [w for w in chance if chance[w] > (1 - level) * (1 - 1e-9)]
    assert hypergeometric_upper(errors, n, size, level) == max(fits)


@given(pools, st.integers(-1, 60))
def test_the_hypergeometric_sum_is_scipys(drawn, errors):
    size, n, wrong = drawn
    assert float(hypergeometric_cdf(errors, size, wrong, n)) == pytest.approx(
        float(stats.hypergeom.cdf(errors, size, wrong, n)), abs=1e-12
    )


def test_the_sum_holds_for_large_pools_and_far_from_the_middle():
    for e, size, wrong, n in ((480, 10**6, 5_000, 10**5), (500, 10**6, 5_000, 10**5), (5_000, 10**6, 5_000, 10**5),
                              (40, 10**6, 1_000, 500), (0, 10**6, 60_000, 50)):  # fmt: skip
        oracle = float(stats.hypergeom.cdf(e, size, wrong, n))
        assert float(hypergeometric_cdf(e, size, wrong, n)) == pytest.approx(oracle, rel=1e-6)


def test_the_bound_holds_at_its_level():
    """Over draws from pools of every kind the truth is above the bound in no more than 5 % of them."""
    rng = np.random.default_rng(0)
    for size, wrong, n in ((200, 20, 80), (500, 10, 120), (90, 45, 30)):
        table = [hypergeometric_upper(e, n, size) for e in range(min(wrong, n) + 1)]
        drawn = rng.hypergeometric(wrong, size - wrong, n, size=20_000)
        assert np.mean(np.array(table)[drawn] < wrong) <= 0.055


@pytest.mark.parametrize("call", [lambda: binomial_upper(3, 2), lambda: binomial_upper(0, 2, 1.0),
                                  lambda: hypergeometric_upper(0, 5, 4), lambda: labels_for(0.0)])  # fmt: skip
def test_nonsense_raises(call):
    with pytest.raises(ValueError, match=r"no bound|drawn from|no number"):
        call()


def test_nothing_drawn_bounds_nothing():
    assert binomial_upper(0, 0) == 1.0
    assert hypergeometric_upper(0, 0, 7) == 7

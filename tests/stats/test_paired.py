import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats

from everloop.stats import clusters, tango
from everloop.stats.paired import compare

Z = stats.norm.ppf(0.975)


def series(both, better, worse, neither):
    a = [1] * both + [1] * better + [0] * worse + [0] * neither
    b = [1] * both + [0] * better + [1] * worse + [0] * neither
    return a, b


def test_published_interval():
    # Cavo et al. 2012, complete response before and after consolidation, as analysed with Tango's interval by
    # Fagerland, Lydersen and Laake 2014, Statistics in Medicine 33:2850-2875.
    found = compare(*series(59, 6, 16, 80))
    assert found[:4] == pytest.approx((-0.0621, -0.1240, -0.0054, 161), abs=5e-5)
    assert (found.better, found.worse, found.method) == (6, 16, "tango")


@pytest.mark.parametrize(("better", "worse", "n"), [(6, 16, 161), (0, 3, 20), (4, 4, 30), (1, 0, 10)])
@pytest.mark.parametrize("difference", [-0.4, -0.1, 0.05, 0.3])
def test_statistic_from_its_definition(better, worse, n, difference):
    """The score, with the likeliest table found by a numeric search instead of Tango's formula."""

    def lost(q):  # minus log likelihood of P(worse) = q, P(better) = q + difference
        p = q + difference
        return -(stats.multinomial.logpmf([better, worse, n - better - worse], n, [p, q, 1 - p - q]))

    q = optimize.minimize_scalar(
        lost,
        bounds=(max(0, -difference) + 1e-12, (1 - difference) / 2 - 1e-12),
        method="bounded",
        options={"xatol": 1e-12},
    ).x
    expected = (better - worse - n * difference) / math.sqrt(n * (2 * q + difference * (1 - difference)))
    assert tango.statistic(difference, better, worse, n) == pytest.approx(expected, rel=1e-4)


counts = st.tuples(*[st.integers(0, 25)] * 4).filter(any)


@given(counts, st.sampled_from([0.8, 0.95, 0.99]))
def test_antisymmetric_and_ordered(table, level):
    a, b = series(*table)
    ab, ba = compare(a, b, level=level), compare(b, a, level=level)
    assert ab.estimate == -ba.estimate
    assert ab.low == pytest.approx(-ba.high, abs=1e-9)
    assert -1 <= ab.low <= ab.estimate + 1e-12
    assert ab.estimate - 1e-12 <= ab.high <= 1
    assert ab.high - ab.low > 0, "finitely many rows never prove a difference exactly"


@given(counts, st.floats(0, 0.2))
def test_p_agrees_with_the_interval(table, margin):
    """The margin is refuted at 2.5 % exactly where the two-sided 95 % interval excludes it."""
    found = compare(*series(*table), margin=margin)
    if abs(found.low + margin) > 1e-6:
        assert (found.p < 0.025) == (found.low > -margin)


@given(st.lists(st.tuples(st.floats(-10, 10), st.floats(-10, 10)), min_size=3, max_size=30))
def test_scores_against_scipy(pairs):
    a, b = np.array(pairs).T
    if np.std(a - b) < 1e-3 or np.isin(pairs, (0, 1)).all():
        return
    found, oracle = compare(a, b), stats.ttest_rel(a, b)
    interval = oracle.confidence_interval(0.95)
    assert found[1:3] == pytest.approx((interval.low, interval.high), abs=1e-9)
    assert found.p == pytest.approx(stats.ttest_rel(a, b, alternative="greater").pvalue, abs=1e-9)


def test_clusters_of_one_change_little():
    a, b = series(30, 6, 3, 11)
    assert compare(a, b, [str(i) for i in range(50)]) == compare(a, b)


def test_copies_teach_nothing():
    """Every row five times over, in groups: the interval is no shorter than that of the rows once."""
    a, b = series(30, 6, 3, 11)
    names = [str(i) for i in range(50)] * 5
    once, copied = compare(a, b), compare(a * 5, b * 5, names)
    assert copied.n == 250
    assert copied.clusters == 50
    assert copied.high - copied.low >= once.high - once.low
    assert copied.high - copied.low < 1.2 * (once.high - once.low)


def test_no_differences_in_few_groups_prove_little():
    few = compare([1] * 100, [1] * 100, ["a", "b", "c", "d"] * 25)
    many = compare([1] * 100, [1] * 100)
    assert few.low < -0.5 < -0.05 < many.low


def test_a_single_group_says_nothing():
    assert compare([1, 0, 1], [0, 0, 1], ["a"] * 3)[1:3] == (-1.0, 1.0)
    assert compare([1.5, 0, 1], [0, 0, 1], ["a"] * 3)[1:3] == (-math.inf, math.inf)


@pytest.mark.parametrize(
    ("n", "p_better", "p_worse"), [(20, 0.1, 0.1), (40, 0.05, 0.15), (100, 0.02, 0.02), (60, 0.3, 0.1)]
)
def test_coverage(n, p_better, p_worse):
    rng = np.random.default_rng(5)
    draws = rng.multinomial(n, [p_better, p_worse, 1 - p_better - p_worse], size=1500)
    kinds, times = np.unique(draws, axis=0, return_counts=True)
    held = 0
    for (better, worse, _), count in zip(kinds, times, strict=True):
        low, high = tango.interval(better, worse, n, Z)
        held += count * (low <= p_better - p_worse <= high)
    assert 0.935 <= held / 1500 <= 0.995


@pytest.mark.parametrize("binary", [True, False])
def test_coverage_in_clusters(binary):
    """Groups that share their luck: the clustered interval keeps its level, the plain one does not."""
    rng = np.random.default_rng(7)
    held = plain = 0
    for _ in range(400):
        size = rng.integers(1, 6, 40)
        group = np.repeat(np.arange(40), size)
        lift = rng.choice([-1, 0, 0, 0, 1], 40)[group]
        own = rng.choice([-1, 0, 0, 0, 1], group.size)
        d = np.where(rng.random(group.size) < 0.8, lift, own)
        a, b = (d > 0).astype(float), (d < 0).astype(float)
        if not binary:
            a = a + 0.5
            b = b + 0.5
        names = [str(g) for g in group]
        found, naive = compare(a, b, names), compare(a, b)
        held += found.low <= 0 <= found.high
        plain += naive.low <= 0 <= naive.high
    assert held / 400 > 0.925
    assert plain / 400 < 0.88


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 5)), min_size=1, max_size=40))
def test_worth_is_between_one_and_n(rows):
    values = np.array([value for value, _ in rows], float)
    group = clusters.index([str(g) for _, g in rows], len(rows))
    assert 1 <= clusters.worth(values, group) <= len(rows)


def test_nonsense_raises():
    for a, b in (([1], [1, 0]), ([], []), ([[1]], [[0]])):
        with pytest.raises(ValueError, match="same length"):
            compare(a, b)
    with pytest.raises(ValueError, match="finite"):
        compare([float("nan")], [0])
    with pytest.raises(ValueError, match="clusters"):
        compare([1, 0], [0, 1], ["a"])

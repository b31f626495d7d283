import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.stats.multiplicity import bonferroni, holm, simultaneous
from everloop.stats.power import detectable

ps = st.lists(st.floats(0, 1), min_size=1, max_size=20)


def test_worked_example():
    # Wikipedia, "Holm-Bonferroni method", Example: H4 and H1 are rejected at 5 %, H3 and H2 are not.
    assert holm([0.01, 0.04, 0.03, 0.005]).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert bonferroni([0.01, 0.04, 0.03, 0.005]).tolist() == pytest.approx([0.04, 0.16, 0.12, 0.02])


@given(ps, st.floats(0.001, 0.5))
def test_holm_is_the_step_down_procedure(p, alpha):
    """Rejecting where the adjusted value is at most alpha is what Holm's rule does step by step."""
    rejected = set()
    for step, i in enumerate(np.argsort(p, kind="stable")):
        if p[i] * (len(p) - step) > alpha:
            break
        rejected.add(int(i))
    assert set(np.flatnonzero(holm(p) <= alpha).tolist()) == rejected


@given(ps)
def test_between_raw_and_bonferroni(p):
    assert (holm(p) >= np.array(p)).all()
    assert (holm(p) <= bonferroni(p)).all()
    order = np.argsort(p, kind="stable")
    assert (np.diff(holm(p)[order]) >= 0).all()


def test_no_false_rejection_more_often_than_alpha():
    rng = np.random.default_rng(3)
    wrong = sum((holm(rng.random(8)) <= 0.05).any() for _ in range(2000))
    assert wrong / 2000 < 0.065


def test_simultaneous_level():
    assert simultaneous(0.95, 1) == pytest.approx(0.95)
    assert simultaneous(0.95, 0) == pytest.approx(0.95)
    assert simultaneous(0.9, 10) == pytest.approx(0.99)
    for level, count in ((1.0, 2), (0.95, -1)):
        with pytest.raises(ValueError, match="simultaneous"):
            simultaneous(level, count)


def test_nonsense_raises():
    for p in ([1.1], [-0.1], [float("nan")]):
        with pytest.raises(ValueError, match="between 0 and 1"):
            holm(p)


def test_what_is_detectable_is_detected():
    n, spread = 200, 0.4
    true = detectable(n, spread)
    rng = np.random.default_rng(1)
    means = rng.normal(true, spread / np.sqrt(n), 4000)
    assert (means > 1.645 * spread / np.sqrt(n)).mean() == pytest.approx(0.8, abs=0.02)
    assert detectable(0, 0.4) == float("inf")

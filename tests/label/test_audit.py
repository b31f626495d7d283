"""The promise is watched for ever: no alarm while it holds, an early one when it breaks, the same from the record."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.errors import InvalidInput
from everloop.label.audit import Audit, audit_share, recalibrate, shift


def first_alarm(audit, wrong):
    return next((i for i, one in enumerate(wrong) if audit.update(not one).alarm), None)


@given(st.lists(st.booleans(), max_size=120), st.floats(0.01, 0.5), st.sampled_from([0.8, 0.95]))
def test_it_is_rebuilt_from_the_sequence(correct, max_error, level):
    audit = Audit(max_error, level)
    for one in correct:
        audit.update(one)
    assert Audit.of(max_error, correct, level).state == audit.state
    assert audit.state.error.n == len(correct)
    assert audit.state.error.low <= audit.state.error.estimate <= audit.state.error.high


@given(st.lists(st.booleans(), max_size=10), st.floats(0.05, 0.6))
def test_under_the_promise_the_bet_does_not_grow_in_the_mean(before, max_error):
    """Whatever has been seen: the next wealth, weighed by the worst error allowed, is not above this one."""
    now = Audit.of(max_error, before).state.evidence
    wrong, right = (Audit.of(max_error, [*before, last]).state.evidence for last in (False, True))
    assert max_error * wrong + (1 - max_error) * right <= now * (1 + 1e-9)


def test_an_alarm_stays_and_says_when():
    audit = Audit.of(0.05, [True] * 50 + [False] * 40)
    at = audit.state.at
    assert audit.state.alarm
    assert 50 < at < 80
    for _ in range(300):
        audit.update(True)
    assert (audit.state.alarm, audit.state.at) == (True, at)


def test_a_long_quiet_life_does_not_make_it_deaf():
    rng = np.random.default_rng(2)
    audit = Audit.of(0.05, rng.random(10_000) > 0.03)
    assert not audit.state.alarm
    assert first_alarm(audit, rng.random(1_000) < 0.15) < 250


def alarms(error, runs, seed, max_error=0.05):
    """At which label each run alarms (its length where it doesn't); `error` (labels,) the true error at each."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(runs):
        at = Audit.of(max_error, rng.random(len(error)) >= error).state.at
        found.append(len(error) if at is None else at)
    return np.array(found)


@pytest.mark.slow
def test_false_alarms_are_as_rare_as_promised_at_the_edge():
    quiet = alarms(np.full(3_000, 0.05), 300, 1)
    assert np.mean(quiet < 3_000) <= 0.08


@pytest.mark.slow
def test_the_alarm_comes_before_the_error_is_twice_the_bound():
    labels = round(90 / 0.05)
    error = np.concatenate(
        [np.full(500, 0.03), 0.03 + 0.02 * np.arange(500) / 500, 0.05 + 0.05 * np.arange(labels) / labels]
    )
    assert np.mean(alarms(error, 200, 2) < len(error)) >= 0.9


def test_the_share_is_what_the_climb_needs():
    assert audit_share(0.02, 90_000) == pytest.approx(0.05)
    assert audit_share(0.02, 10) == 1.0
    with pytest.raises(InvalidInput):
        audit_share(0.0, 10)


def test_a_shift_of_the_confidences_is_seen_and_calm_is_not():
    rng = np.random.default_rng(0)
    before = rng.beta(8, 1, 2_000)
    assert not shift(before, rng.beta(8, 1, 500)).shifted
    moved = shift(before, rng.beta(4, 1, 500))
    assert moved.shifted
    assert moved.change < 0
    warned = [
        any(shift(before, rng.beta(8, 1, 200), look=k + 1).shifted for k in range(5)) for _ in range(20)
    ]  # fmt: skip
    assert np.mean(warned) <= 0.15
    with pytest.raises(InvalidInput):
        shift([], before)


def test_recalibration_takes_the_newest_and_weighs_by_who_was_asked():
    rng = np.random.default_rng(1)
    sure = rng.random(6_000)
    right = np.where(np.arange(6_000) < 3_000, False, rng.random(6_000) < np.minimum(1, sure + 0.3))  # it was bad, once
    asked = np.where(sure > 0.8, 0.2, 1.0)
    sent = rng.random(6_000) < asked
    found = recalibrate(sure[sent], right[sent], asked[sent], 0.05, rng, window=1_500)
    assert found.threshold is not None
    true = np.mean(1 - np.minimum(1, sure[sure >= found.threshold] + 0.3))
    assert true <= 0.05
    all_of_it = recalibrate(sure[sent], right[sent], asked[sent], 0.05, rng, window=10**6)
    assert all_of_it.threshold is None
    with pytest.raises(InvalidInput, match="sent to a person"):
        recalibrate(sure, right, asked * 0, 0.05, rng)


@pytest.mark.parametrize("arguments", [(0.0,), (1.0,), (0.05, 0.0)])
def test_nonsense_is_refused(arguments):
    with pytest.raises(InvalidInput):
        Audit(*arguments)

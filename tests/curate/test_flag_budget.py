"""How many suspects are worth people's time."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.curate.flag_budget import budget
from everloop.errors import InvalidInput

NONE = np.zeros(0)


def test_before_anything_is_seen_the_models_word_counts():
    waiting = np.linspace(0.01, 0.99, 400)
    found = budget(NONE, NONE, waiting, floor=0.5)
    assert found.measured is None
    assert found.stopped == "floor"
    assert 170 <= found.queue <= 230
    assert 0.7 < found.right.estimate / found.queue < 0.8


def test_flags_that_were_wrong_shrink_the_next_budget():
    rng = np.random.default_rng(0)
    seen, waiting = rng.uniform(0.2, 1.0, 300), rng.uniform(0.2, 1.0, 500)
    poor = budget(rng.uniform(size=300) < 0.1, seen, waiting, floor=0.3)
    good = budget(rng.uniform(size=300) < 0.9, seen, waiting, floor=0.3)
    assert poor.queue == 0
    assert poor.right.estimate == 0
    assert good.queue == 500
    assert good.stopped == "end"
    assert poor.measured.high < 0.3 < good.measured.low


def test_the_expected_number_comes_true_as_often_as_its_interval_says():
    rng = np.random.default_rng(1)
    inside = []
    for _ in range(60):
        seen, waiting = rng.beta(2, 2, 400), rng.beta(2, 2, 400)
        real = rng.uniform(size=400) < 0.8 * waiting
        found = budget(rng.uniform(size=400) < 0.8 * seen, seen, waiting, floor=0.4)
        hits = real[np.argsort(-waiting)[: found.queue]].sum()
        inside.append(found.right.low <= hits <= found.right.high)
    assert np.mean(inside) > 0.85


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 60), st.integers(0, 60), st.integers(0, 30), st.floats(0, 1))
def test_whatever_comes_in_the_budget_makes_sense(seed, s, w, most, floor):
    rng = np.random.default_rng(seed)
    seen, waiting = rng.choice([0.0, 0.3, 0.9, 1.0], s), rng.choice([0.0, 0.3, 0.9, 1.0], w)
    found = budget(rng.uniform(size=s) < 0.5, seen, waiting, most=most, floor=floor)
    assert 0 <= found.queue <= min(most, w)
    assert 0 <= found.right.low <= found.right.estimate + 1 <= found.right.high + 2
    assert found.right.high <= found.queue
    assert sum(stretch.waiting for stretch in found.stretches) == w
    assert sum(stretch.seen for stretch in found.stretches) == s
    shares = [stretch.precision.estimate for stretch in found.stretches]
    assert all(a >= b - 1e-9 for a, b in itertools.pairwise(shares))
    assert budget(rng.uniform(size=s) < 0.5, seen, waiting, floor=0.0).queue == w


def test_a_model_that_thinks_nothing_wrong_is_put_to_the_test():
    waiting = np.full(100, 0.001)
    first = budget(NONE, NONE, waiting)
    assert (first.queue, first.stopped) == (20, "least")
    assert budget(np.zeros(20, bool), np.full(20, 0.001), waiting).queue == 0
    assert budget(np.ones(20, bool), np.full(20, 0.001), waiting).queue == 100
    assert budget(np.zeros(5, bool), np.full(5, 0.001), waiting, most=3).stopped == "most"


def test_what_is_no_score_is_refused():
    with pytest.raises(InvalidInput, match="verdicts"):
        budget(np.ones(1, bool), NONE, NONE)
    with pytest.raises(InvalidInput, match="scores"):
        budget(NONE, NONE, np.array([1.5]))
    with pytest.raises(InvalidInput, match="most"):
        budget(NONE, NONE, np.array([0.5]), most=-1)
    assert budget(NONE, NONE, NONE).queue == 0

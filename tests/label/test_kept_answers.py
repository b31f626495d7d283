"""Answers that were paid for: when one still counts, and that rows which measure are judged as the others are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.label.kept_answers import answer_id, classes_key, kept, on_equal_terms
from everloop.store import open_store
from everloop.types import Evidence, Interaction, SourceAnswer


def row(id):
    return Evidence(id=id, loop="desk", input=id, interaction=f"i-{id}", group=id, split="train")


@pytest.fixture
def records(tmp_path):
    with open_store(tmp_path) as store:
        store.records.put(*(Interaction(id=f"i-{id}", loop="desk", at=1, input=id) for id in "abcd"))
        yield store.records


def keeps(records, id, label, offered, source="s"):
    records.put(SourceAnswer(
        id=answer_id("desk", source, row(id)), loop="desk", source=source, interaction=f"i-{id}", turn=1, label=label,
        classes=classes_key(offered), confidence=0.9,
    ))  # fmt: skip


def test_which_answers_still_count(records):
    keeps(records, "a", "card", ("card", "rate"))
    keeps(records, "b", None, ("card", "rate"))
    keeps(records, "c", "rate", ("card", "rate"))
    keeps(records, "d", "card", ("card", "rate"), source="another")
    rows = [row(id) for id in "abcd"]
    found = kept(records, "desk", "s", rows, ("card", "rate"), ("rate", "card"))
    assert found.answers.tolist() == [0, -1, 1, -1]
    assert found.answered.tolist() == [True, True, True, False]
    assert found.confidence.tolist() == [0.9, 0, 0.9, 0]
    # One class more: who found none fitting may find it now. One less: nobody chose among those that are left.
    assert kept(records, "desk", "s", rows, "x", ("card", "rate", "x")).answered.tolist() == [True, False, True, False]
    fewer = kept(records, "desk", "s", rows, ("card",), ("card",))
    assert fewer.answers.tolist() == [0, -1, -1, -1]
    assert fewer.answered.tolist() == [True, False, False, False]
    # A class that is offered and that nobody has used yet: answered, and no label.
    other = kept(records, "desk", "s", rows, ("card",), ("card", "rate"))
    assert other.answers.tolist() == [0, -1, -1, -1]
    assert other.answered.tolist() == [True, True, True, False]
    assert kept(records, "desk", "s", [], ("card",), ("card",)).answers.shape == (0,)


@given(st.integers(0, 2**32), st.integers(0, 300), st.floats(0, 1), st.floats(0, 1))
def test_rows_that_measure_and_others_are_heard_as_often(seed, n, first, second):
    rng = np.random.default_rng(seed)
    certainty, measures = rng.random(n), rng.random(n) < 0.4
    there = rng.random(n) < np.where(measures, first, second)
    ids = [f"{i:08x}" for i in rng.permutation(n)]
    counts = on_equal_terms(certainty, there, measures, ids)
    assert not (counts & ~there).any()
    if not measures.any() or measures.all():
        assert (counts == there).all()
        return
    stretches = max(1, min(20, int(measures.sum()) // 10))
    for part in np.array_split(np.lexsort((np.array(ids), certainty)), stretches):
        sides = [part[measures[part]], part[~measures[part]]]
        if all(len(side) for side in sides):
            shares = [counts[side].mean() for side in sides]
            assert abs(shares[0] - shares[1]) <= 1 / min(map(len, sides))
            assert max(shares) <= min(there[side].mean() for side in sides) + 1 / min(map(len, sides))


def test_with_nothing_missing_all_count():
    n = 200
    assert on_equal_terms(np.linspace(0, 1, n), np.ones(n, bool), np.arange(n) < 60, list(map(str, range(n)))).all()

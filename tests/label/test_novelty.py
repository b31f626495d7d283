"""What no class covers: far from what is known, put together into classes with names."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.errors import InvalidInput
from everloop.label import class_space, outside, propose
from everloop.label.naming import terms


def rng(seed=0):
    return np.random.default_rng(seed)


def around(middles, each, spread=0.1, seed=0):
    rows = np.repeat(np.asarray(middles, float), each, axis=0)
    return rows + spread * rng(seed).standard_normal(rows.shape)


def test_rows_far_from_the_known_come_first():
    known = around(np.eye(6)[:4], 10)
    rows = np.concatenate([around(np.eye(6)[:4], 5, seed=1), around(np.eye(6)[4:], 5, seed=2)])
    found = outside(rows, np.full((30, 4), 0.25), known)
    assert found.score[20:].min() > found.score[:20].max()
    assert (found.nearest[:5] < 10).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 20), st.integers(1, 9), st.integers(1, 12), st.integers(0, 99))
def test_a_score_is_from_0_to_1_and_a_rows_own(n, m, neighbours, seed):
    rows, p, known = rng(seed).standard_normal((n, 4)), rng(seed).dirichlet([1.0] * 3, n), rng(seed + 1).random((m, 4))
    found = outside(rows, p, known, neighbours=neighbours)
    assert ((found.score >= 0) & (found.score <= 1)).all()
    half = outside(rows[: n // 2], p[: n // 2], known, neighbours=neighbours)
    assert half.score == pytest.approx(found.score[: n // 2], abs=1e-5)


@pytest.mark.parametrize(
    ("rows", "p", "known"),
    [
        (np.zeros((2, 3)), np.ones((1, 1)), np.zeros((1, 3))),
        (np.zeros((2, 3)), np.ones((2, 1)), np.zeros((0, 3))),
        (np.zeros((2, 3)), np.ones((2, 1)), np.zeros((1, 2))),
    ],
)
def test_what_does_not_fit_is_refused(rows, p, known):
    with pytest.raises(InvalidInput):
        outside(rows, p, known)


OIL, DOGS = ["change the oil", "my oil change", "oil please"], ["do you have dogs", "any dogs", "your dogs then"]


def test_classes_are_proposed_with_names_nobody_has():
    texts = OIL * 4 + DOGS * 3 + ["alone"]
    vectors = around(np.eye(4)[:3], [12, 9, 1], 0.02)
    one, two = propose(texts, vectors, others=["change my card", "do you know"] * 40, taken=["oil_change", "dogs"])
    assert sorted(one.members.tolist()) == list(range(12))
    assert sorted(two.members.tolist()) == list(range(12, 21))
    assert "oil" in one.name
    assert "dogs" in two.name
    assert not {one.name, two.name} & {"oil_change", "dogs"}
    assert one.cohesion > 0.9
    assert set(one.examples) == set(OIL)
    assert propose(texts, vectors, least=30) == propose([], np.zeros((0, 3))) == []


def test_a_text_nobody_can_read_still_gets_a_name():
    found = propose(["???"] * 10 + ["12"] * 9, around(np.eye(2), [10, 9], 0.01), taken=["new"])
    assert [p.name for p in found] == ["new_2", "new_3"]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text("ab c<é1", max_size=12), max_size=14), st.integers(0, 9))
def test_every_row_is_in_one_class_at_most_and_names_differ(texts, seed):
    vectors = rng(seed).standard_normal((len(texts), 3))
    made = propose(texts, vectors, least=2, like=0.2)
    members = [int(i) for one in made for i in one.members]
    assert len(members) == len(set(members))
    assert len({one.name for one in made}) == len(made)
    assert all(one.members.size >= 2 and -1 <= one.cohesion <= 1 for one in made)
    assert not any("<" in one.name or " " in one.name for one in made)


def test_terms_are_common_here_and_rare_elsewhere():
    first, second = terms(OIL + DOGS, np.array([0, 0, 0, 1, 1, 1]), ["change my dollars please", "do you have it"] * 15)
    assert first[0] == "oil"
    assert second[0] == "dogs"
    assert terms(["x"], np.array([0])) == [()]


def test_what_varies_within_classes_counts_for_less():
    r = rng(3)
    labels = np.repeat(np.arange(8), 20)
    rows = np.concatenate([np.repeat(r.standard_normal((8, 2)), 20, axis=0), 3 * r.standard_normal((160, 2))], axis=1)
    space = class_space(rows, labels)
    new = np.array([[1.0, 0, 3, 0], [1.0, 0, -3, 0], [-1.0, 0, 3, 0]]) + rows.mean(axis=0)
    was = (new - rows.mean(axis=0)) / np.linalg.norm(new - rows.mean(axis=0), axis=1, keepdims=True)
    now = space.moved(new)
    assert now[0] @ now[1] > was[0] @ was[1] + 0.2  # they differ in what varies within classes
    assert now[0] @ now[2] < was[0] @ was[2] - 0.2  # and these in what sets classes apart
    assert np.linalg.norm(space.moved(rows.mean(axis=0, keepdims=True))) < 1e-6


@pytest.mark.parametrize(("rows", "labels"), [([[1.0, 2]], [0]), ([[1.0, 2]], [0, 1]), (np.zeros((0, 2)), [])])
def test_one_row_a_class_shows_nothing_that_varies(rows, labels):
    with pytest.raises(InvalidInput):
        class_space(np.array(rows), np.array(labels, int))

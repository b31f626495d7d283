"""Semantic duplicates: the greedy groups against a plain loop, and a threshold that keeps its promise or is none."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from everloop.curate import semantic


def plain(vectors, threshold):
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    rows = vectors / np.where(length > 0, length, 1)
    kept, of = [], []
    for i, row in enumerate(rows):
        near = [(float(rows[k] @ row), -k) for k in kept if rows[k] @ row >= threshold - 1e-6]
        of.append(-max(near)[1] if near else i)
        kept += [] if near else [i]
    return of


@given(
    arrays(np.int8, st.tuples(st.integers(0, 30), st.just(3)), elements=st.integers(-2, 2)),
    st.sampled_from([0.5, 0.8, 1.0]),
)
@settings(max_examples=80, deadline=None)
def test_groups_are_those_of_a_plain_loop(vectors, threshold):
    # Equal cosines may differ in the last bit: the rows kept are compared, and that each is like its own.
    found = semantic.groups(vectors.astype(np.float32), threshold)
    wanted = np.array(plain(vectors.astype(float), threshold), np.int64)
    assert (found == np.arange(len(found))).tolist() == (wanted == np.arange(len(wanted))).tolist()
    length = np.maximum(np.linalg.norm(vectors.astype(float), axis=1), 1e-12)
    dropped = np.flatnonzero(found != np.arange(len(found)))
    cosine = (vectors.astype(float) @ vectors.astype(float).T) / np.outer(length, length)
    assert (cosine[dropped, found[dropped]] >= threshold - 1e-5).all()


def test_blocks_change_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    vectors = np.repeat(rng.normal(size=(60, 8)), 5, axis=0)[rng.permutation(300)] + rng.normal(0, 0.05, (300, 8))
    whole = semantic.groups(vectors, 0.95)
    monkeypatch.setattr(semantic, "AT_ONCE", 7)
    monkeypatch.setattr(semantic, "BESIDE", 5)
    assert (semantic.groups(vectors, 0.95) == whole).all()
    assert 0 < (whole == np.arange(300)).sum() < 300


def test_a_flood_of_one_vector_is_one_group():
    assert not semantic.groups(np.ones((20_000, 4), np.float32), 0.99).any()


def planted(rng, mistakes, topics=600, near=0.02):
    """Two rows a topic, alike; the second of `mistakes` topics has another label."""
    centres = rng.normal(size=(topics, 32))
    vectors = np.concatenate([centres, centres + near * rng.normal(size=centres.shape)])
    labels = np.tile(np.arange(topics), 2)
    labels[topics + rng.permutation(topics)[:mistakes]] = -1
    return vectors, labels


def test_the_threshold_is_as_low_as_the_promise_allows():
    rng = np.random.default_rng(1)
    vectors, labels = planted(rng, 3)
    found = semantic.calibrate(vectors, labels)
    assert found.threshold == min(semantic.GRID)
    assert found.different is not None
    assert found.different.high <= 0.02
    assert found.different.n == 600


@pytest.mark.slow
def test_where_like_rows_differ_there_is_no_threshold():
    vectors, labels = planted(np.random.default_rng(2), 60)
    found = semantic.calibrate(vectors, labels)
    assert found.threshold is found.different is None


def test_too_few_rows_certify_nothing():
    vectors, labels = planted(np.random.default_rng(3), 0, topics=100)
    found = semantic.calibrate(vectors, labels)
    assert found.threshold is None
    assert found.needed == 183  # 0.98 ** 183 < 0.025
    assert semantic.calibrate(vectors[:0], labels[:0]).threshold is None


def test_rows_dropped_for_one_row_are_one_trial():
    rng = np.random.default_rng(4)
    vectors = np.repeat(rng.normal(size=(5, 16)), 400, axis=0)
    found = semantic.calibrate(vectors, np.repeat(np.arange(5), 400), grid=(0.99, 0.98))
    assert found.threshold is None  # two thousand rows, five chances to be wrong
    assert found.tried[0].dropped == 1_995


@pytest.mark.slow
def test_the_promise_is_broken_no_more_often_than_it_says():
    rng = np.random.default_rng(5)
    broken = 0
    for _ in range(60):
        vectors = np.repeat(rng.normal(size=(400, 16)), 2, axis=0)
        labels = np.where(rng.random(800) < 0.02, -1, np.repeat(np.arange(400), 2))
        # What is dropped differs at 3.9 %, above what may be: any threshold is a broken promise.
        broken += semantic.calibrate(vectors, labels, max_different=0.035, grid=(0.99, 0.98)).threshold is not None
    assert broken <= 8  # 3 of 60, and what chance adds to it in 99 of 100 runs


@pytest.mark.parametrize("bad", [0.0, 1.1, float("nan")])
def test_a_threshold_that_is_no_cosine_is_refused(bad):
    with pytest.raises(ValueError, match="a cosine"):
        semantic.groups(np.ones((2, 2)), bad)


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="as many labels"):
        semantic.calibrate(np.ones((2, 2)), np.zeros(3))
    with pytest.raises(ValueError, match="finite"):
        semantic.groups(np.full((2, 2), np.nan), 0.9)
    with pytest.raises(ValueError, match="between"):
        semantic.calibrate(np.ones((2, 2)), np.zeros(2), max_different=0)


def test_repeats_of_known_rows_are_those_of_groups_with_the_known_rows_first(monkeypatch):
    rng = np.random.default_rng(6)
    vectors = np.repeat(rng.normal(size=(40, 8)), 5, axis=0)[rng.permutation(200)] + rng.normal(0, 0.05, (200, 8))
    known, new = vectors[:50], vectors[50:]
    kept = known[semantic.groups(known, 0.95) == np.arange(50)]
    whole = semantic.groups(np.concatenate([kept, new]), 0.95)
    found = semantic.repeats(kept, new, 0.95)
    assert (found.of == whole[len(kept) :]).all()
    gone = found.of != len(kept) + np.arange(150)
    assert gone.any()
    assert (found.cosine[gone] >= 0.95 - 1e-5).all()
    assert (found.cosine[~gone] == 1).all()
    monkeypatch.setattr(semantic, "AT_ONCE", 7)
    monkeypatch.setattr(semantic, "BESIDE", 5)
    assert (semantic.repeats(kept, new, 0.95).of == found.of).all()
    staying = np.ones(150, bool)
    assert (semantic.repeats(kept, new, 0.95, staying).of == len(kept) + np.arange(150)).all()
    with pytest.raises(ValueError, match="stay"):
        semantic.repeats(kept, new, 0.95, staying[:3])
    with pytest.raises(ValueError, match="compared"):
        semantic.repeats(kept[:, :4], new, 0.95)


def test_what_was_tried_is_what_the_threshold_does():
    rng = np.random.default_rng(7)
    vectors = np.repeat(rng.normal(size=(90, 6)), 4, axis=0)[rng.permutation(360)] + rng.normal(0, 0.3, (360, 6))
    labels = rng.integers(0, 3, 360)
    for one in semantic.calibrate(vectors, labels, grid=(0.99, 0.9, 0.8)).tried:
        assert one == semantic.differing(vectors, labels, one.threshold)


def test_it_says_how_many_labelled_rows_it_would_take():
    few = semantic.calibrate(*planted(np.random.default_rng(3), 0, topics=100))
    assert few.more == 200 * 366 // 100
    assert semantic.calibrate(*planted(np.random.default_rng(3), 50, topics=100)).more is None
    assert semantic.calibrate(*planted(np.random.default_rng(1), 3)).more is None  # it is certified

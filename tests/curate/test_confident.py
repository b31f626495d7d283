"""Confident learning against what the cleanlab package (2.9.0) gave for the same small arrays."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.curate import confident, label_scores

PERCENT = [
    [55, 44, 1], [84, 7, 9], [77, 3, 20], [0, 58, 42], [15, 55, 30], [3, 61, 36], [27, 68, 5], [22, 19, 59],
    [12, 81, 7], [16, 56, 28], [14, 9, 77], [58, 7, 35], [55, 4, 41], [2, 23, 75], [14, 19, 67], [64, 9, 27],
]  # fmt: skip
LABELS = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 0])
PROBABILITIES = np.array(PERCENT) / 100


def test_thresholds_and_joint_are_cleanlabs():
    assert confident.thresholds(LABELS, PROBABILITIES).round(4).tolist() == [0.4917, 0.57, 0.59]
    assert confident.joint(LABELS, PROBABILITIES, calibrate=False).tolist() == [[4, 1, 0], [0, 3, 1], [2, 0, 3]]
    assert confident.joint(LABELS, PROBABILITIES).tolist() == [[5, 1, 0], [0, 4, 1], [2, 0, 3]]


@pytest.mark.parametrize(
    ("by", "rows"),
    [
        ("off_diagonal", [3, 7, 11, 12]),
        ("noise_rate", [3, 7, 11, 12]),
        ("class", [3, 7, 11, 12]),
        ("both", [3, 7, 11, 12]),
        ("low_self_confidence", [3, 4, 7, 11]),
    ],
)
def test_flags_are_cleanlabs(by, rows):
    assert np.flatnonzero(confident.flag(LABELS, PROBABILITIES, by)).tolist() == rows


def random(seed, n=80, k=4):
    rng = np.random.default_rng(seed)
    true = rng.integers(0, k, n)
    probabilities = rng.dirichlet(np.ones(k), n) + np.eye(k)[true]
    labels = np.where(rng.uniform(size=n) < 0.2, rng.integers(0, k, n), true)
    return labels, probabilities / probabilities.sum(axis=1, keepdims=True)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 100_000), st.integers(1, 120), st.integers(2, 7))
def test_the_joint_keeps_the_counts_of_labels(seed, n, k):
    labels, probabilities = random(seed, n, k)
    counts = confident.joint(labels, probabilities)
    assert counts.sum(axis=1).tolist() == np.bincount(labels, minlength=k).tolist()
    assert (counts >= 0).all()
    both = confident.flag(labels, probabilities, "both")
    assert (both <= confident.flag(labels, probabilities, "noise_rate")).all()
    assert (both <= confident.flag(labels, probabilities, "class")).all()
    assert not (both & (probabilities.argmax(axis=1) == labels)).any()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 100_000))
def test_the_order_of_rows_and_classes_is_all_the_same(seed):
    labels, probabilities = random(seed)
    rng = np.random.default_rng(seed)
    rows, classes = rng.permutation(80), rng.permutation(4)
    moved = confident.flag(np.argsort(classes)[labels][rows], probabilities[rows][:, classes], "off_diagonal")
    assert moved.tolist() == confident.flag(labels, probabilities, "off_diagonal")[rows].tolist()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 100_000), st.integers(1, 9))
def test_whole_numbers_keep_the_sum(seed, k):
    values = np.random.default_rng(seed).dirichlet(np.ones(k), 5) * np.arange(1, 6)[:, None] * 7
    found = confident.whole(values)
    assert found.sum(axis=1).tolist() == [7, 14, 21, 28, 35]
    assert np.abs(found - values).max() < 1.5


def test_scores_lie_between_nothing_and_one():
    labels, probabilities = random(1)
    for score in (label_scores.self_confidence, label_scores.normalized_margin, label_scores.adjusted):
        values = score(labels, probabilities)
        assert values.shape == (80,)
        assert values.min() >= 0
        assert values.max() <= 1

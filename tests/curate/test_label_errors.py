"""Which labels are wrong: planted ones are found, clean sets are left in peace, order doesn't matter."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.curate import label_errors, noise_model
from everloop.errors import InvalidInput
from everloop.features import neighbours


def made(seed, n=600, k=4, noise=0.1, sharp=4.0, mistakes=None, people=None):
    """True classes, given labels, and calibrated probabilities of a model that is mostly right."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(n, k)) * sharp
    probabilities = np.exp(scores - scores.max(axis=1, keepdims=True))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    true = (probabilities.cumsum(axis=1) < rng.uniform(size=(n, 1))).sum(axis=1).clip(max=k - 1)
    wrong = rng.uniform(size=n) < (noise if people is None else noise * (people == 0))
    moved = (true + rng.integers(1, k, n)) % k if mistakes is None else mistakes[true]
    return true, np.where(wrong, moved, true), probabilities


def test_planted_flips_are_found_and_their_number_is_known():
    true, labels, probabilities = made(0, n=4000, sharp=8.0)
    wrong = true != labels
    found = label_errors.rank(labels, probabilities)
    assert found.method == "noise_model"
    assert found.flagged[wrong].mean() > 0.85
    assert wrong[found.flagged].mean() > 0.8
    assert abs(found.expected_wrong - wrong.sum()) < 0.15 * wrong.sum()
    assert abs(found.expected_precision - wrong[found.flagged].mean()) < 0.07
    assert abs(found.expected_recall - found.flagged[wrong].mean()) < 0.05
    assert (found.proposed[wrong & found.flagged] == true[wrong & found.flagged]).mean() > 0.9


@pytest.mark.parametrize("seed", range(4))
def test_right_labels_are_left_in_peace(seed):
    _, labels, probabilities = made(seed, n=2000, noise=0.0)
    assert label_errors.rank(labels, probabilities).flagged.mean() < 0.005


def test_the_recall_dial_turns():
    true, labels, probabilities = made(1, n=3000)
    wrong = true != labels
    few, many = (label_errors.rank(labels, probabilities, recall=share) for share in (0.5, 0.99))
    assert few.flagged.sum() < many.flagged.sum()
    assert wrong[few.flagged].mean() > wrong[many.flagged].mean()
    assert few.order.tolist() == many.order.tolist()


@pytest.mark.slow
def test_two_models_find_more_than_one():
    rng = np.random.default_rng(2)
    true = rng.integers(0, 5, 3000)
    wrong = rng.uniform(size=3000) < 0.1
    labels = np.where(wrong, (true + rng.integers(1, 5, 3000)) % 5, true)

    def model():
        scores = rng.normal(size=(3000, 5)) + 2.5 * np.eye(5)[true]
        odds = np.exp(2.5 * scores)
        return odds / odds.sum(axis=1, keepdims=True)

    one, other = model(), model()

    def hits(probabilities):
        return wrong[label_errors.rank(labels, probabilities).order[: wrong.sum()]].sum()

    assert hits([one, other]) > max(hits(one), hits(other)) + 10


def test_confusions_of_people_are_learned_where_they_are():
    pairs = np.array([1, 0, 3, 2])
    _, labels, probabilities = made(3, n=4000, sharp=8.0, mistakes=pairs)
    found = noise_model.fit(labels, [probabilities])
    assert found.confusions is not None
    assert (found.confusions.argmax(axis=1) == pairs).all()
    _, labels, probabilities = made(3, n=4000, sharp=8.0)
    assert noise_model.fit(labels, [probabilities]).confusions is None


def test_a_bad_annotator_is_found_out():
    people = np.arange(3000) % 10
    true, labels, probabilities = made(4, n=3000, sharp=2.0, noise=0.8, people=people)
    blind = label_errors.rank(labels, probabilities)
    found = label_errors.rank(labels, probabilities, annotators=people * 10**15)
    wrong = true != labels
    assert len(found.rates) == 10
    assert abs(found.rates[0] - 0.8) < 0.1
    assert (found.rates[1:] < 0.05).all()
    assert wrong[found.order[: wrong.sum()]].mean() > wrong[blind.order[: wrong.sum()]].mean() + 0.1


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["auto", "low_self_confidence", "confident_learning"]))
def test_neither_the_order_of_rows_nor_of_classes_matters(seed, method):
    _, labels, probabilities = made(seed, n=300, k=3)
    rng = np.random.default_rng(seed)
    rows, classes = rng.permutation(300), rng.permutation(3)
    place = np.argsort(classes)
    plain = label_errors.rank(labels, probabilities, method=method)
    moved = label_errors.rank(place[labels][rows], probabilities[rows][:, classes], method=method)
    assert np.abs(moved.score - plain.score[rows]).max() < 0.01
    assert (moved.flagged != plain.flagged[rows]).sum() <= 2
    assert (np.sort(moved.order) == np.arange(300)).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 30), st.integers(2, 6))
def test_few_rows_are_ranked_by_self_confidence(seed, n, k):
    rng = np.random.default_rng(seed)
    labels, probabilities = rng.integers(0, k, n), rng.dirichlet(np.ones(k), n)
    found = label_errors.rank(labels, probabilities)
    assert found.method == "low_self_confidence"
    assert (np.diff(probabilities[np.arange(n), labels][found.order]) >= 0).all()
    assert found.flagged[found.order].tolist() == sorted(found.flagged.tolist(), reverse=True)
    assert (found.proposed != labels).all()
    assert (found.score[found.flagged] >= found.threshold).all()


def test_no_rows_are_no_suspects():
    found = label_errors.rank(np.zeros(0, int), np.zeros((0, 3)))
    assert found.order.size == found.flagged.size == 0


def test_a_model_that_is_sure_beyond_doubt_breaks_nothing():
    labels = np.arange(400) % 2
    sure = np.eye(2)[labels]
    assert not label_errors.rank(labels, sure).flagged.any()
    sure[3] = sure[3, ::-1]
    assert label_errors.rank(labels, sure).order[0] == 3


def test_a_class_without_rows_and_a_class_of_one():
    _, labels, probabilities = made(5, n=400, k=4)
    labels[labels == 2] = 1
    labels[0] = 2
    found = label_errors.rank(labels, probabilities)
    assert np.isfinite(found.score).all()
    wide = np.hstack((probabilities, np.zeros((400, 3))))
    assert np.isfinite(label_errors.rank(labels, wide).score).all()


@pytest.mark.parametrize(
    ("labels", "probabilities", "extra", "says"),
    [
        ([0, 1], [[0.5, 0.5]], {}, "a row of probabilities each"),
        ([0], [[1.0]], {}, "2 classes"),
        ([2], [[0.5, 0.5]], {}, "between 0 and 1"),
        ([-1], [[0.5, 0.5]], {}, "between 0 and 1"),
        ([0], [[0.9, 0.9]], {}, "add up to 1"),
        ([0], [[1.5, -0.5]], {}, "not negative"),
        ([0], [[float("nan"), 1.0]], {}, "finite"),
        ([0.5], [[0.5, 0.5]], {}, "whole numbers"),
        ([0], [[0.5, 0.5]], {"recall": 0.0}, "recall"),
        ([0], [[0.5, 0.5]], {"annotators": np.array([-1])}, "annotators"),
        ([0], [[0.5, 0.5]], {"annotators": np.array([0, 1])}, "annotators"),
        ([0], [[0.5, 0.5]], {"annotators": np.array([0]), "method": "confident_learning"}, "no annotators"),
    ],
)
def test_what_is_no_input_is_refused(labels, probabilities, extra, says):
    with pytest.raises(InvalidInput, match=says):
        label_errors.rank(np.array(labels), np.array(probabilities), **extra)


def test_models_of_other_classes_are_refused_and_so_are_none():
    with pytest.raises(InvalidInput, match="at least one model"):
        label_errors.rank(np.array([0]), [])
    with pytest.raises(InvalidInput, match="same classes"):
        label_errors.rank(np.array([0]), [np.array([[0.5, 0.5]]), np.array([[0.5, 0.2, 0.3]])])


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 60), st.integers(1, 70))
def test_neighbours_are_the_nearest(seed, n, most):
    vectors = np.random.default_rng(seed).normal(size=(n, 4)).astype(np.float32)
    found = neighbours.nearest(vectors, most)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosine = unit @ unit.T
    np.fill_diagonal(cosine, -2)
    assert found.rows.shape == (n, min(most, n - 1))
    np.testing.assert_allclose(found.similarity, -np.sort(-cosine, axis=1)[:, : found.rows.shape[1]], atol=1e-5)
    assert (found.rows != np.arange(n)[:, None]).all()
    some = neighbours.nearest(vectors, most, rows=np.array([1]))
    assert some.rows.tolist() == [found.rows[1].tolist()]
    shares = neighbours.probabilities(np.zeros(n, int), 2, found)
    np.testing.assert_allclose(shares, np.tile([1.0, 0.0], (n, 1)))


def test_a_neighbour_nobody_trusts_does_not_count():
    found = neighbours.Neighbours(np.array([[1, 2]]), np.ones((1, 2), np.float32))
    labels = np.array([0, 0, 1])
    assert neighbours.probabilities(labels, 2, found)[0, 0] > 0.5
    assert neighbours.probabilities(labels, 2, found, np.array([0.0, 0.0, 1.0]))[0, 0] < 0.01


def test_neighbours_of_one_row_and_of_zeros():
    assert neighbours.vote(np.ones((1, 3), np.float32), np.array([1]), 2).tolist() == [[0.0, 1.0]]
    assert np.isfinite(neighbours.vote(np.zeros((6, 3), np.float32), np.arange(6) % 2, 2)).all()
    with pytest.raises(InvalidInput):
        neighbours.nearest(np.ones((2, 2), np.float32), 0)

"""Sources together are at least as good as the best of them, and their confidence means what it says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.errors import InvalidInput
from everloop.label.calibrating import combine

CLASSES = 8


def world(n, accuracies, seed, answers=1.0, boast=0.0):
    """Truth (n,), votes and confidences (n, s): each source sure in the measure it is right, plus what it boasts."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, CLASSES, n)
    votes, sure = [], []
    for accuracy in accuracies:
        chance = np.clip(rng.beta(4 * accuracy, 4 * (1 - accuracy), n), 0.02, 0.98)
        right = rng.random(n) < chance
        vote = np.where(right, truth, (truth + rng.integers(1, CLASSES, n)) % CLASSES)
        votes.append(np.where(rng.random(n) < answers, vote, -1))
        sure.append(chance ** (1 / (1 + boast)))
    return truth, np.stack(votes, axis=1), np.stack(sure, axis=1)


def calibration_error(confidence, right):
    bins = np.minimum((confidence * 10).astype(int), 9)
    return sum(
        abs(confidence[bins == b].mean() - right[bins == b].mean()) * (bins == b).mean() for b in np.unique(bins)
    )


@pytest.mark.parametrize("m", [300, 1_500])
@pytest.mark.parametrize("boast", [0.0, 3.0])
def test_it_beats_the_best_source_and_is_calibrated(m, boast):
    truth, votes, sure = world(6_000, (0.8, 0.7, 0.6), 0, boast=boast)
    found = combine(votes, sure, CLASSES, np.arange(m), truth[:m])
    right = found.labels == truth
    best = max((votes[m:, s] == truth[m:]).mean() for s in range(3))
    assert right[m:].mean() > best + 0.04
    assert calibration_error(found.confidence[m:], right[m:]) < 0.04
    assert calibration_error(found.confidence[:m], right[:m]) < 0.08  # those it learned from are not flattered


def test_a_source_that_is_always_wrong_is_not_listened_to():
    truth, votes, sure = world(3_000, (0.75, 0.6), 1)
    liar = np.full(3_000, 1.0)
    votes = np.column_stack((votes, (truth + 1) % CLASSES))
    sure = np.column_stack((sure, liar))
    found = combine(votes, sure, CLASSES, np.arange(400), truth[:400])
    assert (found.labels[400:] == truth[400:]).mean() >= (votes[400:, 0] == truth[400:]).mean() - 0.005
    assert found.weights[2].sum() < 0


def test_abstentions_and_no_labels_at_all():
    truth, votes, sure = world(500, (0.8, 0.7), 2, answers=0.5)
    found = combine(votes, sure, CLASSES, [], [])
    silent = (votes == -1).all(axis=1)
    assert silent.any()
    assert (found.labels[silent] == -1).all()
    assert (found.confidence[silent] == 0).all()
    assert (found.labels[~silent] >= 0).all()
    learned = combine(votes, sure, CLASSES, np.arange(200), truth[:200])
    assert (learned.labels[silent] == -1).all()


@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(0, 40))
def test_any_sources_give_a_label_somebody_proposed(seed, s, m):
    rng = np.random.default_rng(seed)
    votes, sure = rng.integers(-1, CLASSES, (40, s)), rng.random((40, s)).round(1)
    found = combine(votes, sure, CLASSES, rng.permutation(40)[:m], rng.integers(0, CLASSES, m))
    assert ((found.confidence >= 0) & (found.confidence <= 1)).all()
    for label, said in zip(found.labels, votes, strict=True):
        assert label in said if (said >= 0).any() else label == -1


@pytest.mark.parametrize(
    "arguments",
    [
        ([[0, 9]], [[0.5, 0.5]], 2, [], []),
        ([[0]], [[1.5]], 2, [], []),
        ([[0]], [[0.5]], 2, [0, 0], [0, 0]),
        ([[0]], [[0.5]], 2, [1], [0]),
        ([0], [0.5], 2, [], []),
    ],
)
def test_nonsense_is_refused(arguments):
    with pytest.raises(InvalidInput):
        combine(*arguments)

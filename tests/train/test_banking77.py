"""Real customers' questions, 77 intents: how right, how well calibrated, how fast."""

import numpy as np
import pytest

from everloop import train
from everloop.types import Spec

TRAINER = train.trainer(Spec(name="linear_text.v1"))


def measure(model, test):
    """(share right, expected calibration error in 15 bins)"""
    inputs, labels = test
    found = model.probabilities(inputs)
    sure = found.max(axis=1)
    right = np.array(model.classes)[found.argmax(axis=1)] == np.array(labels)
    bins = np.minimum((sure * 15).astype(int), 14)
    error = sum(abs(sure[bins == b].mean() - right[bins == b].mean()) * (bins == b).mean() for b in np.unique(bins))
    return right.mean(), error


def sample(train_rows, per_class=None, n=None, seed=0):
    inputs, labels = train_rows
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(inputs))
    if per_class:
        taken = {}
        order = [i for i in order if taken.setdefault(labels[i], []).append(i) or len(taken[labels[i]]) <= per_class]
    order = order[:n]
    return [inputs[i] for i in order], [labels[i] for i in order]


def test_five_examples_a_class(banking77):
    inputs, labels = sample(banking77[0], per_class=5)
    assert len(inputs) == 385
    model = TRAINER.load(TRAINER.fit(inputs, labels, [1.0] * 385))
    right, error = measure(model, banking77[1])
    assert right > 0.66
    assert error < 0.08


@pytest.mark.slow
def test_wrong_labels_do_not_cost_calibration(banking77):
    inputs, labels = sample(banking77[0], n=3000)
    rng = np.random.default_rng(1)
    classes = sorted(set(labels))
    noisy = [rng.choice(classes) if rng.random() < 0.1 else label for label in labels]
    right, error = measure(TRAINER.load(TRAINER.fit(inputs, noisy, [1.0] * 3000)), banking77[1])
    assert right > 0.84
    assert error < 0.05


@pytest.mark.slow
def test_all_the_labels(banking77):
    inputs, labels = banking77[0]
    data = TRAINER.fit(inputs, labels, [1.0] * len(inputs))
    assert len(data) < 4_000_000
    right, error = measure(TRAINER.load(data), banking77[1])
    assert right > 0.925
    assert error < 0.03

"""The model as one more annotator, believed as far as it agrees with the people."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from everloop.stats.judgements import checked, normalised, result, shares


class WithModel(NamedTuple):
    """What people and a model say together of each item."""

    labels: NDArray[np.int64]  # (n_items,)
    probabilities: NDArray[np.float64]  # (n_items, n_classes), rows sum to 1
    quality: NDArray[np.float64]  # (n_workers,) expected share of the worker's judgements that are right
    certainty: NDArray[np.float64]  # (n_items,) the probability of the label taken
    model_weight: float  # the power the model's probabilities are taken to: 0 is not heard, 1 as it says
    agreement: float  # expected share of items where the model's first choice is right
    iterations: int


def with_model(
    workers: ArrayLike,
    items: ArrayLike,
    labels: ArrayLike,
    n_classes: int,
    probabilities: ArrayLike,
    iterations: int = 100,
    tolerance: float = 1e-4,
) -> WithModel:
    """Join the people's labels with a model's `probabilities` (n_items, n_classes), which must be out of fold.

    A model that was trained on these very labels agrees with them for no good reason. Each worker has a chance to be
    right, as in `one_coin`; the model's probabilities, to a power between 0 and 3, stand in for the classes' shares;
    chances and power are fitted together until no probability moves by more than `tolerance`. Worth it where items
    have one to three judgements.

    `workers`, `items` and `labels` are (n,) whole numbers from 0. Raises ValueError as `judgements.checked`, and for
    probabilities of another shape, negative, or whose rows don't sum to 1.

    The idea is that of Goh, Tkachenko and Mueller 2022, "CROWDLAB: supervised learning to infer consensus labels and
    quality scores for data with multiple annotators"; its weights are not used here: they set workers' agreement with
    each other beside the model's with the consensus, which favours the model where workers are middling.

    >>> found = with_model([0, 1, 0, 1], [0, 0, 1, 1], [0, 0, 1, 0], 2, [[0.9, 0.1], [0.1, 0.9]])
    >>> found.labels.tolist()
    [0, 1]
    """
    judged = checked(workers, items, labels, n_classes)
    model = np.asarray(probabilities, dtype=np.float64)
    shape = (judged.n_items, n_classes)
    if model.shape != shape or not (model >= 0).all() or not np.allclose(model.sum(axis=1), 1, atol=1e-4):
        raise ValueError(f"probabilities are {shape}, none negative, with rows that sum to 1")
    says = np.log(np.maximum(model, 1e-6))
    cell = judged.items * n_classes + judged.labels
    given = np.bincount(judged.workers, judged.weights, judged.n_workers)
    joined = 0.5 * shares(judged) + 0.5 * model
    power, step = 1.0, 0
    while step < iterations:
        step += 1
        right = np.bincount(judged.workers, judged.weights * joined.ravel()[cell], judged.n_workers)
        accuracy = (right + 0.25) / (given + 0.5)
        odds = np.log(accuracy / (1 - accuracy) * (n_classes - 1))
        for _ in range(3):
            likely, _ = normalised(power * says)
            middle = (likely * says).sum(axis=1)
            slope = float(((joined - likely) * says).sum())
            bend = float(((likely * says**2).sum(axis=1) - middle**2).sum())
            power = float(np.clip(power + slope / (bend + 1e-9), 0.0, 3.0))
        votes = np.bincount(cell, judged.weights * odds[judged.workers], judged.n_items * n_classes)
        before = joined
        joined, _ = normalised(votes.reshape(shape) + power * says)
        if np.abs(joined - before).max() <= tolerance:
            break
    found = result(judged, joined)
    every = np.arange(judged.n_items)
    agreement = float(joined[every, model.argmax(axis=1)].mean())
    return WithModel(found.labels, joined, found.quality, joined[every, found.labels], power, agreement, step)

"""Several sources, one label and one confidence: what model, neighbours, rules and a bigger model say together.

A class's score is the sum of what the sources that chose it are worth, each by what it has been worth on rows people
labelled: a source that is sure and often wrong counts little. The softmax over the chosen classes, and over "none of
them", is the chance that the label is right; a last curve, learned on rows the weights had not seen, makes it honest.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from everloop.errors import InvalidInput

_EDGE = 1e-3  # confidences are kept this far from 0 and 1, where their logarithm ends
_PRIOR = 2.0  # how strongly weights are held near their beginning, in rows
_FOLDS = 5
_ISOTONIC = 1_000  # calibration rows from which a curve of any rising shape is learned; below, one with two numbers
_SMOOTH = 2.0  # rows added to the ends of that curve, so that none of them says 0 or 1


class Combined(NamedTuple):
    """One proposal for each row."""

    labels: NDArray[np.int64]  # (n,); -1 where every source abstained
    confidence: NDArray[np.float64]  # (n,) calibrated chance that the label is right; 0 where there is none
    weights: NDArray[np.float64]  # (s, 2) of each source: what its word is worth, and how much more if it is sure


def combine(
    votes: ArrayLike, confidences: ArrayLike, n_classes: int, rows: ArrayLike, labels: ArrayLike
) -> Combined:  # fmt: skip
    """Combine `s` sources: `votes` (n, s) are classes or -1 where a source abstains, `confidences` (n, s) in [0, 1].

    `rows` (m,) are places of rows people labelled, `labels` (m,) their classes; they should not be the rows a source
    learned from, unless it answered for each without it (out of fold). A bound is certified on other rows than these.
    The rows of calibration get the confidence they would have had unseen (out of fold). Without any each source weighs
    the same. Raises InvalidInput for shapes that differ and for a class that is not there.

    Weights by conditional logit (McFadden 1974); the curve is Platt's (1999), or isotonic regression (Zadrozny and
    Elkan 2002) from 1,000 rows on.

    >>> votes, sure = np.tile([0, 1], (40, 1)), np.full((40, 2), 0.8)
    >>> found = combine(votes, sure, 2, range(40), [0] * 30 + [1] * 10)  # the first source is right 3 times in 4
    >>> int(found.labels[0]), bool(found.weights[0, 0] > found.weights[1, 0]), round(float(found.confidence.mean()), 1)
    (0, True, 0.7)
    """
    said, sure, at, truth = _checked(votes, confidences, n_classes, rows, labels)
    classes, which = _candidates(said)
    features = _features(said, sure, classes)
    s = said.shape[1]
    weights = np.concatenate((np.ones(s), np.ones(s), [-1.0]))
    known_classes, known_features = classes[at], features[at]
    target = _target(known_classes, truth)
    held = np.zeros(len(at))
    if len(at):
        fold = _fold(len(at))
        for number in range(min(_FOLDS, len(at))):
            out = fold == number
            part = _fit(known_features[~out], known_classes[~out] >= 0, target[~out], weights)
            held[out] = _chances(known_features[out], known_classes[out] >= 0, part)[:, :-1].max(axis=1, initial=0)
        weights = _fit(known_features, known_classes >= 0, target, weights)
    chance = _chances(features, classes >= 0, weights)
    best = chance[:, :-1].argmax(axis=1) if s else np.zeros(len(said), np.int64)
    found = np.where(which, np.take_along_axis(classes, best[:, None], axis=1)[:, 0], -1)
    raw = chance[np.arange(len(said)), best]
    confidence = np.where(which, raw, 0.0)
    proposed = which[at]
    right = found[at] == truth
    if proposed.sum() >= _FOLDS and len(np.unique(right[proposed])) == 2:
        confidence = np.where(which, _curve(held[proposed], right[proposed], raw), 0.0)
        unseen = _curve(held[proposed], right[proposed], held)
        confidence[at[proposed]] = unseen[proposed]
    return Combined(found.astype(np.int64), np.clip(confidence, 0.0, 1.0), weights[:-1].reshape(2, s).T)


def _candidates(said: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Each row's chosen classes once, (n, s), -1 for the rest; and whether anybody chose one."""
    classes = said.copy()
    for later in range(1, said.shape[1]):
        again = (classes[:, :later] == classes[:, later, None]).any(axis=1)
        classes[again, later] = -1
    return classes, np.asarray((said >= 0).any(axis=1))


def _features(
    said: NDArray[np.int64], sure: NDArray[np.float64], classes: NDArray[np.int64]
) -> NDArray[np.float64]:  # fmt: skip
    """(n, s + 1, 2 s + 1): of each candidate who chose it and how surely; the last candidate is none of them."""
    n, s = said.shape
    chose = (classes[:, :, None] == said[:, None, :]) & (classes >= 0)[:, :, None]
    near = np.clip(sure, _EDGE, 1 - _EDGE)
    odds = np.log(near / (1 - near))
    features = np.zeros((n, s + 1, 2 * s + 1))
    features[:, :-1, :s] = chose
    features[:, :-1, s:-1] = chose * odds[:, None, :]
    features[:, -1, -1] = 1.0
    return features


def _target(classes: NDArray[np.int64], truth: NDArray[np.int64]) -> NDArray[np.int64]:
    """Which candidate is right; the last, none, where no source chose the truth."""
    hit = (classes == truth[:, None]) & (classes >= 0)
    found: NDArray[np.int64] = np.where(hit.any(axis=1), hit.argmax(axis=1), classes.shape[1])
    return found


def _chances(
    features: NDArray[np.float64], there: NDArray[np.bool_], weights: NDArray[np.float64]
) -> NDArray[np.float64]:  # fmt: skip
    score = features @ weights
    score[:, :-1][~there] = -np.inf
    score -= score.max(axis=1, keepdims=True)
    raised = np.exp(score)
    result: NDArray[np.float64] = raised / raised.sum(axis=1, keepdims=True)
    return result


def _fit(
    features: NDArray[np.float64], there: NDArray[np.bool_], target: NDArray[np.int64], begin: NDArray[np.float64]
) -> NDArray[np.float64]:  # fmt: skip
    """The weights that make what people said likeliest, held near where they begin: a convex problem."""
    from scipy.optimize import minimize  # 0.3 s to import: only who combines pays it

    own = features[np.arange(len(target)), target]

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        chance = _chances(features, there, weights)
        off = weights - begin
        value = -np.log(np.maximum(chance[np.arange(len(target)), target], 1e-300)).sum() + _PRIOR / 2 * off @ off
        slope = (chance[:, :, None] * features).sum(axis=(0, 1)) - own.sum(axis=0) + _PRIOR * off
        return float(value), slope

    return np.asarray(minimize(loss, begin, jac=True, method="L-BFGS-B").x, np.float64)


def _curve(held: NDArray[np.float64], right: NDArray[np.bool_], raw: NDArray[np.float64]) -> NDArray[np.float64]:
    """`raw` as chances, by what `held` was worth: `right` is whether each of those was."""
    if len(held) >= _ISOTONIC:
        from sklearn.isotonic import IsotonicRegression

        ends = np.array([0.0, 1.0])
        model = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
        model.fit(np.concatenate((held, ends)), np.concatenate((right.astype(np.float64), [0.5, right.mean()])),
                  sample_weight=np.concatenate((np.ones(len(held)), [_SMOOTH, _SMOOTH])))  # fmt: skip
        # Steps tie rows that the raw chance tells apart: a hair of it keeps their order, which a threshold lives on.
        return np.asarray(model.predict(raw), np.float64) * (1 - _EDGE) + raw * _EDGE
    near, hits = np.clip(held, _EDGE, 1 - _EDGE), int(right.sum())
    # Platt's targets: as if one more row of each kind had been seen.
    goal = np.where(right, (hits + 1) / (hits + 2), 1 / (len(right) - hits + 2))
    odds = np.log(near / (1 - near))
    from scipy.optimize import minimize

    def loss(line: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        score = line[0] * odds + line[1]
        chance = 1 / (1 + np.exp(-score))
        value = (np.logaddexp(0, score) - goal * score).sum() + _PRIOR / 2 * (line[0] - 1) ** 2
        slope = np.array([((chance - goal) * odds).sum() + _PRIOR * (line[0] - 1), (chance - goal).sum()])
        return float(value), slope

    line = minimize(loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=[(1e-3, None), (None, None)]).x
    at = np.clip(raw, _EDGE / 10, 1 - _EDGE / 10)
    return np.asarray(1 / (1 + np.exp(-(line[0] * np.log(at / (1 - at)) + line[1]))), np.float64)


def _fold(m: int) -> NDArray[np.int64]:
    """The rows' folds: by their place, which says nothing of them."""
    return np.arange(m) % _FOLDS


def _checked(
    votes: ArrayLike, confidences: ArrayLike, n_classes: int, rows: ArrayLike, labels: ArrayLike
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    said, sure = np.asarray(votes, np.int64), np.asarray(confidences, np.float64)
    at, truth = np.asarray(rows, np.int64).reshape(-1), np.asarray(labels, np.int64).reshape(-1)
    if said.ndim != 2 or said.shape != sure.shape or not said.shape[1]:
        raise InvalidInput(f"votes and confidences are a row for each input and a column for each source, not "
                           f"{said.shape} and {sure.shape}")  # fmt: skip
    if said.size and not (said.min() >= -1 and said.max() < n_classes):
        raise InvalidInput(f"a vote is a class from 0 to {n_classes - 1}, or -1 where a source abstains")
    if not (np.isfinite(sure).all() and (sure >= 0).all() and (sure <= 1).all()):
        raise InvalidInput("a source's confidence lies between 0 and 1")
    if at.shape != truth.shape or len(np.unique(at)) != len(at):
        raise InvalidInput("each calibration row has one label, and is named once")
    if at.size and not (at.min() >= 0 and at.max() < len(said) and truth.min() >= 0 and truth.max() < n_classes):
        raise InvalidInput("a calibration row or its label is not there")
    return said, sure, at, truth

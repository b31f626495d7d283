"""A linear classifier over a matrix of features, with probabilities that mean what they say."""

import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from everloop.engine import each
from everloop.errors import InvalidInput

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

ABSENT = -2.0  # score of a class a model has not seen: a seen one that is clearly wrong scores about -1
TEMPERATURE = 3.0  # where there are too few rows to measure it
LEAST = 20  # held-out rows from which the temperature is measured
_SPLIT = 4  # classes from which they are learned in two halves
_HEAVY = 20_000_000  # stored numbers times classes from which a process of its own is worth its start
_GRID = np.geomspace(0.5, 24.0, 64)
_NOISE = (0.0, 0.02, 0.05, 0.1, 0.15)
_ROUNDS = 3  # folds of the calibration where rows are few
_FEW = 1500  # rows up to which each is held out once for it; above, a fifth of them is enough
_MANY = 10_000  # rows from which on more tell the temperature nothing new; a fold's worth of so many is looked at


class Head(NamedTuple):
    """Scores are `features @ weights + bias`; probabilities are the softmax of `temperature` times the scores."""

    weights: NDArray[np.float32]  # (features, k)
    bias: NDArray[np.float32]  # (k,)
    temperature: float  # the larger, the surer


class Rows(NamedTuple):
    """What a head learns from: n rows."""

    features: "csr_matrix"  # (n, d)
    target: NDArray[np.int64]  # (n,) index into the classes
    weight: NDArray[np.float64]  # (n,) how much it counts, from 0
    classes: tuple[str, ...]  # k labels, sorted

    def only(self, mask: NDArray[np.bool_]) -> "Rows":
        """The rows of `mask`; the classes stay."""
        return Rows(self.features[mask], self.target[mask], self.weight[mask], self.classes)


def check(n: int, targets: Sequence[str], weights: Sequence[float]) -> tuple[tuple[str, ...], NDArray[np.int64],
                                                                             NDArray[np.float64]]:  # fmt: skip
    """The sorted classes, each row's index into them, and the weights; raises InvalidInput as `Trainer.fit` says."""
    if not n:
        raise InvalidInput("there is nothing to learn from: no examples")
    if len(targets) != n or len(weights) != n:
        raise InvalidInput(f"{n} inputs need as many targets and weights, not {len(targets)} and {len(weights)}")
    weight = np.asarray(weights, dtype=np.float64)
    if not np.isfinite(weight).all() or (weight < 0).any():
        raise InvalidInput("weights must be finite and not negative")
    if not weight.any():
        raise InvalidInput("there is nothing to learn from: every example has weight 0")
    classes = tuple(sorted(set(targets)))
    index = {label: i for i, label in enumerate(classes)}
    return classes, np.array([index[target] for target in targets], dtype=np.int64), weight


def solve(rows: Rows, c: float, temperature: float = TEMPERATURE) -> Head:
    """One-vs-rest linear SVM with squared hinge loss (LIBLINEAR, Fan et al. 2008), weighted by row."""
    d, k = rows.features.shape[1], len(rows.classes)
    weights, bias = np.zeros((d, k), np.float32), np.full(k, ABSENT, np.float32)
    live = rows.weight > 0
    seen = np.unique(rows.target[live])
    if seen.size == 1:
        bias[seen] = 1.0
        return Head(weights, bias, temperature)
    used = rows if live.all() else rows.only(live)
    part = Part(used.features, used.target, used.weight, seen, c)
    if seen.size < _SPLIT:
        found = [against_the_rest(part)]
    else:  # always in two halves, in two processes or one after the other: the same bits
        halves = [part._replace(wanted=half) for half in np.array_split(seen, 2)]
        found = (
            _in_two_processes(halves)
            if used.features.nnz * seen.size >= _HEAVY
            else list(map(against_the_rest, halves))
        )
    weights[:, seen] = np.concatenate([columns for columns, _ in found], axis=1)
    bias[seen] = np.concatenate([offsets for _, offsets in found])
    return Head(weights, bias, temperature)


def _in_two_processes(halves: "list[Part]") -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """The features go by a file: on their way through a pipe they would be in memory three times.

    Where the system can address an open file without a name it has none: a killed process leaves nothing of anybody's
    words behind.
    """
    from scipy.sparse import csr_matrix, save_npz

    nameless = os.path.exists("/proc/self/fd")
    with tempfile.TemporaryFile() if nameless else tempfile.NamedTemporaryFile(suffix=".npz") as file:
        features = halves[0].features
        assert isinstance(features, csr_matrix)
        save_npz(file, features, compressed=False)
        file.flush()
        path = f"/proc/{os.getpid()}/fd/{file.fileno()}" if nameless else file.name
        return each(against_the_rest, [halves[0], *(half._replace(features=path) for half in halves[1:])])


class Part(NamedTuple):
    """One-vs-rest for some of the classes: work that can be done elsewhere."""

    features: "csr_matrix | str"  # (n, d), or the file that holds them
    target: NDArray[np.int64]  # (n,)
    weight: NDArray[np.float64]  # (n,) above 0
    wanted: NDArray[np.int64]  # classes to tell from the rest
    c: float


def against_the_rest(part: Part) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Weights (d, len(wanted)) and bias of each wanted class against all others."""
    from scipy.sparse import load_npz
    from sklearn.svm import LinearSVC  # 1.2 s to import: only who trains pays it

    features = load_npz(part.features) if isinstance(part.features, str) else part.features
    other = part.target.max() + 1  # all that is not wanted is one class, whose own column is left out
    target = np.where(np.isin(part.target, part.wanted), part.target, other)
    # The dual method visits the rows one by one in plain C, without BLAS: the number of threads can't change bits.
    model: Any = LinearSVC(C=part.c, tol=0.01, random_state=0, dual=True, max_iter=1000)
    model.fit(features, target, sample_weight=part.weight)
    coef, intercept = model.coef_, model.intercept_
    if len(model.classes_) == 2:  # two classes come as one column, of the second against the first
        coef, intercept = np.concatenate((-coef, coef)), np.array([-intercept[0], intercept[0]])
    keep = np.isin(model.classes_, part.wanted)
    return coef[keep].T.astype(np.float32), intercept[keep].astype(np.float32)


def fit(rows: Rows, fold_of: Callable[[int], NDArray[np.int64]], c: float) -> Head:
    """A calibrated head. `fold_of(folds)` gives each row's fold."""
    return solve(rows, c, calibrate(rows, fold_of, c))


def calibrate(rows: Rows, fold_of: Callable[[int], NDArray[np.int64]], c: float) -> float:
    """The temperature, measured on rows that were held out."""
    few = len(rows.target) <= _FEW
    fold = fold_of(_ROUNDS if few else 5)
    if len(rows.target) > _MANY:  # a coarser fold of all rows is a sample of them that keeps groups together
        chosen = fold_of(5 * round(len(rows.target) / _MANY)) < 5
        rows, fold = rows.only(chosen), fold[chosen]
    held = np.zeros((0, len(rows.classes)))
    order = []
    for number in range(_ROUNDS) if few else (0,):
        out = fold == number
        if rows.weight[~out].any():
            order.append(np.flatnonzero(out))
            held = np.concatenate((held, scores(solve(rows.only(~out), c), rows.features[out])))
    at = np.concatenate(order) if order else np.zeros(0, np.int64)
    return temperature(held, rows.target[at], rows.weight[at])


def cross(rows: Rows, fold: NDArray[np.int64], c: float) -> tuple[NDArray[np.float64], tuple[Head, ...]]:
    """Out-of-fold probabilities (n, k) of the rows, and the calibrated heads of the folds."""
    held = np.full((len(rows.target), len(rows.classes)), ABSENT, dtype=np.float64)
    heads: list[Head] = []
    for number in np.unique(fold):
        out = fold == number
        if rows.weight[~out].any():  # if nothing is left to learn from, equal scores are what is known of these rows
            heads.append(solve(rows.only(~out), c))
            held[out] = scores(heads[-1], rows.features[out])
    t = temperature(held, rows.target, rows.weight)
    return softmax(held * t), tuple(head._replace(temperature=t) for head in heads)


def mean(heads: Sequence[Head], parts: "Iterable[csr_matrix]", k: int) -> NDArray[np.float64]:
    """The mean (n, k) of the heads' probabilities on rows that come in parts; equal shares where there is no head."""
    found = [np.zeros((0, k))]
    for part in parts:
        each = [softmax(scores(head, part) * head.temperature) for head in heads]
        found.append(np.mean(each, axis=0) if each else np.full((part.shape[0], k), 1 / k))
    return np.concatenate(found)


def scores(head: Head, features: "csr_matrix") -> NDArray[np.float64]:
    """(n, k) float64."""
    # A sparse product goes row by row: a row's bits don't depend on the batch, as those of a BLAS product do.
    return np.asarray(features @ head.weights, dtype=np.float64) + head.bias


def softmax(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Along the rows."""
    shifted = np.exp(values - values.max(axis=1, keepdims=True))
    result: NDArray[np.float64] = shifted / shifted.sum(axis=1, keepdims=True)
    return result


def temperature(held: NDArray[np.float64], target: NDArray[np.int64], weight: NDArray[np.float64]) -> float:
    """What makes the held-out scores (n, k) likeliest, given that some labels are wrong at random.

    Source: temperature scaling (Guo et al. 2017, arXiv 1706.04599), with a share of uniformly wrong labels estimated
    beside it: otherwise the wrong labels of a noisy set teach the model to doubt its right answers too.
    """
    if (weight > 0).sum() < LEAST or held.shape[1] == 1:
        return TEMPERATURE
    k = held.shape[1]
    best, result = np.inf, TEMPERATURE
    for t in _GRID:
        right = softmax(held * t)[np.arange(len(target)), target]
        for noise in _NOISE:
            loss = -float(weight @ np.log((1 - noise) * right + noise / k + 1e-12))
            if loss < best:
                best, result = loss, float(t)
    return result

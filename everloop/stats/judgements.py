"""Who said what of which item: checked once, counted without loops; and what every aggregation returns."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:  # 0.2 s to import: only who aggregates pays
    from scipy.sparse import csr_array


class Judgements(NamedTuple):
    """n judgements by workers 0..n_workers-1 on items 0..n_items-1; each of both has at least one."""

    workers: NDArray[np.int64]  # (n,)
    items: NDArray[np.int64]  # (n,)
    labels: NDArray[np.int64]  # (n,), below n_classes
    weights: NDArray[np.float64]  # (n,); a worker's answers to one item sum to 1
    n_workers: int
    n_items: int
    n_classes: int


class Aggregated(NamedTuple):
    """One answer per item from many, and how far each worker can be believed."""

    labels: NDArray[np.int64]  # (n_items,)
    probabilities: NDArray[np.float64]  # (n_items, n_classes), rows sum to 1
    quality: NDArray[np.float64]  # (n_workers,) expected share of the worker's judgements that are right
    log_likelihood: float | None  # of the judgements under the fitted model; None where there is no model
    iterations: int  # 0 where nothing is iterated


def checked(workers: ArrayLike, items: ArrayLike, labels: ArrayLike, n_classes: int) -> Judgements:
    """The judgements, or ValueError with what is wrong.

    Workers and items are numbered from 0 without gaps, so that nothing without evidence gets a result. Several
    answers of one worker to one item share one voice: repeating an answer gives it no more weight.

    >>> checked([0, 0, 1], [0, 0, 0], [1, 1, 0], 2).weights.tolist()
    [0.5, 0.5, 1.0]
    """
    columns = {name: np.asarray(v) for name, v in (("workers", workers), ("items", items), ("labels", labels))}
    sizes = {column.shape for column in columns.values()}
    if len(sizes) > 1 or len(next(iter(sizes))) != 1 or not columns["workers"].size:
        shapes = ", ".join(f"{name} {column.shape}" for name, column in columns.items())
        raise ValueError(f"workers, items and labels are rows of one length, at least one, not {shapes}")
    for name, column in columns.items():
        if column.dtype.kind not in "iu":
            raise ValueError(f"{name} are whole numbers from 0, not {column.dtype}")
        if column.min() < 0:
            raise ValueError(f"{name} are numbers from 0, not {column.min()}")
    w, i, y = (column.astype(np.int64, copy=False) for column in columns.values())
    if n_classes < 2 or y.max() >= n_classes:
        raise ValueError(f"labels lie below the number of classes, at least 2: {y.max()} of {n_classes}")
    n_workers, n_items = _without_gaps("worker", w), _without_gaps("item", i)
    return Judgements(w, i, y, _voices(w, i, n_workers), n_workers, n_items, n_classes)


def votes(judged: Judgements) -> NDArray[np.float64]:
    """(n_items, n_classes): how many voices each label got."""
    return _counted(judged, judged.weights)


def shares(judged: Judgements) -> NDArray[np.float64]:
    """(n_items, n_classes): each label's share of an item's voices; where every estimate begins."""
    counted = votes(judged)
    return np.asarray(counted / counted.sum(axis=1, keepdims=True), dtype=np.float64)


def said(judged: Judgements) -> "tuple[csr_array, csr_array]":
    """(n_items, n_workers * n_classes) with the weight at [item, worker * n_classes + label], and its transpose.

    Both in rows: one product with each is an iteration of Dawid and Skene's.
    """
    from scipy.sparse import csr_array

    column = judged.workers * judged.n_classes + judged.labels
    shape = (judged.n_items, judged.n_workers * judged.n_classes)
    return (
        csr_array((judged.weights, (judged.items, column)), shape=shape),
        csr_array((judged.weights, (column, judged.items)), shape=shape[::-1]),
    )


def result(
    judged: Judgements, probabilities: NDArray[np.float64], log_likelihood: float | None = None, iterations: int = 0
) -> Aggregated:
    """Labels and qualities from the probabilities of each item's classes.

    Where classes tie, the one whose voters agree more with the others elsewhere is taken, then the one with more
    probability over all items, then the lowest. The tie itself stays visible in the probabilities.
    """
    right = probabilities[judged.items, judged.labels] * judged.weights
    given = np.bincount(judged.workers, judged.weights, judged.n_workers)
    quality = np.minimum(np.divide(np.bincount(judged.workers, right, judged.n_workers), given), 1.0)
    # Sums in another order differ in the last bits, which must not decide a tie.
    best = probabilities >= probabilities.max(axis=1, keepdims=True) - 1e-9
    labels = best.argmax(axis=1)
    tied = best.sum(axis=1) > 1
    if tied.any():
        trusted = _counted(judged, judged.weights * quality[judged.workers])[tied]
        trusted = np.where(best[tied], trusted, -1.0)
        frequent = np.round(probabilities.mean(axis=0), 9)
        first = trusted >= trusted.max(axis=1, keepdims=True) - 1e-9
        labels[tied] = np.where(first, frequent, -1.0).argmax(axis=1)
    return Aggregated(labels, probabilities, quality, log_likelihood, iterations)


def normalised(scores: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Log scores (n, k) to probabilities, in place, and the sum of the rows' log totals."""
    top = scores.max(axis=1, keepdims=True)
    scores -= top
    np.exp(scores, out=scores)
    total = scores.sum(axis=1, keepdims=True)
    scores /= total
    return scores, float(top.sum() + np.log(total).sum())


def _counted(judged: Judgements, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    cell = judged.items * judged.n_classes + judged.labels
    counted = np.bincount(cell, weights, judged.n_items * judged.n_classes)
    return np.asarray(counted.reshape(judged.n_items, judged.n_classes), dtype=np.float64)


def _without_gaps(name: str, column: NDArray[np.int64]) -> int:
    size = int(column.max()) + 1
    # A number far above the count of judgements must not be answered with an array of that size.
    present = int(np.unique(column).size) if size > 4 * column.size else int(np.count_nonzero(np.bincount(column)))
    if present != size:
        raise ValueError(f"every {name} needs a judgement: {present} have one, the highest number is {size - 1}")
    return size


def _voices(workers: NDArray[np.int64], items: NDArray[np.int64], n_workers: int) -> NDArray[np.float64]:
    key = items * n_workers + workers
    ordered = np.sort(key)
    if not (ordered[1:] == ordered[:-1]).any():
        return np.ones(key.size)
    _, inverse, count = np.unique(key, return_inverse=True, return_counts=True)
    return np.asarray(1.0 / count[inverse], dtype=np.float64)

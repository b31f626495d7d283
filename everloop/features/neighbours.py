"""What the labels nearest to a row say of it: a second opinion that is wrong in other places than a trained model."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from everloop.errors import InvalidInput

MOST = 40  # neighbours that vote, at most; half of a class's mean size where that is fewer
SHARPNESS = 10.0  # a neighbour's weight is e to this times its cosine
_PRIOR = 1.0  # votes of the nearest neighbour's weight that the classes' shares have beside them
_CELLS = 1 << 24  # similarities held at once: 64 MB


class Neighbours(NamedTuple):
    """Nearest first; a row is never its own neighbour."""

    rows: NDArray[np.int64]  # (r, m)
    similarity: NDArray[np.float32]  # (r, m) cosines


def nearest(vectors: NDArray[np.float32], most: int, rows: NDArray[np.int64] | None = None) -> Neighbours:
    """The `most` nearest of all `vectors` (n, d) for each of `rows` (all where None), by cosine.

    All pairs are compared, blockwise: 10,000 rows of 256 numbers take about a second, and time grows with the square.

    >>> found = nearest(np.array([[1, 0], [0.9, 0.1], [0, 1]], np.float32), 1)
    >>> found.rows.tolist()
    [[1], [0], [1]]
    """
    rows = np.arange(len(vectors)) if rows is None else np.asarray(rows, np.int64)
    scaled = unit(vectors)
    return _found(scaled[rows], scaled, most, rows)


def across(asked: NDArray[np.float32], known: NDArray[np.float32], most: int) -> Neighbours:
    """The `most` nearest of `known` (m, d) for each of `asked` (r, d), which are other rows, by cosine."""
    return _found(unit(asked), unit(known), most, None)


def _found(
    asked: NDArray[np.float32], known: NDArray[np.float32], most: int, own: NDArray[np.int64] | None
) -> Neighbours:  # fmt: skip
    """Of unit vectors; `own` are the places of the rows that are asked about among the known."""
    if most < 1:
        raise InvalidInput(f"at least 1 neighbour must be asked for, not {most}")
    n = len(known)
    most = min(most, max(n - (own is not None), 0))
    index, similarity = np.empty((len(asked), most), np.int64), np.empty((len(asked), most), np.float32)
    step = max(1, _CELLS // max(n, 1))
    for start in range(0, len(asked) if most else 0, step):
        cosine = asked[start : start + step] @ known.T
        if own is not None:
            cosine[np.arange(len(cosine)), own[start : start + step]] = -np.inf
        top = np.argpartition(-cosine, most - 1, axis=1)[:, :most]
        near = np.take_along_axis(cosine, top, axis=1)
        order = np.lexsort((top, -near), axis=1)
        index[start : start + step] = np.take_along_axis(top, order, axis=1)
        similarity[start : start + step] = np.take_along_axis(near, order, axis=1)
    return Neighbours(index, similarity)


def unit(vectors: NDArray[np.floating]) -> NDArray[np.float32]:
    """Rows (n, d) scaled to length 1, those of zeros as they are; InvalidInput unless all numbers are finite."""
    matrix = np.asarray(vectors, np.float32)
    if matrix.ndim != 2 or not np.isfinite(matrix).all():
        raise InvalidInput(f"vectors come as a matrix of finite numbers, a row each, not {matrix.shape}")
    length = np.linalg.norm(matrix, axis=1, keepdims=True)
    return np.asarray(matrix / np.where(length > 0, length, 1), np.float32)


def probabilities(
    labels: NDArray[np.int64], classes: int, found: Neighbours, trust: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """(r, classes): the share of each class among the neighbours, the nearer the heavier; rows sum to 1.

    Out of fold by construction, since no row is its own neighbour. `found` is for all rows or for some of them.
    `trust` (n,) is how much each row's label counts, 0 to 1: after a first look, 1 less its score as a suspect. A
    second look with it finds more where people confuse the same classes again and again; elsewhere hardly any.
    """
    trust = np.ones(len(labels)) if trust is None else np.maximum(trust, 1e-6)
    prior = np.bincount(labels, trust, minlength=classes) / max(float(trust.sum()), 1e-6)
    votes = np.tile(_PRIOR * prior, (len(found.rows), 1))
    if found.rows.shape[1]:
        weight = np.exp(SHARPNESS * (found.similarity - found.similarity[:, :1]).astype(np.float64)) * trust[found.rows]
        row = np.repeat(np.arange(len(found.rows)), found.rows.shape[1])
        cell = row * classes + labels[found.rows.ravel()]
        votes += np.bincount(cell, weight.ravel(), minlength=votes.size).reshape(votes.shape)
    result: NDArray[np.float64] = votes / votes.sum(axis=1, keepdims=True)
    return result


def vote(vectors: NDArray[np.float32], labels: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    """(n, classes): what the neighbours of each row say it is, with as many of them as suits the classes' size.

    >>> turned = np.array([[1, 0], [1, 0.1], [1, -0.1], [0, 1], [0.1, 1], [-0.1, 1]], np.float32)
    >>> vote(np.tile(turned, (3, 1)), np.array([0, 0, 0, 1, 1, 0] * 3), 2)[:6].argmax(axis=1).tolist()
    [0, 0, 0, 1, 1, 1]
    """
    return probabilities(labels, classes, nearest(vectors, suited(len(labels), classes)))


def suited(n: int, classes: int) -> int:
    """How many of `n` rows should vote: half of a class's mean size, from 5 to 40.

    >>> suited(10_003, 77), suited(1_000, 77)
    (40, 6)
    """
    return int(np.clip(round(n / max(classes, 1) / 2), 5, MOST))

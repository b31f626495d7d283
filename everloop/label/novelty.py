"""Which inputs no class of ours covers: how little the model believes in any, and how far the nearest known row is."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from everloop.errors import InvalidInput
from everloop.features.neighbours import unit
from everloop.label.doubt import checked

NEIGHBOURS = 3
_BLOCK = 1024  # rows compared at once with all the labelled ones


class Novelty(NamedTuple):
    """How likely out of scope each row is, for ranking: 0 (as the labelled rows) to 1."""

    score: NDArray[np.float64]  # (n,) the mean of the two below
    doubt: NDArray[np.float64]  # (n,) 1 - greatest probability
    distance: NDArray[np.float64]  # (n,) 1 - mean cosine to the nearest labelled rows, 1 at most
    nearest: NDArray[np.int64]  # (n,) position of the nearest labelled row: what it was compared with


def outside(
    vectors: NDArray[np.floating], probabilities: NDArray[np.floating], labelled: NDArray[np.floating], *,
    neighbours: int = NEIGHBOURS,
) -> Novelty:  # fmt: skip
    """How far each row is from what is known.

    `vectors` (n, d) and `probabilities` (n, k) of the rows in question, `labelled` (m, d) of those with a label,
    m >= 1. A row's score depends on no other of the n rows. Raises InvalidInput for shapes that do not fit. Sources:
    Hendrycks and Gimpel 2017 (arXiv 1610.02136) for the greatest probability, Sun et al. 2022 (arXiv 2204.06507) for
    the nearest neighbours.

    >>> known = np.array([[1, 0, 0], [0, 1, 0]], np.float32)
    >>> rows = np.array([[1, 0, 0], [0, 0, 1]], np.float32)
    >>> outside(rows, np.array([[0.9, 0.1], [0.6, 0.4]]), known, neighbours=1).score.round(2).tolist()
    [0.05, 0.7]
    """
    p, rows, known = checked(probabilities), unit(vectors), unit(labelled)
    if not len(known) or len(p) != len(rows) or rows.shape[1] != known.shape[1] or neighbours < 1:
        raise InvalidInput("novelty needs a row of probabilities for each vector, and labelled rows of the same width")
    doubt = 1 - p.max(axis=1) if len(p) else np.zeros(0)
    count = min(neighbours, len(known))
    distance, nearest = np.zeros(len(rows)), np.zeros(len(rows), np.int64)
    for i in range(0, len(rows), _BLOCK):
        like = rows[i : i + _BLOCK] @ known.T
        nearest[i : i + _BLOCK] = like.argmax(axis=1)
        best = np.partition(like, -count, axis=1)[:, -count:]
        distance[i : i + _BLOCK] = np.clip(1 - best.mean(axis=1, dtype=np.float64), 0, 1)
    return Novelty((doubt + distance) / 2, doubt, distance, nearest)

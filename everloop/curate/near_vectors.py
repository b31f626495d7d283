"""Near-duplicate vectors (small images, sensor rows): random hyperplanes find candidates, the exact distance decides.

Source: Charikar 2002, "Similarity estimation techniques from rounding algorithms".
"""

import numpy as np
from numpy.typing import NDArray

from everloop.curate import buckets

ALGORITHM = "hyperplanes16x24.v1"
_BITS, _BANDS, _SEED = 16, 24, 42
_BLOCK = 20_000  # pairs compared at a time


def pairs(vectors: NDArray[np.float64], threshold: float = 0.95, first_new: int = 0) -> NDArray[np.int64]:
    """(m, 2) index pairs i < j of (n, d) `vectors` whose similarity is at least `threshold`, j ≥ `first_new`.

    Similarity is 1 - |a - b| / max(|a|, |b|): 1 for equal vectors, below 0.5 for unrelated ones.
    """
    if len(vectors) <= max(1, first_new):
        return np.empty((0, 2), np.int64)
    rng = np.random.default_rng(_SEED)
    centred = vectors - vectors.mean(axis=1, keepdims=True)
    powers = (1 << np.arange(_BITS)).astype(np.uint32)
    keys = np.empty((_BANDS, len(vectors)), np.uint32)
    for band in range(_BANDS):
        planes = rng.standard_normal((vectors.shape[1], _BITS))
        keys[band] = ((centred @ planes) > 0).astype(np.uint32) @ powers
    norms = np.linalg.norm(vectors, axis=1)
    found = [np.empty((0, 2), np.int64)]
    for band in range(_BANDS):
        for candidates in buckets.within(keys, band):
            asked = candidates[candidates[:, 1] >= first_new]
            for at in range(0, len(asked), _BLOCK):
                block = asked[at : at + _BLOCK]
                far = np.linalg.norm(vectors[block[:, 0]] - vectors[block[:, 1]], axis=1)
                found.append(block[far <= (1 - threshold) * norms[block].max(axis=1)])
    return buckets.distinct(np.concatenate(found))[0]


def between(left: NDArray[np.float64], right: NDArray[np.float64], threshold: float = 0.95) -> NDArray[np.int64]:
    """(m, 2) pairs (i of `left`, j of `right`) with similarity ≥ `threshold`: all are compared, exactly."""
    found = [np.empty((0, 2), np.int64)]
    norms = np.linalg.norm(right, axis=1)
    for i, row in enumerate(left):
        far = np.linalg.norm(right - row, axis=1)
        near = np.flatnonzero(far <= (1 - threshold) * np.maximum(norms, np.linalg.norm(row)))
        found.append(np.stack((np.full(len(near), i), near), axis=1))
    return np.concatenate(found)

"""Near-duplicate vectors (small images, sensor rows): random hyperplanes find candidates, the exact distance decides.

Source: Charikar 2002, "Similarity estimation techniques from rounding algorithms".
"""

import numpy as np
from numpy.typing import NDArray

from everloop.curate.near_duplicates import bucket_pairs

ALGORITHM = "hyperplanes16x24.v1"
_BITS, _BANDS, _SEED = 16, 24, 42


def pairs(vectors: NDArray[np.float64], threshold: float = 0.95, first_new: int = 0) -> NDArray[np.int64]:
    """(m, 2) index pairs i < j of (n, d) `vectors` whose similarity is at least `threshold`, j ≥ `first_new`.

    Similarity is 1 - |a - b| / max(|a|, |b|): 1 for equal vectors, below 0.5 for unrelated ones.
    """
    if len(vectors) <= max(1, first_new):
        return np.empty((0, 2), np.int64)
    rng = np.random.default_rng(_SEED)
    centred = vectors - vectors.mean(axis=1, keepdims=True)
    powers = (1 << np.arange(_BITS)).astype(np.uint64)
    keys = np.empty((len(vectors), _BANDS), np.uint64)
    for band in range(_BANDS):
        planes = rng.standard_normal((vectors.shape[1], _BITS))
        keys[:, band] = ((centred @ planes) > 0).astype(np.uint64) @ powers
    candidates = bucket_pairs(keys, first_new)
    a, b = vectors[candidates[:, 0]], vectors[candidates[:, 1]]
    scale = np.maximum(np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1))
    far = np.linalg.norm(a - b, axis=1)
    near: NDArray[np.int64] = candidates[far <= (1 - threshold) * scale]
    return near


def between(left: NDArray[np.float64], right: NDArray[np.float64], threshold: float = 0.95) -> NDArray[np.int64]:
    """(m, 2) pairs (i of `left`, j of `right`) with similarity ≥ `threshold`: all are compared, exactly."""
    found = [np.empty((0, 2), np.int64)]
    norms = np.linalg.norm(right, axis=1)
    for i, row in enumerate(left):
        far = np.linalg.norm(right - row, axis=1)
        near = np.flatnonzero(far <= (1 - threshold) * np.maximum(norms, np.linalg.norm(row)))
        found.append(np.stack((np.full(len(near), i), near), axis=1))
    return np.concatenate(found)

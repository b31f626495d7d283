"""Texts as sets of hashed character 4-grams in flat arrays, and the exact Jaccard similarity of many pairs at once.

A gram is 48 bits of a hash of its four code points, so two different grams of two texts of m grams each are taken for
one with odds of m²/2⁴⁸: one pair in 10¹¹ for texts of 50 grams, and then the count is one off.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from everloop.curate.inputs import normalise

SIZE = 4  # characters in a gram
_HASH_BITS = np.uint64(48)
_TEXTS = 4_096  # texts shingled at a time: their arrays stay in the processor's cache
_CHARACTERS = 2_000_000  # and at most so many characters, or one text
_PAIRS = 4_000  # pairs compared at a time
_GRAMS = 20_000_000  # and at most so many grams of theirs, or one pair


class Shingles(NamedTuple):
    """The gram sets of n texts, one after the other."""

    starts: NDArray[np.int64]  # (n + 1,) where each text's grams begin
    values: NDArray[np.int64]  # ascending and distinct within a text; at least one a text

    @property
    def sizes(self) -> NDArray[np.int64]:
        """(n,) grams in each text."""
        return np.diff(self.starts)


def batches(texts: Sequence[str]) -> list[tuple[int, int]]:
    """Where to cut `texts` so that what is made of each part stays small."""
    length = np.fromiter((len(text) for text in texts), np.int64, len(texts))
    return cuts(length, _TEXTS, _CHARACTERS)


def cuts(weights: NDArray[np.int64], most: int, limit: int) -> list[tuple[int, int]]:
    """[begin, end) of runs of at most `most` items whose weights sum to at most `limit`, or of one item."""
    total = np.concatenate(([0], np.cumsum(weights)))
    found, begin = [], 0
    while begin < len(weights):
        end = int(np.searchsorted(total, total[begin] + limit, side="right")) - 1
        end = min(max(end, begin + 1), begin + most, len(weights))
        found.append((begin, end))
        begin = end
    return found


def shingle(texts: Sequence[str]) -> Shingles:
    """The gram sets of `texts`; an empty or shorter text has one gram.

    >>> shingle(["where is my card?", "WHERE is my  card?"]).sizes.tolist()
    [14, 14]
    """
    parts = [_shingle(texts[begin:end]) for begin, end in batches(texts)]
    return joined(parts)


def joined(parts: Sequence[Shingles]) -> Shingles:
    """The sets of all `parts`, one part after the other."""
    sizes = [part.sizes for part in parts]
    starts = np.concatenate(([0], np.cumsum(np.concatenate(sizes)))) if parts else np.zeros(1, np.int64)
    values = np.concatenate([part.values for part in parts]) if parts else np.empty(0, np.int64)
    return Shingles(starts.astype(np.int64), values)


def _shingle(texts: Sequence[str]) -> Shingles:
    # All texts end to end as code points; a gram's hash is a polynomial of its four, so no Python string is made.
    # Three zeros after each text keep it apart from the next; a short one is padded with them.
    clean = [normalise(text) or " " for text in texts]
    length = np.fromiter((len(text) for text in clean), np.int64, len(clean))
    gap = "\0" * (SIZE - 1)
    flat = np.frombuffer((gap.join(clean) + gap).encode("utf-32-le", "surrogatepass"), np.uint32)
    points = flat.astype(np.uint64) + np.uint64(1)
    hashes = points[: 1 - SIZE].copy()
    for step in range(1, SIZE):
        hashes *= np.uint64(0x9E3779B97F4A7C15)
        hashes += points[step : step + len(hashes)]
    hashes ^= hashes >> np.uint64(29)
    hashes *= np.uint64(0xBF58476D1CE4E5B9)
    hashes >>= np.uint64(64) - _HASH_BITS
    count = np.maximum(length - SIZE + 1, 1)
    begins = np.concatenate(([0], np.cumsum(length + SIZE - 1)[:-1]))
    starts = np.concatenate(([0], np.cumsum(count)))
    at = np.arange(starts[-1]) + np.repeat(begins - starts[:-1], count)
    # One sort of (text, hash) sorts every text's grams; what equals its predecessor is there already.
    keys = hashes[at] | (np.repeat(np.arange(len(clean), dtype=np.uint64), count) << _HASH_BITS)
    keys.sort()
    keys = keys[np.concatenate(([True], keys[1:] != keys[:-1]))]
    size = np.bincount((keys >> _HASH_BITS).astype(np.int64), minlength=len(clean))
    values = (keys & ((np.uint64(1) << _HASH_BITS) - np.uint64(1))).astype(np.int64)
    return Shingles(np.concatenate(([0], np.cumsum(size))), values)


def similarities(one: Shingles, other: Shingles, pairs: NDArray[np.int64]) -> NDArray[np.float64]:
    """(m,) the Jaccard similarity of row i of `one` and row j of `other` for each of the (m, 2) `pairs`.

    >>> some = shingle(["abcde", "abcdx"])  # {abcd, bcde} and {abcd, bcdx}
    >>> similarities(some, some, np.array([[0, 1], [1, 1]])).round(3).tolist()
    [0.333, 1.0]
    """
    found = np.empty(len(pairs))
    i, j = pairs.T
    sizes = one.sizes[i] + other.sizes[j]
    left = _rows(one)
    right = left if other is one else _rows(other)
    for begin, end in cuts(sizes, _PAIRS, _GRAMS):
        both = _shared(left[i[begin:end]], right[j[begin:end]])
        found[begin:end] = both / (sizes[begin:end] - both)
    return found


def _rows(shingles: Shingles) -> Any:
    """A sparse matrix with a row for each text and a one for each gram: scipy takes and merges rows in C++."""
    from scipy.sparse import csr_array  # 0.3 s to import: only who compares pays it

    ones = np.ones(len(shingles.values), np.int8)
    return csr_array((ones, shingles.values, shingles.starts), shape=(len(shingles.starts) - 1, 1 << 48))


def _shared(one: Any, other: Any) -> NDArray[np.int64]:
    """How many grams row k of `one` and row k of `other` have in common."""
    for rows in (one, other):  # known, so that it is not looked for
        rows.has_sorted_indices = rows.has_canonical_format = True
    shared: NDArray[np.int64] = np.diff(one.multiply(other).indptr).astype(np.int64)
    return shared

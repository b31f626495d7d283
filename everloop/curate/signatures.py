"""MinHash signatures of texts, cut into bands: two texts that share a band's key are candidates for near-duplicates.

Source: Broder 1997, "On the resemblance and containment of documents"; banding as in Leskovec, Rajaraman & Ullman,
"Mining of Massive Datasets", ch. 3.4. The permutations are rensa's R-MinHash.
"""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rensa import RMinHash

from everloop.curate.shingles import Shingles, batches, joined, shingle

ALGORITHM = f"rminhash{RMinHash.ALGORITHM_VERSION}.grams4.v2"  # another name where a signature would differ
PERMUTATIONS = 64
_SEED = 42
_MISSED = 0.015  # of the pairs that are just similar enough, at most this share may have no band in common
_ROWS = 500  # signatures taken out of rensa at a time: its rows come as Python's numbers, 36 bytes each
_SKETCHES = 4_000  # pairs of sketches compared at a time
KEPT_GRAMS = 120_000_000  # 1 GB of grams is kept for the comparison; of more, those needed are made again


class Banding(NamedTuple):
    """How a signature is cut: `bands` keys, each of `rows` MinHashes that must all agree."""

    bands: int
    rows: int

    def found(self, similarity: float) -> float:
        """The share of pairs at this Jaccard similarity that become candidates.

        >>> round(Banding(16, 4).found(0.7), 3), round(Banding(16, 4).found(0.3), 3)
        (0.988, 0.122)
        """
        return float(1 - (1 - similarity**self.rows) ** self.bands)


def banding(threshold: float, permutations: int = PERMUTATIONS, missed: float = _MISSED) -> Banding:
    """The longest bands (so the fewest candidates) that still find all but `missed` of the pairs at `threshold`.

    Raises ValueError unless 0 < threshold <= 1.

    >>> banding(0.7), banding(0.9)
    (Banding(bands=16, rows=4), Banding(bands=8, rows=8))
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"a similarity threshold lies above 0 and at most at 1, not at {threshold}")
    for rows in range(8, 1, -1):
        cut = Banding(permutations // rows, rows)
        if cut.found(threshold) >= 1 - missed:
            return cut
    return Banding(permutations, 1)


class Signed(NamedTuple):
    """What n texts are compared by before they are compared exactly."""

    keys: NDArray[np.uint32]  # (bands, n): two texts that share a key in a row of it are candidates
    sketch: NDArray[np.uint8]  # (n, bands * rows) a byte of each MinHash: the share that agrees estimates the Jaccard
    content: NDArray[np.uint64]  # (n,) a hash of the gram set
    sizes: NDArray[np.int64]  # (n,) grams in it
    shingles: Shingles | None  # the sets themselves, unless they are too many to keep


def sign(texts: Sequence[str], cut: Banding) -> Signed:
    """Band keys of `texts`; a text's depend on the text alone, so keys of different calls can be compared."""
    keys = np.empty((cut.bands, len(texts)), np.uint32)
    sketch = np.empty((len(texts), cut.bands * cut.rows), np.uint8)
    content = np.empty(len(texts), np.uint64)
    sizes = np.empty(len(texts), np.int64)
    kept: list[Shingles] | None = []
    total = 0
    for begin, end in batches(texts):
        shingles = shingle(texts[begin:end])
        for at, values in _signatures(shingles, cut.bands * cut.rows):
            rows = slice(begin + at, begin + at + len(values))
            keys[:, rows] = _band_keys(values, cut)
            sketch[rows] = values & np.uint64(0xFF)
        content[begin:end] = _content(shingles)
        sizes[begin:end] = shingles.sizes
        total += len(shingles.values)
        if kept is not None:
            kept.append(shingles)
            kept = kept if total <= KEPT_GRAMS else None
    return Signed(keys, sketch, content, sizes, None if kept is None else joined(kept))


def likely(
    one: Signed, i: NDArray[np.int64], other: Signed, j: NDArray[np.int64], threshold: float
) -> NDArray[np.bool_]:
    """(m,) False where sizes or sketches of texts i of `one` and j of `other` already rule `threshold` out.

    Two sets share at most the smaller one: that is certain. A sketch has to be five standard errors of its estimate
    below: that is wrong for one pair in three million.
    """
    sizes = one.sizes[i], other.sizes[j]
    good: NDArray[np.bool_] = np.minimum(*sizes) >= threshold * np.maximum(*sizes)
    permutations = one.sketch.shape[1]
    least = permutations * threshold - 5 * (permutations * threshold * (1 - threshold)) ** 0.5
    at = np.flatnonzero(good)
    for begin in range(0, len(at), _SKETCHES):
        part = at[begin : begin + _SKETCHES]
        agree = np.count_nonzero(one.sketch[i[part]] == other.sketch[j[part]], axis=1)
        good[part] = agree >= least
    return good


def _signatures(shingles: Shingles, permutations: int) -> Iterator[tuple[int, NDArray[np.uint64]]]:
    values, starts = shingles.values.astype(np.uint64), shingles.starts.astype(np.uint64)
    for begin in range(0, len(starts) - 1, _ROWS):
        offsets = starts[begin : begin + _ROWS + 1]
        part = values[offsets[0] : offsets[-1]]
        signed = RMinHash.digest_matrix_from_flat_token_hashes(part, offsets - offsets[0], permutations, _SEED)
        n = len(offsets) - 1
        flat = np.fromiter(chain.from_iterable(signed.to_rows()), np.uint64, n * permutations)
        yield begin, flat.reshape(n, permutations)


def _band_keys(values: NDArray[np.uint64], cut: Banding) -> NDArray[np.uint32]:
    """(bands, n) 32 bits of a hash of each band's MinHashes; equal by chance for one pair in four thousand million."""
    odd = np.random.default_rng(_SEED).integers(1, 2**63, size=cut.rows, dtype=np.uint64) | np.uint64(1)
    mixed = values[:, :: cut.rows] * odd[0]
    for row in range(1, cut.rows):
        mixed += values[:, row :: cut.rows] * odd[row]
    return (_mixed(mixed) >> np.uint64(32)).astype(np.uint32).T


def _content(shingles: Shingles) -> NDArray[np.uint64]:
    """(n,) a sum over each set's grams, so that equal sets have equal numbers."""
    spread = _mixed(shingles.values.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15))
    return _mixed(np.add.reduceat(spread, shingles.starts[:-1]))


def _mixed(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    # The finaliser of splitmix64 (Steele, Lea & Flood 2014): every bit of the input moves every bit of the output.
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))

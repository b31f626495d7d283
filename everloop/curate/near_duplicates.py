"""Near-duplicate pairs: MinHash signatures (R-MinHash) in bands find candidates, exact Jaccard decides.

Source: Broder 1997, "On the resemblance and containment of documents"; banding as in Leskovec, Rajaraman & Ullman,
"Mining of Massive Datasets", ch. 3.4. With 128 permutations in 32 bands of 4, a pair at Jaccard 0.7 becomes a
candidate with probability 0.9998, one at 0.3 with 0.23; the exact check removes the latter.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rensa import RMinHash

from everloop.curate.inputs import normalise

ALGORITHM = "rminhash128x32.v1"
_PERMUTATIONS, _BANDS, _SEED, _GRAM = 128, 32, 42, 4
_CHUNK = 20_000  # texts signed at a time: bounds memory
_NONE = np.empty((0, 2), np.int64)


def grams(text: str) -> frozenset[str]:
    """The set of character 4-grams of the normalised text; a shorter text is one gram."""
    text = normalise(text)
    return frozenset(text[i : i + _GRAM] for i in range(max(1, len(text) - _GRAM + 1)))


def jaccard(a: frozenset[str], b: frozenset[str]) -> float:
    """Size of the intersection over size of the union.

    >>> jaccard(grams("abcde"), grams("abcdx"))  # {abcd, bcde} and {abcd, bcdx}
    0.3333333333333333
    """
    both = len(a & b)
    return both / (len(a) + len(b) - both)


class Signed(NamedTuple):
    """What n texts are compared by before they are compared exactly."""

    keys: NDArray[np.uint64]  # (n, 32) band keys: two texts that share a key in a column are candidates
    sketch: NDArray[np.uint8]  # (n, 128) a byte of each MinHash: the share that agrees estimates the Jaccard


def sign(texts: Sequence[str]) -> Signed:
    """MinHash signatures in bands; a text's depends on the text alone."""
    keys = np.empty((len(texts), _BANDS), np.uint64)
    sketch = np.empty((len(texts), _PERMUTATIONS), np.uint8)
    width = _PERMUTATIONS // _BANDS
    mix = np.random.default_rng(_SEED).integers(1, 2**63, size=width, dtype=np.uint64) | np.uint64(1)
    for start in range(0, len(texts), _CHUNK):
        hashes, offsets = _hashed_grams(texts[start : start + _CHUNK])
        signed = RMinHash.digest_matrix_from_flat_token_hashes(hashes, offsets, _PERMUTATIONS, _SEED)
        values = np.array(signed.to_rows(), np.uint64)
        keys[start : start + len(values)] = (values.reshape(-1, _BANDS, width) * mix).sum(axis=2, dtype=np.uint64)
        sketch[start : start + len(values)] = values & np.uint64(0xFF)
    return Signed(keys, sketch)


def pairs(texts: Sequence[str], threshold: float = 0.7, first_new: int = 0) -> NDArray[np.int64]:
    """(m, 2) index pairs i < j with Jaccard ≥ `threshold`, sorted; every j is at least `first_new`.

    Within one bucket each text is compared with the bucket's first and with its predecessor, so the connected groups
    are found without comparing all with all.
    """
    if len(texts) <= max(1, first_new):
        return _NONE
    signed = sign(texts)
    candidates = _likely(bucket_pairs(signed.keys, first_new), signed.sketch, signed.sketch, threshold)
    good = np.zeros(len(candidates), bool)
    known: dict[int, frozenset[str]] = {}
    last = -1
    for row, (i, j) in enumerate(candidates.tolist()):
        if i != last:
            known, last = {i: grams(texts[i])}, i
        good[row] = jaccard(known[i], grams(texts[j])) >= threshold
    near: NDArray[np.int64] = candidates[good]
    return near


def bucket_pairs(keys: NDArray[np.uint64], first_new: int = 0) -> NDArray[np.int64]:
    """(m, 2) distinct candidate pairs i < j from (n, bands) keys, every j at least `first_new`."""
    found: list[NDArray[np.int64]] = []
    for column in keys.T:
        order = np.argsort(column, kind="stable")
        same = column[order[1:]] == column[order[:-1]]
        at = np.flatnonzero(same) + 1
        starts = np.flatnonzero(np.concatenate(([True], ~same)))
        firsts = order[starts[np.searchsorted(starts, at, side="right") - 1]]
        for other in (firsts, order[at - 1]):
            pair = np.stack((other, order[at]), axis=1)
            found.append(pair[pair[:, 1] >= first_new])
    return np.unique(np.concatenate(found), axis=0)


def between(left: Sequence[str], right: Sequence[str], threshold: float = 0.7) -> NDArray[np.int64]:
    """(m, 2) pairs (i of `left`, j of `right`) with Jaccard ≥ `threshold`: every shared bucket is joined in full.

    Costs more than `pairs` where many texts share a bucket; meant for a small `left` that must not be missed.
    """
    if not left or not right:
        return _NONE
    one, other = sign(left), sign(right)
    mine, theirs = one.keys, other.keys
    found: list[NDArray[np.int64]] = [_NONE]
    for band in range(_BANDS):
        order = np.argsort(theirs[:, band], kind="stable")
        column = theirs[order, band]
        low, high = (np.searchsorted(column, mine[:, band], side=side) for side in ("left", "right"))
        count = high - low
        i = np.repeat(np.arange(len(left)), count)
        within = np.arange(int(count.sum())) - np.repeat(np.cumsum(count) - count, count)
        found.append(np.stack((i, order[np.repeat(low, count) + within]), axis=1))
    candidates = _likely(np.unique(np.concatenate(found), axis=0), one.sketch, other.sketch, threshold)
    sets = [grams(text) for text in left]
    good = [jaccard(sets[i], grams(right[j])) >= threshold for i, j in candidates.tolist()]
    near: NDArray[np.int64] = candidates[np.array(good, bool)]
    return near


def _likely(
    pairs: NDArray[np.int64], left: NDArray[np.uint8], right: NDArray[np.uint8], threshold: float
) -> NDArray[np.int64]:
    """Those pairs whose sketches do not already rule `threshold` out, five standard errors of the estimate aside."""
    least = threshold - 5 * (threshold * (1 - threshold) / _PERMUTATIONS) ** 0.5
    keep = np.zeros(len(pairs), bool)
    for start in range(0, len(pairs), _CHUNK):
        i, j = pairs[start : start + _CHUNK].T
        keep[start : start + _CHUNK] = (left[i] == right[j]).mean(axis=1) >= least
    likely: NDArray[np.int64] = pairs[keep]
    return likely


def groups(texts: Sequence[str], threshold: float = 0.7) -> NDArray[np.int64]:
    """(n,) a group number for each text: texts joined by a chain of near-duplicates have the same number.

    >>> groups(["where is my card?", "where is my card", "cancel the transfer"]).tolist()
    [0, 0, 1]
    """
    joined = pairs(texts, threshold)
    return components(len(texts), joined)


def components(n: int, joined: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n,) number of the connected component of each of `n` nodes, numbered by first appearance."""
    from scipy.sparse import coo_matrix  # 0.3 s to import: only a turn pays it
    from scipy.sparse.csgraph import connected_components

    graph = coo_matrix((np.ones(len(joined), np.int8), (joined[:, 0], joined[:, 1])), shape=(n, n))
    labels: NDArray[np.int64] = connected_components(graph, directed=False)[1].astype(np.int64)
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first, kind="stable")] = np.arange(len(first))
    numbered: NDArray[np.int64] = rank[inverse]
    return numbered


def _hashed_grams(texts: Sequence[str]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    # All texts end to end as code points; a gram's hash is a polynomial of its four, so no Python string is made.
    clean = [normalise(text) or " " for text in texts]
    lengths = np.fromiter((len(t) for t in clean), np.int64, len(clean))
    padded = np.maximum(lengths, _GRAM)
    points = np.zeros(int(padded.sum()), np.uint64)
    starts = np.concatenate(([0], np.cumsum(padded)))
    flat = np.frombuffer("".join(clean).encode("utf-32-le", "surrogatepass"), np.uint32)
    within = np.arange(len(flat)) - np.repeat(np.concatenate(([0], np.cumsum(lengths)[:-1])), lengths)
    points[np.repeat(starts[:-1], lengths) + within] = flat
    counts = padded - _GRAM + 1
    at = np.repeat(starts[:-1], counts) + (
        np.arange(int(counts.sum())) - np.repeat(np.concatenate(([0], np.cumsum(counts)[:-1])), counts)
    )
    hashes = np.zeros(len(at), np.uint64)
    for step in range(_GRAM):
        hashes = hashes * np.uint64(0x9E3779B97F4A7C15) + points[at + step] + np.uint64(1)
    hashes ^= hashes >> np.uint64(29)
    hashes *= np.uint64(0xBF58476D1CE4E5B9)
    hashes ^= hashes >> np.uint64(32)
    return hashes, np.concatenate(([0], np.cumsum(counts))).astype(np.uint64)

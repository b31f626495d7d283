"""The signatures of all texts seen so far, so that new ones find their near-duplicates at the cost of the new ones.

Kept as bytes with the version of the algorithm that made them: 95 a text at the default threshold. No text is in it;
the few old texts that a new one may be near to are asked for. What is appended can be stored alone, so a turn writes
what it added and not the whole.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from everloop.curate import buckets, index_bytes
from everloop.curate.index_bytes import Columns
from everloop.curate.near_duplicates import again, compare, components, distinct
from everloop.curate.shingles import shingle, similarities
from everloop.curate.signatures import Signed, banding, likely, sign
from everloop.errors import InvalidInput

TextsOf = Callable[[NDArray[np.int64]], Sequence[str | None]]

_CROWD = 64  # of the old texts in one bucket a new one meets so many: the first ones and the last ones
_OLD = 20_000  # old texts asked for at a time
_SHOWN, _TWIN, _FORGOTTEN = 0, 1, 2
_LARGEST = 65_535


class Added(NamedTuple):
    """What `Index.add` did with k texts."""

    rows: NDArray[np.int64]  # (k,) where each stands in the index; one that was there already keeps its row
    groups: NDArray[np.int64]  # (k,) the row of the first text of its group
    pairs: NDArray[np.int64]  # (m, 2) rows i < j of near-duplicates found, j a new one
    similarity: NDArray[np.float64]  # (m,) their exact Jaccard


class Index:
    """Texts by row, in the order they were added; a text is known by its fingerprint (32 hex digits).

    >>> texts = ["where is my card?", "cancel the transfer"]
    >>> index = Index(threshold=0.7)
    >>> index.add(["a" * 32, "b" * 32], texts, texts_of=lambda rows: [texts[row] for row in rows]).groups.tolist()
    [0, 1]
    >>> later = Index.load([index.dump()])
    >>> later.add(["c" * 32], ["Where is my card"], texts_of=lambda rows: [texts[row] for row in rows]).groups.tolist()
    [0]
    """

    def __init__(self, threshold: float = 0.7) -> None:
        """Two texts are near-duplicates from a Jaccard similarity of `threshold` on."""
        self.threshold = threshold
        self._cut = banding(threshold)
        self._columns = index_bytes.empty(self._cut.bands, 0)
        self._merges = np.empty((0, 3), np.uint32)
        self._groups = np.empty(0, np.int64)
        self._n = 0

    def __len__(self) -> int:
        return self._n

    @property
    def groups(self) -> NDArray[np.int64]:
        """(n,) for each row the first row of its group; a later text may join two groups."""
        return self._groups.copy()

    def fingerprints(self, rows: NDArray[np.int64]) -> list[str]:
        """Whose rows these are; zeros for one that was forgotten."""
        return [bytes(one).hex() for one in self._columns.fingerprints[: self._n][rows]]

    def rows_of(self, fingerprints: Sequence[str]) -> NDArray[np.int64]:
        """(k,) the row of each fingerprint, -1 for one that is not there."""
        wanted = _as_bytes(fingerprints)
        rows = np.full(len(wanted), -1, np.int64)
        if not len(wanted) or not self._n:
            return rows
        there = self._columns.fingerprints[: self._n]
        low = there[:, :4].copy().view(np.uint32).T
        at = {bytes(one): k for k, one in enumerate(wanted)}
        back = np.array([at[bytes(one)] for one in wanted], np.int64)
        for block in buckets.across(low, wanted[:, :4].copy().view(np.uint32).T):
            known = block[(there[block[:, 0]] == wanted[block[:, 1]]).all(axis=1)]
            rows[known[:, 1]] = known[:, 0]
        rows[(rows >= 0) & (self._columns.state[np.maximum(rows, 0)] == _FORGOTTEN)] = -1
        return rows[back]

    def add(self, fingerprints: Sequence[str], texts: Sequence[str], texts_of: TextsOf) -> Added:
        """Add texts, and say which groups they belong to.

        `texts_of` gives the old texts of some rows, None for one that is gone; it is asked for candidates alone, 20,000
        at a time. A fingerprint that is there already is not added again. Raises InvalidInput for a fingerprint that
        is not 32 hex digits, and ValueError where the lengths differ.
        """
        if len(fingerprints) != len(texts):
            raise ValueError(f"{len(fingerprints)} fingerprints for {len(texts)} texts")
        rows = self.rows_of(fingerprints)
        fresh: dict[str, int] = {}
        for k in np.flatnonzero(rows < 0).tolist():
            rows[k] = self._n + fresh.setdefault(fingerprints[k].lower(), len(fresh))
        first = np.unique(rows, return_index=True)
        mine = [texts[k] for k in first[1][first[0] >= self._n].tolist()]
        signed = sign(mine, self._cut)
        pairs, similarity = self._near(signed, mine, texts_of)
        self._append(_as_bytes(list(fresh)), signed, pairs, similarity)
        return Added(rows, self._groups[rows], pairs, similarity)

    def forget(self, fingerprints: Sequence[str]) -> int:
        """Blank what is known of these texts, and say how many were there; their rows and groups stay as numbers.

        What `dump` wrote before still knows them: write the whole again.
        """
        rows = self.rows_of(fingerprints)
        rows = np.unique(rows[rows >= 0])
        # A twin is not looked at as long as its double is; now it may have to be.
        orphans = np.flatnonzero(np.isin(self._groups, self._groups[rows]) & (self._columns.state[: self._n] == _TWIN))
        self._columns.state[orphans] = _SHOWN
        self._columns.state[rows] = _FORGOTTEN
        self._columns.keys[:, rows] = 0
        for column in (self._columns.fingerprints, self._columns.sketches, self._columns.sizes):
            column[rows] = 0
        return len(rows)

    def dump(self, first: int = 0) -> bytes:
        """The rows from `first` on, as bytes for `load`; from 0 on the whole."""
        merges = self._merges[self._merges[:, 2] > first] if first else self._merges
        return index_bytes.write(self._columns.part(first, self._n), merges, first, self.threshold, self._cut)

    @classmethod
    def load(cls, parts: Sequence[bytes]) -> "Index":
        """The index from what `dump` gave: the whole, or parts in their order, each from where the last one ended.

        Raises StoreDamaged where the bytes are not what they were, or of another version of the algorithm.
        """
        columns, merges, threshold = index_bytes.read(parts)
        index = cls(threshold)
        index._columns, index._merges, index._n = columns, merges, len(columns.links)
        everything = np.arange(index._n)
        linked = np.stack((columns.links.astype(np.int64), everything), axis=1)
        index._groups = components(index._n, np.concatenate((linked, merges[:, :2].astype(np.int64))))
        return index

    def _near(
        self, signed: Signed, texts: Sequence[str], texts_of: TextsOf
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """(m, 2) near rows i < j, j new, and how near; of texts with the same grams only the first meets the others."""
        n = self._n
        roots, root_of = distinct(signed, texts)
        twin = np.flatnonzero(roots[root_of] != np.arange(len(texts)))
        found, similar = [np.stack((roots[root_of[twin]], twin), axis=1) + n], [np.ones(len(twin))]
        keys = signed.keys[:, roots]
        if n and texts:
            old = np.concatenate(list(self._candidates(keys, roots, signed)))
            for block in _by_old(buckets.distinct(old)[0]):
                good, value = self._compared(block, signed, texts, texts_of)
                found.append(good + np.array([0, n]))
                similar.append(value)
        for band in range(self._cut.bands):
            for candidates in buckets.within(keys, band):
                rows = np.sort(roots[candidates], axis=1)
                rows = rows[likely(signed, rows[:, 0], signed, rows[:, 1], self.threshold)]
                value = compare(signed, texts, signed, texts, rows)
                found.append(rows[value >= self.threshold] + n)
                similar.append(value[value >= self.threshold])
        pairs, once = buckets.distinct(np.concatenate(found))
        return pairs, np.concatenate(similar)[once]

    def _compared(
        self, block: NDArray[np.int64], signed: Signed, texts: Sequence[str], texts_of: TextsOf
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Those of (m, 2) candidates, an old row and a new text, that are near, and how near."""
        old, at = np.unique(block[:, 0], return_inverse=True)
        given = texts_of(old)
        if len(given) != len(old):
            raise ValueError(f"texts_of gave {len(given)} texts for {len(old)} rows")
        there = np.array([text is not None for text in given])[at]
        mine, at_mine = again(signed, texts, block[there, 1])
        pairs = np.stack((at[there], at_mine), axis=1)
        value = similarities(shingle([text or "" for text in given]), mine, pairs)
        return block[there][value >= self.threshold], value[value >= self.threshold]

    def _candidates(
        self, keys: NDArray[np.uint32], roots: NDArray[np.int64], signed: Signed
    ) -> Iterator[NDArray[np.int64]]:
        columns, threshold = self._columns, self.threshold
        sketches, sizes = _sketches(signed), _sizes(signed)
        permutations = signed.sketch.shape[1]
        # A bit of two MinHashes agrees by chance half the time; four standard errors below that is another text.
        share = (1 + threshold) / 2
        most = permutations * (1 - share) + 4 * (permutations * share * (1 - share)) ** 0.5
        shown = columns.state[: self._n] == _SHOWN
        for found in buckets.across(columns.keys[:, : self._n], keys, shown, _CROWD):
            i, j = found[:, 0], roots[found[:, 1]]
            differ = np.bitwise_count(columns.sketches[i] ^ sketches[j])
            small = np.minimum(columns.sizes[i], sizes[j]).astype(np.float64)
            large = np.maximum(columns.sizes[i], sizes[j])
            yield np.stack((i, j), axis=1)[(differ <= most) & (small >= threshold * large)]

    def _append(
        self, fingerprints: NDArray[np.uint8], signed: Signed, pairs: NDArray[np.int64], similarity: NDArray[np.float64]
    ) -> None:
        n, k = self._n, len(fingerprints)
        self._columns = self._columns.room_for(n, k)
        # Groups as nodes: the old ones stand for all their rows.
        before = np.concatenate((self._groups, np.arange(n, n + k)))
        groups = components(n + k, before[pairs])[before]
        roots = np.flatnonzero((before == np.arange(n + k)) & (groups != before))
        merged = roots[roots < n]
        merges = np.stack((groups[merged], merged, np.full(len(merged), n + k)), axis=1).astype(np.uint32)
        twin = np.unique(pairs[similarity == 1.0, 1]) if len(pairs) else np.empty(0, np.int64)
        state = np.full(k, _SHOWN, np.uint8)
        state[twin - n] = _TWIN
        self._columns.put(
            n,
            Columns(
                fingerprints, signed.keys, _sketches(signed), _sizes(signed), groups[n:].astype(np.uint32), state
            ),
        )  # fmt: skip
        self._merges = np.concatenate((self._merges, merges))
        self._groups, self._n = groups, n + k


def _by_old(candidates: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Sorted candidates, in blocks of so many old rows."""
    change = np.flatnonzero(np.diff(candidates[:, 0], prepend=-1))
    edges = [*change[::_OLD].tolist(), len(candidates)]
    for begin, end in pairwise(edges):
        yield candidates[begin:end]


def _sketches(signed: Signed) -> NDArray[np.uint64]:
    """(n,) a bit of each MinHash."""
    bits = np.packbits(signed.sketch & 1, axis=1)
    whole = np.zeros((len(bits), 8), np.uint8)
    whole[:, : bits.shape[1]] = bits
    return whole.view(np.uint64)[:, 0]


def _sizes(signed: Signed) -> NDArray[np.uint16]:
    return np.minimum(signed.sizes, _LARGEST).astype(np.uint16)


def _as_bytes(fingerprints: Sequence[str]) -> NDArray[np.uint8]:
    try:
        whole = bytes.fromhex("".join(fingerprints))
    except ValueError:
        whole = b""
    if any(len(one) != 32 for one in fingerprints) or len(whole) != 16 * len(fingerprints):
        raise InvalidInput("a fingerprint is 32 hex digits, as everloop.curate.fingerprint makes them")
    return np.frombuffer(whole, np.uint8).reshape(-1, 16)

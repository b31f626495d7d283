"""Which texts share a band's key: candidates, in time and memory that a crowd in one bucket does not square.

In a bucket of at most 32 texts all pairs are candidates. In a bigger one each text meets the bucket's first and those
that stand near it when the bucket is sorted by the other bands: what is alike there meets in another band as well.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

_CROWD = 32  # texts in a bucket from which on not all pairs are candidates
_NEIGHBOURS = 4  # how far a text of a crowd looks back
_LOW = np.uint64(0xFFFFFFFF)
_BLOCK = 4_000_000  # candidate pairs at a time

Pairs = NDArray[np.int64]  # (m, 2)


def within(keys: NDArray[np.uint32], band: int) -> Iterator[Pairs]:
    """Candidate pairs i < j of (bands, n) `keys` that share the key of `band`, in blocks.

    First each text with its bucket's first and with the one before it; what is joined then need not be compared again.
    """
    order, key = _sorted(keys[band])
    if len(order) < 2:
        return
    same = key[1:] == key[:-1]
    starts = np.flatnonzero(np.concatenate(([True], ~same)))
    size = np.diff(np.append(starts, len(key)))
    for at in np.flatnonzero(size > _CROWD):
        members = order[starts[at] : starts[at] + size[at]]
        turn = [keys[(band + step) % len(keys)][members] for step in range(min(len(keys), 5) - 1, 0, -1)]
        order[starts[at] : starts[at] + size[at]] = members[np.lexsort(turn)] if turn else members
    crowded = np.repeat(size > _CROWD, size)
    first = np.repeat(starts, size)
    later = np.flatnonzero(first < np.arange(len(order)) - 1)  # the second meets the first as its predecessor
    yield _pairs(order[first[later]], order[later])
    back = np.flatnonzero(same) + 1
    yield _pairs(order[back - 1], order[back])
    # The loop's steps are few; each looks one place further back, for those whose bucket reaches that far.
    found, held = [], 0
    for step in range(2, _CROWD):
        back = back[(back - step > first[back]) & (~crowded[back] | (step <= _NEIGHBOURS))]
        found.append(_pairs(order[back - step], order[back]))
        held += len(back)
        if held > _BLOCK or not len(back):
            yield np.concatenate(found)
            found, held = [], 0
        if not len(back):
            return
    yield np.concatenate([*found, np.empty((0, 2), np.int64)])


def across(
    left: NDArray[np.uint32],
    right: NDArray[np.uint32],
    shown: NDArray[np.bool_] | None = None,
    crowd: int | None = None,
) -> Iterator[Pairs]:
    """Pairs (i of `left`, j of `right`) that share a band's key, from (bands, n) and (bands, m) keys, in blocks.

    `left` may be long and `right` short: a look at each of `left` costs a few nanoseconds; (n,) `shown` says which of
    them count at all. A text of `right` meets at most `crowd` of a bucket, its first
    and its last ones; None: all of them.
    """
    for mine, theirs in zip(left, right, strict=True):
        order, key = _sorted(theirs)
        there = np.zeros(1 << 20, bool)  # most of `left` shares no key: a table of bits says so at once
        there[key & np.uint64(0xFFFFF)] = True
        i = np.flatnonzero(there[mine & np.uint32(0xFFFFF)])
        i = i if shown is None else i[shown[i]]
        i = i[np.argsort(mine[i], kind="stable")]
        known = mine[i].astype(np.uint64)
        low, high = (np.searchsorted(known, key, side=side) for side in ("left", "right"))
        count = high - low
        ranges = [(low, count)]
        if crowd is not None:
            half = crowd // 2
            last = np.maximum(high - half, low + half)
            ranges = [(low, np.minimum(count, half)), (last, np.maximum(high - last, 0))]
        for begin, length in ranges:
            for block in _blocks(length):
                begins, lengths = begin[block], length[block]
                within_run = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
                found = i[np.repeat(begins, lengths) + within_run]
                yield np.stack((found, np.repeat(order[block], lengths)), axis=1)


def distinct(pairs: Pairs) -> tuple[Pairs, NDArray[np.int64]]:
    """Each of `pairs` once, sorted, and where it first stood."""
    # As one number each: sorting rows is thirty times slower.
    packed, first = np.unique((pairs[:, 0] << 32) | pairs[:, 1], return_index=True)
    return np.stack((packed >> 32, packed & 0xFFFFFFFF), axis=1), first.astype(np.int64)


def _blocks(length: NDArray[np.int64]) -> Iterator[slice]:
    total = np.concatenate(([0], np.cumsum(length)))
    begin = 0
    while begin < len(length):
        end = max(begin + 1, int(np.searchsorted(total, total[begin] + _BLOCK, side="right")) - 1)
        yield slice(begin, end)
        begin = end


def _sorted(column: NDArray[np.uint32]) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """The positions of a column in the order of its keys, and the keys in that order."""
    # Key and position in one number: sorting numbers is many times faster than sorting positions by their keys.
    packed = (column.astype(np.uint64) << np.uint64(32)) | np.arange(len(column), dtype=np.uint64)
    packed.sort()
    return (packed & _LOW).astype(np.int64), packed >> np.uint64(32)


def _pairs(one: NDArray[np.int64], other: NDArray[np.int64]) -> Pairs:
    return np.stack((np.minimum(one, other), np.maximum(one, other)), axis=1)

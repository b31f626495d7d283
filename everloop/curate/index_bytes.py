"""The index of signatures as bytes: a header that says what it is, then plain arrays; nothing in it is executed.

magic, version of the algorithm, threshold, bands, rows a band, first row, rows, merges, CRC-32 of all the rest; then
fingerprints (n, 16), keys (bands, n), sketches (n,), sizes (n,), links (n,), state (n,), merges (m, 3), little-endian.
"""

import struct
import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from everloop.curate.signatures import ALGORITHM, Banding, banding
from everloop.errors import StoreDamaged

_MAGIC = b"EVERNEAR"
_HEAD = struct.Struct("<8s40sdHHQQQ")
_CHECK = struct.Struct("<I")
_BEGIN = _HEAD.size + _CHECK.size
_AGAIN = "make the index again from the texts"


class Columns(NamedTuple):
    """What is kept of n texts."""

    fingerprints: NDArray[np.uint8]  # (n, 16)
    keys: NDArray[np.uint32]  # (bands, n)
    sketches: NDArray[np.uint64]  # (n,) a bit of each MinHash
    sizes: NDArray[np.uint16]  # (n,) grams, at most 65,535
    links: NDArray[np.uint32]  # (n,) the first row of its group when it was added
    state: NDArray[np.uint8]  # (n,) 0 shown, 1 the same grams as an earlier row, 2 forgotten

    def part(self, first: int, end: int) -> "Columns":
        """The rows from `first` to `end`."""
        at = slice(first, end)
        return Columns(
            self.fingerprints[at], self.keys[:, at], self.sketches[at], self.sizes[at], self.links[at], self.state[at]
        )

    def put(self, first: int, other: "Columns") -> None:
        """Write the rows of `other` from row `first` on; there has to be room."""
        mine: tuple[NDArray[Any], ...] = self.part(first, first + len(other.links))
        for old, new in zip(mine, other, strict=True):
            old[...] = new

    def room_for(self, n: int, more: int) -> "Columns":
        """Itself, or a bigger copy of its first `n` rows, with room for `more`."""
        if n + more <= len(self.links):
            return self
        bigger = empty(len(self.keys), max(n + more, n + n // 4))
        bigger.put(0, self.part(0, n))
        return bigger


def empty(bands: int, n: int) -> Columns:
    """Room for `n` rows."""
    return Columns(
        np.zeros((n, 16), np.uint8), np.zeros((bands, n), np.uint32), np.zeros(n, np.uint64), np.zeros(n, np.uint16),
        np.zeros(n, np.uint32), np.zeros(n, np.uint8),
    )  # fmt: skip


def write(columns: Columns, merges: NDArray[np.uint32], first: int, threshold: float, cut: Banding) -> bytes:
    """Columns and merges as bytes."""
    given: tuple[NDArray[Any], ...] = (*columns, merges)
    arrays = [np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False) for array in given]
    head = _HEAD.pack(_MAGIC, ALGORITHM.encode(), threshold, *cut, first, len(columns.links), len(merges))
    check = zlib.crc32(head)
    for array in arrays:
        check = zlib.crc32(array.data if array.size else b"", check)
    return b"".join((head, _CHECK.pack(check), *(array.tobytes() for array in arrays)))


def read(parts: Sequence[bytes]) -> tuple[Columns, NDArray[np.uint32], float]:
    """The columns and merges of `parts` one after the other, and their threshold. Raises StoreDamaged."""
    if not parts:
        raise StoreDamaged(f"there are no bytes of the index of texts; {_AGAIN}")
    heads = [_head(part) for part in parts]
    total = 0
    for head in heads:
        if head.first != total or (head.threshold, head.cut) != (heads[0].threshold, heads[0].cut):
            raise StoreDamaged(f"the parts of the index of texts do not follow one another; {_AGAIN}")
        total += head.rows
    columns, merges = empty(heads[0].cut.bands, total), []
    for part, head in zip(parts, heads, strict=True):
        body = memoryview(part)[_BEGIN:]
        if zlib.crc32(body, zlib.crc32(part[: _HEAD.size])) != _CHECK.unpack_from(part, _HEAD.size)[0]:
            raise StoreDamaged(f"the index of texts is not what was written; {_AGAIN}")
        mine: tuple[NDArray[Any], ...] = columns.part(head.first, head.first + head.rows)
        at = 0
        for array in mine:
            size = array.nbytes
            array[...] = np.frombuffer(body[at : at + size], array.dtype.newbyteorder("<")).reshape(array.shape)
            at += size
        merges.append(np.frombuffer(body[at:], "<u4").reshape(-1, 3).astype(np.uint32))
    joined = np.concatenate(merges)
    later = np.arange(total) < columns.links
    if later.any() or (joined[:, :2] >= total).any():
        raise StoreDamaged(f"the index of texts names rows that it does not have; {_AGAIN}")
    return columns, joined, heads[0].threshold


class _Head(NamedTuple):
    threshold: float
    cut: Banding
    first: int
    rows: int


def _head(part: bytes) -> _Head:
    if len(part) < _BEGIN or part[: len(_MAGIC)] != _MAGIC:
        raise StoreDamaged(f"these bytes are no index of texts; {_AGAIN}")
    _, name, threshold, bands, rows_a_band, first, rows, merges = _HEAD.unpack_from(part)
    version = name.rstrip(b"\0").decode("ascii", "replace")
    if version != ALGORITHM:
        raise StoreDamaged(f"the index of texts was made by {version!r} and this is {ALGORITHM}; {_AGAIN}")
    cut = Banding(bands, rows_a_band)
    one: tuple[NDArray[Any], ...] = empty(bands, 1)
    row = sum(array.nbytes for array in one)
    if not 0 < threshold <= 1 or cut != banding(threshold) or len(part) != _BEGIN + rows * row + 12 * merges:
        raise StoreDamaged(f"the index of texts has another shape than its header says; {_AGAIN}")
    return _Head(threshold, cut, first, rows)

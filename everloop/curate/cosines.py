"""Pairs of unit vectors that are alike: all of them, by their exact cosine, in a quarter of the time of all cosines.

A cosine is at most that of the two rows' shadows in a few directions plus the product of what is left of their lengths
(Cauchy-Schwarz). The directions in which the rows differ most rule almost every pair out; what is left is computed.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

AT_ONCE = 2_048  # rows compared at a time, with so many others: a block of cosines takes 34 MB
BESIDE = 4_096
_PAIRED = 65_536  # pairs whose cosine is computed at a time: 128 MB of 256 numbers
_SIEVE, _WORTH = 64, 4_096  # numbers by which pairs are ruled out, and rows from which on that is worth its time
_SLACK = 1e-4  # of what the sieve says, in single precision
_CROWDED = 0.02  # share of pairs left by the sieve from which on all are computed at once

Pairs = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]


class Rows(NamedTuple):
    """Unit vectors (n, d), and what is enough to see that most pairs of them are not alike."""

    whole: NDArray[np.float32]
    sieve: NDArray[np.float32] | None  # (n, 65)

    def part(self, at: slice | NDArray[np.int64]) -> "Rows":
        """Those at some places."""
        return Rows(self.whole[at], None if self.sieve is None else self.sieve[at])


def sieved(rows: NDArray[np.float32]) -> Rows:
    """Unit vectors (n, d), rows of zeros among them or not, ready to be compared."""
    if len(rows) < _WORTH or rows.shape[1] <= 2 * _SIEVE:
        return Rows(rows, None)
    some = rows[:: -(-len(rows) // (2 * _WORTH))]
    _, directions = np.linalg.eigh(some.T @ some)
    shadow = rows @ directions[:, -_SIEVE:]
    rest = np.einsum("ij,ij->i", rows, rows) - np.einsum("ij,ij->i", shadow, shadow)
    return Rows(rows, np.concatenate([shadow, np.sqrt(np.maximum(rest, 0))[:, None]], axis=1))


def near(left: Rows, right: Rows, least: float) -> Pairs:
    """Places in `left`, in `right`, and cosines of all pairs with at least `least`, in order."""
    if left.sieve is not None and right.sieve is not None:
        at, to = np.nonzero(left.sieve @ right.sieve.T >= np.float32(least - _SLACK))
        if len(at) <= _CROWDED * len(left.whole) * len(right.whole):
            cosine = np.empty(len(at), np.float32)
            for begin in range(0, len(at), _PAIRED):
                some = slice(begin, begin + _PAIRED)
                cosine[some] = np.einsum("ij,ij->i", left.whole[at[some]], right.whole[to[some]])
            enough = cosine >= np.float32(least)
            return at[enough], to[enough], cosine[enough]
    every = left.whole @ right.whole.T
    at, to = np.nonzero(every >= np.float32(least))
    return at, to, every[at, to]


def alike(rows: Rows, floor: float, most: int) -> Pairs | None:
    """All pairs from `floor` on as (earlier, later, cosine), by the later row; None where there are over `most`."""
    n = len(rows.whole)
    found: list[Pairs] = []
    held = 0
    for begin in range(0, n, AT_ONCE):
        block, end = rows.part(slice(begin, begin + AT_ONCE)), min(begin + AT_ONCE, n)
        parts = []
        for first in range(0, end, BESIDE):
            at, to, cosine = near(block, rows.part(slice(first, min(first + BESIDE, end))), floor)
            before = to + first < at + begin
            parts.append((to[before] + first, at[before] + begin, cosine[before]))
            held += len(parts[-1][0])
            if held > most:
                return None
        earlier, later, value = (np.concatenate([part[i] for part in parts]) for i in range(3))
        order = np.argsort(later, kind="stable")
        found.append((earlier[order], later[order], value[order]))
    none = (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))
    earlier, later, value = (np.concatenate([none[i], *(one[i] for one in found)]) for i in range(3))
    return earlier, later, value

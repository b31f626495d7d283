"""Word and character n-grams of texts as 64-bit keys, for a whole batch at once in numpy.

A key is a hash of the n-gram, so that a model's vocabulary is a sorted array of numbers: it loads without building a
dictionary, and it holds nobody's words in the clear. Two of a million n-grams share a key with probability 3e-8.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

LIMIT = 20_000  # characters of a text that are read: what decides a class comes early, and memory stays bounded
_BATCH = 400_000  # characters turned into n-grams at once: some 50 MB of keys

_MULTIPLY = np.uint64(0x9E3779B97F4A7C15)  # odd, so that multiplying is reversible: the golden ratio in 64 bits
_SALT = {"word": 0x51, "pair": 0xA3}  # keeps "ab" the word apart from "ab" the letters


class Grams(NamedTuple):
    """The n-grams of a batch of texts: one entry for each text and distinct n-gram."""

    row: NDArray[np.int64]  # which text, ascending
    key: NDArray[np.uint64]  # which n-gram, ascending within a text
    times: NDArray[np.int64]  # how often it occurs there, at least 1


def batches(texts: Sequence[str], size: int = _BATCH) -> Iterator[slice]:
    """Slices of `texts` that hold at most `size` characters each (or one text), each text cut to `LIMIT`.

    >>> list(batches(["aaa", "bbb", "c"], size=5))
    [slice(0, 1, None), slice(1, 3, None)]
    """
    start, held = 0, 0
    for i, text in enumerate(texts):
        length = min(len(text), LIMIT)
        if i > start and held + length > size:
            yield slice(start, i)
            start, held = i, 0
        held += length
    if start < len(texts):
        yield slice(start, len(texts))


def grams(texts: Sequence[str], *, chars: tuple[int, int] = (2, 5)) -> tuple[Grams, Grams]:
    """The words and pairs of neighbouring words of each text; and its n-grams of `chars[0]` to `chars[1]` characters.

    Upper and lower case are one. Character n-grams stay within a word and the space on either side of it, as in
    scikit-learn's ``char_wb``. A word is a run of letters and digits.

    >>> words, letters = grams(["My card", "my"])
    >>> words.row.tolist(), letters.row.tolist().count(1)
    ([0, 0, 0, 1], 6)
    """
    # Two spaces between texts: no window with a space inside it is taken, so that none straddles two texts.
    pieces = [" " + " ".join(text[:LIMIT].lower().split()) + " " for text in texts]
    code = np.frombuffer("".join(pieces).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    row = np.repeat(np.arange(len(pieces)), [len(piece) for piece in pieces])
    return _words(code, row), _windows(code, row, chars)


def _words(code: NDArray[np.uint32], row: NDArray[np.int64]) -> Grams:
    """Runs of letters and digits, and pairs of neighbours within a text."""
    inside = _alphanumeric(code)
    edges = np.flatnonzero(np.diff(inside, prepend=False))
    if not edges.size:
        return _counted(np.zeros(0, np.int64), np.zeros(0, np.uint64))
    start = edges[0::2]
    length = edges[1::2] - start  # every text ends with a space, so that every run ends
    first = np.repeat(start - np.concatenate(([0], np.cumsum(length)[:-1])), length)
    at = np.arange(length.sum()) + first  # positions of all the characters within words
    place = at - np.repeat(start, length)
    power = np.cumprod(np.full(int(length.max()) + 1, _MULTIPLY, np.uint64), dtype=np.uint64)
    spread = _mix(code[at].astype(np.uint64)) * power[place]
    word = _mix(np.add.reduceat(spread, np.cumsum(length) - length) + np.uint64(_SALT["word"]))
    of = row[start]
    neighbours = of[1:] == of[:-1]
    pair = _mix(word[:-1] * _MULTIPLY + word[1:] + np.uint64(_SALT["pair"]))[neighbours]
    return _counted(np.concatenate((of, of[1:][neighbours])), np.concatenate((word, pair)))


def _windows(code: NDArray[np.uint32], row: NDArray[np.int64], chars: tuple[int, int]) -> Grams:
    """Windows of characters without a space inside, and not of two spaces alone."""
    space = code == ord(" ")
    letter = code.astype(np.uint64) + np.uint64(1)
    low, high = chars
    held = np.zeros(code.size, np.uint64)  # hash of the window that starts at each place, so far
    open_ = np.ones(code.size, bool)  # whether that window can still grow
    rows, keys = [], []
    for size in range(1, high + 1):
        count = code.size - size + 1
        if count <= 0:
            break
        tail = slice(size - 1, None)
        if size > 2:  # what was the last character is now inside, and must not be a space
            open_ = open_[:count] & ~space[size - 2 : size - 2 + count]
        elif size == 2:
            open_ = open_[:count] & ~(space[:count] & space[tail])
        held = held[:count] * _MULTIPLY + letter[tail]
        if size >= low:
            rows.append(row[:count][open_])
            keys.append(_mix(held[open_] + np.uint64(size)))
    if not keys:
        return _counted(np.zeros(0, np.int64), np.zeros(0, np.uint64))
    return _counted(np.concatenate(rows), np.concatenate(keys))


def _counted(row: NDArray[np.int64], key: NDArray[np.uint64]) -> Grams:
    """Entries sorted by text and key, equal ones counted."""
    order = np.lexsort((key, row))
    row, key = row[order], key[order]
    new = np.ones(row.size, bool)
    new[1:] = (row[1:] != row[:-1]) | (key[1:] != key[:-1])
    at = np.flatnonzero(new)
    return Grams(row[at], key[at], np.diff(at, append=row.size))


def _alphanumeric(code: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Which characters are letters or digits of any script."""
    known = _ASCII[np.minimum(code, 128)]
    rare = np.flatnonzero(code >= 128)
    if rare.size:
        kinds, which = np.unique(code[rare], return_inverse=True)
        known[rare] = np.array([chr(c).isalnum() for c in kinds], bool)[which]
    return known


_ASCII = np.array([chr(c).isalnum() for c in range(128)] + [False], bool)


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of splitmix64 (Steele, Lea and Flood 2014): every bit of the input moves every bit of the key."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))

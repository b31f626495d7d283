"""What a correction changed: a diff of words from the answer to the corrected text, and how far apart the two are."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from everloop.types import Correction

Diff = tuple[tuple[str, str], ...]

_WORDS = re.compile(r"\w+|\s+|[^\w\s]")
_LONGEST_DIFF = 20_000  # characters a diff holds at most: it repeats what both texts have in common
_MOST_EDITS = 250  # words that differ, beyond which finding the fewest costs more than it tells
_EXACT = 4_000  # characters of what differs up to which the distance is exact
AT_ONCE = 200  # characters of either text up to which both take well under a millisecond together


def compared(made: Correction, answer: str | None) -> Correction:
    """The correction with its diff and distance from the answer; as it is where there is no answer."""
    if answer is None:
        return made
    return msgspec.structs.replace(made, diff=difference(answer, made.value), distance=distance(answer, made.value))


def difference(answer: str, value: str) -> Diff | None:
    """From `answer` to `value`, in words: ("=", kept), ("-", taken out), ("+", put in). None where it would be long.

    Joining "=" and "-" gives the answer, "=" and "+" the value. The fewest changed words where few are changed (Myers
    1986, "An O(ND) difference algorithm and its variations"); else what lies between the first and the last difference
    is one change.

    >>> difference("the card is lost", "the card was stolen")
    (('=', 'the card '), ('-', 'is'), ('+', 'was'), ('=', ' '), ('-', 'lost'), ('+', 'stolen'))
    """
    if answer == value:
        parts: list[tuple[str, str]] = [("=", answer)]
    else:
        old, new = _WORDS.findall(answer), _WORDS.findall(value)
        start, end = _ends(old, new)
        middle = _fewest(old[start : len(old) - end], new[start : len(new) - end])
        parts = [("=", "".join(old[:start])), *middle, ("=", "".join(old[len(old) - end :]))]
    made = tuple(_merged(parts))
    return made if sum(len(text) for _, text in made) <= _LONGEST_DIFF else None


def distance(answer: str, value: str) -> float:
    """The share of the characters that have to change, 0 (equal) to 1: Levenshtein's distance over the longer length.

    Exact where at most 4,000 characters differ, after what both begin and end with; else an upper bound from the words
    that changed, at a cost in proportion to the length.

    >>> distance("kitten", "sitting"), distance("", "")
    (0.42857142857142855, 0.0)
    """
    longest = max(len(answer), len(value))
    if answer == value:
        return 0.0
    start, end = _ends(answer, value)
    a, b = answer[start : len(answer) - end], value[start : len(value) - end]
    if max(len(a), len(b)) <= _EXACT:
        return levenshtein(a, b) / longest
    changed = 0
    removed = added = ""
    for sign, text in (*_merged(_fewest(_WORDS.findall(a), _WORDS.findall(b))), ("=", "")):
        if sign == "-":
            removed = text
        elif sign == "+":
            added = text
        else:
            both = max(len(removed), len(added))
            changed += levenshtein(removed, added) if both <= _EXACT else both
            removed = added = ""
    return changed / longest


def levenshtein(a: str, b: str) -> int:
    """The fewest characters to put in, take out or replace to make `b` of `a`.

    A column of the table is two integers whose bits say where it rises and falls, so that a column costs a few
    operations on long integers (Myers 1999, "A fast bit-vector algorithm"; in the form of Hyyrö 2003).

    >>> levenshtein("kitten", "sitting"), levenshtein("", "abc")
    (3, 3)
    """
    if not a or not b:
        return len(a) or len(b)
    if len(a) < len(b):
        a, b = b, a
    where: dict[str, int] = {}
    for place, letter in enumerate(a):
        where[letter] = where.get(letter, 0) | 1 << place
    full, last = (1 << len(a)) - 1, 1 << (len(a) - 1)
    rises, falls, score = full, 0, len(a)
    for letter in b:
        equal = where.get(letter, 0)
        diagonal = equal | falls
        across = ((((equal & rises) + rises) ^ rises) | equal) & full
        up = falls | (full & ~(across | rises))
        down = rises & across
        score += bool(up & last) - bool(down & last)
        up = (up << 1 | 1) & full
        rises = ((down << 1) & full) | (full & ~(diagonal | up))
        falls = up & diagonal
    return score


def _ends(a: Sequence[str], b: Sequence[str]) -> tuple[int, int]:
    """How much both begin with, and how much of the rest both end with."""
    most = min(len(a), len(b))
    start = 0
    while start < most and a[start] == b[start]:
        start += 1
    end = 0
    while end < most - start and a[-1 - end] == b[-1 - end]:
        end += 1
    return start, end


def _fewest(old: Sequence[str], new: Sequence[str]) -> list[tuple[str, str]]:
    """The fewest changes from one list of words to the other; one for all where they are too many."""
    whole = [("-", "".join(old)), ("+", "".join(new))]
    if not old or not new:
        return whole
    reach: dict[int, int] = {1: 0}  # on each diagonal, how far into `old` the furthest path has come
    trail: list[dict[int, int]] = []
    for edits in range(min(len(old) + len(new), _MOST_EDITS) + 1):
        trail.append(dict(reach))
        for diagonal in range(-edits, edits + 1, 2):
            down = diagonal == -edits or (diagonal != edits and reach[diagonal - 1] < reach[diagonal + 1])
            x = reach[diagonal + 1] if down else reach[diagonal - 1] + 1
            y = x - diagonal
            while x < len(old) and y < len(new) and old[x] == new[y]:
                x, y = x + 1, y + 1
            reach[diagonal] = x
            if x >= len(old) and y >= len(new):
                return _walked(old, new, trail)
    return whole


def _walked(old: Sequence[str], new: Sequence[str], trail: list[dict[int, int]]) -> list[tuple[str, str]]:
    """The path that reached the end, walked backwards."""
    x, y = len(old), len(new)
    parts: list[tuple[str, str]] = []
    for edits in range(len(trail) - 1, -1, -1):
        reach, diagonal = trail[edits], x - y
        down = diagonal == -edits or (diagonal != edits and reach[diagonal - 1] < reach[diagonal + 1])
        before = diagonal + 1 if down else diagonal - 1
        from_x = reach[before] if edits else 0
        from_y = from_x - before if edits else 0
        while x > max(from_x, 0) and y > max(from_y, 0) and old[x - 1] == new[y - 1] and (x, y) != (from_x, from_y):
            x, y = x - 1, y - 1
            parts.append(("=", old[x]))
        if edits:
            parts.append(("+", new[from_y]) if down else ("-", old[from_x]))
            x, y = from_x, from_y
    parts.reverse()
    return parts


def _merged(parts: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Neighbours of one sign as one; between two equal parts what is taken out stands before what is put in."""
    made: list[tuple[str, str]] = []
    texts: dict[str, Any] = {"-": [], "+": []}

    def flush() -> None:
        made.extend((sign, "".join(found)) for sign, found in texts.items() if found)
        texts["-"], texts["+"] = [], []

    for sign, text in parts:
        if not text:
            continue
        if sign != "=":
            texts[sign].append(text)
            continue
        flush()
        if made and made[-1][0] == "=":
            made[-1] = ("=", made[-1][1] + text)
        else:
            made.append((sign, text))
    flush()
    return made


__all__ = ["AT_ONCE", "compared", "difference", "distance", "levenshtein"]

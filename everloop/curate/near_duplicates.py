"""Near-duplicate texts: MinHash in bands finds candidates, exact Jaccard of character 4-grams decides.

A group is what a chain of near-duplicates joins (union-find). Texts with the same grams are one text here, so a flood
of one text costs what one costs. Nothing depends on the order the texts come in.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from everloop.curate import buckets
from everloop.curate.inputs import normalise
from everloop.curate.shingles import SIZE, Shingles, cuts, shingle, similarities
from everloop.curate.signatures import Signed, banding, likely, sign

_NONE = np.empty((0, 2), np.int64)
_GRAMS = 20_000_000  # grams made again at a time, where they were too many to keep
_SURE = 1e-3  # of the pairs that are just similar enough, `between` may miss this share
_MANY = 128  # and takes longer signatures for it

Near = Callable[[NDArray[np.int64]], NDArray[np.bool_]]  # which of (m, 2) pairs are near-duplicates


def grams(text: str) -> frozenset[str]:
    """The set of character 4-grams of the normalised text; a shorter text is one gram."""
    text = normalise(text)
    return frozenset(text[i : i + SIZE] for i in range(max(1, len(text) - SIZE + 1)))


def jaccard(a: frozenset[str], b: frozenset[str]) -> float:
    """Size of the intersection over size of the union.

    >>> jaccard(grams("abcde"), grams("abcdx"))  # {abcd, bcde} and {abcd, bcdx}
    0.3333333333333333
    """
    both = len(a & b)
    return both / (len(a) + len(b) - both)


def groups(texts: Sequence[str], threshold: float = 0.7) -> NDArray[np.int64]:
    """(n,) for each text the index of the first text of its group: what a chain of near-duplicates joins.

    Two texts are near-duplicates from a Jaccard similarity of `threshold` on. Of the pairs that are just similar
    enough, 98.5 % are candidates in themselves; a chain over others finds most of the rest. Raises ValueError unless
    0 < threshold <= 1.

    >>> groups(["where is my card?", "where is my card", "cancel the transfer"]).tolist()
    [0, 0, 2]
    """
    cut = banding(threshold)
    signed = sign(texts, cut)
    roots, root_of = distinct(signed, texts)
    near = _judge(signed, texts, threshold, roots)
    keys = signed.keys[:, roots]
    joined = np.arange(len(roots))
    for band in range(cut.bands):
        for candidates in buckets.within(keys, band):
            apart = candidates[joined[candidates[:, 0]] != joined[candidates[:, 1]]]
            joined = _merged(joined, apart[near(apart)])
    return _firsts(joined[root_of])


def pairs(texts: Sequence[str], threshold: float = 0.7, first_new: int = 0) -> NDArray[np.int64]:
    """(m, 2) index pairs i < j with Jaccard ≥ `threshold`, sorted; every j is at least `first_new`.

    Where more than 32 different texts share a bucket, not all its pairs are given, but what joins them is. Texts with
    the same grams are given with the first of them, and with what that one is near to.
    """
    if len(texts) <= max(1, first_new):
        return _NONE
    cut = banding(threshold)
    signed = sign(texts, cut)
    roots, root_of = distinct(signed, texts)
    near = _judge(signed, texts, threshold, roots)
    last = np.zeros(len(roots), np.int64)
    np.maximum.at(last, root_of, np.arange(len(texts)))
    fresh = last >= first_new
    keys = signed.keys[:, roots]
    found = [_NONE]
    for band in range(cut.bands):
        for candidates in buckets.within(keys, band):
            asked = candidates[fresh[candidates].any(axis=1)]
            found.append(asked[near(asked)])
    return _spread(buckets.distinct(np.concatenate(found))[0], roots, root_of, first_new)


def between(left: Sequence[str], right: Sequence[str], threshold: float = 0.7) -> NDArray[np.int64]:
    """(m, 2) pairs (i of `left`, j of `right`) with Jaccard ≥ `threshold`: every shared bucket is joined in full.

    Costs more than `pairs` where many texts share a bucket; meant for a small `left` that must not be missed: of the
    pairs that are just similar enough one in a thousand is.
    """
    if not left or not right:
        return _NONE
    cut = banding(threshold, _MANY, _SURE)
    one, other = sign(left, cut), sign(right, cut)
    found = [_NONE]
    for candidates in buckets.across(other.keys, one.keys):
        turned, _ = buckets.distinct(candidates[:, ::-1])
        turned = turned[likely(one, turned[:, 0], other, turned[:, 1], threshold)]
        found.append(turned[compare(one, left, other, right, turned) >= threshold])
    return buckets.distinct(np.concatenate(found))[0]


def compare(
    one: Signed, left: Sequence[str], other: Signed, right: Sequence[str], asked: NDArray[np.int64]
) -> NDArray[np.float64]:
    """(m,) the exact Jaccard similarity of text i of `left` and j of `right` for each of (m, 2) pairs."""
    if one.shingles is not None and other.shingles is not None:
        return similarities(one.shingles, other.shingles, asked)
    found = np.empty(len(asked))
    order = np.lexsort((asked[:, 1], asked[:, 0]))
    for begin, end in cuts((one.sizes[asked[:, 0]] + other.sizes[asked[:, 1]])[order], len(asked) + 1, _GRAMS):
        block = order[begin:end]
        (mine, i), (theirs, j) = (again(x, texts, at) for x, texts, at in
                                  ((one, left, asked[block, 0]), (other, right, asked[block, 1])))  # fmt: skip
        found[block] = similarities(mine, theirs, np.stack((i, j), axis=1))
    return found


def components(n: int, joined: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n,) the first node of each node's connected component, for `n` nodes and (m, 2) edges.

    >>> components(5, np.array([[1, 4], [0, 3]])).tolist()
    [0, 1, 2, 0, 1]
    """
    from scipy.sparse import coo_array  # 0.3 s to import: only a turn pays it
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(joined), np.int8), (joined[:, 0], joined[:, 1])), shape=(n, n))
    return _firsts(connected_components(graph, directed=False)[1].astype(np.int64))


def again(signed: Signed, texts: Sequence[str], rows: NDArray[np.int64]) -> tuple[Shingles, NDArray[np.int64]]:
    """The gram sets of `rows`, and where in them each stands."""
    if signed.shingles is not None:
        return signed.shingles, rows
    distinct, at = np.unique(rows, return_inverse=True)
    return shingle([texts[row] for row in distinct.tolist()]), at


def _judge(signed: Signed, texts: Sequence[str], threshold: float, roots: NDArray[np.int64]) -> Near:
    """Says of pairs of roots which are near-duplicates."""

    def near(asked: NDArray[np.int64]) -> NDArray[np.bool_]:
        rows = roots[asked]
        good = likely(signed, rows[:, 0], signed, rows[:, 1], threshold)
        at = np.flatnonzero(good)
        good[at] = compare(signed, texts, signed, texts, rows[at]) >= threshold
        return good

    return near


def distinct(signed: Signed, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The first text of each gram set, in an order that their content alone decides; and which of them each text is."""
    _, first, root_of = np.unique(signed.content, return_index=True, return_inverse=True)
    later = np.flatnonzero(first[root_of] != np.arange(len(texts)))
    if len(later):
        # A hash says they are the same; the grams have the last word.
        asked = np.stack((first[root_of[later]], later), axis=1)
        other = later[compare(signed, texts, signed, texts, asked) < 1]
        root_of[other] = len(first) + np.arange(len(other))
        first = np.concatenate((first, other))
    return first, root_of


def _merged(joined: NDArray[np.int64], near: NDArray[np.int64]) -> NDArray[np.int64]:
    return components(len(joined), joined[near])[joined] if len(near) else joined


def _firsts(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n,) for each label the index where it first stands."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    firsts: NDArray[np.int64] = first[inverse]
    return firsts


def _spread(
    near: NDArray[np.int64], roots: NDArray[np.int64], root_of: NDArray[np.int64], first_new: int
) -> NDArray[np.int64]:
    """Pairs of roots as pairs of texts: each text with its own root, and with the roots near to it."""
    everything = np.arange(len(root_of))
    twin = everything[roots[root_of] != everything]
    order = np.argsort(root_of, kind="stable")
    count = np.bincount(root_of, minlength=len(roots))
    begin = np.cumsum(count) - count
    found = [np.stack((roots[root_of[twin]], twin), axis=1)]
    for mine, theirs in (near.T, near.T[::-1]):
        size = count[theirs]
        at = np.arange(int(size.sum())) - np.repeat(np.cumsum(size) - size - begin[theirs], size)
        found.append(np.stack((np.repeat(roots[mine], size), order[at]), axis=1))
    spread = np.sort(np.concatenate(found), axis=1)
    return buckets.distinct(spread[spread[:, 1] >= first_new])[0]

"""Inputs that no class covers, put together into proposed new classes, for a person to accept, rename or pass by."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from everloop.errors import InvalidInput
from everloop.label.naming import terms
from everloop.label.within import Space

_MOST = 4_000  # rows compared each with each: 64 MB, half a second
_EXAMPLES = 5


class ProposedClass(NamedTuple):
    """A group of inputs that may be a class of its own."""

    name: str  # of its terms, in the form of a label: "change_oil"
    members: NDArray[np.int64]  # positions, those nearest the group's middle first
    terms: tuple[str, ...]  # what sets its texts apart
    cohesion: float  # mean cosine between its members
    examples: tuple[str, ...]  # some of its texts


def propose(
    texts: Sequence[str], vectors: NDArray[np.floating], *, others: Sequence[str] = (), taken: Sequence[str] = (),
    known: Space | None = None, least: int = 8, like: float = 0.35,
) -> list[ProposedClass]:  # fmt: skip
    """Groups of at least `least` of `texts`, the largest first; rows that are like no others are in none.

    `vectors` (n, d) are those of the texts, most novel first: only the first 4,000 are compared. Two groups are joined
    while the mean cosine between their rows is at least `like` (average linkage). `others` are texts of known classes,
    against which names are made; `taken` are the names of classes there are. `known` is a space learned from labelled
    rows (`class_space`), in which the cosines are then taken: half again as many rows find their group. Raises
    InvalidInput for shapes that do not fit.

    >>> words = ["oil change please", "change my oil", "when is the oil change due", "sing"]
    >>> middle = np.array([[1, 0], [1, 0.1], [1, 0], [0, 1]], np.float32)
    >>> [(p.name, p.members.tolist()) for p in propose(words, middle, others=["pay my bill"] * 15, least=3)]
    [('change_oil', [0, 2, 1])]
    """
    from sklearn.cluster import AgglomerativeClustering  # 1 s to import

    matrix = np.asarray(vectors, np.float64)
    if matrix.ndim != 2 or len(matrix) != len(texts) or not np.isfinite(matrix).all():
        raise InvalidInput(f"{len(texts)} texts need as many vectors of finite numbers, not {matrix.shape}")
    length = np.linalg.norm(matrix, axis=1)
    row = np.flatnonzero(length > 0)[:_MOST]  # a text without a vector is like nothing
    if row.size < max(2, least):
        return []
    matrix = matrix[row] / length[row, None] if known is None else known.moved(matrix[row])
    found = AgglomerativeClustering(
        n_clusters=None, metric="precomputed", linkage="average", distance_threshold=1 - like
    ).fit(np.clip(1 - matrix @ matrix.T, 0, 2))
    groups = [np.flatnonzero(found.labels_ == label) for label in np.unique(found.labels_)]
    groups = sorted((g for g in groups if g.size >= least), key=lambda g: (-g.size, int(g[0])))
    number = np.concatenate([np.full(g.size, i) for i, g in enumerate(groups)]) if groups else np.zeros(0, np.int64)
    grouped = [texts[row[i]] for g in groups for i in g]
    said = terms(grouped, number, others)
    names = set(taken)
    proposed = []
    for group, words in zip(groups, said, strict=True):
        middle = matrix[group].mean(axis=0)
        members = row[group[np.lexsort((group, -np.round(matrix[group] @ middle, 6)))]]
        name = _free(words, names)
        names.add(name)
        size = group.size
        pairs = size * (size - 1)
        cohesion = (float(np.square(middle * size).sum()) - size) / pairs if pairs else 1.0
        examples = tuple(dict.fromkeys(texts[i] for i in members))[:_EXAMPLES]
        proposed.append(ProposedClass(name, members, words, round(cohesion, 4), examples))
    return proposed


def _free(words: Sequence[str], taken: set[str]) -> str:
    """The first pair of words, or the first two: as many more as it takes to be nobody else's name."""
    parts = [word.replace(" ", "_") for word in words] or ["new"]
    for count in range(1 if "_" in parts[0] else min(2, len(parts)), len(parts) + 1):
        name = "_".join(parts[:count])
        if name not in taken:
            return name
    number = 2
    while f"{parts[0]}_{number}" in taken:
        number += 1
    return f"{parts[0]}_{number}"

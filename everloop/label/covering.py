"""Which few rows stand for the many a model is unsure about: the greedy maximum of a facility-location function.

A row's label is expected to settle the rows like it, so asking for row i is worth the sum over the rows j of
unsure(j) x (what i says about j, where nothing chosen before says it already). That sum is uncertainty, density and
diversity in one: a twin of a chosen row is worth nothing, a row in the middle of many doubtful ones a lot, and where
rows are unlike each other it is the order by uncertainty. Greedy is within 1 - 1/e of the best choice (Nemhauser,
Wolsey and Fisher 1978), and lazily computed (Minoux 1978) since a row's worth only falls.
"""

import numpy as np
from numpy.typing import NDArray

_PLACES = 4  # digits of a sum that decide; the rest could differ on another machine
_BLOCK = 1024  # rows of a product at once


def greedy(
    vectors: NDArray[np.float32], candidates: NDArray[np.int64], unsure: NDArray[np.float32], count: int,
    covered: NDArray[np.float32], like: float,
) -> list[tuple[int, float]]:  # fmt: skip
    """At most `count` of `candidates` with their worth, best first; fewer where the others are worth nothing more.

    `vectors` (n, d) of unit length, `candidates` positions in them, `unsure` (n,) from 0 to 1, `covered` (n,) how much
    is known of each row already (changed in place), `like` the cosine from which one row says anything of another.
    """
    says = likeness(vectors[candidates], vectors, like)
    says[np.arange(len(candidates)), candidates] = 1.0  # also of a row without a vector: it says all of itself
    worth = np.concatenate([_worth(says[i : i + _BLOCK], covered, unsure) for i in range(0, len(says), _BLOCK)])
    chosen: list[tuple[int, float]] = []
    while len(chosen) < count:
        best = int(worth.argmax())
        now = float(_worth(says[best : best + 1], covered, unsure)[0])
        worth[best] = -1.0
        if now <= 0:
            if worth.max() <= 0:
                break
            continue
        if now < worth.max():  # somebody else may be better by now
            worth[best] = now
            continue
        chosen.append((int(candidates[best]), now))
        np.maximum(covered, says[best], out=covered)
    return chosen


def likeness(some: NDArray[np.float32], others: NDArray[np.float32], like: float) -> NDArray[np.float32]:
    """(len(some), len(others)): 0 up to the cosine `like`, and from there in a straight line to 1 for twins.

    >>> a = np.array([[1, 0], [0.8, 0.6]], np.float32)
    >>> likeness(a, a, like=0.6).round(2).tolist()
    [[1.0, 0.5], [0.5, 1.0]]
    """
    found = some @ others.T
    found -= np.float32(like)
    found /= np.float32(1 - like)
    return np.clip(found, 0, 1, out=found)


def _worth(says: NDArray[np.float32], covered: NDArray[np.float32], unsure: NDArray[np.float32]) -> NDArray[np.float64]:
    news = np.maximum(says - covered, 0)
    return np.asarray(np.round((news @ unsure).astype(np.float64), _PLACES))

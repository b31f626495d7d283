"""Which rows of a pool to ask people about: where the model is unsure, each unlike the others, some at random.

Uncertainty alone returns twins of one hard case, diversity alone what nobody doubts; `covering` weighs both. Weak
slices and rare classes get their floor first. Part of the budget always goes to rows drawn at random, so that what
choosing brings is measured (`arms.gain`) and not believed.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from everloop.errors import InvalidInput
from everloop.features.neighbours import unit
from everloop.label.covering import greedy, likeness
from everloop.label.doubt import checked, unsure

LIKE = 0.7  # cosine from which a row's label says anything of another
RANDOM_SHARE = 0.05  # of the budget; a tenth would cost an eighth more labels to the same accuracy
_LEAST = 5  # rows asked from which one at least is drawn at random
_SHORTLIST = 6  # times the number wanted: how many of the most uncertain compete
_LEAST_SHORT = 256  # rows compete, however few are wanted: it costs nothing
_AUDIENCE = 12  # times: of how many of the most uncertain a label's worth is the sum
_BLOCK = 1024  # rows chosen at once: 6,144 x 12,288 likenesses are 300 MB
_RARE = 0.25  # of the mean number of labels a class has: with fewer it is rare
_RARE_SHARE = 0.25  # of the chosen rows, at most, goes to rows that look like a rare class
_TWIN = 0.99  # so much known of a row already, and it is a twin of one that is asked about
_FLOOR = 0.01  # what a sure row's label is worth, beside an unsure one's 1

Why = Literal["uncertain", "slice", "rare", "random"]


class Quota(NamedTuple):
    """A slice that gets its rows first."""

    name: str
    rows: NDArray[np.bool_]  # (n,) which of the pool belong to it
    floor: int  # rows of it to ask about, if there are so many


class Chosen(NamedTuple):
    """Rows to ask about, most urgent first; the random ones stand among the others, evenly spread."""

    rows: NDArray[np.int64]  # positions in the pool, none twice
    score: NDArray[np.float64]  # how unsure the model is of it, 0 to 1
    why: tuple[Why, ...]
    propensity: float  # chance with which any row of the pool was drawn into the random arm


def choose(
    vectors: NDArray[np.floating], probabilities: NDArray[np.floating] | None, budget: int, rng: np.random.Generator, *,
    random_share: float = RANDOM_SHARE, quotas: Sequence[Quota] = (), like: float = LIKE,
    labels_of_class: NDArray[np.integer] | None = None, committee: Sequence[NDArray[np.floating]] = (),
) -> Chosen:  # fmt: skip
    """At most `budget` rows of a pool of n; fewer only where the rest are twins of chosen ones.

    `vectors` (n, d) and `probabilities` (n, k) of the pool's rows; None where there is no model yet: then rows that
    stand for many others come first. `committee` holds more models' probabilities, (n, k) each; `labels_of_class`
    (k,) how many labels each class has, so that rare ones get their part. The random arm is drawn first, uniformly
    from the whole pool, and holds `random_share` of the budget, one row at least from a budget of 5.

    Raises InvalidInput for shapes that do not fit, numbers that are not finite, or a share outside 0 to 1.

    >>> rng = np.random.default_rng(0)
    >>> twins = np.array([[0, 1], [1, 0], [1, 0]], np.float32)
    >>> choose(twins, np.array([[0.6, 0.4], [0.5, 0.5], [0.5, 0.5]]), 3, rng, random_share=0).rows.tolist()
    [1, 0]
    """
    matrix, n = unit(vectors), len(vectors)
    doubt = np.ones(n) if probabilities is None else unsure(probabilities, committee)
    if len(doubt) != n:
        raise InvalidInput(f"{n} vectors need as many rows of probabilities, not {len(doubt)}")
    if budget < 0 or not 0 <= random_share <= 1 or not 0 <= like < 1:
        raise InvalidInput("a budget is 0 or more, the random share from 0 to 1, and the likeness below 1")
    if any(len(quota.rows) != n for quota in quotas):
        raise InvalidInput(f"a slice's rows are a mask over the whole pool of {n}")
    budget = min(budget, n)
    drawn = _drawn(n, budget, random_share, rng)
    picking = _Picking(matrix, doubt, like, rng.permutation(n))
    picking.ask(drawn)
    room = budget - drawn.size
    picked: list[tuple[int, Why]] = []
    for quota in quotas:
        have = int(quota.rows[drawn].sum()) + sum(bool(quota.rows[i]) for i, _ in picked)
        wanted = min(quota.floor - have, room - len(picked))
        picked += [(i, "slice") for i in picking.take(np.asarray(quota.rows, bool), wanted)]
    if probabilities is not None and labels_of_class is not None:
        wanted = int(_RARE_SHARE * (room - len(picked)))
        picked += [(i, "rare") for i in _rare(picking, checked(probabilities), labels_of_class, wanted)]
    picked += [(i, "uncertain") for i in picking.take(np.ones(n, bool), room - len(picked))]
    order = _spread(picked, [(int(i), "random") for i in drawn])
    rows = np.array([i for i, _ in order], np.int64)
    return Chosen(rows, doubt[rows], tuple(why for _, why in order), drawn.size / n if n else 0.0)


class _Picking:
    """What has been picked so far, and what that says of the rest."""

    def __init__(
        self, matrix: NDArray[np.float32], doubt: NDArray[np.float64], like: float, turn: NDArray[np.int64]
    ) -> None:  # fmt: skip
        self.matrix, self.like, self.turn = matrix, like, turn  # who comes first among equals
        self.doubt = np.maximum(np.round(doubt, 4), _FLOOR).astype(np.float32)
        self.open = np.ones(len(matrix), bool)
        self.asked = np.zeros(0, np.int64)

    def ask(self, rows: NDArray[np.int64]) -> None:
        """These are asked about."""
        self.open[rows] = False
        self.asked = np.concatenate((self.asked, rows))

    def covered(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """How much of each row is known by those asked about: 0 nothing, 1 a twin is among them."""
        found = np.zeros(len(rows), np.float32)
        for i in range(0, len(rows), 4 * _BLOCK):
            for j in range(0, self.asked.size, _BLOCK):
                some = self.matrix[rows[i : i + 4 * _BLOCK]], self.matrix[self.asked[j : j + _BLOCK]]
                part = found[i : i + 4 * _BLOCK]  # a view
                np.maximum(part, likeness(*some, self.like).max(axis=1), out=part)
        return found

    def take(self, mask: NDArray[np.bool_], count: int) -> list[int]:
        """The `count` rows of `mask` whose labels are worth most; fewer if the rest are twins of what is picked."""
        found: list[int] = []
        live = np.flatnonzero(mask & self.open)
        live = live[np.lexsort((self.turn[live], -self.doubt[live]))]
        while len(found) < count and live.size:
            step = min(count - len(found), _BLOCK)
            short = max(_SHORTLIST * step, _LEAST_SHORT)
            audience, short = live[: short * _AUDIENCE // _SHORTLIST], min(live.size, short)
            some = greedy(self.matrix[audience], np.arange(short), self.doubt[audience], step,
                          self.covered(audience), self.like)  # fmt: skip
            new = audience[np.array([i for i, _ in some], np.int64)]
            found += new.tolist()
            self.ask(new)
            # A shortlist that ran dry holds nothing but twins of what is asked: it is done with.
            live = live[self.open[live]] if len(some) == step else live[short:]
        return found


def rare(labels: NDArray[np.integer]) -> NDArray[np.int64]:
    """The classes with few labels beside the others, by how many each has.

    >>> rare(np.array([40, 2, 30])).tolist()
    [1]
    """
    return np.flatnonzero(labels < _RARE * labels.mean()) if len(labels) else np.zeros(0, np.int64)


def _rare(picking: _Picking, p: NDArray[np.float64], labels: NDArray[np.integer], wanted: int) -> list[int]:
    """Rows that may well be of a class with few labels: the likeliest of each, the classes by turns."""
    if labels.shape != (p.shape[1],):
        raise InvalidInput(f"{p.shape[1]} classes need as many counts of labels, not {labels.shape}")
    few = rare(labels)
    order = {int(c): iter(np.argsort(-np.round(p[:, c], 4), kind="stable")) for c in few[np.argsort(labels[few])]}
    found: list[int] = []
    while len(found) < wanted and order:
        for c in list(order):
            row = next((int(i) for i in order[c] if picking.open[i]), None)
            if row is None or p[row, c] < 1 / p.shape[1]:
                del order[c]
            elif len(found) < wanted:
                picking.open[row] = False
                if picking.covered(np.array([row]))[0] < _TWIN:
                    found.append(row)
                    picking.ask(np.array([row]))
    return found


def _drawn(n: int, budget: int, share: float, rng: np.random.Generator) -> NDArray[np.int64]:
    count = round(share * budget)
    if share and budget >= _LEAST:
        count = max(1, count)
    return rng.choice(n, size=min(count, n), replace=False).astype(np.int64) if n else np.zeros(0, np.int64)


def _spread(picked: list[tuple[int, Why]], drawn: list[tuple[int, Why]]) -> list[tuple[int, Why]]:
    """The random rows among the others: who stops halfway down the list has seen their part of either."""
    places = [(k + 0.5) / max(1, len(picked)) for k in range(len(picked))]
    others = [(k + 0.5) / max(1, len(drawn)) for k in range(len(drawn))]
    return [row for _, row in sorted(zip([*places, *others], [*picked, *drawn], strict=True), key=lambda r: r[0])]

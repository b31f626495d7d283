"""What to ask people this turn, within the budget: golden rows, then what is disputed, then what is uncertain.

Uncertainty alone returns twins of one hard case, so uncertain rows are chosen for margin *and* distance from each
other: the k-centre greedy of Sener & Savarese 2018 ("Active learning for convolutional neural networks: a core-set
approach") over a shortlist by margin.
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from everloop.types import Evidence, Input, Policy

_SHORTLIST = 6  # times the number wanted: how many of the most uncertain compete on diversity
_GOLDEN_PART = 0.5  # of the budget, at most, goes to the golden set
_PLACES = 4  # digits of a probability that decide; the rest could differ on another machine


Why = Literal["golden", "disputed", "uncertain", "random"]

_FIRST: dict[Why, float] = {"golden": 2.0, "disputed": 1.0, "uncertain": 0.0, "random": 0.0}


class Wanted(NamedTuple):
    """A row to ask a person about, why, and how urgently (higher first)."""

    evidence: Evidence
    why: Why
    priority: float


def choose(
    evidence: Sequence[Evidence], pool: Sequence[Evidence], contested: Sequence[Evidence], *,
    asked: frozenset[str], policy: Policy, vectors: Callable[[Sequence[Input]], NDArray[np.float32]],
) -> list[Wanted]:  # fmt: skip
    """At most `policy.review_budget` rows, most urgent first.

    `asked` are interactions that have been in the queue before; `vectors` turns inputs into an (n, d) matrix.
    """
    wanted: list[Wanted] = []
    seen = set(asked)

    def take(rows: Sequence[tuple[float, Evidence]], why: Why, room: int) -> None:
        for score, row in sorted(rows, key=lambda r: (-round(r[0], _PLACES), r[1].id))[: max(0, room)]:
            seen.add(row.interaction)
            wanted.append(Wanted(row, why, _FIRST[why] + score))

    golden = [
        (0.0, row)
        for row in (*evidence, *contested, *pool)
        if row.split == "golden" and row.interaction not in seen and not _settled(row)
        and (policy.golden_source == "traffic" or row.statements)
    ]  # fmt: skip
    take(golden, "golden", int(policy.review_budget * _GOLDEN_PART))
    fresh = min(policy.review_fresh, policy.review_budget - len(wanted))
    disputed = [(dispute(row), row) for row in (*evidence, *contested, *pool)
                if row.split == "train" and row.interaction not in seen and not _settled(row)]  # fmt: skip
    take([d for d in disputed if d[0] > 0], "disputed", policy.review_budget - len(wanted) - fresh)
    untouched = [row for row in pool
                 if row.split == "train" and not row.statements and row.interaction not in seen]  # fmt: skip
    take(_uncertain(untouched, min(policy.review_budget - len(wanted), fresh), vectors), "uncertain", fresh)
    return wanted


def dispute(row: Evidence) -> float:
    """How strongly people's word and the machine's, or people among themselves, disagree: 0 (not at all) to 1.

    A refuted answer nobody corrected counts 0.5 and more: only a person can say what is right.
    """
    argued = {s.value for s in row.statements if s.kind != "refuted"}
    if not row.statements:
        return 0.0
    if not argued:
        return 0.5 + 0.5 * (row.confidence or 0.0)
    if len(argued) > 1:
        return 1.0
    (value,) = argued
    if row.output is None or value == row.output:
        return 0.0
    given = next((a.confidence for a in row.alternatives if a.value == value), 0.0)
    return max(0.0, (row.confidence or 0.0) - given)


def _uncertain(
    rows: Sequence[Evidence], count: int, vectors: Callable[[Sequence[Input]], NDArray[np.float32]]
) -> list[tuple[float, Evidence]]:
    """`count` rows with small margins, far from each other; the score is 1 - margin."""
    if count <= 0 or not rows:
        return []
    margin = {row.id: round((row.confidence or 0.0) - (row.alternatives[0].confidence if row.alternatives else 0.0),
                            _PLACES) for row in rows}  # fmt: skip
    short = sorted(rows, key=lambda row: (margin[row.id], row.id))[: _SHORTLIST * count]
    matrix = vectors([row.input for row in short]).astype(np.float64)
    matrix /= np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-12)
    chosen = [0]
    distance = np.round(1.0 - matrix @ matrix[0], _PLACES)
    while len(chosen) < min(count, len(short)):
        distance[chosen[-1]] = -1.0
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, np.round(1.0 - matrix @ matrix[chosen[-1]], _PLACES))
    return [(max(0.0, min(1.0, 1.0 - margin[short[i].id])), short[i]) for i in chosen]


def _settled(row: Evidence) -> bool:
    return any(s.kind in ("annotation", "label") for s in row.statements)

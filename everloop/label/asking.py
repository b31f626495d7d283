"""What people are asked this turn, within the budget: golden rows, what is disputed, what is uncertain, some at random.

Of the rows nobody has said anything about, `choosing` picks; the random ones among them measure what that brings.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from everloop.label.choosing import RANDOM_SHARE, Quota, choose, rare
from everloop.types import Evidence, Input, Policy

_GOLDEN_PART = 0.5  # of the budget, at most, goes to the golden set
_PLACES = 4  # digits of a probability that decide; the rest could differ on another machine
_COMPETE = 10_000  # untouched rows that compete, newest last: bounds time and memory
_CLASSES = 1_000  # up to which rare ones get their part: 10,000 rows by so many are 80 MB

Why = Literal["golden", "disputed", "uncertain", "random", "suspect", "audit", "novel"]

_FIRST: dict[Why, float] = {
    "golden": 2.0, "novel": 2.0, "disputed": 1.0, "suspect": 1.0, "audit": 0.5, "uncertain": 0.0, "random": 0.0,
}  # fmt: skip
_AGAIN_PART = 0.25  # of the budget, at most, goes to labels that are probably wrong


class Wanted(NamedTuple):
    """A row to ask a person about, why, and how urgently (higher first)."""

    evidence: Evidence
    why: Why
    priority: float
    propensity: float | None = None  # of a random row: the chance with which any untouched row was drawn


def ask(
    evidence: Sequence[Evidence], pool: Sequence[Evidence], contested: Sequence[Evidence], *,
    asked: frozenset[str], policy: Policy, vectors: Callable[[Sequence[Input]], NDArray[np.float32]],
    rng: np.random.Generator | None = None, slices: Mapping[str, int] | None = None,
    suspects: Sequence[tuple[float, Evidence]] = (), random_share: float = RANDOM_SHARE,
    labels: Mapping[str, int] | None = None,
) -> list[Wanted]:  # fmt: skip
    """At most `policy.review_budget` rows, most urgent first.

    `asked` are interactions that have been in the queue before; `vectors` turns inputs into an (n, d) matrix. `slices`
    names the weak ones, and how many of their rows are asked about first. `suspects` are rows whose label may be wrong,
    with how likely that is from 0 to 1: they compete with the disputed ones, and come again even if they were in the
    queue before, so pass each no oftener than it should be asked. `labels` is how many labels of people each class
    has: rows that look like one with few get their part. `rng` draws the random rows; without one it starts
    from 0, so the same pool gets the same rows.
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
    again = {row.interaction: (score, row) for score, row in suspects if row.split == "train" and score > 0}
    disputed = [(dispute(row), row) for row in (*evidence, *contested, *pool)
                if row.split == "train" and row.interaction not in seen and row.interaction not in again
                and not _settled(row)]  # fmt: skip
    disputed += [(max(min(score, 1.0), dispute(row)), row) for score, row in again.values()]
    take([d for d in disputed if d[0] > 0], "disputed", policy.review_budget - len(wanted) - fresh)
    untouched = [row for row in pool if row.split == "train" and not row.statements and row.interaction not in seen]
    room = min(policy.review_budget - len(wanted), fresh)
    generator = np.random.default_rng(0) if rng is None else rng
    more = slices or {}, generator, random_share, labels or {}
    return wanted + _untouched(untouched[-_COMPETE:], room, vectors, *more)


def recheck(
    suspects: Sequence[tuple[float, Evidence]], automatic: Sequence[Evidence], *, asked: frozenset[str],
    rechecked: frozenset[str], policy: Policy, rng: np.random.Generator, waiting: Mapping[str, int] | None = None,
) -> list[Wanted]:  # fmt: skip
    """What is labelled already and should be looked at: labels of people that are probably wrong (`suspects`, with how
    probably), and `policy.auto_audit` of the machine's (`automatic`), drawn at random, which keeps its promise honest.

    Golden rows come first: what is measured hangs on them, and they are asked about again although somebody was asked
    before; others only if nobody was (`asked`), nor brought the label. Nothing is rechecked twice (`rechecked`).
    `waiting`: how many "suspect" and "audit" reviews are open still; where nobody comes, the queue does not grow.
    """
    still = waiting or {}
    doubted = doubtful(suspects, asked=asked, rechecked=rechecked)[: room_again(policy, still)]
    wanted = [Wanted(row, "suspect", _FIRST["suspect"] + score) for score, row in doubted]
    untouched = sorted((row for row in automatic if row.interaction not in asked), key=lambda row: row.id)
    most = policy.review_budget - len(wanted) - sum(still.values())
    count = min(policy.auto_audit - still.get("audit", 0), len(untouched), most)
    drawn = sorted(rng.choice(len(untouched), count, replace=False).tolist()) if count > 0 else []
    return wanted + [Wanted(untouched[i], "audit", _FIRST["audit"], count / len(untouched)) for i in drawn]


def doubtful(
    suspects: Sequence[tuple[float, Evidence]], *, asked: frozenset[str], rechecked: frozenset[str]
) -> list[tuple[float, Evidence]]:
    """Those of `suspects` a person may be asked about again, in the order in which `recheck` takes them."""
    found = [
        (row.split != "golden", -score, row.id, row) for score, row in suspects if row.interaction not in rechecked
        and (row.split == "golden" or not (row.interaction in asked or _settled(row)))
    ]  # fmt: skip
    return [(-score, row) for _, score, _, row in sorted(found)]


def room_again(policy: Policy, waiting: Mapping[str, int]) -> int:
    """How many suspects a turn asks about at most."""
    return max(0, int(policy.review_budget * _AGAIN_PART) - waiting.get("suspect", 0))


def bring(novel: Sequence[tuple[float, Evidence]], wanted: Sequence[Wanted], count: int) -> list[Wanted]:
    """The first `count` of `novel` (how far from every class, 0 to 1, and the row) that are not `wanted` anyway, and of
    near-duplicates one: at the top of the queue."""
    taken = {want.evidence.interaction for want in wanted}
    groups: set[str] = set()
    brought: list[Wanted] = []
    for score, row in novel:
        if len(brought) < count and row.interaction not in taken and row.group not in groups:
            groups.add(row.group)
            brought.append(Wanted(row, "novel", _FIRST["novel"] + round(score, _PLACES)))
    return brought


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


def _untouched(
    rows: Sequence[Evidence], count: int, vectors: Callable[[Sequence[Input]], NDArray[np.float32]],
    slices: Mapping[str, int], rng: np.random.Generator, random_share: float, labels: Mapping[str, int],
) -> list[Wanted]:  # fmt: skip
    """`count` rows; those for a slice's floor come before the rest, random ones stand where their doubt puts them."""
    if count <= 0 or not rows:
        return []
    rows = sorted(rows, key=lambda row: row.id)
    quotas = [Quota(name, np.array([name in row.slices for row in rows]), floor) for name, floor in slices.items()]
    told, counts = _told(rows, labels)
    chosen = choose(vectors([row.input for row in rows]), np.clip(told, 0.0, 1.0), count, rng,
                    quotas=quotas, random_share=random_share, labels_of_class=counts)  # fmt: skip
    # Within "uncertain" the order is that of the choice: the first label is the one that is expected to tell most.
    last = max(1, len(chosen.rows))
    return [
        Wanted(rows[i], "random" if why == "random" else "uncertain", round(1.0 - place / last, _PLACES),
               chosen.propensity if why == "random" else None)
        for place, (i, why) in enumerate(zip(chosen.rows.tolist(), chosen.why, strict=True))
    ]  # fmt: skip


def _told(rows: Sequence[Evidence], labels: Mapping[str, int]) -> tuple[NDArray[np.float64], NDArray[np.int64] | None]:
    """What is known of each row's answer (n, k), and how many labels its classes have where one has few.

    Two columns are all that is known, and all that a margin takes; which classes they are is asked for rare ones.
    """
    told = np.array([[row.confidence or 0.0, row.alternatives[0].confidence if row.alternatives else 0.0]
                     for row in rows])  # fmt: skip
    counts = np.array(list(labels.values()), np.int64)
    if len(counts) > _CLASSES or not len(rare(counts)):
        return told, None
    place = {name: i for i, name in enumerate(labels)}
    by_class = np.zeros((len(rows), len(labels) + 2))
    by_class[:, -2:] = told  # of classes nobody has labelled: all that is asked of these is the margin
    for i, row in enumerate(rows):
        names = (row.output, row.alternatives[0].value if row.alternatives else None)
        for j, at in enumerate(place.get(name) if name is not None else None for name in names):
            if at is not None:
                by_class[i, at], by_class[i, len(labels) + j] = told[i, j], 0.0
    return by_class, np.concatenate((counts, np.full(2, int(counts.mean()) + 1)))


def _settled(row: Evidence) -> bool:
    return any(s.kind in ("annotation", "label") for s in row.statements)

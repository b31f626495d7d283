"""From evidence to examples: whose word counts, with what weight, and what the machine labels by itself."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from everloop.label.belief import Belief
from everloop.types import Drop, Evidence, Example, Policy, Statement

_LEAST_WEIGHT = 0.1  # what a label that is surely wrong still weighs until somebody has looked at it
_SETTLED = ("annotation", "label")


class Opinion(NamedTuple):
    """What a model that has not seen the row thinks of it."""

    best: str
    confidence: float  # calibrated probability of `best`
    given: float  # of the label people gave; 0 where nobody did
    wrong: float = 0.0  # probability that the label people gave is wrong; 0 where nobody did


class Assembly(NamedTuple):
    """The examples of a dataset version, and the drops of what was passed by."""

    examples: list[Example]
    drops: list[Drop]
    doubted: int  # labels that count for less
    automatic: int  # labels that are the machine's


def target_of(row: Evidence, beliefs: Mapping[str, Belief] | None = None) -> tuple[str, bool]:
    """The label people argue for and whether it is settled: annotations first, then brought labels, then the majority.

    Of annotations that are as many, the last counts: whoever gave it saw what was said before. A belief, by evidence
    id, goes before all that. `row` has at least one statement that argues for a label.
    """
    believed = beliefs.get(row.id) if beliefs else None
    if believed is not None:
        return believed.target, believed.settled
    for kind in _SETTLED:
        said = [s for s in row.statements if s.kind == kind]
        votes = _votes(said)
        if votes:
            last = {s.value: place for place, s in enumerate(said)}
            return max(votes, key=lambda v: (votes[v], last[v])), True
    votes = _votes(row.statements)
    return min(votes, key=lambda v: (-votes[v], v)), False


def assemble(
    loop: str, turn: int, evidence: Sequence[Evidence], pool: Sequence[Evidence],
    opinions: Mapping[str, Opinion], policy: Policy, threshold: float | Mapping[str, float] | None = None,
    beliefs: Mapping[str, Belief] | None = None,
) -> Assembly:  # fmt: skip
    """Examples ordered by id. `opinions` are out-of-fold, by evidence id; a row without one keeps its full weight.
    `beliefs`, by evidence id: whom to believe where people disagree; such a row weighs as much as it is sure.

    `threshold`: the confidence from which the machine's own labels were certified, for all or by evidence id; None, or
    no such id: it labels nothing.

    Golden examples are only what people were asked about or brought as golden: the feedback that happens to come
    depends on the answer given, and would favour one model.
    """
    examples: list[Example] = []
    drops: list[Drop] = []
    doubted = automatic = 0
    for row in evidence:
        target, settled = target_of(row, beliefs)
        believed = beliefs.get(row.id) if beliefs else None
        if row.split == "test" or (row.split == "golden" and not settled):
            drops.append(_drop(loop, turn, row, "golden_unverified"))
            continue
        opinion = opinions.get(row.id)
        wrong = opinion.wrong if opinion is not None and not settled else 0.0
        doubted += wrong > 0.5
        sure = 1.0 if believed is None else believed.sure
        weight = max(_LEAST_WEIGHT, round(min(1.0 - wrong, sure), 1))
        asked = settled or (believed is not None and any(s.kind in _SETTLED for s in row.statements))
        examples.append(_example(row, target, "human" if asked else "production", weight))
    for row in pool:
        opinion = opinions.get(row.id)
        refuted = {s.value for s in row.statements if s.kind == "refuted"}
        if row.split != "train" or opinion is None:
            drops.append(_drop(loop, turn, row, "no_signal" if row.split == "train" else "golden_unverified"))
        elif opinion.confidence < _least(threshold, row, policy) or opinion.best in refuted:
            drops.append(_drop(loop, turn, row, "no_signal", opinion.confidence))
        else:
            examples.append(_example(row, opinion.best, "auto", policy.auto_weight))
            automatic += 1
    return Assembly(sorted(examples, key=lambda e: e.id), drops, doubted, automatic)


def _least(threshold: float | Mapping[str, float] | None, row: Evidence, policy: Policy) -> float:
    certified = threshold.get(row.id) if isinstance(threshold, Mapping) else threshold
    return math.inf if certified is None else max(certified, policy.auto_confidence)


def _votes(statements: Sequence[Statement]) -> dict[str, int]:
    votes: dict[str, int] = {}
    for s in statements:
        if s.kind != "refuted":
            votes[s.value] = votes.get(s.value, 0) + 1
    return votes


def _example(row: Evidence, target: str, origin: str, weight: float) -> Example:
    return Example(
        id=row.id, loop=row.loop, input=row.input, target=target, origin=origin,  # type: ignore[arg-type]
        split=row.split, group=row.group, weight=weight, slices=row.slices, subjects=row.subjects,
        evidence=(*row.interactions, *(s.id for s in row.statements)),
    )  # fmt: skip


def _drop(loop: str, turn: int, row: Evidence, reason: str, score: float | None = None) -> Drop:
    return Drop(id=row.interaction, loop=loop, turn=turn, stage="label", reason=reason,
                score=None if score is None else round(score, 4))  # fmt: skip

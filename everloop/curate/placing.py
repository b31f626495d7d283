"""Give each new distinct input its place for ever: a near-duplicate group, and that group's split.

A group is in training or in the golden set as a whole, so no twin straddles them. The place is decided when an input
is first seen, by a hash of its group, and never again: not by who gave feedback, not by what a model said.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from everloop.curate import near_duplicates, near_vectors
from everloop.curate.inputs import text_of
from everloop.types import Input, Placement, Split

_VECTOR_TWIN = 0.95  # similarity from which two vectors are twins


class Newcomer(NamedTuple):
    """A distinct input that has no place yet."""

    id: str  # fingerprint
    interaction: str
    input: Input
    forced: Split | None  # the split somebody asked for


class Placed(NamedTuple):
    """The places of newcomers, and those that got none because they are twins of both sides."""

    placements: list[Placement]
    straddling: dict[str, str]  # fingerprint -> the twin on the other side


def place(
    loop: str, turn: int, placed: Sequence[tuple[Placement, Input]], newcomers: Sequence[Newcomer],
    *, threshold: float, golden_share: float,
) -> Placed:  # fmt: skip
    """Place `newcomers` in their order beside what is `placed` already.

    A newcomer joins the group of its twins. Twins in two splits, or a twin in another split than the one asked for,
    leave it without a place. `threshold` is the similarity of twins, `golden_share` the share of new groups set aside.
    """
    inputs = [value for _, value in placed] + [n.input for n in newcomers]
    ids = [p.id for p, _ in placed] + [n.id for n in newcomers]
    twins: dict[str, list[str]] = {}
    for i, j in _pairs(inputs, threshold, len(placed)).tolist():
        twins.setdefault(ids[j], []).append(ids[i])
    return beside(loop, turn, {p.id: p for p, _ in placed}, twins, newcomers, golden_share=golden_share)


def beside(
    loop: str, turn: int, places: Mapping[str, Placement], twins: Mapping[str, Sequence[str]],
    newcomers: Sequence[Newcomer], *, golden_share: float,
) -> Placed:  # fmt: skip
    """As `place`, where it is known already which earlier inputs each newcomer is a near-duplicate of, the earliest
    first (`twins`, by fingerprint; those without a place do not count)."""
    at: dict[str, tuple[str, Split]] = {}
    result = Placed([], {})
    for newcomer in newcomers:
        near: list[tuple[str, str, Split]] = []
        for id in twins.get(newcomer.id, ()):
            if id in at:
                near.append((id, *at[id]))
            elif (known := places.get(id)) is not None:
                near.append((id, known.group, known.split))
        splits = {split for _, _, split in near} | ({newcomer.forced} if newcomer.forced else set())
        if len(splits) > 1:
            result.straddling[newcomer.id] = next((id for id, _, split in near if split != "train"), near[0][0])
            continue
        group = near[0][1] if near else newcomer.id
        split: Split = splits.pop() if splits else ("golden" if _uniform(newcomer.id) < golden_share else "train")
        at[newcomer.id] = (group, split)
        result.placements.append(
            Placement(id=newcomer.id, loop=loop, interaction=newcomer.interaction, group=group, split=split, turn=turn)
        )
    return result


def twins_between(golden: Sequence[Input], training: Sequence[Input], threshold: float) -> dict[int, int]:
    """For each index of `training` that is a near-duplicate of a golden input, the index of one such input.

    The guard before a dataset version is written: it does not trust how the rows were placed.
    """
    if not golden or not training:
        return {}
    if isinstance(golden[0], list):
        left, right = (np.array(rows, np.float64) for rows in (golden, training))
        found = near_vectors.between(left, right, _VECTOR_TWIN)
    else:
        left_texts, right_texts = ([text_of(x) or "" for x in rows] for rows in (golden, training))
        found = near_duplicates.between(left_texts, right_texts, threshold)
    return {j: i for i, j in found[::-1].tolist()}


def _pairs(inputs: Sequence[Input], threshold: float, first_new: int) -> NDArray[np.int64]:
    if not inputs or len(inputs) <= first_new:
        return np.empty((0, 2), np.int64)
    if isinstance(inputs[0], list):
        width = len(inputs[0])
        rows = [x if isinstance(x, list) and len(x) == width else [0.0] * width for x in inputs]
        return near_vectors.pairs(np.array(rows, np.float64), _VECTOR_TWIN, first_new)
    return near_duplicates.pairs([text_of(x) or "" for x in inputs], threshold, first_new)


def _uniform(fingerprint: str) -> float:
    """A number in [0, 1) that depends on the fingerprint alone."""
    return int(fingerprint[:12], 16) / 16**12

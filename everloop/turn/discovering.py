"""Inputs that no class of a loop covers: found among those nobody labelled, put together into proposed classes, and
brought to the top of people's queue.

A person decides of a proposal. What was accepted or refused is not proposed again: neither the same rows nor others
like them. What is open is replaced by what the next turn finds.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from everloop import curate, deploy, label
from everloop.errors import InvalidInput
from everloop.features import neighbours
from everloop.label.novelty import NEIGHBOURS
from everloop.label.within import Space
from everloop.store import Records
from everloop.types import Evidence, Input, Interaction, Lease, LoopSpec, Policy, ProposedClass, Release, Review

LEAST_KNOWN = 20  # labelled rows: with fewer, everything is far from what is known
LEAST_ROWS = 8  # alike, to be proposed
_POOL = 10_000  # rows nobody labelled that are looked at, the newest: bounds time and memory
_KNOWN = 10_000  # labelled rows they are compared with; ids are hashes, so the first are a sample
_MEASURED = 2_000  # of these, how far so many are from the others tells what is far
_FAR = 0.75  # a row is new if it is farther from the labelled ones than this share of them is from each other
_MOST = 2_000  # new rows that are put together, the most novel
_UNSURE = 0.3  # the live model's mean doubt of a proposal's rows: of less it knows what they are
_STRANGE = 0.97  # unless they are farther away than so many labelled rows are: there its confidence means nothing
_SAME = 0.3  # share of its rows that a proposal may have in common with a decided one, of the smaller's
_LIKE = 0.7  # cosine of two groups' middles from which they are the same
_DECIDED = 100  # the newest decided ones that are compared by what they hold, so many rows of each
_TYPICAL = 30
_SHARE = 0.2  # of the turn's questions on fresh rows, at most, go to novel ones
_BELIEVED = 2  # answers by which that share is held for well spent, before there are any
_EACH = 2  # of these come from one proposed class before others do: it is looked at as a whole on its page

Vectors = Callable[[Sequence[Input]], NDArray[np.float32]]


class Discovered(NamedTuple):
    """What was found in a turn."""

    classes: list[ProposedClass]  # the largest first
    novel: list[tuple[float, Evidence]]  # rows far from every class and how far, 0 to 1: those to ask about first
    looked: bool = True  # False: there is no live model, or too little is labelled, and what is open stays
    share: float = _SHARE  # of the turn's questions on fresh rows

    def room(self, policy: Policy, asked: frozenset[str]) -> tuple[int, Policy]:
        """How many novel rows people are asked about, and the policy with so many fewer questions."""
        there = sum(row.interaction not in asked for _, row in self.novel)
        count = min(int(self.share * policy.review_fresh), policy.review_budget, there)
        less = {"review_budget": policy.review_budget - count, "review_fresh": policy.review_fresh - count}
        return count, msgspec.structs.replace(policy, **less)

    def bring(self, wanted: Sequence[label.Wanted], count: int, asked: frozenset[str]) -> list[label.Wanted]:
        """`count` of the novel rows that nobody was or is asked about, for the top of the queue."""
        return label.bring([one for one in self.novel if one[1].interaction not in asked], wanted, count)


NOTHING = Discovered([], [], looked=False)


def discover(
    records: Records, spec: LoopSpec, turn: int, evidence: Sequence[Evidence], pool: Sequence[Evidence],
    vectors: Vectors,
) -> Discovered:  # fmt: skip
    """Novel rows of `pool`, which has the live model's answers, and the classes they may be.

    Time is bounded by the newest 10,000 rows of the pool; the same rows give the same result.
    """
    live = deploy.live(records.find(Release, spec.name))
    known = sorted((row for row in evidence if row.split == "train"), key=lambda row: row.id)[:_KNOWN]
    targets = [label.target_of(row)[0] for row in known]
    if spec.task != "classify" or live is None or live.model is None:
        return NOTHING
    if len(known) < LEAST_KNOWN or len(set(targets)) < 2:
        return NOTHING
    kind = Counter(_kind(row.input) for row in known).most_common(1)[0][0]
    fresh = [row for row in pool[-_POOL:] if row.split == "train" and row.confidence is not None]
    ours = [i for i, row in enumerate(known) if _kind(row.input) == kind]
    known, targets = [known[i] for i in ours], [targets[i] for i in ours]
    fresh = sorted((row for row in fresh if _kind(row.input) == kind), key=lambda row: row.id)
    if len(known) < LEAST_KNOWN or not fresh:
        return Discovered([], [])
    there, asked = vectors([row.input for row in known]), vectors([row.input for row in fresh])
    # A text without a word is like nothing, and a number too large for a vector is no distance from anything.
    sound, whole = _sound(there), _sound(asked)
    there, asked = there[sound], asked[whole]
    known, targets = [known[i] for i in sound], [targets[i] for i in sound]
    fresh = [fresh[i] for i in whole]
    if len(known) < LEAST_KNOWN or not fresh:
        return Discovered([], [])
    sure = np.clip([[row.confidence or 0.0] for row in fresh], 0.0, 1.0)
    found = label.outside(asked, sure, there)
    order = np.lexsort((np.arange(len(fresh)), -np.round(found.score, 6)))
    far, strange = _far(there)
    order = order[(found.distance > far)[order]][:_MOST]
    return _proposed(records, spec, turn, (known, targets, there), fresh, asked, found, order, strange, vectors)


def _proposed(
    records: Records, spec: LoopSpec, turn: int, known: tuple[Sequence[Evidence], Sequence[str], NDArray[np.float32]],
    fresh: Sequence[Evidence], asked: NDArray[np.float32], found: label.Novelty, order: NDArray[np.intp],
    strange: float, vectors: Vectors,
) -> Discovered:  # fmt: skip
    rows, targets, there = known
    space = _space(there, targets)
    decided = [one for one in records.find(ProposedClass, spec.name, newest=True) if one.state != "open"]
    taken = {*targets, *spec.labels, *(one.label or one.name for one in decided)}
    groups = label.propose(
        [_text(fresh[i].input) for i in order], asked[order], others=[_text(row.input) for row in rows],
        taken=sorted(taken), known=space, least=LEAST_ROWS,
    )  # fmt: skip
    middles = _middles(records, decided, asked.shape[1], _kind(rows[0].input), space, vectors)
    made: list[ProposedClass] = []
    settled: set[int] = set()
    each: dict[int, int] = {}  # which proposal a row is of
    for group in groups:
        members = order[group.members]
        ids = tuple(fresh[i].interaction for i in members)
        if found.doubt[members].mean() < _UNSURE and found.distance[members].mean() < strange:
            continue
        if _overlaps(ids, decided) or _near(asked[members], middles, space):
            settled.update(members.tolist())
            continue
        each.update(dict.fromkeys(members.tolist(), len(made)))
        made.append(ProposedClass(
            id=_id(spec.name, ids), loop=spec.name, turn=turn, name=group.name, words=group.terms, size=len(ids),
            score=round(float(found.score[members].mean()), 4), interactions=ids,
            nearest=Counter(targets[i] for i in found.nearest[members]).most_common(1)[0][0],
        ))  # fmt: skip
    first: list[tuple[float, Evidence]] = []
    later: list[tuple[float, Evidence]] = []
    count = Counter[int]()
    for i in order.tolist():
        of = each.get(i, -1)
        count[of] += 1
        if i not in settled and (of >= 0 or found.doubt[i] >= _UNSURE):
            row = (round(float(found.score[i]), 4), fresh[i])
            (first if of < 0 or count[of] <= _EACH else later).append(row)
    return Discovered(made, first + later, share=_SHARE * _worth(records, spec.name, rows, targets))


def _worth(records: Records, loop: str, known: Sequence[Evidence], targets: Sequence[str]) -> float:
    """How often what was asked about as novel was: of a class with next to no other labelled rows, or nobody could say.

    Where all is of classes that are known, to ask about what is far from them takes answers from what teaches more.
    """
    asked = [review for review in records.find(Review, loop, state=["done", "skipped"]) if review.why == "novel"]
    label_of = {id: target for row, target in zip(known, targets, strict=True) for id in row.interactions}
    novel = {review.interaction for review in asked}
    others = Counter(target for row, target in zip(known, targets, strict=True) if novel.isdisjoint(row.interactions))
    told = [others[label_of[id]] < LEAST_ROWS for id in novel & label_of.keys()]
    told += [True for review in asked if review.state == "skipped"]
    return (sum(told) + _BELIEVED) / (len(told) + _BELIEVED)


def settle(
    records: Records, loop: str, found: Discovered, lease: Lease, asked: Iterable[str] = ()
) -> list[ProposedClass] | None:
    """What of `found` is to be written now; open proposals it replaces are taken out. None: one of its rows, or of the
    interactions that are `asked` about, has been erased since, and the step is to be done again. Call it where nobody
    decides or is erased meanwhile.
    """
    ids = {*asked, *(id for one in found.classes for id in one.interactions)}
    if records.count(Interaction, loop, id=sorted(ids)) < len(ids):
        return None
    if not found.looked:
        return []
    there = records.find(ProposedClass, loop)
    decided = [one for one in there if one.state != "open"]
    made = [one for one in found.classes if not _overlaps(one.interactions, decided)]
    stale = {one.id for one in there if one.state == "open"} - {one.id for one in made}
    if stale:
        records.delete(ProposedClass, sorted(stale), fence=lease)
    return made


def _far(known: NDArray[np.float32]) -> list[float]:
    """How far labelled rows are from each other: from where on a row counts as new, and as strange."""
    rows = np.arange(0, len(known), max(1, len(known) // _MEASURED))
    near = neighbours.nearest(known, NEIGHBOURS, rows).similarity
    away = np.clip(1 - near.mean(axis=1, dtype=np.float64), 0, 1)
    return [float(q) for q in np.quantile(away, [_FAR, _STRANGE])]


def _space(known: NDArray[np.float32], targets: Sequence[str]) -> Space | None:
    """Where rows of one class lie close; None where no class has two different rows."""
    try:
        return label.class_space(known, np.unique(targets, return_inverse=True)[1])
    except InvalidInput:
        return None


def _middle(rows: NDArray[np.float32], space: Space | None) -> NDArray[np.float64]:
    moved = np.asarray(neighbours.unit(rows), np.float64) if space is None else space.moved(rows)
    middle = moved.mean(axis=0)
    return np.asarray(middle / max(float(np.linalg.norm(middle)), 1e-9))


def _middles(
    records: Records, decided: Sequence[ProposedClass], width: int, kind: int, space: Space | None,
    vectors: Vectors,
) -> NDArray[np.float64]:  # fmt: skip
    """(decided, d): the middles of what was decided, from what is still there of it."""
    some = [one for one in decided if one.interactions][:_DECIDED]
    wanted = {id for one in some for id in one.interactions[:_TYPICAL]}
    inputs = {it.id: it.input for it in records.find(Interaction, id=sorted(wanted)) if _kind(it.input) == kind}
    found = []
    for one in some:
        mine = [inputs[id] for id in one.interactions[:_TYPICAL] if id in inputs]
        matrix = vectors(mine) if mine else np.zeros((0, width), np.float32)
        matrix = matrix[_sound(matrix)]
        if len(matrix):
            found.append(_middle(matrix, space))
    return np.array(found).reshape(len(found), width)


def _near(rows: NDArray[np.float32], middles: NDArray[np.float64], space: Space | None) -> bool:
    return bool(len(middles)) and float((middles @ _middle(rows, space)).max()) >= _LIKE


def _overlaps(ids: Iterable[str], decided: Sequence[ProposedClass]) -> bool:
    mine = set(ids)
    return any(
        len(mine.intersection(one.interactions)) >= _SAME * min(len(mine), len(one.interactions))
        for one in decided if one.interactions
    )  # fmt: skip


def _sound(matrix: NDArray[np.float32]) -> NDArray[np.intp]:
    with np.errstate(invalid="ignore", over="ignore"):
        length = np.linalg.norm(matrix.astype(np.float64), axis=1)
    return np.flatnonzero(np.isfinite(length) & (length > 0))


def _kind(value: Input) -> int:
    """Inputs of one kind have vectors that can be compared: lists of as many numbers, or texts."""
    return len(value) if isinstance(value, list) else -1


def _text(value: Input) -> str:
    return curate.text_of(value) or ""


def _id(loop: str, interactions: Iterable[str]) -> str:
    """The same rows are the same proposal, in whichever turn they are found."""
    return hashlib.sha256("\n".join((loop, *sorted(interactions))).encode()).hexdigest()[:16]

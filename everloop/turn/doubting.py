"""Labels people gave that are probably wrong: how many of them are worth another look, and what is said against each.

Nothing is dropped for it. What people found in earlier ones decides how many the next turn asks about.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from everloop import curate, label
from everloop.curate import arguments, flag_budget
from everloop.features import neighbours
from everloop.stats.intervals import exact
from everloop.store import Records
from everloop.turn import attention
from everloop.turn.opinions import Ground, Judged, vectors_of
from everloop.types import Annotation, Doubt, Evidence, Input, Interaction, LoopSpec, Review, Turn

# A label that was doubted in vain counts in full again once somebody has looked: that is worth a look, too.
_WORTH = 0.3  # share of right flags under which looking is not worth it
_LEAST = 3  # flags that are looked at every turn all the same: without them nobody would learn better
_NEAR = 5  # neighbours that are heard
_WITNESSES = 20_000  # rows among which they are looked for; ids are hashes, so the first are a sample
_LABEL = 80  # characters of a label in a sentence
_WORDS = 300  # characters of a neighbour that are shown
_NUMBERS = 12
_AT_ONCE = 100  # neighbours that are looked up


class Again(NamedTuple):
    """What is asked about a second time, and its numbers for the report."""

    reviews: list[Review]
    counts: dict[str, Any]


class Witness(Struct, frozen=True, kw_only=True):
    """A labelled row like the one in question."""

    interaction: str
    words: str  # the first of it


class Argument(Struct, frozen=True, kw_only=True):
    """What is said against a label, for the person who decides. Plain text: labels are as people wrote them."""

    sentence: str
    supporting: tuple[Witness, ...] = ()  # rows beside it that have the proposed label, nearest first
    opposing: tuple[Witness, ...] = ()  # those that have the given one


class Queued(Review, frozen=True, kw_only=True):
    """A piece of human work as it is shown, with the argument where a label is doubted."""

    argument: Argument | None = None


class _Flag(NamedTuple):
    golden: bool
    score: float
    right: bool  # the label was wrong


def recheck(
    records: Records, spec: LoopSpec, turn: Turn, judged: Judged, automatic: Sequence[Evidence]
) -> Again:  # fmt: skip
    """What this turn asks about again: doubted labels as far as they are worth it, and some of the machine's own.

    `automatic` are the rows the machine labelled. A step that is done again draws the same rows.
    """
    past = [review for batch in records.scan(Review, spec.name) for _, review in batch]
    waiting = Counter(str(review.why) for review in past if review.state == "open" and review.why in attention.AGAIN)
    asked = frozenset(review.interaction for review in past)
    rechecked = frozenset(review.interaction for review in past if review.why == "suspect")
    flagged = label.doubtful(judged.suspects, asked=asked, rechecked=rechecked)
    told = flags(records, spec.name, past)
    wanted = label.recheck(
        _worth(flagged, told, label.room_again(spec.policy, waiting)), automatic, asked=asked, rechecked=rechecked,
        policy=spec.policy, rng=np.random.default_rng([turn.number, *spec.name.encode(), 1]), waiting=waiting,
    )  # fmt: skip
    doubts = _doubts(judged.ground, [w.evidence for w in wanted if w.why == "suspect"],
                     {row.id: score for score, row in flagged}, judged)  # fmt: skip
    reviews = []
    for want in wanted:
        opinion = judged.opinions[want.evidence.id]
        made = attention.review(turn, want, opinion.best, opinion.confidence)
        if want.why == "suspect" and want.evidence.id in doubts:
            doubt, proposal, confidence = doubts[want.evidence.id]
            made = msgspec.structs.replace(made, doubt=doubt, proposal=proposal, confidence=confidence)
        reviews.append(made)
    right = [one.right for one in told]
    return Again(reviews, {"suspects": {
        "flagged": len(flagged), "asked": sum(review.why == "suspect" for review in reviews),
        "waiting": waiting["suspect"],
        "right": exact(sum(right), len(right), spec.policy.level)._asdict() if right else None,
    }})  # fmt: skip


def flags(records: Records, loop: str, reviews: Sequence[Review]) -> list[_Flag]:
    """What people found in the doubted labels among `reviews`; the last answer to each counts.

    Of somebody who was erased, or whose label was, nothing is left to compare.
    """
    asked = {r.id: r.doubt for r in reviews if r.state == "done" and r.doubt is not None and r.doubt.given is not None}
    notes = records.find(Annotation, loop, review=list(asked)) if asked else []
    last = {note.review: note for note in sorted(notes, key=lambda note: (note.at, note.id))}
    return [_Flag(doubt.golden, doubt.score, last[id].value != doubt.given) for id, doubt in asked.items()
            if id in last]  # fmt: skip


def _worth(
    flagged: Sequence[tuple[float, Evidence]], told: Sequence[_Flag], room: int
) -> list[tuple[float, Evidence]]:  # fmt: skip
    """Golden rows first, all there is room for: what is measured hangs on each. Of the others as many as past flags of
    theirs make worth it, at least a few."""
    of = [one for one in told if not one.golden]
    golden = [one for one in flagged if one[1].split == "golden"]
    others = [one for one in flagged if one[1].split != "golden"]
    found = flag_budget.budget(
        np.array([one.right for one in of], np.bool_), _shares(one.score for one in of),
        _shares(score for score, _ in others), floor=_WORTH,
    )  # fmt: skip
    return [*golden, *others[: max(found.queue, _LEAST)]][:room]


def _shares(scores: "Iterator[float]") -> NDArray[np.float64]:
    return np.clip(np.fromiter(scores, np.float64), 0.0, 1.0)


def _doubts(
    ground: Ground | None, rows: Sequence[Evidence], scores: dict[str, float], judged: Judged
) -> dict[str, tuple[Doubt, str, float]]:
    """By evidence id: the doubt, the label proposed instead, and how probable that is."""
    if ground is None or not rows:
        return {}
    targets = ground.targets
    names = [*ground.classes, *sorted({*targets} - {*ground.classes})]  # golden rows may have a class no model knows
    number = {name: i for i, name in enumerate(names)}
    labels = np.array([number[target] for target in targets], np.int64)
    probabilities = np.zeros((len(labels), len(names)))
    probabilities[:, : len(ground.classes)] = ground.probabilities
    place = {row.id: i for i, row in enumerate(ground.rows)}
    at = np.array([place[row.id] for row in rows], np.int64)
    proposed = np.full(len(labels), -1, np.int64)
    other = probabilities[at].copy()
    other[np.arange(len(at)), labels[at]] = -1.0
    proposed[at] = other.argmax(axis=1)
    for i in at.tolist():
        best = number[judged.opinions[ground.rows[i].id].best]
        if best != labels[i]:  # what all the sources say together, where that is something else
            proposed[i] = best
    witnesses = np.flatnonzero(ground.wrong <= 0.5)[:_WITNESSES]
    near, alike = _beside(ground, rows, witnesses)
    made = {}
    for i, one in enumerate(
        arguments.argument(at, labels, probabilities, names, proposed=proposed, near=near)
    ):  # fmt: skip
        row, target = ground.rows[one.row], targets[one.row]
        beside = [j for j, close in zip(near.rows[i].tolist(), alike[i].tolist(), strict=True) if close]
        known = {j: ground.rows[j].interaction for j in beside}
        doubt = Doubt(
            given=target, said=tuple(s.id for s in row.statements if s.kind != "refuted" and s.value == target),
            score=round(scores[row.id], 4), confidence=one.given_probability, golden=row.split == "golden",
            supporting=tuple(known[j] for j in beside if j in one.supporting),
            opposing=tuple(known[j] for j in beside if j in one.opposing),
            others=tuple(known[j] for j in beside if j not in one.supporting and j not in one.opposing),
        )  # fmt: skip
        made[row.id] = (doubt, names[one.proposed], one.proposed_probability)
    return made


def _beside(
    ground: Ground, rows: Sequence[Evidence], witnesses: NDArray[np.int64]
) -> tuple[neighbours.Neighbours, NDArray[np.bool_]]:
    """The nearest of the `witnesses`, as places among the ground's rows, and which of them are like it at all."""
    asked = vectors_of([row.input for row in rows])
    known = vectors_of([ground.rows[i].input for i in witnesses.tolist()]) if len(witnesses) else asked[:0]
    found = neighbours.across(asked, known, _NEAR)
    return neighbours.Neighbours(witnesses[found.rows], found.similarity), found.similarity > 0


# --- reading ----------------------------------------------------------------------------------------------------------


def shown(records: Records, reviews: Sequence[Review]) -> list[Queued]:
    """`reviews` as people see them. Neighbours are looked up now: of those erased since, and those whose people no
    longer want to be learned from, nothing is told."""
    named = {id for one in reviews if one.doubt is not None
             for id in (*one.doubt.supporting, *one.doubt.opposing, *one.doubt.others)}  # fmt: skip
    there: dict[str, tuple[str, str]] = {}
    for few in _few(sorted(named)):  # inputs may be large: only their first words stay in memory
        for it in records.find(Interaction, id=few):
            if "improve" in it.consent:
                there[it.id] = it.loop, words(it.input)
    return [Queued(**msgspec.structs.asdict(one), argument=_argued(one, there)) for one in reviews]


def _few(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    return (ids[start : start + _AT_ONCE] for start in range(0, len(ids), _AT_ONCE))


def _argued(review: Review, there: Mapping[str, tuple[str, str]]) -> Argument | None:
    doubt = review.doubt
    if doubt is None or doubt.given is None or review.proposal is None:
        return None
    told = {side: tuple(Witness(interaction=id, words=there[id][1]) for id in getattr(doubt, side)
                        if id in there and there[id][0] == review.loop)
            for side in ("supporting", "opposing", "others")}  # fmt: skip
    support = len(told["supporting"])
    sentence = arguments.sentence(
        _cut(doubt.given, _LABEL), doubt.confidence, _cut(review.proposal, _LABEL), review.confidence or 0.0,
        support, support + len(told["opposing"]) + len(told["others"]),
    )  # fmt: skip
    return Argument(sentence=sentence, supporting=told["supporting"], opposing=told["opposing"])


def words(given: Input) -> str:
    """The first words of an input, or the first numbers.

    >>> words([0.5] * 64)
    '0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, … (64 numbers)'
    """
    if isinstance(given, list):
        first = ", ".join(f"{x:g}" for x in given[:_NUMBERS])
        return first if len(given) <= _NUMBERS else f"{first}, … ({len(given):,} numbers)"
    return _cut(given if isinstance(given, str) else curate.text_of(given) or "", _WORDS)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"

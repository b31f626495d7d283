"""Whom to believe in a loop: how far each person's word goes, by what is in the store, and what that settles of a
turn's rows. Nothing of it is kept: it is reckoned anew from the words that are there, so it forgets who is erased.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from msgspec import Struct

from everloop import label
from everloop.curate.statements import statements
from everloop.ids import new_id, now
from everloop.store import Store
from everloop.types import (
    Annotation,
    Evidence,
    FeedbackFields,
    Interaction,
    LoopSpec,
    Placement,
    Review,
    Turn,
)

_BATCH = 1_000  # interactions that are read at a time
_AGAIN_PART = 0.1  # of the budget, at most, goes to golden rows on which people disagree
_OFTEN = 3  # reviews of one row after which more would settle nothing: it stays out of the golden set
_PAIRS = 50  # whose kappa is shown, those with most rows together


class Believed(NamedTuple):
    """What people's words come to, for one turn."""

    beliefs: Mapping[str, label.Belief]  # by evidence id; a row that is not there is as ever
    reviews: list[Review]  # golden rows on which people disagree, to be looked at again
    counts: dict[str, Any]  # for the report


class Share(Struct, frozen=True, kw_only=True):
    """A share with its interval."""

    estimate: float
    low: float
    high: float
    n: int


class Annotator(Struct, frozen=True, kw_only=True):
    """One person who answers reviews, as far as others' words say how far theirs counts."""

    name: str
    answered: int  # rows they gave a label
    compared: int  # of these, rows whose truth is known or that others gave a label too, picked for nobody's mistake
    gold: Share | None  # how often they gave the label that was brought as golden; None: no such row, or too few
    right: Share | None  # how often they can be expected to be right; None: fewer than 20 rows can be compared
    weight: float  # of their word; 1 is the usual, and where too few can be compared
    flags: tuple[str, ...] = ()  # in words: careless, too few, coordinated with whom


class PairAgreement(Struct, frozen=True, kw_only=True):
    """Cohen's kappa of two annotators."""

    first: str
    second: str
    kappa: Share | None  # None: both gave one and the same label always


class Annotators(Struct, frozen=True, kw_only=True):
    """Everybody who answers a loop's reviews."""

    loop: str
    annotators: tuple[Annotator, ...]  # by name: this is no ranking
    alpha: Share | None  # Krippendorff's, nominal; None: no row was given two labels, or all labels are the same
    pairs: tuple[PairAgreement, ...]  # of those with 20 rows together or more
    users: int  # people whose feedback can be compared to what annotators say of the same rows
    users_known: int  # of these, with 20 pieces or more: theirs counts for what is known of them


def weights_of(store: Store, loop: str) -> Mapping[str, float]:
    """How much each person's word counts beside the usual, by `Statement.by`; empty where too little is known."""
    return _people(store, loop).weights()


def annotators(store: Store, loop: str, only: str | None = None) -> Annotators:
    """Everybody who answers the loop's reviews, or one of them alone (`only`), and how far they agree."""
    found = _people(store, loop, pairs=_PAIRS if only is None else 0)
    shown = [one for one in found.annotators.values() if only is None or one.name == only]
    return Annotators(
        loop=loop, annotators=tuple(_shown(one, alone=only is not None) for one in shown), alpha=_share(found.alpha),
        pairs=tuple(PairAgreement(first=p.first, second=p.second, kappa=_share(p.kappa)) for p in found.pairs),
        users=len(found.users), users_known=sum(one.agreed is not None for one in found.users.values()),
    )  # fmt: skip


def believed(store: Store, spec: LoopSpec, turn: Turn, rows: Sequence[Evidence]) -> Believed:
    """Whom to believe on the turn's `rows`, which golden ones to ask about again, and the numbers.

    A loop where nobody speaks of what somebody else did gets no belief, no review and no number.
    """
    if spec.task == "chat" or not any(len(row.statements) > 1 for row in rows):
        return Believed({}, [], {})
    notes, reviews = _notes(store, spec.name), _reviews(store, spec.name)
    picked, contested = _picked(notes, reviews)
    found = label.people(
        (label.Heard(row.id, row.split == "golden", row.statements) for row in rows),
        picked=picked, contested=contested, rng=np.random.default_rng([turn.number, *spec.name.encode(), 2]),
    )  # fmt: skip
    made = label.believe(rows, found, np.random.default_rng([turn.number, *spec.name.encode(), 3]))
    counts: dict[str, Any] = {}
    if found.alpha is not None:
        compared = sum(one.compared > 0 for one in found.annotators.values())
        counts["agreement"] = {"people": compared, **found.alpha._asdict()}
    if made.beliefs:
        counts["believed"] = {"rows": len(made.beliefs), "method": made.method, "gold": made.gold}
    return Believed(made.beliefs, _again(spec, turn, rows, made.beliefs, reviews), counts)


def _again(
    spec: LoopSpec, turn: Turn, rows: Sequence[Evidence], beliefs: Mapping[str, label.Belief],
    reviews: Sequence[Review],
) -> list[Review]:  # fmt: skip
    """Golden rows that somebody was asked about, or brought, and that are not settled; the least sure first."""
    often = Counter(review.interaction for review in reviews)
    waiting = {review.interaction for review in reviews if review.state == "open"}
    unsettled = sorted(
        (belief.sure, row.id, row) for row in rows
        if (belief := beliefs.get(row.id)) is not None and not belief.settled and row.split == "golden"
        and any(s.kind in ("annotation", "label") for s in row.statements)
    )  # fmt: skip
    open_now = sum(row.interaction in waiting for _, _, row in unsettled)
    wanted = [row for _, _, row in unsettled if row.interaction not in waiting and often[row.interaction] < _OFTEN]
    room = max(0, int(spec.policy.review_budget * _AGAIN_PART) - open_now)
    # No proposal beside it: a third person should say what they see, not whom they like.
    return [
        Review(id=new_id(), loop=spec.name, turn=turn.number, interaction=row.interaction, input=row.input,
               why="disputed", priority=2.0, at=now())
        for row in wanted[:room]
    ]  # fmt: skip


def _people(store: Store, loop: str, pairs: int = 0) -> label.People:
    notes = _notes(store, loop)
    if not notes:
        return label.NOBODY
    picked, contested = _picked(notes, _reviews(store, loop))
    by_row: dict[str, list[Annotation]] = {}
    for note in notes:
        by_row.setdefault(note.interaction, []).append(note)
    return label.people(_heard(store, loop, by_row), picked=picked, contested=contested, pairs=pairs)


def _heard(store: Store, loop: str, notes: Mapping[str, Sequence[Annotation]]) -> Iterator[label.Heard]:
    """What was said of each interaction that people were asked about."""
    for ids in _some(sorted(notes)):
        golden = {p.interaction for p in store.records.find(Placement, loop, interaction=ids) if p.split == "golden"}
        said: dict[str, list[Any]] = {}
        for item in store.records.find(FeedbackFields, loop, interaction=ids):
            said.setdefault(item.interaction, []).append(item)
        for it in store.records.find(Interaction, loop, id=ids):
            if "improve" in it.consent:
                yield label.Heard(it.id, it.id in golden, statements(it, said.get(it.id, ()), notes[it.id]))


def _some(ids: Sequence[str]) -> Iterable[Sequence[str]]:
    return (ids[start : start + _BATCH] for start in range(0, len(ids), _BATCH))


def _picked(notes: Sequence[Annotation], reviews: Sequence[Review]) -> tuple[frozenset[str], frozenset[str]]:
    """Annotations that were asked for because an earlier one was doubted, and those because users' word was.

    Whatever is asked about a row after its first review is asked because something about the answer was doubted; and
    who changes a label by hand does so because they think it wrong.
    """
    first: dict[str, str] = {}
    for review in sorted(reviews, key=lambda one: (one.at, one.id)):
        first.setdefault(review.interaction, review.id)
    why = {review.id: review.why for review in reviews}
    doubted = frozenset(
        note.id for note in notes
        if why.get(note.review, "suspect") == "suspect" or first.get(note.interaction) != note.review
    )  # fmt: skip
    return doubted, frozenset(note.id for note in notes if why.get(note.review) in ("disputed", "suspect"))


def _notes(store: Store, loop: str) -> list[Annotation]:
    return [note for batch in store.records.scan(Annotation, loop) for _, note in batch]


def _reviews(store: Store, loop: str) -> list[Review]:
    return [review for batch in store.records.scan(Review, loop) for _, review in batch]


def _share(found: Any) -> Share | None:
    return None if found is None else Share(**{name: found._asdict()[name] for name in Share.__struct_fields__})


def _shown(one: label.Person, *, alone: bool) -> Annotator:
    flags = [f"too few: {one.compared} of 20 that others labelled too"] if one.agreed is None else []
    if one.careless:
        flags.append("careless: surely right less often than the others")
    if one.ring:
        # Whom is nobody's business but those who look after people's work.
        flags.append("coordinated" if alone else f"coordinated with {', '.join(one.ring)}")
    gold = one.gold if one.gold is not None and one.gold.n >= label.ENOUGH else None
    return Annotator(name=one.name, answered=one.answered, compared=one.compared, gold=_share(gold),
                     right=_share(one.agreed), weight=one.weight, flags=tuple(flags))  # fmt: skip


__all__ = ["Annotator", "Annotators", "Believed", "PairAgreement", "Share", "annotators", "believed", "weights_of"]

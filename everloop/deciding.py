"""What a person decides of the classes a turn proposed: one of them becomes a label of the loop, or is no class.

Nobody's rows are labelled in silence. Accepting puts them into the review queue with the new label as the proposal;
only those the person was shown, and says so of, get their word at once.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import msgspec
from msgspec import Struct

from everloop.auditing import along
from everloop.collect import Door
from everloop.collect.incoming import check_label
from everloop.errors import Conflict, InvalidInput, NotFound
from everloop.ids import new_id, now
from everloop.loop import evidence_lease
from everloop.store import Records, Store
from everloop.turn.discovering import LEAST_KNOWN, LEAST_ROWS
from everloop.types import Annotation, Input, Interaction, LoopSpec, ProposedClass, Release, Review, Turn

SHOWN = 10  # inputs of a proposal that a person is shown, the most typical
_WAIT = 10.0  # seconds a decision waits for a turn that is just writing
_LEASED = 60.0
_PREFIX = 4  # characters of an id that are enough to name it
_PRIORITY = 2.0  # of what was accepted, in the queue: as novel rows have
_MOST_ANNOTATOR = 200


class Typical(Struct, frozen=True, kw_only=True):
    """One row of a proposal."""

    interaction: str
    input: Input
    output: str | None = None  # what was answered to it


class Proposal(Struct, frozen=True, kw_only=True):
    """A proposed class, and what a person judges it by."""

    proposed: ProposedClass
    typical: list[Typical]  # the most typical first


class Classes(Struct, frozen=True, kw_only=True):
    """The proposals of a loop."""

    open: list[Proposal]  # the largest first
    decided: list[ProposedClass]  # newest decision first
    waits: str  # where nothing is open: for what it waits, in a sentence


class Decided(Struct, frozen=True, kw_only=True):
    """What came of a decision."""

    proposed: ProposedClass
    added: bool = False  # its label is new in the loop's closed set
    asked: int = 0  # rows that wait in the queue with the label as their proposal
    labelled: int = 0  # rows that have the person's word for it


def classes(store: Store, spec: LoopSpec) -> Classes:
    """What is proposed for a loop, and what was decided."""
    there = store.records.find(ProposedClass, spec.name)
    decided = sorted((one for one in there if one.state != "open"), key=lambda one: (-one.at, one.id))
    made = sorted((one for one in there if one.state == "open"), key=lambda one: (-one.size, one.id))
    return Classes(
        open=[shown(store.records, one) for one in made], decided=decided, waits="" if made else _waits(store, spec)
    )


def shown(records: Records, one: ProposedClass, most: int = SHOWN) -> Proposal:
    """A proposal with its most typical rows; without those whose owner forbade their use since."""
    rows = {it.id: it for it in records.find(Interaction, id=one.interactions[: 2 * most])}
    there = [rows[id] for id in one.interactions if id in rows and "improve" in rows[id].consent]
    return Proposal(
        proposed=one, typical=[Typical(interaction=it.id, input=it.input, output=it.output) for it in there[:most]]
    )


def named(records: Records, loop: str, which: str) -> ProposedClass:
    """The proposal with that id, its beginning, its name or its label; NotFound lists the open ones."""
    there = records.find(ProposedClass, loop)
    found = [one for one in there if one.id == which]
    if not found and len(which) >= _PREFIX:
        found = [one for one in there if one.id.startswith(which)]
    found = found or [one for one in there if which and which in {one.name, one.label}]
    if len(found) > 1:
        found = [one for one in found if one.state == "open"]
    if len(found) != 1:
        names = ", ".join(f"{one.id} ({one.name})" for one in there if one.state == "open") or "none"
        raise NotFound(f"no proposed class {which[:80]!r} in loop {loop!r}; open are: {names[:400]}")
    return found[0]


def accept(
    store: Store, door: Door, spec: LoopSpec, which: str, *, name: str = "", by: str = "", labelled: Sequence[str] = (),
    annotator: str = "me",
) -> Decided:  # fmt: skip
    """Make a label of a proposal, called `name` (default: as it was proposed); one the loop has already may be named.

    `labelled` are interactions of it that `annotator` has seen and says it of. The others go into the review queue
    with the label as their proposal, unless somebody was asked before. All of it in one transaction. Raises NotFound,
    InvalidInput for a name that can be no label or an interaction that is not one of its rows, Conflict where it was
    decided otherwise, or while a turn is writing.
    """
    records = store.records
    with _alone(records, spec.name):
        one = named(records, spec.name, which)
        label = _label(door, spec, name or one.name)
        if one.state == "refused" or (one.state == "accepted" and one.label != label):
            raise Conflict(
                f"proposed class {one.id} was {one.state} already{f' as {one.label!r}' if one.label else ''}"
            )
        if strange := next((id for id in labelled if id not in one.interactions), None):
            raise InvalidInput(f"interaction {strange[:80]!r} is not one of the rows of proposed class {one.id}")
        if not (0 < len(annotator) <= _MOST_ANNOTATOR and annotator.isprintable()):
            raise InvalidInput(f"annotator: must be 1 to {_MOST_ANNOTATOR} printable characters")
        done = msgspec.structs.replace(one, state="accepted", label=label, by=by, at=now())
        reviews, notes = _work(records, done, label, set(labelled), annotator)
        changes: list[Struct] = [done, *reviews, *notes]
        current = records.get(LoopSpec, spec.name) or spec
        added = bool(current.labels) and label not in current.labels
        if added:
            changes.append(msgspec.structs.replace(current, labels=(*current.labels, label)))
        records.replace(*changes, *along())
    return Decided(proposed=done, added=added, asked=len(reviews) - len(notes), labelled=len(notes))


def refuse(store: Store, spec: LoopSpec, which: str, *, by: str = "") -> Decided:
    """It is no class: neither it nor what is like it is proposed again. Raises NotFound, Conflict as `accept` does."""
    with _alone(store.records, spec.name):
        one = named(store.records, spec.name, which)
        if one.state == "accepted":
            raise Conflict(f"proposed class {one.id} was accepted already, as {one.label!r}")
        done = msgspec.structs.replace(one, state="refused", by=by, at=now())
        store.records.replace(done, *along())
    return Decided(proposed=done)


def _work(
    records: Records, one: ProposedClass, label: str, labelled: set[str], annotator: str
) -> tuple[list[Review], list[Annotation]]:  # fmt: skip
    """What there is to ask, or was answered just now, of the rows of a class."""
    ids = list(one.interactions)
    rows = {it.id: it for it in records.find(Interaction, one.loop, id=ids) if "improve" in it.consent}
    asked: dict[str, Review] = {}
    for review in records.find(Review, one.loop, interaction=ids):
        if review.state == "open" or review.interaction not in asked:
            asked[review.interaction] = review
    reviews, notes = [], []
    for place, id in enumerate(ids):
        if id not in rows:
            continue
        before = asked.get(id)
        if before is not None and before.state != "open":
            continue  # somebody answered, or nobody is to be asked
        review = before or Review(
            id=new_id(), loop=one.loop, turn=one.turn, interaction=id, input=rows[id].input, why="novel",
            proposal=label, priority=_PRIORITY + round(1 - place / len(ids), 4), at=now(),
        )  # fmt: skip
        if id in labelled:
            review = msgspec.structs.replace(review, state="done")
            notes.append(Annotation(
                id=f"{review.id}.{annotator}", loop=one.loop, review=review.id, interaction=id, annotator=annotator,
                value=label, at=now(),
            ))  # fmt: skip
        elif before is not None:
            if before.why not in ("novel", "uncertain"):
                continue  # what was drawn at random, or audits the machine, stays the question it was
            review = msgspec.structs.replace(before, proposal=label, confidence=None)
        reviews.append(review)
    return reviews, notes


def _label(door: Door, spec: LoopSpec, name: str) -> str:
    given = {"value": " ".join(name.split())}
    if not spec.labels:  # of an open set a label is a text like any other
        door.clean(given, ("value",))
    if not given["value"]:
        raise InvalidInput("give the class a name: the one it was proposed under has been erased")
    if not given["value"].isprintable():
        raise InvalidInput("a class's name is one line of printable characters")
    check_label(given["value"], (), None)
    return given["value"]


def _waits(store: Store, spec: LoopSpec) -> str:
    if spec.task != "classify":
        return "a chat loop has no classes"
    release = store.records.find(Release, spec.name, limit=1)
    if not release:
        return "they are looked for once a model of the loop's own is live"
    turns = store.records.find(Turn, spec.name, newest=True, limit=5)
    done = next(((t, s.counts) for t in turns for s in t.steps if s.name == "label"), None)
    if done is None or "proposed_classes" not in done[1]:
        return f"the next turn looks for them, if a model is live and {LEAST_KNOWN} rows of two classes have labels"
    return (
        f"turn {done[0].number} found none: at least {LEAST_ROWS} unlabelled inputs must be alike, and far from every "
        "class; the next turn looks again"
    )


@contextmanager
def _alone(records: Records, loop: str) -> Iterator[None]:
    """Meanwhile no turn writes what it found, and nobody is erased."""
    owner, until = f"classes {new_id()}", time.monotonic() + _WAIT
    while (lease := records.lease(evidence_lease(loop), owner, _LEASED)) is None:
        if time.monotonic() > until:
            raise Conflict(f"loop {loop!r} is putting a dataset version together; try again soon")
        time.sleep(0.05)
    try:
        yield
    finally:
        records.unlease(lease)

"""The funnel: interactions in, evidence out, and a drop with its reason for each thing left out."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace

from everloop import registry
from everloop.curate import carried as carrying
from everloop.curate import listening
from everloop.curate.ballot import standing
from everloop.curate.carried import Carried, Raw, Row
from everloop.curate.door import Door
from everloop.curate.inputs import text_of
from everloop.curate.near_index import Index
from everloop.curate.placing import Newcomer, beside, place
from everloop.curate.rule import Context, Rule, reason
from everloop.curate.rules import DUPLICATE, order
from everloop.curate.semantic import Calibration
from everloop.errors import InvalidInput
from everloop.types import Annotation, Drop, Evidence, Feedback, Interaction, Placement, Policy, Split


class Known(NamedTuple):
    """What the store knows beside the interactions themselves."""

    feedback: Mapping[str, Sequence[Feedback]]  # by interaction
    annotations: Mapping[str, Sequence[Annotation]]  # by interaction
    placements: Mapping[str, Placement]  # by fingerprint
    undone: frozenset[tuple[str, str]] = frozenset()  # (interaction, reason) a person took back
    labels: frozenset[str] = frozenset()  # the closed set; what argues for another label is not heard. Empty: any
    task: str = "classify"  # what kind of answer the loop gives
    weights: Mapping[str, float] = {}  # how much a person's word counts, by `Statement.by`; 1 for who is not there


class Funnel(NamedTuple):
    """What came out."""

    evidence: list[Evidence]  # somebody said what is right
    pool: list[Evidence]  # usable, but nobody did: to be reviewed or labelled by the machine
    contested: list[Evidence]  # dropped as contradicted: a person can settle it
    drops: list[Drop]  # of interactions; and of feedback that is not heard, under the feedback's id
    placements: list[Placement]  # new ones
    seen: int  # interactions looked at
    waterfall: tuple[tuple[str, int], ...]  # (reason, interactions dropped) in the order of the rules
    meaning: Calibration | None = None  # from which cosine rows say the same, where a loop leaves those out


def run(
    loop: str, turn: int, interactions: Iterable[Interaction], known: Known, policy: Policy, *,
    carried: Carried | None = None, again: Iterable[Interaction] = (),
) -> Funnel:  # fmt: skip
    """Send `interactions`, oldest first, through the rules of `policy`.

    Without `carried` the result depends on the other arguments alone. With it, `interactions` are those since it was
    made, and `again` those it has seen of which something changed since: what was said of them, or a drop that was
    taken back. `known` then needs the feedback and annotations of these two alone, and the placements since; the
    result is that of a run over everything, and `carried` is brought up to date. Raises InvalidInput for a rule nobody
    registered, and where `carried` is of other rules (see `carried.fits`): then start from an empty one.
    """
    state = Carried() if carried is None else carried
    names = order(policy, known.task)
    rules: list[Rule] = [registry.find("rule", name) for name in names]
    made_under = carrying.fits(policy, known.task, known.labels)
    if state.fits != made_under and (state.fits or state.seen):
        raise InvalidInput("what was carried over is of other rules: begin with an empty one, and every interaction")
    unmuted = {id for id, why in known.undone ^ state.undone if why == listening.REASON}
    state.fits, state.undone = "", set(known.undone)
    moved = {key for key, one in known.placements.items() if state.places.get(key) != one}
    state.places.update(known.placements)
    for key in moved & state.straddling.keys():
        del state.straddling[key]
    door = Door(
        loop, rules, state, policy, task=known.task, feedback=known.feedback, annotations=known.annotations,
        labels=known.labels, weights=known.weights, undone=known.undone,
    )  # fmt: skip
    sealed = {*state.tests, *(id for id, one in known.placements.items() if one.split == "test")} - state.sealed
    if sealed & state.rows.keys() and state.straddling:  # what they stood in the way of is asked once more
        door.touched.update(state.straddling)
        if state.near is not None:
            state.near.forget(list(state.straddling))
        state.straddling.clear()
    door.seal(sealed)
    door.unmute(unmuted)
    door.touched.update(moved)  # placed by somebody else meanwhile
    for it in interactions:
        door.admit(it)
    for it in again:
        door.admit_again(it)
    door.listen()
    if dict(known.weights) != state.weights:
        state.weights = dict(known.weights)
        door.touched.update(key for key, row in state.rows.items() if row.told)
    placements, straddling = _place(
        loop, turn, state, policy, door.touched if carried is not None and state.width == 0 else None
    )
    state.places.update((one.id, one) for one in placements)
    state.tests = [one.id for one in placements if one.split == "test"]
    context = door.context(straddling)
    unsettled = {*door.touched, *straddling, *(one.id for one in placements)}
    on_evidence = [rule for rule in rules if rule.on == "evidence"]
    for key in unsettled:
        if (row := state.rows.get(key)) is not None:
            _settle(key, row, state, context, on_evidence)
    state.fits = made_under
    return _collected(loop, turn, state, names, placements)


def _settle(key: str, row: Row, state: Carried, context: Context, rules: Sequence[Rule]) -> None:
    """Put together what was said of a distinct input, and ask the rules on evidence."""
    row.found = found = _evidence(row, state, context)
    row.hit = None
    for rule in rules:
        hit = rule.check(found, key, context)
        if hit is not None and (found.interaction, reason(rule.name)) not in state.undone:
            row.hit = (reason(rule.name), hit.score, hit.matched)
            break
    if row.hit is None and key not in state.places:  # without a place it could be on both sides
        row.hit = ("straddles", None, context.straddling.get(key))


def _evidence(row: Row, state: Carried, context: Context) -> Evidence:
    where = state.places.get(row.bare.id)
    told = [row.told[id] for _, id in row.members if id in row.told] if row.told else []
    said = [
        s for one in told for s in one.statements
        if s.subject is None or s.subject not in state.deaf or (s.id, listening.REASON) in state.undone
    ]  # fmt: skip
    if context.task == "chat" and len(said) > 1:
        said = list(standing(said, context.weights))
    return replace(
        row.bare, statements=tuple(said), interactions=tuple(id for _, id in row.members),
        group=where.group if where else row.bare.id, split=where.split if where else "train",
        subjects=tuple(sorted({s for one in told for s in one.subjects})) if told else (),
    )  # fmt: skip


def _place(
    loop: str, turn: int, state: Carried, policy: Policy, touched: set[str] | None
) -> tuple[list[Placement], dict[str, str]]:  # fmt: skip
    """Give the rows that have none a place; with what was `touched`, at the cost of these rows alone."""
    some = state.rows.items() if touched is None else [(k, state.rows[k]) for k in touched if k in state.rows]
    rows = sorted(some, key=_number)  # whatever has no place was touched, or straddles
    new = [
        Newcomer(key, row.members[0][1], row.bare.input, _forced(row))
        for key, row in rows if key not in state.places and key not in state.straddling
    ]  # fmt: skip
    if touched is not None:
        twins = _twins(state, [newcomer.id for newcomer in new], touched, policy.near_duplicate)
        placed = beside(loop, turn, state.places, twins, new, golden_share=policy.golden_share)
        state.straddling.update(placed.straddling)
        return placed.placements, {key: twin for key, twin in state.straddling.items() if key in state.rows}
    old = [(state.places[key], row.bare.input) for key, row in rows if key in state.places]
    placed = place(loop, turn, old, new, threshold=policy.near_duplicate, golden_share=policy.golden_share)
    return placed.placements, placed.straddling


def _twins(state: Carried, new: list[str], touched: set[str], threshold: float) -> dict[str, list[str]]:
    """Which earlier texts each new one is a near-duplicate of, from the index of all of them, which takes them in."""
    index, rows = state.near, state.rows
    if index is None or index.threshold != threshold:
        index = state.near = Index(threshold)
    place = {key: n for n, key in enumerate(new)}
    # What came back has a place already, and may be new to the index.
    there = [key for key in (touched if len(index) else rows) if key in rows and key not in place]

    def text(key: str) -> str | None:
        return (text_of(rows[key].bare.input) or "") if key in rows else None

    def order(key: str) -> tuple[bool, int]:
        return key in place, rows[key].members[0][0]

    keys = [*sorted(there, key=order), *new]
    added = index.add(
        keys, [text(key) or "" for key in keys], lambda at: [text(key) for key in index.fingerprints(at)]
    )  # fmt: skip
    at = np.unique(added.pairs)
    name = dict(zip(at.tolist(), index.fingerprints(at), strict=True))
    alike = {tuple(pair) for pair in added.pairs[added.similarity == 1.0].tolist()}
    twins: dict[str, list[str]] = {}
    for i, j in added.pairs.tolist():  # sorted: the twins of i are known when j asks for them
        if name[i] in rows and name[j] in place:
            twins.setdefault(name[j], []).append(name[i])
        if (i, j) in alike:  # the index looks for the neighbours of the first of those with the same grams alone
            twins.setdefault(name[j], []).extend(twins.get(name[i], ()))
    return {key: sorted(set(near), key=order) for key, near in twins.items() if key in place}


def _forced(row: Row) -> Split | None:
    splits = [told.split for _, id in row.members if (told := row.told.get(id)) is not None and told.split is not None]
    return splits[-1] if splits else None


def _number(item: tuple[str, Row]) -> int:
    return item[1].members[0][0]


def _collected(
    loop: str, turn: int, state: Carried, names: Sequence[str], placements: list[Placement]
) -> Funnel:  # fmt: skip
    """Everything that is kept, in the order in which it came."""
    out = Funnel([], [], [], [], placements, state.seen, ())
    counts = dict.fromkeys((reason(name) for name in names), 0)
    undoubled = DUPLICATE in names

    def drop(id: str, why: Raw) -> Drop:
        return Drop(id=id, loop=loop, turn=turn, stage="curate", reason=why[0], score=why[1], matched=why[2])

    at_door = [(left.number, id, left.why) for id, left in state.left.items()]
    late: list[Drop] = []
    for row in sorted(state.rows.values(), key=lambda row: row.members[0][0]):
        first = row.members[0][1]
        if undoubled and len(row.members) > 1:
            at_door += [(n, id, ("duplicate", 1.0, first)) for n, id in row.members[1:]
                        if (id, "duplicate") not in state.undone]  # fmt: skip
        found = row.found
        assert found is not None
        if row.hit is None:
            (out.evidence if any(s.kind != "refuted" for s in found.statements) else out.pool).append(found)
            continue
        counts[row.hit[0]] = counts.get(row.hit[0], 0) + 1
        if row.hit[0] == "no_signal":
            out.pool.append(found)  # its drop is written once labelling has passed it by
        else:
            late.append(drop(first, row.hit))
            if row.hit[0] == "contradicted":
                out.contested.append(found)
    for _, id, why in sorted(at_door):
        counts[why[0]] += 1
        out.drops.append(drop(id, why))
    out.drops.extend(late)
    out.drops.extend(
        drop(id, why) for who, why in sorted(state.deaf.items()) for id in sorted(state.clicks[who])
        if (id, why[0]) not in state.undone
    )  # fmt: skip
    return out._replace(waterfall=tuple(counts.items()))

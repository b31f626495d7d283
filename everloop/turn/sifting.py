"""What a turn's steps stand on: the funnel over what came in, its drops as they are kept, and the last guards before a
dataset version."""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from everloop import curate, label, reading
from everloop.curate.repeats import without_repeats
from everloop.features.vector_cache import VectorCache
from everloop.store import Store
from everloop.turn import keeping
from everloop.turn.believing import weights_of
from everloop.turn.workbench import Workbench
from everloop.types import Annotation, Drop, Example, FeedbackFields, Interaction, Lease, LoopSpec, Placement, Turn

_BATCH = 2_000  # rows whose feedback is looked up at a time
_Written = tuple[str, str, str | None]  # of a drop: stage, reason, what it matched
_NOTHING: _Written = "", "", None


class _News(NamedTuple):
    """What the funnel is to read: everything, or what came since."""

    known: curate.Known
    rows: Iterable[Interaction]
    again: Iterable[Interaction]
    upto: dict[str, int]
    none: bool  # whether there is nothing to read, and nothing was decided meanwhile


def funnel_of(bench: Workbench, spec: LoopSpec, turn: Turn) -> curate.Funnel:
    """The funnel over everything up to the turn's cut; what people annotated since counts too.

    It costs what is new since the last time, as far as `keeping` still has what it made of the rest.
    """
    kept = keeping.taken(bench, spec, turn.cut)
    carried = kept.carried
    news = _everything(bench.store, spec, turn) if not carried.upto else _since(bench.store, spec, turn, carried)
    told: tuple[Any, curate.Funnel] | None = bench.memory.pop("funnel", None)
    if news.none and told is not None and told[0] == (turn.id, id(carried)):
        funnel = told[1]._replace(placements=[])
    else:
        del told
        funnel = curate.run(
            spec.name, turn.number, news.rows, news.known, spec.policy, carried=carried, again=news.again
        )
        cache: VectorCache = bench.remember("vectors", spec.name, VectorCache)
        funnel = without_repeats(
            funnel, spec, turn.number, vectors=cache.vectors, label_of=lambda row: label.target_of(row)[0],
            undone=carried.undone,
        )  # fmt: skip
    carried.upto = news.upto
    keeping.hand_back(bench, spec, kept)
    bench.memory["funnel"] = ((turn.id, id(carried)), funnel)
    return funnel


def _everything(store: Store, spec: LoopSpec, turn: Turn) -> _News:
    records, loop = store.records, spec.name
    upto = _heads(store, turn)
    said = _by_interaction(records.scan(FeedbackFields, loop, upto=upto["feedback"]))
    notes = _by_interaction(records.scan(Annotation, loop, upto=upto["annotations"]))
    places = {p.id: p for batch in records.scan(Placement, loop, upto=upto["placements"]) for _, p in batch}
    known = curate.Known(
        said, notes, places, _undone(store, loop), frozenset(spec.labels), spec.task, _weights(store, spec)
    )
    rows = (it for batch in records.scan(Interaction, loop, upto=upto["interactions"]) for _, it in batch)
    return _News(known, rows, (), upto, none=False)


def _weights(store: Store, spec: LoopSpec) -> Mapping[str, float]:
    """How far each person's word goes where words contradict each other: only the answers of a chat are weighed so."""
    return weights_of(store, spec.name) if spec.task == "chat" else {}


def _since(store: Store, spec: LoopSpec, turn: Turn, carried: curate.Carried) -> _News:
    records, loop = store.records, spec.name
    upto, after = _heads(store, turn), carried.upto
    logs: tuple[tuple[Any, str], ...] = ((FeedbackFields, "feedback"), (Annotation, "annotations"))
    said: dict[str, list[Any]] = {}
    notes: dict[str, list[Any]] = {}

    def filled(ids: Sequence[str]) -> None:  # what is said is looked up as the rows go by, and not held for all of them
        said.clear()
        notes.clear()
        for (kind, log), into in zip(logs, (said, notes), strict=True):
            for one in records.find(kind, loop, interaction=ids, position=range(upto[log] + 1)):
                into.setdefault(one.interaction, []).append(one)

    def rows() -> Iterator[Interaction]:
        scan = records.scan(Interaction, loop, after=after["interactions"], upto=upto["interactions"], batch=_BATCH)
        for batch in scan:
            filled([it.id for _, it in batch])
            yield from (it for _, it in batch)

    def again() -> Iterator[Interaction]:
        ids = sorted(about)
        for at in range(0, len(ids), _BATCH):
            some, older = ids[at : at + _BATCH], range(after["interactions"] + 1)
            found = records.find(Interaction, loop, id=some, position=older)
            filled([it.id for it in found])
            yield from found

    undone = _undone(store, loop)
    about = {id for id, _ in undone ^ carried.undone}
    for kind, log in logs:
        for batch in records.scan(kind, loop, after=after[log], upto=upto[log]):
            about.update(one.interaction for _, one in batch)
    scan = records.scan(Placement, loop, after=after["placements"], upto=upto["placements"])
    places = {p.id: p for batch in scan for _, p in batch}
    none = not (about or after["interactions"] < upto["interactions"] or carried.tests)
    none = none and all(carried.places.get(id) == place for id, place in places.items())
    known = curate.Known(said, notes, places, undone, frozenset(spec.labels), spec.task,
                         _weights(store, spec))  # fmt: skip
    return _News(known, rows(), again(), upto, none)


def _heads(store: Store, turn: Turn) -> dict[str, int]:
    """How far in each log is read: up to the turn's cut, or to the end as it is now."""
    records, loop = store.records, turn.loop
    return {
        "interactions": turn.cut["interactions"], "feedback": turn.cut["feedback"],
        "annotations": records.head(Annotation, loop), "placements": records.head(Placement, loop),
    }  # fmt: skip


def _undone(store: Store, loop: str) -> frozenset[tuple[str, str]]:
    """(interaction, reason) of all that people took back, also where something else leaves it out by now."""
    return frozenset((d.id, why) for d in store.records.find(Drop, loop, taken_back=True) for why in _back(d))


def _by_interaction(batches: Iterator[list[tuple[int, Any]]]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for batch in batches:
        for _, item in batch:
            found.setdefault(item.interaction, []).append(item)
    return found


def changed_drops(bench: Workbench, turn: Turn, wanted: Sequence[Drop], lease: Lease, stages: set[str]) -> list[Drop]:
    """Those of `wanted` that differ from what is written; drops of `stages` that no longer hold are removed.

    What is written is remembered from the step before that wrote drops, and only where something differs is it read.
    """
    records, loop = bench.store.records, turn.loop
    want = {d.id: d for d in wanted}
    written = _written(bench, turn, "curate" if "label" in stages else None)
    if written is None:
        there = {d.id: d for batch in records.scan(Drop, loop) for _, d in batch}
        written = {}
    else:
        ids = [d.id for d in want.values() if written.get(d.id, _NOTHING)[1:] != (d.reason, d.matched)]
        ids += [id for id, (stage, _, _) in written.items() if stage in stages and id not in want]
        ids += [d.id for d in records.find(Drop, loop, undone=True) if d.id in written]
        there = {}
        for at in range(0, len(ids), _BATCH):
            there.update((d.id, d) for d in records.find(Drop, loop, id=ids[at : at + _BATCH]))
        for id in ids:
            written.pop(id, None)
    over = [d for d in there.values() if d.stage in stages and d.id not in want and not d.undone]
    stale = [d.id for d in over if not d.back]
    if stale:
        records.delete(Drop, stale, fence=lease)
    asked = want.values() if not written else [d for d in want.values() if d.id not in written]
    changed = [_over(there.get(d.id), d) for d in asked if _news(there.get(d.id), d)]
    changed += [_restored(d) for d in over if d.back]
    gone = {d.id for d in over}
    for d in (*(d for d in there.values() if d.id not in gone), *changed):
        if not d.undone:
            written[d.id] = sys.intern(d.stage), sys.intern(d.reason), d.matched
    bench.hand(f"drops:{loop}", (turn.id, "dataset" if "label" in stages else "curate", written))
    return changed


def _news(there: Drop | None, wanted: Drop) -> bool:
    if there is None or there.undone:  # what was taken back while the turn was at it stays so
        return there is None or there.reason != wanted.reason
    return (there.reason, there.matched) != (wanted.reason, wanted.matched)


def _back(drop: Drop) -> tuple[str, ...]:
    return (*drop.back, drop.reason) if drop.undone else drop.back


def _over(there: Drop | None, wanted: Drop) -> Drop:
    """In the place of what is there, of which it must not be forgotten that somebody took it back."""
    return wanted if there is None else msgspec.structs.replace(wanted, back=_back(there))


def _restored(drop: Drop) -> Drop:
    """Nothing leaves it out any more: what was taken back last, as it was."""
    *back, last = drop.back
    return msgspec.structs.replace(
        drop, stage="curate", reason=last, score=None, matched=None, undone=True, back=tuple(back)
    )


def _written(bench: Workbench, turn: Turn, after: str | None) -> dict[str, _Written] | None:
    """Drops by id as they are written, without those taken back; None: nobody here was the last to write any."""
    of, step, written = bench.take(f"drops:{turn.loop}") or ("", "", None)
    if after is not None:
        return written if (of, step) == (turn.id, after) else None
    before = bench.store.records.find(Turn, turn.loop, number=turn.number - 1, limit=1)
    return written if before and (of, step) == (before[0].id, "dataset") else None


def without_leaks(examples: Sequence[Example], turn: Turn, threshold: float) -> tuple[list[Example], list[Drop]]:
    """The last guard: whatever curation did, no near-duplicate of a golden row enters training."""
    golden = [e for e in examples if e.split == "golden"]
    training = [e for e in examples if e.split == "train"]
    twins = curate.twins_between([e.input for e in golden], [e.input for e in training], threshold)
    drops = [
        Drop(id=training[j].evidence[0], loop=turn.loop, turn=turn.number, stage="label", reason="golden_twin",
             matched=golden[i].evidence[0])
        for j, i in sorted(twins.items())
    ]  # fmt: skip
    gone = {training[j].id for j in twins}
    return [e for e in examples if e.id not in gone], drops


def without_edited_out(store: Store, turn: Turn, examples: list[Example]) -> tuple[list[Example], list[Drop]]:
    """What a person took out of the dataset stays out, until somebody takes that back."""
    out = {d.id: d for d in store.records.find(Drop, turn.loop, reason=reading.EDITED_OUT) if not d.undone}
    hit = {e.id: out[e.evidence[0]] for e in examples if out and e.evidence and e.evidence[0] in out}
    return [e for e in examples if e.id not in hit], list(hit.values())


def waterfall(funnel: curate.Funnel, more: Sequence[Drop]) -> list[list[Any]]:
    """(reason, interactions) with the rows that labelling passed by, in place of curation's provisional count."""
    counts = {reason: n for reason, n in funnel.waterfall if reason != "no_signal"}
    for drop in more:
        counts[drop.reason] = counts.get(drop.reason, 0) + 1
    return [[reason, n] for reason, n in counts.items()]


def newer(store: Store, kind: type[msgspec.Struct], loop: str, position: int) -> int:
    """How many records of a kind a log holds after a position."""
    return sum(len(batch) for batch in store.records.scan(kind, loop, after=position))

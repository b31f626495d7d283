"""What a turn's steps stand on: the funnel over what came in, its drops as they are kept, and the last guards before a
dataset version."""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from everloop import curate, reading
from everloop.store import Store
from everloop.types import Annotation, Drop, Example, FeedbackFields, Interaction, Lease, LoopSpec, Placement, Turn
from everloop.workbench import Workbench


def funnel_of(bench: Workbench, spec: LoopSpec, turn: Turn) -> curate.Funnel:
    """The funnel over everything up to the turn's cut; what people annotated since counts too."""
    records, loop = bench.store.records, spec.name

    def make() -> curate.Funnel:
        said = _by_interaction(records.scan(FeedbackFields, loop, upto=turn.cut["feedback"]))
        notes = _by_interaction(records.scan(Annotation, loop))
        places = {p.id: p for batch in records.scan(Placement, loop) for _, p in batch}
        undone = frozenset((d.id, d.reason) for batch in records.scan(Drop, loop) for _, d in batch if d.undone)
        known = curate.Known(said, notes, places, undone, frozenset(spec.labels), spec.task)
        rows = (it for batch in records.scan(Interaction, loop, upto=turn.cut["interactions"]) for _, it in batch)
        return curate.run(loop, turn.number, rows, known, spec.policy)

    placed = "curate" in {step.name for step in turn.steps}
    # What the turn reads only ever shrinks, when a person is erased: what was remembered of them must go too.
    there = [records.count(Annotation, loop), records.head(Annotation, loop)]
    for kind, log in ((Interaction, "interactions"), (FeedbackFields, "feedback")):
        there.append(records.count(kind, loop) - newer(bench.store, kind, loop, turn.cut[log]))
    funnel: curate.Funnel = bench.remember("funnel", (turn.id, placed, there), make)
    return funnel


def _by_interaction(batches: Iterator[list[tuple[int, Any]]]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for batch in batches:
        for _, item in batch:
            found.setdefault(item.interaction, []).append(item)
    return found


def changed_drops(bench: Workbench, loop: str, wanted: Sequence[Drop], lease: Lease, stages: set[str]) -> list[Drop]:
    """Those of `wanted` that differ from what is written; drops of `stages` that no longer hold are removed."""
    records = bench.store.records
    there = {d.id: d for batch in records.scan(Drop, loop) for _, d in batch}
    keep = {d.id for d in wanted}
    stale = [d.id for d in there.values() if d.stage in stages and d.id not in keep and not d.undone]
    if stale:
        records.delete(Drop, stale, fence=lease)
    return [d for d in wanted if _reason(there.get(d.id)) != (d.reason, d.matched)]


def _reason(drop: Drop | None) -> tuple[str, str | None] | None:
    return None if drop is None or drop.undone else (drop.reason, drop.matched)


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

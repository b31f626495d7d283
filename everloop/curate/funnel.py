"""The funnel: interactions in, evidence out, and a drop with its reason for each thing left out."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from everloop import registry
from everloop.curate.inputs import fingerprint
from everloop.curate.placing import Newcomer, place
from everloop.curate.rules import CONSENT, DEFAULT_ORDER, Context, Rule, reason
from everloop.curate.statements import statements
from everloop.types import Annotation, Drop, Evidence, Feedback, Interaction, Label, Placement, Policy, Split, Statement


class Known(NamedTuple):
    """What the store knows beside the interactions themselves."""

    feedback: Mapping[str, Sequence[Feedback]]  # by interaction
    annotations: Mapping[str, Sequence[Annotation]]  # by interaction
    placements: Mapping[str, Placement]  # by fingerprint
    undone: frozenset[tuple[str, str]] = frozenset()  # (interaction, reason) a person took back
    labels: frozenset[str] = frozenset()  # the closed set; what argues for another label is not heard. Empty: any


class Funnel(NamedTuple):
    """What came out."""

    evidence: list[Evidence]  # somebody said what is right
    pool: list[Evidence]  # usable, but nobody did: to be reviewed or labelled by the machine
    contested: list[Evidence]  # dropped as contradicted: a person can settle it
    drops: list[Drop]
    placements: list[Placement]  # new ones
    seen: int  # interactions looked at
    waterfall: tuple[tuple[str, int], ...]  # (reason, interactions dropped) in the order of the rules


class _Row(NamedTuple):
    first: Interaction
    interactions: list[str]
    said: list[Statement]
    subjects: list[str]


def run(loop: str, turn: int, interactions: Iterable[Interaction], known: Known, policy: Policy) -> Funnel:
    """Send `interactions`, oldest first, through the rules of `policy`.

    The result depends on the arguments alone. Raises InvalidInput for a rule nobody registered.
    """
    names = policy.rules or DEFAULT_ORDER
    if CONSENT not in names:  # the order is configuration; whether people are asked is not
        names = (CONSENT, *names)
    rules: list[Rule] = [registry.find("rule", name) for name in names]
    at_door = [rule for rule in rules if rule.on == "interaction"]
    counts = dict.fromkeys((reason(rule.name) for rule in rules), 0)
    drops: list[Drop] = []
    rows: dict[str, _Row] = {}
    forced: dict[str, Split] = {}
    first: dict[str, str] = {}
    sealed = frozenset(id for id, placement in known.placements.items() if placement.split == "test")
    context = Context(first, sealed, {}, None)
    seen = 0
    for it in interactions:
        seen += 1
        key = fingerprint(it.input)
        dropped = _first_hit(at_door, it, key, context, known.undone, it.id)
        if dropped is not None:
            counts[dropped[0]] += 1
            drops.append(_drop(loop, turn, it.id, *dropped))
            if dropped[0] != "duplicate":
                continue
        if context.width is None:
            context = context._replace(width=len(it.input) if isinstance(it.input, list) else 0)
        first.setdefault(key, it.id)
        row = rows.get(key)
        if row is None:
            row = rows[key] = _Row(it, [], [], [])
        row.interactions.append(it.id)
        said = [f for f in known.feedback.get(it.id, ()) if f.consent is None or "improve" in f.consent]
        # Feedback that came before its interaction could not be checked at the door, and a set may be narrowed later.
        heard = statements(it, said, known.annotations.get(it.id, ()))
        row.said.extend(s for s in heard if not known.labels or s.value in known.labels)
        row.subjects.extend(s for s in (it.subject, *(f.subject for f in said)) if s is not None)
        forced.update((key, f.split) for f in said if isinstance(f, Label) and f.split is not None)
    placements, straddling = _place(loop, turn, rows, forced, known.placements, policy)
    context = context._replace(straddling=straddling)
    where = {**known.placements, **{p.id: p for p in placements}}
    out = Funnel([], [], [], drops, placements, seen, ())
    on_evidence = [rule for rule in rules if rule.on == "evidence"]
    for key, row in rows.items():
        found = _evidence(loop, key, row, where.get(key))
        hit = _first_hit(on_evidence, found, key, context, known.undone, found.interaction)
        if hit is None and key not in where:  # whatever the rules say: without a place it could be on both sides
            hit = ("straddles", None, straddling.get(key))
            counts.setdefault("straddles", 0)
        if hit is None:
            (out.evidence if any(s.kind != "refuted" for s in found.statements) else out.pool).append(found)
            continue
        counts[hit[0]] += 1
        if hit[0] == "no_signal":
            out.pool.append(found)  # its drop is written once labelling has passed it by
        else:
            drops.append(_drop(loop, turn, found.interaction, *hit))
            if hit[0] == "contradicted":
                out.contested.append(found)
    return out._replace(waterfall=tuple(counts.items()))


def _first_hit(
    rules: Sequence[Rule], thing: Interaction | Evidence, key: str, context: Context,
    undone: frozenset[tuple[str, str]], id: str,
) -> tuple[str, float | None, str | None] | None:  # fmt: skip
    for rule in rules:
        hit = rule.check(thing, key, context)
        if hit is not None and (id, reason(rule.name)) not in undone:
            return reason(rule.name), hit.score, hit.matched
    return None


def _drop(loop: str, turn: int, id: str, why: str, score: float | None, matched: str | None) -> Drop:
    return Drop(id=id, loop=loop, turn=turn, stage="curate", reason=why, score=score, matched=matched)


def _place(
    loop: str, turn: int, rows: Mapping[str, _Row], forced: Mapping[str, Split],
    placements: Mapping[str, Placement], policy: Policy,
) -> tuple[list[Placement], dict[str, str]]:  # fmt: skip
    old = [(placements[key], row.first.input) for key, row in rows.items() if key in placements]
    new = [Newcomer(key, row.first.id, row.first.input, forced.get(key))
           for key, row in rows.items() if key not in placements]  # fmt: skip
    placed = place(loop, turn, old, new, threshold=policy.near_duplicate, golden_share=policy.golden_share)
    return placed.placements, placed.straddling


def _evidence(loop: str, key: str, row: _Row, where: Placement | None) -> Evidence:
    it = row.first
    return Evidence(
        id=key, loop=loop, input=it.input, interaction=it.id, output=it.output, confidence=it.confidence,
        alternatives=it.alternatives, statements=tuple(row.said), interactions=tuple(row.interactions),
        group=where.group if where else key, split=where.split if where else "train",
        slices=tuple(sorted(f"{k}={v}" for k, v in it.context.items() if isinstance(v, str | int | bool))),
        subjects=tuple(sorted(set(row.subjects))),
    )  # fmt: skip

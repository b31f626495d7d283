"""What can be read of a loop: its turns, its curve, where it stands. Built from rows; nothing here writes."""

from collections.abc import Iterable
from itertools import accumulate
from statistics import median
from typing import Any

from everloop import deploy, remarks
from everloop.curate.drop_audits import doubted
from everloop.errors import NotFound
from everloop.report import Agreement, Alike, Audited, Point, Status, Suspected, TurnReport, VariantUse
from everloop.stats import intervals
from everloop.store import Store
from everloop.types import (
    Annotation,
    FeedbackFields,
    Interaction,
    LoopSpec,
    Model,
    ProposedClass,
    Release,
    Review,
    Thumb,
    Turn,
    Variant,
    Verdict,
)

LABELLING = frozenset({"thumb", "rating", "correction", "label", "demonstration", "intervention"})
_DOING = {  # the steps of a turn, in their order
    "curate": "reading what came in",
    "label": "choosing what to ask people",
    "dataset": "putting the dataset version together",
    "train": "training a candidate",
    "evaluate": "comparing it with the live model",
    "deploy": "deciding whether it goes live",
    "close": "closing the turn",
}
STEPS = tuple(_DOING)
EDITED_OUT = "edited_out"  # the reason of what a person took out of the dataset by hand
VARIANT_ROWS = 500  # interactions by which variants are compared


def sentence(spec: LoopSpec) -> str:
    """The loop's sentence: usage generates X signal, which improves Y capability, which drives Z outcome."""
    signal = f"this signal: {spec.signal}" if spec.signal else "a signal that is not declared"
    drives = f"which moves {spec.outcome} {spec.goal}" if spec.outcome else "and what that drives is not declared"
    return f"Usage generates {signal}; it improves {spec.capability}, {drives}."


def turn_report(store: Store, loop: str, number: int | None = None) -> TurnReport:
    """The report of a turn, by default the newest; NotFound if there is none."""
    where = {} if number is None else {"number": number}
    found = store.records.find(Turn, loop, newest=True, limit=1, **where)
    if not found:
        raise NotFound(f"loop {loop!r} has no turn{'' if number is None else f' {number}'} yet")
    spent = sum(_cost(turn) for turn in store.records.find(Turn, loop) if turn.number <= found[0].number)
    return build(store, found[0], store.records.find(Release, loop), spent)


def turn_reports(store: Store, loop: str) -> list[TurnReport]:
    """Every turn's report, oldest first."""
    releases = store.records.find(Release, loop)
    turns = store.records.find(Turn, loop)
    return [build(store, turn, releases, spent)
            for turn, spent in zip(turns, accumulate(map(_cost, turns)), strict=True)]  # fmt: skip


def _cost(turn: Turn) -> float:
    return sum(step.cost for step in turn.steps)


def build(store: Store, turn: Turn, releases: list[Release], spent: float) -> TurnReport:
    """A turn's report from its own row and those it points to. `spent`: by all turns up to this one."""
    steps = {step.name: step.counts for step in turn.steps}
    curated, made = steps.get("curate", {}), steps.get("dataset", {})
    version = store.datasets.get(made["version"]) if "version" in made else None
    verdicts = store.records.find(Verdict, turn.loop, turn=turn.number)
    models = store.records.find(Model, turn.loop, turn=turn.number)
    led = steps.get("deploy", {}).get("release")
    until = [r for r in releases if turn.ended is None or r.at <= turn.ended]
    live = deploy.live(until)
    certified = made.get("certified", {})
    kept = made.get("examples", 0) + made.get("golden", 0)
    spec = store.records.get(LoopSpec, turn.loop)
    task = spec.task if spec else "classify"
    return TurnReport(
        loop=turn.loop, task=task, turn=turn.number, state=turn.state, trigger=turn.trigger, started=turn.started,
        ended=turn.ended, interactions=curated.get("interactions", 0), seen=curated.get("seen", 0),
        feedback=curated.get("feedback", 0), kept=kept,
        dropped={reason: n for reason, n in made.get("waterfall", curated.get("waterfall", ())) if n},
        human_labels=made.get("human_labels", 0),
        agreement=Agreement(**made["agreement"]) if "agreement" in made else None,
        auto_labelled=made.get("auto_labelled", 0),
        auto_error=certified.get("max_error") if certified.get("threshold") is not None else None,
        auto_where=remarks.where(made.get("promise")), auto_needed=certified.get("needed"), audited=_audited(made),
        examples=made.get("examples", 0), golden=made.get("golden", 0), dataset=version.id if version else None,
        dataset_hash=version.hash if version else None, model=models[-1].id if models else None,
        candidates=len(models), verdict=verdicts[-1] if verdicts else None,
        release=next((r for r in releases if r.id == led), None), live=live.model if live else None,
        seconds=round(sum(s.seconds for s in turn.steps), 3), cost=_cost(turn), steps=turn.steps,
        spent=spent, notes=tuple(made.get("notes", ())),
        suspects=_suspected(made), alike=Alike(**curated["meaning"]) if "meaning" in curated else None,
        remarks=remarks.of(steps),
    )  # fmt: skip


def _audited(made: dict[str, Any]) -> Audited | None:
    error, alarms = made.get("audited_error"), made.get("alarms", 0)
    if error is None:
        return Audited(estimate=None, low=None, high=None, n=0, alarms=alarms) if alarms else None
    return Audited(**{name: error[name] for name in ("estimate", "low", "high", "n")}, alarms=alarms)


def _suspected(made: dict[str, Any]) -> Suspected | None:
    told = made.get("suspects")
    if not told or not (told["flagged"] or told["waiting"] or told["right"]):
        return None
    right = told["right"] or {}
    return Suspected(
        flagged=told["flagged"], asked=told["asked"], waiting=told["waiting"], right=right.get("estimate"),
        low=right.get("low"), high=right.get("high"), n=right.get("n", 0),
    )  # fmt: skip


def curve(reports: list[TurnReport]) -> list[Point]:
    """The capability of the model that was live after each turn, where that turn measured it."""
    points: list[Point] = []
    for report in reports:
        verdict = report.verdict
        if verdict is None or verdict.n == 0:
            continue
        went_live = report.release is not None and report.release.stage == "live"
        score = verdict.candidate_score if went_live else verdict.champion_score
        if score is not None:
            points.append(_point(verdict, score, live=went_live))
    return points


def status(store: Store, spec: LoopSpec) -> Status:
    """Where a loop stands now."""
    records, name = store.records, spec.name
    live = deploy.live(records.find(Release, name))
    found = records.find(Turn, name, newest=True, limit=1)
    last = found[0] if found else None
    step = None
    if last is not None and last.state == "open":
        step = next(s for s in STEPS if s not in {done.name for done in last.steps})
    measured = _measured(store, name, live.model if live else None)
    return Status(
        loop=name, task=spec.task, sentence=sentence(spec), live=live.model if live else None,
        live_since=live.at if live else None,
        accuracy=measured.estimate if measured else None, accuracy_low=measured.low if measured else None,
        accuracy_high=measured.high if measured else None, accuracy_n=measured.n if measured else 0,
        interactions=records.count(Interaction, name), feedback=records.tally(FeedbackFields, name, "kind"),
        held=len(records.held()), reviews=records.count(Review, name, state="open"),
        turns=records.count(Turn, name, state="closed"), step=step,
        waiting_for=_waiting(store, spec, last, step), variants=variants(store, spec),
        choosing=remarks.choosing(_gain(store, last)), doubts=doubted(store.records, spec.name),
        proposed_classes=records.count(ProposedClass, name, state="open"),
    )  # fmt: skip


def _gain(store: Store, last: Turn | None) -> dict[str, Any] | None:
    """What the newest turn that came so far measured of choosing."""
    before = store.records.find(Turn, last.loop, number=last.number - 1) if last else []
    for turn in (*before, *([last] if last else []))[::-1]:
        found: dict[str, Any] | None = next((s.counts.get("gain") for s in turn.steps if s.name == "dataset"), None)
        if found:
            return found
    return None


def variants(store: Store, spec: LoopSpec) -> tuple[VariantUse, ...]:
    """How each of a loop's variants did in its newest interactions."""
    if not spec.variants:
        return ()
    seen = store.records.find(Interaction, spec.name, newest=True, limit=VARIANT_ROWS)
    thumbs: dict[str, list[bool]] = {}
    for said in store.records.find(FeedbackFields, interaction=[it.id for it in seen]) if seen else ():
        if isinstance(said, Thumb):
            thumbs.setdefault(said.interaction, []).append(said.value == "up")
    weights = sum(one.weight for one in spec.variants)
    return tuple(_used(one, weights, seen, thumbs, spec.policy.level) for one in spec.variants)


def _used(
    one: Variant, weights: float, seen: list[Interaction], thumbs: dict[str, list[bool]], level: float
) -> VariantUse:  # fmt: skip
    gave = [it for it in seen if it.variant == one.name]
    lost = sum(it.variant != one.name and it.context.get("assigned") == one.name for it in seen)
    said = [up for it in gave for up in thumbs.get(it.id, ())]
    liked = intervals.wilson(sum(said), len(said), level) if said else None
    return VariantUse(
        name=one.name, model=one.model, share=one.weight / weights if weights else 0.0, answers=len(gave),
        failed=lost + sum(it.status != "complete" for it in gave), latency_ms=_middle(it.latency_ms for it in gave),
        first_token_ms=_middle(it.first_token_ms for it in gave if it.first_token_ms is not None),
        cost=sum(it.cost for it in gave), thumbs=len(said), up=liked.estimate if liked else None,
        up_low=liked.low if liked else None, up_high=liked.high if liked else None,
    )  # fmt: skip


def _middle(values: Iterable[float]) -> float | None:
    found = list(values)
    return median(found) if found else None


def _measured(store: Store, loop: str, model: str | None) -> Point | None:
    """The newest measurement of a model on golden rows, as a candidate or as the champion it had become."""
    if model is None:
        return None
    for verdict in reversed(store.records.find(Verdict, loop)):
        score = {verdict.candidate: verdict.candidate_score, verdict.champion: verdict.champion_score}.get(model)
        if score is not None and verdict.n:
            return _point(verdict, score, live=True)
    return None


def _waiting(store: Store, spec: LoopSpec, last: Turn | None, step: str | None) -> str:
    if step is not None:
        return f"turn {last.number if last else 1} is {_DOING[step]}"
    if not spec.policy.trigger_feedback:
        return "a turn by hand" + (", or the clock" if spec.policy.trigger_seconds else "")
    new = usable(store, spec.name, last.cut if last else {}, enough=spec.policy.trigger_feedback)
    if new >= spec.policy.trigger_feedback:
        return "the worker (everloop up), or a turn by hand: enough has come in"
    return f"{spec.policy.trigger_feedback - new:,} more corrections, labels, thumbs or reviews (or a turn by hand)"


def usable(store: Store, loop: str, cut: dict[str, int], enough: int) -> int:
    """Feedback and annotations after `cut` that can start a turn; it stops counting once there are `enough`."""
    count = 0
    for kind, log in ((FeedbackFields, "feedback"), (Annotation, "annotations")):
        for batch in store.records.scan(kind, loop, after=cut.get(log, 0), batch=1_000):
            count += sum(not isinstance(item, FeedbackFields) or teaches(item) for _, item in batch)
            if count >= enough:
                return count
    return count


def teaches(item: FeedbackFields) -> bool:
    """Whether a piece of feedback can say which label is right."""
    return item.__struct_config__.tag in LABELLING


def _point(verdict: Verdict, score: float, *, live: bool) -> Point:
    interval = intervals.wilson(round(score * verdict.n), verdict.n, verdict.level)
    return Point(turn=verdict.turn, live=live, estimate=score, low=interval.low, high=interval.high, n=verdict.n)

"""The turn, read top to bottom. Derived, not chained: `advance` looks at what the store holds and does the next step.

Every step writes its result and its own mark in one transaction, under a lease whose token fences late writers. A
process may be killed at any instruction; calling `advance` again, anywhere, goes on from the last finished step. This
is the only module that knows all stages.
"""

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from everloop import curate, deploy, evaluate, label, reading, train
from everloop.errors import Conflict
from everloop.ids import new_id, now
from everloop.store import Store
from everloop.turn import attention, doubting, keeping, promising
from everloop.turn.believing import believed
from everloop.turn.discovering import discover, settle
from everloop.turn.opinions import (
    Audits,
    Judged,
    answers,
    audits,
    drawn,
    judge,
    out_of_fold,
    predictor,
    vectors_of,
    with_proposals,
)
from everloop.turn.sifting import changed_drops, funnel_of, newer, waterfall, without_edited_out, without_leaks
from everloop.turn.workbench import Workbench, leased
from everloop.types import (
    Annotation,
    DatasetVersion,
    Example,
    FeedbackFields,
    Interaction,
    Lease,
    LoopSpec,
    Model,
    Ref,
    Release,
    Review,
    Spec,
    Step,
    Turn,
    Verdict,
    WatchedSlice,
)

STEPS = reading.STEPS


class Done(NamedTuple):
    """What a step did: numbers for the report, and the records that make it so."""

    counts: dict[str, Any]
    records: Sequence[msgspec.Struct] = ()
    cost: float = 0.0


def advance(bench: Workbench, spec: LoopSpec, trigger: str | None = None) -> str | None:
    """Do the next step of the loop's turn; its name, or None when there is nothing to do.

    Without an open turn one is opened if `trigger` says "hand", or if enough feedback or time has passed. Raises
    Conflict if another worker holds the loop and `trigger` is given; a worker passing by gets None.
    """
    keeping.tidy(bench, spec.name)
    turn = open_turn(bench.store, spec.name)
    if turn is None and trigger is None:
        trigger = _due(bench, spec)
        if trigger is None:
            return None
    with leased(bench, f"turn:{spec.name}") as lease:
        if lease is None:
            if trigger == "hand":
                raise Conflict(f"another worker is turning loop {spec.name!r}; wait for it, or stop it")
            return None
        turn = open_turn(bench.store, spec.name)
        if turn is None:
            if trigger is None:
                return None
            bench.store.records.replace(_opened(bench.store, spec, trigger), fence=lease)
            return "open"
        name = next(step for step in STEPS if step not in {done.name for done in turn.steps})
        started = time.perf_counter()
        _RUN[name](bench, spec, turn, lease, started)
        return name


def open_turn(store: Store, loop: str) -> Turn | None:
    """The loop's open turn, if there is one."""
    found = store.records.find(Turn, loop, state="open", limit=1)
    return found[0] if found else None


def last_turn(store: Store, loop: str) -> Turn | None:
    """The newest turn, open or closed."""
    found = store.records.find(Turn, loop, newest=True, limit=1)
    return found[0] if found else None


def newest_version(store: Store, loop: str) -> DatasetVersion | None:
    """The newest dataset version of a loop's own line: the head of branch "main", whatever other branches hold."""
    return store.datasets.head(loop)


# --- opening --------------------------------------------------------------------------------------------------------


def _due(bench: Workbench, spec: LoopSpec) -> str | None:
    policy = spec.policy
    last = last_turn(bench.store, spec.name)
    cut = last.cut if last else {}
    new = _counted_on(bench, spec.name, (last.id if last else None), cut)
    if policy.trigger_feedback and new >= policy.trigger_feedback:
        return "feedback"
    clock = policy.trigger_seconds
    # As far from the last one on either side: a clock that was set back must not hold the next turn up.
    if clock and new and (last is None or abs(now() - (last.ended or now())) >= clock * 1000):
        return "schedule"
    return None


def _counted_on(bench: Workbench, loop: str, since: str | None, cut: dict[str, int]) -> int:
    """Usable feedback and annotations since a turn. A worker that looks every second reads each of them once."""
    key = f"due:{loop}"
    if key not in bench.memory or bench.memory[key][0] != since:
        bench.memory[key] = (since, (0, dict(cut)))
    count: int = bench.memory[key][1][0]
    upto: dict[str, int] = bench.memory[key][1][1]
    for kind, log in ((FeedbackFields, "feedback"), (Annotation, "annotations")):
        for batch in bench.store.records.scan(kind, loop, after=upto.get(log, 0)):
            count += sum(not isinstance(item, FeedbackFields) or reading.teaches(item) for _, item in batch)
            upto[log] = batch[-1][0]
    bench.memory[key] = (since, (count, upto))
    return count


def _opened(store: Store, spec: LoopSpec, trigger: str) -> Turn:
    last = last_turn(store, spec.name)
    cut = {
        "interactions": store.records.head(Interaction, spec.name),
        "feedback": store.records.head(FeedbackFields, spec.name),
        "annotations": store.records.head(Annotation, spec.name),
    }
    # Turn 0 is the start from labels somebody brought; turn 1 is the first that learns from use.
    brought = set(store.records.tally(FeedbackFields, spec.name, "kind")) == {"label"}
    return Turn(
        id=new_id(), loop=spec.name, number=last.number + 1 if last else 0 if brought else 1,
        trigger=trigger, cut=cut, started=now(),  # type: ignore[arg-type]
    )  # fmt: skip


# --- the steps ------------------------------------------------------------------------------------------------------


def _curate(bench: Workbench, spec: LoopSpec, turn: Turn, lease: Lease, started: float) -> None:
    """Send everything up to the turn's cut through the funnel; write places and drops."""
    funnel = funnel_of(bench, spec, turn)
    before = next(iter(bench.store.records.find(Turn, spec.name, number=turn.number - 1)), None)
    counts = {
        "interactions": _span(bench.store, Interaction, spec.name, before, turn, "interactions"),
        "feedback": _span(bench.store, FeedbackFields, spec.name, before, turn, "feedback"),
        "seen": funnel.seen,
        "evidence": len(funnel.evidence),
        "pool": len(funnel.pool),
        "waterfall": [[reason, n] for reason, n in funnel.waterfall],
        **curate.alike(funnel),
    }
    drops = changed_drops(bench, turn, funnel.drops, lease, {"curate"})
    _finish(bench, turn, lease, started, "curate", Done(counts, [*funnel.placements, *drops]))


def _label(bench: Workbench, spec: LoopSpec, turn: Turn, lease: Lease, started: float) -> None:
    """Put into the queue what people should look at, with the machine's proposal attached."""
    funnel = funnel_of(bench, spec, turn)
    # What the turn before asked to be looked at again is part of this one's budget.
    again = sum(r.why in attention.AGAIN for r in bench.store.records.find(Review, spec.name, state="open"))
    policy = msgspec.structs.replace(spec.policy, review_budget=max(0, spec.policy.review_budget - again))
    fresh = with_proposals(bench.store, spec.name, funnel.pool)
    asked = _asked(bench.store, spec.name)
    found = discover(bench.store.records, spec, turn.number, funnel.evidence, fresh, vectors_of)
    room, policy = found.room(policy, asked)
    drift = attention.inputs(bench.store, spec, turn, fresh, funnel.evidence)
    weak = attention.weak(bench.store, spec, fresh)
    wanted = label.ask(
        funnel.evidence, weak.rows, funnel.contested, asked=asked, policy=policy,
        vectors=vectors_of, slices=weak.floors, labels=attention.labelled(funnel.evidence),
        rng=np.random.default_rng([turn.number, *spec.name.encode()]),  # a step that is done again draws the same
    )  # fmt: skip
    wanted = [*found.bring(wanted, room, asked), *wanted]
    reviews = [attention.review(turn, want, want.evidence.output, want.evidence.confidence) for want in wanted]
    why = {name: sum(r.why == name for r in reviews) for name in ("golden", "disputed", "uncertain", "random", "novel")}
    # What is learned from the random rows is weighed by the chance they had.
    propensity = next((want.propensity for want in wanted if want.propensity is not None), None)
    counts = {"asked": len(reviews), **why, "random_propensity": propensity, "inputs": drift, "floors": weak.floors}
    with leased(bench, evidence_lease(spec.name)) as alone:
        if alone is None:
            return  # somebody is being erased: it goes again without them
        classes = settle(bench.store.records, spec.name, found, lease, [review.interaction for review in reviews])
        if classes is None:
            return  # or was
        counts |= {"proposed_classes": len(classes)} if found.looked else {}
        _finish(bench, turn, lease, started, "label", Done(counts, [*funnel.placements, *reviews, *classes]))


def _dataset(bench: Workbench, spec: LoopSpec, turn: Turn, lease: Lease, started: float) -> None:
    """Weigh what people said, label what the machine is sure of, and commit the dataset version."""
    with leased(bench, evidence_lease(spec.name)) as alone:
        if alone is None:
            raise Conflict(f"somebody's data is being erased from loop {spec.name!r}; the turn goes on after it")
        wanted = _commit_dataset(bench, spec, turn, lease, started)
    if wanted:  # sources that cost money are asked where nobody's erasure has to wait for them
        bench.memory["bought"] = (turn.id, label.buy(bench.store.records, turn, wanted, lease))
        _dataset(bench, spec, turn, lease, started)


def evidence_lease(loop: str) -> str:
    """The lease under which evidence becomes a dataset version and a model is written down, and under which a person is
    erased: never both at once, so that an erasure knows everything that learned from them."""
    return f"evidence:{loop}"


def _commit_dataset(
    bench: Workbench, spec: LoopSpec, turn: Turn, lease: Lease, started: float
) -> Sequence[label.Wish]:  # fmt: skip
    """Commit it; unless something is to be bought first: then that comes back, and nothing is done."""
    store = bench.store
    funnel = funnel_of(bench, spec, turn)
    notes = store.records.head(Annotation, spec.name)
    before = next(iter(store.records.find(Turn, spec.name, number=turn.number - 1)), None)
    earlier = (_counted(before, "dataset", "annotations") if before else None) or 0
    told = audits(store, spec)
    whom = believed(store, spec, turn, funnel.evidence)
    judged = judge(
        spec, funnel.evidence, funnel.pool, drawn(store, spec.name, told.since), told.alarms > 0, whom.beliefs,
        store.records, promising.recent(store, spec, turn),
    )  # fmt: skip
    asked, bought = bench.memory.get("bought", ("", []))
    if asked != turn.id:
        if any(wish.open for wish in judged.wanted):
            return judged.wanted
        bought = label.buy(store.records, turn, judged.wanted, lease)  # says why there is nothing to buy
    threshold = judged.promise.threshold() if judged.promise else None
    made = label.assemble(spec.name, turn.number, funnel.evidence, funnel.pool, judged.opinions, spec.policy, threshold,
                          whom.beliefs)  # fmt: skip
    examples, twins = without_leaks(made.examples, turn, spec.policy.near_duplicate)
    examples, edited = without_edited_out(store, turn, examples)
    twins += edited
    drops = changed_drops(bench, turn, [*funnel.drops, *made.drops, *twins], lease, {"curate", "label"})
    parent = newest_version(store, spec.name)
    training = [e for e in examples if e.split == "train"]
    bench.memory.pop("funnel", None)  # the later steps read the dataset version alone
    counts = {
        "annotations": notes, "human_labels": newer(store, Annotation, spec.name, earlier), "examples": len(training),
        "golden": len(examples) - len(training), "auto_labelled": made.automatic, "doubted": made.doubted,
        "waterfall": waterfall(funnel, [*made.drops, *twins]), **_promised(spec, judged, told), **whom.counts,
        "auditing": promising.auditing(spec.policy, made.automatic), "gain": attention.gain(store, spec),
    }  # fmt: skip
    own = {e.id for e in training if e.origin == "auto"}
    checked = promising.audited(spec, counts["auditing"])
    again = doubting.recheck(store.records, checked, turn, judged, [row for row in funnel.pool if row.id in own])
    counts |= again.counts
    recipe = Spec(name="turn.v1", args={"turn": turn.number, "policy": msgspec.to_builtins(spec.policy)})
    id = new_id()
    if bought:
        counts |= {"bought": msgspec.to_builtins(bought), "notes": [*judged.notes, *(b.sentence() for b in bought)]}
    cost = judged.cost + sum(one.cost for one in bought)
    done = _marked(turn, started, "dataset", Done({**counts, "version": id}, cost=cost))
    store.datasets.commit(
        spec.name, examples, id=id, parent=parent.id if parent else None, recipe=recipe, at=now(),
        alongside=[*funnel.placements, *drops, *again.reviews, *whom.reviews, done], fence=lease,
        branch=Ref(id="main", loop=spec.name, kind="branch", version=id, by="turn", at=now()),
    )  # fmt: skip
    bench.settle(written=True)
    return ()


def _train(bench: Workbench, spec: LoopSpec, turn: Turn, lease: Lease, started: float) -> None:
    """Train the candidate from its Spec and the dataset version alone; nothing new to learn, no candidate."""
    store = bench.store
    version = store.datasets.get(_counted(turn, "dataset", "version"))
    assert version is not None
    examples = store.datasets.examples(version.id, "train")
    # The last one learned from: between it and this one an edit may have been merged, which is news to every model.
    last = store.records.find(Model, spec.name, newest=True, limit=1)
    parent = store.datasets.get(last[0].dataset) if last else None
    why = _nothing_to_learn(spec, examples, version, parent)
    if why:
        return _finish(bench, turn, lease, started, "train", Done({"skipped": why}))
    trainer = train.choose([e.input for e in examples]) if spec.trainer.name == "auto" else spec.trainer
    data = train.fitted(train.FitJob(trainer, examples))
    seconds = time.perf_counter() - started
    with leased(bench, evidence_lease(spec.name)) as alone:
        there = store.datasets.get(version.id)
        if alone is None or there is None or there.erased != version.erased:
            return  # somebody was erased meanwhile, and this has learned from them: it was for nothing, and goes again
        model = Model(
            id=new_id(), loop=spec.name, turn=turn.number, spec=trainer, dataset=version.id,
            blob=store.blobs.put(data), size=len(data), classes=train.trainer(trainer).load(data).classes,
            seconds=round(seconds, 3), at=now(),
        )  # fmt: skip
        _finish(bench, turn, lease, started, "train", Done({"model": model.id, "bytes": len(data)}, [model]))


def rebuild(store: Store, model: Model) -> bytes:
    """The bytes of a model, trained again from its Spec and its dataset version: those it had, unless examples were
    erased since."""
    return train.fitted(train.FitJob(model.spec, store.datasets.examples(model.dataset, "train")))


def _evaluate(bench: Workbench, spec: LoopSpec, turn: Turn, lease: Lease, started: float) -> None:
    """Champion against candidate on the golden set, paired, overall and by slice."""
    store = bench.store
    candidate = _candidate(store, spec.name, turn)
    if candidate is None:
        return _finish(bench, turn, lease, started, "evaluate", Done({"skipped": "no candidate"}))
    golden = store.datasets.examples(candidate.dataset, "golden")
    current = deploy.live(store.records.find(Release, spec.name))
    champion = store.records.get(Model, current.model) if current and current.model else None
    inputs = [e.input for e in golden]
    mine = answers(predictor(store, candidate), inputs)
    theirs = answers(predictor(store, champion), inputs) if champion else None
    outside: tuple[NDArray[np.float64], float] | None = None
    if champion is None:
        outside = out_of_fold(candidate, store.datasets.examples(candidate.dataset, "train"))
    watched = store.records.find(WatchedSlice, spec.name)
    slices = evaluate.with_watched(watched, golden, lambda: vectors_of(inputs))
    verdict = evaluate.judge(
        id=new_id(), loop=spec.name, turn=turn.number, candidate=candidate.id,
        champion=champion.id if champion else None, answers=mine, champion_answers=theirs,
        targets=[e.target for e in golden], groups=[e.group for e in golden], slices=slices,
        watched=[one.name for one in watched], strict=spec.policy.watched_strict, margin=spec.policy.margin,
        level=spec.policy.level, out_of_fold=outside, at=now(),
    )  # fmt: skip
    _finish(bench, turn, lease, started, "evaluate", Done({"verdict": verdict.id, "golden": len(golden)}, [verdict]))


def _deploy(bench: Workbench, spec: LoopSpec, turn: Turn, lease: Lease, started: float) -> None:
    """Put the candidate live if its verdict passed and the champion it beat is still the champion."""
    store = bench.store
    verdicts = store.records.find(Verdict, spec.name, turn=turn.number)
    release = deploy.promote(store.records.find(Release, spec.name), verdicts[-1]) if verdicts else None
    done = Done({"release": release.id if release else None}, [release] if release else [])
    _finish(bench, turn, lease, started, "deploy", done)


def _close(bench: Workbench, spec: LoopSpec, turn: Turn, lease: Lease, started: float) -> None:
    keeping.save(bench, spec, lease)
    done = _marked(turn, started, "close", Done({}))
    bench.store.records.replace(msgspec.structs.replace(done, state="closed", ended=now()), fence=lease)
    bench.memory.clear()


_RUN = {"curate": _curate, "label": _label, "dataset": _dataset, "train": _train, "evaluate": _evaluate,
        "deploy": _deploy, "close": _close}  # fmt: skip


def _asked(store: Store, loop: str) -> frozenset[str]:
    """Interactions that are, or have been, in the queue."""
    return frozenset(review.interaction for batch in store.records.scan(Review, loop) for _, review in batch)


def _promised(spec: LoopSpec, judged: Judged, told: Audits) -> dict[str, Any]:
    """What the machine's labels of this version were certified for, and what people have found of earlier ones."""
    found: dict[str, Any] = {"alarms": told.alarms}
    if judged.certified is not None:
        found["certified"] = {"max_error": spec.policy.auto_error, **judged.certified._asdict()}
    if judged.promise is not None:
        found["promise"] = judged.promise.counts()
    if told.state is not None:
        found["audited_error"] = told.state.error._asdict()
    if judged.notes:
        found["notes"] = list(judged.notes)
    return found


def _candidate(store: Store, loop: str, turn: Turn) -> Model | None:
    found = store.records.find(Model, loop, turn=turn.number)
    return found[-1] if found else None


def _nothing_to_learn(
    spec: LoopSpec, examples: Sequence[Example], version: DatasetVersion, parent: DatasetVersion | None
) -> str:
    if spec.task == "chat":
        return "a chat loop is answered by its variants; its dataset version can be exported"
    if len({e.target for e in examples}) < 2:
        return "needs labels of at least two classes"
    if parent is not None and parent.hash == version.hash:
        return "nothing new since the last dataset version"
    return ""


def _span(store: Store, kind: type[msgspec.Struct], loop: str, before: Turn | None, turn: Turn, log: str) -> int:
    start = before.cut.get(log, 0) if before else 0
    return sum(len(batch) for batch in store.records.scan(kind, loop, after=start, upto=turn.cut[log]))


def _counted(turn: Turn, step: str, name: str) -> Any:
    return next((s.counts.get(name) for s in turn.steps if s.name == step), None)


def _marked(turn: Turn, started: float, name: str, done: Done) -> Turn:
    step = Step(
        name=name, seconds=round(time.perf_counter() - started, 3), cost=done.cost, counts=done.counts, at=now()
    )
    return msgspec.structs.replace(turn, steps=(*turn.steps, step))


def _finish(bench: Workbench, turn: Turn, lease: Lease, started: float, name: str, done: Done) -> None:
    bench.store.records.replace(*done.records, _marked(turn, started, name, done), fence=lease)
    bench.settle(written=True)

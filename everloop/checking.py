"""Is it a flywheel? Each arrow of a loop's sentence against the evidence so far: supported, refuted, or not shown."""

import numpy as np
from numpy.typing import NDArray

from everloop.collect.outcomes import counts
from everloop.reading import sentence
from everloop.report import Arrow, Check
from everloop.stats import intervals, paired
from everloop.store import Store
from everloop.turn.opinions import answers, predictor
from everloop.types import (
    Correction,
    Demonstration,
    Example,
    FeedbackFields,
    Interaction,
    Intervention,
    LoopSpec,
    Model,
    Outcome,
    Outcome3,
    Rating,
    Release,
    Thumb,
    Turn,
)

_SAID = (Thumb, Rating, Correction, Demonstration, Intervention)  # what people say in use that can teach
_FEW = 20  # below so many observations nothing is said
_NO_MODEL = "a chat loop is answered by its variants: no model of its own has learned, so there is nothing to compare"


def check(store: Store, spec: LoopSpec) -> Check:
    """The three arrows: usage to signal, signal to capability, capability to outcome."""
    arrows = (_signal(store, spec), _capability(store, spec), _outcome(store, spec))
    shown = [arrow.verdict for arrow in arrows]
    turning = shown[0] == shown[1] == "pass" and shown[2] != "fail" and (shown[2] == "pass" or not spec.outcome)
    if turning:
        summary = "It turns: what people do makes the answers better."
    elif "fail" in shown:
        summary = f"It does not turn: the evidence is against “{arrows[shown.index('fail')].claim}”."
    elif shown[:2] == ["pass", "pass"]:
        summary = "It learns, but nothing shows yet that the outcome moves."
    elif shown[0] == "pass":
        summary = "So far it only accumulates data: signal comes in, but no better model has come of it yet."
    else:
        summary = "So far it only accumulates data: too little signal has come in to learn from."
    return Check(loop=spec.name, sentence=sentence(spec), turning=turning, summary=summary, arrows=arrows)


def _signal(store: Store, spec: LoopSpec) -> Arrow:
    kinds = store.records.tally(FeedbackFields, spec.name, "kind")
    brought = kinds.get("label", 0)  # rows that came with their label are no usage
    seen = max(0, store.records.count(Interaction, spec.name) - brought)
    # An interaction that drew several counts once.
    drew = {id for kind in _SAID for id in store.records.tally(kind, spec.name, "interaction")}
    said = min(seen, len(drew))
    claim = f"usage generates signal: {spec.signal or 'not declared'}"
    if seen < _FEW:
        return Arrow(claim=claim, verdict="inconclusive", n=seen,
                     evidence=f"{seen} interactions so far; {_FEW - seen} more before anything is said")  # fmt: skip
    rate = intervals.wilson(said, seen, spec.policy.level)
    verdict: Outcome3 = "pass" if said >= _FEW else "inconclusive"
    return Arrow(claim=claim, verdict=verdict, estimate=rate.estimate, low=rate.low, high=rate.high, n=seen,
                 evidence=f"{said} of {seen} interactions drew feedback that can teach "
                          f"({rate.estimate:.1%}, {rate.low:.1%} to {rate.high:.1%})")  # fmt: skip


def _capability(store: Store, spec: LoopSpec) -> Arrow:
    claim = f"the signal improves {spec.capability}"
    if spec.task == "chat":
        return Arrow(claim=claim, verdict="inconclusive", evidence=_NO_MODEL)
    went = [r for r in store.records.find(Release, spec.name) if r.stage == "live" and r.model]
    # A loop that started from labels somebody brought began with its first model; another began by abstaining.
    brought = bool(store.records.find(Turn, spec.name, number=0))
    if not went or (brought and len({r.model for r in went}) < 2):
        return Arrow(claim=claim, verdict="inconclusive",
                     evidence="no model has replaced the first one yet")  # fmt: skip
    first, latest = (store.records.get(Model, str(r.model)) for r in (went[0], went[-1]))
    assert first is not None
    assert latest is not None
    newest = store.datasets.head(spec.name)
    golden: list[Example] = store.datasets.examples(newest.id, "golden") if newest else []
    if len(golden) < _FEW:
        return Arrow(claim=claim, verdict="inconclusive", n=len(golden),
                     evidence=f"{len(golden)} golden rows; {_FEW - len(golden)} more are needed")  # fmt: skip
    inputs, targets = [e.input for e in golden], [e.target for e in golden]
    rival = "the first" if brought else "always the same answer"
    new = answers(predictor(store, latest), inputs)
    old = (
        answers(predictor(store, first), inputs)
        if brought
        else [max(sorted(set(targets)), key=targets.count)] * len(inputs)
    )
    right = [np.array([a == t for a, t in zip(given, targets, strict=True)], float) for given in (new, old)]
    gain = paired.compare(right[0], right[1], [e.group for e in golden], level=spec.policy.level)
    verdict: Outcome3 = "pass" if gain.low > 0 else "fail" if gain.high < 0 else "inconclusive"
    return Arrow(claim=claim, verdict=verdict, estimate=gain.estimate, low=gain.low, high=gain.high, n=len(golden),
                 evidence=f"the live model against {rival} on {len(golden)} golden rows: "
                          f"{gain.estimate:+.1%} ({gain.low:+.1%} to {gain.high:+.1%})")  # fmt: skip


def _outcome(store: Store, spec: LoopSpec) -> Arrow:
    claim = f"{spec.capability} moves {spec.outcome} {spec.goal}" if spec.outcome else "no outcome is declared"
    if not spec.outcome:
        return Arrow(claim=claim, verdict="inconclusive", evidence="declare one: outcome=…, goal=up or down")
    if spec.task == "chat":
        kinds = store.records.tally(FeedbackFields, spec.name, "kind")
        n = kinds.get("outcome", 0)
        return Arrow(claim=claim, verdict="inconclusive", n=n, evidence=f"{n} measured; {_NO_MODEL}")
    went = [r.model for r in store.records.find(Release, spec.name) if r.stage == "live" and r.model]
    values: dict[str | None, list[float]] = {}
    for batch in store.records.scan(FeedbackFields, spec.name):
        for _, item in batch:
            if isinstance(item, Outcome) and item.name in ("", spec.outcome):
                it = store.records.get(Interaction, item.interaction)
                if it is not None and not counts(store.records, item, it, spec):
                    continue  # after its window, or a silence that somebody has broken since
                values.setdefault(it.model if it else None, []).append(item.value)
    first = {None, went[0]} if went else {None}
    before = np.array([v for model, seen in values.items() if model in first for v in seen])
    after = np.array(values.get(went[-1], ()) if went and went[-1] not in first else ())
    if min(len(before), len(after)) < _FEW:
        return Arrow(claim=claim, verdict="inconclusive", n=len(before) + len(after),
                     evidence=f"{len(before)} measured under the first model, {len(after)} under the live one; "
                              f"{_FEW} of each are needed")  # fmt: skip
    estimate, low, high = _welch(after, before, spec.policy.level)
    up = spec.goal == "up"
    moved: Outcome3 = "inconclusive"
    if low > 0 or high < 0:
        moved = "pass" if (low > 0) == up else "fail"
    return Arrow(claim=claim, verdict=moved, estimate=estimate, low=low, high=high, n=len(before) + len(after),
                 evidence=f"{spec.outcome} {before.mean():.3g} under the first model, {after.mean():.3g} under the "
                          f"live one: {estimate:+.3g} ({low:+.3g} to {high:+.3g}); before and after, "
                          "not randomised")  # fmt: skip


def _welch(a: NDArray[np.float64], b: NDArray[np.float64], level: float) -> tuple[float, float, float]:
    """Difference of means and its interval, variances not assumed equal (Welch 1947, Biometrika 34:28)."""
    va, vb = a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)
    estimate = float(a.mean() - b.mean())
    if va + vb == 0:
        return estimate, estimate, estimate
    freedom = (va + vb) ** 2 / (va**2 / (len(a) - 1) + vb**2 / (len(b) - 1))
    half = intervals.quantile(level, freedom) * float(np.sqrt(va + vb))
    return estimate, estimate - half, estimate + half

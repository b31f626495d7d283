"""For what the error of the machine's labels is promised, and on which labels of people the promise rests.

For all its labels together or for each group by itself (`Policy.auto_by`); on all rows that were drawn without regard
to what the machine thinks of them, or, once inputs have drifted, on those that came since.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from everloop import deploy, label
from everloop.store import Store
from everloop.types import Evidence, LoopSpec, Placement, Policy, Release, Turn

LATEST = 1_000  # labels a promise rests on after a drift, at most: inputs that drifted once go on drifting
AUDIT_TURNS = 5  # turns within which the report says a broken promise should be heard
_NEW, _OLD = 50, 30  # rows from which the confidences of the new ones and of those that certify are compared
_MATTERS = 0.1  # of two distributions: so much they differ before labels are thrown away for it
_AUDIT_PART = 0.5  # of review_budget, at most, goes to audits that are more than auto_audit


class Inputs(NamedTuple):
    """Whether the inputs are still those whose labels certify; goes from turn to turn in the label step's counts."""

    since: int = 0  # turn in which they drifted: rows that came before certify no more; 0: they have not
    position: int = 0  # of the last placement before that turn
    seen: int = 0  # of the last placement there was
    looks: int = 0  # since then: each may err less than the one before
    found: dict[str, Any] | None = None  # what this turn's look found; None: there was too little to compare


class Promise(NamedTuple):
    """From which confidence on the machine labels which rows."""

    by: str  # "": all together
    certified: label.Certified | None  # of all together, or what can be said of the groups in one; None: not asked for
    labels: int  # of people it rests on
    floors: label.Floors | None = None  # by group
    thresholds: Mapping[str, float] | None = None  # by evidence id, where it is by group

    def threshold(self) -> float | Mapping[str, float] | None:
        """As `label.assemble` takes it."""
        if self.thresholds is not None:
            return self.thresholds
        return None if self.certified is None else self.certified.threshold

    def counts(self) -> dict[str, Any]:
        """For the turn's report. Of small groups only the number: the name of one may say who is in it."""
        certified = self.certified is not None and self.certified.threshold is not None
        found: dict[str, Any] = {"by": self.by, "labels": self.labels, "certified": certified}
        if self.floors is not None:
            alone = sorted(self.floors.groups.items(), key=lambda one: str(one[0]))
            found["groups"] = [{"group": str(name), **one._asdict()} for name, one in alone]
            found["together"] = len(self.floors.pooled)
            rest = self.floors.rest
            found["rest"] = rest._asdict() if rest is not None and rest.threshold is not None else None
        return found


# --- which labels of people count ------------------------------------------------------------------------------------


def inputs(
    store: Store, spec: LoopSpec, turn: Turn, pool: Sequence[Evidence], golden: Sequence[Evidence]
) -> Inputs:  # fmt: skip
    """Compare what the live model makes of the rows that came in this turn with what it makes of those that certify.

    `pool` and `golden`, which people labelled, carry its answers. It has trained on neither: the rows of this turn are
    new, and nobody has been asked about them; golden rows no model learns from. Rows that feedback chose are left out
    on both sides, and near-duplicates of earlier ones. Once inputs have drifted, rows that came before count no more.
    """
    before = next(iter(store.records.find(Turn, spec.name, number=turn.number - 1)), None)
    state = _state(before)._replace(found=None)
    placed = _placed(store, spec.name, state.seen)
    seen = store.records.head(Placement, spec.name)
    state, old = state._replace(seen=seen), state.seen
    live = deploy.live(store.records.find(Release, spec.name))
    if spec.policy.auto_error <= 0 or live is None or live.model is None:
        return state
    certifying = [row for row in golden if _chance_alone(row)]
    if state.since:
        since = _came(store, spec.name, state)
        certifying = [row for row in certifying if row.id in since and _asked(row)]
    fresh = [row for row in pool if placed.get(row.id) == placed.get(row.group) == turn.number and not row.statements]
    new, reference = _sure(fresh), _sure(certifying)
    if len(new) < _NEW or len(reference) < _OLD:
        return state
    looks = state.looks + 1
    shift = label.shift(reference, new, spec.policy.level, looks)
    drifted = shift.shifted and shift.distance >= _MATTERS
    found = {"shifted": drifted, "p": shift.p, "distance": round(shift.distance, 4), "change": round(shift.change, 4),
             "mean": round(float(new.mean()), 4), "n": shift.n, "reference": len(reference), "look": looks}  # fmt: skip
    state = state._replace(looks=looks, found=found)
    return state._replace(since=turn.number, position=old, looks=0) if drifted else state


def recent(store: Store, spec: LoopSpec, turn: Turn) -> dict[str, int] | None:
    """The rows that came since inputs drifted, as this turn's label step knows, by evidence id in the order in which
    they came; None where they have not."""
    state = _state(turn)
    if not state.since:
        return None
    return _came(store, spec.name, state)


def _came(store: Store, loop: str, state: Inputs) -> dict[str, int]:
    """The rows that came since inputs drifted, numbered as they came."""
    placed = _placed(store, loop, state.position)
    return {id: place for place, (id, turn) in enumerate(placed.items()) if turn >= state.since}


def _state(turn: Turn | None) -> Inputs:
    kept = next((s.counts.get("inputs") for s in turn.steps if s.name == "label"), None) if turn else None
    return Inputs(**kept) if kept else Inputs()


def _placed(store: Store, loop: str, after: int) -> dict[str, int]:
    """The turn that placed each row that was placed after a position, in this order."""
    return {p.id: p.turn for batch in store.records.scan(Placement, loop, after=after) for _, p in batch}


def _chance_alone(row: Evidence) -> bool:
    return all(s.kind in ("annotation", "label") for s in row.statements)


def _asked(row: Evidence) -> bool:
    return any(s.kind == "annotation" for s in row.statements)


def _sure(rows: Sequence[Evidence]) -> NDArray[np.float64]:
    """Their confidences, one of each near-duplicate group."""
    first: dict[str, float] = {}
    for row in rows:
        if row.confidence is not None:
            first.setdefault(row.group, row.confidence)
    return np.array(list(first.values()), np.float64)


# --- what is promised ------------------------------------------------------------------------------------------------


def promise(
    policy: Policy, checks: Sequence[Evidence], fresh: Sequence[Evidence], proposed: Sequence[str],
    sure: NDArray[np.float64], right: NDArray[np.bool_], mistaken: float, since: Mapping[str, int] | None = None,
) -> Promise:  # fmt: skip
    """Certify the machine's labels of `fresh` on `checks`, whose labels people know; both in the order of `proposed`
    and `sure`, checks first. `since` holds the rows that came since inputs drifted: of the checks only these count.
    """
    n, sure = len(checks), np.clip(sure, 0, 1)
    stream = sure[n:]
    at = np.arange(n)
    if since is not None:
        came = sorted((since[row.id], i) for i, row in enumerate(checks) if row.id in since)
        at = np.array([i for _, i in came[-LATEST:]], np.int64)
    if policy.auto_error <= 0 or not len(stream):
        return Promise(policy.auto_by, None, len(at))
    if policy.auto_by:
        rows = [*checks, *fresh]
        groups = [group_of(policy.auto_by, row, said) for row, said in zip(rows, proposed, strict=True)]
        at = np.array([i for i in at.tolist() if proposed[i]], np.int64)  # of a row nobody has a proposal for, no group
        new = [i for i in range(n, len(rows)) if proposed[i]]
        return _by_group(policy, [(rows[i].id, groups[i]) for i in new], [groups[i] for i in at.tolist()],
                         sure[at], right[at], sure[new], mistaken)  # fmt: skip
    if since is not None:
        # Golden rows and those of the random arm are drawn by chance alone: each had as good a one as any other then.
        certified = label.recalibrate(sure[at], right[at], np.ones(len(at)), policy.auto_error,
                                      np.random.default_rng(0), level=policy.level, window=LATEST, stream=stream,
                                      mistaken=mistaken)  # fmt: skip
    else:
        certified = label.certify(sure[:n], right, policy.auto_error, policy.level, stream=stream, mistaken=mistaken)
    return Promise("", certified, len(at))


def group_of(by: str, row: Evidence, proposed: str) -> str:
    """The group of a row for which an error is bounded by itself: known before anybody labels it.

    >>> row = Evidence(id="1", loop="l", input="x", interaction="i", group="g", split="train", slices=("lang=de",))
    >>> group_of("class", row, "late"), group_of("slice:lang", row, "late"), group_of("slice:web", row, "late")
    ('late', 'lang=de', 'without web')
    """
    if by == "class":
        return proposed
    key = by.removeprefix("slice:")
    return " & ".join(sorted(term for term in row.slices if term.startswith(f"{key}="))) or f"without {key}"


def _by_group(
    policy: Policy, fresh: Sequence[tuple[str, str]], of_checks: Sequence[str],
    sure: NDArray[np.float64], right: NDArray[np.bool_], stream: NDArray[np.float64], mistaken: float,
) -> Promise:  # fmt: skip
    floors = label.certify_groups(sure, right, of_checks, policy.auto_error, policy.level, stream=stream,
                                  stream_groups=[group for _, group in fresh], mistaken=mistaken)  # fmt: skip
    limits = {group: floors.threshold(group) for _, group in fresh}
    thresholds = {id: at for id, group in fresh if (at := limits[group]) is not None}
    above = [s >= thresholds[id] for (id, _), s in zip(fresh, stream.tolist(), strict=True) if id in thresholds]
    some = [one for one in (*floors.groups.values(), floors.rest) if one is not None]
    held = [one for one in some if one.threshold is not None]
    needed = [one.needed for one in some if one.needed is not None]
    certified = label.Certified(
        min((one.threshold for one in held if one.threshold is not None), default=None),
        sum(above) / max(1, len(stream)),
        max((one.bound for one in held), default=1.0), sum(one.n for one in held), sum(one.errors for one in held),
        "auto-labelled part", None if held else min(needed, default=None),
    )  # fmt: skip
    return Promise(policy.auto_by, certified, len(sure), floors, thresholds)


# --- how it is kept honest -------------------------------------------------------------------------------------------


def auditing(policy: Policy, labels: int) -> dict[str, int | None] | None:
    """How many of `labels` automatic labels are audited in this turn, how soon that hears a broken promise, and how
    many would hear it within `auto_notice` turns (0: within 5); None where there is nothing to audit.

    `auto_audit` is the least; only `auto_notice` makes it more, and never more than half of review_budget.
    """
    if policy.auto_error <= 0 or not labels:
        return None
    turns = policy.auto_notice or AUDIT_TURNS
    needed = label.audits_for(policy.auto_error, labels, turns)
    most = max(min(policy.auto_audit, policy.review_budget), int(policy.review_budget * _AUDIT_PART))
    audits = min(labels, policy.review_budget, policy.auto_audit)
    if policy.auto_notice:
        audits = max(audits, min(needed, most))
    heard = label.turns_until_heard(policy.auto_error, labels, audits)
    return {"audits": audits, "heard_within": heard, "turns": turns, "needed": needed, "most": most}


def audited(spec: LoopSpec, counts: Mapping[str, int | None] | None) -> LoopSpec:
    """The loop with as many audits as `auditing` found."""
    audits = counts["audits"] if counts else None
    if audits is None or audits <= spec.policy.auto_audit:
        return spec
    return msgspec.structs.replace(spec, policy=msgspec.structs.replace(spec.policy, auto_audit=audits))

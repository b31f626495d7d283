"""Where people's minutes go first, and what choosing where brings, measured."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from everloop import deploy, evaluate, label
from everloop.ids import new_id, now
from everloop.stats import intervals
from everloop.stats.multiplicity import simultaneous
from everloop.store import Store
from everloop.turn import promising
from everloop.turn.opinions import answers, predictor, vectors_of, with_proposals
from everloop.types import Annotation, Evidence, LoopSpec, Model, Policy, Release, Review, Turn, Verdict, WatchedSlice

_PART = 0.25  # of the reviews of untouched rows, at most, goes to weak slices first
_LEAST, _MOST = 2, 5  # rows a weak slice gets in a turn
_COMPETE = 10_000  # untouched rows that compete, newest last


AGAIN = ("suspect", "audit")  # reviews of what is labelled already


def review(turn: Turn, want: label.Wanted, proposal: str | None, confidence: float | None) -> Review:
    """The piece of work that asks a person about a row, with what the machine would say."""
    return Review(
        id=new_id(), loop=turn.loop, turn=turn.number, interaction=want.evidence.interaction,
        input=want.evidence.input, why=want.why, proposal=proposal, confidence=confidence, priority=want.priority,
        at=now(),
    )  # fmt: skip


class Weak(NamedTuple):
    """The weak parts of the traffic, and the rows that are in them."""

    rows: list[Evidence]  # as they were, the names of watched slices among their slices
    floors: dict[str, int]  # rows of each slice to ask about first, the weakest first


def weak(store: Store, spec: LoopSpec, rows: Sequence[Evidence]) -> Weak:
    """The slices in which the live model is worse than on the whole, by golden rows, and a floor of rows for each.

    A watched slice (`WatchedSlice`) counts where its share of right answers is lower, or too few golden rows are in it
    to say; one of the newest verdict only where that is beyond doubt, or where the candidate lost. `rows` carry the
    live model's answers: of an unlabelled row that is what "label=" of a watched slice can mean.
    """
    watched = store.records.find(WatchedSlice, spec.name)
    verdicts = store.records.find(Verdict, spec.name, newest=True, limit=1)
    judged = {s.slice: s.outcome for s in verdicts[0].slices} if verdicts else {}
    live = deploy.live(store.records.find(Release, spec.name))
    model = store.records.get(Model, live.model) if live and live.model else None
    version = store.datasets.head(spec.name)
    if not (watched or judged) or model is None or version is None:
        return Weak(list(rows), {})
    golden = store.datasets.examples(version.id, "golden")
    inputs = [e.input for e in golden]
    slices = evaluate.with_watched(watched, golden, lambda: vectors_of(inputs))
    said = answers(predictor(store, model), inputs)
    right = np.array([a == e.target for a, e in zip(said, golden, strict=True)], bool)
    whole = float(right.mean()) if len(right) else 1.0
    names = list(dict.fromkeys([*(one.name for one in watched), *judged]))
    level = simultaneous(spec.policy.level, max(1, len(judged)))
    mine = {one.name for one in watched}
    found: list[tuple[float, str]] = []
    for name in names:
        some = right[np.array([name in row for row in slices], bool)] if len(right) else right
        share = float(some.mean()) if len(some) else 0.0
        if name in mine:
            counts = len(some) < evaluate.WATCHED or share < whole
        else:
            counts = judged[name] == "fail" or (
                len(some) > 0 and intervals.wilson(int(some.sum()), len(some), level).high < whole
            )
        if counts:
            found.append((share, name))
    floors = _floors([name for _, name in sorted(found)], spec.policy)
    return Weak(_inside(watched, rows) if floors else list(rows), floors)


def _floors(names: Sequence[str], policy: Policy) -> dict[str, int]:
    part = int(_PART * min(policy.review_fresh, policy.review_budget))
    if not names or not part:
        return {}
    each = min(part, _MOST, max(_LEAST, part // len(names)))
    return dict.fromkeys(names[: part // each], each)


def _inside(watched: Sequence[WatchedSlice], rows: Sequence[Evidence]) -> list[Evidence]:
    older, newest = list(rows[:-_COMPETE]), list(rows[-_COMPETE:])
    inputs = [row.input for row in newest]
    terms = [(*row.slices, f"label={row.output}") for row in newest]
    for one, inside in zip(watched, evaluate.members(watched, terms, evaluate.space_of(inputs),
                                                     lambda: vectors_of(inputs)), strict=True):  # fmt: skip
        for i in np.flatnonzero(inside).tolist():
            if one.name not in newest[i].slices:
                newest[i] = msgspec.structs.replace(newest[i], slices=(*newest[i].slices, one.name))
    return older + newest


def inputs(
    store: Store, spec: LoopSpec, turn: Turn, pool: Sequence[Evidence], evidence: Sequence[Evidence]
) -> dict[str, Any]:  # fmt: skip
    """`promising.inputs` on the golden rows of `evidence`, as a step's counts hold it; `pool` carries the live model's
    answers."""
    golden = [row for row in evidence if row.split == "golden"][-_COMPETE:]
    return promising.inputs(store, spec, turn, pool, with_proposals(store, spec.name, golden))._asdict()


def labelled(evidence: Sequence[Evidence]) -> dict[str, int]:
    """How many rows people have labelled of each class, by its name."""
    counts = Counter(label.target_of(row)[0] for row in evidence if row.split == "train")
    return {name: counts[name] for name in sorted(counts)}


def gain(store: Store, spec: LoopSpec) -> dict[str, Any] | None:
    """How much oftener a chosen row's proposal was wrong than a random one's, over all turns so far; None where neither
    arm, or only one, has been answered.

    Turns differ in how they share the rows between the arms, and the model gets better from one to the next: a random
    row stands for as many chosen ones of its own turn as there are of them for each. A turn in which only one arm was
    answered says nothing.
    """
    if spec.task == "chat":
        return None  # free text has no proposal that could be wrong
    done = [r for r in store.records.find(Review, spec.name, state="done")
            if r.why in ("random", "uncertain") and r.proposal is not None]  # fmt: skip
    notes = store.records.find(Annotation, spec.name, review=[r.id for r in done]) if done else []
    said = {note.review: note.value for note in notes}
    wrong: dict[int, dict[str, list[bool]]] = {}
    for review in done:
        if review.id in said:
            arms = wrong.setdefault(review.turn, {"random": [], "uncertain": []})
            arms[review.why].append(said[review.id] != review.proposal)
    both = [arms for _, arms in sorted(wrong.items()) if arms["random"] and arms["uncertain"]]
    if not both:
        return None
    found = label.gain(
        [bad for arms in both for bad in arms["random"]], [bad for arms in both for bad in arms["uncertain"]],
        spec.policy.level,
        weights=[len(arms["uncertain"]) / len(arms["random"]) for arms in both for _ in arms["random"]],
    )  # fmt: skip
    return {"random": round(found.random.estimate, 4), "chosen": round(found.chosen.estimate, 4),
            "estimate": round(found.difference.estimate, 4), "low": round(found.difference.low, 4),
            "high": round(found.difference.high, 4), "n": found.difference.n, "of_random": found.random.n,
            "turns": len(both)}  # fmt: skip

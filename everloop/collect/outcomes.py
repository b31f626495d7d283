"""What became of an interaction: the outcome that counts, and silence once its window has closed.

A declared outcome counts if it happened within its window: from its interaction (`at`) up to and with `window_s` later,
by the clocks of who sent both. When it was reported does not matter: a device that was offline for a week may say today
what happened then, and is believed over a silence that was written meanwhile. What happened after the window is kept
and is late: it does not count.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import NamedTuple

from everloop.errors import Conflict
from everloop.store import Records
from everloop.types import Feedback, FeedbackFields, Interaction, LoopSpec, Outcome, SignalSpec


class Told(NamedTuple):
    """What is known of one declared outcome of one interaction."""

    outcome: Outcome | None  # the one that counts; None: it may still come, or nobody declared what silence means
    late: tuple[Outcome, ...]  # what happened after the window had closed, oldest first


def outcome_of(feedback: Iterable[FeedbackFields], interaction: Interaction, name: str, spec: LoopSpec) -> Told:
    """The outcome `name` of an interaction from all its feedback.

    Of several within the window the last counts: somebody measured again. A name the loop does not declare has no
    window, and nothing of it is late.

    >>> loop = LoopSpec(name="l", signals=(SignalSpec(name="returned", kind="outcome", window_s=60, silence=0.0),))
    >>> asked = Interaction(id="i", loop="l", at=1000, input="x")
    >>> said = Outcome(id="f", interaction="i", at=61_001, value=1.0, name="returned")
    >>> told = outcome_of([said], asked, "returned", loop)
    >>> told.outcome, len(told.late)
    (None, 1)
    """
    declared = next((one for one in spec.signals if (one.kind, one.name) == ("outcome", name)), None)
    found = [one for one in feedback if isinstance(one, Outcome) and (one.name or spec.outcome) == name]
    found.sort(key=lambda one: (one.at, one.id))
    real = [one for one in found if not one.silent]
    closes = closing(interaction, declared) if declared is not None else None
    late = tuple(one for one in real if closes is not None and one.at > closes)
    counted = real[: len(real) - len(late)] or [one for one in found if one.silent]
    return Told(counted[-1] if counted else None, late)


def closing(interaction: Interaction, declared: SignalSpec) -> int | None:
    """The last ms that counts; None: no window, it may come any time."""
    return None if declared.window_s is None else interaction.at + round(declared.window_s * 1000)


def counts(records: Records, item: Outcome, interaction: Interaction, spec: LoopSpec) -> bool:
    """Whether it is this outcome that counts for its interaction."""
    name = item.name or spec.outcome
    if not any((one.kind, one.name) == ("outcome", name) for one in spec.signals):
        return True
    told = outcome_of(records.find(Outcome, interaction=interaction.id), interaction, name, spec)
    return told.outcome is not None and told.outcome.id == item.id


def silent(interactions: Sequence[Interaction], feedback: Iterable[Feedback | Outcome], declared: SignalSpec,
           spec: LoopSpec, time: int) -> list[Outcome]:  # fmt: skip
    """The silences of interactions whose window has closed at `time`, of whose outcome nobody has said anything."""
    assert declared.silence is not None
    said: defaultdict[str, list[FeedbackFields]] = defaultdict(list)
    for one in feedback:
        said[one.interaction].append(one)
    made = []
    for it in interactions:
        if outcome_of(said[it.id], it, declared.name, spec).outcome is None:
            closes = closing(it, declared)
            assert closes is not None
            made.append(Outcome(
                id=f"{it.id}.{declared.name}.silence", interaction=it.id, loop=spec.name, at=min(closes, time),
                value=declared.silence, name=declared.name, window_s=declared.window_s, silent=True, source="system",
            ))  # fmt: skip
    return made


def write_silences(records: Records, made: Sequence[Outcome]) -> int:
    """Write them; written before, they are known. How many are new.

    One whose interaction was erased meanwhile is taken back; one whose id somebody has used for something else is not
    written.
    """
    if not made:
        return 0
    try:
        receipts = records.put(*made)
    except Conflict:  # one of them is in the way: each by itself
        receipts = []
        for one in made:
            receipts.append("known")
            with suppress(Conflict):
                receipts[-1] = records.put(one)[0]
    orphans = [one.id for one, receipt in zip(made, receipts, strict=True) if receipt == "held"]
    if orphans:
        records.delete(Outcome, orphans)
    return receipts.count("new")


__all__ = ["Told", "closing", "counts", "outcome_of", "silent", "write_silences"]

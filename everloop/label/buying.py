"""Asking sources that cost money: what to ask them in a turn, who may be asked about, and what became of it.

Answers are written as they come. A turn that is killed has kept them, and when it goes on it asks for the rest alone.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from msgspec import Struct, field
from numpy.typing import NDArray

from everloop.errors import LeaseLost
from everloop.ids import now
from everloop.label.kept_answers import Kept, answer_id, classes_key, kept, on_equal_terms, source_key
from everloop.label.paid import Answered, Terms, paid, told
from everloop.store import Records
from everloop.types import Evidence, Interaction, Lease, LoopSpec, Policy, SourceAnswer, Spec, Turn

_WEIGHED = 300  # labelled rows, drawn by their hash, that tell what a source is worth
_BATCH = 32  # rows asked about between two looks at whether they may be, and two writes
_LOOKED_UP = 5_000  # interactions read at once


class Wish(NamedTuple):
    """What one source should be asked in a turn, if it may be."""

    source: Spec
    offered: tuple[str, ...]  # the classes it chooses among
    weighing: tuple[Evidence, ...]  # labelled rows by which it is weighed, without an answer yet
    rows: tuple[Evidence, ...]  # the n it would help with, those that measure first
    certainty: NDArray[np.float64]  # (n,) of the loop's own model
    answered: NDArray[np.bool_]  # (n,)
    measures: int  # how many of the rows measure the machine's labels
    kept: int  # answers there are already, those for weighing among them
    why: str = ""  # why nothing is asked at all

    @property
    def open(self) -> bool:
        """Whether there is anything to ask."""
        return not self.why and bool(self.weighing or not self.answered.all())


class Bought(Struct, frozen=True, kw_only=True):
    """What came of it."""

    source: str  # its name, and what it calls itself
    asked: int = 0  # rows that were sent in this turn
    silent: int = 0  # of these, answered with none of the classes
    kept: int = 0  # answers from earlier turns that served again
    held: int = 0  # rows that were not sent: not everybody who brought them agreed to share
    waiting: int = 0  # rows that wait for the next turn
    cost: float = 0.0  # in the loop's currency
    failures: dict[str, int] = field(default_factory=dict)
    stopped: str = ""  # why it was not asked about more

    def sentence(self) -> str:
        """In one line.

        >>> Bought(source="bigger_model.v1 (big)", asked=120, kept=30, held=2, cost=0.25).sentence()
        'bigger_model.v1 (big): 120 asked, 30 answers kept from before, cost 0.25; 2 held back (no consent to share)'
        """
        said = f"{self.source}: {self.asked:,} asked, {self.kept:,} answers kept from before, cost {self.cost:.4g}"
        parts = [f"{self.held:,} held back (no consent to share)"] if self.held else []
        parts += told({"named none of the classes": self.silent} if self.silent else {}) + told(self.failures)
        parts += [f"{self.waiting:,} wait for the next turn"] if self.waiting else []
        return "; ".join((said, *parts, *([self.stopped] if self.stopped else [])))


class Served(NamedTuple):
    """What a paid source has said already, where it may count, and what it should be asked."""

    known: Kept  # of rows people labelled
    rows: Kept  # of the others
    wish: Wish


def serve(
    records: Records, spec: LoopSpec, source: Spec, classes: Sequence[str], known: Sequence[Evidence],
    rows: Sequence[Evidence], certainty: NDArray[np.float64], measures: int,
) -> Served:  # fmt: skip
    """What `source` has said of `known` (labelled rows, in an order drawn at random, by which it is weighed) and of
    `rows`: those that measure the machine's labels (the first `measures`) and those it could label, with the loop's own
    model's `certainty` of each.

    Only of rows of which that model is not certain anyway, and on equal terms (`on_equal_terms`).
    """
    bought = paid(source)
    assert bought is not None
    offered = tuple(sorted(spec.labels or classes))
    key = source_key(source, bought.terms(source.args))
    there = kept(records, spec.name, key, [*known, *rows], classes, offered)
    first, others = there.part(slice(len(known))), there.part(slice(len(known), None))
    uncertain = np.flatnonzero(certainty < 1 - spec.policy.auto_error / 2)  # half of the errors allowed: certain enough
    asked = [rows[i] for i in uncertain.tolist()]
    counts = np.zeros(len(rows), bool)
    counts[uncertain] = on_equal_terms(
        certainty[uncertain], others.answered[uncertain], uncertain < measures, [row.id for row in asked]
    )
    heard = Kept(np.where(counts, others.answers, -1), np.where(counts, others.confidence, 0.0), others.answered)
    lacking = [row for row, done in zip(known[:_WEIGHED], first.answered, strict=False) if not done]
    unlabelled = int((uncertain >= measures).sum())
    wish = Wish(
        source, offered, tuple(lacking), tuple(asked), certainty[uncertain], others.answered[uncertain],
        len(asked) - unlabelled, int(there.answered.sum()), _in_vain(spec.policy, measures, unlabelled),
    )  # fmt: skip
    return Served(first, heard, wish)


def _in_vain(policy: Policy, measures: int, unsure: int) -> str:
    """Why no answer could change anything; empty where one could."""
    if policy.auto_error <= 0 or policy.auto_confidence > 1:
        return "nothing is asked: the machine labels nothing by itself here"
    if not unsure:
        return "nothing is asked: there is no row without a label that the loop's own model is unsure of"
    # If so many labels are all right, a share of wrong ones as small as that can just be certified.
    needed = math.ceil(math.log(1 - policy.level) / math.log(1 - policy.auto_error))
    if measures < needed:
        return f"nothing is asked: before {needed} rows drawn at random are labelled, none of its labels could count"
    return ""


def buy(records: Records, turn: Turn, wishes: Sequence[Wish], fence: Lease) -> list[Bought]:
    """Ask what is wished, the rows the loop's own model is least sure of first, and keep each answer.

    Written in batches as they come, under the turn's lease; nothing of a person who was erased meanwhile. LeaseLost
    where another worker has taken the turn over; what was paid for by then is kept.
    """
    return [_buy(records, turn, one, fence) for one in wishes]


def _buy(records: Records, turn: Turn, wish: Wish, fence: Lease) -> Bought:
    source = paid(wish.source)
    assert source is not None
    terms = source.terms(wish.source.args)
    key = source_key(wish.source, terms)
    before = records.find(SourceAnswer, turn.loop, source=key, turn=turn.number)  # of this turn, before it was killed
    name = f"{wish.source.name} ({terms.title})" if terms.title else wish.source.name
    earlier, asked, cost = max(0, wish.kept - len(before)), len(before), sum(one.cost for one in before)
    if wish.why:
        return Bought(source=name, kept=earlier, asked=asked, cost=cost, stopped=wish.why)
    rows, held, stopped = _allowed(records, wish, terms)
    silent, failures, passed, gone, new = sum(one.label is None for one in before), Counter[str](), 0, 0, 0
    while not stopped and (batch := _still(records, rows[passed:], min(_BATCH, terms.most - asked), terms)):
        left = None if terms.max_cost is None else terms.max_cost - cost
        found = source.ask([row.input for row in batch.rows], wish.offered, wish.source.args, left)
        _keep(records, _made(turn, key, wish, batch.rows, found), fence)
        passed += batch.passed
        gone += batch.passed - len(batch.rows)
        new += int(found.answered.sum())
        silent += int((found.answered & (found.answers < 0)).sum())
        asked += int(found.answered.sum()) + sum(found.failures.values())
        cost += float(found.costs.sum())
        failures.update(found.failures)
        stopped = found.stopped
        if not stopped and not found.answered.any():
            stopped = f"stopped, as none of {len(batch.rows)} was answered"
    return Bought(source=name, asked=asked, silent=silent, kept=earlier, held=held, waiting=len(rows) - gone - new,
                  cost=cost, failures=dict(failures), stopped=stopped)  # fmt: skip


class _Batch(NamedTuple):
    rows: list[Evidence]
    passed: int  # of the queue, those that may no longer be sent among them


def _still(records: Records, queue: Sequence[Evidence], size: int, terms: Terms) -> _Batch | None:
    """The next rows, as far as they may still be sent: since they were read, somebody may have been erased or have
    changed their mind. None where there is nothing more, or `size` is nothing."""
    passed = 0
    while size > 0 and passed < len(queue):
        some = queue[passed : passed + size]
        passed += len(some)
        may = leaves(records, some, terms)
        if may.any():
            return _Batch([row for row, yes in zip(some, may, strict=True) if yes], passed)
    return None


def _allowed(records: Records, wish: Wish, terms: Terms) -> tuple[list[Evidence], int, str]:
    """What to send, in order; how many rows are held back; and why nothing is sent, where it is for that."""
    may = wish.answered.copy()
    open_rows = np.flatnonzero(~may)
    may[open_rows] = leaves(records, [wish.rows[i] for i in open_rows.tolist()], terms)
    weighing = [row for row, yes in zip(wish.weighing, leaves(records, wish.weighing, terms), strict=True) if yes]
    held = int((~may).sum()) + len(wish.weighing) - len(weighing)
    measures = np.arange(len(may)) < wish.measures
    ids = [row.id for row in wish.rows]
    counts = on_equal_terms(wish.certainty, may, measures, ids) & ~wish.answered
    if not (may & ~measures).any():
        return [], held, ""
    if wish.measures and not (may & measures).any():
        return [], held, "nothing is asked: none of the rows that would measure its labels may be sent"
    order = [i for i in np.lexsort((np.array(ids), wish.certainty)).tolist() if counts[i]]
    weighing = weighing[: max(1, terms.most // 3)]
    return [*weighing, *(wish.rows[i] for i in order)], held, ""


def leaves(records: Records, rows: Sequence[Evidence], terms: Terms) -> NDArray[np.bool_]:
    """(n,) which rows may be sent: everybody who brought the input is still there, and agrees to share what goes to
    somebody else's machine."""
    ids = sorted({id for row in rows for id in (row.interactions or (row.interaction,))})
    agreed = {
        it.id for some in _chunks(ids) for it in records.find(Interaction, id=some)
        if "improve" in it.consent and (terms.own or "share" in it.consent)
    }  # fmt: skip
    return np.array([agreed.issuperset(row.interactions or (row.interaction,)) for row in rows], bool)


def _chunks(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), _LOOKED_UP):
        yield ids[start : start + _LOOKED_UP]


def _made(turn: Turn, key: str, wish: Wish, rows: Sequence[Evidence], found: Answered) -> list[SourceAnswer]:
    among = classes_key(wish.offered)
    return [
        SourceAnswer(
            id=answer_id(turn.loop, key, row), loop=turn.loop, source=key, interaction=row.interaction,
            turn=turn.number, label=wish.offered[at] if at >= 0 else None, classes=among,
            confidence=round(float(sure), 4), cost=float(cost), at=now(),
        )
        for row, at, sure, cost, done in zip(
            rows, found.answers.tolist(), found.confidence, found.costs, found.answered, strict=True
        ) if done
    ]  # fmt: skip


def _keep(records: Records, answers: Sequence[SourceAnswer], fence: Lease) -> None:
    try:
        records.replace(*answers, fence=fence, unless_erased=True)
    except LeaseLost:
        records.replace(*answers, unless_erased=True)  # another worker goes on: paid for is paid for
        raise


__all__ = ["Bought", "Served", "Wish", "buy", "leaves", "serve"]

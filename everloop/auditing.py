"""Who did what: an audit row that is written with the change it speaks of, in the same transaction where there is one.

Whoever knows who acts says so around the work, with `acting`; whoever writes the change takes the row along. A change
that took none along (it was made in several steps, or by a stage that knows nothing of keys) has its row written right
after it. Neither secrets nor people stand in a row: a target is an id of ours, a detail names fields and not values.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from msgspec.structs import replace

from everloop.ids import new_id, now
from everloop.store import Records
from everloop.types import Audit

_LONGEST = 300  # characters of a target or a detail

_due: ContextVar[Audit | None] = ContextVar("due", default=None)


def entry(by: str, action: str, *, target: str = "", loop: str = "", detail: str = "") -> Audit:
    """A row: who (a key's id, "open", "cli") did what to which."""
    return Audit(
        id=new_id(), at=now(), by=by, action=action, target=target[:_LONGEST], loop=loop, detail=detail[:_LONGEST]
    )


@contextmanager
def carrying(row: Audit) -> Iterator[Callable[[], Audit | None]]:
    """Around a change: what is written meanwhile may take `row` along. Gives what tells how the row stands now."""
    before = _due.set(row)
    try:
        yield _due.get
    finally:
        _due.reset(before)


def settle(records: Records, row: Audit | None) -> None:
    """Write a row that no change took along."""
    if row is not None and records.get(Audit, row.id) is None:
        records.put(row)


@contextmanager
def acting(records: Records, row: Audit) -> Iterator[None]:
    """Around a change: when it is over, and did not raise, `row` is in `records`."""
    with carrying(row) as due:
        yield
        settle(records, due())


def along() -> tuple[Audit, ...]:
    """The row that belongs to the change about to be written; nothing where nobody said who acts."""
    due = _due.get()
    return () if due is None else (due,)


def noted(*, target: str | None = None, loop: str | None = None, detail: str | None = None) -> None:
    """Say what only the work itself knows: to what it was done, and what changed."""
    due = _due.get()
    if due is not None:
        _due.set(replace(
            due, target=due.target if target is None else target[:_LONGEST], loop=due.loop if loop is None else loop,
            detail=due.detail if detail is None else detail[:_LONGEST],
        ))  # fmt: skip


def unchanged() -> None:
    """Nothing changed after all: no row."""
    _due.set(None)

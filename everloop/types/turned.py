"""One revolution, step by step, and who is at it."""

from typing import Any, Literal

from msgspec import Struct, field


class Step(Struct, frozen=True, gc=False, kw_only=True):
    """One finished step of a turn."""

    name: str
    seconds: float
    cost: float = 0.0
    counts: dict[str, Any] = field(default_factory=dict)  # what it did, in numbers
    at: int = 0


class Turn(Struct, frozen=True, gc=False, kw_only=True):
    """One revolution of the wheel."""

    id: str
    loop: str
    number: int  # from 1; 0 is a start from labels that were brought along
    trigger: Literal["feedback", "schedule", "hand"]
    cut: dict[str, int]  # position in each log up to which this turn reads: its input is fixed when it opens
    state: Literal["open", "closed"] = "open"
    steps: tuple[Step, ...] = ()
    started: int = 0
    ended: int | None = None


class Lease(Struct, frozen=True, gc=False, kw_only=True):
    """The right to do a piece of work until a time; `token` grows with each holder and fences late writers."""

    name: str
    owner: str
    token: int
    until: int

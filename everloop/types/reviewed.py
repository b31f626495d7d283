"""People's work: what they are asked, and what they answered."""

from typing import Literal

from msgspec import Struct

from everloop.types.words import Input


class Review(Struct, frozen=True, gc=False, kw_only=True):
    """A piece of human work in the queue."""

    id: str
    loop: str
    turn: int
    interaction: str
    input: Input
    why: Literal["golden", "disputed", "uncertain", "random", "suspect", "audit"]  # why it was chosen
    proposal: str | None = None  # what the machine would say
    confidence: float | None = None  # calibrated probability of the proposal
    priority: float = 0.0  # higher comes first
    state: Literal["open", "done", "skipped"] = "open"
    at: int = 0


class Annotation(Struct, frozen=True, gc=False, kw_only=True):
    """One person's answer to a review."""

    id: str
    loop: str
    review: str
    interaction: str
    annotator: str
    value: str
    rationale: str | None = None
    seconds: float | None = None
    at: int = 0

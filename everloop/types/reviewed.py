"""People's work: what they are asked, and what they answered."""

from typing import Literal

from msgspec import Struct

from everloop.types.words import Input


class Doubt(Struct, frozen=True, gc=False, kw_only=True):
    """What the machine has against a label that people gave; the review's proposal is what it would say instead.

    Rows are named, not quoted: their interactions, nearest first. Of somebody who is erased nothing stays here.
    """

    given: str | None  # the label; None: whoever gave it has been erased
    said: tuple[str, ...] = ()  # ids of the feedback and annotations that give it
    score: float  # how probably it is wrong
    confidence: float  # of the given label, by a model that has not seen the row
    supporting: tuple[str, ...] = ()  # labelled rows beside it that have the proposed label
    opposing: tuple[str, ...] = ()  # those that have the given one
    others: tuple[str, ...] = ()  # and those that have yet another
    golden: bool = False  # it is a row that models are measured by


class Review(Struct, frozen=True, gc=False, kw_only=True):
    """A piece of human work in the queue."""

    id: str
    loop: str
    turn: int
    interaction: str
    input: Input
    why: Literal["golden", "disputed", "uncertain", "random", "suspect", "audit", "novel"]  # why it was chosen
    proposal: str | None = None  # what the machine would say
    confidence: float | None = None  # calibrated probability of the proposal
    priority: float = 0.0  # higher comes first
    state: Literal["open", "done", "skipped"] = "open"
    at: int = 0
    doubt: Doubt | None = None  # of a suspect: what is said against its label


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

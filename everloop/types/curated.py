"""What curation makes of it: evidence with its place, and drops with their reasons."""

from typing import Literal

from msgspec import Struct

from everloop.types.collected import Alternative
from everloop.types.words import Input, Split


class Statement(Struct, frozen=True, gc=False, kw_only=True):
    """One thing that was said of an input and bears on its label."""

    id: str  # id of the feedback or annotation
    kind: Literal["annotation", "label", "correction", "demonstration", "intervention", "confirmed", "refuted"]
    value: str  # the label it argues for; for "refuted", the one it argues against
    interaction: str
    subject: str | None = None
    by: str | None = None  # whose word it is: the annotator, else the subject; None: nobody knows


class Evidence(Struct, frozen=True, gc=False, kw_only=True):
    """One distinct input that passed curation, and everything said of it: what an example is made from."""

    id: str  # fingerprint of the normalised input
    loop: str
    input: Input
    interaction: str  # the first interaction that brought it
    group: str  # near-duplicate group
    split: Split
    output: str | None = None  # what the model answered to that one
    confidence: float | None = None
    alternatives: tuple[Alternative, ...] = ()
    slices: tuple[str, ...] = ()
    statements: tuple[Statement, ...] = ()
    interactions: tuple[str, ...] = ()  # ids of all that brought the same input
    subjects: tuple[str, ...] = ()


class Placement(Struct, frozen=True, gc=False, kw_only=True):
    """Where a distinct input stands for ever: its near-duplicate group, and that group's split."""

    id: str  # fingerprint of the normalised input
    loop: str
    interaction: str  # the first interaction that brought it
    group: str  # id of the group: the fingerprint of its first member
    split: Split
    turn: int  # the turn that placed it


class Drop(Struct, frozen=True, gc=False, kw_only=True):
    """A thing curation left out, and why; reversible, unless consent or an honest evaluation hangs on it."""

    id: str  # the interaction's id
    loop: str
    turn: int
    stage: str  # "curate", "label"
    reason: str  # name of the rule
    score: float | None = None  # how strongly the rule fired, where it has a strength
    matched: str | None = None  # what it matched: the id of its twin, the rival label
    undone: bool = False  # a person took it back: the rule no longer applies to this one
    back: tuple[str, ...] = ()  # reasons a person took back before there was this one: they don't apply either

    @property
    def taken_back(self) -> bool:
        """Whether a person took back anything that left it out."""
        return self.undone or bool(self.back)


class DropAudit(Struct, frozen=True, gc=False, kw_only=True):
    """A drop that was drawn at random from those of its reason, and whether a person found it right."""

    id: str
    loop: str
    reason: str
    interaction: str  # the drop's id
    right: bool | None = None  # None: nobody has looked yet
    by: str = ""  # who looked
    drawn: int = 0
    at: int = 0  # answered when

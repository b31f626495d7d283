"""What models train and are tested on."""

from typing import Literal

from msgspec import Struct

from everloop.types.declared import Spec
from everloop.types.words import Input, Origin, Split


class Example(Struct, frozen=True, gc=False, kw_only=True):
    """What a model trains or is tested on."""

    id: str  # fingerprint of the normalised input: one input is one example in a version
    loop: str
    input: Input
    target: str
    origin: Origin
    split: Split
    group: str  # near-duplicate group
    weight: float = 1.0
    depth: int = 0  # synthetic depth: 0 = real, 1 = made by a model from real, …
    slices: tuple[str, ...] = ()  # "channel=web"
    evidence: tuple[str, ...] = ()  # ids of the interactions, feedback and annotations it came from
    subjects: tuple[str, ...] = ()  # pseudonyms of everybody in the evidence


class DatasetVersion(Struct, frozen=True, gc=False, kw_only=True):
    """An immutable set of examples: a commit."""

    id: str
    loop: str
    parent: str | None
    recipe: Spec  # what made it: the turn, the policy, the counts
    hash: str  # of its content: order, ids and times do not matter
    added: int
    removed: int
    size: int
    at: int
    erased: int = 0  # examples a subject's erasure has since taken out; the hash is of what it was made with
    merged: str | None = None  # id of its second parent, where it is a merge


class Ref(Struct, frozen=True, gc=False, kw_only=True):
    """A name for a dataset version: a branch moves from version to version, a tag stays where it is."""

    id: str  # the name, once in a loop; "main" is the branch of the loop's turns
    loop: str
    kind: Literal["branch", "tag"]
    version: str  # id of the dataset version
    by: str = ""  # who put it there
    why: str = ""
    at: int = 0


class Diff(Struct, frozen=True, gc=False, kw_only=True):
    """What one dataset version has that another has not; a relabelled example is in both."""

    added: tuple[Example, ...]
    removed: tuple[Example, ...]

"""What the funnel keeps of the rows it has read, so that the next turn costs what the new rows cost.

All of it can be made again from the log; it is a cache, and whoever loses it reads everything once more. It holds
inputs and pseudonyms: where somebody is erased, it has to go (`Carried` of the loop as a whole), and the next turn
makes a new one.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct, field

from everloop import registry
from everloop.curate.near_index import Index
from everloop.curate.rules import order
from everloop.errors import InvalidInput, StoreDamaged
from everloop.types import Evidence, Placement, Policy, Split, Statement

VERSION = 2  # of what is written, and of what the funnel makes of a row: raise it with either; another is not read
Raw = tuple[str, float | None, str | None]  # reason, score, what it matched


class Told(Struct, array_like=True):
    """What was said of one interaction."""

    statements: tuple[Statement, ...] = ()
    subjects: tuple[str, ...] = ()
    split: Split | None = None  # where a label says it must go
    asked: bool = False  # a person was asked about it, or brought its label


class Row(Struct, array_like=True):
    """A distinct input that came through the rules on rows."""

    members: list[tuple[int, str]]  # the interactions that brought it, as (number, id), the first first
    bare: Evidence  # of the first, without what was said
    told: dict[str, Told] = field(default_factory=dict)  # by interaction; nothing of it where nothing was said
    hit: Raw | None = None  # the rule on evidence that left it out
    found: Evidence | None = None  # with what was said; None: not settled yet


class Left(Struct, array_like=True):
    """An interaction a rule on rows left out."""

    number: int
    key: str  # its fingerprint
    why: Raw


class Click(Struct, array_like=True):
    """A piece of feedback, as far as its rhythm and its sameness go."""

    at: int
    what: str  # its kind and, of a label, which
    about: str  # the answer it was given to
    key: str  # fingerprint of the input


class Carried(Struct):
    """All that is kept. `upto` is the caller's: how far in each log this has read."""

    version: int = VERSION
    fits: str = ""  # what it was made under: see `fits`; empty: nothing yet, or a run that did not end
    upto: dict[str, int] = field(default_factory=dict)
    seen: int = 0  # interactions
    width: int | None = None
    rows: dict[str, Row] = field(default_factory=dict)  # by fingerprint
    left: dict[str, Left] = field(default_factory=dict)  # by interaction
    texts: dict[str, list[Raw]] = field(default_factory=dict)  # by fingerprint: what rules on texts said, if anything
    traffic: dict[str, list[Raw]] = field(default_factory=dict)  # by interaction: the same of rules on traffic
    known: set[str] = field(default_factory=set)  # every fingerprint
    memories: dict[str, Any] = field(default_factory=dict)  # by rule
    sealed: set[str] = field(default_factory=set)
    tests: list[str] = field(default_factory=list)  # placed among the test rows by the last run: sealed from the next
    places: dict[str, Placement] = field(default_factory=dict)
    clicks: dict[str, dict[str, Click]] = field(default_factory=dict)  # by subject, then by feedback
    straddling: dict[str, str] = field(default_factory=dict)  # without a place: by fingerprint, the twin
    near: Any = None  # an Index of the texts; as bytes while it is kept
    deaf: dict[str, Raw] = field(default_factory=dict)  # subjects who are not heard, and why
    undone: set[tuple[str, str]] = field(default_factory=set)
    weights: dict[str, float] = field(default_factory=dict)


def fits(policy: Policy, task: str, labels: frozenset[str]) -> str:
    """A name for all that decides what is kept, but the rows: what was carried under another name is of no use."""
    made = (VERSION, order(policy, task), policy.languages, policy.near_duplicate, task, sorted(labels))
    return hashlib.sha256(msgspec.json.encode(made)).hexdigest()[:32]


def encode(carried: Carried) -> bytes:
    """As bytes, to be kept until the next turn."""
    near = carried.near.dump() if carried.near is not None else None
    return msgspec.msgpack.encode(msgspec.structs.replace(carried, near=near))


def decode(data: bytes) -> Carried | None:
    """What `encode` made; None where another version wrote it, or where it is no longer whole: read everything again.

    >>> decode(encode(Carried(seen=3))).seen, decode(b"nonsense")
    (3, None)
    """
    try:
        found = msgspec.msgpack.decode(data, type=Carried)
        if found.version != VERSION:
            return None
        found.memories = {name: _memory(name, value) for name, value in found.memories.items()}
        found.near = Index.load([found.near]) if found.near is not None else None
        return found
    except (msgspec.DecodeError, InvalidInput, StoreDamaged):
        return None


def memory_of(carried: Carried, name: str) -> Any:
    """The memory of a rule on traffic, made on first use; None for a rule that keeps none."""
    if name not in carried.memories:
        make = registry.find("rule", name).memory
        carried.memories[name] = make() if make is not None else None
    return carried.memories[name]


def _memory(name: str, value: Mapping[str, Any] | None) -> Any:
    make = registry.find("rule", name).memory
    return None if make is None else msgspec.convert(value, type(make()))

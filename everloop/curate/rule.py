"""What a rule of the funnel is, and what it may look at.

A stranger's rule is a `Rule` behind an entry point of the group ``everloop.rule``, under a versioned name, and is
asked once a loop's `Policy.rules` names it:

>>> from everloop.registry import register
>>> shouting = Rule("shouting.v1", "text", lambda text: Hit(1.0, text[:20]) if text.isupper() else None, "all capitals")
>>> register("rule", shouting.name, shouting).check("WHERE IS MY CARD")
Hit(score=1.0, matched='WHERE IS MY CARD')
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple


class Hit(NamedTuple):
    """Why something is left out."""

    score: float | None = None  # how strongly the rule fired, where it has a strength
    matched: str | None = None  # what it matched, in words or as an id


class Context(NamedTuple):
    """What a rule may look at besides the thing itself."""

    first: Mapping[str, str]  # fingerprint -> id of the interaction kept for it
    sealed: frozenset[str] | set[str]  # fingerprints of test inputs: never to be learned from
    straddling: Mapping[str, str]  # fingerprint -> its twin on the other side of the split
    width: int | None  # length of this loop's vectors, 0 for text; None until the first input shows it
    task: str = "classify"  # what kind of answer the loop gives
    weights: Mapping[str, float] = {}  # how much a person's word counts, by who it is; 1 for who is not there
    languages: tuple[str, ...] = ()  # those the loop declares; empty: whatever most of its rows are in


class Passing(NamedTuple):
    """What a rule on traffic sees of an interaction, in the order in which they came."""

    id: str
    at: int  # ms since 1970, by the clock of who sent it
    who: str | None  # the person's pseudonym, else the session; None: neither is known
    fingerprint: str
    text: str | None  # what was asked, in words; None for numbers and for nothing at all
    fresh: bool  # the first of its fingerprint


class Rule(NamedTuple):
    """A rule, what it looks at, and a sentence a person understands.

    `on` says what `check` is called with and when:

    - "text": ``check(text)``, once for each distinct input that has words; it must depend on the words alone.
    - "traffic": ``check(row, memory, context)``, once for each `Passing` interaction, in order. `memory` is what
      `memory()` made: a `msgspec.Struct` the rule changes as it likes, which is carried from turn to turn. What it says
      of a row depends on the rows up to that one, so that a decision once taken is never taken back.
    - "interaction": ``check(interaction, fingerprint, context)``.
    - "evidence": ``check(evidence, fingerprint, context)``, on a distinct input with all that was said of it.
    """

    name: str
    on: Literal["text", "traffic", "interaction", "evidence"]
    check: Callable[..., Hit | None]
    says: str
    memory: Callable[[], Any] | None = None
    yields: bool = False  # what a person was asked about, or brought with its label, passes all the same


def reason(rule: str) -> str:
    """The short name a drop carries: the rule's name without its version.

    >>> reason("no_signal.v1")
    'no_signal'
    """
    return rule.rsplit(".", 1)[0]

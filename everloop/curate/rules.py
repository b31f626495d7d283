"""The named rules of the funnel. Each looks at one thing and says whether to leave it out, how strongly, and why.

A rule on "interaction" sees one interaction; a rule on "evidence" sees a distinct input with all that was said of it.
Within each of the two the order is configuration (`Policy.rules`); strangers register more under kind "rule".
"""

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from everloop.curate.inputs import normalise, text_of
from everloop.registry import register
from everloop.types import Evidence, Interaction, Statement


class Hit(NamedTuple):
    """Why something is left out."""

    score: float | None = None
    matched: str | None = None


class Context(NamedTuple):
    """What a rule may look at besides the thing itself."""

    first: dict[str, str]  # fingerprint -> id of the interaction kept for it
    sealed: frozenset[str]  # fingerprints of test inputs: never to be learned from
    straddling: dict[str, str]  # fingerprint -> its twin on the other side of the split
    width: int | None  # length of this loop's vectors, 0 for text; None until the first input shows it


class Rule(NamedTuple):
    """A rule, what it looks at, and a sentence a person understands."""

    name: str
    on: Literal["interaction", "evidence"]
    check: Callable[[Any, str, Context], Hit | None]  # (the thing, its fingerprint, context)
    says: str


def _no_consent(it: Interaction, _: str, __: Context) -> Hit | None:
    return None if "improve" in it.consent else Hit()


def _invalid(it: Interaction, _: str, context: Context) -> Hit | None:
    if not isinstance(it.input, list):
        return Hit() if context.width else None
    if not all(math.isfinite(x) for x in it.input) or (context.width is not None and len(it.input) != context.width):
        return Hit(score=float(len(it.input)))
    return None


def _empty(it: Interaction, _: str, __: Context) -> Hit | None:
    text = text_of(it.input)
    return Hit() if (not it.input if text is None else not normalise(text)) else None


def _sealed(_: Interaction, fingerprint: str, context: Context) -> Hit | None:
    return Hit(matched=fingerprint) if fingerprint in context.sealed else None


def _duplicate(it: Interaction, fingerprint: str, context: Context) -> Hit | None:
    first = context.first.get(fingerprint, it.id)
    return Hit(score=1.0, matched=first) if first != it.id else None


def _straddles(_: Evidence, fingerprint: str, context: Context) -> Hit | None:
    twin = context.straddling.get(fingerprint)
    return Hit(matched=twin) if twin is not None else None


def _contradicted(it: Evidence, _: str, __: Context) -> Hit | None:
    if any(s.kind in ("annotation", "label") for s in it.statements):
        return None  # a person was asked, or brought the label: that settles it
    votes = ballot(it.statements)
    if not votes:
        return None
    ranked = sorted(votes.items(), key=lambda vote: (-vote[1], vote[0]))
    if ranked[0][1] <= 0:
        argued = any(s.kind != "refuted" for s in it.statements)
        return Hit(score=1.0, matched=ranked[0][0]) if argued else None
    if len(ranked) > 1 and ranked[1][1] == ranked[0][1]:
        return Hit(score=1.0, matched=ranked[1][0])
    return None


def _no_signal(it: Evidence, _: str, __: Context) -> Hit | None:
    return None if any(s.kind != "refuted" for s in it.statements) else Hit()


def ballot(statements: tuple[Statement, ...]) -> dict[str, int]:
    """For each label, how many statements argue for it less how many argue against it."""
    votes: dict[str, int] = {}
    for statement in statements:
        votes[statement.value] = votes.get(statement.value, 0) + (-1 if statement.kind == "refuted" else 1)
    return votes


CONSENT = "no_consent.v1"  # no order of rules is without it
BUILT_IN = (
    Rule(CONSENT, "interaction", _no_consent, "the person did not agree that it may be learned from"),
    Rule("invalid.v1", "interaction", _invalid, "not finite, or not the kind or length of input this loop takes"),
    Rule("empty.v1", "interaction", _empty, "nothing in it"),
    Rule("sealed.v1", "interaction", _sealed, "the same as a sealed test row"),
    Rule("duplicate.v1", "interaction", _duplicate, "the same input again; what was said of it counts for the first"),
    Rule("straddles.v1", "evidence", _straddles, "a near-duplicate of both a golden row and a training row"),
    Rule("contradicted.v1", "evidence", _contradicted, "people disagree about it, with no majority"),
    Rule("no_signal.v1", "evidence", _no_signal, "nobody said what is right, and the machine is not sure enough"),
)
for _rule in BUILT_IN:
    register("rule", _rule.name, _rule)
DEFAULT_ORDER = tuple(rule.name for rule in BUILT_IN)


def reason(rule: str) -> str:
    """The short name a drop carries: the rule's name without its version.

    >>> reason("no_signal.v1")
    'no_signal'
    """
    return rule.rsplit(".", 1)[0]

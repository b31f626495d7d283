"""Derived signals: named rules that conclude something from the raw signals of one interaction. Pure functions.

A rule is registered as `Rule` under ("signal", "its_name.v1"), or as an entry point in the group `everloop.signal`; a
loop names those it wants in `derive` (none named: the built-in ones). A rule that looks at the session is asked once,
`settle_s` after the interaction came, and again whenever everything is derived anew; one that doesn't, each time
feedback comes.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from everloop import registry
from everloop.collect.diffs import distance
from everloop.errors import EverloopError
from everloop.types import (
    Correction,
    Derived,
    Feedback,
    Implicit,
    Input,
    Interaction,
    LoopSpec,
    Rating,
    Thumb,
    Vote,
)

NEIGHBOURS = 20  # interactions of the same session that a rule sees, on either side of its own, by order of arrival
_RETRY_MS, _ALIKE = 10 * 60_000, 0.8  # asked again within this time, at least so similar
_SESSION_MS = 30 * 60_000  # a session in which nothing happens for so long has ended
_LONGEST = 4_000  # characters of a question that are compared
_COPIED, _EDITED = frozenset({"copy", "copied"}), frozenset({"edit", "edited"})
_LIKED = frozenset({"copy", "copied", "share", "shared", "accept", "accepted", "save", "saved"})
_GOOD = 0.75  # a rating from which, as a share of its scale, it is praise


class Found(NamedTuple):
    """What a rule concludes of an interaction."""

    value: float  # strength, in the rule's unit
    evidence: tuple[str, ...] = ()  # ids of the interactions and feedback it was seen in


def _everything(_: Any) -> bool:
    return True


Find = Callable[[Interaction, Sequence[Feedback], Sequence[Interaction]], Found | None]


class Rule(NamedTuple):
    """A named rule: `find(interaction, its feedback, its neighbours)`; None where there is nothing to conclude.

    The neighbours are other interactions of the same session (of the same subject, where there is no session), at most
    20 that came before and 20 after, by their own time.
    """

    find: Find
    session: bool = False  # whether it looks at the neighbours
    settle_s: float = 0.0  # how long after an interaction all it looks at has come; for rules that look at the session
    concerns: Callable[[Any], bool] = _everything  # whether a piece of feedback has a say; for rules that don't


def retry(interaction: Interaction, _: Sequence[Feedback], neighbours: Sequence[Interaction]) -> Found | None:
    """Nearly the same was asked again within 10 minutes; how similar, 0.8 to 1."""
    asked = question(interaction.input)
    for other in neighbours:
        if interaction.at <= other.at <= interaction.at + _RETRY_MS and _after(other, interaction):
            alike = _alike(asked, question(other.input))
            if alike >= _ALIKE:
                return Found(round(alike, 4), (other.id,))
    return None


def edit_distance(interaction: Interaction, feedback: Sequence[Feedback], _: Sequence[Interaction]) -> Found | None:
    """The share of the answer's characters that a person changed: in the last correction, or in what they made of it
    after copying it (an implicit "edit" with the text in its fields)."""
    if interaction.output is None:
        return None
    for item in sorted(feedback, key=_when, reverse=True):
        if isinstance(item, Correction):
            far = item.distance if item.distance is not None else distance(interaction.output, item.value)
            return Found(round(far, 4), (item.id,))
        if isinstance(item, Implicit) and item.value in _EDITED and isinstance(item.fields.get("text"), str):
            return Found(round(distance(interaction.output, item.fields["text"]), 4), (item.id,))
    return None


def abandoned(
    interaction: Interaction, feedback: Sequence[Feedback], neighbours: Sequence[Interaction]
) -> Found | None:
    """The session ended with this answer, and within 30 minutes nobody said or did anything good with it: 1."""
    if interaction.session is None and interaction.subject is None:
        return None
    until = interaction.at + _SESSION_MS
    if any(interaction.at <= other.at <= until and _after(other, interaction) for other in neighbours):
        return None
    return None if any(_good(item) and item.at <= until for item in feedback) else Found(1.0)


def copied(_: Interaction, feedback: Sequence[Feedback], __: Sequence[Interaction]) -> Found | None:
    """The answer was copied: how often."""
    ids = tuple(item.id for item in sorted(feedback, key=_when) if _is_copy(item))
    return Found(float(len(ids)), ids) if ids else None


def _is_edit(item: Any) -> bool:
    return isinstance(item, Correction) or (isinstance(item, Implicit) and item.value in _EDITED)


def _is_copy(item: Any) -> bool:
    return isinstance(item, Implicit) and item.value in _COPIED


BUILT_IN = ("retry.v1", "edit_distance.v1", "abandoned.v1", "copied.v1")
for _name, _rule in zip(BUILT_IN, (
    Rule(retry, session=True, settle_s=_RETRY_MS / 1000), Rule(edit_distance, concerns=_is_edit),
    Rule(abandoned, session=True, settle_s=_SESSION_MS / 1000), Rule(copied, concerns=_is_copy),
), strict=True):  # fmt: skip
    registry.register("signal", _name, _rule)


def rules_of(spec: LoopSpec) -> dict[str, Rule]:
    """The rules of a loop by name; InvalidInput for one there is not."""
    return {name: registry.find("signal", name) for name in spec.derive or BUILT_IN}


def concluded(rules: dict[str, Rule], interaction: Interaction, feedback: Sequence[Feedback],
              neighbours: Sequence[Interaction]) -> list[Derived]:  # fmt: skip
    """What these rules conclude of one interaction; EverloopError that names the rule if one fails."""
    made = []
    for name, rule in rules.items():
        try:
            found = rule.find(interaction, feedback, neighbours if rule.session else ())
            if found is not None and not math.isfinite(found.value):
                raise ValueError(f"{found.value} is no strength")
        except Exception as error:  # a stranger's rule may raise anything
            why = f"{type(error).__name__}: {' '.join(str(error).split())}"
            raise EverloopError(f"signal rule {name!r} failed on interaction {interaction.id!r}: {why}") from error
        if found is not None:
            made.append(Derived(
                id=f"{name}:{interaction.id}", loop=interaction.loop, rule=name, interaction=interaction.id,
                value=float(found.value), evidence=tuple(found.evidence), at=interaction.at,
            ))  # fmt: skip
    return made


def question(given: Input) -> str | list[float]:
    """What was asked: a text without regard to case and spacing (of a chat, what its user said last), or a vector.

    >>> question({"messages": [{"role": "user", "content": "Hi "}, {"role": "assistant", "content": "Hello"}]})
    'hi'
    """
    if isinstance(given, list):
        return given
    text: Any = given
    if isinstance(given, dict):
        messages = given.get("messages")
        messages = messages if isinstance(messages, list) else []
        said = [m for m in messages if isinstance(m, dict) and m.get("role") == "user"]
        text = said[-1].get("content") if said else given.get("input", given.get("prompt", ""))
        if isinstance(text, list):
            text = " ".join(str(part.get("text", "")) for part in text if isinstance(part, dict))
    return " ".join(str(text).casefold().split())[:_LONGEST]


def _alike(a: str | list[float], b: str | list[float]) -> float:
    if isinstance(a, str) and isinstance(b, str) and a and b:
        if a == b:
            return 1.0
        # Lengths alone say that they can't be near; most pairs end here.
        return 0.0 if min(len(a), len(b)) < _ALIKE * max(len(a), len(b)) else 1 - distance(a, b)
    return float(bool(a) and a == b)


def _after(other: Interaction, one: Interaction) -> bool:
    return (other.at, other.id) > (one.at, one.id)


def _when(item: Feedback) -> tuple[int, str]:
    return item.at, item.id


def _good(item: Feedback) -> bool:
    match item:
        case Thumb(value="up") | Vote(value="this") | Correction():  # who corrects an answer has not left it
            return True
        case Rating(value=value, scale=scale):
            return value >= _GOOD * scale
        case Implicit(value=value):
            return value in _LIKED
    return False


__all__ = ["BUILT_IN", "NEIGHBOURS", "Find", "Found", "Rule", "concluded", "question", "rules_of"]

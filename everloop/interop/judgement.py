"""What another tool's client says of an answer, as our feedback: one table for all of them.

Those tools record a *name* and a *value* ("correctness": true, "score": 0.7, "tone": "rude"); the flywheel has to know
what a value argues for before it may teach anything. So only what is plainly a verdict on the answer becomes one, and
everything else is kept under its own name as a number or as words:

=====================  =====================================================================================
value                  becomes
=====================  =====================================================================================
yes or no, by a        thumb, where the name is praise ("helpful", "correctness", "thumbs_up"); an outcome of that
person                 name (1 or 0) where it is not: "hallucination: true" must not praise the answer
a number, by a person  rating, where its scale is known: "stars" are out of 5, `scale` in the tags or metadata says
                       another; else an outcome: 4 may be the best of 5 or the middle of 10
a category, by a       thumb, for "thumbs-up", "good", "incorrect", …; correction, where it is one of the loop's closed
person                 set of labels and the name says it is the label; else a comment "name: value"
any of these, by a     outcome (a category: a comment), with source "system": a judge's word is measured, never
machine                taken for a person's
the right answer       correction from a person, label from a reviewer; a comment from a machine
words                  comment
=====================  =====================================================================================

A name that the loop declares as an outcome is always that outcome. A reason stays with a thumb or a correction, and
is a comment of its own (id with ".comment") beside anything else. All else that was said is in `context`.
"""

import math
import re
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from everloop.errors import InvalidInput

Value = bool | float | str
Role = Literal["score", "answer", "words"]  # what the value is: a judgement, the right answer, plain words
Source = Literal["user", "reviewer", "system"]

MAX_NAME = 200
_PRAISE = frozenset(
    "accept accepted acceptable accuracy accurate agree approval approve approved correct correctness feedback good "
    "happy helpful helpfulness like liked ok okay pass passed positive resolved right satisfaction satisfied solved "
    "success successful thumb thumbs thumbsup up useful usefulness".split()
)
_BLAME = frozenset(
    "bad below complaint deny dislike disliked down error escalated escalation fail failed failure false hallucinated "
    "hallucination harm harmful incorrect inaccurate issue lack missing needs negative no non not problem reject "
    "rejected risk spam thumbsdown toxic toxicity un unhelpful unsafe violation without wrong".split()
)
_UP = frozenset(
    "accept accepted approve approved correct good helpful like liked pass passed right thumbsup up 👍".split()
)
_DOWN = frozenset(
    "reject rejected disapproved incorrect bad unhelpful dislike disliked fail failed wrong thumbsdown down 👎".split()
)
_STARS = frozenset("star stars".split())
_ANSWER = frozenset("label labels correct answer expected target truth ground category class intent corrected".split())
_PERSON = ("subject", "user", "user_id", "userId", "mlflow.trace.user", "langfuse.user.id", "user.id")
STARS = 5.0  # what stars are out of where nothing is said


class Declared(NamedTuple):
    """What is known of the loops it may speak of."""

    outcomes: frozenset[str] = frozenset()  # names the loop declares as outcomes
    labels: tuple[str, ...] = ()  # its closed set of labels


NOTHING_DECLARED = Declared()


class Judgement(NamedTuple):
    """One thing said of one answer, before it is decided which kind of feedback that is."""

    id: str
    interaction: str  # an id of an interaction, a span or a trace
    name: str
    value: Value
    context: dict[str, Any]  # what else was said: tool, name, metadata
    role: Role = "score"
    source: Source = "user"
    rationale: str | None = None
    scale: float | None = None  # what the value is out of, where it was said
    at: int | None = None
    subject: str | None = None


def feedback_of(one: Judgement, declared: Declared = NOTHING_DECLARED) -> list[dict[str, Any]]:
    """The fields of the feedback it is, then of the comment that carries its reason where it needs one.

    >>> fields = feedback_of(Judgement("f1", "i1", "helpful", True, {}, rationale="short"))
    >>> [(f["kind"], f["value"]) for f in fields], fields[0]["rationale"]
    ([('thumb', 'up')], 'short')
    >>> [(f["kind"], f["value"]) for f in feedback_of(Judgement("f1", "i1", "toxic", True, {}, rationale="rude"))]
    [('outcome', 1.0), ('comment', 'rude')]
    """
    plain: dict[str, Any] = {
        "id": one.id, "interaction": one.interaction, "source": one.source, "at": one.at, "subject": one.subject,
        "context": {"name": one.name, **one.context},
    }  # fmt: skip
    said = _said(one, declared)
    if one.rationale and said["kind"] in {"thumb", "correction"}:
        return [{**plain, **said, "rationale": one.rationale}]
    if one.rationale:
        return [{**plain, **said}, {**plain, "id": f"{one.id}.comment", "kind": "comment", "value": one.rationale}]
    return [{**plain, **said}]


def _said(one: Judgement, declared: Declared) -> dict[str, Any]:
    value = one.value
    if one.role == "words":
        return {"kind": "comment", "value": _text(value)}
    if one.role == "answer":
        if one.source == "system":
            return _named(one)
        return {"kind": "correction" if one.source == "user" else "label", "value": _text(value)}
    if one.name in declared.outcomes:
        return _outcome(one, _number(one))
    if isinstance(value, bool):
        if one.source != "system" and _praises(one.name):
            return {"kind": "thumb", "value": "up" if value else "down"}
        return _outcome(one, float(value))
    if isinstance(value, str):
        return _category(one, value, declared)
    if one.source != "system" and (one.scale is not None or words(one.name) & _STARS):
        scale = STARS if one.scale is None else one.scale
        if not 0 <= value <= scale:
            raise InvalidInput(
                f"{one.name} {value:g}: a rating is between 0 and its scale, {scale:g}; say another with metadata.scale"
            )
        return {"kind": "rating", "value": value, "scale": scale}
    return _outcome(one, value)


def _category(one: Judgement, value: str, declared: Declared) -> dict[str, Any]:
    verdict = re.sub(r"[\s_-]", "", value.lower())
    if one.source != "system" and verdict in _UP | _DOWN and not words(one.name) & _BLAME:
        return {"kind": "thumb", "value": "up" if verdict in _UP else "down"}
    if one.source != "system" and value in declared.labels and words(one.name) & _ANSWER:
        return {"kind": "correction" if one.source == "user" else "label", "value": value}
    return _named(one)


def _named(one: Judgement) -> dict[str, Any]:
    return {"kind": "comment", "value": f"{one.name}: {_text(one.value)}"}


def _outcome(one: Judgement, value: float) -> dict[str, Any]:
    return {"kind": "outcome", "name": one.name, "value": value}


def _number(one: Judgement) -> float:
    if isinstance(one.value, str):
        raise InvalidInput(
            f"{one.name}: the loop declares it as an outcome, so its value must be a number or a boolean"
        )
    return float(one.value)


def _praises(name: str) -> bool:
    said = words(name)
    return bool(said & _PRAISE) and not said & _BLAME


def words(name: str) -> frozenset[str]:
    """The words of a name in snake, kebab or camel case, in lower case.

    >>> sorted(words("userThumbs-up_v2"))
    ['2', 'thumbs', 'up', 'user', 'v']
    """
    return frozenset(re.findall(r"[a-z]+|[0-9]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower()))


def _text(value: Value) -> str:
    if not isinstance(value, str):
        raise InvalidInput(f"expected a text, got {shown(value)}")
    return value


def shown(value: Any) -> str:
    """A kind of JSON value, for messages."""
    kinds = {dict: "an object", list: "a list", str: "a text", bool: "a boolean", type(None): "null"}
    return kinds.get(type(value), "a number")


def text_field(given: Mapping[str, Any], field: str, most: int | None = None) -> str:
    """A text that has to be there, of at most `most` characters; InvalidInput names the field."""
    value = given.get(field)
    if not isinstance(value, str) or not value.strip():
        raise InvalidInput(f"{field}: a text is needed, got {shown(value) if value != '' else 'an empty one'}")
    if most is not None and len(value) > most:
        raise InvalidInput(f"{field}: {len(value):,} characters; at most {most} are possible")
    return value


def optional_text(given: Mapping[str, Any], field: str) -> str | None:
    """A text that may be absent, null or empty (then None)."""
    value = given.get(field)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise InvalidInput(f"{field}: expected a text, got {shown(value)}")
    return value


def object_field(given: Mapping[str, Any], field: str) -> dict[str, Any]:
    """An object that may be absent or null (then empty)."""
    value = given.get(field)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidInput(f"{field}: expected an object, got {shown(value)}")
    return value


def number(value: Any, field: str) -> float:
    """A finite number; InvalidInput for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidInput(f"{field}: expected a number, got {shown(value)}")
    try:
        made = float(value)
    except OverflowError:
        made = math.inf
    if not math.isfinite(made):
        raise InvalidInput(f"{field}: the number is too large")
    return made


def scale_of(given: Mapping[str, Any]) -> float | None:
    """`scale` of tags or metadata, as a number or as text; None without one."""
    value = given.get("scale")
    if value is None:
        return None
    try:
        made = number(float(value) if isinstance(value, str) else value, "scale")
    except ValueError:
        raise InvalidInput("scale: expected a number") from None
    if made <= 0:
        raise InvalidInput("scale: must be above 0")
    return made


def person_of(given: Mapping[str, Any]) -> tuple[str | None, dict[str, Any]]:
    """Who is meant by tags or metadata, and the rest: a name may not stay in what is stored as it came.

    >>> person_of({"user_id": "ada", "page": 3})
    ('ada', {'page': 3})
    """
    named = [given[key] for key in _PERSON if given.get(key) not in (None, "")]
    rest = {key: value for key, value in given.items() if key not in _PERSON}
    if not named:
        return None, rest
    if not isinstance(named[0], str | int) or isinstance(named[0], bool):
        raise InvalidInput(f"user: expected a text, got {shown(named[0])}")
    return str(named[0]), rest

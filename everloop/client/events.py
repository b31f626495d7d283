"""What is sent, made and checked at the call: a bad kind is the caller's mistake and is told to the caller."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple
from urllib.parse import quote

import msgspec

from everloop.errors import InvalidInput
from everloop.ids import new_id, now
from everloop.types import Feedback, Interaction

Priority = Literal["critical", "normal", "bulk"]
RANKS: dict[str, int] = {"critical": 0, "normal": 1, "bulk": 2}  # a lower rank goes first and is given up last
CLASSES = tuple(RANKS)
# By what an event is: what a person took pains over is critical, what a page emits by the hundred is bulk.
PRIORITIES: dict[str, Priority] = {
    "interaction": "normal", "correction": "critical", "intervention": "critical", "label": "critical",
    "demonstration": "critical", "implicit": "bulk",
}  # fmt: skip
FEEDBACK_PATH = "/v1/feedback"

_KINDS: dict[str, Any] = {str(kind.__struct_config__.tag): kind for kind in Feedback.__args__}
_LABELLING = ("correction", "label", "demonstration", "intervention")
_BOUGHT = ("label", "split")  # what `log` takes beside the fields of an interaction
_encoder = msgspec.json.Encoder()


class Event(NamedTuple):
    """One line on its way: `body` is the JSON the server gets, the same bytes however often it is sent."""

    id: str
    path: str
    body: bytes
    rank: int


def interactions_path(loop: str) -> str:
    """Where interactions of a loop are sent."""
    return f"/v1/loops/{quote(loop, safe='')}/interactions"


def interaction_event(loop: str | None, given: Mapping[str, Any], rank: int) -> Event:
    """An interaction of `loop` as the line to send; id and time are made where absent.

    Raises InvalidInput with one line for what is not an interaction.

    >>> interaction_event("support", {"input": "hi", "id": "a", "at": 1}, 1)
    Event(id='a', path='/v1/loops/support/interactions', body=b'{"input":"hi","id":"a","at":1}', rank=1)
    """
    if not loop:
        raise InvalidInput('which loop? Client(url, loop="…") or log(…, loop="…")')
    fields = {key: value for key, value in given.items() if value is not None}
    if "input" not in fields:
        raise InvalidInput("an interaction needs an input")
    _stamp(fields)
    checked = {key: value for key, value in fields.items() if key not in _BOUGHT}
    checked["loop"] = loop
    _check(checked, Interaction, "an interaction")
    for name in _BOUGHT:
        if not isinstance(fields.get(name, ""), str):
            raise InvalidInput(f"{name}: expected a text, got {type(fields[name]).__name__}")
    return Event(fields["id"], interactions_path(loop), _encode(fields), rank)


def said(given: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Which kind of feedback the keywords of `Client.feedback` are, and its fields with the value in place.

    >>> said({"correction": "card_lost", "rationale": "it says so"})
    ('correction', {'rationale': 'it says so', 'value': 'card_lost'})
    >>> said({"smile": 1})
    Traceback (most recent call last):
        ...
    everloop.errors.InvalidInput: say one of comment=, correction=, demonstration=, implicit=, intervention=, label=, \
outcome=, rating=, thumb=, vote=; got smile
    """
    kinds = [name for name in given if name in _KINDS]
    if "demonstration" in kinds:
        kinds = ["demonstration"]  # which has a field called outcome
    if len(kinds) != 1:
        got = ", ".join(kinds or given) or "nothing"
        raise InvalidInput(f"say one of {'=, '.join(sorted(_KINDS))}=; got {got}")
    (kind,) = kinds
    fields = {key: value for key, value in given.items() if key != kind and value is not None}
    fields["value"] = given[kind]
    return kind, fields


def feedback_event(interaction: str, kind: str, fields: Mapping[str, Any], rank: int) -> Event:
    """Feedback as the line to send; id and time are made where absent. Raises InvalidInput with one line."""
    made = dict(fields)
    made["interaction"] = interaction
    _stamp(made)
    if kind == "thumb" and isinstance(made["value"], bool):
        made["value"] = "up" if made["value"] else "down"
    made["kind"] = kind
    _check(made, _KINDS[kind], f"a {kind}")
    if kind in _LABELLING and not made["value"].strip():
        raise InvalidInput(f"a {kind} can't be blank")
    return Event(made["id"], FEEDBACK_PATH, _encode(made), rank)


def rank_of(priority: str | None, kind: str, priorities: Mapping[str, str]) -> int:
    """The rank of an event: what the call says, else what its kind has, else normal."""
    name = priority or priorities.get(kind) or "normal"
    if name not in RANKS:
        raise InvalidInput(f"priority {name!r}: must be one of {', '.join(RANKS)}")
    return RANKS[name]


def check_priorities(priorities: Mapping[str, str]) -> dict[str, str]:
    """The classes by kind, the built-in ones where `priorities` is silent; InvalidInput for a name there is not."""
    for kind, name in priorities.items():
        if kind != "interaction" and kind not in _KINDS:
            raise InvalidInput(f"priorities: no kind {kind!r}; known are interaction, {', '.join(sorted(_KINDS))}")
        rank_of(name, kind, {})
    return {**PRIORITIES, **priorities}


def _stamp(fields: dict[str, Any]) -> None:
    if "id" not in fields:
        fields["id"] = new_id()
    if "at" not in fields:
        fields["at"] = now()


def _check(fields: Mapping[str, Any], struct: Any, what: str) -> None:
    for name in fields:
        if name not in struct.__struct_fields__ and name != "kind":
            known = ", ".join(f for f in struct.__struct_fields__ if f not in ("loop", "interaction"))
            raise InvalidInput(f"{what} has no {name!r}; it has {known}")
    try:
        msgspec.convert(fields, struct)
    except msgspec.ValidationError as error:
        text = " ".join(str(error).split())
        raise InvalidInput(text.replace(" - at `$.", " - at `").replace(" - at `$`", "")) from None
    for name in ("id", "interaction"):
        value = fields.get(name)
        if isinstance(value, str) and not (0 < len(value) <= 200 and value.isprintable()):
            raise InvalidInput(f"{name}: must be 1 to 200 printable characters")


def _encode(fields: Mapping[str, Any]) -> bytes:
    try:
        return _encoder.encode(fields)
    except (TypeError, UnicodeEncodeError, OverflowError, RecursionError, ValueError) as error:
        raise InvalidInput(f"can't be sent as JSON: {' '.join(str(error).split())}") from None

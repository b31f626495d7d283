"""What comes from outside, turned into records or refused with one line: objects, NDJSON, keyword arguments."""

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from everloop.collect.door import Door
from everloop.errors import InvalidInput, TooLarge
from everloop.ids import new_id, now
from everloop.types import Feedback, Input, Interaction, Label, LoopSpec, Rating

_KINDS = {kind.__struct_config__.tag: kind for kind in Feedback.__args__}
_LABELLING = ("correction", "label", "demonstration", "intervention")
_WRITTEN = ("rationale", "note", "goal", "case", "steps", "outcome")  # what people write in their own words
_FEEDBACK_OWN = frozenset({"loop", "kind", "redacted"})
_MAX_ID = 200
_MAX_LABEL = 500  # characters: labels stand in every answer, on pages and in each model


class Line(NamedTuple):
    """One line of NDJSON: its number from 1, and the object or what is wrong with it."""

    number: int
    value: dict[str, Any] | None
    error: str | None


def parse_lines(body: bytes) -> Iterator[Line]:
    """The objects of an NDJSON body, one at a time; blank lines are skipped, bad ones say why."""
    for number, raw in enumerate(body.split(b"\n"), start=1):
        if not raw.strip():
            continue
        try:
            value = msgspec.json.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            yield Line(number, None, f"not JSON: {_one_line(error)}")
            continue
        if not isinstance(value, dict):
            yield Line(number, None, f"expected an object, got {type(value).__name__}")
            continue
        yield Line(number, value, None)


def build_interaction(spec: LoopSpec, given: Mapping[str, Any], door: Door) -> Interaction:
    """An interaction of loop `spec` from what a client sent; id and time are made where absent.

    Private data is redacted from the input and the context. Raises InvalidInput with one line that names the field,
    TooLarge if the input is over the door's limit as JSON.
    """
    fields = {key: value for key, value in given.items() if value is not None and key != "redacted"}
    if "input" not in fields:
        raise InvalidInput('an interaction needs an "input"')
    check_input(fields["input"], door.max_input_bytes)
    fields.setdefault("id", new_id())
    fields.setdefault("at", now())
    fields["loop"] = spec.name
    if "subject" in fields:
        fields["subject"] = door.pseudonyms.of(_text(fields["subject"], "subject"))
    _check_known(fields, Interaction)
    fields["redacted"] = door.clean(fields, ("input", "context"))
    made: Interaction = _convert(fields, Interaction)
    return made


def build_feedback(
    given: Mapping[str, Any], door: Door, labels: Mapping[str, tuple[str, ...]] | None = None, loop: str | None = None
) -> Feedback:  # fmt: skip
    """Feedback of any kind from what a client sent; `kind` says which. Id and time are made where absent.

    `labels` maps loops to their closed sets of labels; with `loop` known, a label outside its set is refused. Private
    data is redacted from what people wrote: rationale, note, comment, steps, and a label of an open set.
    Raises InvalidInput with one line that names the field.
    """
    kind = given.get("kind")
    struct = _KINDS.get(kind) if isinstance(kind, str) else None
    if struct is None:
        raise InvalidInput(f'feedback needs a "kind"; one of {", ".join(sorted(map(str, _KINDS)))} (got {kind!r})')
    fields = {key: value for key, value in given.items() if value is not None and key not in _FEEDBACK_OWN}
    if "interaction" not in fields:
        raise InvalidInput(f'a {kind} needs the "interaction" it speaks of')
    fields.setdefault("id", new_id())
    fields.setdefault("at", now())
    if "subject" in fields:
        fields["subject"] = door.pseudonyms.of(_text(fields["subject"], "subject"))
    _check_known(fields, struct)
    closed = (labels or {}).get(loop or "", ())
    written = (*_WRITTEN, "value") if kind == "comment" or (kind in _LABELLING and not closed) else _WRITTEN
    fields["redacted"] = door.clean(fields, written)
    if isinstance(fields.get("value"), bool) and kind == "thumb":
        fields["value"] = "up" if fields["value"] else "down"
    made: Feedback = _convert(fields, struct)
    if isinstance(made, Rating) and not 0 <= made.value <= made.scale:
        raise InvalidInput(f"rating {made.value:g}: must be between 0 and its scale, {made.scale:g}")
    if kind in _LABELLING:
        check_label(str(made.value), closed, loop)
    return made


def check_label(value: Any, labels: tuple[str, ...], loop: str | None) -> None:
    """Raise InvalidInput if `value` is no text, blank, too long, or (with the nearest labels) outside the set `labels`.

    An empty set is open.
    """
    if not _text(value, "label").strip():
        raise InvalidInput("a label can't be blank")
    if len(value) > _MAX_LABEL:
        raise InvalidInput(f"a label of {len(value):,} characters; at most {_MAX_LABEL} are possible")
    if labels and value not in labels:
        near = difflib.get_close_matches(value, labels, n=3, cutoff=0.4) or list(labels[:3])
        raise InvalidInput(f"{_short(value)} is not a label of loop {loop!r}; did you mean {' or '.join(near)}?")


def check_input(value: Input, max_bytes: int) -> None:
    """Raise InvalidInput or TooLarge unless `value` is a text, a list of numbers or an object, within `max_bytes`."""
    if not isinstance(value, str | list | dict):
        raise InvalidInput(f"input: expected a text, a list of numbers or an object, got {type(value).__name__}")
    if isinstance(value, list) and not all(isinstance(x, int | float) and not isinstance(x, bool) for x in value):
        raise InvalidInput("input: a list must hold numbers only")
    try:
        size = len(value) if isinstance(value, str) and len(value) * 4 <= max_bytes else len(msgspec.json.encode(value))
    except UnicodeEncodeError:
        raise InvalidInput("input: not valid Unicode (an unpaired surrogate)") from None
    except (TypeError, OverflowError, RecursionError) as error:
        raise InvalidInput(f"input: can't be written as JSON: {_one_line(error)}") from None
    if size > max_bytes:
        raise TooLarge(f"input is {size:,} bytes; the limit is {max_bytes:,} (EVERLOOP_MAX_INPUT_BYTES)")


def imported_label(interaction: Interaction, value: str, split: str | None = None) -> Label:
    """The label that came with a row of somebody's file; its id follows from the interaction's, so a retry is known."""
    made: Label = _convert(
        {"id": f"{interaction.id}.label", "interaction": interaction.id, "at": interaction.at, "value": value,
         "source": "import", "split": split},
        Label,
    )  # fmt: skip
    return made


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise InvalidInput(f"{name}: expected a text, got {type(value).__name__}")
    return value


def _check_known(fields: Mapping[str, Any], struct: Any) -> None:
    known = struct.__struct_fields__
    for name in fields:
        if name not in known:
            raise InvalidInput(f"unknown field {_short(str(name))}; known are {', '.join(known)}")
    for name in ("id", "interaction"):
        value = fields.get(name)
        if isinstance(value, str) and not (0 < len(value) <= _MAX_ID and value.isprintable()):
            raise InvalidInput(f"{name}: must be 1 to {_MAX_ID} printable characters")


def _convert(fields: Mapping[str, Any], struct: Any) -> Any:
    tag = struct.__struct_config__.tag
    try:
        made = msgspec.convert({**fields, "kind": tag} if tag else dict(fields), struct)
        msgspec.json.encode(made)  # unpaired surrogates and the like are refused here, not at the disk
        return made
    except msgspec.ValidationError as error:
        raise InvalidInput(_one_line(error)) from None
    except (UnicodeEncodeError, OverflowError, RecursionError, TypeError) as error:
        raise InvalidInput(f"can't be stored: {_one_line(error)}") from None


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text.replace("$.", "").replace(" - at `$`", "")


def _short(value: str) -> str:
    return repr(value if len(value) <= 60 else value[:57] + "…")


__all__ = ["Line", "build_feedback", "build_interaction", "check_input", "check_label",
           "imported_label", "parse_lines"]  # fmt: skip

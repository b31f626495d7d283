"""What comes from outside, turned into records or refused with one line: objects, NDJSON, keyword arguments."""

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from everloop.collect import consent
from everloop.collect.attachments import referred
from everloop.collect.door import Door
from everloop.collect.shapes import check_shape, check_time
from everloop.errors import InvalidInput, TooLarge
from everloop.ids import new_id, now
from everloop.types import Attachment, Feedback, Input, Interaction, Label, LoopSpec

_KINDS = {kind.__struct_config__.tag: kind for kind in Feedback.__args__}
_LABELLING = ("correction", "label", "demonstration", "intervention")
# What people write in their own words.
_WRITTEN = ("rationale", "note", "goal", "case", "steps", "outcome", "context", "fields", "hindsight_label", "trigger",
            "reason_start", "reason_end", "context_type")  # fmt: skip
_ALL_WRITTEN = (*_WRITTEN, "value")
# Of an interaction. A label of a closed set is nobody's private data, and has to stay what it is. Names of sessions,
# devices, items and models are names: what is joined by them must not change.
_TEXTS = ("input", "context", "message", "error")
_OPEN_TEXTS = (*_TEXTS, "output", "alternatives")
_FEEDBACK_OWN = frozenset({"loop", "kind", "redacted", "diff", "distance"})
_INTERACTION_OWN = frozenset({"redacted", "attachments"})
_MAX_ID = 200
MAX_LABEL = 500  # characters: labels stand in every answer, on pages and in each model


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

    Private data is redacted from the input and the context, and from what a chat answered. Bytes in the input or the
    message go to Blobs, durably (in a thread, then: see `may_hold`). Without consent to "service" nothing is kept, and
    the id says so: see `consent.stored`. Raises InvalidInput with one line that names the field, TooLarge if the input
    is over the door's limit as JSON.
    """
    fields = {key: value for key, value in given.items() if value is not None and key not in _INTERACTION_OWN}
    if "input" not in fields:
        raise InvalidInput('an interaction needs an "input"')
    parts = door.keeper.take_out(fields, ("input", "message")) if door.keeper is not None else []
    if not isinstance(fields["input"], Attachment):  # or the whole input is one
        check_input(fields["input"], door.max_input_bytes)
    if "id" not in fields:
        fields["id"] = new_id()
    fields.setdefault("at", now())
    fields["loop"] = spec.name
    if "subject" in fields:
        fields["subject"] = door.pseudonyms.of(_text(fields["subject"], "subject"))
    _check_known(fields, Interaction)
    allows = door.preferences.of(fields.get("subject")) if door.preferences is not None else {}
    fields["consent"] = consent.agreed(fields.get("consent"), allows)
    fields["redacted"] = door.clean(fields, _TEXTS if spec.labels else _OPEN_TEXTS)
    if parts:
        _refer(fields, [part.attachment for part in parts], door)
    made: Interaction = _convert(fields, Interaction)
    check_time(made.at)
    if not consent.stored(made):
        return msgspec.structs.replace(made, id=f"{consent.UNSTORED}{made.id.removeprefix(consent.UNSTORED)}"[:_MAX_ID])
    if made.id.startswith(consent.UNSTORED):
        raise InvalidInput(f"id: {consent.UNSTORED!r} at its beginning means that nothing is stored; choose another")
    if parts and door.keeper is not None:
        door.keeper.keep(made.id, parts)
    return made


def _refer(fields: dict[str, Any], attachments: list[Attachment], door: Door) -> None:
    """Put the object that stands for it where each attachment was. A file's name is a text like any other; its hash is
    not, and was kept from redaction until now."""
    names: dict[str, Any] = {str(at): part.name for at, part in enumerate(attachments) if part.name is not None}
    for kind, n in door.clean(names, list(names)).items():
        fields["redacted"][kind] = fields["redacted"].get(kind, 0) + n
    renamed = [
        msgspec.structs.replace(part, name=names.get(str(at), part.name)) for at, part in enumerate(attachments)
    ]  # fmt: skip
    by_place = {id(old): new for old, new in zip(attachments, renamed, strict=True)}
    for name in ("input", "message"):
        if isinstance(fields.get(name), dict | Attachment):
            fields[name] = referred(fields[name], by_place)
    fields["attachments"] = tuple(renamed)


def build_feedback(
    given: Mapping[str, Any], door: Door, labels: Mapping[str, tuple[str, ...]] | None = None, loop: str | None = None,
    longest: int = MAX_LABEL,
) -> Feedback:  # fmt: skip
    """Feedback of any kind from what a client sent; `kind` says which. Id and time are made where absent.

    `labels` maps loops to their closed sets of labels; with `loop` known, a label outside its set is refused, and any
    of more than `longest` characters. `hear` knows what to give here. Private data is redacted from what people wrote:
    rationale, note, comment, steps, fields, and a label of an open set.
    Raises InvalidInput with one line that names the field.
    """
    kind = given.get("kind")
    struct = _KINDS.get(kind) if isinstance(kind, str) else None
    if struct is None:
        raise InvalidInput(f'feedback needs a "kind"; one of {", ".join(sorted(map(str, _KINDS)))} (got {kind!r})')
    fields = {key: value for key, value in given.items() if value is not None and key not in _FEEDBACK_OWN}
    if "interaction" not in fields:
        raise InvalidInput(f'a {kind} needs the "interaction" it speaks of')
    if "id" not in fields:
        fields["id"] = new_id()
    if "at" not in fields:
        fields["at"] = now()
    if "subject" in fields:
        fields["subject"] = door.pseudonyms.of(_text(fields["subject"], "subject"))
    _check_known(fields, struct)
    if "consent" in fields:
        fields["consent"] = consent.purposes(fields["consent"])
    closed = (labels or {}).get(loop or "", ())
    written = _ALL_WRITTEN if kind == "comment" or (kind in _LABELLING and not closed) else _WRITTEN
    if redacted := door.clean(fields, written):
        fields["redacted"] = redacted
    if isinstance(fields.get("value"), bool) and kind == "thumb":
        fields["value"] = "up" if fields["value"] else "down"
    made: Feedback = _convert(fields, struct)
    check_shape(made)
    if kind in _LABELLING:
        check_label(str(made.value), closed, loop, longest)
    return made


def check_label(value: Any, labels: tuple[str, ...], loop: str | None, longest: int = MAX_LABEL) -> None:
    """Raise InvalidInput if `value` is no text, blank, too long, or (with the nearest labels) outside the set `labels`.

    An empty set is open.
    """
    if not _text(value, "label").strip():
        raise InvalidInput("a label can't be blank")
    if len(value) > longest:
        raise InvalidInput(f"a label of {len(value):,} characters; at most {longest:,} are possible")
    if labels and value not in labels:
        near = difflib.get_close_matches(value, labels, n=3, cutoff=0.4) or list(labels[:3])
        raise InvalidInput(
            f"{_short(value)} is not a label of loop {loop!r}; did you mean {' or '.join(near)}? A new one is added by "
            f"declaring them all: everloop init {loop} --labels {','.join(labels[:2])},…"
        )


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


def imported_label(
    spec: LoopSpec, interaction: Interaction, value: str, split: str | None, door: Door
) -> Label:  # fmt: skip
    """The label that came with a row of somebody's file; its id follows from the interaction's, so a retry is known.

    Private data is redacted from it, unless it is of a closed set.
    """
    fields = {"id": f"{interaction.id}.label", "interaction": interaction.id, "at": interaction.at, "value": value,
              "source": "import", "split": split}  # fmt: skip
    if not spec.labels and (redacted := door.clean(fields, ("value",))):
        fields["redacted"] = redacted
    made: Label = _convert(fields, Label)
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


__all__ = ["MAX_LABEL", "Line", "build_feedback", "build_interaction", "check_input", "check_label",
           "imported_label", "parse_lines"]  # fmt: skip

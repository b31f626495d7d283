"""What each kind of feedback must be beyond its types: numbers that can be, texts that say something."""

import math
from functools import cache
from typing import Any

import msgspec

from everloop.errors import InvalidInput
from everloop.types import Comment, Demonstration, Implicit, Intervention, Outcome, Rating, Vote

_MAX_NAME = 200  # characters of an implicit signal or an outcome's name
_MAX_OTHERS = 100  # answers a vote compares
_MAX_FIELDS, _MAX_FIELDS_BYTES = 64, 16_384  # of an implicit signal or outcome
# The years 1 to 9999, in ms since 1970: a device without a clock of its own may well begin before that.
_EARLIEST, _LATEST = -62_135_596_800_000, 253_402_300_799_999

# (field, least, most): inclusive, and finite.
_RANGES: tuple[tuple[str, float, float], ...] = (
    ("seconds", 0, math.inf),
    ("severity", 0, 1),
    ("before_s", 0, math.inf),
    ("after_s", 0, math.inf),
    ("window_s", 0, math.inf),
    ("position", 0, math.inf),
    ("session_length", 0, math.inf),
    ("dwell_ms", 0, math.inf),
    ("seek_forward", 0, math.inf),
    ("seek_back", 0, math.inf),
    ("hour", 0, 23),
)


@cache
def _ranges(kind: Any) -> tuple[tuple[str, float, float], ...]:
    return tuple(one for one in _RANGES if one[0] in kind.__struct_fields__)


def check_shape(made: Any) -> None:
    """Raise InvalidInput, in one line that names the field, for feedback of the right types that can't be meant."""
    check_time(made.at)
    for name, least, most in _ranges(made.__class__):
        value = getattr(made, name)
        if value is None:
            continue
        if not (math.isfinite(value) and least <= value <= most):
            to = f"between {least:g} and {most:g}" if math.isfinite(most) else f"{least:g} or more"
            raise InvalidInput(f"{name} {value:g}: must be {to}")
    match made:
        case Rating():
            _rating(made)
        case Vote():
            _vote(made)
        case Implicit():
            _name(made.value, "an implicit signal's value")
            _fields(made.fields, "fields")
        case Outcome():
            if not math.isfinite(made.value):
                raise InvalidInput(f"value {made.value:g}: an outcome is a finite number")
            if made.name:
                _name(made.name, "an outcome's name")
            if made.silent:
                raise InvalidInput("silent: only Everloop itself says that nobody has said anything")
            _fields(made.fields, "fields")
        case Comment(value=value) if not value.strip():
            raise InvalidInput("a comment can't be blank")
        case Demonstration():
            for number, step in enumerate(made.steps, start=1):
                if not step:
                    raise InvalidInput(f"steps: step {number} is empty")
        case Intervention(hindsight_label=label) if label is not None and not label.strip():
            raise InvalidInput("hindsight_label: can't be blank")


def check_time(at: int) -> None:
    """Raise InvalidInput for a time that no clock shows; one that is merely wrong is taken, and counted as such."""
    if not _EARLIEST <= at <= _LATEST:
        raise InvalidInput(f"at {at}: must be milliseconds since 1970, in the years 1 to 9999")


def _rating(made: Rating) -> None:
    if not (math.isfinite(made.scale) and made.scale > 0):
        raise InvalidInput(f"rating {made.value:g}: its scale, {made.scale:g}, must be above 0")
    if not 0 <= made.value <= made.scale:
        raise InvalidInput(f"rating {made.value:g}: must be between 0 and its scale, {made.scale:g}")


def _vote(made: Vote) -> None:
    if not made.other and not made.others:
        raise InvalidInput('a vote needs the "other" interaction, or all "others" where it is between more than two')
    for id in (made.other, *made.others):
        if id and not (len(id) <= _MAX_NAME and id.isprintable()):
            raise InvalidInput(f"other: must be 1 to {_MAX_NAME} printable characters")
    if not all(made.others):
        raise InvalidInput("others: an id can't be empty")
    if len(made.others) > _MAX_OTHERS:
        raise InvalidInput(f"others: {len(made.others)} answers; at most {_MAX_OTHERS} can be compared")
    if made.interaction in (made.other, *made.others):
        raise InvalidInput("a vote is between different interactions; one is compared with itself")
    if len(set(made.others)) < len(made.others):
        raise InvalidInput("others: one interaction is there twice")
    if made.others and made.other and made.other not in made.others:
        raise InvalidInput('"other", the better one, must be among the "others"')
    if made.value == "other" and not made.other:
        raise InvalidInput('say in "other" which of the "others" is better')
    if isinstance(made.value, int):
        answers = 1 + (len(made.others) or 1)
        if not 1 <= made.value <= answers:
            raise InvalidInput(f"rank {made.value}: must be between 1, the best, and {answers}, the answers compared")


def _name(text: str, what: str) -> None:
    if not (0 < len(text) <= _MAX_NAME and text.isprintable() and text.strip()):
        raise InvalidInput(f"{what} must be 1 to {_MAX_NAME} printable characters")


def _fields(fields: dict[str, Any], what: str) -> None:
    if not fields:
        return
    if len(fields) > _MAX_FIELDS or len(msgspec.json.encode(fields)) > _MAX_FIELDS_BYTES:
        raise InvalidInput(f"{what}: at most {_MAX_FIELDS} of them, {_MAX_FIELDS_BYTES:,} bytes in all")
    for name in fields:
        _name(name, f"a name in {what}")
    if not _finite(fields):
        raise InvalidInput(f"{what}: a number that is not finite")


def _finite(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(_finite(part) for part in value.values())
    return all(_finite(part) for part in value) if isinstance(value, list | tuple) else True


__all__ = ["check_shape", "check_time"]

"""Declared signals: whether a declaration can be, and whether what comes in is as it was declared.

An implicit signal or outcome that is declared must be what was declared. One that is not declared is taken as it is:
nothing that happened is turned away because nobody has thought of it yet. It has no columns and is not watched.
"""

import difflib
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from everloop.errors import InvalidInput
from everloop.types import Implicit, LoopSpec, Outcome, SignalSpec

FIXED = ("interaction", "asked", "at", "received", "silent", "value")  # columns every signal has
_FIELD = re.compile(r"[a-z][a-z0-9_]{0,39}")
_TYPES = {"int": "a whole number", "float": "a number", "str": "a text", "bool": "true or false"}
# Fields every implicit signal may have; declared, they are columns as well.
_OWN = {"item": "str", "position": "int", "session_length": "int", "reason_start": "str", "reason_end": "str",
        "dwell_ms": "int", "skipped": "str", "pause_before": "str", "seek_forward": "int", "seek_back": "int",
        "context_type": "str", "hour": "int"}  # fmt: skip
_MOST = 64  # signals of a loop, and fields of a signal


def check_signals(signals: Sequence[SignalSpec]) -> None:
    """Raise InvalidInput, in one line, for declarations that can't be."""
    if len(signals) > _MOST:
        raise InvalidInput(f"{len(signals)} signals; a loop declares at most {_MOST}")
    seen = set()
    for one in signals:
        what = f"signal {one.name!r}"
        if not (0 < len(one.name) <= 100 and one.name.isprintable() and one.name.strip()):
            raise InvalidInput(f"{what}: its name must be 1 to 100 printable characters")
        if (one.kind, one.name) in seen:
            raise InvalidInput(f"{what} is declared twice")
        seen.add((one.kind, one.name))
        _check_fields(one, what)
        if one.kind == "implicit" and (one.window_s is not None or one.silence is not None):
            raise InvalidInput(f'{what}: window_s and silence are for outcomes (kind="outcome")')
        if one.window_s is not None and not (math.isfinite(one.window_s) and one.window_s > 0):
            raise InvalidInput(f"{what}: window_s {one.window_s:g} must be above 0")
        if one.silence is not None and not math.isfinite(one.silence):
            raise InvalidInput(f"{what}: silence must be a finite number")
        if one.silence is not None and one.window_s is None:
            raise InvalidInput(f"{what}: silence needs a window_s; without one it may still come any time")
        if not (math.isfinite(one.late_s) and one.late_s >= 0):
            raise InvalidInput(f"{what}: late_s {one.late_s:g} must be 0 or more")
        if one.expected is not None and not 0 <= one.expected <= 1:
            raise InvalidInput(f"{what}: expected {one.expected:g} is a share, between 0 and 1")


def _check_fields(one: SignalSpec, what: str) -> None:
    if len(one.fields) > _MOST:
        raise InvalidInput(f"{what}: {len(one.fields)} fields; at most {_MOST}")
    for name, type in one.fields.items():
        if not _FIELD.fullmatch(name):
            raise InvalidInput(f"{what}: field {name[:50]!r}: use lower-case letters, digits and '_', at most 40")
        if name in FIXED:
            raise InvalidInput(f"{what}: every signal has {name!r} already; call the field something else")
        if one.kind == "implicit" and _OWN.get(name, type) != type:
            raise InvalidInput(f"{what}: {name!r} is {_OWN[name]} in every implicit signal, not {type}")
    for name in one.required:
        if name not in one.fields:
            raise InvalidInput(f"{what}: required {name[:50]!r} is not among its fields{_nearest(name, one.fields)}")


def spec_of(made: Any, spec: LoopSpec) -> SignalSpec | None:
    """What the loop declares of an implicit signal or outcome; None where it declares nothing."""
    if isinstance(made, Outcome):
        kind, name = "outcome", made.name or spec.outcome
    elif isinstance(made, Implicit):
        kind, name = "implicit", made.value
    else:
        return None
    return next((one for one in spec.signals if (one.kind, one.name) == (kind, name)), None)


def check_signal(made: Any, spec: LoopSpec) -> None:
    """Raise InvalidInput for an implicit signal or outcome that is not as its loop declares it.

    >>> loop = LoopSpec(name="shop", signals=(SignalSpec(name="click", fields={"depth": "int"}),))
    >>> check_signal(Implicit(id="f", interaction="i", at=1, value="click", fields={"depht": 3}), loop)
    Traceback (most recent call last):
    everloop.errors.InvalidInput: click: unknown field 'depht'; did you mean depth?
    """
    declared = spec_of(made, spec)
    if declared is None:
        return
    for name, value in made.fields.items():
        if name not in declared.fields:
            raise InvalidInput(f"{declared.name}: unknown field {name[:50]!r}{_nearest(name, declared.fields)}")
        if isinstance(made, Implicit) and name in _OWN and getattr(made, name) is not None:
            raise InvalidInput(f"{declared.name}: {name!r} is there twice, in fields and beside them")
        if value is not None and not _is(value, declared.fields[name]):
            wanted = _TYPES[declared.fields[name]]
            raise InvalidInput(f"{declared.name}: {name}: expected {wanted}, got {_said(value)}")
    for name in declared.required:
        own = getattr(made, name) if isinstance(made, Implicit) and name in _OWN else None
        if made.fields.get(name) is None and own is None:
            raise InvalidInput(f"{declared.name}: {name!r} is required")


def _is(value: Any, type: str) -> bool:
    if isinstance(value, bool):
        return type == "bool"
    if type == "int":
        return isinstance(value, int) and -(2**63) <= value < 2**63
    if type == "float":
        return isinstance(value, int | float) and math.isfinite(value)
    return type == "str" and isinstance(value, str)


def _said(value: Any) -> str:
    return {dict: "an object", list: "an array", tuple: "an array", str: "a text", bool: "true or false"}.get(
        type(value), "a number that does not fit" if isinstance(value, int) else "a number"
    )


def _nearest(name: str, fields: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(name, fields, n=1, cutoff=0.5)
    if near:
        return f"; did you mean {near[0]}?"
    return f"; it has {', '.join(fields)}" if fields else "; it has none"


__all__ = ["FIXED", "check_signal", "check_signals", "spec_of"]

"""MLflow's assessments as our feedback, and back: feedback of people, judges and code, and expectations.

A trace is named "tr-" and the 32 hexadecimal digits of the OpenTelemetry trace. An expectation that says the answer
is a correction; MLflow's `expected_facts`, `guidelines` and other lists speak of the answer without being one and are
kept as comments.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from everloop.errors import InvalidInput
from everloop.interop.judgement import (
    MAX_NAME,
    NOTHING_DECLARED,
    Declared,
    Judgement,
    Source,
    Value,
    feedback_of,
    object_field,
    optional_text,
    person_of,
    scale_of,
    shown,
    text_field,
)
from everloop.interop.times import time_of
from everloop.types import Comment, Correction, Feedback, Label, Outcome, Rating, Thumb

_SOURCES: dict[str, Source] = {"HUMAN": "user", "LLM_JUDGE": "system", "AI_JUDGE": "system", "CODE": "system"}
_TRACE = re.compile(r"tr-([0-9a-f]{32})")
_MASK = re.compile(r"[A-Z]")
_ERRORS = {401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "RESOURCE_DOES_NOT_EXIST", 405: "ENDPOINT_NOT_FOUND",
           409: "RESOURCE_CONFLICT", 429: "REQUEST_LIMIT_EXCEEDED", 500: "INTERNAL_ERROR",
           503: "TEMPORARILY_UNAVAILABLE", 507: "TEMPORARILY_UNAVAILABLE"}  # fmt: skip


def trace_of(trace_id: str) -> str:
    """The OpenTelemetry trace of MLflow's trace id; another id (an interaction's) stays as it is.

    >>> trace_of("tr-" + "ab" * 16) == "ab" * 16, trace_of("i1")
    (True, 'i1')
    """
    found = _TRACE.fullmatch(trace_id)
    return found[1] if found else trace_id


def assessment(body: Any) -> dict[str, Any]:
    """The assessment of a request."""
    if not isinstance(body, dict) or not isinstance(body.get("assessment"), dict):
        raise InvalidInput('send {"assessment": {…}}')
    found: dict[str, Any] = body["assessment"]
    return found


def merged(old: Mapping[str, Any], body: Any) -> dict[str, Any]:
    """An assessment as `old` (`shown_as`) with the changes of an update request, which names them in its mask.

    >>> change = {"assessment": {"rationale": "y"}, "update_mask": "rationale"}
    >>> merged({"assessment_name": "a", "rationale": "x"}, change)
    {'assessment_name': 'a', 'rationale': 'y'}
    """
    change = assessment(body)
    mask = body.get("update_mask")
    if isinstance(mask, dict):  # the message's own form, as MLflow's server takes it too
        mask = ",".join(str(path) for path in mask.get("paths") or ())
    if not isinstance(mask, str) or not mask.strip():
        raise InvalidInput("update_mask: name the fields to change")
    out = dict(old)
    for name in (_MASK.sub(lambda m: "_" + m[0].lower(), part.strip()) for part in mask.split(",")):
        if name not in {"assessment_name", "feedback", "expectation", "rationale", "metadata"}:
            raise InvalidInput(
                f"update_mask: {name[:60]!r} can't be changed; only the name, value, rationale, metadata"
            )
        if name == "metadata":
            out[name] = {**object_field(out, name), **object_field(change, name)}
        else:
            out[name] = change.get(name)
    for this, other in (("feedback", "expectation"), ("expectation", "feedback")):
        if this in mask and out.get(this) is not None:
            out.pop(other, None)
    return out


def feedback(
    given: Mapping[str, Any], id: str, trace_id: str, interaction: str, declared: Declared = NOTHING_DECLARED
) -> list[dict[str, Any]]:  # fmt: skip
    """The fields of the feedback that an assessment of `trace_id` is; `interaction` is what it is put to.

    >>> given = {"assessment_name": "correct", "source": {"source_type": "HUMAN"}, "feedback": {"value": False}}
    >>> [(f["kind"], f["value"]) for f in feedback(given, "a-1", "tr-1", "i1")]
    [('thumb', 'down')]
    """
    source = object_field(given, "source")
    kind = source.get("source_type", "CODE")
    if not isinstance(kind, str) or kind not in _SOURCES:
        raise InvalidInput(f"source.source_type: one of {', '.join(_SOURCES)}, got {str(kind)[:40]!r}")
    person, metadata = person_of(object_field(given, "metadata"))
    who = optional_text(source, "source_id")
    context: dict[str, Any] = {"tool": "mlflow", "by": kind, "trace": trace_id}
    if _SOURCES[kind] == "system" and who:
        context["judge"] = who
    if metadata:
        context["metadata"] = metadata
    for field, kept in (("span_id", "span"), ("overrides", "overrides")):
        if (value := optional_text(given, field)) is not None:
            context[kept] = value
    one = Judgement(
        id=id, interaction=interaction, name=text_field(given, "assessment_name", MAX_NAME), value="",
        context=context, source=_SOURCES[kind], rationale=optional_text(given, "rationale"),
        scale=scale_of(metadata), at=time_of(given.get("create_time"), "create_time"),
        subject=who if _SOURCES[kind] == "user" and who not in (None, "default") else person,
    )  # fmt: skip
    said = [name for name in ("feedback", "expectation") if given.get(name) is not None]
    if len(said) != 1:
        raise InvalidInput("an assessment holds one of feedback and expectation")
    return _judged(one, object_field(given, said[0]), declared) if said[0] == "feedback" else _expected(
        one, object_field(given, said[0]), declared
    )  # fmt: skip


def _judged(one: Judgement, held: Mapping[str, Any], declared: Declared) -> list[dict[str, Any]]:
    value, error = held.get("value"), held.get("error")
    if value is None and isinstance(error, dict):
        code, message = str(error.get("error_code") or "error"), str(error.get("error_message") or "")
        context = {**one.context, "error": code}
        return feedback_of(
            one._replace(role="words", value=f"{one.name}: {code}: {message}", context=context), declared
        )
    if not isinstance(value, bool | int | float | str):
        raise InvalidInput(f"feedback.value: {shown(value)} can't be kept as one; send an assessment for each value")
    word = {"word": value} if isinstance(value, str) else {"boolean": True} if isinstance(value, bool) else {}
    return feedback_of(one._replace(value=_plain(value), context={**one.context, **word}), declared)


def _expected(one: Judgement, held: Mapping[str, Any], declared: Declared) -> list[dict[str, Any]]:
    context = {**one.context, "expectation": True}
    if (packed := held.get("serialized_value")) is not None:
        text = text_field(packed, "value") if isinstance(packed, dict) else ""
        if not text:
            raise InvalidInput("expectation.serialized_value: expected {serialization_format, value}")
        context["json"] = True
        return feedback_of(one._replace(role="words", value=f"{one.name}: {text}", context=context), declared)
    value = held.get("value")
    if isinstance(value, str) and one.name not in {"expected_facts", "guidelines"}:
        return feedback_of(one._replace(role="answer", value=text_field(held, "value"), context=context), declared)
    if value is None:
        raise InvalidInput("expectation.value: say what was expected")
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    context["json"] = not isinstance(value, str)
    return feedback_of(one._replace(role="words", value=f"{one.name}: {text}", context=context), declared)


def _plain(value: Value) -> Value:
    return value if isinstance(value, bool | str) else float(value)


def shown_as(kept: Feedback, id: str, rationale: str | None = None) -> dict[str, Any]:
    """An assessment as MLflow's client reads it, from the feedback it was kept as; who said it is a pseudonym."""
    context = kept.context
    kind = context.get("by", "HUMAN" if kept.source in {"user", "reviewer"} else "CODE")
    out: dict[str, Any] = {
        "assessment_id": id, "assessment_name": context.get("name", "feedback"), "trace_id": context.get("trace", ""),
        "source": {"source_type": kind, "source_id": kept.subject or context.get("judge") or "default"},
        "create_time": _stamp(kept.at), "last_update_time": _stamp(kept.at), "valid": True,
    }  # fmt: skip
    value, own = _value(kept), getattr(kept, "rationale", None) or rationale
    if context.get("expectation"):
        packed = {"serialization_format": "JSON_FORMAT", "value": value}
        out["expectation"] = {"serialized_value": packed} if context.get("json") else {"value": value}
    elif context.get("error"):
        out["feedback"] = {"value": None, "error": {"error_code": context["error"], "error_message": value}}
    else:
        out["feedback"] = {"value": value}
    for field, kept_as in (("span_id", "span"), ("overrides", "overrides"), ("metadata", "metadata")):
        if kept_as in context:
            out[field] = context[kept_as]
    if own:
        out["rationale"] = own
    return out


def _value(kept: Feedback) -> Any:
    if "word" in kept.context:
        return kept.context["word"]
    match kept:
        case Thumb(value=value):
            return value == "up"
        case Outcome(value=value):
            return bool(value) if kept.context.get("boolean") else value
        case Rating(value=value):
            return value
        case Comment(value=value):
            return value.partition(": ")[2] or value
        case Correction(value=value) | Label(value=value):
            return value
    raise InvalidInput("this feedback is no assessment")


def _stamp(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def says(status: int, message: str, kind: str) -> dict[str, Any]:
    """An error as MLflow's client reads it."""
    return {"error_code": _ERRORS.get(status, "INVALID_PARAMETER_VALUE"), "message": message}

"""Langfuse's exports: tables of observations, traces and scores (JSONL, JSON, CSV), and single traces as JSON.

Field names come in snake case from blob storage and in camel case from the API and the pages; both are read. Sources:
https://langfuse.com/docs/api-and-data-platform/features/blob-storage-export-fields and .../export-from-ui.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any

from everloop.errors import InvalidInput
from everloop.interop import langfuse, messages
from everloop.interop.judgement import Declared
from everloop.interop.pieces import Piece, moment

_ANSWER = "GENERATION"  # the kind of observation that is an answer of a model
_TIMES = ("startTime", "endTime", "completionStartTime", "timestamp")
_OBJECTS = ("metadata", "modelParameters", "usageDetails", "costDetails", "usage", "tags", "toolCalls", "scores",
            "observations")  # fmt: skip
_NUMBERS = ("value", "totalCost", "latency")  # which a CSV writes as text
_NAMES = {"providedModelName": "model"}
_TRACE_ONLY = ("observations", "scores", "htmlPath", "bookmarked", "public", "tags", "release")


def kind_of(row: Mapping[str, Any]) -> str | None:
    """ "trace", "observation", "score", or None for a row that is none of them."""
    names = {_camel(name) for name in row}
    if isinstance(row.get("trace"), dict) and "observations" in names:
        return "trace"
    if "name" in names and names & {"value", "stringValue"} and names & {"dataType", "source"}:
        return "score" if names & {"traceId", "observationId", "sessionId"} else None
    if {"id", "traceId", "type"} <= names and names & {"startTime", "input", "output"}:
        return "observation"
    if {"id", "input", "output"} <= names and names & set(_TRACE_ONLY) and names & {"timestamp", "name"}:
        return "trace"
    return None


def read(row: Mapping[str, Any], declared: Declared) -> Iterator[Piece]:
    """What a row brings: a generation is an interaction under its own id, a score feedback on its observation or trace.

    A trace with generations in it brings those; one without is an interaction itself, its own trace. Other observations
    are the program's and are skipped. InvalidInput for a row that is none of these, or broken.
    """
    kind = kind_of(row)
    if kind is None:
        raise InvalidInput("expected a trace, an observation or a score of Langfuse")
    plain = _plain(row)
    if kind == "score":
        yield Piece(feedback=tuple(_score(plain, declared)))
    elif kind == "observation":
        yield _observation(plain, plain)
    else:
        inner = plain.pop("trace", None)
        yield from _trace({**(_plain(inner) if isinstance(inner, dict) else {}), **plain}, declared)


def _trace(trace: dict[str, Any], declared: Declared) -> Iterator[Piece]:
    observations = [_plain(one) for one in messages.dicts(trace.get("observations"))]
    answers = [one for one in observations if one.get("type") == _ANSWER]
    for one in answers:
        yield _observation({"traceId": trace.get("id"), **one}, trace)
    if not answers:
        body = {name: value for name, value in trace.items() if name not in {"observations", "scores"}}
        if body.get("input") in (None, ""):
            yield Piece(skipped="trace without input")
        else:
            yield Piece(_interaction(body, body))
    scores = trace.get("scores")
    if isinstance(scores, dict):  # the table of traces: the average, or the values, by name
        scores = [
            {"name": name, "value": one} for name, many in scores.items()
            for one in (many if isinstance(many, list) else [many]) if isinstance(one, int | float | str)
        ]  # fmt: skip
    for one in messages.dicts(scores):
        yield Piece(feedback=tuple(_score({"traceId": trace.get("id"), **_plain(one)}, declared)))


def _observation(body: dict[str, Any], trace: Mapping[str, Any]) -> Piece:
    kind = body.get("type")
    if kind != _ANSWER:
        return Piece(skipped=kind.lower() if isinstance(kind, str) and re.fullmatch("[A-Z_]{1,40}", kind) else "other")
    if body.get("input") is None:
        return Piece(skipped="generation without input")
    return Piece(_interaction(body, {**trace, "id": body.get("traceId"), "name": trace.get("traceName")}))


def _interaction(body: Mapping[str, Any], trace: Mapping[str, Any]) -> dict[str, Any]:
    body = {**body, "input": messages.loads(body.get("input")), "output": messages.loads(body.get("output"))}
    if isinstance(body["input"], dict) and (asked := messages.asked(body["input"])) is not None:
        body["input"] = asked
    said = messages.answered(body["output"]) if isinstance(body["output"], dict) else {}
    cost = body.get("totalCost")
    if isinstance(cost, int | float) and not body.get("costDetails"):
        body["costDetails"] = {"total": cost}
    fields = langfuse.interaction(body, trace)
    if said.get("output") is not None:
        fields["output"] = said["output"]
        fields.pop("message", None)
        if "message" in said:
            fields["message"] = said["message"]
    if "latency_ms" not in fields and isinstance(body.get("latency"), int | float) and body["latency"] >= 0:
        fields["latency_ms"] = round(body["latency"] * 1000, 3)
    return fields


def _score(score: dict[str, Any], declared: Declared) -> list[dict[str, Any]]:
    kind, text = score.get("dataType"), score.get("stringValue")
    if isinstance(text, str) and text and kind != "BOOLEAN":
        score = {**score, "value": text}
    if kind == "BOOLEAN" and isinstance(score.get("value"), float):
        score = {**score, "value": int(score["value"])}
    targets = langfuse.score_targets(score)
    id = messages.name_of(score.get("id"))
    if id is None:
        content = "\0".join([*targets, str(score.get("name")), str(score.get("value"))])
        id = hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return langfuse.score(score, f"langfuse.{id}", targets[0], declared)


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """Names in camel case, empty texts left out, objects that a CSV wrote as text read, times as ISO 8601."""
    found: dict[str, Any] = {}
    for name, value in row.items():
        if value is None or value == "":
            continue
        known = _NAMES.get(_camel(name), _camel(name))
        if known in _OBJECTS:
            found[known] = messages.loads(value)
        elif known in _TIMES and not isinstance(value, str):
            found[known] = langfuse.stamp(moment(value, known) or 0)
        elif known in _NUMBERS and isinstance(value, str):
            found[known] = _number(value)
        else:
            found[known] = value
    return found


def _number(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        return text


def _camel(name: str) -> str:
    """
    >>> _camel("trace_id"), _camel("traceId")
    ('traceId', 'traceId')
    """
    first, *rest = name.split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in rest)

"""Langfuse's scores, ingestion events and dataset items as our feedback and interactions.

A score's `dataType` (inferred from its value where it is absent) says what it is:

===========  ==================================================================================================
NUMERIC      a rating where its scale is known ("stars", `metadata.scale`), else an outcome under its name
BOOLEAN      a thumb where the name is praise, else an outcome (1 or 0)
CATEGORICAL  a thumb ("good", "thumbs-up"), a correction (a label of the loop's closed set), else a comment
TEXT         a comment
CORRECTION   a correction; a label where its source is ANNOTATION, a reviewer's work
===========  ==================================================================================================

Events of one trace or observation are merged in the order of their timestamps, as Langfuse does: a later field wins,
an absent one leaves what was there. A generation becomes an interaction under its own id with the trace's user and
session; other observations (spans, events) are the program's, not a model's, and only their ids are remembered.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

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
    number,
    object_field,
    optional_text,
    person_of,
    scale_of,
    shown,
    text_field,
)
from everloop.interop.times import time_of

_SOURCES: dict[str, Source] = {"API": "user", "ANNOTATION": "reviewer", "EVAL": "system"}
_TYPES = ("NUMERIC", "BOOLEAN", "CATEGORICAL", "TEXT", "CORRECTION")
_BESIDE = ("environment", "configId", "queueId", "datasetRunId")
_COUNTS = (("tokens_in", ("input", "promptTokens", "prompt_tokens", "inputTokens")),
           ("tokens_out", ("output", "completionTokens", "completion_tokens", "outputTokens")))  # fmt: skip
OBSERVATIONS = ("generation", "span", "event", "observation", "agent", "tool", "chain", "retriever", "evaluator",
                "guardrail", "embedding")  # fmt: skip


class Event(NamedTuple):
    """One event of an ingestion batch."""

    id: str
    kind: str  # "trace", "generation", "span", …, "score", "sdk-log"
    body: dict[str, Any]
    at: int


def score_targets(given: Any) -> tuple[str, ...]:
    """The ids of what a score speaks of, the most particular first."""
    if not isinstance(given, dict):
        raise InvalidInput(f"a score is an object, not {shown(given)}")
    found = tuple(
        id for field in ("observationId", "traceId") if (id := optional_text(given, field)) is not None
    )  # fmt: skip
    if found:
        return found
    if optional_text(given, "sessionId") or optional_text(given, "datasetRunId"):
        raise InvalidInput("traceId: a score of a whole session or run speaks of no one answer; score a trace of it")
    raise InvalidInput("traceId: say what the score is about")


def score(
    given: Mapping[str, Any], id: str, interaction: str, declared: Declared = NOTHING_DECLARED
) -> list[dict[str, Any]]:
    """The fields of the feedback that a score is, under `id`; `interaction` is what it is put to.

    >>> said = {"traceId": "t1", "name": "helpful", "value": 1, "dataType": "BOOLEAN", "comment": "short"}
    >>> [(f["kind"], f["value"], f["rationale"]) for f in score(said, "langfuse.s1", "t1")]
    [('thumb', 'up', 'short')]
    """
    targets = score_targets(given)
    name = text_field(given, "name", MAX_NAME)
    source = given.get("source") or "API"
    if not isinstance(source, str) or source not in _SOURCES:
        raise InvalidInput(f"source: one of {', '.join(_SOURCES)}, got {str(source)[:40]!r}")
    metadata = given.get("metadata")
    person, rest = person_of(metadata) if isinstance(metadata, dict) else (None, metadata)
    context: dict[str, Any] = {"tool": "langfuse", "by": source}
    if rest not in (None, {}):
        context["metadata"] = rest
    for field in _BESIDE:
        if (beside := optional_text(given, field)) is not None:
            context[field] = beside
    for field, target in zip(("observationId", "traceId")[-len(targets) :], targets, strict=True):
        if target != interaction:
            context[field] = target
    kind, value = _valued(given)
    one = Judgement(
        id=id, interaction=interaction, name=name, value=value, context=context, source=_SOURCES[source],
        role={"TEXT": "words", "CORRECTION": "answer"}.get(kind, "score"),  # type: ignore[arg-type]
        rationale=optional_text(given, "comment"), at=time_of(given.get("timestamp"), "timestamp"),
        scale=scale_of(rest) if isinstance(rest, dict) else None, subject=person,
    )  # fmt: skip
    return feedback_of(one, declared)


def _valued(given: Mapping[str, Any]) -> tuple[str, Value]:
    value, kind = given.get("value"), given.get("dataType")
    if kind is None:
        kind = "CATEGORICAL" if isinstance(value, str) else "BOOLEAN" if isinstance(value, bool) else "NUMERIC"
    if kind not in _TYPES:
        raise InvalidInput(f"dataType: one of {', '.join(_TYPES)}, got {str(kind)[:40]!r}")
    if kind == "BOOLEAN":
        if value not in (0, 1) or isinstance(value, str):
            raise InvalidInput("value: a BOOLEAN score is 0 or 1")
        return kind, bool(value)
    return kind, number(value, "value") if kind == "NUMERIC" else text_field(given, "value")


def events(body: Any) -> list[Any]:
    """The events of a batch, each still to be read."""
    batch = body.get("batch") if isinstance(body, dict) else None
    if not isinstance(batch, list):
        raise InvalidInput('send {"batch": [event, …]}')
    return batch


def event(given: Any) -> Event:
    """One event, its kind without "-create" or "-update"."""
    if not isinstance(given, dict):
        raise InvalidInput(f"an event is an object, not {shown(given)}")
    kind = text_field(given, "type", MAX_NAME)
    known = kind.removesuffix("-create").removesuffix("-update")
    if known not in (*OBSERVATIONS, "trace", "score", "sdk-log"):
        raise InvalidInput(f"type: no event is called {kind[:60]!r}")
    return Event(text_field(given, "id"), known, object_field(given, "body"), time_of(given.get("timestamp")) or 0)


class Merged(NamedTuple):
    """What the events of a batch say together."""

    traces: dict[str, dict[str, Any]]  # by id
    generations: dict[str, dict[str, Any]]
    others: dict[str, str]  # ids of spans and the like -> their trace


def merge(batch: Iterable[Event]) -> Merged:
    """Events of traces and observations put together by id, in the order of their timestamps."""
    out = Merged({}, {}, {})
    for one in sorted(batch, key=lambda e: e.at):
        id = text_field(one.body, "id")
        said = {key: value for key, value in one.body.items() if value is not None}
        if one.kind == "trace":
            out.traces[id] = _over(out.traces.get(id, {}), said)
        elif one.kind == "generation" or said.get("type") == "GENERATION":
            out.generations[id] = _over(out.generations.get(id, {}), said)
        else:
            out.others[id] = optional_text(said, "traceId") or id
    return out


def _over(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    out = {**old, **new}
    if isinstance(old.get("metadata"), dict) and isinstance(new.get("metadata"), dict):
        out["metadata"] = {**old["metadata"], **new["metadata"]}
    return out


def interaction(
    body: Mapping[str, Any], trace: Mapping[str, Any] | None = None, known: Mapping[str, Any] | None = None
) -> dict[str, Any]:  # fmt: skip
    """The fields of the interaction that a generation is (or, with `trace` = `body`, a trace without one).

    `known` are the fields it is stored with so far: what is not said again stays. The loop is the caller's to find.

    >>> made = interaction({"id": "g1", "traceId": "t1", "input": "hi", "output": "yo", "model": "m"}, {"userId": "u"})
    >>> made["input"], made["output"], made["subject"], made["variant"]
    ('hi', 'yo', 'u', 'm')
    """
    trace, out = trace or {}, dict(known or {})
    id = text_field(body, "id")
    out.update(id=id, trace=optional_text(body, "traceId") or out.get("trace") or optional_text(trace, "id") or id)
    if body.get("input") is not None:
        out["input"] = _input(body["input"])
    if body.get("output") is not None:
        out["output"] = _output(body["output"])
        if not isinstance(body["output"], str):
            out["message"] = body["output"] if isinstance(body["output"], dict) else {"content": body["output"]}
    person, metadata = person_of({**_metadata(trace), **_metadata(body)})
    tags = trace.get("tags")
    beside = {"name": optional_text(body, "name"), "trace_name": optional_text(trace, "name"),
              "tags": tags if isinstance(tags, list) and tags else None,
              "release": trace.get("release"),
              "version": body.get("version"), "parameters": body.get("modelParameters"),
              "prompt": body.get("promptName"), "environment": body.get("environment")}  # fmt: skip
    out["context"] = {
        **object_field(out, "context"), **metadata, **{k: v for k, v in beside.items() if v not in (None, {}, "")},
    }  # fmt: skip
    started = time_of(body.get("startTime") or body.get("timestamp"), "startTime")
    ended = time_of(body.get("endTime"), "endTime")
    first = time_of(body.get("completionStartTime"), "completionStartTime")
    said = {
        "subject": optional_text(trace, "userId") or person, "session": optional_text(trace, "sessionId"),
        "at": started,
        "variant": optional_text(body, "model"), **_usage(body),
    }  # fmt: skip
    out.update({key: value for key, value in said.items() if value is not None})
    began = out.get("at")
    for field, end in (("latency_ms", ended), ("first_token_ms", first)):
        if end is not None and isinstance(began, int) and end >= began:
            out[field] = float(end - began)
    if body.get("level") == "ERROR":
        out["status"] = "partial" if out.get("output") is not None else "failed"
        out["error"] = " ".join((optional_text(body, "statusMessage") or "error").split())[:500]
    return out


def _metadata(of: Mapping[str, Any]) -> dict[str, Any]:
    value = of.get("metadata")
    return value if isinstance(value, dict) else {} if value is None else {"metadata": value}


def _input(value: Any) -> Any:
    """A chat is an object with its messages; what is neither text, vector nor object is put into one."""
    if isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
        return {"messages": value}
    vector = isinstance(value, list) and all(isinstance(x, int | float) and not isinstance(x, bool) for x in value)
    return value if isinstance(value, str | dict) or vector else {"value": value}


def _output(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and isinstance(value.get("content"), str):
        return str(value["content"])
    return msgspec.json.encode(value).decode()


def _usage(body: Mapping[str, Any]) -> dict[str, Any]:
    usage = {**object_field(body, "usage"), **object_field(body, "usageDetails")}
    cost = {**object_field(body, "costDetails")}
    out: dict[str, Any] = {}
    for field, names in _COUNTS:
        found = [usage[name] for name in names if usage.get(name) is not None]
        if found and usage.get("unit") in (None, "TOKENS"):
            out[field] = round(number(found[0], f"usage.{names[0]}"))
    total = cost.get("total", usage.get("totalCost"))
    if total is not None:
        out["cost"] = number(total, "cost")
    return out


def dataset_item(given: Any, id: str) -> tuple[dict[str, Any], str | None]:
    """A dataset item as the fields of an interaction and the right answer (None: not known), in the golden split.

    An ARCHIVED item or one without an input is refused: the caller takes the first away by itself.
    """
    if not isinstance(given, dict):
        raise InvalidInput(f"a dataset item is an object, not {shown(given)}")
    if given.get("input") is None:
        raise InvalidInput("input: a dataset item needs one")
    expected = given.get("expectedOutput")
    person, metadata = person_of(_metadata(given))
    context: dict[str, Any] = {**metadata, "tool": "langfuse", "dataset": text_field(given, "datasetName", MAX_NAME)}
    for field in ("sourceTraceId", "sourceObservationId"):
        if (value := optional_text(given, field)) is not None:
            context[field] = value
    made = {"id": id, "input": _input(given["input"]), "context": context, "subject": person}
    return made, None if expected is None else _output(expected)


def stamp(at: int) -> str:
    """Milliseconds since 1970 as ISO 8601."""
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def says(status: int, message: str, kind: str) -> dict[str, Any]:
    """An error as Langfuse's API words it."""
    return {"message": message, "error": kind}

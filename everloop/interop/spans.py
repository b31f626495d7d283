"""What a span says: an interaction, feedback on one, or why neither. All conventions come together here."""

import hashlib
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from everloop.interop import genai, messages, openinference
from everloop.interop.flat import unflatten
from everloop.interop.genai import Heard
from everloop.interop.judgement import Judgement, Value, words
from everloop.interop.langfuse_spans import as_genai
from everloop.interop.otlp import Span

EVALUATION = "gen_ai.evaluation.result"
NO_CONTENT = "a model's call without its messages (set OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT=true)"
_TRACE, _SPAN = re.compile("[0-9a-f]{32}"), re.compile("[0-9a-f]{16}")
_NONE = re.compile("0*")
_WORD = re.compile("[a-z0-9_.-]{1,40}", re.IGNORECASE)
# What our own gateway gives out: a UUIDv7.
_OURS = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")

# Each fact by the names it goes under, the current one first.
_SESSION = (
    "gen_ai.conversation.id", "session.id", "langfuse.session.id", "traceloop.association.properties.session_id",
)  # fmt: skip
_SUBJECT = ("user.id", "enduser.id", "langfuse.user.id", "traceloop.association.properties.user_id", "gen_ai.user")
_TOKENS_IN = (
    "gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt", "llm.usage.prompt_tokens",
)  # fmt: skip
_TOKENS_OUT = (
    "gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.token_count.completion",
    "llm.usage.completion_tokens",
)  # fmt: skip
_COST = ("gen_ai.usage.cost", "llm.cost.total", "gen_ai.usage.total_cost")
_MODEL = (
    "gen_ai.response.model", "gen_ai.request.model", "llm.response.model_name", "llm.model_name", "llm.request.model",
)  # fmt: skip
_PROVIDER = ("gen_ai.provider.name", "gen_ai.system", "llm.provider", "llm.system")
_FIRST = frozenset({"gen_ai.content.completion.chunk", "llm.content.completion.chunk", "First Token Stream Event"})
_FIRST_SECONDS = ("gen_ai.response.time_to_first_chunk", "gen_ai.server.time_to_first_token")
_PERSONAL = frozenset("user human person customer thumb thumbs stars".split())  # in a name: a person judged
_RATED = frozenset("rating ratings rate stars star csat".split())  # in a name: 1 is the worst, not a yes
_MAX_NAME = 200
_ANNOTATIONS = (("annotations", "annotation"), ("evaluations", "evaluation"))  # (the list, what each name begins with)
# What the other spans of a trace are, by what their attributes begin with.
_OTHERS = {"http": "http", "url": "http", "db": "database", "rpc": "rpc", "messaging": "messaging", "faas": "function"}


class Reading(NamedTuple):
    """What one span came to."""

    span: Span
    interaction: dict[str, Any] | None = None  # fields for `build_interaction`
    scores: tuple[Judgement, ...] = ()  # what it says of an answer; an interaction, or the trace it may be found by
    loop: str | None = None  # the loop that span or resource name
    service: str | None = None  # what emitted it
    skipped: str = ""  # what it was instead: nothing is wrong with it
    refused: str = ""  # what is wrong with it
    ours: str = ""  # id that our own gateway may have given the answer: it has the messages, which this span has not


class _Score(NamedTuple):
    """An evaluation's result, before it is known which interaction it is of."""

    told: Mapping[str, Any]
    prefix: str  # of the names of its attributes
    above: str  # id of the span it hangs on
    at: int


def read_spans(spans: Sequence[Span]) -> list[Reading]:
    """Each span as what it says, in order. A batch at a time: a result is of a call that may stand beside it.

    An interaction's id is its span's, but where the answer came through our own gateway, which has given it one.
    A result is of the response it names, else of the call above it, else of its trace.
    """
    found = [_read(as_genai(span)) for span in spans]
    ids = {r.span.id: r.interaction["id"] if r.interaction else r.ours for r in found if r.interaction or r.ours}
    of_response = {
        response: r.interaction["id"]
        for r in found
        if r.interaction is not None and isinstance(response := r.span.attributes.get("gen_ai.response.id"), str)
    }
    elsewhere = {r.span.id for r in found if r.interaction is None and r.skipped and not r.ours}
    made = []
    for reading in found:
        said = []
        for index, score in enumerate(_scores(reading.span) if not reading.refused else ()):
            response = score.told.get("gen_ai.response.id")
            response = response if isinstance(response, str) else ""
            target = of_response.get(response) or ids.get(score.above)
            if target is None and is_ours(response):
                target = response
            if target is None:
                nowhere = not _is_id(_SPAN, score.above) or score.above in elsewhere
                target = reading.span.trace if nowhere else score.above
            if (one := _judgement(score, target, reading.span, index)) is not None:
                said.append(one)
        made.append(reading._replace(scores=tuple(said)) if said else reading)
    return made


def is_ours(id: str) -> bool:
    """Whether our own gateway may have given out this id."""
    return _OURS.fullmatch(id) is not None


def summary(reasons: Iterable[str]) -> str:
    """How often each reason, the most frequent first, and the first twenty of them.

    >>> summary(["http", "tool", "http"])
    'http 2, tool 1'
    """
    return ", ".join(f"{reason} {count}" for reason, count in Counter(reasons).most_common(20))


def _read(span: Span) -> Reading:
    if not _is_id(_TRACE, span.trace) or not _is_id(_SPAN, span.id):
        return Reading(span, refused="ids must be 32 (trace) and 16 (span) hexadecimal digits, not all zero")
    told = genai.details(span)
    reading = Reading(span, loop=_first(told, "everloop.loop") or _first(span.resource, "everloop.loop"),
                      service=_first(span.resource, "service.name"))  # fmt: skip
    if span.name == EVALUATION or "gen_ai.evaluation.name" in told:
        return reading._replace(skipped="evaluation")
    theirs, what = openinference.around(span), genai.around(span)
    what = what if theirs is None else theirs
    if what is None:
        only_events = not span.name and any(event.name == EVALUATION for event in span.events)
        return reading._replace(skipped="evaluation" if only_events else _other(span))
    if what:
        return reading._replace(skipped=what if _WORD.fullmatch(what) else "other")
    heard = genai.heard(span)
    if theirs is not None:
        heard = _both(openinference.heard(span), heard)
    if not heard.messages:
        response = told.get("gen_ai.response.id")
        if isinstance(response, str) and is_ours(response):
            return reading._replace(skipped="through-our-gateway", ours=response)
        return reading._replace(refused=NO_CONTENT)
    if not span.name and not heard.answers:  # a log record of a question, whose answer comes in another request
        return reading._replace(refused="log records that ask and do not answer: send them in one batch")
    return reading._replace(interaction=_interaction(span, told, heard))


def _interaction(span: Span, told: Mapping[str, Any], heard: Heard) -> dict[str, Any]:
    answer = messages.answer_of(heard.answers[0]) if heard.answers else messages.Answer(None)
    response = told.get("gen_ai.response.id")
    tools = {"tools": heard.tools} if heard.tools else {}
    fields: dict[str, Any] = {
        "id": response if isinstance(response, str) and is_ours(response) else span.id,
        "trace": span.trace,
        "at": span.start // 1_000_000 or None,
        "input": {"messages": heard.messages, **tools, **heard.parameters},
        "output": answer.output,
        "message": answer.message,
        "variant": _first(told, *_MODEL),
        "session": _first(told, *_SESSION),
        "subject": _first(told, *_SUBJECT),
        "consent": _consent(told.get("everloop.consent")),
        "tokens_in": _count(told, *_TOKENS_IN),
        "tokens_out": _count(told, *_TOKENS_OUT),
        "cost": next((c for name in _COST if (c := _positive(told.get(name))) is not None), None),
        "latency_ms": round((span.end - span.start) / 1e6, 3) if span.end > span.start > 0 else None,
        "first_token_ms": _first_token(span, told),
        "context": _context(span, told, heard),
        **_status(span, told, answered=answer.output is not None or answer.message is not None),
    }
    return {name: value for name, value in fields.items() if value is not None}


def _status(span: Span, told: Mapping[str, Any], *, answered: bool) -> dict[str, Any]:
    if not span.failed and "error.type" not in told:
        return {}
    why = span.message or _exception(span) or _first(told, "error.type") or "the span says that it failed"
    return {"status": "partial" if answered else "failed", "error": " ".join(why.split())[:500]}


def _exception(span: Span) -> str | None:
    for event in span.events:
        if event.name == "exception":
            return _first(event.attributes, "exception.message", "exception.type")
    return None


def _context(span: Span, told: Mapping[str, Any], heard: Heard) -> dict[str, Any]:
    """What slices are read from stands at the top; what names one call alone stands under `call`."""
    own = {
        name.removeprefix("everloop.context."): value
        for name, value in told.items()
        if name.startswith("everloop.context.") and isinstance(value, str | int | float | bool)
    }
    finish = told.get("gen_ai.response.finish_reasons", told.get("llm.finish_reason"))
    if not finish and heard.answers:
        finish = heard.answers[0].get("finish_reason")
    if isinstance(finish, list):
        finish = finish[0] if finish else None
    call = messages.named(span=span.name, response=told.get("gen_ai.response.id"))
    tags = told.get("tag.tags", told.get("langfuse.trace.tags"))
    found = {
        **messages.named(
            provider=_first(told, *_PROVIDER), finish=finish,
            agent=_first(told, "gen_ai.agent.name", "agent.name"), service=_first(span.resource, "service.name"),
            environment=_first(span.resource, "deployment.environment.name", "deployment.environment"),
        ),
        **own,
    }  # fmt: skip
    if isinstance(tags, list) and tags:
        found["tags"] = [tag for tag in tags if isinstance(tag, str)]
    metadata = messages.loads(told.get("metadata"))
    if isinstance(metadata, dict) and metadata:
        found["metadata"] = metadata
    if len(heard.answers) > 1:
        call["choices"] = len(heard.answers)
    return {**found, "call": call} if call else found


def _scores(span: Span) -> list[_Score]:
    """Results that this span brings."""
    found = [_Score(e.attributes, "gen_ai.evaluation.", span.id, e.at) for e in span.events if e.name == EVALUATION]
    if span.name == EVALUATION or "gen_ai.evaluation.name" in span.attributes:
        found.append(_Score(span.attributes, "gen_ai.evaluation.", span.parent, span.start))
    for many, one in _ANNOTATIONS if "openinference.span.kind" in span.attributes else ():
        inner = [each.get(one) for each in messages.dicts(unflatten(span.attributes, many))]
        found += [_Score(each, "", span.id, span.end) for each in messages.dicts(inner)]
    return found


def _judgement(score: _Score, target: str, span: Span, index: int) -> Judgement | None:
    """What a result says; None if it says nothing.

    The conventions do not say who judges but for OpenInference's `annotator_kind`; without it, what is called a user's
    thumb or rating is a person's, and anything else is a machine's.
    """
    name, number, label = (score.told.get(score.prefix + what) for what in ("name", "score.value", "score.label"))
    if not score.prefix:
        number, label = score.told.get("score"), score.told.get("label")
    called = name[:_MAX_NAME] if isinstance(name, str) and name else "evaluation"
    kind = score.told.get("annotator_kind")
    person = kind == "HUMAN" if kind is not None else bool(words(called) & _PERSONAL)
    value: Value | None = label if isinstance(label, str) and label else None
    if isinstance(number, int | float) and (isinstance(number, bool) or math.isfinite(number)):
        thumb = person and number in (-1, 0, 1) and not words(called) & _RATED
        value = number > 0 if thumb else number if isinstance(number, bool) else float(number)
    if value is None:
        return None
    identity = "\0".join((span.trace, span.id, str(index), called)).encode("utf-8", "surrogatepass")
    beside = messages.named(label=label if value != label else None, response=score.told.get("gen_ai.response.id"))
    return Judgement(
        id=f"otel.{hashlib.sha256(identity).hexdigest()[:32]}", interaction=target, name=called, value=value,
        context={"tool": "opentelemetry", **beside}, source="user" if person else "system",
        rationale=_first(score.told, f"{score.prefix}explanation"), at=score.at // 1_000_000 or None,
    )  # fmt: skip


def _both(first: Heard, second: Heard) -> Heard:
    """What either convention says: some spans follow both, each in part."""
    return Heard(
        first.messages or second.messages, first.answers or second.answers, first.tools or second.tools,
        {**second.parameters, **first.parameters},
    )  # fmt: skip


def _other(span: Span) -> str:
    for name in span.attributes:
        if (what := _OTHERS.get(name.partition(".")[0])) is not None:
            return what
    return "log" if not span.name else "other"


def _first_token(span: Span, told: Mapping[str, Any]) -> float | None:
    for name in _FIRST_SECONDS:
        if (seconds := _positive(told.get(name))) is not None:
            return round(seconds * 1000, 3)
    at = next((event.at for event in span.events if event.name in _FIRST), 0)
    return round((at - span.start) / 1e6, 3) if at >= span.start > 0 else None


def _consent(value: Any) -> list[str] | None:
    """Purposes, as a list or one text with commas; an empty text is none of them, which is not the same as silence."""
    if isinstance(value, str):
        return [word for part in value.split(",") if (word := part.strip())]
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else None


def _first(told: Mapping[str, Any], *names: str) -> str | None:
    for name in names:
        value = told.get(name)
        if isinstance(value, str) and value:
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
    return None


def _count(told: Mapping[str, Any], *names: str) -> int | None:
    return next((n for name in names if (n := messages.whole(told.get(name))) is not None), None)


def _positive(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0 else None


def _is_id(form: re.Pattern[str], text: str) -> bool:
    return form.fullmatch(text) is not None and _NONE.fullmatch(text) is None

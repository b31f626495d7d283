"""OpenTelemetry's export requests, protobuf and JSON, as spans; and the answers their exporters expect.

Source: https://opentelemetry.io/docs/specs/otlp/ (ids in JSON are hexadecimal, 64-bit numbers may be texts, fields
nobody knows are skipped). Log records become spans too: those of one span are its events.
"""

import base64
import binascii
import math
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

from everloop.errors import UserError
from everloop.interop import protobuf

DEEPEST = protobuf.DEEPEST  # the same in both encodings
_INT64 = range(-(2**63), 2**63)
_FAILED = {2, "2", "STATUS_CODE_ERROR"}
_EVENT_NAME = "event.name"  # where log records said what they are before they had a field for it


class Event(NamedTuple):
    """Something that happened during a span."""

    name: str
    at: int  # ns since 1970; 0: not said
    attributes: dict[str, Any]


class Span(NamedTuple):
    """One span as it was exported."""

    trace: str  # 32 hexadecimal digits; anything else is not an id
    id: str  # 16 of them
    parent: str  # empty: a root
    name: str
    start: int  # ns since 1970; 0: not said
    end: int
    attributes: dict[str, Any]
    events: tuple[Event, ...]
    failed: bool
    message: str  # why it failed, if it says so
    resource: dict[str, Any]  # what emitted it: attributes, shared by all spans of that resource


def read_protobuf(body: bytes) -> list[Span]:
    """The spans of an ExportTraceServiceRequest; raises UserError (400) for bytes that are none."""
    found = []
    for held, scopes in protobuf.read(body, protobuf.SPANS)[0] or ():
        resource = held or {}
        for scope in scopes or ():
            for trace, id, parent, name, start, end, attributes, happened, message, code in scope[0] or ():
                events = tuple(Event(name, at, said or {}) for name, at, said in happened or ())
                found.append(
                    Span(trace.hex(), id.hex(), parent.hex(), name, start, end, attributes or {}, events,
                         code == 2, message, resource)
                )  # fmt: skip
    return found


def read_json(body: bytes) -> list[Span]:
    """The same of OTLP's JSON; raises UserError (400) with one line that says where it is not."""
    found = []
    for group in _decoded(body, _SPANS).resource_spans or ():
        resource = _plain(group.resource)
        for scope in group.scope_spans or ():
            for span in scope.spans or ():
                events = tuple(
                    Event(e.name or "", _whole(e.time_unix_nano), _plain(e)) for e in span.events or ()
                )  # fmt: skip
                status = span.status or _Status()
                found.append(
                    Span(_hex(span.trace_id), _hex(span.span_id), _hex(span.parent_span_id), span.name or "",
                         _whole(span.start_time_unix_nano), _whole(span.end_time_unix_nano), _plain(span), events,
                         status.code in _FAILED, status.message or "", resource)
                )  # fmt: skip
    return found


def read_logs_protobuf(body: bytes) -> list[Span]:
    """The log records of an ExportLogsServiceRequest as the events of their spans; UserError (400) if it is none."""
    groups = protobuf.read(body, protobuf.LOGS)[0] or ()

    def records() -> Iterator[_Record]:
        for held, scopes in groups:
            resource = held or {}
            for scope in scopes or ():
                for said, trace, span, at, observed, name, attributes in scope[0] or ():
                    event = _event(name, at or observed, attributes or {}, said)
                    yield _Record(trace.hex(), span.hex(), event, resource)

    return _by_span(records())


def read_logs_json(body: bytes) -> list[Span]:
    """The same of OTLP's JSON."""

    def records() -> Iterator[_Record]:
        for group in _decoded(body, _LOGS).resource_logs or ():
            resource = _plain(group.resource)
            for scope in group.scope_logs or ():
                for log in scope.log_records or ():
                    at = _whole(log.time_unix_nano) or _whole(log.observed_time_unix_nano)
                    said = _json_value(log.body, DEEPEST) if log.body else None
                    event = _event(log.event_name or "", at, _plain(log), said)
                    yield _Record(_hex(log.trace_id), _hex(log.span_id), event, resource)

    return _by_span(records())


def trace_answer(refused: int, message: str) -> tuple[bytes, bytes]:
    """An ExportTraceServiceResponse, as (protobuf, JSON); with nothing to say it is empty, which means all is well."""
    return _answer("rejectedSpans", refused, message)


def logs_answer(refused: int, message: str) -> tuple[bytes, bytes]:
    """The same for log records."""
    return _answer("rejectedLogRecords", refused, message)


def _answer(name: str, refused: int, message: str) -> tuple[bytes, bytes]:
    """Both have partial_success = 1, and in it the number refused = 1 and error_message = 2."""
    partial = protobuf.write((1, refused), (2, message))
    said = {"partialSuccess": {name: str(refused), "errorMessage": message}} if partial else {}
    return protobuf.write((1, partial)), msgspec.json.encode(said)


def failure_status(code: int, message: str) -> bytes:
    """A google.rpc.Status in protobuf, which is how OTLP says that a request failed.

    Source: https://github.com/googleapis/googleapis/blob/master/google/rpc/status.proto: code = 1, message = 2.

    >>> failure_status(3, "no").hex()
    '080312026e6f'
    """
    return protobuf.write((1, code), (2, message))


# ---- JSON


class _Any(msgspec.Struct, rename="camel"):
    string_value: str | None = None
    bool_value: bool | None = None
    int_value: int | str | None = None
    double_value: float | str | None = None
    array_value: "_Values | None" = None
    kvlist_value: "_Pairs | None" = None
    bytes_value: str | None = None


class _Pair(msgspec.Struct, rename="camel"):
    key: str | None = None
    value: _Any | None = None


class _Values(msgspec.Struct, rename="camel"):
    values: list[_Any | None] | None = None


class _Pairs(msgspec.Struct, rename="camel"):
    values: list[_Pair | None] | None = None


class _Attributed(msgspec.Struct, rename="camel"):
    attributes: list[_Pair | None] | None = None


class _Event(_Attributed, rename="camel"):
    time_unix_nano: int | str | None = None
    name: str | None = None


class _Status(msgspec.Struct, rename="camel"):
    code: int | str | None = None
    message: str | None = None


class _Span(_Attributed, rename="camel"):
    trace_id: str | None = None
    span_id: str | None = None
    parent_span_id: str | None = None
    name: str | None = None
    start_time_unix_nano: int | str | None = None
    end_time_unix_nano: int | str | None = None
    events: list[_Event] | None = None
    status: _Status | None = None


class _Log(_Attributed, rename="camel"):
    trace_id: str | None = None
    span_id: str | None = None
    time_unix_nano: int | str | None = None
    observed_time_unix_nano: int | str | None = None
    event_name: str | None = None
    body: _Any | None = None


class _ScopeSpans(msgspec.Struct, rename="camel"):
    spans: list[_Span] | None = None


class _ScopeLogs(msgspec.Struct, rename="camel"):
    log_records: list[_Log] | None = None


class _ResourceSpans(msgspec.Struct, rename="camel"):
    resource: _Attributed | None = None
    scope_spans: list[_ScopeSpans] | None = None


class _ResourceLogs(msgspec.Struct, rename="camel"):
    resource: _Attributed | None = None
    scope_logs: list[_ScopeLogs] | None = None


class _SpanRequest(msgspec.Struct, rename="camel"):
    resource_spans: list[_ResourceSpans] | None = None


class _LogRequest(msgspec.Struct, rename="camel"):
    resource_logs: list[_ResourceLogs] | None = None


_SPANS = msgspec.json.Decoder(_SpanRequest)
_LOGS = msgspec.json.Decoder(_LogRequest)


def _decoded(body: bytes, decoder: Any) -> Any:
    try:
        return decoder.decode(body)
    except RecursionError:
        raise UserError("the body is nested too deeply") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        why = " ".join(str(error).split()).replace("$.", "")
        raise UserError(f"the body is not an OTLP export request in JSON: {why}") from None


def _plain(of: _Attributed | None, deepest: int = DEEPEST) -> dict[str, Any]:
    return _of_pairs(of.attributes, deepest) if of is not None else {}


def _of_pairs(pairs: list[_Pair | None] | None, deepest: int) -> dict[str, Any]:
    found = {}
    for pair in pairs or ():
        if pair is not None and pair.key is not None:
            found[pair.key] = _json_value(pair.value, deepest)
    return found


def _json_value(value: _Any | None, deepest: int) -> Any:
    if value is None:
        return None
    if value.string_value is not None:
        return value.string_value
    if value.int_value is not None:
        return _whole(value.int_value)
    if value.bool_value is not None:
        return value.bool_value
    if value.double_value is not None:
        try:
            return _finite(float(value.double_value))
        except ValueError:
            raise UserError(f"an attribute's doubleValue is no number: {value.double_value[:40]!r}") from None  # type: ignore[index]
    if deepest == 0:
        raise UserError(f"an attribute has more than {DEEPEST} levels")
    if value.array_value is not None:
        return [_json_value(one, deepest - 1) for one in value.array_value.values or ()]
    if value.kvlist_value is not None:
        return _of_pairs(value.kvlist_value.values, deepest - 1)
    if value.bytes_value is not None:
        try:
            return base64.b64encode(base64.b64decode(value.bytes_value, validate=True)).decode()
        except (binascii.Error, ValueError):
            raise UserError("an attribute's bytesValue is not base64") from None
    return None


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None  # JSON has no word for the others


def _hex(value: str | None) -> str:
    return value.lower() if value else ""


def _whole(value: int | str | None) -> int:
    """A 64-bit number, which may be a text; times are unsigned, but none will need the last bit."""
    if value is None or value == "":
        return 0
    try:
        number = int(value) if isinstance(value, int) or len(value) <= 20 else _INT64.stop
    except ValueError:
        raise UserError(f"expected a whole number of 64 bits, got {value[:40]!r}") from None  # type: ignore[index]
    if number not in _INT64:
        raise UserError(f"expected a whole number of 64 bits, got {str(value)[:40]}")
    return number


# ---- log records


class _Record(NamedTuple):
    trace: str
    span: str
    event: Event
    resource: dict[str, Any]


def _event(name: str, at: int, attributes: dict[str, Any], body: Any) -> Event:
    """A log record as an event: what its body says counts as attributes."""
    named = attributes.get(_EVENT_NAME)
    said = body if isinstance(body, dict) else {} if body is None else {"content": body}
    return Event(name or (named if isinstance(named, str) else ""), at, {**said, **attributes})


def _by_span(records: Iterable[_Record]) -> list[Span]:
    grouped: dict[tuple[str, str], list[_Record]] = {}
    for record in records:
        grouped.setdefault((record.trace, record.span), []).append(record)
    found = []
    for (trace, span), mine in grouped.items():
        events = tuple(record.event for record in mine)
        at = min((e.at for e in events if e.at), default=0)
        found.append(Span(trace, span, "", "", at, at, {}, events, False, "", mine[0].resource))
    return found

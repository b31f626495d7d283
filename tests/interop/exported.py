"""Export requests in both encodings, from plain dicts."""

import base64
import json
from typing import Any

from google.protobuf.json_format import Parse
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

TRACE, SPAN, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", "1111111111111111"
START = 1_700_000_000_000_000_000
ASKED = [{"role": "user", "parts": [{"type": "text", "content": "Where is my card?"}]}]
_IDS = {"traceId", "spanId", "parentSpanId"}
ANSWERED = [{"role": "assistant", "parts": [{"type": "text", "content": "On its way."}], "finish_reason": "stop"}]
CHAT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4",
    "gen_ai.response.model": "gpt-4-0613",
    "gen_ai.request.temperature": 0.5,
    "gen_ai.usage.input_tokens": 52,
    "gen_ai.usage.output_tokens": 47,
    "gen_ai.conversation.id": "c1",
    "gen_ai.input.messages": json.dumps(ASKED),
    "gen_ai.output.messages": json.dumps(ANSWERED),
}


def value(of: Any) -> dict[str, Any]:
    """A value as OTLP's JSON has it."""
    match of:
        case bool():
            return {"boolValue": of}
        case int():
            return {"intValue": str(of)}
        case float():
            return {"doubleValue": of}
        case str():
            return {"stringValue": of}
        case bytes():
            return {"bytesValue": base64.b64encode(of).decode()}
        case list():
            return {"arrayValue": {"values": [value(one) for one in of]}}
        case dict():
            return {"kvlistValue": {"values": pairs(of)}}
    return {}


def pairs(of: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": name, "value": value(one)} for name, one in of.items()]


def event(name: str, at: int = START, **attributes: Any) -> dict[str, Any]:
    return {"name": name, "timeUnixNano": str(at), "attributes": pairs(attributes)}


def span(
    attributes: dict[str, Any], *, id: str = SPAN, parent: str = "", name: str = "chat gpt-4", events: Any = (),
    trace: str = TRACE, **more: Any,
) -> dict[str, Any]:  # fmt: skip
    made = {
        "traceId": trace, "spanId": id, "name": name, "kind": 3, "startTimeUnixNano": str(START),
        "endTimeUnixNano": str(START + 1_500_000_000), "attributes": pairs(attributes), "events": list(events), **more,
    }  # fmt: skip
    return {**made, "parentSpanId": parent} if parent else made


def request(*spans: dict[str, Any], **resource: Any) -> dict[str, Any]:
    named = pairs({name.replace("_", "."): one for name, one in resource.items()})
    return {"resourceSpans": [{"resource": {"attributes": named}, "scopeSpans": [{"spans": list(spans)}]}]}


def logs(*records: dict[str, Any], **resource: Any) -> dict[str, Any]:
    named = pairs({name.replace("_", "."): one for name, one in resource.items()})
    return {"resourceLogs": [{"resource": {"attributes": named}, "scopeLogs": [{"logRecords": list(records)}]}]}


def as_json(made: dict[str, Any]) -> bytes:
    return json.dumps(made).encode()


def as_protobuf(made: dict[str, Any]) -> bytes:
    """The same in protobuf, by protobuf's own reader of JSON (which wants ids in base64)."""
    kind = ExportLogsServiceRequest if "resourceLogs" in made else ExportTraceServiceRequest
    return Parse(json.dumps(_recoded(made)), kind(), ignore_unknown_fields=True).SerializeToString()


def _recoded(of: Any) -> Any:
    if isinstance(of, list):
        return [_recoded(one) for one in of]
    if not isinstance(of, dict):
        return of
    return {
        name: base64.b64encode(bytes.fromhex(one)).decode() if name in _IDS else _recoded(one)
        for name, one in of.items()
    }  # fmt: skip

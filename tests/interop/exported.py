"""Export requests in both encodings, from plain dicts; test_protobuf.py holds the one in protobuf to the real thing."""

import base64
import json
import struct
from typing import Any

TRACE, SPAN, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", "1111111111111111"
START = 1_700_000_000_000_000_000
ASKED = [{"role": "user", "parts": [{"type": "text", "content": "Where is my card?"}]}]
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


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*out, number))


def field(number: int, body: bytes) -> bytes:
    """A text, bytes or a message in a message."""
    return varint(number << 3 | 2) + varint(len(body)) + body


# JSON's names -> a field's number, and what it is: a message where it is a dict.
ANY: dict[str, Any] = {
    "stringValue": (1, "text"), "boolValue": (2, "whole"), "intValue": (3, "whole"), "doubleValue": (4, "double"),
    "arrayValue": (5, {}), "kvlistValue": (6, {}), "bytesValue": (7, "base64"),
}  # fmt: skip
PAIR = {"key": (1, "text"), "value": (2, ANY)}
ANY["arrayValue"][1]["values"], ANY["kvlistValue"][1]["values"] = (1, ANY), (1, PAIR)
_SPAN = {
    "traceId": (1, "hex"), "spanId": (2, "hex"), "parentSpanId": (4, "hex"), "name": (5, "text"), "kind": (6, "whole"),
    "startTimeUnixNano": (7, "fixed"), "endTimeUnixNano": (8, "fixed"), "attributes": (9, PAIR),
    "events": (11, {"timeUnixNano": (1, "fixed"), "name": (2, "text"), "attributes": (3, PAIR)}),
    "status": (15, {"message": (2, "text"), "code": (3, "whole")}),
}  # fmt: skip
_LOG = {
    "timeUnixNano": (1, "fixed"), "body": (5, ANY), "attributes": (6, PAIR), "traceId": (9, "hex"),
    "spanId": (10, "hex"), "observedTimeUnixNano": (11, "fixed"), "eventName": (12, "text"),
}  # fmt: skip
_RESOURCE = (1, {"attributes": (1, PAIR)})
REQUEST = {
    "resourceSpans": (1, {"resource": _RESOURCE, "scopeSpans": (2, {"spans": (2, _SPAN)})}),
    "resourceLogs": (1, {"resource": _RESOURCE, "scopeLogs": (2, {"logRecords": (2, _LOG)})}),
}


def as_protobuf(made: dict[str, Any], fields: dict[str, Any] = REQUEST) -> bytes:
    """The same in protobuf; what `fields` does not know is left out."""
    return b"".join(
        _written(*fields[name], one)
        for name, held in made.items()
        if name in fields
        for one in (held if isinstance(held, list) else [held])
    )


def _written(number: int, kind: Any, value: Any) -> bytes:
    match kind:
        case "whole":
            return varint(number << 3) + varint(int(value) % 2**64)
        case "fixed":
            return varint(number << 3 | 1) + struct.pack("<Q", int(value))
        case "double":
            return varint(number << 3 | 1) + struct.pack("<d", value)
        case "text":
            return field(number, value.encode())
        case "hex":
            return field(number, bytes.fromhex(value))
        case "base64":
            return field(number, base64.b64decode(value))
    return field(number, as_protobuf(value, kind))

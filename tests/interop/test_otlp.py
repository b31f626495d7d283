"""OTLP's two encodings say the same, by the rules of each."""

import json

import pytest

from everloop.errors import UserError
from everloop.interop import otlp

from . import exported as ex

RICH = {"s": "ü", "i": 2**62, "f": 0.5, "b": True, "l": ["a", 1, [2.5]], "o": {"k": {"z": False}}, "raw": b"\x00\xff"}


def test_both_encodings_say_the_same() -> None:
    made = ex.request(
        ex.span(RICH, parent=ex.PARENT, events=[ex.event("e", at=ex.START + 7, k="v")],
                status={"code": 2, "message": "it broke"}),
        ex.span({}, id="00f067aa0ba902b8"), service_name="shop",
    )  # fmt: skip
    from_json, from_protobuf = otlp.read_json(ex.as_json(made)), otlp.read_protobuf(ex.as_protobuf(made))
    assert from_json == from_protobuf
    first = from_json[0]
    assert (first.trace, first.id, first.parent) == (ex.TRACE, ex.SPAN, ex.PARENT)
    assert first.attributes == {**RICH, "raw": "AP8="}
    assert first.events == (otlp.Event("e", ex.START + 7, {"k": "v"}),)
    assert (first.failed, first.message, first.resource) == (True, "it broke", {"service.name": "shop"})
    assert (first.start, first.end) == (ex.START, ex.START + 1_500_000_000)


def test_the_rules_of_json() -> None:
    body = json.dumps({
        "resourceSpans": [{
            "unknown": [1], "resource": None,
            "scopeSpans": [{"spans": [{
                "traceId": ex.TRACE.upper(), "spanId": ex.SPAN.upper(), "startTimeUnixNano": 5, "endTimeUnixNano": None,
                "kind": "SPAN_KIND_CLIENT", "flags": 3, "status": {"code": "STATUS_CODE_ERROR"},
                "attributes": [
                    {"key": "as_text", "value": {"intValue": "-7", "future": {}}},
                    {"key": "as_number", "value": {"intValue": 7}}, {"key": "nan", "value": {"doubleValue": "NaN"}},
                    {"key": "empty", "value": {}}, {"key": "none"}, None,
                    {"key": "whole", "value": {"doubleValue": 3}},
                ],
            }]}],
        }],
    })  # fmt: skip
    (span,) = otlp.read_json(body.encode())
    assert (span.trace, span.id, span.start, span.end, span.failed) == (ex.TRACE, ex.SPAN, 5, 0, True)
    assert span.attributes == {
        "as_text": -7, "as_number": 7, "empty": None, "none": None, "nan": None, "whole": 3.0,
    }  # fmt: skip
    assert otlp.read_json(b"{}") == otlp.read_json(b'{"resourceSpans": null}') == otlp.read_protobuf(b"") == []


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "truncated"),
        (b"[]", "Expected `object`, got `array`"),
        (b'{"resourceSpans": {}}', "Expected `array"),
        (b"\xff\xfe", "not an OTLP export request in JSON"),
        (ex.as_json(ex.request(ex.span({}, startTimeUnixNano="soon"))), "whole number of 64 bits"),
        (ex.as_json(ex.request(ex.span({}, startTimeUnixNano="9" * 5000))), "whole number of 64 bits"),
        (ex.as_json(ex.request(ex.span({}))).replace(b'"attributes": []', b'"attributes": [{"key":"a","value":'
                                                     b'{"bytesValue":"?"}}]'), "not base64"),
        (b'{"resourceSpans":' + b'[{"scopeSpans":' * 100_000, "nested too deeply"),
    ],
)  # fmt: skip
def test_what_is_not_otlp_is_said_in_one_line(body: bytes, says: str) -> None:
    with pytest.raises(UserError) as raised:
        otlp.read_json(body)
    assert raised.value.status == 400
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


def test_values_in_values_end_somewhere() -> None:
    deep: object = "x"
    for _ in range(otlp.DEEPEST + 1):
        deep = [deep]
    with pytest.raises(UserError, match="levels"):
        otlp.read_json(ex.as_json(ex.request(ex.span({"a": deep}))))


def test_bytes_that_are_no_protobuf() -> None:
    for body in (b"\xff", b"{}", ex.as_protobuf(ex.request(ex.span(ex.CHAT)))[:-3]):
        with pytest.raises(UserError, match="protobuf"):
            otlp.read_protobuf(body)


def test_log_records_of_one_span_are_its_events() -> None:
    def record(name: str, at: int, body: object, span: str = ex.SPAN, **more: object) -> dict[str, object]:
        attributes = ex.pairs({"gen_ai.system": "openai", **({} if more else {"event.name": name})})
        return {"traceId": ex.TRACE, "spanId": span, "timeUnixNano": str(at), "body": ex.value(body),
                "attributes": attributes, **more}  # fmt: skip

    made = ex.logs(
        record("gen_ai.user.message", 3, {"content": "hi"}), record("other", 2, "plain", span=ex.PARENT),
        record("", 5, {"index": 0}, eventName="gen_ai.choice"), service_name="shop",
    )  # fmt: skip
    found = otlp.read_logs_json(ex.as_json(made))
    assert found == otlp.read_logs_protobuf(ex.as_protobuf(made))
    mine, other = found
    assert [event.name for event in mine.events] == ["gen_ai.user.message", "gen_ai.choice"]
    assert mine.events[0].attributes["content"] == "hi"
    assert (mine.start, mine.resource, other.events[0].attributes["content"]) == (3, {"service.name": "shop"}, "plain")


def test_answers() -> None:
    assert otlp.trace_answer(0, "") == (b"", b"{}")
    protobuf, text = otlp.trace_answer(3, "no id")
    assert json.loads(text) == {"partialSuccess": {"rejectedSpans": "3", "errorMessage": "no id"}}
    assert protobuf == bytes.fromhex("0a0908031205") + b"no id"
    assert otlp.logs_answer(0, "as it was")[0] == bytes.fromhex("0a0b1209") + b"as it was"
    assert json.loads(otlp.logs_answer(1, "x")[1])["partialSuccess"]["rejectedLogRecords"] == "1"

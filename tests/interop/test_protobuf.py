"""Our reader of protobuf against the format's rules, byte by byte, and against the real one (extra `clients`)."""

import base64
import math
import tracemalloc
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from everloop.errors import UserError
from everloop.interop import otlp, protobuf

from . import exported as ex

QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
LONG = settings(QUICK, max_examples=3_000)


def request(span: bytes, resource: bytes = b"") -> bytes:
    """A request of one span."""
    return ex.field(1, ex.field(1, resource) + ex.field(2, ex.field(2, span)))


def only(span: bytes) -> otlp.Span:
    (found,) = otlp.read_protobuf(request(span))
    return found


def attribute(value: bytes) -> Any:
    """What a span's attribute holds, from the bytes of its AnyValue."""
    return only(ex.field(9, ex.field(1, b"a") + ex.field(2, value))).attributes["a"]


def refusal(body: bytes) -> str:
    with pytest.raises(UserError) as raised:
        otlp.read_protobuf(body)
    assert raised.value.status == 400
    assert "\n" not in str(raised.value)
    return str(raised.value)


# ---- by the bytes


@pytest.mark.parametrize(
    ("value", "is_read_as"),
    [
        ("", None),
        ("0a00", ""),
        ("0a02c3bc", "ü"),
        ("0a8280808000c3bc", "ü"),  # a length may be longer than it need be
        ("1801", 1),
        ("988000" "01", 1),  # and so may a tag
        ("18" + "ff" * 9 + "01", -1),
        ("18" + "ff" * 8 + "7f", 2**63 - 1),
        ("18" + "80" * 9 + "01", -(2**63)),
        ("18" + "80" * 9 + "02", 0),  # bits past the 64th
        ("1000", False),
        ("1080808010", True),
        ("21" "000000000000e03f", 0.5),
        ("21" "000000000000f87f", None),  # NaN
        ("21" "000000000000f07f", None),  # infinity
        ("3a0200ff", "AP8="),
        ("2a00", []),
        ("3200", {}),
        ("2a06" "0a00" "0a021801", [None, 1]),
        ("3205" "0a03" "0a0161", {"a": None}),
        ("3209" "0a07" "1202180a" "0a016b", {"k": 10}),  # the value before the key
        ("1801" "0a0161", "a"),  # the last of a oneof
        ("0a0161" "1801", 1),
        ("2a040a021801" "2a040a021802", [1, 2]),  # of the same kind: merged
        ("2a040a021801" "0a0161" "2a040a021802", [2]),  # something else came in between
        ("3204" "0a020a00" "3204" "0a020a00", {"": None}),
        ("1801" "0801" "21" + "00" * 8, 0.0),  # 0801: a text's number with a number's type is no text
        ("1801" "7a0161" "7801" "7d00000000" "79" + "00" * 8, 1),  # a field nobody knows, in each type
        ("1801" "f8ffffff0f01", 1),  # the highest number there is
    ],
)  # fmt: skip
def test_values(value: str, is_read_as: Any) -> None:
    found = attribute(bytes.fromhex(value))
    assert (found, type(found)) == (is_read_as, type(is_read_as))


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("18" + "80" * 10 + "01", "a number is too long"),
        ("98808080800001", "a number is too long"),
        ("988080801001", "a number is too long"),
        ("0affffffff7f", "a number is too long"),
        ("0a", "cut off"),
        ("18", "cut off"),
        ("18ff", "cut off"),
        ("21000000", "cut off"),
        ("7d0000", "cut off"),
        ("0a0261", "cut off"),
        ("0affffffff07", "cut off"),
        ("0a02c328", "not UTF-8"),
        ("0a03eda080", "not UTF-8"),  # half of a surrogate pair
        ("7b7c", "groups"),
        ("7c", "groups"),
        ("7e00", "groups"),
        ("0001", "no number"),
        ("0200", "no number"),
        ("80000001", "no number"),
    ],
)
def test_values_that_are_none(value: str, says: str) -> None:
    raw = bytes.fromhex(value)
    held = ex.field(9, ex.field(2, raw))
    assert says in refusal(request(held))
    assert refusal(request(held + ex.field(5, b"more")))  # and where more follows that it could take for its own


def test_the_last_of_a_field_counts_and_messages_merge() -> None:
    first = ex.field(5, b"a") + ex.field(15, bytes.fromhex("1802") + ex.field(2, b"why")) + ex.field(1, b"\x01")
    span = only(first + ex.field(15, ex.field(2, b"because")) + ex.field(5, b"b") + b"\x28\x05" + ex.field(1, b""))
    assert (span.name, span.failed, span.message, span.trace) == ("b", True, "because", "")
    assert not only(first + ex.field(15, bytes.fromhex("1801"))).failed
    assert only(ex.field(15, bytes.fromhex("188280808010"))).failed  # of an enumeration's number 32 bits count

    def of(name: bytes, value: bytes) -> bytes:
        return ex.field(1, ex.field(1, name) + ex.field(2, ex.field(1, value)))

    both = ex.field(1, of(b"a", b"1") + of(b"b", b"2")) + ex.field(1, of(b"a", b"3"))
    (span,) = otlp.read_protobuf(ex.field(1, both + ex.field(2, ex.field(2, b""))))
    assert span == otlp.Span("", "", "", "", 0, 0, {}, (), False, "", {"a": "3", "b": "2"})


def nested(levels: int, number: int) -> bytes:
    """So many arrays (5) or lists of pairs (6) in each other."""
    value = ex.field(1, b"x")
    for _ in range(levels):
        value = ex.field(number, ex.field(1, value if number == 5 else ex.field(2, value)))
    return value


@pytest.mark.parametrize("number", [5, 6])
def test_values_in_values_end_where_those_of_json_do(number: int) -> None:
    made: Any = "x"
    for _ in range(protobuf.DEEPEST):
        made = [made] if number == 5 else {"": made}
    assert attribute(nested(protobuf.DEEPEST, number)) == made
    assert otlp.read_json(ex.as_json(ex.request(ex.span({"a": made}))))[0].attributes == {"a": made}
    for levels in (protobuf.DEEPEST + 1, 5_000):
        held = ex.field(9, ex.field(2, nested(levels, number)))
        assert f"more than {protobuf.DEEPEST} levels" in refusal(request(held))


def test_a_request_holds_so_many_values_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protobuf, "MOST", 10)
    for some in (ex.field(9, b""), ex.field(11, b""), ex.field(9, ex.field(2, ex.field(5, ex.field(1, b""))))):
        left = 7 if len(some) == 2 else 3  # the resource, the scope and the span are three; a list's pair is one too
        assert only(some * left)
        assert "over 10 values" in refusal(request(some * (left + 1)))


def test_nothing_is_reserved_for_what_is_only_announced() -> None:
    body = request(ex.field(9, b"\x0a\xff\xff\xff\xff\x07"))
    tracemalloc.start()
    try:
        refusal(body)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_what_is_written() -> None:
    assert protobuf.write((1, 0), (2, "")) == b""
    assert (
        protobuf.write((1, 2**63 - 1), (2, "ü"), (3, b"\x00")).hex() == "08" + "ff" * 8 + "7f" + "1202c3bc" + "1a0100"
    )
    assert protobuf.write((16, "x" * 200))[:4] == bytes.fromhex("8201c801")


# ---- against the real one

# What we read of each message. The oracle is cut down to it, so that both skip the same, and check no more of it.
TAKEN = {
    "ExportTraceServiceRequest": {1}, "ExportLogsServiceRequest": {1}, "ResourceSpans": {1, 2}, "ResourceLogs": {1, 2},
    "Resource": {1}, "ScopeSpans": {2}, "ScopeLogs": {2}, "KeyValue": {1, 2}, "AnyValue": {1, 2, 3, 4, 5, 6, 7},
    "ArrayValue": {1}, "KeyValueList": {1}, "Span": {1, 2, 4, 5, 7, 8, 9, 11, 15}, "Event": {1, 2, 3}, "Status": {2, 3},
    "LogRecord": {1, 5, 6, 9, 10, 11, 12},
}  # fmt: skip
FILES = ["common.v1.common", "resource.v1.resource", "trace.v1.trace", "logs.v1.logs",
         "collector.trace.v1.trace_service", "collector.logs.v1.logs_service"]  # fmt: skip
Reader = Callable[[bytes], list[otlp.Span]]


@pytest.fixture(scope="module")
def real() -> SimpleNamespace:
    """The real messages, whole and cut down to what we take."""
    why = "the oracle is opentelemetry-proto, of the extra `clients`"
    modules = [pytest.importorskip(f"opentelemetry.proto.{name}_pb2", reason=why) for name in FILES]
    from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory

    pool = descriptor_pool.DescriptorPool()
    for module in modules:
        file = descriptor_pb2.FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(file)
        for kind in (one for top in file.message_type for one in (top, *top.nested_type)):
            if kind.name in TAKEN:
                kept = [field for field in kind.field if field.number in TAKEN[kind.name]]
                assert len(kept) == len(TAKEN[kind.name])
                del kind.field[:]
                kind.field.extend(kept)
        pool.Add(file)
    names = {"traces": "trace.v1.ExportTraceServiceRequest", "logs": "logs.v1.ExportLogsServiceRequest"}
    cut = {
        what: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"opentelemetry.proto.collector.{name}"))
        for what, name in names.items()
    }
    whole = {"traces": modules[4].ExportTraceServiceRequest, "logs": modules[5].ExportLogsServiceRequest}
    return SimpleNamespace(cut=cut, whole=whole, wrong=message.DecodeError, modules=modules)


def plain(value: Any) -> Any:
    """An AnyValue of the oracle."""
    match value.WhichOneof("value"):
        case "array_value":
            return [plain(one) for one in value.array_value.values]
        case "kvlist_value":
            return pairs(value.kvlist_value.values)
        case "bytes_value":
            return base64.b64encode(value.bytes_value).decode()
        case "double_value":
            return value.double_value if math.isfinite(value.double_value) else None
        case None | "string_value_strindex":
            return None
        case name:
            return getattr(value, name)


def pairs(of: Any) -> dict[str, Any]:
    return {one.key: plain(one.value) for one in of}


def spans_of(message: Any) -> list[otlp.Span]:
    """What the oracle has read, as ours says it."""
    found = []
    for group in message.resource_spans:
        for span in (span for scope in group.scope_spans for span in scope.spans):
            events = tuple(otlp.Event(e.name, e.time_unix_nano, pairs(e.attributes)) for e in span.events)
            ids = span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex()
            times = span.start_time_unix_nano, span.end_time_unix_nano
            failed, resource = span.status.code == 2, pairs(group.resource.attributes)
            told = pairs(span.attributes), events, failed, span.status.message, resource
            found.append(otlp.Span(*ids, span.name, *times, *told))
    return found


def logs_of(message: Any) -> list[list[Any]]:
    """The same for log records, as they are before they are grouped by span."""
    return [
        [pairs(group.resource.attributes), [
            [[plain(log.body), log.trace_id, log.span_id, log.time_unix_nano, log.observed_time_unix_nano,
              log.event_name, pairs(log.attributes)] for log in scope.log_records] for scope in group.scope_logs]]
        for group in message.resource_logs
    ]  # fmt: skip


def our_logs(body: bytes) -> list[list[Any]]:
    return [
        [resource or {}, [[[*log[:6], log[6] or {}] for log in scope[0] or ()] for scope in scopes or ()]]
        for resource, scopes in protobuf.read(body, protobuf.LOGS)[0] or ()
    ]


READERS: dict[str, tuple[Callable[[bytes], Any], Callable[[Any], Any]]] = {
    "traces": (otlp.read_protobuf, spans_of), "logs": (our_logs, logs_of),
}  # fmt: skip


def agree(real: SimpleNamespace, what: str, body: bytes) -> None:
    """Both read the same, or both refuse; groups we refuse alone."""
    ours, theirs = READERS[what]
    try:
        expected = theirs(real.cut[what].FromString(body))
    except real.wrong:
        with pytest.raises(UserError):
            ours(body)
        return
    try:
        found = ours(body)
    except UserError as error:
        assert "groups" in str(error)
        return
    assert found == expected


SCALARS = {  # by the numbers that descriptors have for types
    1: st.floats(), 3: st.integers(-(2**63), 2**63 - 1), 5: st.integers(-(2**31), 2**31 - 1),
    6: st.integers(0, 2**64 - 1), 7: st.integers(0, 2**32 - 1), 8: st.booleans(), 9: st.text(max_size=5),
    12: st.binary(max_size=17), 13: st.integers(0, 2**32 - 1), 14: st.integers(0, 3),
}  # fmt: skip


@st.composite
def filled(draw: st.DrawFn, kind: Any, deepest: int = 3) -> dict[str, Any]:
    """A message of this descriptor with anything in any field, as its class takes it."""
    made: dict[str, Any] = {}
    for field in kind.fields:
        inner = field.message_type
        if not deepest and inner is not None and inner.name in {"ArrayValue", "KeyValueList"}:
            continue
        one = SCALARS[field.type] if inner is None else filled(inner, deepest - (inner.name == "AnyValue"))
        if field.is_repeated:
            made[field.name] = [draw(one) for _ in range(draw(st.integers(0, 2)))]
        elif draw(st.booleans()):
            made[field.name] = draw(one)
    return made


KINDS = pytest.mark.parametrize("what", ["traces", "logs"])


def check_what_the_real_one_wrote(real: SimpleNamespace, what: str, data: st.DataObject) -> None:
    message = real.whole[what](**data.draw(filled(real.whole[what].DESCRIPTOR)))
    ours, theirs = READERS[what]
    assert ours(message.SerializeToString()) == theirs(message)


WRITTEN = given(data=st.data())
test_what_the_real_one_wrote = KINDS(settings(QUICK, max_examples=25)(WRITTEN(check_what_the_real_one_wrote)))
test_what_the_real_one_wrote_for_long = pytest.mark.slow(
    KINDS(settings(LONG, max_examples=300)(WRITTEN(check_what_the_real_one_wrote)))
)

RICH = {
    "s": "ü",
    "i": -(2**62),
    "f": 0.5,
    "b": True,
    "l": ["a", 1, [2.5]],
    "o": {"k": {"z": False}},
    "raw": b"\x00\xff",
}
VALID = {
    "traces": ex.request(
        ex.span(ex.CHAT, parent=ex.PARENT, events=[ex.event("e", **RICH)], status={"code": 2, "message": "no"}),
        ex.span(RICH), service_name="shop",
    ),
    "logs": ex.logs(
        {"traceId": ex.TRACE, "spanId": ex.SPAN, "timeUnixNano": "3", "observedTimeUnixNano": "4", "eventName": "e",
         "body": ex.value(RICH), "attributes": ex.pairs(RICH)}, service_name="shop",
    ),
}  # fmt: skip
CHANGES = st.lists(st.tuples(st.integers(0, 10**6), st.binary(max_size=4), st.integers(0, 6)), min_size=1, max_size=4)


def check_changed_bytes(real: SimpleNamespace, what: str, changes: list[tuple[int, bytes, int]]) -> None:
    body = ex.as_protobuf(VALID[what])
    for at, put, gone in changes:
        at %= len(body) + 1
        body = body[:at] + put + body[at + gone :]
    agree(real, what, body)


test_changed_bytes = KINDS(QUICK(given(changes=CHANGES)(check_changed_bytes)))
test_changed_bytes_for_long = pytest.mark.slow(KINDS(LONG(given(changes=CHANGES)(check_changed_bytes))))


@KINDS
def test_cut_off_anywhere(real: SimpleNamespace, what: str) -> None:
    body = ex.as_protobuf(VALID[what])
    for end in range(len(body) + 1):
        agree(real, what, body[:end])


def _soup(inner: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Fields in a row, with the numbers we look for and any type, in messages of any kind."""
    numbers = st.integers(1, 16) | st.sampled_from([1, 2, 9]) | st.integers(0, 2**29)
    whole = st.integers(0, 2**64 - 1) | st.integers(0, 3)
    held = st.builds(ex.field, numbers, inner | st.binary(max_size=3))
    counted = st.builds(lambda number, value: ex.varint(number << 3) + ex.varint(value), numbers, whole)
    fixed = st.builds(
        lambda number, body: ex.varint(number << 3 | 1) + body, numbers, st.binary(min_size=8, max_size=8)
    )
    short = st.builds(lambda number: ex.varint(number << 3 | 5) + b"four", numbers)
    group = st.builds(lambda number, type: ex.varint(number << 3 | type), numbers, st.sampled_from([3, 4, 6, 7]))
    often = [held] * 8 + [counted] * 3 + [fixed] * 2 + [short]
    return st.lists(st.one_of(*often) | st.one_of(*often, group), max_size=4).map(b"".join)


SOUP = _soup(_soup(_soup(_soup(st.binary(max_size=3)))))


def check_any_fields(real: SimpleNamespace, what: str, soup: bytes) -> None:
    agree(real, what, soup)
    agree(real, what, request(soup))
    agree(real, what, request(ex.field(6 if what == "logs" else 9, ex.field(1, b"k") + ex.field(2, soup))))


test_any_fields = KINDS(QUICK(given(soup=SOUP)(check_any_fields)))
test_any_fields_for_long = pytest.mark.slow(KINDS(LONG(given(soup=SOUP)(check_any_fields))))


def test_what_the_tests_and_the_answers_write(real: SimpleNamespace) -> None:
    from google.protobuf.json_format import ParseDict

    recoded = {"traceId", "spanId", "parentSpanId"}  # protobuf's own JSON has base64 where OTLP has hexadecimal

    def theirs(of: Any) -> Any:
        if isinstance(of, dict):
            return {name: base64.b64encode(bytes.fromhex(one)).decode() if name in recoded else theirs(one)
                    for name, one in of.items()}  # fmt: skip
        return [theirs(one) for one in of] if isinstance(of, list) else of

    for what, made in VALID.items():
        expected = ParseDict(theirs(made), real.whole[what]())
        assert real.whole[what].FromString(ex.as_protobuf(made)) == expected
    traces, logs = real.modules[4].ExportTraceServiceResponse(), real.modules[5].ExportLogsServiceResponse()
    for refused, message in ((0, ""), (300, "ü" * 200), (0, "only said"), (2**40, "")):
        said = otlp.trace_answer(refused, message)[0], otlp.logs_answer(refused, message)[0]
        traces.Clear()
        logs.Clear()
        if refused or message:
            traces.partial_success.rejected_spans = logs.partial_success.rejected_log_records = refused
            traces.partial_success.error_message = logs.partial_success.error_message = message
        assert said == (traces.SerializeToString(), logs.SerializeToString())

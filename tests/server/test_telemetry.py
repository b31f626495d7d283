"""OpenTelemetry in: with the real SDK and exporter, and by hand where it must go wrong."""

import gzip
import json
import logging
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

import everloop
from everloop import keys
from everloop.errors import StoreFull
from everloop.server import telemetry
from everloop.settings import Settings
from everloop.types import Audit, Comment, FeedbackFields, Interaction, Outcome, Thumb
from everloop.wheel import Wheel

from ..interop import exported as ex
from .conftest import served

PROTOBUF = {"content-type": "application/x-protobuf"}
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Wheel, httpx.Client]]:
    """One server for tests that don't mind each other."""
    settings = Settings(home=str(tmp_path_factory.mktemp("shared")), max_body_bytes=500_000)
    with everloop.open(settings=settings) as wheel, served(wheel) as http:
        yield wheel, http


def send(
    http: httpx.Client, *spans: dict[str, Any], to: str = "/v1/traces", headers: Any = (), **resource: Any
) -> httpx.Response:
    """Spans in protobuf; the answer."""
    body = ex.as_protobuf(ex.request(*spans, **({"service_name": "shop"} | resource)))
    return http.post(to, content=body, headers={**PROTOBUF, **dict(headers)})


def refused(answer: httpx.Response) -> tuple[int, str]:
    assert answer.status_code == 200, answer.content
    real = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
    said = real.ExportTraceServiceResponse.FromString(answer.content).partial_success
    return said.rejected_spans, said.error_message


def one(wheel: Wheel, id: str = ex.SPAN) -> Interaction:
    found = wheel.store.records.get(Interaction, id)
    assert found is not None
    return found


@contextmanager
def traced(http: httpx.Client, **options: Any) -> Iterator[Any]:
    """The SDK's tracer, exporting to the server when the block ends."""
    sdk = pytest.importorskip("opentelemetry.sdk.trace")
    http_exporter = pytest.importorskip("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    exporter = http_exporter.OTLPSpanExporter(f"{http.base_url}/v1/traces", timeout=10, **options)
    provider = sdk.TracerProvider(resource=Resource.create({"service.name": "Shop Bot"}), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    try:
        yield provider.get_tracer("test")
        assert provider.force_flush(10_000)
    finally:
        provider.shutdown()


@pytest.mark.parametrize("compressed", [False, True])
def test_the_real_exporter(http: httpx.Client, wheel: Wheel, compressed: bool) -> None:
    exporter = pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    options = {"compression": exporter.Compression.Gzip} if compressed else {}
    with traced(http, **options) as tracer, tracer.start_as_current_span("GET /ask") as above:
        above.set_attribute("http.request.method", "GET")
        with tracer.start_as_current_span("chat gpt-4", attributes=ex.CHAT) as call:
            call.add_event("gen_ai.evaluation.result", {"gen_ai.evaluation.name": "relevance",
                                                        "gen_ai.evaluation.score.value": 0.5,
                                                        "gen_ai.evaluation.explanation": "half of it"})  # fmt: skip
            told = call.get_span_context()
    made = one(wheel, f"{told.span_id:016x}")
    assert (made.loop, made.output, made.trace) == ("shop-bot", "On its way.", f"{told.trace_id:032x}")
    assert made.input == {"messages": [{"role": "user", "content": "Where is my card?"}], "temperature": 0.5}
    assert wheel.get("shop-bot").spec.task == "chat"
    assert wheel.store.records.count(Interaction) == 1
    (number,) = wheel.store.records.find(Outcome, interaction=made.id)
    assert (number.name, number.value, number.source) == ("relevance", 0.5, "system")
    (words,) = wheel.store.records.find(Comment, interaction=made.id)
    assert words.value == "half of it"


def test_the_real_exporter_of_logs(http: httpx.Client, wheel: Wheel) -> None:
    """Messages and evaluations come as events, which are log records; the span had no content."""
    module = pytest.importorskip("opentelemetry.exporter.otlp.proto.http._log_exporter")
    from opentelemetry._logs import LogRecord
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor

    exporter = module.OTLPLogExporter(f"{http.base_url}/v1/logs", timeout=10, headers={"x-everloop-loop": "shop"})
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    logger = provider.get_logger("test")

    def emit(name: str, attributes: dict[str, Any]) -> None:
        logger.emit(LogRecord(timestamp=ex.START, trace_id=int(ex.TRACE, 16), span_id=int(ex.SPAN, 16), event_name=name,
                              attributes=attributes))  # fmt: skip

    emit("gen_ai.client.inference.operation.details", ex.CHAT)
    emit("gen_ai.evaluation.result", {"gen_ai.evaluation.name": "user_feedback", "gen_ai.evaluation.score.value": 1})
    provider.shutdown()
    assert (one(wheel).output, one(wheel).loop) == ("On its way.", "shop")
    (thumb,) = wheel.store.records.find(Thumb, interaction=ex.SPAN)
    assert (thumb.value, thumb.source) == ("up", "user")


@pytest.mark.parametrize("coding", ["", "gzip", "deflate"])
@pytest.mark.parametrize("form", ["json", "protobuf"])
def test_both_encodings_packed_or_not(shared: tuple[Wheel, httpx.Client], form: str, coding: str) -> None:
    wheel, http = shared
    id = f"{len(form) * 16 + len(coding) + 1:016x}"
    made = ex.request(ex.span(ex.CHAT, id=id), ex.span({"db.system.name": "x"}, id="2" * 16), service_name="shop")
    body = ex.as_json(made) if form == "json" else ex.as_protobuf(made)
    packed = {"": body, "gzip": gzip.compress(body, mtime=0), "deflate": zlib.compress(body)}[coding]
    headers = {**(JSON if form == "json" else PROTOBUF), **({"content-encoding": coding} if coding else {})}
    answer = http.post("/v1/traces", content=packed, headers=headers)
    assert (answer.status_code, answer.content) == (200, b"{}" if form == "json" else b"")
    assert answer.headers["content-type"] == headers["content-type"]
    assert answer.headers["x-everloop-taken"] == "interactions new 1, skipped database 1"
    assert one(wheel, id).tokens_out == 47


def test_the_same_batch_again_is_known(http: httpx.Client, wheel: Wheel) -> None:
    told = {"gen_ai.evaluation.name": "a", "gen_ai.evaluation.score.value": 1}
    judged = ex.span(ex.CHAT, events=[ex.event("gen_ai.evaluation.result", **told)])
    assert send(http, judged).headers["x-everloop-taken"] == "interactions new 1, feedback new 1"
    assert send(http, judged).headers["x-everloop-taken"] == "interactions known 1, feedback known 1"
    assert (wheel.store.records.count(Interaction), wheel.store.records.count(FeedbackFields)) == (1, 1)


def test_a_conflict_costs_itself_alone(http: httpx.Client, wheel: Wheel) -> None:
    send(http, ex.span(ex.CHAT))
    other = {**ex.CHAT, "gen_ai.output.messages": "something else"}
    answer = send(http, ex.span(other), ex.span(ex.CHAT, id="2" * 16), ex.span(ex.CHAT, id="3" * 16))
    count, why = refused(answer)
    assert (count, "already with other content" in why) == (1, True)
    assert wheel.store.records.count(Interaction) == 3
    assert one(wheel).output == "On its way."


def test_what_is_refused_is_said_and_the_rest_is_kept(http: httpx.Client, wheel: Wheel) -> None:
    silent = {name: value for name, value in ex.CHAT.items() if "messages" not in name}
    count, why = refused(send(http, ex.span(silent, id="2" * 16), ex.span(ex.CHAT)))
    assert count == 1
    assert "CAPTURE_MESSAGE_CONTENT" in why
    answer = http.post("/v1/traces", headers=JSON,
                       content=ex.as_json(ex.request(ex.span(ex.CHAT, id="4" * 4), service_name="s")))  # fmt: skip
    assert answer.json()["partialSuccess"]["rejectedSpans"] == "1"
    assert wheel.store.records.count(Interaction) == 1


def test_which_loop(http: httpx.Client, wheel: Wheel) -> None:
    wheel.loop("mine")
    send(http, ex.span(ex.CHAT, id="1" * 16), to="/v1/loops/mine/traces")
    send(http, ex.span({**ex.CHAT, "everloop.loop": "named"}, id="2" * 16))
    send(http, ex.span(ex.CHAT, id="3" * 16), everloop_loop="of-resource")
    send(http, ex.span({**ex.CHAT, "everloop.loop": "named"}, id="4" * 16), headers={"x-everloop-loop": "asked"})
    send(http, ex.span(ex.CHAT, id="5" * 16), service_name="")
    assert [one(wheel, str(n) * 16).loop for n in range(1, 6)] == ["mine", "named", "of-resource", "asked", "telemetry"]
    assert send(http, ex.span(ex.CHAT), to="/v1/loops/nope/traces").status_code == 404
    assert "everloop.loop" in refused(send(http, ex.span(ex.CHAT, id="6" * 16), service_name="客服"))[1]
    assert "loop name" in refused(send(http, ex.span({**ex.CHAT, "everloop.loop": "No Way"}, id="7" * 16)))[1]
    assert wheel.store.records.count(Interaction) == 5


def test_telemetry_makes_so_many_loops_and_no_more(
    http: httpx.Client, wheel: Wheel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telemetry, "MOST_LOOPS", 3)
    named = [ex.span({**ex.CHAT, "everloop.loop": f"loop-{n}"}, id=str(n) * 16) for n in range(1, 6)]
    count, why = refused(send(http, *named))
    assert (count, "at most 3" in why) == (2, True)
    assert len(wheel.loops()) == 3
    wheel.loop("loop-5")
    assert refused(send(http, *named))[0] == 1


def test_a_key_of_one_loop_is_kept_to_it(wheel: Wheel) -> None:
    wheel.loop("mine")
    wheel.loop("other").log("secret", "answer", id="theirs")
    _, secret = keys.create(wheel.store.records, "exporter", "client", loop="mine")
    with served(wheel) as http:
        http.headers["authorization"] = f"Bearer {secret}"
        assert refused(send(http, ex.span(ex.CHAT))) == (0, "")
        assert one(wheel).loop == "mine"
        count, why = refused(send(http, ex.span({**ex.CHAT, "everloop.loop": "other"}, id="2" * 16)))
        assert (count, "for loop mine alone" in why) == (1, True)
        assert send(http, ex.span(ex.CHAT), headers={"x-everloop-loop": "other"}).status_code == 403
        assert send(http, ex.span(ex.CHAT), to="/v1/loops/other/traces").status_code == 403
        judged = {"gen_ai.evaluation.name": "a", "gen_ai.evaluation.score.value": 1, "gen_ai.response.id": "theirs"}
        send(http, ex.span(judged, id="3" * 16, name="gen_ai.evaluation.result"))
        assert wheel.store.records.count(FeedbackFields, "other") == 0
        http.headers["authorization"] = "Bearer nonsense"
        assert send(http, ex.span(ex.CHAT)).status_code == 401


def test_what_our_gateway_kept_is_known_and_gets_its_trace(http: httpx.Client, wheel: Wheel) -> None:
    ours = "0197f0d2-7a1b-7c3d-9e4f-0123456789ab"
    wheel.loop("shop", task="chat").log({"messages": []}, "On its way.", id=ours)
    assert refused(send(http, ex.span({**ex.CHAT, "gen_ai.response.id": ours}))) == (0, "")
    assert (one(wheel, ours).trace, one(wheel, ours).input) == (ex.TRACE, {"messages": []})
    assert wheel.store.records.count(Interaction) == 1


def test_a_service_of_another_name_that_asked_our_gateway(http: httpx.Client, wheel: Wheel) -> None:
    """What the service calls itself is not the loop it asked: one interaction, found by its trace and by its span."""
    ours = "0197f0d2-7a1b-7c3d-9e4f-0123456789ab"
    wheel.loop("desk", task="chat").log({"messages": []}, "On its way.", id=ours)
    answer = send(http, ex.span({**ex.CHAT, "gen_ai.response.id": ours}))
    assert (refused(answer), answer.headers["x-everloop-taken"]) == ((0, ""), "interactions known 1")
    assert one(wheel, ours).trace == ex.TRACE
    assert [loop.name for loop in wheel.loops()] == ["desk"]
    for name in (ex.TRACE, ex.SPAN):
        said = {"span_id": name, "name": "ok", "annotator_kind": "HUMAN", "result": {"label": "up"}}
        assert http.post("/v1/span_annotations", json={"data": [said]}).status_code == 200
    assert {one.interaction for one in wheel.store.records.find(FeedbackFields)} == {ours}


def test_a_span_without_messages_of_an_answer_that_our_gateway_gave(http: httpx.Client, wheel: Wheel) -> None:
    """Exporters leave the messages out by default; where our gateway has them, nothing is missing."""
    ours = "0197f0d2-7a1b-7c3d-9e4f-0123456789ab"
    bare = {name: told for name, told in ex.CHAT.items() if not name.endswith(".messages")}
    count, why = refused(send(http, ex.span({**bare, "gen_ai.response.id": ours})))  # some other service's id
    assert (count, "without its messages" in why) == (1, True)
    wheel.loop("desk", task="chat").log({"messages": []}, "On its way.", id=ours)
    answer = send(http, ex.span({**bare, "gen_ai.response.id": ours}))
    assert (refused(answer), answer.headers["x-everloop-taken"]) == ((0, ""), "interactions known 1")
    assert one(wheel, ours).trace == ex.TRACE


def test_a_key_of_one_loop_puts_no_trace_to_another_loops_answer(wheel: Wheel) -> None:
    ours = "0197f0d2-7a1b-7c3d-9e4f-0123456789ab"
    wheel.loop("mine", task="chat")
    wheel.loop("other", task="chat").log({"messages": []}, "secret", id=ours)
    _, secret = keys.create(wheel.store.records, "exporter", "client", loop="mine")
    with served(wheel) as http:
        http.headers["authorization"] = f"Bearer {secret}"
        send(http, ex.span({**ex.CHAT, "gen_ai.response.id": ours}))
        bare = {name: told for name, told in ex.CHAT.items() if not name.endswith(".messages")}
        assert refused(send(http, ex.span({**bare, "gen_ai.response.id": ours})))[0] == 1
    assert (one(wheel, ours).trace, one(wheel, ours).loop) == (None, "other")


def test_an_evaluation_may_come_before_its_call(http: httpx.Client, wheel: Wheel) -> None:
    judged = {"gen_ai.evaluation.name": "a", "gen_ai.evaluation.score.value": 1}
    early = ex.span(judged, id="2" * 16, parent=ex.SPAN, name="gen_ai.evaluation.result")
    assert send(http, early).headers["x-everloop-taken"] == "feedback held 1"
    send(http, ex.span(ex.CHAT))
    (found,) = wheel.store.records.find(Outcome, interaction=ex.SPAN)
    assert found.loop == "shop"


def test_consent_travels_with_the_span(http: httpx.Client, wheel: Wheel) -> None:
    send(http, ex.span({**ex.CHAT, "everloop.consent": "service"}))
    assert one(wheel).consent == ("service",)
    answer = send(http, ex.span({**ex.CHAT, "everloop.consent": ""}, id="2" * 16))
    assert answer.headers["x-everloop-taken"] == "skipped without-consent 1"
    send(http, ex.span(ex.CHAT, id="3" * 16), headers={"sec-gpc": "1"})
    assert one(wheel, "3" * 16).consent == ("service",)
    assert wheel.store.records.count(Interaction) == 2


def test_private_data_is_redacted_before_it_is_written(http: httpx.Client, wheel: Wheel) -> None:
    told = {**ex.CHAT, "user.id": "ada", "gen_ai.input.messages": "write to ada@example.org"}
    send(http, ex.span(told))
    assert one(wheel).input == {"messages": [{"role": "user", "content": "write to [email]"}], "temperature": 0.5}
    assert (one(wheel).subject or "").startswith("s_")


BOMB = gzip.compress(b"\0" * 30_000_000, mtime=0)


@pytest.mark.parametrize(
    ("body", "headers", "status", "says"),
    [
        (b"{", JSON, 400, "not an OTLP export request in JSON"),
        (b'{"resourceSpans": 3}', JSON, 400, "resourceSpans"),
        (b"\xff\xff", PROTOBUF, 400, "in protobuf"),
        (b"", {"content-type": "text/plain"}, 415, "application/x-protobuf"),
        (b"", {}, 415, "content type ''"),
        (b"x", {**JSON, "content-encoding": "br"}, 415, "'br'"),
        (b"not packed", {**JSON, "content-encoding": "gzip"}, 400, "is not gzip"),
        (gzip.compress(b"{}", mtime=0)[:-4], {**JSON, "content-encoding": "gzip"}, 400, "cut off"),
        (BOMB, {**JSON, "content-encoding": "gzip"}, 413, "over 500,000 bytes unpacked"),
        (BOMB, {**PROTOBUF, "content-encoding": "gzip"}, 413, "over 500,000 bytes unpacked"),
        (gzip.compress(b"\0" * 400_000, mtime=0) * 2, {**JSON, "content-encoding": "gzip"}, 413, "over 500,000"),
        (b"x" * 600_000, PROTOBUF, 413, "more than the 500,000 allowed"),
    ],
)
def test_what_can_not_be_read_gets_one_line(
    shared: tuple[Wheel, httpx.Client], body: bytes, headers: dict[str, str], status: int, says: str
) -> None:
    _, http = shared
    answer = http.post("/v1/traces", content=body, headers=headers)
    assert (answer.status_code, says in answer.text) == (status, True), answer.text
    if "json" in answer.headers["content-type"]:
        said = answer.json()
        assert said["message"] == said["error"]["message"]
        assert isinstance(said["code"], int)
    assert "\n" not in answer.text.replace("\x12\n", "")


def test_a_full_disk_is_to_be_tried_again(http: httpx.Client, wheel: Wheel, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(records: Any) -> Any:
        raise StoreFull("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(wheel.store.records, "submit", full)
        answer = send(http, ex.span(ex.CHAT))
    assert answer.status_code == 503  # exporters give up on 507
    assert answer.headers["retry-after"] == "5"
    assert refused(send(http, ex.span(ex.CHAT))) == (0, "")


def test_metrics_are_not_taken(shared: tuple[Wheel, httpx.Client]) -> None:
    answer = shared[1].post("/v1/metrics", content=b"", headers=PROTOBUF)
    assert (answer.status_code, "OTEL_METRICS_EXPORTER=none" in answer.text) == (404, True)


def test_nothing_is_logged_that_a_client_wrote(http: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="everloop"):
        http.post("/v1/traces", content=json.dumps({"resourceSpans": ["\x1b[2J"]}).encode(), headers=JSON)
    assert caplog.text == ""


def test_a_loop_that_telemetry_makes_stands_in_the_audit_log(tmp_path: Any) -> None:
    with everloop.open(tmp_path) as wheel, served(wheel) as http:
        send(http, ex.span(ex.CHAT), service_name="brand-new")
        send(http, ex.span(ex.CHAT, id="9" * 16), service_name="brand-new")
        rows = [(row.by, row.action, row.loop) for row in wheel.store.records.find(Audit)]
    assert rows == [("open", "telemetry.loop", "brand-new")]

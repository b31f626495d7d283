"""A client that sends garbage: bytes that are no HTTP, and bodies that are right but for one thing."""

import contextlib
import gzip
import json
import random
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import everloop
from everloop.server import create_app
from everloop.server.connections import HEADER_BYTES, Connections
from everloop.wheel import Wheel
from tests.listening import listening
from tests.server.conftest import HOSTILE
from tests.server.stub_upstream import running

TRACE, SPAN = "ab" * 16, "cd" * 8
THUMB = b'{"interaction":"' + SPAN.encode() + b'","kind":"thumb","value":"up"}'
UPSTREAM = ("/v1/chat/completions", "/v1/embeddings", "/inference")
QUICK = settings(max_examples=150, deadline=None, derandomize=True, database=None,
                 suppress_health_check=list(HealthCheck))  # fmt: skip
LONG = settings(QUICK, max_examples=4_000)
ODD = [None, True, 0, -1, 2**70, 1e308, "", " ", "\x00", "\ud7ff\U0010ffff", HOSTILE, "../../etc/passwd", [], {}, [[]],
       {"": {}}, ["a", 1], {"a": [None]}, "9" * 400, "a" * 5_000, [{}] * 50]  # fmt: skip


def post(path: str, body: bytes, *more: str) -> bytes:
    head = [f"POST {path} HTTP/1.1", "host: 127.0.0.1", "content-type: application/json", *more]
    if not more:
        head.append(f"content-length: {len(body)}")
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


@contextlib.contextmanager
def really_served(wheel: Wheel) -> Iterator[int]:
    """As `everloop up` serves it: with the connections that look after themselves. Gives the port."""
    with listening(create_app(wheel, worker=False), http=Connections(500).protocol) as port:
        yield port


@pytest.fixture
def ground(wheel: Wheel) -> Iterator[int]:
    with running() as stub:
        variant = {"name": "a", "url": stub.url, "model": "stub", "retries": 0, "timeout_s": 5.0}
        wheel.loop("desk", task="chat", variants=[variant], signals=[{"name": "solved", "kind": "outcome"}])
        wheel.loop("support", labels=["card", "rate"], signals=[{"name": "dwell", "fields": {"ms": "int"}}])
        wheel.get("desk").log("a question", "an answer", id=SPAN, trace=TRACE)
        with really_served(wheel) as port:
            yield port


@pytest.fixture(scope="module")
def grounded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """One server for all the bytes that it should not even look at."""
    with everloop.open(tmp_path_factory.mktemp("grounded")) as wheel, really_served(wheel) as port:
        yield port


# ---- bodies that are right but for one thing

SPANS = {"resourceSpans": [{"resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "desk"}}]},
    "scopeSpans": [{"spans": [{"traceId": "12" * 16, "spanId": "34" * 8, "name": "chat", "kind": 3,
        "startTimeUnixNano": "1700000000000000000", "endTimeUnixNano": "1700000001000000000",
        "attributes": [{"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}},
                       {"key": "gen_ai.input.messages", "value": {"stringValue": '[{"role":"user","parts":[]}]'}},
                       {"key": "gen_ai.usage.input_tokens", "value": {"intValue": "12"}}],
        "events": [{"name": "gen_ai.evaluation.result", "attributes": [
            {"key": "gen_ai.evaluation.name", "value": {"stringValue": "ok"}},
            {"key": "gen_ai.evaluation.score.value", "value": {"doubleValue": 0.5}}]}]}]}]}]}  # fmt: skip
CHAT = {"model": "loop:desk", "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
        "user": "u1", "metadata": {"session": "s", "tags": {"a": "b"}, "consent": ["service"]}, "stream": False,
        "stream_options": {"include_usage": True}, "tools": [{"type": "function", "function": {"name": "f"}}],
        "response_format": {"type": "json_object"}, "temperature": 0.5}  # fmt: skip
ASSESSED = {"assessment": {"assessment_name": "ok", "trace_id": f"tr-{TRACE}", "span_id": SPAN, "rationale": "why",
                           "source": {"source_type": "HUMAN", "source_id": "me"}, "feedback": {"value": True},
                           "metadata": {"a": "b"}}}  # fmt: skip
SCORE = {"id": "s1", "traceId": TRACE, "observationId": SPAN, "name": "helpful", "value": 1, "dataType": "NUMERIC",
         "comment": "why", "metadata": {"a": 1}, "source": "API"}  # fmt: skip
GENERATION = {"id": "g1", "traceId": TRACE, "name": "n", "startTime": "2026-01-02T03:04:05Z", "model": "m",
              "endTime": "2026-01-02T03:04:06Z", "input": [{"role": "user", "content": "hi"}], "output": "an answer",
              "usage": {"input": 1, "output": 2}, "metadata": {"loop": "desk"}, "level": "DEFAULT"}  # fmt: skip
EVENT = {"id": "e1", "timestamp": "2026-01-02T03:04:05Z", "type": "generation-create", "body": GENERATION}
IMPLICIT = {"interaction": SPAN, "kind": "implicit", "value": "dwell", "dwell_ms": 3, "fields": {"ms": 3}, "at": 1,
            "context": {"a": "b"}, "subject": "u1", "consent": ["service"]}  # fmt: skip
FINE: list[tuple[str, str, Any]] = [
    ("POST", "/v1/feedback", IMPLICIT),
    ("POST", "/v1/feedback", {"interaction": SPAN, "kind": "correction", "value": "card", "rationale": "r",
                              "seconds": 2}),
    ("POST", "/v1/feedback", {"interaction": SPAN, "kind": "vote", "value": "other", "other": "x",
                              "others": ["x", "y"]}),
    ("POST", "/v1/feedback", {"interaction": SPAN, "kind": "demonstration", "value": "v", "case": "c", "goal": "g",
                              "steps": [{"at": 1, "state": {}, "action": {"op": "o"}}], "outcome": {"success": True}}),
    ("POST", "/v1/feedback", {"interaction": SPAN, "kind": "outcome", "value": 1.0, "name": "solved", "window_s": 3.0}),
    ("POST", "/v1/feedback", {"interaction": SPAN, "kind": "intervention", "value": "v", "reason": "comfort",
                              "severity": 0.5, "before_s": 1.0, "window": "w"}),
    ("POST", "/v1/loops/support/predict", {"input": "hi", "subject": "u", "session": "s", "context": {"a": "b"},
                                           "id": "mine", "consent": ["service", "improve"]}),
    ("POST", "/v1/loops/desk/interactions", {
        "input": {"messages": [{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}]}]},
        "output": "an answer", "id": "i1", "at": 1, "label": "card", "split": "train", "confidence": 0.5,
        "alternatives": [{"value": "card", "confidence": 0.5}], "trace": TRACE, "tokens_in": 3,
        "message": {"role": "assistant", "content": "x"}}),
    ("POST", "/v1/chat/completions", CHAT),
    ("POST", "/v1/chat/completions", {**CHAT, "stream": True}),
    ("POST", "/v1/embeddings", {"model": "loop:desk", "input": ["a", "b"], "user": "u"}),
    ("POST", "/inference", {"function_name": "desk", "input": {"system": "s", "messages": [
        {"role": "user", "content": [{"type": "text", "text": "hi"}]}]}, "tags": {"a": "b"}, "stream": False,
        "episode_id": "0199a0aa-0000-7000-8000-000000000001", "params": {"chat_completion": {"temperature": 0.1}}}),
    ("POST", "/feedback", {"metric_name": "solved", "inference_id": SPAN, "value": 1.0, "tags": {"a": "b"}}),
    ("POST", "/api/public/scores", SCORE),
    ("POST", "/api/public/scores", [SCORE]),
    ("POST", "/api/public/ingestion", {"batch": [EVENT, {"id": "e2", "type": "score-create", "body": SCORE}]}),
    ("POST", "/api/public/dataset-items", {"datasetName": "desk", "input": {"q": "a"}, "expectedOutput": "card",
        "metadata": {"loop": "support"}, "sourceTraceId": TRACE, "id": "d1", "status": "ACTIVE"}),
    ("POST", "/api/public/v2/datasets", {"name": "desk", "metadata": {"loop": "desk"}, "description": "d"}),
    ("POST", f"/api/3.0/mlflow/traces/tr-{TRACE}/assessments", ASSESSED),
    ("POST", "/v1/span_annotations", {"data": [{"span_id": SPAN, "name": "n", "annotator_kind": "HUMAN",
        "result": {"label": "good", "score": 1.0, "explanation": "why"}, "identifier": "i", "metadata": {}}]}),
    ("POST", "/v1/trace_annotations", {"data": [{"trace_id": TRACE, "name": "n", "annotator_kind": "LLM",
        "result": {"label": "good", "score": 1.0}, "identifier": ""}]}),
    ("POST", "/v1/span_notes", {"data": {"span_id": SPAN, "note": "a note"}}),
    ("POST", "/v1/traces", SPANS),
    ("POST", "/api/public/otel/v1/traces", SPANS),
    ("POST", "/v1/logs", {"resourceLogs": [{"scopeLogs": [{"logRecords": [{
        "eventName": "gen_ai.evaluation.result", "traceId": TRACE, "spanId": SPAN, "timeUnixNano": "1",
        "attributes": [{"key": "gen_ai.evaluation.name", "value": {"stringValue": "ok"}}],
        "body": {"kvlistValue": {"values": [{"key": "k", "value": {"stringValue": "v"}}]}}}]}]}]}),
    ("PUT", "/v1/loops/scratch", {"task": "chat", "labels": ["a"], "policy": {"golden_share": 0.1}, "variants": [
        {"name": "a", "url": "http://127.0.0.1:9/v1", "model": "m", "params": {"temperature": 1}}],
        "signals": [{"name": "s", "kind": "outcome", "window_s": 3.0, "silence": 0.0}], "trainer": {"name": "auto"}}),
    ("PUT", "/v1/loops/desk/campaigns/away", {"when": {"all": [{"confidence": {"below": 0.6}},
        {"input": {"contains": "a"}}]}, "rate": 3.0, "bytes": 9, "until": 2**50, "before_s": 1.0, "state": "active"}),
    ("PUT", "/v1/subjects/u1/consent", {"improve": False, "share": None}),
    ("POST", "/v1/reviews/none", {"value": "a", "annotator": "me", "rationale": "r", "seconds": 1.0}),
    ("POST", "/v1/loops/support/rollback", {"to": "m", "by": "me", "reason": "r"}),
    ("POST", "/v1/keys", {"role": "client", "name": "n", "loop": "desk", "origins": ["https://a.b"], "rate": 1.0}),
]  # fmt: skip


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to each value in it."""
    yield at
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(inner, (*at, key))


def put(value: Any, at: tuple[Any, ...], new: Any) -> Any:
    if not at:
        return new
    copied = dict(value) if isinstance(value, dict) else list(value)
    copied[at[0]] = put(value[at[0]], at[1:], new)
    return copied


def hidden(answer: httpx.Response) -> None:
    """Nothing of how this is made is said."""
    for sign in ("Traceback (most recent", 'File "', "site-packages", "sqlite3"):
        assert sign not in answer.text


SCALARS = st.sampled_from(ODD) | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=6)
VALUES = st.recursive(SCALARS, lambda v: st.lists(v, max_size=2) | st.dictionaries(st.text(max_size=4), v, max_size=2),
                      max_leaves=5)  # fmt: skip


@st.composite
def spoiled(draw: st.DrawFn) -> tuple[str, str, Any]:
    """A request that would be right, but for one or two of its values."""
    method, path, body = draw(st.sampled_from(FINE))
    for _ in range(draw(st.integers(1, 2))):
        body = put(body, draw(st.sampled_from(list(places(body)))), draw(VALUES))
    return method, path, body


def taken_or_refused(port: int, limit: settings) -> None:
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20, trust_env=False) as http:

        @limit
        @given(spoiled())
        def asked(request: tuple[str, str, Any]) -> None:
            method, path, body = request
            answer = http.request(method, path, content=json.dumps(body), headers={"content-type": "application/json"})
            stub_failed = path in UPSTREAM and "variant 'a'" in answer.text  # it is told what the client said
            assert answer.status_code < 500 or stub_failed, (method, path, body, answer.text)
            hidden(answer)

        asked()


def test_each_of_these_is_right(ground: int) -> None:
    """Else nothing is learned from spoiling them."""
    with httpx.Client(base_url=f"http://127.0.0.1:{ground}", timeout=20, trust_env=False) as http:
        for method, path, body in FINE:
            answer = http.request(method, path, json=body)
            there = "reviews/none" not in path and "rollback" not in path and path != "/v1/keys"
            assert answer.is_success == there, (path, answer.text)


def test_a_body_right_but_for_one_thing(ground: int) -> None:
    taken_or_refused(ground, QUICK)


@pytest.mark.parametrize("kind", [{"a": 1}, ["thumb"], None, 7, "nonsense"])
def test_a_kind_that_is_none(ground: int, kind: Any) -> None:
    given = {"interaction": SPAN, "kind": kind, "value": "up"}
    answer = httpx.post(f"http://127.0.0.1:{ground}/v1/feedback", json=given, trust_env=False)
    assert answer.status_code == 422
    assert "kind" in answer.json()["error"]["message"]


def test_a_form_with_too_much_in_it(ground: int) -> None:
    """The login page is open to everybody."""
    for body, expected in ((b"&".join(b"a%d=1" % n for n in range(50)), 303), (b"key=" + b"a" * 100_000, 413)):
        answer = httpx.post(f"http://127.0.0.1:{ground}/login", content=body, trust_env=False)
        assert answer.status_code == expected, answer.text


def test_a_body_of_many_small_gzips(ground: int) -> None:
    """Each costs a copy of the rest: half a million of them would take minutes."""
    body = gzip.compress(b"") * 300_000
    sent = {"content-type": "application/json", "content-encoding": "gzip"}
    small, large = (httpx.post(f"http://127.0.0.1:{ground}/v1/traces", content=part, headers=sent, trust_env=False,
                               timeout=20) for part in (body[:10_000], body))  # fmt: skip
    assert (small.status_code, large.status_code) == (400, 413)


@pytest.mark.slow
def test_many_of_them(ground: int) -> None:
    taken_or_refused(ground, LONG)


# ---- bytes that are no HTTP, or nearly

LENGTH = f"content-length: {len(THUMB)}"
CHUNKED = b"%x\r\n%b\r\n0\r\n\r\n" % (len(THUMB), THUMB)
HEALTH = b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"
TE = "transfer-encoding: chunked"
# What is sent, and the statuses of the answers; 0 where the connection ends.
RAW: dict[str, tuple[bytes, list[int]]] = {
    "TLS": (bytes.fromhex("16030100a5010000a10303"), [400, 0]),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", [400, 0]),
    "NULs": (b"\0" * 3_000, [400, 0]),
    "a NUL in the path": (b"GET /he\0althz HTTP/1.1\r\nhost: localhost\r\n\r\n", [400, 0]),
    "a NUL in a header": (b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: a\0b\r\n\r\n", [400, 0]),
    "a NUL, quoted": (b"GET /v1/loops/%00 HTTP/1.1\r\nhost: localhost\r\n\r\n", [404]),
    "no UTF-8": (b"GET /v1/loops/%ff%c0%af HTTP/1.1\r\nhost: localhost\r\n\r\n", [404]),
    "two lengths": (post("/v1/feedback", THUMB, "content-length: 5", LENGTH), [400, 0]),
    "a length and chunks": (post("/v1/feedback", CHUNKED, TE, LENGTH), [400, 0]),
    "chunks, and not": (post("/v1/feedback", CHUNKED, TE, "transfer-encoding: identity"), [400, 0]),
    "a negative length": (post("/v1/feedback", THUMB, "content-length: -1"), [400, 0]),
    "a length without end": (post("/v1/feedback", THUMB, "content-length: " + "9" * 30), [400, 0]),
    "a chunk too long": (post("/v1/feedback", b"FFFFFFFFFFFFFFFFF\r\nx", TE), [400, 0]),
    "a negative chunk": (post("/v1/feedback", b"-1\r\nx", TE), [400, 0]),
    "a chunk of another size": (post("/v1/feedback", b"2\r\n{}xx0\r\n\r\n", TE), [400, 0]),
    "a space before a colon": (b"GET /healthz HTTP/1.1\r\nhost : localhost\r\n\r\n", [400, 0]),
    "a folded header": (b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nx: a\r\n b\r\n\r\n", [400, 0]),
    "line feeds": (b"GET /healthz HTTP/1.1\nhost: localhost\n\n", [400, 0]),
    "two hosts": (b"GET /v1/loops HTTP/1.1\r\nhost: localhost\r\nhost: evil\r\n\r\n", [400]),
    "another host": (b"GET /v1/loops HTTP/1.1\r\nhost: evil\r\n\r\n", [421]),
    "a broken host": (b"GET /v1/loops HTTP/1.1\r\nhost: [::1\r\n\r\n", [421]),
    "a tunnel": (b"CONNECT evil:443 HTTP/1.1\r\nhost: evil:443\r\n\r\n", [400, 0]),
    "a path with dots": (b"GET /static/../../pyproject.toml HTTP/1.1\r\nhost: localhost\r\n\r\n", [404]),
    "quoted dots": (b"GET /static/..%2f..%2fpyproject.toml HTTP/1.1\r\nhost: localhost\r\n\r\n", [404]),
    "headers too large": (b"GET /healthz HTTP/1.1\r\nx: " + b"a" * 3 * HEADER_BYTES + b"\r\n\r\n", [431, 0]),
    "an address too long": (b"GET /" + b"a" * 3 * HEADER_BYTES + b" HTTP/1.1\r\n\r\n", [431, 0]),
    "another protocol": (b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\n"
                         b"upgrade: websocket\r\n\r\n", [200]),
    "a hundred at once": (HEALTH * 100, [200] * 100),
    "one good, one bad": (HEALTH + b"nonsense\r\n\r\n", [400, 0]),
}  # fmt: skip


def statuses(one: socket.socket, count: int) -> list[int]:
    """Of so many answers; 0 for the end of the connection."""
    file, found = one.makefile("rb"), []
    while len(found) < count:
        try:
            line = file.readline()
            while line and (header := file.readline().strip().lower()):
                if header.startswith(b"content-length:"):
                    size = int(header.partition(b":")[2])
            body = file.read(size) if line else b""
        except ConnectionError:
            line = b""
        found.append(int(line.split()[1]) if line else 0)
        if not line:
            break
        assert body.startswith(b"{"), body
        assert b"Traceback" not in body
    return found


@pytest.mark.parametrize("raw", RAW)
def test_what_can_be_read_in_two_ways_or_not_at_all(grounded: int, raw: str) -> None:
    sent, expected = RAW[raw]
    with socket.create_connection(("127.0.0.1", grounded), timeout=10) as one:
        with contextlib.suppress(ConnectionError):  # it may end while we are still at it
            one.sendall(sent)
        found = statuses(one, len(expected))
        assert found == expected or (len(sent) > HEADER_BYTES and found == [0])  # what was not read resets it
    assert httpx.get(f"http://127.0.0.1:{grounded}/healthz", trust_env=False).status_code == 200


def test_fields_after_the_body_are_no_headers(ground: int, wheel: Wheel) -> None:
    """Else a client could say, behind a proxy that takes care of the headers, what nobody looked at."""
    told = b"%x\r\n%b\r\n0\r\nhost: evil\r\nsec-gpc: 1\r\n\r\n" % (len(THUMB), THUMB)
    with socket.create_connection(("127.0.0.1", ground), timeout=10) as one:
        one.sendall(post("/v1/feedback", told, TE) + HEALTH)
        assert statuses(one, 2) == [201, 200]


@pytest.mark.parametrize("endless", [b"0\r\nx: ", b"1;x="])
def test_neither_fields_nor_extensions_are_read_for_ever(ground: int, endless: bytes) -> None:
    with socket.create_connection(("127.0.0.1", ground), timeout=10) as one:
        one.sendall(post("/v1/feedback", endless, TE))
        with pytest.raises(ConnectionError):  # noqa: PT012
            for _ in range(2_000):
                one.sendall(b"a" * 8_192)
            pytest.fail("16 MB of it were taken")


@pytest.mark.parametrize("apart", [False, True])
def test_a_client_that_offers_http2_is_answered(ground: int, apart: bool) -> None:
    """Java's does with each plain request, and expects its body to be read all the same."""
    offer = ("connection: Upgrade, HTTP2-Settings", "upgrade: h2c", "http2-settings: AAMAAABk")
    with socket.create_connection(("127.0.0.1", ground), timeout=10) as one:
        for framing, body in ((LENGTH, THUMB), (TE, CHUNKED), ("content-length: 0", b"")):
            whole = post("/v1/feedback", body, framing, *offer)
            head = len(whole) - len(body)
            for piece in (whole[:head], whole[head:] + HEALTH) if apart else (whole + HEALTH,):
                one.sendall(piece)
            assert statuses(one, 2) == [201 if body else 400, 200]


@settings(QUICK, max_examples=60)
@given(st.randoms(use_true_random=False))
def test_noise(grounded: int, chance: random.Random) -> None:
    """Good requests one behind the other, with some bytes changed, cut out and put in."""
    raw = bytearray(chance.choice([HEALTH * 3, post("/v1/feedback", THUMB) + HEALTH, post("/v1/feedback", CHUNKED, TE),
                                   chance.randbytes(200)]))  # fmt: skip
    for _ in range(chance.randrange(6)):
        at = chance.randrange(len(raw))
        raw[at : at + chance.choice([0, 0, 1, 3, 40])] = chance.choice(
            [b"", b"\0", b"\r", b"\n", b"\r\n\r\n", b":", b"%", bytes([chance.randrange(256)]), b"a" * 5_000]
        )
    said = b""
    with socket.create_connection(("127.0.0.1", grounded), timeout=10) as one, contextlib.suppress(ConnectionError):
        for start in range(0, len(raw), 500):
            one.sendall(raw[start : start + 500])
        one.shutdown(socket.SHUT_WR)
        while more := one.recv(65_536):
            said += more
    assert b"HTTP/1.1 5" not in said
    assert b"Traceback" not in said


def test_it_serves_on(grounded: int) -> None:
    with httpx.Client(base_url=f"http://127.0.0.1:{grounded}", trust_env=False) as http:
        taken = http.post("/v1/feedback", content=THUMB, headers={"content-type": "application/json"})
        assert taken.json()["state"] in {"new", "held"}

"""An upstream that means harm, or is broken: what it sends reaches a client only as what it should be."""

import json
import socket
import threading
from collections.abc import Iterator

import httpx
import pytest

from everloop.types import Interaction
from everloop.wheel import Wheel
from tests.server.conftest import PLAIN
from tests.server.test_garbage import really_served

WHOLE = json.dumps({"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [
    {"index": 0, "message": {"role": "assistant", "content": "fine"}, "finish_reason": "stop"}]}).encode()  # fmt: skip
SAYS = b'data: {"id":"x","choices":[{"index":0,"delta":{"content":"%b"},"finish_reason":null}]}\n\n'


class Upstream:
    """Answers every request with the same bytes, whatever they are."""

    def __init__(self) -> None:
        self.raw = b""
        self.repeat = b""  # sent after them until the caller has had enough
        self.sent = 0
        self._listening = socket.socket()
        self._listening.bind(("127.0.0.1", 0))
        self._listening.listen(16)
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}/v1"
        threading.Thread(target=self._run, daemon=True).start()

    def answers(self, head: str, body: bytes = WHOLE) -> None:
        start = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        self.raw, self.repeat = start.encode() + head.encode("latin-1") + b"\r\n\r\n" + body, b""

    def _run(self) -> None:
        while True:
            try:
                one, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(one,), daemon=True).start()

    def _serve(self, one: socket.socket) -> None:
        with one:
            try:
                one.recv(1 << 20)
                one.sendall(self.raw)
                while self.repeat:
                    one.sendall(self.repeat)
                    self.sent += len(self.repeat)
            except OSError:
                return

    def close(self) -> None:
        self.repeat = b""
        self._listening.close()


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    made = Upstream()
    yield made
    made.close()


@pytest.fixture
def http(wheel: Wheel, upstream: Upstream) -> Iterator[httpx.Client]:
    wheel.loop("desk", task="chat", variants=[{"name": "a", "url": upstream.url, "model": "m", "retries": 0}])
    with (
        really_served(wheel) as port,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20, trust_env=False, verify=PLAIN) as made,
    ):
        yield made


def ask(http: httpx.Client, **more: object) -> httpx.Response:
    asked = {"model": "loop:desk", "messages": [{"role": "user", "content": "hi"}], **more}
    return http.post("/v1/chat/completions", json=asked)


@pytest.mark.parametrize("header", [
    "x-ratelimit-a: 1\rset-cookie: stolen=1", "x-ratelimit-a: 1\nset-cookie: stolen=1", "retry-after: 1\x01",
    "x-ratelimit-a: \xff\xfe", "x-ratelimit-\x7f: 1", "x-ratelimit-a: 1\r\n set-cookie: stolen=1", "x-ratelimit-: \x00",
    "x-ratelimit-a: 1\x0b2", "set-cookie: stolen=1", "transfer-encoding: chunked", "access-control-allow-origin: *",
    "x-everloop-variant: b\r\nx-request-id: mine",
])  # fmt: skip
def test_its_headers_add_nothing_to_ours(http: httpx.Client, upstream: Upstream, header: str) -> None:
    upstream.answers(header)
    answer = ask(http)
    assert answer.status_code in {200, 502}, answer.text
    assert "stolen" not in str(answer.headers.get("set-cookie"))
    assert "access-control-allow-origin" not in answer.headers
    assert answer.headers.get("x-everloop-variant", "a") == "a"
    assert answer.headers["x-request-id"] != "mine"
    assert http.get("/healthz").status_code == 200


@pytest.mark.parametrize("body", [
    b"", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"choices": {}}', b'{"choices": [null]}', b'{"error": []}',
    b'{"choices": [{"message": null}]}', b'{"choices": [{"message": {"content": {"a": 1}}}], "usage": []}',
    b'{"choices": [{"message": {"content": "x"}}], "usage": {"prompt_tokens": "many", "completion_tokens": -1}}',
    b'{"choices": [{"message": {"content": "x", "tool_calls": {"a": 1}}}], "model": [], "created": "x"}',
    b'{"choices": [{"message": {"content": "\\ud800"}}]}',
    b'{"choices": [{"message": {"content": "x"}}], "id": {"a": 1e999}}',
])  # fmt: skip
@pytest.mark.parametrize("stream", [False, True])
def test_a_body_that_is_no_answer(http: httpx.Client, upstream: Upstream, body: bytes, stream: bool) -> None:
    upstream.answers("x: y", body)
    answer = ask(http, stream=stream)
    assert answer.status_code in {200, 502}, answer.text
    assert "Traceback" not in answer.text
    upstream.raw = (b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
                    + SAYS % b"one" + b"data: " + body.replace(b"\n", b" ") + b"\n\n")  # fmt: skip
    answer = ask(http, stream=True)
    assert answer.status_code == 200
    assert "Traceback" not in answer.text
    assert "one" in answer.text


def test_a_stream_without_end_is_cut(
    http: httpx.Client, upstream: Upstream, wheel: Wheel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("everloop.server.exchange.MOST_BODY", 2_000_000)
    upstream.raw = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
    upstream.repeat = SAYS % (b"word " * 10_000)
    size = 0
    with http.stream("POST", "/v1/chat/completions", json={
        "model": "loop:desk", "stream": True, "messages": [{"role": "user", "content": "hi"}]
    }) as answer:  # fmt: skip
        for piece in answer.iter_bytes():
            size += len(piece)
            last = piece
            assert size < 4_000_000
    assert b"upstream_broke_off" in last
    (kept,) = wheel.store.records.find(Interaction, "desk")
    assert kept.status == "partial"


def test_a_client_that_does_not_read_holds_the_upstream_up(http: httpx.Client, upstream: Upstream) -> None:
    """What nobody reads is not collected here: the upstream is not read either."""
    upstream.raw = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
    upstream.repeat = SAYS % (b"word " * 10_000)
    body = json.dumps({"model": "loop:desk", "stream": True, "messages": [{"role": "user", "content": "hi"}]}).encode()
    with socket.create_connection((http.base_url.host, http.base_url.port), timeout=20) as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        one.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
                    b"content-length: %d\r\n\r\n%b" % (len(body), body))  # fmt: skip
        one.recv(100)
        before = -1
        while before != upstream.sent:  # until it comes to a halt
            before = upstream.sent
            threading.Event().wait(0.3)
        assert upstream.sent < 40_000_000  # what four sockets hold


@pytest.mark.parametrize(("name", "fits"), [
    ("a\r\nset-cookie: stolen=1", False), ("a\x00", False), ("\u2028", False), ("", False), (" ", False),
    ("a" * 101, False),
    ("ü b", True), ("客服", True), ("a" * 100, True),
])  # fmt: skip
def test_a_variant_s_name_is_safe_in_a_header(http: httpx.Client, upstream: Upstream, name: str, fits: bool) -> None:
    upstream.answers("x: y")
    declared = http.put("/v1/loops/desk", json={"variants": [{"name": name, "url": upstream.url, "model": "m"}]})
    assert declared.status_code == (200 if fits else 422), declared.text
    assert fits or "\n" not in declared.json()["error"]["message"]
    assert ask(http).status_code == 200

"""Connections that give nothing: slow or endless headers, bodies that drip, and too many of all."""

import contextlib
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from everloop import keys
from everloop.server import connections, create_app
from everloop.server.connections import HEADER_BYTES, Connections, room
from everloop.wheel import Wheel
from tests.listening import listening


@contextlib.contextmanager
def guarded(wheel: Wheel, most: int = 50) -> Iterator[tuple[Connections, Callable[[], socket.socket]]]:
    """A server with its own connections, and what opens one to it."""
    watched = Connections(most)
    with listening(create_app(wheel, worker=False), http=watched.protocol) as port, contextlib.ExitStack() as stack:
        yield watched, lambda: stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))


def ask(one: socket.socket, path: str = "/healthz", more: str = "") -> int:
    """The status of one request on a connection that is kept; 0 if it was closed."""
    try:
        one.sendall(f"GET {path} HTTP/1.1\r\nhost: localhost\r\n{more}\r\n".encode())
        return status(one)
    except OSError:
        return 0


def status(one: socket.socket) -> int:
    head = b""
    while b"\r\n\r\n" not in head:
        more = one.recv(65536)
        if not more:
            return 0
        head += more
    size = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
    body = head.partition(b"\r\n\r\n")[2]
    while len(body) < size:
        body += one.recv(65536)
    return int(head.split(b" ")[1])


def ended(one: socket.socket) -> bool:
    """Whether the server ends it within ten seconds."""
    try:
        while one.recv(65536):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_headers_have_their_time(wheel: Wheel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEADER_SECONDS", 0.3)
    monkeypatch.setattr(connections, "LOOK_SECONDS", 0.05)
    with guarded(wheel) as (watched, connect):
        silent, begun, kept, second = connect(), connect(), connect(), connect()
        begun.sendall(b"GET /heal")
        assert ask(second) == 200
        second.sendall(b"GET /heal")  # and begins another, slowly
        assert ended(silent)
        assert ended(begun)
        assert ended(second)
        assert ask(kept) in {0, 200}
        assert ask(connect()) == 200
        until(lambda: not watched.waiting)


def test_headers_have_their_size(wheel: Wheel) -> None:
    with guarded(wheel) as (_, connect):
        assert ask(connect(), more=f"x: {'a' * 60_000}\r\n") == 200
        assert ask(connect(), more=f"x: {'a' * 70_000}\r\n") in {0, 431}
        assert ask(connect(), more="".join(f"x{i}: {'a' * 100}\r\n" for i in range(1_000))) in {0, 431}
        assert ask(connect(), path="/" + "a" * 70_000) in {0, 431}
        endless = connect()  # one header that never ends
        with contextlib.suppress(OSError):
            for _ in range(200):
                endless.sendall(b"a" * 1_000 if _ else b"GET / HTTP/1.1\r\nx: ")
                time.sleep(0.0005)
        assert ended(endless)
        assert ask(connect()) == 200


def test_a_small_request_in_pieces_is_whole(wheel: Wheel) -> None:
    with guarded(wheel) as (watched, connect):
        one = connect()
        for byte in b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n":
            one.sendall(bytes([byte]))
        assert status(one) == 200
        assert ask(one) == 200
        one.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n" * 5)  # and several at once
        time.sleep(0.2)
        got = b""
        while got.count(b"HTTP/1.1 200") < 5:
            got += one.recv(65536)
        assert not watched.waiting
        assert not watched.bodies


def test_the_rest_of_a_refused_body_is_not_waited_for(wheel: Wheel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "LEFTOVER_SECONDS", 0.2)
    monkeypatch.setattr(connections, "LOOK_SECONDS", 0.05)
    keys.create(wheel.store.records, "me", "admin")
    with guarded(wheel) as (watched, connect):
        one = connect()
        one.sendall(b"POST /v1/feedback HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100000\r\n\r\n{")
        assert status(one) == 401  # before the body is there
        with contextlib.suppress(OSError):
            for _ in range(40):
                one.sendall(b"a")  # each byte would put off uvicorn's own end of the connection
                time.sleep(0.02)
        assert ended(one)
        until(lambda: not watched.bodies)


def test_when_there_are_too_many_the_slow_ones_go(wheel: Wheel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "FRESH_SECONDS", 0.1)
    with guarded(wheel, most=20) as (watched, connect):
        good = [connect() for _ in range(5)]
        assert {ask(one) for one in good} == {200}
        slow = [connect() for _ in range(15)]
        for one in slow:
            one.sendall(b"GET /hea")
        until(lambda: len(watched.waiting) == 15)
        time.sleep(0.15)
        for _ in range(3):
            assert {ask(one) for one in good} == {200}
            assert ask(connect()) == 200  # a new one is let in
            more = connect()
            more.sendall(b"GET /hea")
            time.sleep(0.15)
        assert ended(slow[0])  # the one that had kept us waiting longest
        assert {ask(one) for one in good} == {200}


def test_there_are_files_for_them() -> None:
    assert 64 <= room() <= connections.MOST
    assert HEADER_BYTES == 65_536

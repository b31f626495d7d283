"""Connections that cost memory and give nothing: slow headers, endless headers, answers nobody reads, and too many.

Uvicorn waits for a request's headers for ever, keeps all of them, and when it has a limit of connections it turns away
the newest, so that ten thousand idle sockets would shut everybody else out. Here a connection has `HEADER_SECONDS` for
the headers of a request and `STUCK_SECONDS` to read some of its answer; headers are limited; and when there are too
many connections the one that has kept us waiting longest goes: one that never asked anything before one that did, and
never one that is being served.

Uvicorn also takes the fields after a chunked body for headers, which nobody has looked at by then, and loses the body
of a request that asks for another protocol, as Java's client does of every plain one. Here neither happens.
"""

import asyncio
import functools
import resource
import time
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEADER_SECONDS = 10.0  # for all the headers of one request
HEADER_BYTES = 64 * 1024  # with the address
LEFTOVER_SECONDS = 10.0  # for the rest of a body that was refused already
STUCK_SECONDS = 60.0  # for a client to read a little of its answer
FRESH_SECONDS = 1.0  # a connection as young as this is not blamed for being slow
RESERVED = 512  # files for the store, and for what we ask of others
MOST = 20_000  # connections, however many files there may be
LOOK_SECONDS = 1.0
_FRAMING = frozenset({b"content-length", b"transfer-encoding"})  # headers that say where a body ends


def _refusal(status: bytes, kind: bytes, message: bytes) -> bytes:
    """A whole answer, for who gets no further."""
    body = b'{"error":{"message":"%b","type":"%b"}}' % (message, kind)
    return b"HTTP/1.1 %b\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%b" % (
        status, len(body), body
    )  # fmt: skip


_TOO_LARGE = _refusal(b"431 Request Header Fields Too Large", b"HeadersTooLarge", b"the headers are over 64 kB")
_NOT_HTTP = _refusal(b"400 Bad Request", b"BadRequest", b"this can't be read as HTTP/1.1")
_FULL = _refusal(b"503 Service Unavailable\r\nretry-after: 1", b"TooManyOpen", b"too many connections; try again")


class Connections:
    """Every connection of a server that keeps us waiting, the longest first; `protocol` is for uvicorn's Config."""

    def __init__(self, most: int | None = None):
        self.most = room() if most is None else most
        self.waiting: dict[Connection, float] = {}  # for its headers, since when
        self.bodies: dict[Connection, float] = {}  # for the rest of its body
        self.idle: dict[Connection, float] = {}  # answered, and kept for the next request
        self.stuck: dict[Connection, float] = {}  # reads nothing of its answer
        self._timer: asyncio.TimerHandle | None = None

    @property
    def protocol(self) -> Any:
        """What makes the protocol of a new connection."""
        return functools.partial(Connection, self)

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look after them from now on; there is one timer for all."""
        if self._timer is None:
            self._timer = loop.call_later(LOOK_SECONDS, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = time.monotonic()
        for among, seconds in ((self.waiting, HEADER_SECONDS), (self.stuck, STUCK_SECONDS)):
            while among:  # in the order in which they began to wait
                oldest = next(iter(among))
                if now - among[oldest] <= seconds:
                    break
                self.forget(oldest)
                oldest.give_up()
        for one in [one for one, since in self.bodies.items() if now - since > LEFTOVER_SECONDS and one.answered]:
            self.forget(one)
            one.give_up()
        self._timer = None
        if self.waiting or self.stuck or self.bodies:
            self.watch(loop)

    def make_room(self, newest: "Connection") -> bool:
        """Close the connection that has given us nothing for longest; whether there was one."""
        now = time.monotonic()
        for among, seconds in ((self.waiting, FRESH_SECONDS), (self.bodies, LEFTOVER_SECONDS),
                               (self.idle, FRESH_SECONDS), (self.waiting, 0.0)):  # fmt: skip
            oldest = next(iter(among), None)
            if oldest is not None and oldest is not newest and now - among[oldest] >= seconds:
                self.forget(oldest)
                oldest.give_up()
                return True
        return False

    def forget(self, one: "Connection") -> None:
        """It waits no longer, or is gone."""
        self.waiting.pop(one, None)
        self.bodies.pop(one, None)
        self.idle.pop(one, None)
        self.stuck.pop(one, None)


class Connection(HttpToolsProtocol):
    """One connection."""

    def __init__(self, all: Connections, *args: Any, **more: Any):
        super().__init__(*args, **more)
        self._all = all
        self._large = self._refused = False
        self._whole = True
        self._pending = 0  # bytes of headers that are not whole yet
        self._quiet = 0  # bytes in a row that are neither headers nor body: sizes of chunks, and fields after the last
        self._framing: list[tuple[bytes, bytes]] = []  # of a body that the parser is about to leave out
        self._resuming = False  # the parser reads the head again, for the body's sake

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A new one; if there are too many, another has to go, or this one."""
        super().connection_made(transport)
        if len(self.connections) > self._all.most and not self._all.make_room(self):
            transport.write(_FULL)
            transport.close()
            return
        self._all.waiting[self] = time.monotonic()
        self._all.watch(self.loop)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._all.forget(self)
        super().connection_lost(exc)

    @property
    def answered(self) -> bool:
        """Whether its request has got its answer, though it may not be whole yet."""
        return self.cycle is not None and self.cycle.response_complete

    def give_up(self) -> None:
        """End it, whatever it was at."""
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Some bytes. A header is handed on when it is whole: until then only this sees how large it grows."""
        self._large = len(data) > HEADER_BYTES
        self._unset_keepalive_if_required()
        quiet, self._quiet = self._quiet + len(data), -1
        self._parse(data)
        self._quiet = quiet if self._quiet < 0 else 0
        if self in self._all.waiting:
            self._pending += len(data)
            if self._pending > HEADER_BYTES:
                self._refuse()
        elif not self._whole:
            if self._quiet > HEADER_BYTES:
                return self._refuse()
            if self not in self._all.bodies:
                self._all.bodies[self] = time.monotonic()
                self._all.watch(self.loop)

    def _parse(self, data: bytes) -> None:
        """Hand it to the parser, which stops where a request asks for another protocol: we go on in this one."""
        while data:
            try:
                return self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as stopped:
                data = data[stopped.args[0] :]
                if self._framing:
                    self._resume()
            except httptools.HttpParserError:
                return self._refuse(_NOT_HTTP)

    def _resume(self) -> None:
        """Bring a new parser to where the body begins."""
        head = b"".join(b"%b: %b\r\n" % one for one in self._framing)
        self._framing, self._resuming = [], True
        self.parser = httptools.HttpRequestParser(self)
        self.parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n" % head)
        self._resuming = False

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        if self._resuming:
            return
        self._quiet = 0
        super().on_message_begin()
        self._pending, self._whole = 0, False
        self._all.idle.pop(self, None)
        if self not in self._all.waiting:
            self._all.waiting[self] = time.monotonic()
            self._all.watch(self.loop)

    def on_url(self, url: bytes) -> None:
        """A piece of the address."""
        if not self._resuming:
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header; what comes after the body is none."""
        if self in self._all.waiting:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """All of them: from here on the time for the body counts."""
        if self._all.waiting.pop(self, None) is None or self._refused:
            return
        self._quiet = 0
        if self.parser.should_upgrade():
            self._framing = [one for one in self.headers if one[0] in _FRAMING and one[1] != b"0"]
        if self._large or self._pending:
            size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
            if size > HEADER_BYTES:
                return self._refuse()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._quiet = 0
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        if self._framing:  # as far as the parser knows; its body comes now
            return
        self._whole = True
        self._quiet = 0
        self._all.bodies.pop(self, None)
        if not self._refused:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """It is answered."""
        super().on_response_complete()
        if not self.transport.is_closing() and self not in self._all.waiting:
            self._all.idle[self] = time.monotonic()

    def pause_writing(self) -> None:
        """It does not read its answer."""
        super().pause_writing()
        self._all.stuck[self] = time.monotonic()
        self._all.watch(self.loop)

    def resume_writing(self) -> None:
        """It does."""
        super().resume_writing()
        self._all.stuck.pop(self, None)

    def _refuse(self, says: bytes = _TOO_LARGE) -> None:
        if not self._refused:
            self._refused = True
            self.transport.write(says)
            self.transport.close()


def room() -> int:
    """How many connections this process may have; its limit of open files is raised as far as the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST + RESERVED if hard == resource.RLIM_INFINITY else min(hard, MOST + RESERVED)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError):  # macOS has another limit of its own
            wanted = soft
    return max(64, min(MOST, wanted - RESERVED))

"""The load generator: sends requests made beforehand over a number of connections, in a process of its own.

    python _load.py < PLAN > RESULT

PLAN is MessagePack: {"port", "connections", "core", "requests": [bytes]}; each request is the whole of it, as it goes
over the wire. A connection sends its next request when the last one was answered in full, so `connections` is how many
are under way at any time. RESULT is one line "done" as soon as the last answer is there, then MessagePack: see `Load`.
Nothing is encoded or looked at while it runs but the status, so it has room for some 60,000 requests a second.
"""

import asyncio
import gc
import os
import sys
import time
from collections import Counter

import httptools
import msgspec
import uvloop

_TEXT = 300  # bytes of a refusal that are kept


class Plan(msgspec.Struct):
    """What to send, and where."""

    port: int
    connections: int
    requests: list[bytes]
    core: int | None = None  # the only core it may use; None: any


class Load(msgspec.Struct):
    """What came back."""

    begun: float  # seconds on the machine's monotonic clock, which all processes share: the first request
    ended: float  # the last answer
    taken: list[float]  # seconds from request to answer, in order of the answers
    statuses: dict[int, int]  # how often each; 0: the connection was lost
    refusal: str  # the first answer that was no 2xx
    busy: float  # share of its core that the generator itself used


class _Sender:
    """What the connections have in common: the requests that are left, and what came back."""

    def __init__(self, requests: list[bytes]):
        self.left = iter(requests)
        self.open = 0
        self.taken: list[float] = []
        self.statuses: Counter[int] = Counter()
        self.refusal = ""
        self.ended = 0.0
        self.finished = asyncio.get_running_loop().create_future()


class _Connection(asyncio.Protocol):
    def __init__(self, sender: _Sender):
        self._sender = sender
        self._text = b""
        self._waiting = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.WriteTransport = transport  # type: ignore[assignment]

    def send_next(self) -> None:
        request = next(self._sender.left, None)
        if request is None:
            self._waiting = False
            self._transport.close()
            return
        self._parser = httptools.HttpResponseParser(self)
        self._waiting = True
        self._since = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        if len(self._text) < _TEXT:
            self._text = body

    def on_message_complete(self) -> None:
        sender, now = self._sender, time.perf_counter()
        sender.taken.append(now - self._since)
        status = self._parser.get_status_code()
        sender.statuses[status] += 1
        if status >= 300 and not sender.refusal:
            sender.refusal = f"{status}: {self._text[:_TEXT].decode(errors='replace')}"
        self.send_next()

    def connection_lost(self, error: Exception | None) -> None:
        sender = self._sender
        if self._waiting:
            sender.statuses[0] += 1
        sender.open -= 1
        if not sender.open and not sender.finished.done():
            sender.finished.set_result(None)


async def drive(plan: Plan) -> Load:
    """Send everything; a lost connection is counted and not opened again."""
    loop = asyncio.get_running_loop()
    sender = _Sender(plan.requests)
    made = [await loop.create_connection(lambda: _Connection(sender), "127.0.0.1", plan.port)
            for _ in range(min(plan.connections, len(plan.requests)))]  # fmt: skip
    sender.open = len(made)
    gc.collect()
    gc.disable()
    begun, busy = time.monotonic(), time.process_time()
    for _, connection in made:
        connection.send_next()
    await sender.finished
    ended = time.monotonic()
    used = (time.process_time() - busy) / (ended - begun)
    return Load(begun, ended, sender.taken, dict(sender.statuses), sender.refusal, used)


class _Answers(asyncio.Protocol):
    """A server that does nothing: how fast the generator is when nobody holds it up."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.WriteTransport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self._transport.write(b"HTTP/1.1 201 Created\r\ncontent-length: 2\r\n\r\n{}")


async def answer(port: int) -> None:
    """Answer everything with nothing, until ended."""
    server = await asyncio.get_running_loop().create_server(_Answers, "127.0.0.1", port)
    await server.serve_forever()


def main() -> None:
    if sys.argv[1:2] == ["--answer"]:
        uvloop.run(answer(int(sys.argv[2])))
        return
    plan = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Plan)
    if plan.core is not None:
        os.sched_setaffinity(0, {plan.core})
    found = uvloop.run(drive(plan))
    os.set_blocking(1, True)
    os.write(1, b"done\n")
    result = memoryview(msgspec.msgpack.encode(found))
    while result:  # a pipe takes a part at a time, and a buffered stream was seen to drop the rest of it
        result = result[os.write(1, result) :]


if __name__ == "__main__":
    main()

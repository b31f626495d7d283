"""Clients that want to be waited for: a number of connections, kept open as long as the server lets them.

    python _slow.py PORT CONNECTIONS SECONDS

A quarter says nothing, one sends half a header and then nothing, one a byte of a header each second, one a byte of a
body each second. One that the server closes is opened again. One line "open" once all are, then JSON at the end:
{"most": open at the same time, "opened", "closed": by the server, "refused": could not be opened}.
"""

import asyncio
import json
import sys
import time

import uvloop

HEAD = b"POST /v1/feedback HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
BEGINNINGS = (b"", HEAD[:70], HEAD, HEAD + b"content-length: 100000\r\n\r\n{")
DRIPS = (False, False, True, True)
AT_ONCE = 200  # connections that are opened at the same time: more than a queue of those that wait to be accepted holds


class Slow(asyncio.Protocol):
    """One of them."""

    def __init__(self, crowd: "Crowd", number: int):
        self._crowd = crowd
        self._drips = DRIPS[number % 4]
        self._number = number

    def connection_made(self, transport):
        self._transport = transport
        self._crowd.counted(1)
        if beginning := BEGINNINGS[self._number % 4]:
            transport.write(beginning)
        if self._drips:
            self._crowd.loop.call_later(1 + self._number % 1000 / 1000, self._drip)

    def _drip(self):
        if not self._transport.is_closing():
            self._transport.write(b"a")
            self._crowd.loop.call_later(1, self._drip)

    def connection_lost(self, _):
        self._crowd.counted(-1)
        if not self._crowd.over:
            self._crowd.closed += 1
            self._crowd.missing.put_nowait(self._number)


class Crowd:
    """All of them."""

    def __init__(self, port: int, many: int):
        self.port, self.many = port, many
        self.loop = asyncio.get_running_loop()
        self.missing: asyncio.Queue[int] = asyncio.Queue()
        self.open = self.most = self.opened = self.closed = self.refused = 0
        self.over = False
        for number in range(many):
            self.missing.put_nowait(number)

    def counted(self, change: int) -> None:
        self.open += change
        self.opened += change > 0
        if self.most < self.many <= self.open:
            print("open", flush=True)
        self.most = max(self.most, self.open)

    async def opens(self) -> None:
        while True:
            number = await self.missing.get()
            try:
                await self.loop.create_connection(lambda number=number: Slow(self, number), "127.0.0.1", self.port)
            except OSError:
                self.refused += 1
                await asyncio.sleep(0.5)
                self.missing.put_nowait(number)


async def main() -> None:
    port, many, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    crowd = Crowd(port, many)
    until = time.monotonic() + seconds
    opening = [asyncio.create_task(crowd.opens()) for _ in range(AT_ONCE)]
    while time.monotonic() < until:
        await asyncio.sleep(0.1)
    crowd.over = True
    for one in opening:
        one.cancel()
    print(json.dumps({name: getattr(crowd, name) for name in ("most", "opened", "closed", "refused")}), flush=True)


if __name__ == "__main__":
    uvloop.run(main())

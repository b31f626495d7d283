"""Sends chat requests at a pace that nothing slows down, and measures each from when it was due.

    python _paced.py < PLAN > RESULT

PLAN is JSON: {"port", "rate", "seconds", "stream", "model", "connections"}. With a rate, request n is due at n/rate
whatever became of those before it, and its time counts from then; connections are opened as they are needed. Without
one (rate 0), `connections` requests are always under way. RESULT is JSON: see `Run.result`.
"""

import asyncio
import gc
import json
import sys
import time
from collections import deque

import httptools
import uvloop

ASKED = (
    "Hello, I ordered a new card on the %d. of last month because the old one was about to expire, and until now "
    "nothing has arrived in the post. Could you tell me where it is and whether I have to do something?"
)


def request(number: int, plan: dict) -> bytes:
    body = json.dumps(
        {"model": plan["model"], "stream": plan["stream"], "temperature": 0.2, "user": f"user {number % 997}",
         "messages": [{"role": "system", "content": "You help customers of a bank. Be brief and polite."},
                      {"role": "user", "content": ASKED % number}]},
        separators=(",", ":"),
    ).encode()  # fmt: skip
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Connection(asyncio.Protocol):
    def __init__(self, run: "Run"):
        self._run = run

    def connection_made(self, transport):
        self._transport = transport

    def send(self, raw: bytes, due: float) -> None:
        self._parser, self._due, self._first = httptools.HttpResponseParser(self), due, True
        self._transport.write(raw)

    def data_received(self, data):
        self._parser.feed_data(data)

    def on_body(self, data):
        if not self._run.stream:
            return
        arrived = time.monotonic_ns()
        for part in data.split(b'"content":"')[1:]:
            sent = part.partition(b" ")[0]
            if sent.isdigit():
                self._run.under_way.append(arrived - int(sent))
                if self._first:
                    self._first = False
                    self._run.first.append(time.perf_counter() - self._due)

    def on_message_complete(self):
        self._run.took.append(time.perf_counter() - self._due)
        self._run.good += self._parser.get_status_code() == 200
        asyncio.get_running_loop().call_soon(self._run.free, self)

    def connection_lost(self, _):
        self._run.lost += not self._run.over


class Run:
    def __init__(self, plan: dict):
        self.plan, self.stream = plan, plan["stream"]
        self.took: list[float] = []
        self.first: list[float] = []
        self.under_way: list[int] = []
        self.good = self.lost = self.sent = 0
        self.idle: deque[Connection] = deque()
        self.over = False
        self.until = 0.0

    async def open(self, many: int) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(many):
            _, made = await loop.create_connection(lambda: Connection(self), "127.0.0.1", self.plan["port"])
            self.idle.append(made)

    def free(self, connection: Connection) -> None:
        if not self.plan["rate"] and time.perf_counter() < self.until:
            self.sent += 1
            connection.send(request(self.sent, self.plan), time.perf_counter())
        else:
            self.idle.append(connection)

    async def go(self) -> dict:
        plan = self.plan
        await self.open(plan["connections"])
        total = int(plan["rate"] * plan["seconds"])
        raw = [request(number, plan) for number in range(total)]
        gc.freeze()
        gc.disable()
        begun = time.perf_counter() + 0.05
        self.until = begun + plan["seconds"]
        if plan["rate"]:
            for number in range(total):
                due = begun + number / plan["rate"]
                while (left := due - time.perf_counter()) > 0:
                    await asyncio.sleep(left if left > 0.001 else 0)
                if not self.idle:
                    await self.open(1)
                self.sent += 1
                self.idle.popleft().send(raw[number], due)
        else:
            for connection in list(self.idle):
                self.idle.popleft()
                self.free(connection)
        while len(self.took) < self.sent and time.perf_counter() < self.until + 30:
            await asyncio.sleep(0.01)
        self.over = True
        return self.result(time.perf_counter() - begun)

    def result(self, seconds: float) -> dict:
        """Quantiles in ms: of whole answers, of first tokens, and of how long a token was under way."""
        made = {"sent": self.sent, "good": self.good, "lost": self.lost, "per_second": self.good / seconds}
        for name, values, unit in (
            ("took", self.took, 1e3),
            ("first", self.first, 1e3),
            ("token", self.under_way, 1e-6),
        ):
            values.sort()
            if values:
                made[name] = [values[int(len(values) * q)] * unit for q in (0.5, 0.99)]
        return made


if __name__ == "__main__":
    print(json.dumps(uvloop.run(Run(json.load(sys.stdin)).go())))

"""The physical limit of the collecting side: as little as can be done and still keep what was acknowledged.

    python benchmarks/bare_endpoint.py FILE PORT

One POST decodes its JSON, appends it to SQLite and answers after the fsync of its group. No routes, no checks, no ids
that must be unique, no index, no redaction, no pseudonyms: what a real collecting side adds is what it costs. The same
uvicorn, uvloop and httptools as Everloop's, the same settings of SQLite.
"""

import asyncio
import sqlite3
import sys
import threading
from queue import SimpleQueue
from typing import Any

import msgspec
import uvicorn

_MADE = [(b"content-type", b"application/json"), (b"content-length", b"12")]
_WRONG = [(b"content-type", b"application/json"), (b"content-length", b"13")]
Waiting = tuple[list[str], "asyncio.Future[None]"]


class Log:
    """An append-only table and the thread that writes it: whatever waits is one transaction, one fsync."""

    def __init__(self, path: str):
        self._path = path
        self._queue: SimpleQueue[list[Waiting]] = SimpleQueue()
        self._waiting: list[Waiting] = []
        threading.Thread(target=self._run, daemon=True).start()

    def append(self, rows: list[str]) -> "asyncio.Future[None]":
        """Done when `rows` are on disk. What comes in one tick of the event loop is handed over at once."""
        loop = asyncio.get_running_loop()
        made: asyncio.Future[None] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._hand_over, loop)
        self._waiting.append((rows, made))
        return made

    def _hand_over(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        group, self._waiting = self._waiting, []
        self._queue.put(group)

    def _run(self) -> None:
        connection = sqlite3.connect(self._path, isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA wal_autocheckpoint = 4000")
        connection.execute("CREATE TABLE IF NOT EXISTS event (position INTEGER PRIMARY KEY, body TEXT NOT NULL) STRICT")
        while True:
            group = self._queue.get()
            while not self._queue.empty():
                group += self._queue.get()
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT INTO event (body) VALUES (?)", [(row,) for rows, _ in group for row in rows])
            connection.execute("COMMIT")
            self._loop.call_soon_threadsafe(_settle, group)


def _settle(group: list[Waiting]) -> None:
    for _, future in group:
        if not future.done():
            future.set_result(None)


def application(log: Log) -> Any:
    """The ASGI application: one endpoint for one object, or for one a line."""
    decode = msgspec.json.Decoder().decode

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        rows = body.split(b"\n") if b"\n" in body else [body]
        try:
            for row in rows:
                decode(row)
        except msgspec.DecodeError:
            await send({"type": "http.response.start", "status": 400, "headers": _WRONG})
            await send({"type": "http.response.body", "body": b'{"ok": false}'})
            return
        await log.append([row.decode() for row in rows])
        await send({"type": "http.response.start", "status": 201, "headers": _MADE})
        await send({"type": "http.response.body", "body": b'{"ok": true}'})

    return app


def main() -> None:
    path, port = sys.argv[1], int(sys.argv[2])
    uvicorn.run(
        application(Log(path)), host="127.0.0.1", port=port, loop="uvloop", http="httptools", ws="none", lifespan="off",
        access_log=False, log_level="warning", server_header=False, date_header=False, proxy_headers=False,
    )  # fmt: skip


if __name__ == "__main__":
    main()

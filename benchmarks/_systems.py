"""What the collecting benchmark compares: how each is started, asked, counted. See collect.py for the measuring.

Each server is a process (group) of its own on the core it is given, and stopped in its tracks (SIGSTOP) while another
is measured. Here: what they share, ours, and the bare endpoint; the peers are in _peers.py.
"""

import contextlib
import http.client
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec
from _load import Load, Plan
from _spans import export

HERE = Path(__file__).parent
START_SECONDS, VISIBLE_SECONDS, ROUND_SECONDS = 120.0, 60.0, 120.0
KNOWN = 2_000  # interactions there are for feedback to speak of; a slow peer gets fewer
ATTRIBUTES: dict[str, str | int] = {
    "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "small",
    "gen_ai.response.model": "small-2026", "gen_ai.usage.input_tokens": 112, "gen_ai.usage.output_tokens": 9,
    "gen_ai.conversation.id": "c-1", "openinference.span.kind": "LLM",
    "gen_ai.input.messages": '[{"role":"user","parts":[{"type":"text","content":"my card has not arrived yet"}]}]',
    "gen_ai.output.messages": '[{"role":"assistant","parts":[{"type":"text","content":"card_arrival"}]}]',
}  # fmt: skip


class Absent(Exception):
    """It can't be installed or started, or has no such door: reported, and never made up."""


class Round(NamedTuple):
    """One run of one kind of request against one system."""

    rows: int
    begun: float
    ended: float
    visible: float
    taken: list[float]  # seconds a request
    failed: int
    refusal: str
    busy: float | None = None  # share of its core the generator used; None: there was none

    @property
    def accepted_rate(self) -> float:
        """Rows a second until the last was acknowledged."""
        return self.rows / (self.ended - self.begun)

    @property
    def visible_rate(self) -> float:
        """Rows a second until the last could be queried."""
        return self.rows / (self.visible - self.begun)


class Way(NamedTuple):
    """How a peer may be asked: it gets the way that suits it best."""

    connections: int
    option: str = ""


class System(Protocol):
    """A thing that collects."""

    name: str
    about: str
    server: int  # process id of its group

    def start(self) -> None: ...
    def ways(self, case: str) -> Sequence[Way]: ...
    def run(self, case: str, requests: int, way: Way) -> Round: ...
    def prompt(self) -> tuple[float, float]: ...
    def stop(self) -> None: ...


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def on_core(core: int | None) -> Any:
    """Processes started within have this core alone; None: any."""
    before = os.sched_getaffinity(0)
    if core is not None:
        os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def end(process: "subprocess.Popen[Any]") -> None:
    """End a process group that this benchmark started, paused or not."""
    for number, seconds in ((signal.SIGCONT, 0.0), (signal.SIGTERM, 20.0), (signal.SIGKILL, 20.0)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
            return


def message(path: str, body: bytes, media: str = "application/json", **headers: str) -> bytes:
    """A POST as it goes over the wire."""
    more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: {media}\r\ncontent-length: {len(body)}\r\n{more}\r\n"
    )
    return head.encode() + body


def drive(
    port: int, requests: list[bytes], connections: int, core: int, done: Callable[[], float]
) -> tuple[Load, float]:
    """Run the generator; what it found, and what `done` said as soon as the last answer was there."""
    plan = msgspec.msgpack.encode(Plan(port, connections, requests, core))
    with subprocess.Popen([sys.executable, str(HERE / "_load.py")], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as generator:  # fmt: skip
        assert generator.stdin is not None
        assert generator.stdout is not None
        generator.stdin.write(plan)
        generator.stdin.close()
        first = generator.stdout.readline()
        visible = done() if first == b"done\n" else 0.0
        found = generator.stdout.read()
        if generator.wait():
            raise Absent(f"the load generator ended with {generator.returncode}")
    if first != b"done\n":
        raise Absent("the load generator failed")
    return msgspec.msgpack.decode(found, type=Load), visible


class Served:
    """A system that is asked over HTTP and keeps its rows in an SQLite file that can be counted from outside."""

    name = about = ""
    database = ""  # file name within its folder
    queries: dict[str, str] = {}  # noqa: RUF012 - case -> how its rows are counted

    def __init__(self, folder: Path, cores: tuple[int, int]):
        self.folder = folder
        self.cores = cores  # the server's and the generator's
        self.port = 0
        self.server = 0
        self._process: subprocess.Popen[bytes] | None = None

    def launch(self, command: Sequence[str], settings: dict[str, str], ready: str) -> None:
        """Start it, and wait until it answers GET `ready`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        clean = {name: value for name, value in os.environ.items() if not name.startswith("EVERLOOP_")}
        log = (self.folder / "log").open("wb")
        with on_core(self.cores[0]), log:
            self._process = subprocess.Popen(command, env={**clean, **settings}, stdout=log, stderr=log,
                                             cwd=self.folder, start_new_session=True)  # fmt: skip
        self.server = self._process.pid
        deadline = time.monotonic() + START_SECONDS
        while True:
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self.ask("GET", ready)[0] < 500:
                    return
            if self._process.poll() is not None or time.monotonic() > deadline:
                said = (self.folder / "log").read_text(encoding="utf-8", errors="replace").strip().splitlines()
                self.stop()
                raise Absent(f"did not start: {(said or ['it said nothing'])[-1][:200]}")
            time.sleep(0.1)

    def ask(self, method: str, path: str, body: bytes = b"", media: str = "application/json",
            **headers: str) -> tuple[int, bytes]:  # fmt: skip
        """One request by hand: (status, body)."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body or None, {"content-type": media, **named})
            answer = connection.getresponse()
            return answer.status, answer.read()

    def must(self, method: str, path: str, body: bytes = b"", media: str = "application/json", **headers: str) -> bytes:
        """`ask`, or Absent."""
        status, said = self.ask(method, path, body, media, **headers)
        if status >= 300:
            raise Absent(f"{method} {path} answered {status}: {said[:150].decode(errors='replace')}")
        return said

    def count(self, case: str) -> int:
        """Rows that a reader of its store finds now."""
        where = f"file:{urllib.parse.quote(str(self.folder / self.database))}?mode=ro"
        with contextlib.closing(sqlite3.connect(where, uri=True, timeout=30)) as connection:
            return int(connection.execute(self.queries[case]).fetchone()[0])

    def wait(self, case: str, rows: int) -> float:
        """When `rows` could be queried; 0 if they never could."""
        deadline = time.monotonic() + VISIBLE_SECONDS
        while self.count(case) < rows:
            if time.monotonic() > deadline:
                return 0.0
            time.sleep(0.002)
        return time.monotonic()

    def made(self, case: str, requests: int, option: str) -> list[bytes]:
        """The requests of a round."""
        raise NotImplementedError

    def run(self, case: str, requests: int, way: Way) -> Round:
        """A round."""
        made = self.made(case, requests, way.option)
        rows = requests * (100 if case in {"hundred", "spans"} else 1)
        before = self.count(case)
        load, visible = drive(self.port, made, way.connections, self.cores[1], lambda: self.wait(case, before + rows))
        failed = sum(n for status, n in load.statuses.items() if not 200 <= status < 300)
        if not visible:
            raise Absent(f"{self.count(case) - before:,} of {rows:,} rows visible after {VISIBLE_SECONDS:.0f} s "
                         f"({failed:,} requests refused; {load.refusal[:120]})")  # fmt: skip
        return Round(rows, load.begun, load.ended, visible, load.taken, failed, load.refusal, load.busy)

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            end(self._process)
            self._process = None


class Everloop(Served):
    """`everloop up` as it comes: full sync, redaction on, its worker looking for work."""

    name, about = "Everloop", "`everloop up`, defaults"
    database = "everloop.db"
    queries = dict.fromkeys(("one", "hundred"), "SELECT count(*) FROM feedback") | dict.fromkeys(
        ("span", "spans"), "SELECT count(*) FROM interactions"
    )  # fmt: skip
    spans = ""  # why it takes no spans, if so
    declared: dict[str, Any] = {}  # noqa: RUF012 - what the loop is told

    def start(self) -> None:
        """Declare a loop, log the interactions to speak of."""
        self.port = free_port()
        self.launch([sys.executable, "-m", "everloop.cli", "up", "--port", str(self.port)],
                    {"EVERLOOP_HOME": str(self.folder)}, "/healthz")  # fmt: skip
        self.must("PUT", "/v1/loops/bench", json.dumps(self.declared).encode())
        self._known = [f"i{n}" for n in range(KNOWN)]
        logged = b"\n".join(
            msgspec.json.encode({"id": i, "input": f"my card {i} has not arrived"}) for i in self._known
        )
        self.must("POST", "/v1/loops/bench/interactions", logged, "application/x-ndjson")
        self._run = 0
        status, said = self.ask("POST", "/v1/traces", fresh_spans(1)[1], "application/x-protobuf")
        if status >= 300:
            self.spans = f"POST /v1/traces answers {status}: {said[:100].decode(errors='replace')}"

    def ways(self, case: str) -> Sequence[Way]:
        if case in {"span", "spans"} and self.spans:
            raise Absent(self.spans)
        return [Way(n) for n in ((4, 16, 64) if case in {"hundred", "spans"} else (32, 64, 128, 256))]

    def made(self, case: str, requests: int, option: str) -> list[bytes]:
        if case in {"span", "spans"}:
            return [message("/v1/traces", body, "application/x-protobuf")
                    for body in (fresh_spans(100 if case == "spans" else 1)[1] for _ in range(requests))]  # fmt: skip
        self._run += 1
        lines = (self._line(n) for n in range(requests * (100 if case == "hundred" else 1)))
        if case == "one":
            return [message("/v1/feedback", line) for line in lines]
        return [message("/v1/feedback", b"\n".join(next(lines) for _ in range(100)), "application/x-ndjson")
                for _ in range(requests)]  # fmt: skip

    def _line(self, n: int) -> bytes:
        known = self._known[n % len(self._known)]
        return b'{"id":"f%d-%d","interaction":"%b","kind":"thumb","value":"up"}' % (self._run, n, known.encode())

    def prompt(self) -> tuple[float, float]:
        """Feedback on an answer, sent when the answer is there: seconds until accepted, until visible."""
        before = self.count("one")
        answered = json.loads(self.must("POST", "/v1/loops/bench/predict", b'{"input": "my card has not arrived"}'))
        begun = time.monotonic()
        said = {"interaction": answered["id"], "kind": "thumb", "value": "up"}
        self.must("POST", "/v1/feedback", json.dumps(said).encode())
        accepted = time.monotonic()
        return accepted - begun, self.wait("one", before + 1) - begun


class Collecting(Everloop):
    """The same, with no turn under way: the default opens one each 200 pieces of feedback, so above it never rests."""

    name, about = (
        "Everloop, turns by hand",
        "`everloop up`, and the loop's policy says trigger_feedback=0",
    )
    declared = {"policy": {"trigger_feedback": 0}}  # noqa: RUF012


class Bare(Everloop):
    """The physical limit: see bare_endpoint.py. It gets the same bytes as Everloop."""

    name, about = "bare endpoint", "raw ASGI, group commit on SQLite, full sync; no checks, ids or index"
    database = "bare.db"
    queries = dict.fromkeys(("one", "hundred"), "SELECT coalesce(max(position), 0) FROM event")

    def start(self) -> None:
        self.port = free_port()
        self._known = [f"i{n}" for n in range(KNOWN)]
        self._run = 0
        self.launch([sys.executable, str(HERE / "bare_endpoint.py"), str(self.folder / self.database), str(self.port)],
                    {}, "/")  # fmt: skip
        self.must("POST", "/", b"{}")
        self.spans = "it keeps JSON alone"

    def prompt(self) -> tuple[float, float]:
        raise Absent("it answers no questions")


def fresh_spans(n: int) -> tuple[list[tuple[bytes, bytes]], bytes]:
    ids = [(os.urandom(16), os.urandom(8)) for _ in range(n)]
    return ids, export(ids, ATTRIBUTES)

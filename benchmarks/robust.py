"""What Everloop does when clients, disk and clock misbehave: it keeps serving.

    python benchmarks/robust.py [--slow 10000]

Each part has an `everloop up` of its own, as it comes: 10,000 slow connections beside people's feedback; garbage; a
disk that is full, and then is not; a clock that is set back by a day. Where a part needs what is not there (the right
to mount a small file system, libfaketime), it says so instead of a number.
"""

import argparse
import contextlib
import http.client
import itertools
import json
import os
import random
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from _load import Load
from _results import machine, markdown_table, write_section
from _systems import drive, free_port, message

HERE = Path(__file__).parent
REQUESTS, CLIENTS, ROUNDS = 3_000, 16, 3  # of the people who send feedback, in each phase
SLOW_SECONDS = 40
GARBAGE = 5_000  # connections that send it
DISK = "24m"
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
DAY = 86_400


class Server:
    """`everloop up` on a folder."""

    def __init__(self, folder: Path, **settings: str):
        self.folder, self.port = folder, free_port()
        self._log = folder.with_suffix(".log")
        clean = {name: value for name, value in os.environ.items() if not name.startswith("EVERLOOP_")}
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "everloop.cli", "up", "--home", str(folder), "--port", str(self.port)],
                env={**clean, "OMP_NUM_THREADS": "1", **settings}, stdout=log, stderr=log,
            )  # fmt: skip
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError, http.client.HTTPException):
                self.ask("GET", "/healthz")
                return
            assert self.process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.05)

    @property
    def log(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")

    @property
    def megabytes(self) -> float:
        """Of memory, now."""
        held = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return int(held.partition("VmRSS:")[2].split()[0]) / 1024

    def ask(self, method: str, path: str, body: object = None, media: str = "application/json") -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            sent = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
            connection.request(method, path, sent, {"content-type": media})
            answer = connection.getresponse()
            return answer.status, answer.read()

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)


@contextlib.contextmanager
def up(folder: Path, **settings: str) -> Iterator[Server]:
    server = Server(folder, **settings)
    try:
        server.ask("PUT", "/v1/loops/bench", {"policy": {"trigger_feedback": 0}})
        yield server
    finally:
        server.stop()


def p(values: list[float], q: float) -> float:
    return sorted(values)[int(len(values) * q)] * 1000


# ---- slow connections


def feedback(server: Server, phase: int) -> Load:
    """What people send while it goes on."""
    raw = [message("/v1/feedback", b'{"id":"f%d-%d","interaction":"i%d","kind":"thumb","value":"up"}'
                   % (phase, n, n % 1_000)) for n in range(REQUESTS)]  # fmt: skip
    return drive(server.port, raw, CLIENTS, None, time.monotonic)[0]  # type: ignore[arg-type]


def slow(folder: Path, many: int) -> list[str]:
    rows: list[list[str]] = []
    phases = itertools.count()

    def measured(name: str) -> None:
        loads = [feedback(server, next(phases)) for _ in range(ROUNDS)]
        good = sum(load.statuses.get(201, 0) for load in loads)
        medians = [statistics.median(values) for values in (
            [REQUESTS / (load.ended - load.begun) for load in loads], [p(load.taken, 0.5) for load in loads],
            [p(load.taken, 0.99) for load in loads])]  # fmt: skip
        rows.append([name, f"{good / REQUESTS / ROUNDS:.2%}", f"{medians[0]:,.0f}", f"{medians[1]:.1f}",
                     f"{medians[2]:.1f}", f"{server.megabytes:.0f}"])  # fmt: skip
        print(rows[-1], flush=True)

    with up(folder) as server:
        logged = b"\n".join(b'{"id":"i%d","input":"where is card %d"}' % (n, n) for n in range(1_000))
        status, said = server.ask("POST", "/v1/loops/bench/interactions", logged, "application/x-ndjson")
        assert status == 200, said
        feedback(server, next(phases))
        measured("before")
        words = [sys.executable, str(HERE / "_slow.py"), str(server.port), str(many), str(SLOW_SECONDS)]
        crowd = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        try:
            assert crowd.stdout is not None
            assert crowd.stdout.readline() == "open\n", "they were never all open"
            measured("all slow ones are there")
            time.sleep(12)  # the first are given up by now, and new ones come in their place
            measured("12 s later")
            found = json.loads(crowd.stdout.readline())
        finally:
            crowd.terminate()
            crowd.wait(20)
        while len(os.listdir(f"/proc/{server.process.pid}/fd")) > 200:
            time.sleep(0.1)
        measured("after")
        errors = server.log.count(" ERROR ")
    return [f"### {many:,} slow connections", "",
            f"{CLIENTS} clients send {REQUESTS:,} thumbs, each its next when the last was answered; medians of "
            f"{ROUNDS} rounds. Beside them another process keeps the slow ones open: a quarter says nothing, one sends "
            "half a header, one a byte of a header a second, one a byte of a body a second; closed ones are opened "
            "again.", "",
            markdown_table(["", "accepted", "a second", "p50 ms", "p99 ms", "memory MB"], rows), "",
            f"{found['most']:,} slow ones at the same time; in {SLOW_SECONDS} s {found['opened']:,} were opened, "
            f"{found['closed']:,} closed by the server, {found['refused']:,} not let in. {errors} errors in the log.",
            ]  # fmt: skip


# ---- garbage


def garbage(folder: Path) -> list[str]:
    chance = random.Random(7)
    thumb = message("/v1/feedback", b'{"interaction":"i1","kind":"thumb","value":"up"}')
    chunked = (b"POST /v1/feedback HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
               b"transfer-encoding: chunked\r\n\r\n")  # fmt: skip

    def one() -> tuple[str, bytes]:
        kind = chance.choice(["random bytes", "bytes changed", "cut off", "chunks that are none", "huge headers",
                              "HTTP/2", "TLS", "NULs", "JSON that is none"])  # fmt: skip
        if kind == "random bytes":
            return kind, chance.randbytes(chance.randrange(1, 4_000))
        if kind == "bytes changed":
            raw = bytearray(thumb)
            for _ in range(chance.randrange(1, 8)):
                raw[chance.randrange(len(raw))] = chance.randrange(256)
            return kind, bytes(raw)
        broken = chance.choice([b"-1\r\n", b"F" * 17, b"3;" + b"x" * 80_000, b"0\r\nx"])
        raw = {"cut off": thumb[: chance.randrange(len(thumb))], "chunks that are none": chunked + broken,
               "huge headers": b"GET / HTTP/1.1\r\nx: " + b"y" * 100_000, "NULs": b"\0" * 2_000,
               "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0",
               "TLS": bytes.fromhex("16030100a5010000a10303") + chance.randbytes(160),
               "JSON that is none": message("/v1/feedback", chance.choice([b"[" * 50_000, b"{}" * 9, b"\xff", b'"'])),
               }[kind]  # fmt: skip
        return kind, raw

    seen: dict[str, Counter[str]] = {}
    with up(folder) as server:
        begun, before = time.monotonic(), server.megabytes
        for number in range(GARBAGE):
            kind, raw = one()
            said = b""
            address = ("127.0.0.1", server.port)
            with socket.create_connection(address, timeout=20) as sent, contextlib.suppress(ConnectionError):
                sent.sendall(raw)
                sent.shutdown(socket.SHUT_WR)
                while more := sent.recv(65_536):
                    said += more
            assert b"Traceback" not in said, said
            status = said[9:12].decode("latin-1") if said.startswith(b"HTTP/1.1 ") else "closed"
            seen.setdefault(kind, Counter())[status] += 1
            if number % 100 == 0:
                assert server.ask("GET", "/healthz")[0] == 200
        took, after = time.monotonic() - begun, server.megabytes
        taken, _ = server.ask("POST", "/v1/feedback", {"interaction": "i1", "kind": "thumb", "value": "up"})
        errors = server.log.count("Traceback")
    every = Counter[str]()
    for found in seen.values():
        every += found
    wrong = sum(n for status, n in every.items() if status.startswith("5"))
    rows = [[kind, *(found.get(status, 0) for status in sorted(every))] for kind, found in sorted(seen.items())]
    print(rows, flush=True)
    return ["### Garbage", "", f"{GARBAGE:,} connections in {took:.0f} s, by the status of the first answer:", "",
            markdown_table(["", *sorted(every)], rows), "",
            f"{wrong} answers of 5xx, {errors} tracebacks in the log; a thumb sent afterwards was answered {taken}; "
            f"memory {before:.0f} MB before, {after:.0f} MB after."]  # fmt: skip


# ---- a full disk


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)],
                             capture_output=True, check=False)  # fmt: skip
    try:
        yield mounted.returncode == 0
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", str(folder)], check=True)


def full(folder: Path) -> list[str]:
    with small_disk(folder) as mounted:
        if not mounted:
            return ["### A full disk", "", "Not run: no right to mount a small file system here."]
        ballast = folder / "ballast"
        ballast.write_bytes(bytes(6_000_000))
        with up(folder / "home") as server:
            acknowledged: list[str] = []
            statuses: Counter[int] = Counter()

            def send(name: str) -> tuple[int, bytes]:
                lines = b"\n".join(json.dumps({"id": f"{name}-{k}", "input": "x" * 4_000}).encode() for k in range(5))
                status, said = server.ask("POST", "/v1/loops/bench/interactions", lines, "application/x-ndjson")
                statuses[status] += 1
                if status == 200:
                    acknowledged.extend(f"{name}-{k}" for k in range(5))
                return status, said

            n = 0
            while (answered := send(f"a{n}"))[0] == 200:
                n += 1
                assert n < 5_000, "the disk never filled"
            line = json.loads(answered[1])["error"]["message"]
            begun = time.monotonic()
            refused = sum(send(f"b{n}")[0] == 507 for n in range(200))
            pace = 200 / (time.monotonic() - begun)
            pages = [server.ask("GET", path)[0] for path in ("/", "/loops/bench", "/v1/loops/bench", "/healthz")]
            ballast.unlink()
            begun = time.monotonic()
            while send("c0")[0] != 200:
                time.sleep(0.01)
            again = time.monotonic() - begun
            tracebacks = server.log.count("Traceback")
        with up(folder / "home") as server:  # what is there after a restart is what was acknowledged
            there = [id for id in acknowledged if server.ask("GET", f"/v1/interactions/{id}")[0] == 200]
            half = [n for n in range(200) for k in range(5)
                    if server.ask("GET", f"/v1/interactions/b{n}-{k}")[0] != 404]  # fmt: skip
    print(statuses, line, flush=True)
    return ["### A full disk", "",
            f"A file system of {DISK}B. Batches of five until there was no room: status 507 and one line, "
            f"“{line}”; {refused} of 200 more batches were refused the same way ({pace:,.0f} a second), while pages "
            f"and reads answered {', '.join(map(str, sorted(set(pages))))}. {again * 1000:.0f} ms after room was made "
            f"the next batch was taken, without a restart. After a restart {len(there):,} of {len(acknowledged):,} "
            f"acknowledged interactions were there, and {len(half)} of the {refused * 5:,} refused ones; {tracebacks} "
            "tracebacks in the log."]  # fmt: skip


# ---- a clock that is set back


def clock(folder: Path) -> list[str]:
    if not FAKETIME.exists():
        return ["### A clock set back by a day", "", "Not run: libfaketime is not installed (apt install libfaketime)."]
    dial = folder.with_suffix(".dial")
    dial.write_text("+0", encoding="ascii")
    settings = {"LD_PRELOAD": str(FAKETIME), "FAKETIME_TIMESTAMP_FILE": str(dial), "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1", "EVERLOOP_RATE": "200"}  # fmt: skip
    ids: list[str] = []
    turns, statuses, times = [], Counter[int](), []
    with up(folder, **settings) as server:

        def some(count: int) -> None:
            for n in range(count):
                status, said = server.ask("POST", "/v1/loops/bench/predict", {"input": f"where is card {n} {len(ids)}"})
                statuses[status] += 1
                id = json.loads(said)["id"]
                ids.append(id)
                said_too = {"interaction": id, "kind": "correction", "value": f"label {n % 2}"}
                statuses[server.ask("POST", "/v1/feedback", said_too)[0]] += 1

        def turn() -> None:
            server.ask("POST", "/v1/loops/bench/turns")
            deadline = time.monotonic() + 30
            while True:
                _, said = server.ask("GET", "/v1/loops/bench/turns")
                reports = json.loads(said)["turns"]
                if len(reports) > len(turns) and reports[-1]["state"] == "closed":
                    turns.append(reports[-1]["turn"])
                    return
                assert time.monotonic() < deadline, reports[-1:]
                time.sleep(0.05)

        for jump in ("+0", f"-{DAY}", f"-{DAY + 3600}", "+0", f"-{2 * DAY}"):
            dial.write_text(jump, encoding="ascii")
            some(100)
            turn()
            _, said = server.ask("GET", f"/v1/interactions/{ids[-1]}")
            times.append(json.loads(said)["at"])
        tracebacks = server.log.count("Traceback")
    ordered = ids == sorted(set(ids))
    steps = [round((b - a) / 3_600_000) for a, b in itertools.pairwise(times)]
    print(statuses, ordered, turns, steps, flush=True)
    return ["### A clock set back by a day", "",
            f"With libfaketime, while it runs; steps of {', '.join(f'{step:+} h' for step in steps)}. {len(ids)} "
            f"answers and as much feedback: {', '.join(f'{n} × {status}' for status, n in sorted(statuses.items()))}; "
            f"{len(set(ids))} different ids, {'each greater than the one before' if ordered else 'NOT in order'}; "
            f"{len(turns)} turns closed, one after each step; {tracebacks} tracebacks in the log."]  # fmt: skip


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--slow", type=int, default=10_000, help="connections")
    chosen = options.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    parts = []
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        parts.append(slow(Path(folder) / "slow", min(chosen.slow, hard - 1_000)))
        parts.append(garbage(Path(folder) / "garbage"))
        parts.append(full(Path(folder) / "full"))
        parts.append(clock(Path(folder) / "clock"))
    print(f"{time.monotonic() - begun:.0f} s")
    text = "\n\n".join("\n".join(part) for part in parts)
    about = f"{machine()}, shared with what sends and with other work. One process, defaults."
    write_section("robust", f"## It keeps serving\n\n{about}\n\n{text}")
    print(text)


if __name__ == "__main__":
    main()

"""The client library: what `log` and `feedback` cost the product, what gets through, what the spool writes.

    python benchmarks/client.py [--events 50000] [--folder DIR]

The server runs in a process of its own, on loopback, and stores durably. `--folder` says on which disk the spool is
measured. Runs alternate, so that a busy machine is as unfair to one as to the other.
"""

import argparse
import gc
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from _results import machine, markdown_table, write_section

from everloop.client import Client, Priority, Spool
from everloop.client.events import Event
from everloop.client.transport import Reply

SERVE = "import sys; from everloop.server import serve; from everloop.settings import Settings; serve(Settings.load())"
REPEATS = 3
RATE = 1000  # events a second at which the latency of a call is measured: a busy product, not a loop


def start_server(home: Path) -> tuple[subprocess.Popen[bytes], str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "EVERLOOP_HOME": str(home), "EVERLOOP_PORT": str(port)}
    server = subprocess.Popen([sys.executable, "-c", SERVE], env=environment, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    for _ in range(600):
        try:
            httpx.put(f"{url}/v1/loops/bench", json={}, trust_env=False).raise_for_status()
            return server, url
        except httpx.HTTPError:
            time.sleep(0.1)
    server.kill()
    raise SystemExit("the server did not start")


def microseconds(call: Callable[[int], Any], count: int, pause: float) -> list[float]:
    """What each of `count` calls takes, with `pause` seconds from one to the next (0: as fast as they go)."""
    taken = []
    gc.collect()
    begun = time.perf_counter()
    for n in range(count):
        if pause and (ahead := begun + n * pause - time.perf_counter()) > 0:
            time.sleep(ahead)
        start = time.perf_counter_ns()
        call(n)
        taken.append((time.perf_counter_ns() - start) / 1000)
    return taken


def percentiles(runs: list[list[float]]) -> list[str]:
    """p50, p99 and p99.9: the median over the runs, and their range."""
    shown = []
    for share in (0.5, 0.99, 0.999):
        found = sorted(sorted(run)[int(share * len(run))] for run in runs)
        shown.append(f"{statistics.median(found):,.1f} ({found[0]:,.1f} to {found[-1]:,.1f})")
    return shown


def of(values: list[float], unit: str) -> str:
    return f"{statistics.median(values):,.0f} {unit} ({min(values):,.0f} to {max(values):,.0f}, n={len(values)})"


class Nowhere:
    """A transport that takes nothing and takes no time: what is left is the client itself."""

    def post(self, path: str, body: bytes, media: str, timeout: float) -> Reply:
        return Reply(503, b"", 3600.0)

    def forget(self) -> None: ...

    def close(self) -> None: ...


def latency(url: str, folder: Path, events: int) -> list[list[str]]:
    """Rows: how, then p50, p99, p99.9 of one call in microseconds."""

    def measure(
        target: str, spooled: bool, critical: bool, count: int, pause: float, nowhere: bool = False
    ) -> list[float]:
        spool = Spool(folder / "latency") if spooled else None
        kept: dict[str, Any] = {"transport": Nowhere()} if nowhere else {}
        with Client(
            target, loop="bench", spool=spool, close_seconds=60 if target == url and not nowhere else 0, **kept
        ) as client:
            client.log("warm")
            rank: Priority = "critical" if critical else "bulk"
            taken = microseconds(
                lambda n: client.feedback("i", implicit="dwell", dwell_ms=n, priority=rank), count, pause
            )
        shutil.rmtree(folder / "latency", ignore_errors=True)
        return taken

    pause = 1 / RATE
    cases: list[tuple[str, dict[str, Any]]] = [
        ("memory, as fast as the loop goes, nothing sent",
         {"target": url, "spooled": False, "critical": False, "count": events, "pause": 0, "nowhere": True}),
        (f"memory, {RATE:,} a second, server up",
         {"target": url, "spooled": False, "critical": False, "count": 5 * RATE, "pause": pause}),
        (f"memory, {RATE:,} a second, server down",
         {"target": "http://127.0.0.1:9", "spooled": False, "critical": False, "count": 5 * RATE, "pause": pause}),
        (f"spool, bulk, {RATE:,} a second, server up",
         {"target": url, "spooled": True, "critical": False, "count": 5 * RATE, "pause": pause}),
        ("spool, critical (fsync before it returns), 100 a second, server up",
         {"target": url, "spooled": True, "critical": True, "count": 300, "pause": 0.01}),
    ]  # fmt: skip
    runs: dict[str, list[list[float]]] = {name: [] for name, _ in cases}
    for _ in range(REPEATS):
        for name, how in cases:
            runs[name].append(measure(**how))
    return [[name, *percentiles(found)] for name, found in runs.items()]


def through(url: str, folder: Path, events: int) -> dict[str, list[float]]:
    """Events a second from the first call until the server has the last, durably."""
    found: dict[str, list[float]] = {"memory": [], "spool, bulk": []}
    for _ in range(REPEATS):
        for name, rates in found.items():
            spool = Spool(folder / "through", max_bytes=1 << 30) if name != "memory" else None
            with Client(url, loop="bench", spool=spool, max_memory=1 << 30, batch_lines=1000) as client:
                begun = time.perf_counter()
                for n in range(events):
                    client.feedback("i", implicit="dwell", dwell_ms=n)
                    if n % 1000 == 0:  # a spool holds 4 MB in memory for a disk that is slower than this loop
                        while client.stats().waiting > 8000:
                            time.sleep(0.001)
                if not client.flush(120):
                    raise SystemExit(f"not all sent: {client.stats()}")
                rates.append(events / (time.perf_counter() - begun))
                assert client.stats().sent == events, client.stats()
            shutil.rmtree(folder / "through", ignore_errors=True)
    return found


def spooling(folder: Path, events: int) -> dict[str, list[float]]:
    """Events a second onto the disk."""

    def event(n: int, rank: int) -> Event:
        return Event(f"{n:036d}", "/v1/feedback", b'{"id":"%036d","pad":"%s"}' % (n, b"x" * 150), rank)

    def grouped(spool: Spool) -> int:
        for n in range(events):
            spool.put(event(n, 2))
            if n % 2000 == 0:
                spool.sync()
        spool.sync()
        return events

    def each(spool: Spool) -> int:
        for n in range(500):
            spool.put(event(n, 0))
        return 500

    found: dict[str, list[float]] = {"one fsync for 2,000": [], "one fsync each (critical)": []}
    for _ in range(REPEATS):
        for (_, rates), work in zip(found.items(), (grouped, each), strict=True):
            spool = Spool(folder / "writing", max_bytes=1 << 30)
            begun = time.perf_counter()
            count = work(spool)
            rates.append(count / (time.perf_counter() - begun))
            spool.close()
            shutil.rmtree(folder / "writing")
    return found


def import_seconds() -> list[float]:
    code = "import time; t = time.perf_counter(); import everloop.client; print(time.perf_counter() - t)"
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(7)]
    return [float(run.stdout) * 1000 for run in runs]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--events", type=int, default=50_000, help="events in a run")
    parser.add_argument("--folder", help="where the spool is measured (a temporary folder)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as made:
        folder = Path(made)
        server, url = start_server(folder / "home")
        try:
            rows = latency(url, folder, args.events)
            rates = through(url, folder, args.events)
        finally:
            server.terminate()
            server.wait(30)
        written = spooling(folder, args.events)
    text = "\n\n".join([
        "## The client library",
        f"`python benchmarks/client.py --events {args.events}`: {machine()}. Client and server share the cores; load "
        f"{os.getloadavg()[0]:.1f} at the end. Median of {REPEATS} runs, and their range.",
        "One `feedback` call, microseconds until it returns:",
        markdown_table(["how", "p50", "p99", "p99.9"], rows),
        f"From the first call until the server has {args.events:,} events on disk, one request at a time:",
        markdown_table(["waiting in", "events a second"], [[name, of(found, "/s")] for name, found in rates.items()]),
        "Onto the spool's disk, 240-byte events:",
        markdown_table(["how", "events a second"], [[name, of(found, "/s")] for name, found in written.items()]),
        f"`import everloop.client`: {of(import_seconds(), 'ms')}.",
    ])  # fmt: skip
    write_section("client", text)
    print(text)


if __name__ == "__main__":
    main()

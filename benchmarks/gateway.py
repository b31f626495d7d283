"""What the gateway adds to an upstream's answer, beside calling the same upstream directly.

    python benchmarks/gateway.py [--seconds 10] [--rounds 5]

The upstream is a stub in a process of its own that answers at once; so is the load, which sends at a fixed pace and
counts from when each request was due (no request waits for another). Direct and through the gateway alternate.
Everything through the gateway is redacted and on disk before it is answered, as always.
"""

import argparse
import contextlib
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from _results import machine, markdown_table, write_section

import everloop
from everloop.types import Interaction

HERE = Path(__file__).parent
RATES = (100, 500, 1_000)
TOKENS, GAP_MS = 20, 10
STREAM_RATES = (50, 100, 200)
CONNECTIONS = 64


@contextlib.contextmanager
def started(words: list[str], **more) -> Iterator[subprocess.Popen]:
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, **more)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(20)


@contextlib.contextmanager
def gateway(home: Path, upstream: int, processes: int) -> Iterator[int]:
    with everloop.open(home) as wheel:
        wheel.loop(
            "bench", task="chat", variants=[{"name": "stub", "url": f"http://127.0.0.1:{upstream}/v1", "model": "stub"}]
        )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = [
        sys.executable,
        "-m",
        "everloop.cli",
        "up",
        "--home",
        str(home),
        "--port",
        str(port),
        "--processes",
        str(processes),
    ]
    env = {name: value for name, value in os.environ.items() if not name.startswith("EVERLOOP_")}
    with started(words, env={**env, "OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL) as process:
        for line in process.stdout:
            if line.startswith("stop"):
                break
        yield port


def load(port: int, rate: float, seconds: float, *, stream: bool, connections: int = CONNECTIONS) -> dict:
    plan = {
        "port": port,
        "rate": rate,
        "seconds": seconds,
        "stream": stream,
        "model": "loop:bench",
        "connections": connections,
    }
    done = subprocess.run(
        [sys.executable, str(HERE / "_paced.py")], input=json.dumps(plan), capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    assert found["good"] == found["sent"], found
    return found


def both(
    ports: tuple[int, int], rate: float, seconds: float, rounds: int, *, stream: bool
) -> tuple[list[dict], list[dict]]:
    """(direct, through), one run of each in turn."""
    direct, through = [], []
    for _ in range(rounds):
        direct.append(load(ports[0], rate, seconds, stream=stream))
        through.append(load(ports[1], rate, seconds, stream=stream))
    return direct, through


def quantile(runs: list[dict], name: str, which: int) -> float:
    return statistics.median(run[name][which] for run in runs)


def compared(direct: list[dict], through: list[dict], name: str) -> list[str]:
    """Direct, through and the difference, each as p50 and p99 in ms."""
    cells = []
    for which in (0, 1):
        a, b = quantile(direct, name, which), quantile(through, name, which)
        cells += [f"{a:.2f}", f"{b:.2f}", f"**{b - a:.2f}**"]
    return cells


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--seconds", type=float, default=10.0, help="of each run")
    options.add_argument("--rounds", type=int, default=5)
    chosen = options.parse_args()
    columns = ["requests/s", "p50 direct", "through", "added", "p99 direct", "through", "added"]
    whole, first, token, limits = [], [], [], []
    with (
        tempfile.TemporaryDirectory() as folder,
        started([sys.executable, str(HERE / "_upstream.py"), str(TOKENS), str(GAP_MS)]) as stub,
    ):
        upstream = int(stub.stdout.readline())
        with gateway(Path(folder) / "one", upstream, 1) as port:
            load(port, 200, 2, stream=False)  # the first answers load modules and open connections
            load(port, 20, 2, stream=True)
            for rate in RATES:
                found = both((upstream, port), rate, chosen.seconds, chosen.rounds, stream=False)
                whole.append([f"{rate:,}", *compared(*found, "took")])
                print("whole", whole[-1], flush=True)
            for rate in STREAM_RATES:
                found = both((upstream, port), rate, chosen.seconds, chosen.rounds, stream=True)
                first.append([f"{rate:,}", *compared(*found, "first")])
                token.append([f"{rate:,} ({rate * TOKENS:,} tokens/s)", *compared(*found, "token")])
                print("first", first[-1], "token", token[-1], flush=True)
            one = [load(port, 0, chosen.seconds, stream=False) for _ in range(chosen.rounds)]
        with everloop.open(Path(folder) / "one") as wheel:
            stored = wheel.store.records.count(Interaction, "bench")
        with gateway(Path(folder) / "two", upstream, 2) as port:
            load(port, 200, 2, stream=False)
            two = [load(port, 0, chosen.seconds, stream=False) for _ in range(chosen.rounds)]
        alone = [load(upstream, 0, chosen.seconds, stream=False) for _ in range(chosen.rounds)]
    for name, runs in (
        ("one process", one),
        ("two processes on one folder", two),
        ("the stub itself, called directly", alone),
    ):
        rates = sorted(run["per_second"] for run in runs)
        limits.append([name, f"{statistics.median(rates):,.0f} ({rates[0]:,.0f} to {rates[-1]:,.0f})",
                       f"{quantile(runs, 'took', 0):.1f}", f"{quantile(runs, 'took', 1):.1f}"])  # fmt: skip
        print(limits[-1], flush=True)
    write_section(
        "gateway",
        "\n".join(
            [
                "## Gateway", "",
                f"{machine()}. What the gateway adds to a stub upstream that answers at once, in ms; load, stub and",
                f"gateway share the machine. Medians of {chosen.rounds} runs of {chosen.seconds:g} s, alternating,",
                f"each request counted from when it was due. All {stored:,} interactions of these runs were redacted,",
                "and on disk before their last byte.", "",
                "Whole answers (320 bytes asked, 110 answered):", "",
                markdown_table(columns, whole), "",
                f"Streams of {TOKENS} tokens, one every {GAP_MS} ms: until the first token,", "",
                markdown_table(["streams/s", *columns[1:]], first), "",
                "and how long each token was under way from the upstream:", "",
                markdown_table(["streams/s", *columns[1:]], token), "",
                f"As much as goes, {CONNECTIONS} requests under way at any time:", "",
                markdown_table(["", "answers/s (lowest to highest)", "p50 ms", "p99 ms"], limits),
            ]
        ),
    )  # fmt: skip


if __name__ == "__main__":
    main()

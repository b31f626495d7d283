"""What Everloop weighs: installed size, time to install, to import, to start, memory at rest.

    python benchmarks/footprint.py [--venv DIR] [--keep]

Without --venv it makes a fresh one in a temporary folder and installs the core there, with the project's constraints.
"""

import argparse
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import NamedTuple

from _results import machine, markdown_table, write_section

ROOT = Path(__file__).parents[1]
REPEATS = 5
WEIGH = """
import importlib.metadata as m, json
rows = {}
for d in m.distributions():
    files = [d.locate_file(f) for f in d.files or []]
    rows[d.name] = sum(f.stat().st_size for f in files if f.exists())
print(json.dumps(rows))
"""
ASKED = {
    "card_lost": ["i lost my card", "my card is gone", "someone stole my wallet"],
    "top_up": ["how do i top up", "add money to my account", "put funds in"],
}
ENDS = ["", "please", "today", "as soon as you can", "thanks", "can you help", "again", "and it is urgent"]
NOT_OURS = {"pip", "setuptools"}  # a venv brings them


class Spread(NamedTuple):
    """Median and range of repeated runs."""

    median: float
    low: float
    high: float
    n: int

    @staticmethod
    def of(values: list[float]) -> "Spread":
        return Spread(statistics.median(values), min(values), max(values), len(values))

    def shown(self, unit: str, digits: int) -> str:
        return f"{self.median:.{digits}f} {unit} ({self.low:.{digits}f} to {self.high:.{digits}f}, n={self.n})"


def install(venv: Path) -> float:
    """Seconds from an empty folder to an installed core, from a copy: setuptools leaves traces beside the source."""
    source = venv.parent / "source"
    shutil.copytree(ROOT / "everloop", source / "everloop", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    subprocess.run(
        [venv / "bin/python", "-m", "pip", "install", "-qq", "--disable-pip-version-check", "-c",
         ROOT / "constraints.txt", source],
        check=True,
    )  # fmt: skip
    return time.perf_counter() - begun


def weigh(venv: Path) -> dict[str, int]:
    """Bytes by distribution, files as long as they are, compiled ones included."""
    done = subprocess.run([venv / "bin/python", "-c", WEIGH], check=True, capture_output=True, text=True)
    sizes: dict[str, int] = json.loads(done.stdout)
    return {name: size for name, size in sizes.items() if name not in NOT_OURS}


def seconds(command: list[str | Path]) -> Spread:
    """Wall-clock time of a command, after one run that warms the disk's cache."""
    times = []
    for attempt in range(REPEATS + 1):
        begun = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=tempfile.gettempdir())
        if attempt:
            times.append(time.perf_counter() - begun)
    return Spread.of(times)


def imports(venv: Path) -> Spread:
    """Seconds of ``import everloop`` alone, without the interpreter's start."""
    code = "import time; t = time.perf_counter(); import everloop; print(time.perf_counter() - t)"
    runs = [
        subprocess.run([venv / "bin/python", "-c", code], check=True, capture_output=True, text=True, cwd="/")
        for _ in range(REPEATS + 1)
    ]
    return Spread.of([float(run.stdout) for run in runs[1:]])


def opening(venv: Path) -> Spread:
    """Seconds of ``everloop.open`` on a new folder, with the imports that it brings."""
    code = (
        "import tempfile, time; folder = tempfile.mkdtemp(); t = time.perf_counter(); import everloop; "
        "everloop.open(folder).close(); print(time.perf_counter() - t); import shutil; shutil.rmtree(folder)"
    )
    runs = [
        subprocess.run([venv / "bin/python", "-c", code], check=True, capture_output=True, text=True, cwd="/")
        for _ in range(REPEATS + 1)
    ]
    return Spread.of([float(run.stdout) for run in runs[1:]])


def serve(venv: Path, home: Path, ask: str | None = None) -> tuple[Spread, Spread]:
    """Seconds until /healthz answers, and resident megabytes five seconds later with nothing to do.

    With `ask`, that loop has answered once before its memory is taken.
    """
    times, memory = [], []
    for attempt in range(REPEATS + 1):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"http://127.0.0.1:{free.getsockname()[1]}"
        begun = time.perf_counter()
        server = subprocess.Popen(
            [venv / "bin/everloop", "up", "--home", home, "--port", address.rsplit(":", 1)[1]],
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            wait_for(f"{address}/healthz", server)
            took = time.perf_counter() - begun
            if ask is not None:
                request = urllib.request.Request(
                    f"{address}/v1/loops/{ask}/predict", data=b'{"input": "i lost my card"}'
                )
                with urllib.request.urlopen(request, timeout=30) as answer:
                    assert json.load(answer)["output"] is not None
            if attempt:  # the first run warms the disk's cache
                time.sleep(5)
                times.append(took)
                memory.append(resident(server.pid))
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(timeout=30)
    return Spread.of(times), Spread.of(memory)


def learn(venv: Path, home: Path) -> None:
    """A loop called support with a live text model."""
    rows = [f"{text} {end},{label}" for label, texts in ASKED.items() for text in texts for end in ENDS]
    (home.parent / "rows.csv").write_text("\n".join(["input,label", *rows]))
    for words in (["init", "support"], ["log", "support", str(home.parent / "rows.csv")], ["turn", "support"]):
        subprocess.run([venv / "bin/everloop", *words, "--home", home], check=True, stdout=subprocess.DEVNULL)


def wait_for(address: str, server: "subprocess.Popen[bytes]", patience: float = 60.0) -> None:
    begun = time.monotonic()
    while time.monotonic() - begun < patience:
        if server.poll() is not None:
            raise SystemExit(f"everloop up ended with {server.returncode}")
        try:
            with urllib.request.urlopen(address, timeout=1) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.01)
    raise SystemExit(f"{address} did not answer in {patience:.0f} s")


def resident(pid: int) -> float:
    """Megabytes of a process and its children that are in memory, shared pages counted once (PSS)."""
    found = 0.0
    for process in [pid, *children(pid)]:
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                found += int(line.split()[1]) * 1024 / 1e6
    return found


def children(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for word in (task / "children").read_text().split():
            found += [int(word), *children(int(word))]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--venv", type=Path, help="weigh this one instead of making one")
    parser.add_argument("--keep", action="store_true", help="leave the fresh venv where it is")
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="everloop-footprint-"))
    try:
        venv = args.venv.absolute() if args.venv else folder / "venv"
        took = None if args.venv else install(venv)
        sizes = weigh(venv)
        python, script = venv / "bin/python", venv / "bin/everloop"
        bare = seconds([python, "-c", "pass"])
        started, rest = serve(venv, folder / "empty")
        learn(venv, folder / "learned")
        _, answering = serve(venv, folder / "learned", "support")
        rows = [
            [
                "installed, core with all it needs",
                f"{sum(sizes.values()) / 1e6:.0f} MB, {len(sizes)} packages",
                "400 MB",
            ],
            ["from an empty folder to installed", "not measured" if took is None else f"{took:.0f} s (n=1)", "60 s"],
            ["`import everloop`", imports(venv).shown("s", 3), "0.3 s"],
            ["the same and `everloop.open()` on a new folder", opening(venv).shown("s", 2), ""],
            ["`everloop --help`", seconds([script, "--help"]).shown("s", 3), "0.3 s"],
            ["of which Python's own start", bare.shown("s", 3), ""],
            ["`everloop up` until /healthz answers", started.shown("s", 2), "2 s"],
            ["memory of `everloop up` at rest, no loop (PSS)", rest.shown("MB", 0), ""],
            ["the same with a text model live that has answered", answering.shown("MB", 0), ""],
        ]
        largest = sorted(sizes.items(), key=lambda item: -item[1])[:8]
        text = "\n\n".join([
            "## Footprint",
            f"On {machine()}. The time to install is with the packages near at hand; elsewhere it is the network's.",
            markdown_table(["what", "measured: median (range)", "limit"], rows),
            "The largest packages: " + ", ".join(f"{name} {size / 1e6:.0f} MB" for name, size in largest) + ".",
        ])  # fmt: skip
        write_section("footprint", text)
        print(text)
    finally:
        if args.keep:
            print(f"venv: {folder / 'venv'}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()

"""The collecting side, beside its peers: feedback one by one, in hundreds, and spans; accepted and visible.

    python benchmarks/collect.py [--quick] [--peers DIR] [--folder DIR] [--only NAME,NAME]

Everloop, a bare ASGI endpoint (the physical limit), Phoenix, MLflow, and TensorZero with PostgreSQL and logging on. All
are up at once and take turns, the others stopped meanwhile. A server has one core, the load generator the other;
TensorZero has both, and no HTTP between. Each is first asked in several ways, and measured in the one that suits it.
Peers are installed into --peers (a gigabyte; minutes the first time). A peer that can't be had is said to be so.
"""

import argparse
import contextlib
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from _peers import Mlflow, Phoenix, Tensorzero
from _results import machine, markdown_table, write_section
from _systems import HERE, Absent, Bare, Collecting, Everloop, Round, System, Way, drive, free_port, message, on_core

CASES = {
    "one": "feedback, one a request",
    "hundred": "feedback, 100 a request",
    "span": "OTLP, one span a request",
    "spans": "OTLP, 100 spans a request",
}
LIMIT = "bare endpoint"
GOALS = (("Phoenix", 100.0), ("MLflow", 100.0), ("TensorZero + PostgreSQL", 5.0), (LIMIT, 2.0))
OURS = ("Everloop", "Everloop, turns by hand")
FEWEST = {"one": 16, "hundred": 4, "span": 16, "spans": 4}  # requests in a round
MOST = 120_000


class Effort(NamedTuple):
    """How long it takes."""

    rounds: int
    seconds: float  # a round should take
    sweep: float  # and a try at a way of asking
    prompts: int
    every: int  # of the ways of asking, which are tried: each, or each other
    most: float  # seconds after which no further try or round begins, so that a busy machine ends too


EFFORT = Effort(rounds=5, seconds=2.5, sweep=0.5, prompts=5, every=1, most=500)
QUICK = Effort(rounds=3, seconds=0.6, sweep=0.2, prompts=2, every=2, most=85)


class Entrant:
    """A system in the race: what suits it, and its rounds."""

    def __init__(self, system: System):
        self.system = system
        self.best: dict[str, Way] = {}
        self.rates: dict[str, float] = {}  # requests a second, from the sweep
        self.rounds: dict[str, list[Round]] = {}
        self.alone: list[float] = []  # seconds a request, one under way
        self.prompts: list[tuple[float, float]] = []
        self.notes: dict[str, str] = {}

    @contextlib.contextmanager
    def running(self) -> Iterator[System]:
        """Let it run; it stands still otherwise."""
        os.killpg(self.system.server, signal.SIGCONT)
        time.sleep(0.05)
        try:
            yield self.system
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.system.server, signal.SIGSTOP)


def started(systems: Sequence[System]) -> tuple[list[Entrant], dict[str, str]]:
    """Those that start, and why the others don't."""
    entrants, absent = [], {}
    for system in systems:
        begun = time.monotonic()
        try:
            system.start()
        except Absent as reason:
            absent[f"{system.name} ({system.about})"] = str(reason)
            print(f"{system.name}: {reason}", file=sys.stderr)
            system.stop()
            continue
        print(f"{system.name} ({system.about}) is up after {time.monotonic() - begun:.1f} s", file=sys.stderr)
        entrants.append(Entrant(system))
        os.killpg(system.server, signal.SIGSTOP)
    return entrants, absent


def sweep(entrant: Entrant, case: str, effort: Effort, until: float) -> None:
    """Find the way of asking that shows the most rows a second; at `until` with the best of those tried."""
    best, rate, seconds = 0.0, 20.0, effort.sweep
    tried: list[str] = []
    with entrant.running() as system:
        try:
            for way in system.ways(case)[effort.every - 1 :: effort.every]:
                if tried and time.monotonic() > until:
                    break
                requests = FEWEST[case]
                while True:
                    found = system.run(case, requests, way)
                    rate = requests / (found.visible - found.begun)
                    if found.visible - found.begun >= seconds / 3 or requests >= rate * seconds:
                        break
                    requests = round(min(max(rate * seconds, requests * 2), requests * 20, MOST))
                tried.append(f"{way.connections}{' ' + way.option if way.option else ''}: {found.visible_rate:,.0f}")
                if found.failed:
                    tried[-1] += f" ({found.failed} refused: {found.refusal})"
                elif found.visible_rate > best:
                    best, entrant.best[case], entrant.rates[case] = found.visible_rate, way, rate
        except Absent as reason:
            entrant.notes[case] = str(reason)
    print(f"  {entrant.system.name}, {CASES[case]}: {'; '.join(tried) or entrant.notes.get(case)}", file=sys.stderr)


def measure(entrants: Sequence[Entrant], effort: Effort, until: float) -> int:
    """The rounds, alternating; how many there was time for."""
    number = 0
    while number < effort.rounds and (not number or time.monotonic() < until):
        for case in CASES:
            for entrant in entrants if number % 2 == 0 else list(reversed(entrants)):
                if case not in entrant.best:
                    continue
                requests = round(min(max(entrant.rates[case] * effort.seconds, FEWEST[case]), MOST))
                with entrant.running() as system:
                    try:
                        entrant.rounds.setdefault(case, []).append(system.run(case, requests, entrant.best[case]))
                        if case == "one":
                            alone = Way(1, entrant.best[case].option)
                            few = round(min(max(entrant.rates[case] * effort.seconds / 8, FEWEST[case]), 1000))
                            entrant.alone += system.run(case, few, alone).taken
                    except Absent as reason:
                        entrant.notes[case] = f"round {number + 1}: {reason}"
        number += 1
        print(f"round {number} of {effort.rounds} done, load {os.getloadavg()[0]:.1f}", file=sys.stderr)
    for entrant in entrants:
        with entrant.running() as system:
            try:
                entrant.prompts = [system.prompt() for _ in range(effort.prompts)]
            except Absent as reason:
                entrant.notes["prompt"] = str(reason)
    return number


def ceiling(cores: tuple[int, int]) -> float:
    """Requests a second the generator manages against a server that does nothing."""
    port = free_port()
    with on_core(cores[0]):
        server = subprocess.Popen([sys.executable, str(HERE / "_load.py"), "--answer", str(port)])
    try:
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.05)
        load, _ = drive(port, [message("/v1/feedback", b"x" * 80)] * 50_000, 64, cores[1], time.monotonic)
        return len(load.taken) / (load.ended - load.begun)
    finally:
        server.kill()
        server.wait()


def spread(values: Sequence[float], digits: int = 0) -> str:
    """Median (lowest to highest); of one value, that."""
    if len(values) == 1:
        return f"{values[0]:,.{digits}f}"
    return f"{statistics.median(values):,.{digits}f} ({min(values):,.{digits}f} to {max(values):,.{digits}f})"


def quantile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(int(share * len(values)), len(values) - 1)]


def milliseconds(rounds: Sequence[Round], share: float) -> str:
    return spread([quantile(found.taken, share) * 1000 for found in rounds], 1)


def lines(entrants: Sequence[Entrant], case: str) -> list[list[str]]:
    """A line an entrant: rates and latencies over its rounds."""
    rows = []
    for entrant in entrants:
        found = entrant.rounds.get(case)
        if not found:
            rows.append([entrant.system.name, "–", "–", "–", "–", entrant.notes.get(case, "not measured")])
            continue
        way = entrant.best[case]
        asked = f"{way.connections} under way"
        asked += f", sync={way.option}" if way.option else ""
        failed = sum(one.failed for one in found)
        if case in entrant.notes or failed:
            asked += f"; {failed} refused; {entrant.notes.get(case, '')}".rstrip("; ")
        rows.append([
            entrant.system.name, spread([one.accepted_rate for one in found]),
            spread([one.visible_rate for one in found]), milliseconds(found, 0.5), milliseconds(found, 0.99), asked,
        ])  # fmt: skip
    return rows


def ratios(ours: Entrant, other: Entrant) -> list[float]:
    """Ours over theirs in visible rows a second, one feedback a request, round by round."""
    pairs = zip(ours.rounds.get("one", []), other.rounds.get("one", []), strict=False)
    return [mine.visible_rate / theirs.visible_rate for mine, theirs in pairs]


def goals(entrants: Sequence[Entrant]) -> list[list[str]]:
    """What the issue asks for, and what was found."""
    named = {entrant.system.name: entrant for entrant in entrants}
    rows = []
    for ours in (named[name] for name in OURS if name in named):
        for name, wanted in GOALS:
            found = ratios(ours, named[name]) if name in named else []
            if name == LIMIT:
                found = [1 / ratio for ratio in found]
            met = not found or (
                statistics.median(found) <= wanted if name == LIMIT else statistics.median(found) >= wanted
            )
            asked = f"{name} at most {wanted:g}× ours" if name == LIMIT else f"ours at least {wanted:g}× {name}"
            shown = f"{spread(found, 1)}×" if found else "not measured"
            rows.append([ours.system.name, asked, shown, ("yes" if met else "no") if found else "–"])
    return rows


def written(entrants: Sequence[Entrant], absent: dict[str, str], effort: Effort, limit: float, load: Sequence[float],
            quick: bool) -> str:  # fmt: skip
    """The section."""
    shown = ["system", "accepted/s", "visible/s", "p50 ms", "p99 ms", "how it was asked"]
    busiest = max((one.busy or 0.0 for e in entrants for rounds in e.rounds.values() for one in rounds), default=0.0)
    text = [
        "## Collect", "",
        f"{machine()}; load before {load[0]:.1f}, after {load[1]:.1f}.{' `--quick`: for a look.' if quick else ''}",
        f"{effort.rounds} alternating rounds of about {effort.seconds:g} s; median (lowest to highest). Visible: the",
        "last row can be read from the system's own store. p50 and p99 are under that load; each system with as many",
        "requests under way as suit it, found by a sweep. A server has one core, the generator the other and manages",
        f"{limit:,.0f} requests a second against a server that does nothing and used at most {busiest:.0%} of it here.",
        "", *[f"- {entrant.system.name}: {entrant.system.about}." for entrant in entrants],
        *[f"- {name}: not measured. {reason}" for name, reason in absent.items()], "",
    ]  # fmt: skip
    for case, title in CASES.items():
        text += [f"**{title[0].upper()}{title[1:]}**", "", markdown_table(shown, lines(entrants, case)), ""]
    prompts = []
    for entrant in entrants:
        alone = (
            [f"{quantile(entrant.alone, share) * 1000:.2f}" for share in (0.5, 0.99)] if entrant.alone else ["–", "–"]
        )
        times = [spread([one[k] * 1000 for one in entrant.prompts], 1) if entrant.prompts else "–" for k in (0, 1)]
        prompts.append([entrant.system.name, *alone, *times])
    text += [
        "**One at a time**, and feedback sent 0 ms after its answer: how long until it was accepted, until visible", "",
        markdown_table(["system", "p50 ms", "p99 ms", "0 ms after: accepted, ms", "visible, ms"], prompts), "",
        "**Goals**, one feedback a request; ratios round by round", "",
        markdown_table(["ours", "goal", "found", "met"], goals(entrants)),
    ]  # fmt: skip
    return "\n".join(text)


def contestants(folder: Path, peers: Path, only: set[str]) -> list[System]:
    """Everything that is compared."""
    cores = sorted(os.sched_getaffinity(0))
    pair = (cores[0], cores[-1])
    systems: list[System] = [
        Everloop(folder / "everloop", pair), Collecting(folder / "collecting", pair), Bare(folder / "bare", pair),
        Tensorzero(folder / "tensorzero", peers), Phoenix(folder / "phoenix", pair, peers),
        Mlflow(folder / "mlflow", pair, peers),
    ]  # fmt: skip
    return [system for system in systems if not only or any(name in system.name.lower() for name in only)]


def compare(systems: Sequence[System], effort: Effort, quick: bool) -> str:
    """Start, sweep, measure, stop; the section."""
    before = os.getloadavg()[0]
    cores = sorted(os.sched_getaffinity(0))
    limit = ceiling((cores[0], cores[-1]))
    try:
        entrants, absent = started(systems)
        ready = time.monotonic()  # installing takes what it takes
        for entrant in entrants:
            for case in CASES:
                sweep(entrant, case, effort, ready + effort.most * 0.4)
        effort = effort._replace(rounds=measure(entrants, effort, ready + effort.most))
        return written(entrants, absent, effort, limit, (before, os.getloadavg()[0]), quick)
    finally:
        for system in systems:
            system.stop()


def main() -> None:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--quick", action="store_true", help="under two minutes, for a look; writes nothing")
    options.add_argument("--peers", type=Path, default=cache / "everloop-peers", help="where peers are installed")
    options.add_argument("--folder", type=Path, help="where everybody's data goes (a temporary folder)")
    options.add_argument("--only", default="", help="names or parts of names, with commas; writes nothing")
    chosen = options.parse_args()
    only = {name.strip().lower() for name in chosen.only.split(",") if name.strip()}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that everything is stopped, as after Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it otherwise
    folder = Path(tempfile.mkdtemp(prefix="everloop-collect-", dir=chosen.folder))
    effort = QUICK if chosen.quick else EFFORT
    begun = time.monotonic()
    try:
        text = compare(contestants(folder, chosen.peers.resolve(), only), effort, chosen.quick)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(text)
    print(f"took {time.monotonic() - begun:.0f} s", file=sys.stderr)
    if not chosen.quick and not only:
        write_section("collect", text)


if __name__ == "__main__":
    main()

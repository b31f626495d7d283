"""`kill -9` of server and client at random moments: nothing acknowledged is lost, nothing is doubled."""

import json
import os
import random
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

import everloop
from everloop.settings import Settings
from everloop.types import Correction, Implicit, Interaction

SERVE = "import sys; from everloop.server import serve; from everloop.settings import Settings; serve(Settings.load())"
DEVICE = Path(__file__).with_name("device_until_killed.py")
ROUNDS = 12


def start_server(home: Path, port: int) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "EVERLOOP_HOME": str(home), "EVERLOOP_PORT": str(port), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", SERVE], env=environment, stderr=subprocess.DEVNULL)


def wait_for(port: int) -> None:
    until = time.monotonic() + 60
    while True:
        try:
            httpx.get(f"http://127.0.0.1:{port}/healthz", trust_env=False)
            return
        except httpx.HTTPError:
            assert time.monotonic() < until
            time.sleep(0.05)


@pytest.mark.slow
def test_kill_nine_of_server_and_client(tmp_path: Path) -> None:
    chance = random.Random(5)
    home, spool = tmp_path / "home", tmp_path / "spool"
    with everloop.open(settings=Settings(home=str(home))) as wheel:
        wheel.loop("desk")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    said: list[str] = []
    server = start_server(home, port)
    try:
        wait_for(port)
        for _ in range(ROUNDS):
            device = subprocess.Popen(
                [sys.executable, DEVICE, url, spool], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
            assert device.stdout is not None
            said.append(device.stdout.readline().decode().strip())
            time.sleep(chance.uniform(0, 1.5))
            server.kill()
            server.wait()
            time.sleep(chance.uniform(0, 0.4))
            if chance.random() < 0.5:
                server = start_server(home, port)
                wait_for(port)
                time.sleep(chance.uniform(0, 0.5))
            device.kill()
            output = device.communicate()[0].decode()
            said += output[: output.rfind("\n") + 1].split()
            if server.poll() is not None:
                server = start_server(home, port)
                wait_for(port)
        last = subprocess.run(
            [sys.executable, DEVICE, url, spool, "1"], capture_output=True, text=True, timeout=120, check=False
        )
        assert last.returncode == 0, last.stderr
        said += last.stdout.split()
    finally:
        server.kill()
        server.wait()
    with everloop.open(settings=Settings(home=str(home))) as wheel:
        records = wheel.store.records
        found = {kind: [one.id for one in records.find(kind)] for kind in (Interaction, Correction, Implicit)}
        held = [one.id for one in records.held()]
    there = found[Correction] + held
    assert len(said) > 300
    assert [id for id in said if id not in set(there)] == []
    everything = [id for ids in found.values() for id in ids] + held
    assert len(everything) == len(set(everything))
    assert [p for p in spool.rglob("*.*") if p.is_file()] == []
    print(len(said), "acknowledged,", len(everything), "stored")


@pytest.mark.slow
def test_thousands_of_events_through_kills_of_everybody(tmp_path: Path) -> None:
    """What `benchmarks/kills.py` does with a million: `everloop up`, clients that share a spool, one that posts."""
    benchmark = Path(__file__).parents[2] / "benchmarks" / "kills.py"
    ran = subprocess.run(
        [sys.executable, benchmark, "--events", "30000", "--seed", "7", "--json", "--folder", tmp_path],
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert ran.stdout, ran.stderr
    shown = json.loads(ran.stdout)
    assert (shown["lost"], shown["doubled"], shown["strange"], shown["left"]) == (0, 0, 0, 0)
    assert shown["acknowledged"] >= 30_000
    assert sum(shown["kills"].values()) >= 3
    assert ran.returncode == 0

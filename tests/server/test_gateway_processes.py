"""Several serving processes on one folder: they share the work, one that dies comes back, and all stop together."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

import everloop
from everloop.types import Interaction
from tests.server.stub_upstream import running


def until(look, seconds=40.0):
    end = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return found


def children(pid):
    """Process ids of its children (Linux)."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] == "Z"


class Up:
    def __init__(self, home, port, *words):
        env = {**os.environ, "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "everloop.cli", "up", "--home", str(home), "--port", str(port), "--json", *words],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env,
        )  # fmt: skip

    def ready(self):
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read().decode()
        while True:  # the document may have several lines
            try:
                return json.loads(line)
            except json.JSONDecodeError:
                line += self.process.stdout.readline()


@pytest.fixture
def port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="looks at its processes through /proc")
def test_two_processes_share_come_back_and_stop(tmp_path, port):
    with running() as stub:
        with everloop.open(tmp_path / "home") as wheel:
            wheel.loop("desk", task="chat", variants=[{"name": "a", "url": stub.url, "model": "m"}])
        up = Up(tmp_path / "home", port, "--processes", "2")
        try:
            up.ready()
            pids = children(up.process.pid)
            assert len(pids) == 2
            ask = {"model": "loop:desk", "messages": [{"role": "user", "content": "hi"}]}

            def answered():
                with httpx.Client(trust_env=False, timeout=30) as http:  # a new connection each time
                    reply = http.post(f"http://127.0.0.1:{port}/v1/chat/completions", json=ask)
                return reply.json()["id"]

            ids = [answered() for _ in range(20)]
            os.kill(pids[0], signal.SIGKILL)
            ids += [answered() for _ in range(20)]  # the other one answers meanwhile
            until(
                lambda: (
                    len([p for p in children(up.process.pid) if not gone(p)]) == 2
                    and pids[0] not in children(up.process.pid)
                )
            )
            now = children(up.process.pid)
            up.process.send_signal(signal.SIGTERM)
            assert up.process.wait(30) == 0
            assert all(gone(pid) for pid in now)
        finally:
            up.process.kill()
            up.process.communicate()
        with everloop.open(tmp_path / "home") as wheel:
            assert {it.id for it in wheel.store.records.find(Interaction, "desk")} == set(ids)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="looks at its processes through /proc")
def test_children_do_not_outlive_a_parent_that_was_killed(tmp_path, port):
    up = Up(tmp_path / "home", port, "--processes", "2")
    up.ready()
    pids = children(up.process.pid)
    up.process.kill()
    up.process.communicate()
    until(lambda: all(gone(pid) for pid in pids))


def test_a_number_that_can_not_be(tmp_path, port):
    up = Up(tmp_path / "home", port, "--processes", "0")
    _, said = up.process.communicate(timeout=60)
    assert up.process.returncode == 2
    assert b"must be 1 to 64" in said

"""The process: quick to start, one line when it can't, clean when told to stop."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

UP = "import sys; from everloop.server import serve; from everloop.settings import Settings; serve(Settings.load())"


def environment(home: Path, port: int) -> dict[str, str]:
    return {**os.environ, "EVERLOOP_HOME": str(home), "EVERLOOP_PORT": str(port), "OMP_NUM_THREADS": "1"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_the_heavy_libraries_wait_until_they_are_needed() -> None:
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, everloop.server; print(*sys.modules)"],
        capture_output=True, text=True, check=True, timeout=60,
    ).stdout.split()  # fmt: skip
    assert not {"scipy.stats", "sklearn", "wordllama"} & set(loaded)


def test_a_port_in_use_is_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = subprocess.run(
            [sys.executable, "-c", UP], env=environment(tmp_path, port), capture_output=True, text=True, timeout=60,
            check=False,
        )  # fmt: skip
    assert ended.returncode == 1
    assert ended.stderr == f"port {port} on 127.0.0.1 is in use; stop the other program or choose another with --port\n"


@pytest.mark.slow
def test_two_serve_one_folder_and_both_stop_cleanly(tmp_path: Path) -> None:
    ports = [free_port(), free_port()]
    running = [
        subprocess.Popen([sys.executable, "-c", UP], env=environment(tmp_path, port), stderr=subprocess.PIPE, text=True)
        for port in ports
    ]
    try:
        one, two = (httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10, trust_env=False) for port in ports)
        for client in (one, two):
            deadline = time.monotonic() + 30
            while True:
                try:
                    client.get("/healthz")
                    break
                except httpx.HTTPError:
                    assert time.monotonic() < deadline
                    time.sleep(0.05)
        assert one.put("/v1/loops/shared").status_code == 200
        asked = two.post("/v1/loops/shared/predict", json={"input": "x"}).json()
        assert one.get(f"/v1/interactions/{asked['id']}").status_code == 200
        running[0].send_signal(signal.SIGTERM)
        running[1].send_signal(signal.SIGINT)
        for process in running:
            _, errors = process.communicate(timeout=15)
            assert process.returncode == 0
            assert "Traceback" not in errors
    finally:
        for process in running:
            process.kill()

"""The worker in its own process: it turns what a turn is asked of, is started again when it dies, and ends with us."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import everloop
from everloop.server.worker_process import WorkerProcess
from everloop.settings import Settings
from everloop.types import Turn


def until(holds: Callable[[], object], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.02)


def there(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.slow
def test_it_turns_a_loop_also_after_it_was_killed(tmp_path: Path) -> None:
    settings = Settings(home=str(tmp_path), worker_seconds=60.0, lease_seconds=1.0)
    with everloop.open(settings=settings) as wheel:
        loop = wheel.loop("support")
        loop.log_many([{"input": f"card {n}", "label": "card"} for n in range(4)])
        worker = WorkerProcess(settings)
        worker.start()
        try:
            until(lambda: worker.alive)
            first = worker._process
            assert first is not None
            os.kill(first.pid, signal.SIGKILL)
            until(lambda: worker.alive and worker._process is not first)
            loop.advance("hand")
            worker.wake()
            until(lambda: wheel.store.records.count(Turn, "support", state="closed") == 1)
        finally:
            assert worker.stop()
        assert not worker.alive


@pytest.mark.slow
def test_it_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys, time; from everloop.server.worker_process import WorkerProcess\n"
        "from everloop.settings import Settings\n"
        f"w = WorkerProcess(Settings(home={str(tmp_path)!r})); w.start()\n"
        "while not w.alive: time.sleep(0.01)\n"
        "print(w._process.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert there(pid)
        parent.kill()
    until(lambda: not there(pid))

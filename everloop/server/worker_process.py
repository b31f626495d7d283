"""The worker in a process of its own: however much a turn computes, no answer waits for the interpreter.

The process is told its settings in a line on its standard input; each line after that means that there may be work. It
ends when that input does, so it never outlives its parent, however that ended. Whoever dies is started again.
"""

import contextlib
import logging
import os
import subprocess
import sys
import threading
import time

import msgspec

from everloop.engine.interpreter import fresh
from everloop.server.worker import Worker
from everloop.settings import Settings
from everloop.wheel import open as open_wheel

log = logging.getLogger("everloop.worker")

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
STEP_GRACE = 2.0  # seconds a stop waits for the step in hand, which any worker can do again
KINDNESS = 10  # how much the serving process goes first where both want the same core
_STEADY_SECONDS = 10.0  # one that lived for so long is started again at once
_LONGEST_PAUSE = 10.0  # one that keeps dying waits longer each time, at most so long
# Ctrl-C reaches the whole group: the parent hears it and tells the worker.
_CODE = (
    "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN);"
    "from everloop.server.worker_process import work; work()"
)


class WorkerProcess:
    """Does what a Worker does, elsewhere."""

    def __init__(self, settings: Settings):
        self._settings = settings
        self._stop = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe = threading.Lock()
        self._keeper = threading.Thread(target=self._keep, name="everloop-worker", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._keeper.start()

    def wake(self) -> None:
        """Look for work now."""
        with self._pipe:
            if self._process is not None and self._process.stdin is not None:
                with contextlib.suppress(OSError, ValueError):  # it is just being started again, and looks then
                    self._process.stdin.write(b"\n")
                    self._process.stdin.flush()

    def stop(self, seconds: float = STEP_GRACE) -> bool:
        """Begin nothing new and wait up to `seconds`, and a little, for the step in hand; whether it ended in time."""
        self._stop.set()
        with self._pipe:
            process = self._process
            if process is None:
                return True
            with contextlib.suppress(OSError):
                assert process.stdin is not None
                process.stdin.close()
        try:
            process.wait(seconds + 1.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return False
        return True

    @property
    def alive(self) -> bool:
        """Whether it is at work."""
        return self._process is not None and self._process.poll() is None

    def _keep(self) -> None:
        failures = 0
        while not self._stop.is_set():
            begun = time.monotonic()
            with self._pipe:
                if self._stop.is_set():
                    return
                process = self._process = subprocess.Popen(fresh(_CODE), stdin=subprocess.PIPE)  # noqa: S603
                with contextlib.suppress(BrokenPipeError):  # it died at once: its code says so below
                    assert process.stdin is not None
                    process.stdin.write(msgspec.json.encode(self._settings) + b"\n")
                    process.stdin.flush()
            code = process.wait()
            if self._stop.wait(0.5):  # the whole group was told to end, and we hear of it later
                return
            failures = 0 if time.monotonic() - begun > _STEADY_SECONDS else failures + 1
            pause = min(_LONGEST_PAUSE, 0.2 * 2.0**failures) if failures else 0.0
            log.error("the worker, process %d, ended with %d; another one starts in %.1f s", process.pid, code, pause)
            self._stop.wait(pause)


def work() -> None:
    """In the process: turn the loops until standard input ends."""
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)
    told = b""
    while b"\n" not in told:  # no buffer: a thread that waits in one keeps the interpreter from ending
        if not (more := os.read(sys.stdin.fileno(), 65_536)):
            return  # the parent died before it could say anything
        told += more
    settings = msgspec.json.decode(told.partition(b"\n")[0], type=Settings)
    os.nice(KINDNESS)
    with open_wheel(settings=settings) as wheel:
        worker = Worker(wheel, settings.worker_seconds)
        worker.start()
        while os.read(sys.stdin.fileno(), 4_096):
            worker.wake()
        worker.stop(STEP_GRACE)

"""Several serving processes on one folder and one address: each accepts what comes, one of them turns the loops.

The parent holds the listening socket, opens nothing else, and starts again whoever dies: connections that wait are not
lost, for the socket stays. A child is a fresh interpreter; it ends when the parent does, however that ended.
"""

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from everloop.engine.interpreter import fresh
from everloop.errors import InvalidInput
from everloop.settings import Settings

log = logging.getLogger("everloop.server")

MOST = 64
STOP_SECONDS = 12.0  # how long children may take to finish what they are at; then they are killed
_LOOK_SECONDS = 0.1
_STEADY_SECONDS = 10.0  # a child that lived for so long is started again at once
_LONGEST_PAUSE = 10.0  # one that keeps dying waits longer each time, at most so long
_CODE = "from everloop.server.app import serve_part; serve_part()"
_READY = b"ready\n"


class Part(NamedTuple):
    """What a child is told, as a line of JSON on its standard input."""

    settings: Settings
    listening: int  # file descriptor
    worker: bool  # it turns the loops


class _Child:
    """One serving process, and the next one in its place."""

    def __init__(self, part: Part):
        self.part = part
        self.ready = False
        self._failures = 0
        self._again = 0.0
        self._start()

    def _start(self) -> None:
        self._begun = time.monotonic()
        # A session of its own: Ctrl-C reaches the parent alone, which then tells everybody.
        self.process = subprocess.Popen(  # noqa: S603
            fresh(_CODE), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            pass_fds=[self.part.listening], start_new_session=True,
        )  # fmt: skip
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        os.set_blocking(self.process.stdout.fileno(), False)
        with contextlib.suppress(BrokenPipeError):  # it died at once: its code says so when it is looked at
            self.process.stdin.write(msgspec.json.encode(self.part) + b"\n")
            self.process.stdin.flush()

    def look(self) -> None:
        """Note that it is ready; start another one if it died."""
        assert self.process.stdout is not None
        if not self.ready and self.process.stdout.read(len(_READY)) == _READY:
            self.ready = True
        code = self.process.poll()
        if code is None or time.monotonic() < self._again:
            return
        if self._again:
            self._again = 0.0
            self._close()
            self._start()
            return
        self._failures = 0 if time.monotonic() - self._begun > _STEADY_SECONDS else self._failures + 1
        pause = min(_LONGEST_PAUSE, 0.2 * 2.0**self._failures) if self._failures else 0.0
        log.error("serving process %d ended with %d; another one starts in %.1f s", self.process.pid, code, pause)
        self._again = time.monotonic() + max(pause, 1e-3)

    def stop(self, until: float) -> None:
        """Wait for it to end, or end it."""
        try:
            self.process.wait(max(0.1, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._close()

    def _close(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:  # what it was told never reached it
                    log.debug("process %d read nothing", self.process.pid)


def supervise(settings: Settings, listening: socket.socket, ready: Callable[[], None]) -> None:
    """Serve with `settings.processes` processes until stopped (Ctrl-C, SIGTERM); the first turns the loops.

    `ready` is called once all of them serve. Exits with status 1 if one can't begin; it has said why by then.
    """
    if not 1 <= settings.processes <= MOST:
        raise InvalidInput(f"processes {settings.processes}: must be 1 to {MOST}")
    stopping = threading.Event()
    before = {number: signal.signal(number, lambda *_: stopping.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    children: list[_Child] = []
    try:
        for number in range(settings.processes):
            children.append(_Child(Part(settings, listening.fileno(), worker=number == 0)))
        _wait(children, stopping)
        if not stopping.is_set():
            ready()
        while not stopping.wait(_LOOK_SECONDS):
            for child in children:
                child.look()
    finally:
        for child in children:
            child.process.terminate()
        until = time.monotonic() + STOP_SECONDS
        for child in children:
            child.stop(until)
        for number, handler in before.items():
            signal.signal(number, handler)


def _wait(children: list[_Child], stopping: threading.Event) -> None:
    """Until every child serves; exits if one has died before it did."""
    while not all(child.ready for child in children) and not stopping.wait(_LOOK_SECONDS / 5):
        for child in children:
            if child.process.poll() is not None:
                sys.exit("a serving process could not start; what it said stands above")
            child.look()


def part() -> Part:
    """In a child: what it is to do. From here on it ends, as by SIGTERM, once the parent is no more."""
    line = b""
    while not line.endswith(b"\n"):  # no buffer: a thread that waits in one keeps the interpreter from ending
        if not (more := os.read(sys.stdin.fileno(), 65_536)):
            sys.exit(1)  # the parent died before it could say anything
        line += more
    threading.Thread(target=_until_orphaned, name="everloop-parent", daemon=True).start()
    return msgspec.json.decode(line, type=Part)


def _until_orphaned() -> None:
    os.read(sys.stdin.fileno(), 1)  # nothing is ever sent: it ends when the parent does
    os.kill(os.getpid(), signal.SIGTERM)


def say_ready() -> None:
    """In a child: it serves."""
    os.write(sys.stdout.fileno(), _READY)

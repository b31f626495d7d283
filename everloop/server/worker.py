"""The worker: a thread that turns every loop's wheel, one step after the other, as long as there is work.

It holds no state: what to do next is derived from rows, and leases decide which of several workers does it. So it can
be stopped at any instant, and a second `everloop up` on the same folder does no harm.
"""

import logging
import threading
import time
from typing import NamedTuple, Protocol

from everloop.errors import LeaseLost
from everloop.server.wire import one_line
from everloop.wheel import Loop, Wheel

log = logging.getLogger("everloop.worker")

SWEEP_SECONDS = 600.0  # how often attachments that nobody uses are looked for
LONGEST_PAUSE = 60.0  # seconds a failing loop is left alone at most


class Turner(Protocol):
    """What turns the loops while a server is up: a thread of its own, or a process."""

    def start(self) -> None:
        """Begin."""

    def wake(self) -> None:
        """Look for work now."""

    def stop(self, seconds: float = 5.0) -> bool:
        """Begin nothing new and wait up to `seconds` for the step in hand; whether it ended in time."""


class _Trouble(NamedTuple):
    failures: int
    until: float  # monotonic seconds before which the loop is left alone


class Worker:
    """Advances every loop every `seconds`; a loop that fails waits longer each time, the others go on."""

    def __init__(self, wheel: Wheel, seconds: float = 1.0):
        self._wheel = wheel
        self._seconds = seconds
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._trouble: dict[str, _Trouble] = {}
        self._untended: dict[str, float] = {}  # monotonic seconds before which a loop's signals are left alone
        self._sweep_at = 0.0  # monotonic seconds
        # A daemon: a training step can't be interrupted, and must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="everloop-worker", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """Look for work now, also at loops that are waiting after a failure."""
        self._trouble.clear()
        self._wake.set()

    def stop(self, seconds: float = 5.0) -> bool:
        """Begin nothing new and wait up to `seconds` for the step in hand; whether it ended in time."""
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(seconds)
        return not self._thread.is_alive()

    @property
    def alive(self) -> bool:
        """Whether it is at work."""
        return self._thread.is_alive()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.clear()
            try:
                loops = self._wheel.loops()
            except Exception as error:  # the store may be away for a while; the worker stays
                log.error("can't list the loops: %s: %s", type(error).__name__, one_line(error))
                loops = []
            for loop in loops:
                if not self._stop.is_set():
                    self._tend(loop)
                    self._turn(loop)
            if time.monotonic() > self._sweep_at:
                self._sweep()
            self._wake.wait(self._seconds)

    def _sweep(self) -> None:
        """What an erasure that was killed has left, and what was sent ahead for nothing."""
        self._sweep_at = time.monotonic() + SWEEP_SECONDS
        try:
            if gone := self._wheel.sweep():
                log.info("deleted %d attachments that nobody uses", gone)
        except Exception as error:  # the next sweep does it
            log.error("can't delete unused attachments: %s: %s", type(error).__name__, one_line(error))

    def _tend(self, loop: Loop) -> None:
        """What is kept up to date beside the turn; where it fails, a rule of a stranger's say, the turn goes on."""
        if time.monotonic() < self._untended.get(loop.name, 0.0):
            return
        try:
            loop.tend()
        except LeaseLost:
            log.info("loop %s: another worker keeps its signals", loop.name)
        except Exception as error:  # the next look does it
            self._untended[loop.name] = time.monotonic() + LONGEST_PAUSE
            log.error("loop %s: can't keep its signals up to date: %s: %s", loop.name, type(error).__name__,
                      one_line(error))  # fmt: skip

    def _turn(self, loop: Loop) -> None:
        trouble = self._trouble.get(loop.name)
        if trouble is not None and time.monotonic() < trouble.until:
            return
        try:
            while not self._stop.is_set():
                step = loop.advance()
                if step is None:
                    break
                log.info("loop %s: %s", loop.name, step)
        except LeaseLost:
            log.info("loop %s: another worker has taken it over", loop.name)
        except Exception as error:  # whatever a step raises, the other loops go on
            self._blame(loop.name, error, trouble)
        else:
            self._trouble.pop(loop.name, None)

    def _blame(self, name: str, error: Exception, before: _Trouble | None) -> None:
        failures = 1 if before is None else before.failures + 1
        pause = min(LONGEST_PAUSE, self._seconds * 2.0 ** min(failures, 16))
        self._trouble[name] = _Trouble(failures, time.monotonic() + pause)
        log.error("loop %s: %s: %s; trying again in %.0f s", name, type(error).__name__, one_line(error), pause)
        log.debug("loop %s failed", name, exc_info=error)

"""The worker goes on whatever a loop does, and stops when told."""

import logging
import threading
import time
from collections.abc import Callable

import pytest

from everloop.errors import LeaseLost
from everloop.server.worker import Worker
from everloop.wheel import Loop, Wheel


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_failing_loop_is_left_alone_for_a_while_and_the_others_go_on(
    wheel: Wheel, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("bad", "good", "taken"):
        wheel.loop(name)
    calls: dict[str, int] = {"bad": 0, "good": 0, "taken": 0}

    def advance(self: Loop, trigger: str | None = None) -> str | None:
        calls[self.name] += 1
        if self.name == "bad":
            raise RuntimeError("first line\nsecond line")
        if self.name == "taken":
            raise LeaseLost("gone")
        return "curate" if calls["good"] % 3 else None

    monkeypatch.setattr(Loop, "advance", advance)
    worker = Worker(wheel, 0.02)
    with caplog.at_level(logging.INFO, logger="everloop.worker"):
        worker.start()
        until(lambda: calls["good"] > 30)
        assert worker.stop()
    assert calls["bad"] <= 6
    assert calls["taken"] > 3
    blamed = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
    assert blamed
    assert all("\n" not in line and "loop bad: RuntimeError: first line second line" in line for line in blamed)


def test_waking_ends_the_wait(wheel: Wheel, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = threading.Event()
    looks = []

    def loops() -> list[Loop]:
        looks.append(1)
        if len(looks) > 1:
            seen.set()
        return []

    monkeypatch.setattr(wheel, "loops", loops)
    worker = Worker(wheel, 60)
    worker.start()
    until(lambda: len(looks) == 1)
    worker.wake()
    assert seen.wait(5)
    assert worker.stop()


def test_a_store_that_is_away_does_not_end_it(wheel: Wheel, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []

    def loops() -> list[Loop]:
        looks.append(1)
        raise OSError("away")

    monkeypatch.setattr(wheel, "loops", loops)
    worker = Worker(wheel, 0.01)
    worker.start()
    until(lambda: len(looks) > 3)
    assert worker.alive
    assert worker.stop()


def test_a_long_step_does_not_hold_up_the_stop(wheel: Wheel, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel.loop("slow")
    entered, leave = threading.Event(), threading.Event()

    def advance(self: Loop, trigger: str | None = None) -> None:
        entered.set()
        leave.wait(10)

    monkeypatch.setattr(Loop, "advance", advance)
    worker = Worker(wheel, 0.01)
    worker.start()
    assert entered.wait(5)
    assert not worker.stop(0.1)
    leave.set()
    assert worker.stop()

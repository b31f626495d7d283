"""The clock is set back, by a day, while everything runs: ids, leases, limits, windows and turns go on."""

import time
from typing import Any

import httpx
import pytest

from everloop import ids
from everloop.ids import new_id, now
from everloop.keys import create
from everloop.store import open_store
from everloop.types import Interaction, Outcome
from everloop.wheel import Wheel

DAY = 86_400


class Clock:
    """Stands in for the module `time`: the machine's clock, set by hand."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def time_ns(self) -> int:
        return time.time_ns() + round(self.ahead * 1e9)

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(ids, "time", made)
    return made


def test_ids_stay_unique_and_in_order(clock: Clock) -> None:
    made = []
    for ahead in (0, -DAY, 3600, -365 * DAY, 0):
        clock.ahead = ahead
        made += [new_id() for _ in range(5_000)]
    assert made == sorted(set(made))


def test_a_lease_of_tomorrow_does_not_stop_the_work_for_a_day(tmp_path, clock: Clock) -> None:
    """Its holder was killed, and then the clock was set right."""
    with open_store(tmp_path) as store:
        clock.ahead = DAY
        dead = store.records.lease("turn:support", "dead", 30.0)
        assert dead is not None
        assert store.records.lease("turn:support", "other", 30.0) is None
        clock.ahead = 0
        taken = store.records.lease("turn:support", "other", 30.0)
        assert taken is not None
        assert taken.token > dead.token  # if it lives after all, it writes nothing any more
        assert store.records.lease("turn:support", "third", 30.0) is None
        clock.ahead = -60  # a small step: the lease stands, and is taken when its time has come
        assert store.records.lease("turn:support", "third", 30.0) is None
        clock.ahead = 31
        assert store.records.lease("turn:support", "third", 30.0) is not None


def test_a_schedule_goes_on(wheel: Wheel, clock: Clock) -> None:
    loop = wheel.loop("support", policy={"trigger_feedback": 0, "trigger_seconds": 60})
    clock.ahead = DAY

    def asked_and_turned() -> int:
        answer = loop.predict("where is my card", subject=str(clock.ahead))
        loop.feedback(answer.id, correction="card")
        while loop.advance() is not None:
            pass
        return len(loop.reports())

    assert asked_and_turned() == 1
    clock.ahead = 0
    assert asked_and_turned() == 2
    assert asked_and_turned() == 2


def test_a_window_closes_once_and_not_early(wheel: Wheel, clock: Clock) -> None:
    loop = wheel.loop("support", signals=[{"name": "contact", "kind": "outcome", "window_s": 3600.0, "silence": 0.0}])
    asked = loop.predict("where is my card").id

    def silences() -> int:
        loop.tend()
        return len(wheel.store.records.find(Outcome, "support", interaction=asked))

    for ahead, closed in ((0, 0), (-DAY, 0), (3_000, 0), (-DAY, 0), (3_700, 1), (-DAY, 1), (7_400, 1)):
        clock.ahead = ahead
        assert silences() == closed, ahead


def test_limits_and_keys_go_by_a_clock_that_nobody_sets(wheel: Wheel, http: httpx.Client, clock: Clock) -> None:
    wheel.loop("support")
    clock.ahead = DAY
    made = create(wheel.store.records, "device", "client", rate=5.0, days=1)
    while http.get("/v1/loops").status_code != 401:
        pass
    sent = {"authorization": f"Bearer {made.secret}"}

    def predict() -> int:
        return http.post("/v1/loops/support/predict", json={"input": "x"}, headers=sent).status_code

    found = [predict() for _ in range(60)]
    assert set(found) == {200, 429}
    clock.ahead = 0
    deadline = time.monotonic() + 20
    for wanted in (200, 429, 200):  # the bucket fills and empties as it did
        while predict() != wanted:
            assert time.monotonic() < deadline
    stored = wheel.store.records.find(Interaction, "support")
    assert len({one.id for one in stored}) == len(stored) > 10
    assert stored[0].at > now() + 1000 * (DAY - 60)
    assert stored[-1].at <= now()
    assert [one.id for one in stored] == sorted(one.id for one in stored)

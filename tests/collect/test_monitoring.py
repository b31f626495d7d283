"""Lateness, loss and clocks that are off, on a clock that the tests move."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.collect import monitoring
from everloop.collect.monitoring import health, lateness_of
from everloop.store import Store, open_store
from everloop.types import Derived, Implicit, Interaction, LoopSpec, Outcome, SignalSpec, Thumb

HOUR = 3_600_000
SPEC = LoopSpec(
    name="l",
    signals=(
        SignalSpec(name="click", late_s=60, expected=0.5),
        SignalSpec(name="sold", kind="outcome", window_s=3600, silence=0.0),
    ),
)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    with open_store(tmp_path) as made:
        made.records.put(SPEC)
        yield made


def received(monkeypatch: pytest.MonkeyPatch, time: int) -> None:
    monkeypatch.setattr("everloop.store.sqlite_signals.now", lambda: time)


def fill(store: Store, monkeypatch: pytest.MonkeyPatch, having: int, n: int = 100, start: int = 10**12) -> int:
    """`n` interactions, one a minute; the first `having` have a click 5 s later, which comes 2 s (or 200 s) later."""
    for k in range(n):
        at = start + k * 60_000
        store.records.put(Interaction(id=f"i{k}", loop="l", at=at, input="x"))
        if k < having:
            received(monkeypatch, at + 5_000 + (200_000 if k % 10 == 0 else 2_000))
            store.records.put(Implicit(id=f"f{k}", interaction=f"i{k}", at=at + 5_000, value="click"))
    return start + n * 60_000


def test_lateness_loss_and_their_intervals(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    end = fill(store, monkeypatch, having=30)
    store.records.put(Thumb(id="w", interaction="nowhere", at=1, value="up"))
    store.records.put(Derived(id="retry.v1:i1", loop="l", rule="retry.v1", interaction="i1", value=1))
    found = health(store, SPEC, days=1, time=end + HOUR)
    click, sold = found.signals
    assert (click.rows, click.last) == (30, 10**12 + 29 * 60_000 + 7_000)
    assert (click.late_p50, click.late_p99) == (2.0, 200.0)
    assert click.late == 0.1
    assert (click.asked, click.having) == (100, 0.3)
    assert click.having_low is not None
    assert click.having_low < 0.3 < (click.having_high or 0) < 0.5
    assert (click.verdict, click.missing, click.clock_off) == ("fail", 20, 0)
    assert (sold.rows, sold.late, sold.late_p50, sold.verdict, sold.missing) == (0, None, None, "inconclusive", None)
    assert (found.derived, found.held) == ({"retry.v1": 1}, 1)
    assert found.held_oldest == found.held_p50


def test_what_is_too_young_or_too_old_is_not_missing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    end = fill(store, monkeypatch, having=100)
    for k in range(50):
        store.records.put(Interaction(id=f"young{k}", loop="l", at=end + k, input="x"))
    (click, _) = health(store, SPEC, days=1, time=end + 30_000).signals
    assert (click.asked, click.having, click.verdict) == (100, 1.0, "pass")
    (click, _) = health(store, SPEC, days=1, time=end + 48 * HOUR).signals
    assert (click.asked, click.rows, click.verdict) == (0, 0, "inconclusive")


def test_few_prove_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    end = fill(store, monkeypatch, having=0, n=19)
    (click, _) = health(store, SPEC, days=1, time=end + HOUR).signals
    assert (click.asked, click.verdict, click.missing) == (19, "inconclusive", 10)


def test_clocks_that_are_off_are_counted_and_do_no_harm(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    t = 10**12
    store.records.put(Interaction(id="i", loop="l", at=t, input="x"))
    received(monkeypatch, t + HOUR)
    for id, at in (("future", t + 10**11), ("reset", 1_000), ("right", t + HOUR - 3_000), ("a bit", t - 500)):
        store.records.put(Implicit(id=id, interaction="i", at=at, value="click"))
    store.records.put(Outcome(id="s1", interaction="i", at=t + HOUR, value=1, name="sold"),
                      Outcome(id="s2", interaction="i", at=t + HOUR + 1, value=1, name="sold"),
                      Outcome(id="s3", interaction="i", at=t + HOUR, value=0, name="sold", silent=True))  # fmt: skip
    click, sold = health(store, SPEC, days=1, time=t + 2 * HOUR).signals
    assert (click.rows, click.clock_off) == (4, 2)
    assert (click.late_p50, click.late_p99) == ((3 + 3600) / 2, 3600.0)
    assert (sold.rows, sold.silent, sold.after_window) == (2, 1, 1)


times = st.lists(st.tuples(*[st.integers(-(10**13), 10**14)] * 3), max_size=20)


@given(times)
def test_lateness_is_never_negative_nor_more_than_the_time_since_it_was_asked(rows: list[tuple[int, int, int]]) -> None:
    asked, at, came = (np.array([row[k] for row in rows], dtype=np.int64) for k in range(3))
    late, off = lateness_of(asked, at, came)
    assert len(late) == len(rows)
    assert (late >= 0).all()
    assert (late <= np.maximum(came - asked, 0) / 1000 + 1e-6).all()
    assert 0 <= off <= len(rows)


def test_only_the_newest_rows_are_looked_at(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitoring, "_ROWS", 10)
    monkeypatch.setattr(monitoring, "_ASKED", 25)
    end = fill(store, monkeypatch, having=50, n=50)
    (click, _) = health(store, SPEC, days=1, time=end + HOUR).signals
    assert (click.rows, click.asked, click.having) == (10, 25, 1.0)

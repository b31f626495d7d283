"""How well declared signals come in: how late, how many are missing, whose clock is off, what waits unjoined."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from everloop.ids import now
from everloop.stats import intervals
from everloop.store import Store
from everloop.types import Derived, LoopSpec, Outcome3, SignalSpec

DAYS = 7.0  # what is looked back on, unless somebody asks otherwise
_ROWS = 10_000  # of a signal, the newest so many are looked at
_ASKED = 5_000  # and of the interactions that should have brought it
_FEW = 20  # interactions below which nothing is said of loss
_OFF_MS = 60_000  # two clocks that differ by more disagree
_DAY_MS = 86_400_000


class SignalHealth(Struct, frozen=True, kw_only=True):
    """One declared signal over the days looked back on; None: nothing was there to measure."""

    name: str
    kind: str
    rows: int  # that came, without silences; at most the newest 10,000 are looked at
    silent: int  # windows that closed without a word
    last: int | None  # when the newest came, ms since 1970
    late_p50: float | None  # seconds between that it happened and that it came: the middle one,
    late_p90: float | None  # nine of ten are faster,
    late_p99: float | None  # 99 of 100 are
    late_s: float  # from how many seconds on it counts as late
    late: float | None  # share that is late
    late_low: float | None
    late_high: float | None
    clock_off: (
        int  # rows whose time can't be: after they came, or before their interaction; taken at the nearest that can
    )
    after_window: int  # outcomes that happened after their window had closed: kept, and not counted
    expected: float | None  # share of interactions that should bring it
    having: float | None  # share that did, of those old enough
    having_low: float | None
    having_high: float | None
    asked: int  # interactions looked at: at most the newest 5,000 whose time for it is over
    missing: int | None  # how many more of these should have brought it; None: nothing is expected
    verdict: (
        Outcome3  # fail: fewer come than expected; pass: not fewer; inconclusive: nothing expected, or can't be told
    )


class SignalsHealth(Struct, frozen=True, kw_only=True):
    """A loop's declared and derived signals, and the feedback of all loops whose interaction has not arrived."""

    loop: str
    days: float
    signals: tuple[SignalHealth, ...]
    derived: dict[str, int]  # how many there are, by rule
    held: int  # pieces of feedback that wait for their interaction, of all loops
    held_p50: float | None  # for how long, in seconds: the middle one
    held_oldest: float | None  # and the longest


def health(store: Store, spec: LoopSpec, days: float = DAYS, time: int | None = None) -> SignalsHealth:
    """How the signals of a loop come in, at `time` (ms since 1970; now, unless given)."""
    time = now() if time is None else time
    waiting = np.array(store.signals.held_since(), dtype=np.float64)
    ages = np.maximum(time - waiting, 0) / 1000
    return SignalsHealth(
        loop=spec.name, days=days, signals=tuple(_one(store, spec, one, days, time) for one in spec.signals),
        derived=store.records.tally(Derived, spec.name, "rule"), held=len(ages),
        held_p50=_quantile(ages, 0.5), held_oldest=_quantile(ages, 1.0),
    )  # fmt: skip


def _one(store: Store, spec: LoopSpec, declared: SignalSpec, days: float, time: int) -> SignalHealth:
    level = spec.policy.level
    since = time - round(days * _DAY_MS)
    names = ("asked", "at", "received", "silent")
    found = store.signals.columns(spec.name, declared.name, kind=declared.kind, only=names, since=since, limit=_ROWS)
    asked, at, received, silent = (np.array(found[name]) for name in names)
    told = ~silent.astype(bool)
    lateness, off = lateness_of(asked[told], at[told], received[told])
    late = int((lateness > declared.late_s).sum())
    share = intervals.wilson(late, len(lateness), level) if len(lateness) else None
    grace = round(max(declared.late_s, declared.window_s or 0) * 1000)
    n, having = store.signals.coverage(
        spec.name, declared.name, kind=declared.kind, after=since - grace, before=time - grace, limit=_ASKED
    )
    covered = intervals.wilson(having, n, level) if n else None
    after = 0 if declared.window_s is None else int((at[told] - asked[told] > declared.window_s * 1000).sum())
    verdict: Outcome3 = "inconclusive"
    if covered is not None and declared.expected is not None and n >= _FEW:
        if covered.high < declared.expected:
            verdict = "fail"
        elif covered.low >= declared.expected:
            verdict = "pass"
    return SignalHealth(
        name=declared.name, kind=declared.kind, rows=len(lateness), silent=int((~told).sum()),
        last=int(received[told].max()) if len(lateness) else None,
        late_p50=_quantile(lateness, 0.5), late_p90=_quantile(lateness, 0.9), late_p99=_quantile(lateness, 0.99),
        late_s=declared.late_s, late=share.estimate if share else None, late_low=share.low if share else None,
        late_high=share.high if share else None, clock_off=off, after_window=after, expected=declared.expected,
        having=covered.estimate if covered else None, having_low=covered.low if covered else None,
        having_high=covered.high if covered else None, asked=n,
        missing=None if declared.expected is None else max(0, round(declared.expected * n - having)), verdict=verdict,
    )  # fmt: skip


def lateness_of(asked: Sequence[int] | NDArray[Any], at: Sequence[int] | NDArray[Any],
                received: Sequence[int] | NDArray[Any]) -> tuple[NDArray[np.float64], int]:  # fmt: skip
    """Seconds between each signal's happening and its coming, and how many have a clock that is off.

    All times are in ms. Nothing happens after it came, or before what it speaks of was asked: a time that says so by
    more than a minute is counted as off, and any is taken at the nearest that can be.

    >>> lateness_of([0, 0, 0], [5_000, 99_000_000, -99_000_000], [9_000, 9_000, 9_000])
    (array([4., 0., 9.]), 2)
    """
    came = np.asarray(received, dtype=np.float64)
    said = np.asarray(at, dtype=np.float64)
    before = np.minimum(np.asarray(asked, dtype=np.float64), came)
    off = int(((said > came + _OFF_MS) | (said < before - _OFF_MS)).sum())
    return (came - np.clip(said, before, came)) / 1000, off


def _quantile(values: NDArray[np.float64], share: float) -> float | None:
    return float(np.quantile(values, share)) if values.size else None


__all__ = ["DAYS", "SignalHealth", "SignalsHealth", "health", "lateness_of"]

"""What became of the events: every one is counted once on its way in and once on its way out."""

import threading
from typing import Any

from msgspec import Struct

from everloop.client.events import CLASSES


class Stats(Struct, frozen=True, gc=False, kw_only=True):
    """Where a client stands: entered + recovered = sent + dropped + purged + expired + refused + waiting +
    unasked."""

    entered: int  # events taken from the product since the client was made
    recovered: int = 0  # found in the spool, left there by an earlier life
    sent: int = 0  # the server gave a receipt
    known: int = 0  # of these, the server had them already
    waiting: int = 0  # not sent yet
    waiting_bytes: int = 0  # what they take in memory, or on disk
    dropped: dict[str, int]  # by class: no room in memory, or left over when the client was closed
    purged: dict[str, int]  # by class: no room in the spool
    expired: dict[str, int]  # by class: older than the spool's max_age
    refused: int = 0  # the server will never take them; the log and the spool say why
    unasked: int = 0  # with campaigns: seen on the device, and not asked for
    undurable: int = 0  # should have been on disk, but the disk would not: kept in memory
    damaged_bytes: int = 0  # cut from or skipped in the spool's segments: a power cut, or worse
    failures: int = 0  # requests that failed and were tried again
    trouble: str | None = None  # why nothing gets through now
    campaigns: dict[str, str] = {}  # where each stands on this device, by "loop/id": active, over, or why it rests


class Counts:
    """The same, growing. Its lock is the innermost: nothing else is taken while it is held."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.numbers: dict[str, int] = {}
        self.lost: dict[str, list[int]] = {name: [0] * len(CLASSES) for name in ("dropped", "purged", "expired")}
        self.trouble: str | None = None

    def add(self, name: str, by: int = 1) -> None:
        """Count `by` more of `name`, a number of Stats."""
        with self.lock:
            self.numbers[name] = self.numbers.get(name, 0) + by

    def lose(self, how: str, rank: int, by: int = 1) -> None:
        """Count `by` events of a class that are gone: dropped, purged or expired."""
        with self.lock:
            self.lost[how][rank] += by

    def stats(self, waiting: int, waiting_bytes: int) -> Stats:
        """As they are now."""
        with self.lock:
            numbers: dict[str, Any] = {"entered": 0, **self.numbers}
            lost = {how: dict(zip(CLASSES, by_rank, strict=True)) for how, by_rank in self.lost.items()}
            return Stats(
                **numbers, waiting=waiting, waiting_bytes=waiting_bytes, trouble=self.trouble,
                dropped=lost["dropped"], purged=lost["purged"], expired=lost["expired"],
            )  # fmt: skip

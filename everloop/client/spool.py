"""The offline spool: events on disk until the server has them, for devices that go dark and lose power."""

import errno
import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from everloop.client import rooms
from everloop.client.bell import Bell
from everloop.client.counts import Counts
from everloop.client.events import CLASSES, RANKS, Event
from everloop.client.holding import ALL, Held, Waiting
from everloop.client.memory import Memory
from everloop.client.shelf import Shelf
from everloop.errors import InvalidInput

log = logging.getLogger("everloop.client")

LEAST_BYTES = 256 << 10
_PENDING = 4 << 20  # bytes that wait in memory for a disk that has stalled, at most


class Spool:
    """Events in a folder, within a budget of `max_bytes`; a Holding.

    A critical event is on disk, fsynced, when `put` returns. Normal and bulk ones are written and fsynced in groups
    every `group_seconds`: a crash or power cut loses at most that much of them. A file is deleted only after the
    server's receipts for all of it, so after a crash up to one file a class is sent again, and the server, which knows
    the ids, takes it once.

    When the budget is reached, the oldest of the lowest class is purged, a file at a time; critical events are purged
    for newer critical ones alone, when nothing else is left. `max_age` (seconds) purges normal and bulk events that
    are older; it counts the time the spool has been open, as a device's clock may say anything. Every purge is counted.

    While `metered` is true, or returns true, only `metered_classes` are sent; the rest waits.

    Each process that opens the folder has a sub-folder and a budget of its own; what a dead process left is taken over.
    It assumes a local Linux file system that keeps what fsync was told, and ids that are not used twice. What is on
    disk is as the product gave it: subjects are made pseudonyms by the server, so keep the folder private.

    Raises InvalidInput for a folder that can't be used or a budget under 256 KiB.
    """

    def __init__(
        self,
        folder: str | Path,
        max_bytes: int = 64 << 20,
        max_age: float | None = None,
        *,
        metered: bool | Callable[[], bool] = False,
        metered_classes: Sequence[str] = ("critical",),
        group_seconds: float = 0.2,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if max_bytes < LEAST_BYTES:
            raise InvalidInput(f"max_bytes={max_bytes:,}: a spool needs {LEAST_BYTES:,} at least")
        if unknown := [name for name in metered_classes if name not in RANKS]:
            raise InvalidInput(f"metered_classes: no class {unknown[0]!r}; there are {', '.join(CLASSES)}")
        self.folder = Path(folder).expanduser()
        self.group_seconds = group_seconds
        self.metered = metered
        self._metered_ranks = tuple(sorted(RANKS[name] for name in metered_classes))
        self._max_bytes = max_bytes
        self._max_age = None if max_age is None else int(max_age * 1000)
        self._clock = clock
        self._told: set[str] = set()
        self.reopen()

    def reopen(self) -> None:
        """Enter a room of the folder: on opening, and again in a forked child."""
        self.counts = Counts()
        self.dirty = Bell()  # something waits to be written
        self._disk = threading.RLock()  # around everything that touches files; `put` of what is not critical never does
        self._pending = Memory(_PENDING, self.counts)
        self._synced = 0
        self._room = rooms.enter(self.folder)
        self._shelf = Shelf(self._room, self._max_bytes, self.counts)
        self._born = self._clock() - self._shelf.life / 1000
        self._left = False
        self.adopt()

    def abandon(self) -> None:
        """Let go of the files, and write nothing: in a forked child they are its parent's. Needs `reopen`."""
        self._left = True
        self._shelf.abandon()
        self._room.close()

    @property
    def used(self) -> int:
        """Bytes on disk, in whole blocks: never more than the budget."""
        return self._shelf.used

    def _life(self) -> int:
        """Milliseconds this spool has been open, earlier lives included as far as the files know."""
        return int((self._clock() - self._born) * 1000)

    def put(self, event: Event) -> bool:
        """See Holding. A microsecond or two; for a critical event, until an fsync that may be shared with others."""
        first = self._pending.put(event)
        if event.rank != 0:
            if not self.dirty.rung:
                self.dirty.ring()
            return first
        seq = self._pending.latest()
        with self._disk:
            if self._synced < seq and not self._drain((0,)):
                self.counts.add("undurable")
        return True

    def sync(self) -> None:
        """Write and fsync everything, and purge what is too old."""
        with self._disk:
            if self._left:
                return
            self.dirty.wait(0)
            if self._max_age is not None:
                self._shelf.expire(self._life(), self._max_age)
            if self._drain(ALL):
                try:
                    for rank in ALL:
                        self._shelf.sync(rank)
                except OSError as error:
                    self._tell("the spool can't be written", error)

    def _drain(self, ranks: Sequence[int]) -> bool:
        """Write what is pending, critical with an fsync. What the disk does not take stays pending, in memory."""
        for rank in ranks:
            newest = self._pending.latest()
            while held := self._pending.take(1 << 30, 1 << 62, (rank,)):
                try:
                    for dealt in self._shelf.write(rank, held, self._life()):
                        self._pending.settle(dealt)
                except OSError as error:
                    self._pending.give_back(held)
                    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
                    if not (full and self._shelf.yield_to(rank)):
                        self._tell("the spool can't be written", error)
                        return False
            if rank == 0:
                try:
                    self._shelf.sync(0)
                except OSError as error:
                    self._tell("the spool can't be synced", error)
                    return False
                self._synced = newest
        return True

    def _tell(self, what: str, error: Exception) -> None:
        line = f"{what}: {error}"
        if line not in self._told and len(self._told) < 100:
            self._told.add(line)
            log.error("%s (said once)", line)

    def allowed(self) -> tuple[int, ...]:
        """See Holding. A `metered` that fails counts as metered: bytes that were not meant to be sent cost money."""
        metered = self.metered
        if callable(metered):
            try:
                metered = metered()
            except Exception as error:
                self._tell("metered() failed", error)
                metered = True
        return self._metered_ranks if metered else ALL

    def waiting(self, ranks: tuple[int, ...] = ALL) -> Waiting:
        """See Holding."""
        pending = self._pending.waiting(ranks)
        count, size = self._shelf.count, self._shelf.bytes
        return Waiting(pending.events + sum(count[r] for r in ranks), pending.bytes + sum(size[r] for r in ranks))

    def take(self, lines: int, most_bytes: int, ranks: tuple[int, ...]) -> list[Held]:
        """See Holding."""
        with self._disk:
            if self._left:
                return []
            self._drain(ALL)
            try:
                held = self._shelf.take(lines, most_bytes, ranks)
            except OSError as error:
                self._tell("the spool can't be read", error)
                held = []
            return held or self._pending.take(lines, most_bytes, ranks)

    def settle(self, held: Sequence[Held]) -> None:
        """See Holding."""
        with self._disk:
            if self._left:  # the room may be another process's by now; the server will know them
                return
            self._pending.settle([one for one in held if one.place is None])
            try:
                self._shelf.settle([one for one in held if one.place is not None])
            except OSError as error:
                self._tell("the spool can't be cleared", error)

    def refuse(self, held: Held, why: str) -> None:
        """See Holding: it goes to `refused.ndjson` beside the segments, with the reason."""
        event = held.event
        line = msgspec.json.encode({"why": why, "path": event.path, "event": msgspec.Raw(event.body)}) + b"\n"
        with self._disk:
            if self._left:
                return
            try:
                self._shelf.set_aside(line)
            except OSError as error:
                self._tell("what was refused can't be set aside", error)
            self.settle([held])

    def give_back(self, held: Sequence[Held]) -> None:
        """See Holding."""
        with self._disk:
            if self._left:
                return
            self._pending.give_back([one for one in held if one.place is None])
            self._shelf.give_back([one for one in held if one.place is not None])

    def latest(self) -> int:
        """See Holding."""
        return self._pending.latest()

    def oldest(self, ranks: tuple[int, ...]) -> int | None:
        """See Holding. What an earlier life left is older than everything."""
        with self._disk:
            found = [self._pending.oldest(ranks), self._shelf.oldest(ranks)]
        return min((seq for seq in found if seq is not None), default=None)

    def adopt(self) -> None:
        """Take over what processes that are gone have left in the folder, as far as the budget allows."""
        with self._disk:
            if self._left:
                return
            try:
                for room in rooms.abandoned(self.folder):
                    self._shelf.adopt(room)
            except OSError as error:
                self._tell("an abandoned room can't be taken over", error)

    def close(self) -> None:
        """Write and fsync what is pending, and leave the room."""
        with self._disk:
            if self._left:
                return
            self.sync()
            self._left = True
            self._pending.empty()  # what the disk did not take; counted
            self._shelf.close()
            self._room.close()

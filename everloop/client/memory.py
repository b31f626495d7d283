"""Events waiting in memory, within a bound: when it is full, the oldest of the lowest class goes."""

import threading
from collections import deque
from collections.abc import Sequence

from everloop.client.counts import Counts
from everloop.client.events import Event
from everloop.client.holding import ALL, Held, Waiting

OVERHEAD = 400  # bytes an event takes beside its body, about


def weight(event: Event) -> int:
    """Bytes of memory an event takes, about."""
    return len(event.body) + OVERHEAD


class Memory:
    """A Holding in memory of at most `max_bytes`."""

    def __init__(self, max_bytes: int, counts: Counts) -> None:
        self._max = max_bytes
        self._counts = counts
        self._lock = threading.RLock()  # a signal handler or a finaliser may log while its thread is in here
        self._lanes: tuple[deque[Held], ...] = tuple(deque() for _ in ALL)
        self._out: dict[int, Held] = {}
        self._bytes = [0] * len(ALL)
        self._number = [0] * len(ALL)
        self._seq = 0

    def put(self, event: Event) -> bool:
        """See Holding. Takes about a microsecond and never waits for anything slower than another `put`."""
        with self._lock:
            self._seq += 1
            first = not any(self._number)
            size = weight(event)
            if sum(self._bytes) + size > self._max and not self._make_room(size, event.rank):
                self._counts.lose("dropped", event.rank)
                return False
            self._lanes[event.rank].append(Held(self._seq, event))
            self._bytes[event.rank] += size
            self._number[event.rank] += 1
            return first

    def _make_room(self, size: int, rank: int) -> bool:
        """Give up the oldest of the lowest classes, none above `rank`'s; what is in flight stays."""
        free = self._max - sum(self._bytes)
        for victim in reversed(ALL[rank:]):
            lane = self._lanes[victim]
            while free < size and lane:
                gone = lane.popleft()
                free += weight(gone.event)
                self._forget(gone)
                self._counts.lose("dropped", victim)
        return free >= size

    def _forget(self, held: Held) -> None:
        self._bytes[held.event.rank] -= weight(held.event)
        self._number[held.event.rank] -= 1

    def allowed(self) -> tuple[int, ...]:
        """See Holding."""
        return ALL

    def waiting(self, ranks: tuple[int, ...] = ALL) -> Waiting:
        """See Holding."""
        return Waiting(sum(self._number[r] for r in ranks), sum(self._bytes[r] for r in ranks))

    def take(self, lines: int, most_bytes: int, ranks: tuple[int, ...]) -> list[Held]:
        """See Holding."""
        taken: list[Held] = []
        size = 0
        with self._lock:
            for rank in ranks:
                lane = self._lanes[rank]
                while lane and len(taken) < lines:
                    size += len(lane[0].event.body) + 1
                    if taken and size > most_bytes:
                        return taken
                    held = lane.popleft()
                    self._out[held.seq] = held
                    taken.append(held)
        return taken

    def settle(self, held: Sequence[Held]) -> None:
        """See Holding."""
        with self._lock:
            for one in held:
                if self._out.pop(one.seq, None) is not None:
                    self._forget(one)

    def refuse(self, held: Held, why: str) -> None:
        """See Holding: in memory there is no place to set it aside."""
        self.settle([held])

    def give_back(self, held: Sequence[Held]) -> None:
        """See Holding."""
        with self._lock:
            for one in sorted(held, reverse=True):
                if self._out.pop(one.seq, None) is not None:
                    self._lanes[one.event.rank].appendleft(one)

    def latest(self) -> int:
        """See Holding."""
        return self._seq

    def oldest(self, ranks: tuple[int, ...]) -> int | None:
        """See Holding."""
        with self._lock:
            heads = [self._lanes[rank][0].seq for rank in ranks if self._lanes[rank]]
            heads += [seq for seq, held in self._out.items() if held.event.rank in ranks]
        return min(heads, default=None)

    def empty(self, how: str = "dropped") -> int:
        """Give up everything that waits, counted; how many there were."""
        with self._lock:
            gone = self.take(self._seq, 1 << 62, ALL)
            for held in gone:
                self._counts.lose(how, held.event.rank)
            self.settle(gone)
            return len(gone)

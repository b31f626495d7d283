"""What the device saw lately, within bytes and seconds: what a campaign may still ask for."""

from collections import deque
from collections.abc import Iterator

from everloop.client.events import Event
from everloop.client.memory import weight

SECONDS = 600.0  # nothing older is kept, whatever room there is


class Seen:
    """One interaction, and the feedback on it that was not sent by itself."""

    __slots__ = ("event", "loop", "may", "paid", "said", "session", "when")

    def __init__(self, event: Event, loop: str, session: str | None, may: bool, when: float) -> None:
        self.event = event
        self.loop = loop
        self.session = session
        self.may = may  # consent lets others learn from it
        self.when = when  # seconds of the device's running clock
        self.said: list[Event] = []
        self.paid: str | None = None  # what it was sent for: a campaign's key, "" for none; None: not sent

    @property
    def bytes(self) -> int:
        """Memory it takes, about."""
        return weight(self.event) + sum(map(weight, self.said))


class Recent:
    """A ring of what was seen. Not safe for threads."""

    def __init__(self, max_bytes: int, seconds: float = SECONDS) -> None:
        self._max = max_bytes
        self._seconds = seconds
        self._ring: deque[Seen] = deque()
        self._by_id: dict[str, Seen] = {}
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._ring)

    @property
    def bytes(self) -> int:
        """Memory it takes, about; never more than the bound."""
        return self._bytes

    def add(self, seen: Seen) -> bool:
        """Keep it, the oldest make way; False for an id that is there already: it is one interaction."""
        if seen.event.id in self._by_id:
            return False
        self._bytes += seen.bytes
        self._ring.append(seen)
        self._by_id[seen.event.id] = seen
        self._shrink(seen.when)
        return True

    def say(self, seen: Seen, event: Event) -> None:
        """Keep feedback with the interaction it speaks of."""
        seen.said.append(event)
        if self._by_id.get(seen.event.id) is seen:
            self._bytes += weight(event)
            self._shrink(seen.when)

    def _shrink(self, now: float) -> None:
        ring = self._ring
        while ring and (self._bytes > self._max or ring[0].when < now - self._seconds):
            gone = ring.popleft()
            self._bytes -= gone.bytes
            del self._by_id[gone.event.id]

    def get(self, id: str) -> Seen | None:
        """The interaction, if it is still here."""
        return self._by_id.get(id)

    def back(self, since: float, until: float) -> Iterator[Seen]:
        """Those seen from `since` to `until`, the newest first."""
        for seen in reversed(self._ring):
            if seen.when < since:
                return
            if seen.when <= until:
                yield seen

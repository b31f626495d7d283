"""Where events wait: in memory, or in a spool on disk. The sender does not know which."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from everloop.client.events import CLASSES, Event

ALL = tuple(range(len(CLASSES)))


class Held(NamedTuple):
    """An event that waits. `seq` grows in the order of arrival; `place` is its holder's business."""

    seq: int
    event: Event
    place: Any = None


class Waiting(NamedTuple):
    """How much waits."""

    events: int
    bytes: int


class Holding(Protocol):
    """Events between the product and the server. Any thread may call; `take` and what follows it, one at a time."""

    def put(self, event: Event) -> bool:
        """Keep it; what had to be given up for it is counted. True if the sender may be asleep."""

    def allowed(self) -> tuple[int, ...]:
        """The ranks that may be sent now."""

    def waiting(self, ranks: tuple[int, ...] = ALL) -> Waiting:
        """How much waits, what is in flight included."""

    def take(self, lines: int, most_bytes: int, ranks: tuple[int, ...]) -> list[Held]:
        """Hand out the next to be sent, the lowest rank first, the oldest first; at least one if there is any."""

    def settle(self, held: Sequence[Held]) -> None:
        """The server has them: forget them."""

    def refuse(self, held: Held, why: str) -> None:
        """The server will never take it: set it aside."""

    def give_back(self, held: Sequence[Held]) -> None:
        """They were not sent: to be taken again, where they stood."""

    def latest(self) -> int:
        """The newest `seq` there has been."""

    def oldest(self, ranks: tuple[int, ...]) -> int | None:
        """The oldest `seq` that waits or is in flight; None if there is none."""

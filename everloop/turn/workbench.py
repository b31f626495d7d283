"""A worker's hands: what it holds, and what it remembers."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from everloop.errors import LeaseLost
from everloop.store import Store
from everloop.types import Lease


class Workbench:
    """A worker's hands: the store, who it is, and what it remembers of the open turn to save reading it again."""

    def __init__(self, store: Store, owner: str, lease_seconds: float = 30.0):
        self.store = store
        self.owner = owner
        self.lease_seconds = lease_seconds
        self.memory: dict[str, tuple[Any, Any]] = {}
        self.kept: dict[str, Any] = {}  # what outlives the turn: see `take`
        self._made: dict[str, Any] = {}
        self._held: list[Lease] = []

    @contextmanager
    def holding(self, lease: Lease) -> Iterator[Lease]:
        """Give the lease back at the end of the work, or when `let_go` says so."""
        self._held.append(lease)
        try:
            yield lease
        finally:
            self._held.remove(lease)
            with suppress(LeaseLost):
                self.store.records.unlease(lease)

    def let_go(self) -> None:
        """Give back what is held, so that another worker can go on at once; work still at it is fenced off."""
        for lease in tuple(self._held):
            self.store.records.unlease(lease)

    def take(self, what: str) -> Any:
        """What is kept under a name, or None. Until it is handed back nobody has it: work that fails has spoilt it."""
        self._made.pop(what, None)
        return self.kept.pop(what, None)

    def hand(self, what: str, value: Any) -> None:
        """What a step has made, to be kept once that step is written."""
        self._made[what] = value

    def settle(self, *, written: bool) -> None:
        """What the step has made is kept, or, if it is not `written`, forgotten."""
        self.kept |= self._made if written else {}
        self._made.clear()

    def remember(self, what: str, key: Any, make: Any) -> Any:
        """The value made for `key` last time, or `make()`; one value is kept for each `what`."""
        if what not in self.memory or self.memory[what][0] != key:
            self.memory.pop(what, None)
            self.memory[what] = (key, make())
        return self.memory[what][1]


@contextmanager
def leased(bench: Workbench, name: str) -> Iterator[Lease | None]:
    """The lease, renewed while the work goes on. Work that outlives a lost lease is fenced off when it writes."""
    lease = bench.store.records.lease(name, bench.owner, bench.lease_seconds)
    if lease is None:
        yield None
        return
    stop = threading.Event()

    def renew() -> None:
        while not stop.wait(bench.lease_seconds / 3):
            with suppress(Exception):  # a missed renewal is tried again; a lost lease shows at the next write
                bench.store.records.lease(name, bench.owner, bench.lease_seconds)

    keeper = threading.Thread(target=renew, name=f"lease {name}", daemon=True)
    keeper.start()
    with bench.holding(lease):
        try:
            yield lease
        finally:
            stop.set()
            keeper.join()

"""Several processes in one spool folder: each has a room of its own, locked as long as it lives.

A process takes the first room that is free, and with it what a dead process left there. What lies in other rooms whose
process is gone is moved over, a file at a time, by whoever finds it; if both sent it, the server knows it already.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from everloop.client.events import RANKS
from everloop.errors import InvalidInput, StoreError

try:
    import fcntl
except ImportError:  # the client works without a spool there
    fcntl = None  # type: ignore[assignment]

_MOST = 1000


class Room:
    """A locked folder. The lock goes with the process, however it ends."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock = lock

    def files(self) -> list[tuple[int, int, Path]]:
        """(number, rank, path) of every segment, oldest first."""
        found = []
        for path in self.path.iterdir():
            number, _, name = path.name.partition(".")
            if number.isdigit() and name in RANKS:
                found.append((int(number), RANKS[name], path))
        return sorted(found)

    def close(self) -> None:
        """Let another process have it. In a forked child this closes the child's handle and leaves the lock alone."""
        lock, self._lock = self._lock, -1
        if lock >= 0:
            with suppress(OSError):
                os.close(lock)


def enter(folder: Path) -> Room:
    """The first free room of a spool folder, made if need be.

    Raises InvalidInput if the folder can't be used, StoreError if every room is taken.
    """
    if fcntl is None:
        raise InvalidInput("a Spool needs Linux; without one, Client works here too")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(_MOST):
            path = folder / f"{number:03d}"
            path.mkdir(mode=0o700, exist_ok=True)
            if (room := _try(path)) is not None:
                return room
    except OSError as error:
        raise InvalidInput(f"spool folder {folder}: {error.strerror or error}") from None
    raise StoreError(f"spool folder {folder}: {_MOST} processes are in it already")


def abandoned(folder: Path) -> Iterator[Room]:
    """Rooms that hold segments of processes that are gone, each locked while it is looked at."""
    for path in sorted(folder.iterdir()):
        if path.name.isdigit() and path.is_dir() and any(path.glob("*.*")) and (room := _try(path)) is not None:
            try:
                yield room
            finally:
                room.close()


def _try(path: Path) -> Room | None:
    lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return Room(path, lock)

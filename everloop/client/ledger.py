"""What campaigns have used up on this device: on disk before anything is sent, so that no power cut gives it back.

The file is shared by every process in the spool folder and written whole: beside, synced, then put in place. Time in it
only goes forward: with the device's running clock, and to the server's time where the server says it. So a clock that
jumps back, or is set to 1970 by a power cut, neither opens a cap again nor makes a campaign last longer.
"""

import os
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from everloop.client import segments
from everloop.errors import EverloopError
from everloop.types import Campaign

try:
    import fcntl
except ImportError:  # a Spool needs it too, and says so
    fcntl = None  # type: ignore[assignment]

MINUTE, HOUR = 60_000, 3_600_000
NOTED = 5 * MINUTE
FORGOTTEN = 90 * 24 * HOUR  # an account nobody asked for in so long is closed
MOST_ACCOUNTS = 500
_UNHEARD = 1 << 62  # damaged, and no server has said since what time it is


class Unwritable(EverloopError):
    """The disk would not take it: then nothing may be sent for a campaign."""


class Account(msgspec.Struct, gc=False, kw_only=True, omit_defaults=True):
    """What one campaign has used, over all its versions."""

    bytes: int = 0
    uploads: int = 0
    recent: dict[int, int] = {}  # uploads by minute, of the last hour
    seen: int = 0  # when it was last asked for
    barred: bool = False  # what it had used got lost: it may send nothing more


class Book(msgspec.Struct, gc=False, kw_only=True):
    """Every account, and what time it is."""

    time: int = 0
    highest: int = 0
    heard: int = 0  # what time it was when a server last said so
    damaged: int = 0  # when an earlier book was found damaged: campaigns that are older than that are barred
    accounts: dict[str, Account] = {}


def running() -> float:
    """Seconds that go on while the device sleeps, where it can say so."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


class Ledger:
    """The accounts of a spool folder. Threads of one process are kept apart by whoever uses it."""

    def __init__(
        self, folder: Path, *, clock: Callable[[], float] = running, wall: Callable[[], float] = time.time
    ) -> None:
        self._path = folder / "campaigns.spent"
        self._lock = folder / "campaigns.lock"
        self._clock = clock
        self._wall = wall
        self._begun = clock()
        self._base = 0  # ms at `_begun`
        self._highest = 0
        self._book = Book()
        self._unread: str | None = None
        with suppress(Unwritable), self._locked():
            self._read()

    @property
    def now(self) -> int:
        """Milliseconds, near those since 1970 once a server has been heard; never less than before."""
        return self._base + int((self._clock() - self._begun) * 1000)

    def over(self, until: int | None) -> bool:
        """Whether a time has come: by the device's clock, by the highest it has shown, or by the server's."""
        return until is not None and until <= max(self.now, self._look())

    def _look(self) -> int:
        """The highest the device's clock has shown, now included."""
        self._highest = max(self._highest, self._book.highest, int(self._wall() * 1000))
        return self._highest

    def heard(self, server: int | None, keys: Iterable[str]) -> None:
        """The server has said what time it is, and which campaigns there are. Its time ends what a device's clock
        that once was in the future, and is not any more, has brought about."""
        with suppress(Unwritable), self.open() as book:
            for key in keys:
                if key in book.accounts:
                    book.accounts[key].seen = self.now
            if server is not None:
                self._catch_up(book, server)
                book.damaged = self.now if book.damaged == _UNHEARD else book.damaged
                self._highest = book.highest = self.now

    def _catch_up(self, book: Book, server: int) -> None:
        """Go forward to the server's time. What was sent since it was last heard was sent by a clock that stood still
        while the power was off, nobody knows when: it counts as so much later too, or the jump would empty the hour."""
        ahead = max(0, server - self.now)
        since, minutes = book.heard // MINUTE, -(-ahead // MINUTE)
        for account in book.accounts.values():
            account.recent = {
                minute + (minutes if minute >= since else 0): count for minute, count in account.recent.items()
            }
        self._forward(server)
        book.heard = self.now

    def note(self) -> None:
        """Keep what time it is, now and then: a power cut sets it back by no more than what is between two notes."""
        if self.now - self._book.time >= NOTED:
            with suppress(Unwritable), self.open():
                pass

    def peek(self, key: str, campaign: Campaign) -> str | None:
        """Why a campaign may not send another upload now, as far as was last read; None if it may."""
        account = self._book.accounts.get(key)
        return None if account is None else self.full(account, campaign)

    def full(self, account: Account, campaign: Campaign) -> str | None:
        """Why a campaign may not send another upload now; None if it may."""
        if account.barred:
            return "what it had used is not known any more"
        if campaign.bytes is not None and account.bytes >= campaign.bytes:
            return "its bytes are used up"
        if campaign.rate is not None and self.lately(account) + 1 > campaign.rate:
            return "its rate is reached"
        return None

    def lately(self, account: Account) -> int:
        """Uploads of the last hour, and of the minute before it. What seems to be in the future was just now."""
        oldest = self.now // MINUTE - HOUR // MINUTE
        return sum(count for minute, count in account.recent.items() if minute >= oldest)

    @contextmanager
    def open(self) -> Iterator[Book]:
        """The accounts, to be changed; on leaving they are on disk, and another process sees them.

        Raises Unwritable where that can't be had, on entering or on leaving; then they are as they were.
        """
        with self._locked():
            self._read()
            yield self._book
            self._book.time = self.now
            self._book.highest = self._look()
            self._write()

    def account(self, book: Book, key: str, campaign: Campaign) -> Account | None:
        """The account of a campaign, opened if need be; None if there are too many."""
        account = book.accounts.get(key)
        if account is None:
            if len(book.accounts) >= MOST_ACCOUNTS:
                book.accounts = {k: a for k, a in book.accounts.items() if a.seen > self.now - FORGOTTEN}
            if len(book.accounts) >= MOST_ACCOUNTS:
                return None
            account = book.accounts[key] = Account(recent={}, barred=campaign.at < book.damaged)
        account.seen = self.now
        return account

    def count(self, account: Account) -> None:
        """Count an upload, now. What the account has for the future was just now."""
        minute = self.now // MINUTE
        kept: dict[int, int] = {minute: 1}
        for then, count in account.recent.items():
            if then >= minute - HOUR // MINUTE:
                kept[min(then, minute)] = kept.get(min(then, minute), 0) + count
        account.recent = kept
        account.uploads += 1

    def _forward(self, to: int) -> None:
        self._base += max(0, to - self.now)

    def _read(self) -> None:
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return  # the first time; or as last known
        except OSError as error:
            raise Unwritable(f"{self._path}: {error.strerror or error}") from None
        book = _unpacked(data)
        if book is None:
            # Nobody knows what was used: whatever is asked for now has to count as used up.
            barred = {key: Account(barred=True, seen=self.now, recent={}) for key in self._book.accounts}
            book = Book(time=self.now, highest=self._book.highest, damaged=_UNHEARD, accounts=barred)
            self._unread = "the account of what campaigns have used is damaged: those there are send nothing more"
        self._book = book
        self._forward(book.time)

    def trouble(self) -> str | None:
        """What has to be told to a person, once."""
        told, self._unread = self._unread, None
        return told

    def _write(self) -> None:
        beside = self._path.with_suffix(".new")
        try:
            write_synced(beside, _packed(self._book))
            os.replace(beside, self._path)
            segments.sync_folder(self._path.parent)
        except OSError as error:
            raise Unwritable(f"{self._path}: {error.strerror or error}") from None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            lock = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise Unwritable(f"{self._lock}: {error.strerror or error}") from None
        try:
            if fcntl is not None:
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)


def write_synced(path: Path, data: bytes) -> None:
    """A file whose bytes survive a power cut. OSError if the disk won't."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        segments.sync_file(fd)
    finally:
        os.close(fd)


def sealed(data: bytes) -> bytes:
    """Bytes with their checksum before them.

    >>> opened(sealed(b"abc")), opened(b"x" + sealed(b"abc"))
    (b'abc', None)
    """
    return b"%08x\n" % zlib.crc32(data) + data


def opened(data: bytes) -> bytes | None:
    """What was sealed, or None if it is no longer that."""
    head, _, rest = data.partition(b"\n")
    return rest if head == b"%08x" % zlib.crc32(rest) else None


def _packed(book: Book) -> bytes:
    return sealed(msgspec.json.encode(book))


def _unpacked(data: bytes) -> Book | None:
    found: Any = opened(data)
    if found is None:
        return None
    try:
        return msgspec.json.decode(found, type=Book)
    except msgspec.MsgspecError:
        return None

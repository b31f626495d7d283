"""Connections to the one file, and what SQLite's errors mean to a user."""

import errno
import shutil
import sqlite3
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from everloop.errors import EverloopError, InvalidInput, StoreDamaged, StoreError, StoreFull, StoreTooNew
from everloop.store.statements import migrations

BUSY_SECONDS = 30.0  # how long one process waits for another's transaction
_NO_SPACE = 1 << 20  # below this many free bytes an I/O error is taken for a full disk


def connect(path: Path) -> sqlite3.Connection:
    """A connection that any one thread at a time may use; transactions are written out by hand."""
    connection = sqlite3.connect(
        path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=256
    )
    for pragma in ("synchronous = FULL", "secure_delete = ON", "temp_store = MEMORY", "cache_size = -16000"):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def explain(error: Exception, path: Path) -> EverloopError:
    """The error of ours that says what happened, in one line."""
    if isinstance(error, EverloopError):
        return error
    if isinstance(error, UnicodeEncodeError | OverflowError):
        return InvalidInput(f"a value that can't be stored: {error}")
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    full = code == sqlite3.SQLITE_FULL or getattr(error, "errno", 0) in (errno.ENOSPC, errno.EDQUOT)
    if full or (code == sqlite3.SQLITE_IOERR and shutil.disk_usage(path.parent).free < _NO_SPACE):
        return StoreFull(f"no space left for {path}: nothing of this was written; free some and try again")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreError(f"{path} is held by another process for more than {BUSY_SECONDS:.0f} seconds; try again")
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return StoreDamaged(f"{path} is damaged or not an Everloop store ({error}); restore it from a backup")
    return StoreError(f"{path}: {error}")


def prepare(path: Path) -> None:
    """Bring the file at `path` to this version's schema, making it if need be.

    Raises StoreTooNew, and leaves the file as it is, if a newer Everloop wrote it; StoreDamaged if it is no database.
    """
    latest = migrations()[-1].version
    try:
        _refuse_newer(_version_in_file(path), latest, path)
        connection = connect(path)
        try:
            _refuse_newer(_version(connection), latest, path)
            if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
                _turn_on_wal(connection)
            if _version(connection) < latest:
                migrate(connection, path)
        finally:
            connection.close()
    except (sqlite3.Error, OSError) as error:
        raise explain(error, path) from error


def migrate(connection: sqlite3.Connection, path: Path, upto: int | None = None) -> None:
    """Apply what is missing; other processes may be doing the same.

    Each migration has a transaction of its own, so that one that fails undoes none before it; a new file gets them all
    in one, which waits for the disk once.
    """
    steps = migrations()[:upto]
    for group in [steps] if _version(connection) == 0 else [(step,) for step in steps]:
        connection.execute("BEGIN IMMEDIATE")
        try:
            at = _version(connection)
            _refuse_newer(at, migrations()[-1].version, path)
            for migration in group:
                if at < migration.version:
                    for statement in migration.statements:
                        connection.execute(statement)
                    connection.execute(f"PRAGMA user_version = {migration.version}")
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _version_in_file(path: Path) -> int:
    """The schema version in the file itself, whatever a log beside it says.

    Opening in any other mode, even only to read, writes beside the file. And it must be SQLite that opens it: whoever
    else in this process opens and closes the file takes the locks away from all (sqlite.org/howtocorrupt.html, 2.2).
    """
    if not path.exists():
        return 0
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?immutable=1", uri=True)
    try:
        return _version(connection)
    except sqlite3.DatabaseError:
        return 0  # without its log the file may be torn, or it is no database: opening it properly will tell
    finally:
        connection.close()


def _refuse_newer(found: int, latest: int, path: Path) -> None:
    if found > latest:
        raise StoreTooNew(
            f"{path} was written by a newer Everloop (schema {found}, this one knows {latest}): upgrade Everloop"
        )


def _turn_on_wal(connection: sqlite3.Connection) -> None:
    # SQLite does not wait here as it does elsewhere when another process is doing the same.
    for attempt in range(100):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or attempt == 99:
                raise
            threading.Event().wait(0.02)


class Readers:
    """Connections to read with: as many as are in use at once, each used by one thread at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._idle: deque[sqlite3.Connection] = deque()
        self._closed = False

    @contextmanager
    def reading(self, *, snapshot: bool = False) -> Iterator[sqlite3.Connection]:
        """A connection for a while; with `snapshot`, all its statements see the store at one instant."""
        try:
            connection = self._idle.pop() if self._idle else None
        except IndexError:  # another thread was quicker
            connection = None
        try:
            if connection is None:
                connection = self._open()
            if snapshot:
                connection.execute("BEGIN")
            yield connection
            if snapshot:
                connection.execute("COMMIT")
        except (sqlite3.Error, OSError, UnicodeEncodeError, OverflowError) as error:
            raise explain(error, self.path) from error
        finally:
            if connection is not None:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                self._idle.append(connection)
                if self._closed:
                    self.close()

    def close(self) -> None:
        """Close what is idle now, and what is in use as soon as it is handed back."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    def _open(self) -> sqlite3.Connection:
        if self._closed:
            raise StoreError(f"{self.path} is closed")
        connection = connect(self.path)
        connection.execute("PRAGMA query_only = ON")
        return connection

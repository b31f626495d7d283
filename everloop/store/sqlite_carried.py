"""What a turn keeps of the log it has read: bytes in the one file, gone as soon as anything of that log is changed."""

import sqlite3
import zlib
from collections.abc import Iterable, Iterator

from everloop.ids import new_id
from everloop.store import sqlite_rows as rows
from everloop.store.sqlite_connection import Readers
from everloop.store.sqlite_writer import Writer
from everloop.store.statements import query
from everloop.types import Lease

_PART = 4 << 20  # bytes before they are packed; others wait for the one writer as long as one part takes


class SqliteCarried:
    """The `Carry` Protocol on one SQLite file: triggers on the log's tables delete what is carried of it."""

    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    def changes(self, loop: str) -> int:
        """How often something of the loop's log was changed or deleted."""
        with self._readers.reading() as connection:
            found = connection.execute(query("log_changes"), (loop,)).fetchone()
        return int(found[0]) if found else 0

    def keep(self, loop: str, data: Iterable[bytes], changes: int, fence: Lease | None = None) -> bool:
        """Keep `data` in the place of what was kept; whether it is."""
        writing = new_id()
        for part in _parts(data):
            packed = zlib.compress(part, 1)

            def add(connection: sqlite3.Connection, body: bytes = packed) -> bool:
                rows.check(connection, fence)
                if not _as_it_was(connection, loop, changes):
                    return False
                connection.execute(query("carry"), (loop, writing, body))
                return True

            if not self._writer.submit(add).result():
                return False

        def finish(connection: sqlite3.Connection) -> bool:
            rows.check(connection, fence)
            if not _as_it_was(connection, loop, changes):
                return False
            connection.execute(query("blank_others_carried"), (loop, writing))
            connection.execute(query("drop_others_carried"), (loop, writing))
            connection.execute(query("carried_whole"), (loop, changes, writing))
            return True

        return self._writer.submit(finish).result()

    def kept(self, loop: str) -> bytes | None:
        """What was kept; None where nothing is, or something of the log was changed since."""
        with self._readers.reading(snapshot=True) as connection:
            found = connection.execute(query("carried"), (loop,)).fetchall()
        try:
            return b"".join(zlib.decompress(body) for (body,) in found) if found else None
        except zlib.error:  # the log has it all
            return None


def _as_it_was(connection: sqlite3.Connection, loop: str, changes: int) -> bool:
    found = connection.execute(query("log_changes"), (loop,)).fetchone()
    return (int(found[0]) if found else 0) == changes


def _parts(data: Iterable[bytes]) -> Iterator[bytes]:
    for piece in data:
        view = memoryview(piece)
        for at in range(0, len(view), _PART):
            yield bytes(view[at : at + _PART])

"""Which record uses which blob: written with the record, released with it, and what nobody uses is swept away."""

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from everloop.ids import now
from everloop.store.sqlite_connection import Readers
from everloop.store.sqlite_kinds import FEEDBACK, INTERACTION, Kind, listed
from everloop.store.sqlite_writer import Writer
from everloop.store.statements import query
from everloop.types import Intervention

_SWEPT = 64  # blobs deleted in one transaction: others want to write, too
_HEX = frozenset("0123456789abcdef")


class SqliteUses:
    """The `Uses` Protocol on one SQLite file."""

    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    def announce(self, hashes: Sequence[str], interaction: str | None = None) -> None:
        """Durable on return."""
        owner = "" if interaction is None else _of_interaction(interaction)
        time = now()
        rows = [(hash, owner, 0, time) for hash in hashes]
        self._writer.submit(lambda connection: _write(connection, rows)).result()

    def known(self, hash: str, loop: str = "") -> bool:
        """Whether it was announced or is in use."""
        sql, values = (query("use_in"), (hash, loop)) if loop else (query("use_of"), (hash,))
        with self._readers.reading() as connection:
            return connection.execute(sql, values).fetchone() is not None

    def sweep(self, discard: Callable[[str], None], before: int) -> int:
        """How many blobs were discarded, a few in each transaction."""
        gone, due = 0, _SWEPT
        while due == _SWEPT:
            due, discarded = self._writer.submit(lambda connection: _sweep(connection, discard, before)).result()
            gone += discarded
        return gone


def name_uses(connection: sqlite3.Connection, kind: Kind, entries: Iterable[Any]) -> None:
    """Write down which blobs these records name; in the transaction that writes the records."""
    rows: list[tuple[str, str, int, int]] = []
    if kind is INTERACTION:
        for entry in entries:
            for part in entry.record.attachments:
                rows.append((part.hash, _of_interaction(entry.record.id), 1, entry.record.at))
    elif kind.table == FEEDBACK.table:
        for entry in entries:
            window = entry.record.window if isinstance(entry.record, Intervention) else None
            if window is not None and _is_hash(window):
                rows.append((window, _of_feedback(entry.record.id), 1, entry.record.at))
    if rows:
        _write(connection, rows)


def release_interactions(connection: sqlite3.Connection, ids: Iterable[str]) -> int:
    """These interactions name nothing any more; how many blobs have lost their last user by that."""
    return _release(connection, [_of_interaction(id) for id in ids])


def release_feedback(connection: sqlite3.Connection, ids: Iterable[str]) -> int:
    """This feedback names nothing any more; how many blobs have lost their last user by that."""
    return _release(connection, [_of_feedback(id) for id in ids])


def _release(connection: sqlite3.Connection, owners: list[str]) -> int:
    bound = listed(owners)
    hashes = [hash for (hash,) in connection.execute(query("hashes_of"), (bound,)).fetchall()]
    if not hashes:
        return 0
    connection.execute(query("forget_uses"), (bound,))
    # Nobody's, and for how long does not matter: also where the same bytes were once sent ahead.
    connection.executemany(query("nobodys_use"), [(hash,) for hash in hashes])
    alone: int = connection.execute(query("count_unused"), (listed(hashes),)).fetchone()[0]
    return alone


def _sweep(connection: sqlite3.Connection, discard: Callable[[str], None], before: int) -> tuple[int, int]:
    """(announcements that were due, blobs discarded). Who announces the same bytes waits for this transaction to end,
    so a blob is never discarded between an announcement and the record that names it."""
    due = connection.execute(query("due_uses"), (before, _SWEPT)).fetchall()
    connection.executemany(query("forget_use"), due)
    hashes = list(dict.fromkeys(hash for hash, _ in due))
    unused = [hash for (hash,) in connection.execute(query("unused"), (listed(hashes),)).fetchall()]
    for hash in unused:
        discard(hash)
    return len(due), len(unused)


def _write(connection: sqlite3.Connection, rows: list[tuple[str, str, int, int]]) -> None:
    connection.executemany(query("use_blob"), rows)


def _of_interaction(id: str) -> str:
    return f"i:{id}"


def _of_feedback(id: str) -> str:
    return f"f:{id}"


def _is_hash(text: str) -> bool:
    return len(text) == 64 and _HEX.issuperset(text)


__all__ = ["SqliteUses", "name_uses", "release_feedback", "release_interactions"]

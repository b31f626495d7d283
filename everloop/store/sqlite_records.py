"""Records in SQLite."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from msgspec import Struct

from everloop.errors import InvalidInput
from everloop.store import sqlite_rows as rows
from everloop.store.protocols import Erased, R, Receipt
from everloop.store.sqlite_connection import Readers
from everloop.store.sqlite_erasure import erase
from everloop.store.sqlite_kinds import FEEDBACK, HASHED, SELECTIVE, conditions, kind_of
from everloop.store.sqlite_writer import Writer
from everloop.store.statements import query
from everloop.types import Lease

T = TypeVar("T")
_LAST = 2**63 - 1


class SqliteRecords:
    """The `Records` Protocol on one SQLite file. Every method may be called from any thread."""

    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    def submit(self, records: Sequence[Struct]) -> "Future[list[Receipt]]":
        """Hand records to the next group commit. InvalidInput for one that can't be stored is raised here and now."""
        batch = rows.ready(records)
        return self._writer.submit(lambda connection: rows.put(connection, batch))

    def put(self, *records: Struct) -> list[Receipt]:
        """`submit` and wait."""
        return self.submit(records).result()

    def replace(self, *records: Struct, fence: Lease | None = None, unless_erased: bool = False) -> None:
        """Write or overwrite by id in one transaction; an overwritten record keeps its position."""
        batch = rows.ready(records)

        def work(connection: sqlite3.Connection) -> None:
            rows.check(connection, fence)
            rows.overwrite(connection, rows.remaining(connection, batch) if unless_erased else batch)

        self._write(work)

    def get(self, kind: type[R], id: str) -> R | None:
        """One record, or None. InvalidInput for a placement that several loops have: `find` takes the loop."""
        of = kind_of(kind)
        with self._readers.reading() as connection:
            found = connection.execute(query("get", table=of.table), (id,)).fetchall()
        if len(found) > 1:
            raise InvalidInput(f"{of.word} {id!r} is in more than one loop: find it by loop and id")
        record: R | None = of.decode(found[0][0]) if found else None
        return None if of.tag is not None and not isinstance(record, kind) else record

    def find(self, kind: type[R], loop: str | None = None, *, newest: bool = False, limit: int | None = None,
             **where: Any) -> list[R]:  # fmt: skip
        """Records whose fields equal `where`, in order of position."""
        of = kind_of(kind)
        clause, values = conditions(of, loop, where)
        # "+" keeps SQLite from walking the whole table in order when a few rows found by an index need only be sorted.
        # Every index has the position last: of one value and a span of positions it reads in order what is wanted.
        sorting = SELECTIVE & where.keys() and "position" not in where
        order = ("+position" if sorting else "position") + (" DESC" if newest else "")
        sql = query("find", table=of.table, where=clause, order=order)
        with self._readers.reading() as connection:
            found = connection.execute(sql, (*values, -1 if limit is None else limit)).fetchall()
        return [of.decode(body) for (body,) in found]

    def scan(self, kind: type[R], loop: str, *, after: int = 0, upto: int | None = None,
             batch: int = 10_000) -> Iterator[list[tuple[int, R]]]:  # fmt: skip
        """(position, record) in batches; each batch is a query of its own, so nothing is locked in between."""
        of = kind_of(kind)
        clause, values = conditions(of, loop, {})
        sql = query("scan", table=of.table, where=clause)
        while True:
            with self._readers.reading() as connection:
                found = connection.execute(sql, (*values, after, _LAST if upto is None else upto, batch)).fetchall()
            if found:
                yield [(position, of.decode(body)) for position, body in found]
                after = found[-1][0]
            if len(found) < batch:
                return

    def head(self, kind: type[Struct], loop: str) -> int:
        """The newest position; 0 if there is none."""
        return self._number("head", kind, loop, {})

    def count(self, kind: type[Struct], loop: str | None = None, **where: Any) -> int:
        """How many."""
        return self._number("count", kind, loop, where)

    def tally(self, kind: type[Struct], loop: str, by: str, **where: Any) -> dict[str, int]:
        """How many by the value of a field; absent values are counted under ""."""
        of = kind_of(kind)
        conditions(of, loop, {by: None})  # raises if it can't be filtered by
        clause, values = conditions(of, loop, where)
        column = f"json_extract(body, '$.{by}')" if by in HASHED else f'"{by}"'
        with self._readers.reading() as connection:
            found = connection.execute(query("tally", table=of.table, where=clause, by=column), values).fetchall()
        return {"" if value is None else str(value): count for value, count in found}

    def delete(self, kind: type[Struct], ids: Sequence[str], fence: Lease | None = None) -> int:
        """Remove by id, waiting feedback too; how many there were."""
        of = kind_of(kind)

        def work(connection: sqlite3.Connection) -> int:
            rows.check(connection, fence)
            return rows.delete(connection, of, ids)

        return self._write(work)

    def held(self, older_than: int | None = None) -> list[Any]:
        """Feedback still waiting, oldest `at` first; only what has an `at` before `older_than`."""
        with self._readers.reading() as connection:
            found = connection.execute(query("held"), (_LAST if older_than is None else older_than,)).fetchall()
        return [FEEDBACK.decode(body) for (body,) in found]

    def erase(self, subject: str) -> Erased:
        """Remove a subject; on return the bytes are gone from the file and from its write-ahead log.

        For that a file of up to 512 MB is written anew, a second for each 80 MB, in which nobody else can write. In a
        larger one, copies that SQLite made when it moved rows between pages may last until it is next vacuumed. A
        reader in the middle of a long query keeps the log; then it is emptied after the next write, or on close.
        """
        submitted = self._writer.submit(
            lambda connection: erase(connection, subject), scrub=lambda erased: any(erased.rows.values())
        )
        return submitted.result()

    def lease(self, name: str, owner: str, seconds: float) -> Lease | None:
        """Take or renew a lease; None while it is another's."""
        return self._write(lambda connection: rows.lease(connection, name, owner, seconds))

    def unlease(self, lease: Lease) -> None:
        """Give it back."""
        self._write(lambda connection: rows.unlease(connection, lease))

    def close(self) -> None:
        """Finish what was submitted, then close; a second time does nothing."""
        self._writer.close()
        self._readers.close()

    def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return self._writer.submit(work).result()

    def _number(self, name: str, kind: type[Struct], loop: str | None, where: dict[str, Any]) -> int:
        of = kind_of(kind)
        clause, values = conditions(of, loop, where)
        with self._readers.reading() as connection:
            row = connection.execute(query(name, table=of.table, where=clause), values).fetchone()
        return 0 if row is None else int(row[0])

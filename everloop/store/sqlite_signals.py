"""Declared signals in SQLite: a table for each, filled in the transaction that writes the feedback.

Names of tables and columns are made from numbers here, so nothing of what a caller wrote becomes SQL. A column once
made keeps its type; a field that is no longer declared keeps its column, and is filled again when it is declared again.
"""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from everloop.errors import NotFound
from everloop.ids import now
from everloop.store.sqlite_connection import Readers
from everloop.store.sqlite_kinds import listed
from everloop.store.statements import query
from everloop.types import Implicit, LoopSpec, Outcome

_SQL_TYPES = {"int": "INTEGER", "float": "REAL", "bool": "INTEGER", "str": "TEXT"}
_OWN = frozenset(Implicit.__struct_fields__)  # what an implicit signal has anyway; declared, it is a column, too
_FIXED = ("interaction", "asked", "at", "received", "silent", "value")
_CHUNK, _MOST_LOOKED_AT = 1_000, 50_000  # interactions read at a time, and at most, to find those of a span of time
_LAST = 2**63 - 1


class _Column(NamedTuple):
    """A declared field and the column that holds it."""

    name: str
    type: str
    column: str  # "c3"
    declared: bool


class _Table(NamedTuple):
    """One declared signal."""

    number: int
    kind: str
    name: str
    declared: bool
    main: bool
    columns: tuple[_Column, ...]

    @property
    def sql(self) -> str:
        return f"signal_{self.number}"


class SqliteSignals:
    """The `Signals` Protocol on one SQLite file."""

    def __init__(self, readers: Readers) -> None:
        self._readers = readers

    def columns(self, loop: str, name: str, *, kind: str | None = None, only: Sequence[str] | None = None,
                since: int | None = None, limit: int | None = None) -> dict[str, list[Any]]:  # fmt: skip
        """The rows of a declared signal, column by column."""
        with self._readers.reading(snapshot=True) as connection:
            table = _declared(connection, loop, name, kind)
            there = {fixed: (fixed, "") for fixed in _FIXED if fixed != "value" or table.kind == "outcome"}
            there |= {column.name: (column.column, column.type) for column in table.columns if column.declared}
            wanted = list(there) if only is None else list(only)
            if unknown := [one for one in wanted if one not in there]:
                raise NotFound(f"signal {name!r} has no column {unknown[0][:50]!r}; it has {', '.join(there)}")
            parts = {"table": table.sql, "columns": ", ".join(there[one][0] for one in wanted) or "position"}
            most = -1 if limit is None else limit
            if since is None:
                rows = connection.execute(query("signal_columns", **parts), (most,)).fetchall()
            else:
                rows = connection.execute(query("signal_columns_since", **parts), (since, most)).fetchall()
        rows.reverse()
        found = zip(*rows, strict=True) if rows else [()] * len(wanted)
        read = {one: list(values) for one, values in zip(wanted, found, strict=False)}
        for one in wanted:
            if one == "silent" or there[one][1] == "bool":
                read[one] = [None if value is None else bool(value) for value in read[one]]
        return read

    def coverage(self, loop: str, name: str, *, after: int, before: int, limit: int = 5_000,
                 kind: str | None = None) -> tuple[int, int]:  # fmt: skip
        """How many interactions of a span of time were looked at, and how many of them have the signal."""
        with self._readers.reading(snapshot=True) as connection:
            table = _declared(connection, loop, name, kind)
            asked = _asked_between(connection, loop, after, before, limit)
            (having,) = connection.execute(query("having_signal", table=table.sql), (listed(asked),)).fetchone()
        return len(asked), having

    def held_since(self) -> list[int]:
        """Since when each piece of feedback waits for its interaction."""
        with self._readers.reading() as connection:
            return [came for (came,) in connection.execute(query("held_since"))]


def declare(connection: sqlite3.Connection, specs: Iterable[LoopSpec]) -> None:
    """Make what is declared in these loops have its table and columns; what no longer is keeps its rows."""
    for spec in specs:
        there = {(table.kind, table.name): table for table in _tables(connection, spec.name)}
        wanted = {(one.kind, one.name): one for one in spec.signals}
        for key in there.keys() - wanted.keys():
            _write_table(connection, spec.name, there[key]._replace(declared=False, main=False))
        for key, one in wanted.items():
            before = there[key].columns if key in there else ()
            columns = tuple(_columns(before, one.fields))
            main = one.kind == "outcome" and one.name == spec.outcome
            table = _Table(0, one.kind, one.name, True, main, columns)
            if key not in there or table != there[key]._replace(number=0):
                _write_table(connection, spec.name, table)


def _columns(before: Sequence[_Column], fields: Mapping[str, str]) -> Iterable[_Column]:
    """The columns that were there, and those that are new."""
    known = {(column.name, column.type) for column in before}
    for column in before:
        yield column._replace(declared=fields.get(column.name) == column.type)
    number = len(before)
    for name, type in fields.items():
        if (name, type) not in known:
            number += 1
            yield _Column(name, type, f"c{number}", True)


def _write_table(connection: sqlite3.Connection, loop: str, table: _Table) -> None:
    row = (loop, table.kind, table.name, table.declared, table.main, msgspec.json.encode(table.columns).decode())
    (number,) = connection.execute(query("declare_signal"), row).fetchone()
    sql = f"signal_{number}"
    for statement in ("make_signal", "index_signal", "index_signal_by_time"):
        connection.execute(query(statement, table=sql))
    there = {name for (name,) in connection.execute(query("columns_of"), (sql,))}
    for column in table.columns:
        if column.column not in there:
            connection.execute(
                query("widen_signal", table=sql, column=column.column, type=_SQL_TYPES[column.type])
            )  # fmt: skip


def fill(connection: sqlite3.Connection, written: Sequence[tuple[Any, str, int | None]], rewritten: str | None) -> None:
    """Put (feedback, its loop, when it came if not now) into the columns of what is declared.

    `rewritten`: ids (as JSON) of feedback written over, whose rows elsewhere are to go.
    """
    tables = {loop: _tables(connection, loop) for loop in {loop for _, loop, _ in written}}
    time = now()
    rows: dict[_Table, list[tuple[Any, ...]]] = {}
    for record, loop, came in written:
        table = _table_of(record, tables[loop])
        if table is not None:
            rows.setdefault(table, []).append(
                (record, record.interaction, record.at, time if came is None else came, *_cells(record, table))
            )
    if rewritten is not None:
        kept = {record.id: table for table, many in rows.items() for record, *_ in many}
        gone = set(msgspec.json.decode(rewritten))
        for table in [_read(row) for row in connection.execute(query("every_signal")).fetchall()]:
            _take_out(connection, table, listed(id for id in gone if kept.get(id) != table), None)
    ids = listed(record.id for many in rows.values() for record, *_ in many)
    placed = dict(connection.execute(query("placed_feedback"), (ids,)).fetchall()) if rows else {}
    for table, many in rows.items():
        active = [column.column for column in table.columns if column.declared]
        sql = query(
            "fill_signal", table=table.sql, columns="".join(f", {name}" for name in active), time=query("time_of"),
            marks=", ?" * len(active), updates="".join(f", {name} = excluded.{name}" for name in active),
        )  # fmt: skip
        connection.executemany(sql, [(*cells, placed[record.id], record.interaction) for record, *cells in many])


def forget_rows(connection: sqlite3.Connection, ids: str, tag: str | None, blank: bool = False) -> None:
    """Delete the rows of feedback with these ids (as JSON), of one kind or of all; `blank`: write over them instead."""
    for row in connection.execute(query("every_signal")).fetchall():
        _take_out(connection, _read(row), ids, tag, blank=blank)


def _take_out(connection: sqlite3.Connection, table: _Table, ids: str, tag: str | None, blank: bool = False) -> None:
    positions = [at for (at,) in connection.execute(query("positions_of_feedback"), (ids, tag, tag))]
    if not positions:
        return
    name = "delete_signal_rows"
    blanks = ""
    if blank:
        name = "blank_signal"
        for _, type, column, _ in table.columns:
            written_over = query("zeros", column=column) if type == "str" else "NULL"
            blanks += f", {column} = {written_over}"
    sql = query(name, table=table.sql, blanks=blanks) if blank else query(name, table=table.sql)
    connection.execute(sql, (listed(positions),))


def _cells(record: Any, table: _Table) -> Iterable[Any]:
    """Silent, the value, and what is declared; None where it is absent or not what is declared."""
    outcome = isinstance(record, Outcome)
    yield int(outcome and record.silent)
    yield record.value if outcome else None
    for column in table.columns:
        if column.declared:
            value = record.fields.get(column.name)
            if value is None and column.name in _OWN and not outcome:
                value = getattr(record, column.name)
            yield value if _fits(value, column.type) else None


def _fits(value: Any, type: str) -> bool:
    if isinstance(value, bool):
        return type == "bool"
    if isinstance(value, int):
        return type == "float" or (type == "int" and -(2**63) <= value < 2**63)
    return isinstance(value, {"float": float, "str": str}.get(type, ()))


def _table_of(record: Any, tables: Sequence[_Table]) -> _Table | None:
    if isinstance(record, Outcome):
        return next((t for t in tables if t.declared and t.kind == "outcome"
                     and (t.name == record.name or (not record.name and t.main))), None)  # fmt: skip
    return next((t for t in tables if t.declared and t.kind == "implicit" and t.name == record.value), None)


def _tables(connection: sqlite3.Connection, loop: str) -> list[_Table]:
    return [_read(row) for row in connection.execute(query("signals_of"), (loop,)).fetchall()]


def _read(row: tuple[Any, ...]) -> _Table:
    number, kind, name, declared, main, body = row
    columns = msgspec.json.decode(body, type=tuple[_Column, ...])
    return _Table(number, kind, name, bool(declared), bool(main), columns)


def _declared(connection: sqlite3.Connection, loop: str, name: str, kind: str | None) -> _Table:
    tables = _tables(connection, loop)
    found = [table for table in tables if table.name == name and kind in (None, table.kind)]
    if not found:
        there = ", ".join(sorted(table.name for table in tables)) or "none"
        raise NotFound(f"loop {loop!r} declares no signal {name!r}; it declares: {there}")
    return max(found, key=lambda table: table.declared)


def _asked_between(connection: sqlite3.Connection, loop: str, after: int, before: int, limit: int) -> list[str]:
    """Ids of the newest interactions of a span of time.

    There is no index by time. Positions grow with time, near enough: a search by halves finds where to begin, and the
    time of each row decides.
    """
    low, high = 0, _head(connection, loop) + 1
    while low < high:
        middle = (low + high) // 2
        row = connection.execute(query("interaction_from", time=query("time_of")), (loop, middle)).fetchone()
        if row is None or row[1] >= before:
            high = middle
        else:
            low = row[0] + 1
    found: list[str] = []
    position, looked = low, 0
    while len(found) < limit and looked < _MOST_LOOKED_AT:
        rows = connection.execute(query("times_before", time=query("time_of")), (loop, position, _CHUNK)).fetchall()
        inside = [id for id, _, at in rows if after <= at < before]
        found += inside
        looked += len(rows)
        if len(rows) < _CHUNK or (found and not inside):
            break
        position = rows[-1][1]
    return found[:limit]


def _head(connection: sqlite3.Connection, loop: str) -> int:
    row = connection.execute(query("head", table="interactions", where="loop = ?"), (loop,)).fetchone()
    return 0 if row is None else int(row[0])


__all__ = ["SqliteSignals", "declare", "fill", "forget_rows"]

"""What happens to records inside the writer's transaction: written, joined, deleted; and leases."""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from everloop.errors import Conflict, LeaseLost
from everloop.ids import now
from everloop.store.digests import subject_key
from everloop.store.encoding import encode, encoded
from everloop.store.protocols import Receipt
from everloop.store.sqlite_kinds import FEEDBACK, INTERACTION, LOOP, OF_INTERACTIONS, Kind, kind_of, listed
from everloop.store.sqlite_signals import declare, fill, forget_rows
from everloop.store.sqlite_uses import name_uses, release_feedback, release_interactions
from everloop.store.statements import query
from everloop.types import Correction, Implicit, Lease, LoopSpec, Outcome

_LONGEST_LEASE = 600.0  # seconds; who needs one for longer says so


class Entry(NamedTuple):
    """A record ready to be written."""

    place: int  # where it is in the submission
    record: Any  # as it will be read back
    row: tuple[Any, ...]


Batch = dict[str, tuple[Kind, list[Entry]]]  # by table, in the order in which they need each other


def ready(records: Sequence[Struct]) -> Batch:
    """Encode records, outside the transaction. InvalidInput for one that could not be read back."""
    batch: Batch = {}
    for index, record in enumerate(records):
        kind = kind_of(type(record))
        id, loop = (record.name, record.name) if isinstance(record, LoopSpec) else (record.id, record.loop)  # type: ignore[attr-defined]
        body, read = encoded(record, kind.decode, f"{kind.word} {id!r}")
        if kind.table == FEEDBACK.table:
            columns: Iterable[Any] = ()  # its row is made when its loop is known
        elif kind is INTERACTION:
            columns = (_key(read.subject), read.trace, _key(read.session))
        else:
            columns = [getattr(read, name) for name in kind.columns]
        entry = Entry(index, read, (id, loop, *columns, body.decode()))
        batch.setdefault(kind.table, (kind, []))[1].append(entry)
    order = (LOOP.table, INTERACTION.table, FEEDBACK.table)
    return {table: batch[table] for table in sorted(batch, key=lambda t: order.index(t) if t in order else 3)}


def put(connection: sqlite3.Connection, batch: Batch) -> list[Receipt]:
    """Write a batch: all of it, or Conflict and nothing (the caller's savepoint sees to that)."""
    receipts: dict[int, Receipt] = {}
    for kind, entries in batch.values():
        if kind.table == FEEDBACK.table:
            _put_feedback(connection, entries, receipts)
        else:
            _insert(connection, kind, entries, receipts)
            if kind is INTERACTION:
                _join_held(connection, entries)
            elif kind is LOOP:
                declare(connection, [entry.record for entry in entries])
        name_uses(connection, kind, entries)
    return [receipts[index] for index in range(len(receipts))]


def overwrite(connection: sqlite3.Connection, batch: Batch) -> None:
    """Write a batch over what is there."""
    for kind, entries in batch.values():
        if kind.table == FEEDBACK.table:
            _delete_feedback(connection, None, listed(entry.record.id for entry in entries), only_held=True)
            _add_feedback(connection, {entry.record.id: entry.record for entry in entries}, overwriting=True)
        else:
            connection.executemany(kind.upsert, [entry.row for entry in entries])
            if kind is INTERACTION:
                _join_held(connection, entries)
            elif kind is LOOP:
                declare(connection, [entry.record for entry in entries])
        name_uses(connection, kind, entries)


def remaining(connection: sqlite3.Connection, batch: Batch) -> Batch:
    """A batch without feedback that is there no longer, and without what was made of an interaction that isn't."""
    kept: Batch = {}
    for table, (kind, entries) in batch.items():
        found = entries
        if table == FEEDBACK.table:
            known = _among(connection, table, [entry.record.id for entry in entries])
            found = [entry for entry in entries if entry.record.id in known]
        elif kind in OF_INTERACTIONS:
            known = _among(connection, INTERACTION.table, [entry.record.interaction for entry in entries])
            found = [entry for entry in entries if entry.record.interaction in known]
        if found:
            kept[table] = (kind, found)
    return kept


def _among(connection: sqlite3.Connection, table: str, ids: list[str]) -> set[str]:
    return {id for (id,) in connection.execute(query("ids_among", table=table), (listed(ids),))}


def delete(connection: sqlite3.Connection, kind: Kind, ids: Sequence[str]) -> int:
    """Delete by id; how many there were."""
    if kind.table == FEEDBACK.table:
        release_feedback(connection, ids)
        return _delete_feedback(connection, kind.tag, listed(ids))
    if kind is INTERACTION:
        release_interactions(connection, ids)
    return connection.execute(
        query("delete", table=kind.table, where=query("among", column="id")), (listed(ids),)
    ).rowcount


def _insert(connection: sqlite3.Connection, kind: Kind, entries: list[Entry], receipts: dict[int, Receipt]) -> None:
    if len(entries) == 1:
        written = connection.execute(kind.insert, entries[0].row).rowcount
    else:
        written = connection.executemany(kind.insert, [entry.row for entry in entries]).rowcount
    if written == len(entries):
        receipts.update((entry.place, "new") for entry in entries)
        return

    # Some were there: the last `written` rows of the table are the new ones, the others must be equal.
    def key(id: str, loop: str) -> tuple[str, str]:
        return (id, "" if kind.key == "id" else loop)

    new = {key(*row) for row in connection.execute(query("newest_ids", table=kind.table), (written,))}
    ids = listed(entry.row[0] for entry in entries)
    found = connection.execute(query("bodies_by_id", table=kind.table), (ids,))
    stored = {key(id, loop): body for id, loop, body in found}
    for entry in entries:
        id, loop, *_ = entry.row
        if (mine := key(id, loop)) in new:
            new.remove(mine)  # the same id once more in this batch is a repetition
            receipts[entry.place] = "new"
        else:
            _same_or_conflict(kind, id, kind.decode(stored[mine]), entry.record)
            receipts[entry.place] = "known"


def _same_or_conflict(kind: Kind, id: str, old: Any, new: Any) -> None:
    if _content(kind, old) != _content(kind, new):
        raise Conflict(f"{kind.word} {id!r} is there already with other content: send this under an id of its own")


def _content(kind: Kind, record: Any) -> Any:
    if kind.table == FEEDBACK.table:
        if isinstance(record, Correction):  # what was worked out from the answer was not said
            return replace(record, at=0, loop=None, consent=None, diff=None, distance=None)
        return replace(record, at=0, loop=None, consent=None)
    if kind is INTERACTION:  # consent may have been taken back between two tries
        return replace(record, at=0, consent=())
    return replace(record, at=0) if "at" in record.__struct_fields__ else record


def _put_feedback(connection: sqlite3.Connection, entries: list[Entry], receipts: dict[int, Receipt]) -> None:
    ids = listed(entry.record.id for entry in entries)
    stored = {
        id: FEEDBACK.decode(body) for id, body in connection.execute(query("stored_feedback"), {"ids": ids}).fetchall()
    }
    fresh: dict[str, Any] = {}
    first: dict[str, int] = {}
    for index, record, _ in entries:
        if (old := stored.get(record.id) or fresh.get(record.id)) is not None:
            again = record
            if old.interaction != record.interaction and _same_trace(connection, old.interaction, record.interaction):
                again = replace(record, interaction=old.interaction)
            _same_or_conflict(FEEDBACK, record.id, old, again)
            receipts[index] = "known"
        else:
            fresh[record.id] = record
            first[record.id] = index
    waiting = _add_feedback(connection, fresh)
    receipts.update((index, "held" if id in waiting else "new") for id, index in first.items())


def _add_feedback(connection: sqlite3.Connection, fresh: dict[str, Any], overwriting: bool = False) -> set[str]:
    """Write feedback whose interaction is there, hold the rest; the ids of those held."""
    interactions = listed({record.interaction for record in fresh.values()})
    loops = dict(connection.execute(query("loops_of_interactions"), (interactions,)).fetchall())
    if any(record.interaction not in loops for record in fresh.values()):
        fresh = _by_trace(connection, fresh, loops)
    joined: list[tuple[Any, str, int | None]]
    joined = [(one, loops[one.interaction], None) for one in fresh.values() if _joins(one, loops)]
    waiting = {id: one for id, one in fresh.items() if not _joins(one, loops)}
    if joined:
        _write_joined(connection, joined, overwriting)
    if waiting:
        if overwriting:
            _delete_feedback(connection, None, listed(waiting))
        came = now()
        connection.executemany(query("hold"), [_held_row(record, came) for record in waiting.values()])
    return set(waiting)


def _by_trace(connection: sqlite3.Connection, fresh: dict[str, Any], loops: dict[str, str]) -> dict[str, Any]:
    """The same feedback; what names a trace names an interaction of it instead, whose loop is put among `loops`."""
    traces = {record.interaction for record in fresh.values() if record.interaction not in loops}
    chosen: dict[str, str] = {}
    for trace, id, loop in connection.execute(query("interactions_of_traces"), (listed(traces),)).fetchall():
        chosen[trace], loops[id] = id, loop
    if not chosen:
        return fresh
    return {
        id: replace(one, interaction=chosen[one.interaction]) if one.interaction in chosen else one
        for id, one in fresh.items()
    }


def _joins(record: Any, loops: dict[str, str]) -> bool:
    """Whether its interaction is there. Feedback that names its loop joins in that one alone: whoever may speak of one
    loop only learns nothing of the interactions of another, and says nothing of them."""
    loop = loops.get(record.interaction)
    return loop is not None and record.loop in {None, loop}


def _same_trace(connection: sqlite3.Connection, one: str, other: str) -> bool:
    """Whether of two names one is the trace of the interaction that the other names."""
    return connection.execute(query("same_trace"), (one, other, other, one)).fetchone() is not None


def _join_held(connection: sqlite3.Connection, entries: list[Entry]) -> None:
    """Give feedback that waited for these interactions, or for their traces, its loop and a position."""
    if connection.execute(query("any_held")).fetchone() is None:
        return
    loops = {entry.record.id: entry.record.loop for entry in entries}
    names = listed({*loops, *(entry.record.trace for entry in entries if entry.record.trace is not None)})
    waited = connection.execute(query("held_for"), (names,)).fetchall()
    if waited:
        received = {id: came for id, came, _ in waited}
        held = {id: FEEDBACK.decode(body) for id, _, body in waited}
        joined = {id: one for id, one in _by_trace(connection, held, loops).items() if _joins(one, loops)}
        _write_joined(connection, [(one, loops[one.interaction], received[id]) for id, one in joined.items()])
        connection.execute(query("unhold"), (listed(joined),))


def _write_joined(
    connection: sqlite3.Connection, joined: list[tuple[Any, str, int | None]], overwriting: bool = False
) -> None:
    """Write (feedback, its loop, when it came if not now), and what of it is declared into its columns."""
    rows = [_feedback_row(record, loop) for record, loop, _ in joined]
    connection.executemany(FEEDBACK.upsert if overwriting else FEEDBACK.insert, rows)
    signals = [one for one in joined if isinstance(one[0], Implicit | Outcome)]
    if signals or overwriting:
        fill(connection, signals, listed(row[0] for row in rows) if overwriting else None)


def _feedback_row(record: Any, loop: str) -> tuple[Any, ...]:
    kind: str = record.__struct_config__.tag
    body = encode(replace(record, loop=loop)).decode()
    return record.id, loop, kind, record.interaction, _key(record.subject), body


def _held_row(record: Any, came: int) -> tuple[Any, ...]:
    return record.id, record.interaction, _key(record.subject), record.at, came, encode(record).decode()


def _key(text: str | None) -> int | None:
    return None if text is None else subject_key(text)


def _delete_feedback(connection: sqlite3.Connection, tag: str | None, ids: str, only_held: bool = False) -> int:
    where, values = query("among", column="id"), [ids]
    among_held = where
    if tag is not None:
        where, among_held = f"{where} AND kind = ?", f"{where} AND json_extract(body, '$.kind') = ?"
        values.append(tag)
    gone = connection.execute(query("delete", table="held", where=among_held), values).rowcount
    if only_held:
        return gone
    forget_rows(connection, ids, tag)
    return gone + connection.execute(query("delete", table="feedback", where=where), values).rowcount


def lease(connection: sqlite3.Connection, name: str, owner: str, seconds: float) -> Lease | None:
    """Take or renew; None while it is another's."""
    time = now()
    holder, token, until = connection.execute(query("lease"), (name,)).fetchone() or (None, 0, 0)
    if holder != owner:
        # One that would stand for longer than anybody asks was taken before the clock was set back: its holder may be
        # gone, and nobody would notice for as long as the clock went back. A live one is fenced off by the token.
        if holder is not None and time < until <= time + round(max(seconds, _LONGEST_LEASE) * 1000):
            return None
        token += 1
    until = time + round(seconds * 1000)
    connection.execute(query("take_lease"), (name, owner, token, until))
    return Lease(name=name, owner=owner, token=token, until=until)


def unlease(connection: sqlite3.Connection, lease: Lease) -> None:
    """Give back; nothing happens if it is no longer ours."""
    connection.execute(query("drop_lease"), (lease.name, lease.owner, lease.token))


def check(connection: sqlite3.Connection, fence: Lease | None) -> None:
    """LeaseLost unless `fence` is None or still held."""
    if fence is not None:
        values = (fence.name, fence.owner, fence.token)
        if connection.execute(query("fence"), values).fetchone() is None:
            raise LeaseLost(f"{fence.owner!r} no longer holds {fence.name!r}: somebody else took over")

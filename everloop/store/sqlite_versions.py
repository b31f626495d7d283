"""Which dataset versions hold which examples, and which names they go by."""

import sqlite3
from collections import defaultdict
from collections.abc import Sequence

import msgspec

from everloop.errors import Conflict, InvalidInput
from everloop.store.encoding import encoded
from everloop.store.sqlite_kinds import listed
from everloop.store.statements import query
from everloop.types import DatasetVersion, Ref

decode_ref = msgspec.json.Decoder(Ref).decode
_decode_version = msgspec.json.Decoder(DatasetVersion).decode


def holders(connection: sqlite3.Connection, rows: Sequence[tuple[int, int]]) -> list[tuple[int, str, int]]:
    """For (key, adding version) of stored examples: (position, body, how many it holds) of each version, oldest first.

    One pass over the versions, parents first: a version holds what its parent holds, less what it removes, and what it
    adds.
    """
    added: defaultdict[int, set[int]] = defaultdict(set)
    for key, version in rows:
        added[version].add(key)
    removed: defaultdict[int, set[int]] = defaultdict(set)
    keys = listed(key for key, _ in rows)
    for key, version in connection.execute(query("removals_of"), (keys,)):
        removed[version].add(key)
    holding: dict[int | None, set[int]] = {None: set()}
    found = []
    for position, parent, body in connection.execute(query("lineages")).fetchall():
        inherited = holding.get(parent, set())
        changes = position in added or position in removed
        holding[position] = (inherited - removed[position]) | added[position] if changes else inherited
        if holding[position]:
            found.append((position, body, len(holding[position])))
    return found


def point(connection: sqlite3.Connection, ref: Ref, expected: str | None) -> None:
    """Make a name, or move a branch that is at `expected`; in the transaction of what it is moved for."""
    found = connection.execute(query("ref"), (ref.loop, ref.id)).fetchone()
    if found is None and expected is not None:
        raise Conflict(f"no branch {ref.id!r} in {ref.loop} any more")
    if found is not None:
        old = decode_ref(found[1])
        if expected is None:
            raise Conflict(f"there is a {old.kind} {ref.id!r} in {ref.loop} already")
        if old.kind == "tag" or ref.kind == "tag":
            raise Conflict(f"{ref.id!r} is a tag: a tag never moves; delete it and make it anew")
        if old.version != expected:
            raise Conflict(f"branch {ref.id!r} has moved on meanwhile, to {old.version}; look at it and try again")
    version = connection.execute(query("version"), (ref.version,)).fetchone()
    if version is None or _decode_version(version[1]).loop != ref.loop:
        raise InvalidInput(f"{ref.version!r} is not a dataset version of loop {ref.loop!r}")
    body, read = encoded(ref, decode_ref, f"{ref.kind} {ref.id!r}")
    connection.execute(query("point_ref"), (read.id, read.loop, read.version, body.decode()))


def unpoint(connection: sqlite3.Connection, ref: Ref) -> None:
    """Forget a name that is still as `ref` says."""
    found = connection.execute(query("ref"), (ref.loop, ref.id)).fetchone()
    if found is None or found[0] != ref.version or decode_ref(found[1]).kind != ref.kind:
        raise Conflict(f"{ref.kind} {ref.id!r} in {ref.loop} is no longer at {ref.version}; look at it and try again")
    connection.execute(query("drop_ref"), (ref.loop, ref.id))

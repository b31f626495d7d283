"""Which dataset versions hold which examples."""

import sqlite3
from collections import defaultdict
from collections.abc import Sequence

from everloop.store.sqlite_kinds import listed
from everloop.store.statements import query


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

"""No promised lookup reads a whole table, or sorts what it could read in order."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from everloop.store import open_store
from everloop.store.sqlite_records import SqliteRecords
from everloop.types import (
    Annotation,
    Derived,
    Drop,
    FeedbackFields,
    Interaction,
    Mark,
    Model,
    Placement,
    Release,
    Review,
    SourceAnswer,
    Thumb,
    Turn,
    Verdict,
)

LOOKUPS: list[tuple[type[Struct], dict[str, Any]]] = [
    (Interaction, {}), (Interaction, {"subject": "u"}), (Interaction, {"subject": ["u", "v"]}),
    (Interaction, {"trace": "t"}), (Interaction, {"session": "s"}),
    (Interaction, {"session": "s", "position": range(9)}),
    (Interaction, {"subject": "u", "position": range(3, 2**62)}), (Derived, {"rule": "r"}),
    (Derived, {"interaction": ["i"]}), (Mark, {}),
    (Interaction, {"id": ["a", "b"]}), (FeedbackFields, {}), (Thumb, {}), (Thumb, {"interaction": "i"}),
    (FeedbackFields, {"interaction": ["i", "j"]}), (FeedbackFields, {"subject": "u"}), (Review, {"state": "open"}),
    (Review, {"turn": 1}), (Review, {"interaction": "i", "state": "open"}), (Annotation, {"review": "r"}),
    (Annotation, {"interaction": "i"}), (Drop, {"turn": 1}), (Drop, {"turn": 1, "reason": "x"}),
    (Drop, {"reason": "x"}), (Drop, {"undone": True}), (Drop, {"taken_back": True}),
    (Model, {"turn": 1}), (Verdict, {"candidate": "m"}), (Verdict, {"turn": 1}), (Release, {}), (Turn, {"number": 1}),
    (Turn, {"state": "open"}), (Placement, {"group": "g"}), (Placement, {"id": ["a"]}),
    (SourceAnswer, {"source": "s"}), (SourceAnswer, {"source": "s", "turn": 1}), (SourceAnswer, {"interaction": "i"}),
    (SourceAnswer, {"id": ["a"]}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "where"), LOOKUPS, ids=lambda x: x.__name__ if isinstance(x, type) else "-".join(x))
def test_lookups_use_an_index(tmp_path: Path, kind: type[Struct], where: dict[str, Any]) -> None:
    with open_store(tmp_path) as store:
        records = store.records
        assert isinstance(records, SqliteRecords)
        asked: list[str] = []
        with records._readers.reading() as connection:
            connection.set_trace_callback(asked.append)
        records.find(kind, "support", limit=5, **where)
        records.count(kind, "support", **where)
        if not where:
            list(records.scan(kind, "support", after=3))
            records.head(kind, "support")
        with records._readers.reading() as connection:
            connection.set_trace_callback(None)
            assert asked
            for sql in asked:
                for *_, plan in connection.execute(f"EXPLAIN QUERY PLAN {sql}").fetchall():
                    assert not plan.startswith("SCAN") or "json_each" in plan, (sql, plan)
                    assert "loop=?" not in plan or not {"subject", "interaction", "group", "id"} & where.keys(), plan
                    if "position" in where:
                        assert "INDEX interactions_" in plan, (sql, plan)
                    if not where or "position" in where:
                        assert "TEMP B-TREE" not in plan, (sql, plan)


def test_one_connection_per_reader_at_once(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        assert isinstance(store.records, SqliteRecords)
        readers = store.records._readers
        with readers.reading() as one, readers.reading() as two:
            assert one is not two
            with pytest.raises(sqlite3.OperationalError, match="readonly"):
                one.execute("DELETE FROM turns")
        with readers.reading() as again:
            assert again in (one, two)

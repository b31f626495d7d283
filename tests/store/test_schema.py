"""Opening: stores of every earlier schema, of a newer one, of none; and how long it takes."""

import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest

from everloop.errors import StoreDamaged, StoreError, StoreTooNew
from everloop.store import open_store
from everloop.store.sqlite_connection import connect, migrate
from everloop.store.statements import migrations
from everloop.types import Drop, Interaction, LoopSpec, Spec, Thumb

LATEST = migrations()[-1].version


def files(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*") if p.is_file()}


def test_migrations_are_numbered_without_a_gap() -> None:
    assert [m.version for m in migrations()] == list(range(1, LATEST + 1))


@pytest.mark.parametrize("version", range(1, LATEST))
def test_a_store_of_an_earlier_schema_is_brought_up(tmp_path: Path, version: int) -> None:
    old = connect(tmp_path / "everloop.db")
    migrate(old, tmp_path / "everloop.db", upto=version)
    assert old.execute("PRAGMA user_version").fetchone() == (version,)
    interaction = Interaction(id="i1", loop="support", at=1, input="x")
    drop = Drop(id="i1", loop="support", turn=2, stage="curate", reason="empty")
    body, dropped = (msgspec.json.encode(record).decode() for record in (interaction, drop))
    old.execute("INSERT INTO interactions (id, loop, body) VALUES ('i1', 'support', ?)", (body,))
    old.execute("INSERT INTO drops (id, loop, turn, reason, body) VALUES ('i1', 'support', 2, 'empty', ?)", (dropped,))
    if version >= 2:
        thumb = msgspec.json.encode(Thumb(id="f1", interaction="later", at=1, value="up")).decode()
        old.execute("INSERT INTO held (id, interaction, at, body) VALUES ('f1', 'later', 1, ?)", (thumb,))
    old.close()
    with open_store(tmp_path) as store:
        assert store.records.get(Interaction, "i1") == interaction
        assert store.records.tally(Drop, "support", "reason", turn=2) == {"empty": 1}
        assert len(store.records.held()) == (version >= 2)
        assert store.records.put(Thumb(id="f2", interaction="later", at=2, value="down")) == ["held"]
        store.datasets.commit("support", [], id="v1", parent=None, recipe=Spec(name="x"), at=1)
    found = sqlite3.connect(tmp_path / "everloop.db")
    assert found.execute("PRAGMA user_version").fetchone() == (LATEST,)
    found.close()


def test_a_migration_that_fails_leaves_the_schema_before_it(tmp_path: Path) -> None:
    path = tmp_path / "everloop.db"
    old = connect(path)
    migrate(old, path, upto=1)
    old.execute("CREATE TABLE versions (x)")  # in the way of the third
    old.close()
    with pytest.raises(StoreError, match="versions already exists"):
        open_store(tmp_path)
    left = sqlite3.connect(path)
    assert left.execute("PRAGMA user_version").fetchone() == (2,)
    assert left.execute("SELECT count(*) FROM sqlite_master WHERE name = 'examples'").fetchone() == (0,)
    left.close()


def test_a_new_store_is_made_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "everloop.db"
    strange = sqlite3.connect(path)
    strange.execute("CREATE TABLE versions (x)")  # in the way of the third
    strange.close()
    with pytest.raises(StoreError, match="versions already exists"):
        open_store(tmp_path)
    left = sqlite3.connect(path)
    assert left.execute("PRAGMA user_version").fetchone() == (0,)
    assert left.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall() == [("versions",)]
    left.close()


def test_a_store_from_a_newer_everloop_is_left_alone(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        store.records.put(LoopSpec(name="support"))
    newer = sqlite3.connect(tmp_path / "everloop.db")
    newer.execute(f"PRAGMA user_version = {LATEST + 1}")
    newer.close()
    before = files(tmp_path)
    with pytest.raises(StoreTooNew) as caught:
        open_store(tmp_path)
    assert "upgrade Everloop" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert files(tmp_path) == before


def test_what_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="is a file"):
        open_store(tmp_path / "file")
    (tmp_path / "everloop.db").write_bytes(b"this is not a database" * 100)
    before = files(tmp_path)
    with pytest.raises(StoreDamaged) as caught:
        open_store(tmp_path)
    assert "\n" not in str(caught.value)
    assert files(tmp_path) == before


def test_many_open_a_new_folder_at_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        stores = list(pool.map(lambda _: open_store(tmp_path / "a" / "b"), range(8)))
    for n, store in enumerate(stores):
        assert store.records.put(LoopSpec(name=f"loop{n}")) == ["new"]
    assert stores[0].records.count(LoopSpec) == 8
    for store in stores:
        store.close()


def test_the_store_imports_little() -> None:
    code = "import sys, everloop.store; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"numpy", "scipy", "sklearn", "starlette", "httpx", "rich"} & set(loaded)

"""The disk: full, and then not; bytes that rot; and bytes that must be gone."""

import collections
import itertools
import os
import random
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from everloop.errors import StoreDamaged, StoreFull
from everloop.store import Store, open_store
from everloop.store.sqlite_records import SqliteRecords
from everloop.store.sqlite_writer import Writer
from everloop.types import (
    Comment,
    Correction,
    Example,
    FeedbackFields,
    Implicit,
    Interaction,
    LoopSpec,
    Review,
    SignalSpec,
    Spec,
)


def interaction(id: str, text: str = "x", **more: Any) -> Interaction:
    return Interaction(id=id, loop="support", at=1, input=text, **more)


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of 3 MB."""
    folder = tempfile.mkdtemp()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        os.rmdir(folder)
        pytest.skip("needs the right to mount a file system")
    yield Path(folder)
    subprocess.run(["umount", folder], check=True)
    os.rmdir(folder)


def fill(store: Store) -> int:
    """Put batches of two until the disk is full; how many were acknowledged."""
    done = itertools.count()
    with pytest.raises(StoreFull, match="no space left") as caught:
        collections.deque(iter(lambda: put_two(store, next(done)), None), maxlen=0)
    assert "\n" not in str(caught.value)
    return next(done) - 1


def put_two(store: Store, n: int) -> list[str]:
    assert n < 10_000, "the disk never filled"
    return [*store.records.put(interaction(f"{n}-a", "y" * 4000), interaction(f"{n}-b", "y" * 4000))]


def test_a_full_disk_takes_nothing_by_halves_and_then_goes_on(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(500_000))
    store = open_store(small_disk / "store")
    done = fill(store)
    assert done > 10
    assert store.records.count(Interaction) == 2 * done
    with pytest.raises(StoreFull):
        store.blobs.put(bytes(1_000_000))
    examples = [
        Example(id=f"{n}", loop="support", input="z" * 500, target="a", origin="human", split="train", group="g")
        for n in range(1000)
    ]
    with pytest.raises(StoreFull):
        store.datasets.commit("support", examples, id="v1", parent=None, recipe=Spec(name="x"), at=1,
                              alongside=[interaction("alongside")])  # fmt: skip
    assert store.datasets.log("support") == []
    assert store.records.get(Interaction, "alongside") is None
    assert list((small_disk / "store" / "blobs" / "incoming").iterdir()) == []
    ballast.unlink()
    assert store.records.put(interaction("after"), interaction("0-a", "y" * 4000)) == ["new", "known"]
    assert len(store.blobs.get(store.blobs.put(b"small"))) == 5
    store.close()
    with open_store(small_disk / "store") as store:
        assert store.records.count(Interaction) == 2 * done + 1


def test_a_full_disk_when_opening(small_disk: Path) -> None:
    (small_disk / "ballast").write_bytes(bytes(3_000_000 - 40_000))
    with pytest.raises(StoreFull, match="no space left"):
        open_store(small_disk / "store")


def test_the_small_still_fit_beside_the_large(tmp_path: Path) -> None:
    """In one group commit, a submission too large for the disk fails alone."""
    with open_store(tmp_path) as store:
        assert isinstance(store.records, SqliteRecords)
        connection = store.records._writer._connection
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages + 30}")
        futures = [
            store.records.submit([interaction(f"{n}-{k}", "y" * (100_000 if n % 5 == 2 else 1)) for k in range(3)])
            for n in range(20)
        ]
        for n, future in enumerate(futures):
            if n % 5 == 2:
                with pytest.raises(StoreFull):
                    future.result()
            else:
                assert future.result() == ["new"] * 3
        connection.execute(f"PRAGMA max_page_count = {pages + 10_000}")
        assert store.records.put(interaction("large", "y" * 200_000)) == ["new"]
        assert store.records.count(Interaction) == 16 * 3 + 1


def test_a_blob_that_rots_is_noticed_and_can_be_mended(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        name = store.blobs.put(b"the bytes of a model")
        (path,) = (p for p in tmp_path.rglob(name))
        assert path.relative_to(tmp_path).parts[-3:-1] == (name[:2], name[2:4])
        path.write_bytes(b"the bytes of a mobel")
        with pytest.raises(StoreDamaged, match="is damaged"):
            store.blobs.get(name)
        path.write_bytes(b"half")
        store.blobs.put(b"the bytes of a model")
        assert store.blobs.get(name) == b"the bytes of a model"


def test_what_a_crash_left_incoming_is_swept(tmp_path: Path) -> None:
    open_store(tmp_path).close()
    incoming = tmp_path / "blobs" / "incoming"
    for name, age in (("old", 2 * 24 * 3600), ("new", 60)):
        (incoming / name).write_bytes(b"half a model")
        then = (incoming / name).stat().st_mtime - age
        os.utime(incoming / name, (then, then))
    open_store(tmp_path).close()
    assert [p.name for p in incoming.iterdir()] == ["new"]


@pytest.mark.parametrize("seed", range(3))
def test_erased_bytes_are_gone_from_a_file_too_large_to_write_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Rows that were never moved since they were written, as most are."""
    monkeypatch.setattr("everloop.store.sqlite_writer._REWRITE_LIMIT", 0)
    chance = random.Random(seed)
    store = open_store(tmp_path)
    for n in range(600):
        whose = chance.choice(["victim", "other", "third"])
        said = f"{'PLANTED-7f3a' if whose == 'victim' else 'harmless'} {n} " + "z" * chance.choice([0, 30, 700, 9000])
        store.records.put(
            interaction(f"{n}", said, subject=whose), Correction(id=f"{n}", interaction=f"{n}", at=1, value=said)
        )
    assert holding(tmp_path, "PLANTED-7f3a")
    assert store.records.erase("victim").rows["interaction"] > 100
    assert holding(tmp_path, "PLANTED-7f3a") == []
    store.close()


def test_erasing_nobody_does_not_rewrite_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rewritten: list[str] = []
    monkeypatch.setattr(Writer, "_rewrite", lambda writer: rewritten.append("x"))
    with open_store(tmp_path) as store:
        store.records.put(interaction("i", subject="u1"))
        store.records.erase("nobody")
        assert rewritten == []
        store.records.erase("u1")
        assert rewritten == ["x"]


def holding(folder: Path, planted: str) -> list[str]:
    # In a process of its own: to open and close the file in this one would take SQLite's locks away.
    found = subprocess.run(["grep", "-rlaF", planted, str(folder)], capture_output=True, text=True, check=False)
    return found.stdout.splitlines()


def test_erased_bytes_are_gone_from_the_columns_of_declared_signals(tmp_path: Path) -> None:
    chance = random.Random(5)
    store = open_store(tmp_path)
    declared = SignalSpec(name="search", fields={"query": "str", "n": "int"})
    store.records.put(LoopSpec(name="support", signals=(declared,)))
    for n in range(600):
        whose = chance.choice(["victim", "other"])
        said = f"{'PLANTED-7f3a' if whose == 'victim' else 'harmless'} {n} " + "z" * chance.choice([0, 30, 700, 4000])
        searched = Implicit(id=f"{n}", interaction=f"{n}", at=1, value="search", fields={"query": said})
        store.records.put(interaction(f"{n}", "x", subject=whose), searched)
    assert holding(tmp_path, "PLANTED-7f3a")
    gone = store.records.erase("victim").rows["feedback"]
    assert gone > 200
    assert holding(tmp_path, "PLANTED-7f3a") == []
    left = store.signals.columns("support", "search")["query"]
    assert len(left) == 600 - gone
    assert all(said.startswith("harmless") for said in left)
    store.close()
    assert holding(tmp_path, "PLANTED-7f3a") == []


@pytest.mark.parametrize("seed", [22, 43])
def test_erased_bytes_are_gone_from_the_disk(tmp_path: Path, seed: int) -> None:
    """Many people's rows, long and short, mixed on the same pages; some changed and some deleted before."""
    chance = random.Random(seed)
    planted = "PLANTED-7f3a"
    store = open_store(tmp_path)

    def text(n: int, whose: str) -> str:
        return f"{planted if whose == 'victim' else 'harmless'} {n} " + "z" * chance.choice([0, 30, 700, 9000])

    examples = []
    for n in range(900):
        whose = chance.choice(["victim", "other", "third"])
        said = text(n, whose)
        id = f"{chance.randrange(10**9)}-{n}"
        store.records.submit([
            interaction(id, said, subject=whose),
            Correction(id=f"c{id}", interaction=id, at=1, value=said, subject=whose),
            Comment(id=f"h{id}", interaction=f"absent{n}", at=1, value=said, subject=whose),
            Review(id=f"r{id}", loop="support", turn=1, interaction=id, input=said, why="random"),
        ])  # fmt: skip
        examples.append(Example(id=id, loop="support", input=said, target="a", origin="human", split="train", group="g",
                                subjects=(whose,)))  # fmt: skip
    parent = None
    for n in range(4):
        version = f"v{n}"
        chosen = [e for e in examples if chance.random() < 0.7]
        store.datasets.commit("support", chosen, id=version, parent=parent, recipe=Spec(name="x"), at=1)
        parent = version
    for review in store.records.find(Review, "support")[::3]:
        store.records.replace(Review(id=review.id, loop="support", turn=2, interaction=review.interaction, input="",
                                     why="random", state="done"))  # fmt: skip
    store.records.delete(Review, [review.id for review in store.records.find(Review, "support", turn=1)[::2]])
    assert holding(tmp_path, planted)
    reading = store.records.scan(Interaction, "support", batch=10)  # a reader in the middle of things
    next(reading)
    erased = store.records.erase("victim")
    assert erased.rows["interaction"] > 200
    assert erased.versions == ("v0", "v1", "v2", "v3")
    assert holding(tmp_path, planted) == []
    assert holding(tmp_path, "victim") == []
    assert store.records.find(Interaction, subject="victim") == []
    assert store.records.count(FeedbackFields) == store.records.count(Interaction) == 900 - erased.rows["interaction"]
    store.close()
    assert holding(tmp_path, planted) == []

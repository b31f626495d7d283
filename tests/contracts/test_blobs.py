"""What every Blobs backend promises."""

from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256

import pytest

from everloop.errors import NotFound
from everloop.store import Store


def test_bytes_come_back_by_their_hash(store: Store) -> None:
    for data in (b"", b"a model", bytes(range(256)) * 5000):
        name = store.blobs.put(data)
        assert name == sha256(data).hexdigest()
        assert store.blobs.put(data) == name
        assert store.blobs.get(name) == data
        assert store.blobs.size(name) == len(data)
        assert store.blobs.has(name)


def test_what_is_not_there(store: Store) -> None:
    for name in ("0" * 64, "", "x", "../../everloop.db", "/etc/passwd", "A" * 64, "0" * 64 + "\n"):
        assert not store.blobs.has(name)
        store.blobs.delete(name)
        with pytest.raises(NotFound):
            store.blobs.get(name)
        with pytest.raises(NotFound):
            store.blobs.size(name)


def test_deleted_is_gone_and_can_come_back(store: Store) -> None:
    name = store.blobs.put(b"short-lived")
    store.blobs.delete(name)
    assert not store.blobs.has(name)
    assert store.blobs.put(b"short-lived") == name
    assert store.blobs.get(name) == b"short-lived"


def test_the_same_bytes_from_many_threads(store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        names = set(pool.map(lambda n: store.blobs.put(b"x" * 10_000 + bytes([n % 3])), range(48)))
    assert len(names) == 3
    assert all(store.blobs.size(name) == 10_001 for name in names)

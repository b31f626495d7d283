"""What every backend promises of the uses of blobs: nothing in use is swept, and nothing unused stays."""

import threading
from contextlib import suppress
from hashlib import sha256

import msgspec

from everloop.ids import now
from everloop.store import Store
from everloop.types import Attachment, Interaction, Intervention

from .conftest import Reopen

DAY = 24 * 3_600_000


def put(store: Store, data: bytes, interaction: str | None = None) -> str:
    """As the door does: announced, then put."""
    hash = sha256(data).hexdigest()
    store.uses.announce([hash], interaction)
    store.blobs.put(data)
    return hash


def naming(id: str, *hashes: str, subject: str | None = None) -> Interaction:
    parts = tuple(Attachment(hash=hash, media="x/y", size=1, where="input") for hash in hashes)
    return Interaction(id=id, loop="seen", at=1, input={}, attachments=parts, subject=subject)


def sweep(store: Store, before: int | None = None) -> int:
    return store.uses.sweep(store.blobs.delete, now() + DAY if before is None else before)


def test_what_a_record_names_stays_and_what_nobody_names_goes(store: Store) -> None:
    used, early, unused = put(store, b"used", "a"), put(store, b"early"), put(store, b"unused", "never written")
    window = put(store, b"window")
    store.records.put(naming("a", used), Intervention(id="f", interaction="a", at=1, value="x", window=window))
    held = put(store, b"held")
    store.records.put(Intervention(id="h", interaction="later", at=1, value="x", window=held))
    assert sweep(store, before=now() - DAY) == 0
    assert sweep(store) == 2
    assert [store.blobs.has(x) for x in (used, window, held, early, unused)] == [True, True, True, False, False]
    assert [store.uses.known(x) for x in (used, window, held, early, unused)] == [True, True, True, False, False]
    assert (store.uses.known(used, "seen"), store.uses.known(used, "other")) == (True, False)
    assert sweep(store) == 0


def test_erasure_and_deletion_release_and_the_last_user_decides(store: Store) -> None:
    mine, ours = put(store, b"mine", "a"), put(store, b"ours", "a")
    store.records.put(naming("a", mine, ours, subject="ann"), naming("b", ours, subject="bob"))
    assert store.records.erase("ann").rows["blob"] == 1
    assert sweep(store, before=now() - DAY) == 1  # released is due at once
    assert (store.blobs.has(mine), store.blobs.has(ours)) == (False, True)
    store.records.delete(Interaction, ["b"])
    assert sweep(store, before=now() - DAY) == 1
    assert not store.blobs.has(ours)


def test_a_window_goes_with_the_person_who_sent_it(store: Store) -> None:
    window = put(store, b"window")
    store.records.put(naming("a", subject="ann"))
    store.records.put(Intervention(id="f", interaction="a", at=1, value="x", window=window, subject="bob"))
    store.records.erase("bob")
    assert sweep(store, before=now() - DAY) == 1
    assert store.records.get(Interaction, "a") is not None


def test_a_retry_a_conflict_and_a_replacement_change_no_use(store: Store) -> None:
    used, other = put(store, b"used", "a"), put(store, b"other", "b")
    it = naming("a", used)
    store.records.put(it)
    assert store.records.put(it) == ["known"]
    store.records.replace(msgspec.structs.replace(it, consent=("service",)))
    assert sweep(store) == 1
    assert (store.blobs.has(used), store.blobs.has(other)) == (True, False)


def test_killed_in_the_middle_of_a_sweep_the_next_one_finishes(store: Store, reopen: Reopen) -> None:
    hashes = [put(store, b"%d" % n) for n in range(3)]

    class Killed(Exception):
        pass

    def fails(hash: str) -> None:
        store.blobs.delete(hash)
        raise Killed

    with suppress(Killed):
        store.uses.sweep(fails, now() + DAY)
    again = reopen()
    assert sum(again.blobs.has(hash) for hash in hashes) == 2
    assert sweep(again) == 3
    assert not any(again.blobs.has(hash) for hash in hashes)


def test_bytes_that_come_again_while_they_are_swept_are_there_afterwards(store: Store, reopen: Reopen) -> None:
    other = reopen()
    for n in range(20):
        hash = put(store, b"%d" % n)

        def again(n: int = n, hash: str = hash) -> None:
            put(other, b"%d" % n, f"i{n}")
            other.records.put(naming(f"i{n}", hash))

        first = now()
        while now() == first:  # what is announced from here on is newer
            pass
        thread = threading.Thread(target=again)
        thread.start()
        sweep(store, before=first + 1)
        thread.join()
        sweep(store, before=now() - DAY)
        assert store.blobs.has(hash), n


def test_more_than_one_transaction_of_them(store: Store) -> None:
    hashes = [put(store, b"%d" % n) for n in range(150)]
    assert sweep(store) == 150
    assert not any(store.blobs.has(hash) for hash in hashes)

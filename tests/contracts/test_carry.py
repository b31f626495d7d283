"""What every backend promises of what a turn keeps of its log: it goes, at once, when anything of that log changes."""

from collections.abc import Callable, Iterator

import pytest
from msgspec.structs import replace

from everloop import collect
from everloop.collect import preferring
from everloop.errors import LeaseLost
from everloop.store import Store
from everloop.types import Annotation, Correction, Drop, Interaction, Mark, Placement, Thumb

from .conftest import Reopen

IT = Interaction(id="i", loop="l", at=1, input="a secret", subject="ann", consent=("service", "improve"))
SAID = Correction(id="f", interaction="i", at=1, value="card", subject="bob")
NOTE = Annotation(id="n", loop="l", review="r", interaction="i", annotator="rev", value="card")
PLACE = Placement(id="p", loop="l", interaction="i", group="p", split="train", turn=1)


@pytest.fixture
def kept(store: Store) -> Store:
    store.records.put(IT, SAID, NOTE, PLACE, replace(IT, id="j", loop="other", subject="cyd"))
    for loop in ("l", "other"):
        assert store.carry.keep(loop, [b"a secret"], store.carry.changes(loop))
    return store


def withdraw(store: Store) -> None:
    collect.prefer(store.records, "ann", {"improve": False})


CHANGES: dict[str, Callable[[Store], object]] = {
    "erased": lambda store: store.records.erase("ann"),
    "feedback erased": lambda store: store.records.erase("bob"),
    "consent": withdraw,
    "interaction deleted": lambda store: store.records.delete(Interaction, ["i"]),
    "said otherwise": lambda store: store.records.replace(replace(SAID, value="refund")),
    "feedback deleted": lambda store: store.records.delete(Correction, ["f"]),
    "note changed": lambda store: store.records.replace(replace(NOTE, value="refund")),
    "note deleted": lambda store: store.records.delete(Annotation, ["n"]),
    "place changed": lambda store: store.records.replace(replace(PLACE, split="test")),
    "place deleted": lambda store: store.records.delete(Placement, ["p"]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_the_log_ends_what_is_kept_of_it(kept: Store, monkeypatch: pytest.MonkeyPatch, change: str) -> None:
    monkeypatch.setattr(preferring, "SETTLE_SECONDS", 0.0)
    before = kept.carry.changes("l")
    CHANGES[change](kept)
    assert kept.carry.kept("l") is None
    assert kept.carry.changes("l") > before
    assert not kept.carry.keep("l", [b"made of what it was"], before)
    assert kept.carry.kept("l") is None
    assert kept.carry.kept("other") == b"a secret"
    assert kept.carry.keep("l", [b"made of what it is"], kept.carry.changes("l"))
    assert kept.carry.kept("l") == b"made of what it is"


def test_what_only_adds_to_the_log_ends_nothing(kept: Store) -> None:
    records = kept.records
    records.put(replace(IT, id="new"), Thumb(id="t", interaction="i", at=2, value="up"))
    records.put(IT, SAID)  # sent again
    records.replace(IT, replace(SAID, loop="l", distance=4), NOTE, PLACE)
    records.replace(Mark(id="m", loop="l"), Drop(id="i", loop="l", turn=1, stage="curate", reason="empty"))
    records.replace(Drop(id="i", loop="l", turn=1, stage="curate", reason="empty", undone=True))
    assert kept.carry.kept("l") == b"a secret"


def test_it_is_kept_for_the_next_process_whole_or_not_at_all(kept: Store, reopen: Reopen) -> None:
    large = bytes(range(256)) * 40_000  # more than one part
    assert kept.carry.keep("l", [large, b"and an end"], 0)
    assert reopen().carry.kept("l") == large + b"and an end"

    def broken() -> Iterator[bytes]:
        yield large[::-1]
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="gone"):
        kept.carry.keep("l", broken(), 0)
    assert reopen().carry.kept("l") == large + b"and an end"


def test_somebody_erased_while_it_is_written_is_not_in_it(kept: Store) -> None:
    def erasing() -> Iterator[bytes]:
        yield bytes(5 << 20)
        kept.records.erase("ann")
        yield b"a secret"

    assert not kept.carry.keep("l", erasing(), kept.carry.changes("l"))
    assert kept.carry.kept("l") is None


def test_who_lost_the_lease_keeps_nothing(kept: Store) -> None:
    lease = kept.records.lease("turn:l", "one", 30)
    assert lease is not None
    kept.records.unlease(lease)
    with pytest.raises(LeaseLost):
        kept.carry.keep("l", [b"late"], 0, lease)
    assert kept.carry.kept("l") == b"a secret"


def test_drops_taken_back_are_found(store: Store) -> None:
    drops = [Drop(id=f"d{n}", loop="l", turn=1, stage="curate", reason="empty", undone=n == 2) for n in range(4)]
    store.records.replace(*drops)
    assert store.records.find(Drop, "l", undone=True) == [drops[2]]
    store.records.replace(replace(drops[2], undone=False), replace(drops[0], undone=True))
    assert [d.id for d in store.records.find(Drop, "l", undone=True)] == ["d0"]

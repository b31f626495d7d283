"""Answers of paid sources in the store: found by what was asked, and none that outlives the one who was asked about."""

import pytest

from everloop.errors import LeaseLost
from everloop.store import Store
from everloop.types import Interaction, SourceAnswer


def answer(id: str, interaction: str, turn: int = 1, **more: object) -> SourceAnswer:
    given = {"id": id, "loop": "support", "source": "s1", "interaction": interaction, "turn": turn, "label": "card"}
    return SourceAnswer(**{**given, **more})  # type: ignore[arg-type]


def test_kept_found_and_written_over(store: Store, reopen: object) -> None:
    one, two, other = answer("a", "i1"), answer("b", "i2", turn=2), answer("c", "i1", source="s2", label=None)
    assert store.records.put(one, two, other) == ["new"] * 3
    again = reopen()  # type: ignore[operator]
    assert again.records.find(SourceAnswer, "support", source="s1") == [one, two]
    assert again.records.find(SourceAnswer, "support", source="s1", turn=2) == [two]
    assert again.records.find(SourceAnswer, "support", id=["c", "a"]) == [one, other]
    assert again.records.find(SourceAnswer, interaction="i1") == [one, other]
    newer = answer("a", "i1", turn=3, label=None)
    store.records.replace(newer)
    assert store.records.find(SourceAnswer, "support", id="a") == [newer]


def test_what_was_asked_about_somebody_erased_meanwhile_is_not_written(store: Store) -> None:
    store.records.put(*(Interaction(id=id, loop="support", at=1, input=id, subject=id) for id in ("i1", "i2")))
    lease = store.records.lease("turn", "w1", 60)
    assert lease is not None
    assert store.records.erase("i1").rows["source_answer"] == 0
    store.records.replace(answer("a", "i1"), answer("b", "i2"), fence=lease, unless_erased=True)
    assert [one.id for one in store.records.find(SourceAnswer)] == ["b"]
    assert store.records.erase("i2").rows["source_answer"] == 1
    assert store.records.count(SourceAnswer) == 0
    store.records.unlease(lease)
    assert store.records.lease("turn", "w2", 60) is not None
    with pytest.raises(LeaseLost):
        store.records.replace(answer("a", "i1"), fence=lease, unless_erased=True)

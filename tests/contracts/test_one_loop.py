"""Feedback that names its loop joins there alone: what a key of one loop may say, and learn."""

from everloop.store import Store
from everloop.types import FeedbackFields, Interaction, Thumb


def thumb(id: str, of: str, loop: str | None = None) -> Thumb:
    return Thumb(id=id, interaction=of, at=1, value="up", loop=loop)


def answer(id: str, loop: str) -> Interaction:
    return Interaction(id=id, loop=loop, at=1, input="x", trace=f"trace of {id}")


def test_it_joins_its_own_and_waits_for_another_as_if_that_were_not_there(store: Store) -> None:
    records = store.records
    records.put(answer("mine", "a"), answer("theirs", "b"))
    assert records.put(
        thumb("1", "mine", "a"), thumb("2", "theirs", "a"), thumb("3", "trace of theirs", "a"),
        thumb("4", "nobody", "a"), thumb("5", "theirs"),
    ) == ["new", "held", "held", "held", "new"]  # fmt: skip
    assert [one.id for one in records.find(FeedbackFields, "b")] == ["5"]


def test_nor_does_it_join_when_that_arrives(store: Store) -> None:
    records = store.records
    assert records.put(thumb("1", "late", "a"), thumb("2", "late"), thumb("3", "own", "a")) == ["held"] * 3
    records.put(answer("late", "b"), answer("own", "a"))
    assert [one.id for one in records.find(FeedbackFields, "b")] == ["2"]
    assert [one.id for one in records.find(FeedbackFields, "a")] == ["3"]
    assert [one.id for one in records.held()] == ["1"]

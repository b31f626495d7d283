"""Feedback that names a trace speaks of an interaction in it."""

from typing import Any

import pytest

from everloop.errors import Conflict
from everloop.store import Store
from everloop.types import Comment, Correction, FeedbackFields, Interaction, Mark, Thumb


def interaction(id: str, **more: Any) -> Interaction:
    return Interaction(**{"id": id, "loop": "support", "at": 1, "input": f"text {id}", **more})


def thumb(id: str, of: str, **more: Any) -> Thumb:
    return Thumb(**{"id": id, "interaction": of, "at": 5, "value": "up", **more})


def test_it_is_written_as_feedback_on_the_newest_complete_interaction(store: Store) -> None:
    store.records.put(
        interaction("a", trace="t", at=10),
        interaction("b", trace="t", at=30),
        interaction("c", trace="t", at=30),
        interaction("d", trace="t", at=99, status="failed"),
        interaction("e", trace="t", at=20),
        interaction("f", trace="other", at=90),
    )
    assert store.records.put(thumb("f1", "t"), thumb("f2", "a"), thumb("f3", "nowhere")) == ["new", "new", "held"]
    assert store.records.get(Thumb, "f1") == thumb("f1", "c", loop="support")
    assert [f.id for f in store.records.find(FeedbackFields, interaction="c")] == ["f1"]
    assert store.records.get(Thumb, "f2") == thumb("f2", "a", loop="support")
    assert [f.id for f in store.records.held()] == ["f3"]


def test_sent_again_it_is_known_also_when_the_trace_has_gone_on(store: Store) -> None:
    store.records.put(interaction("a", trace="t"))
    assert store.records.put(thumb("f", "t"), thumb("f", "t"), thumb("f", "a")) == ["new", "known", "known"]
    store.records.put(interaction("b", trace="t", at=9))
    assert store.records.put(thumb("f", "t")) == ["known"]
    assert store.records.put(thumb("f", "a")) == ["known"]
    for other in (thumb("f", "b"), thumb("f", "t", value="down"), Comment(id="f", interaction="t", at=1, value="up")):
        with pytest.raises(Conflict):
            store.records.put(other)
    assert store.records.count(FeedbackFields) == 1


def test_an_id_goes_before_a_trace(store: Store) -> None:
    store.records.put(interaction("x", at=1), interaction("y", trace="x", at=9))
    store.records.put(thumb("f", "x"))
    assert store.records.find(FeedbackFields, interaction="y") == []


def test_only_incomplete_ones_are_better_than_none(store: Store) -> None:
    store.records.put(interaction("a", trace="t", status="partial", at=2), interaction("b", trace="t", status="failed"))
    assert store.records.put(thumb("f", "t")) == ["new"]
    assert store.records.find(FeedbackFields)[0].interaction == "a"


@pytest.mark.parametrize("by", ["put", "replace"])
def test_held_it_is_joined_when_an_interaction_of_the_trace_arrives(store: Store, reopen: Any, by: str) -> None:
    assert store.records.put(thumb("f", "t"), thumb("g", "b"), thumb("h", "elsewhere")) == ["held"] * 3
    store.close()
    store = reopen()
    write = getattr(store.records, by)
    write(interaction("a", trace="t", at=3), interaction("b", trace="t", at=4))
    assert [(f.id, f.interaction, f.loop) for f in store.records.find(FeedbackFields)] == [
        ("f", "b", "support"), ("g", "b", "support"),
    ]  # fmt: skip
    assert store.records.put(thumb("f", "t")) == ["known"]
    assert [f.id for f in store.records.held()] == ["h"]


def test_together_in_one_submission(store: Store) -> None:
    assert store.records.put(thumb("f", "t"), interaction("a", trace="t")) == ["new", "new"]
    assert store.records.find(FeedbackFields)[0].interaction == "a"
    store.records.replace(thumb("r", "t"))
    assert store.records.get(Thumb, "r") == thumb("r", "a", loop="support")


def test_a_trace_without_end_holds_up_nobody(store: Store) -> None:
    store.records.put(*(interaction(f"i{n}", trace="t", at=n) for n in range(2_000)))
    assert store.records.put(thumb("f", "t")) == ["new"]
    assert store.records.find(FeedbackFields)[0].interaction == "i1999"


def test_what_was_worked_out_does_not_count_as_content(store: Store) -> None:
    said = Correction(id="f", interaction="i", at=1, value="b")
    store.records.put(interaction("i", output="a"))
    store.records.put(Correction(id="f", interaction="i", at=1, value="b", diff=(("-", "a"), ("+", "b")), distance=1.0))
    assert store.records.put(said) == ["known"]


def test_what_was_erased_meanwhile_is_not_written_again(store: Store) -> None:
    store.records.put(
        interaction("i", subject="u"), interaction("j"), thumb("f", "i"), thumb("g", "j"), thumb("h", "?")
    )
    store.records.erase("u")
    mark = Mark(id="support:x", loop="support", position=7)
    store.records.replace(*(thumb(id, of, rationale="r") for id, of in (("f", "i"), ("g", "j"), ("h", "?"))), mark,
                          unless_erased=True)  # fmt: skip
    assert [(f.id, f.rationale) for f in store.records.find(Thumb)] == [("g", "r")]
    assert [f.rationale for f in store.records.held()] == [None]
    assert store.records.get(Mark, "support:x") == mark


def test_neighbours_in_a_session_by_position(store: Store) -> None:
    store.records.put(*(interaction(f"i{n}", session="s" if n % 2 else "z", subject="u") for n in range(10)))
    at = next(p for b in store.records.scan(Interaction, "support") for p, r in b if r.id == "i5")

    def ids(span: range, newest: bool = False, **where: Any) -> list[str]:
        found = store.records.find(Interaction, "support", position=span, newest=newest, limit=2, **where)
        return [r.id for r in found]

    assert ids(range(at + 1, 2**62), session="s") == ["i7", "i9"]
    assert ids(range(at), newest=True, session="s") == ["i3", "i1"]
    assert ids(range(at), newest=True, subject="u") == ["i4", "i3"]
    assert ids(range(at, at + 1)) == ["i5"]
    assert store.records.count(Interaction, session="z") == 5
    assert store.records.tally(Interaction, "support", "session") == {"s": 5, "z": 5}

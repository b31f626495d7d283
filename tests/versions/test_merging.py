"""The laws of a three-way merge, on any two lines of edits."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.store.digests import example_digest
from everloop.types import Diff, Example
from everloop.versions.merging import Author, Merged, join

KEYS = "abcd"
STATE = st.dictionaries(
    st.sampled_from(KEYS),
    st.tuples(st.sampled_from("xy"), st.sampled_from(["train", "golden"]), st.sampled_from([0.5, 1.0]),
              st.sampled_from(["human", "auto"])),
)  # fmt: skip


def example(id: str, target: str = "x", split: Any = "train", weight: float = 1.0, origin: Any = "human") -> Example:
    return Example(id=id, loop="l", input=f"text {id}", target=target, origin=origin, split=split, group=id,
                   weight=weight)  # fmt: skip


def state(raw: dict[str, Any]) -> dict[str, Example]:
    return {id: example(id, *rest) for id, rest in raw.items()}


def diff(old: dict[str, Example], new: dict[str, Example]) -> Diff:
    def differs(one: Example, others: dict[str, Example]) -> bool:
        return one.id not in others or example_digest(others[one.id]) != example_digest(one)

    return Diff(added=tuple(e for id, e in sorted(new.items()) if differs(e, old)),
                removed=tuple(e for id, e in sorted(old.items()) if differs(e, new)))  # fmt: skip


def applied(ours: dict[str, Example], merged: Merged) -> dict[str, Example]:
    kept = {id: e for id, e in ours.items() if id not in merged.remove}
    return {**kept, **{e.id: e for e in merged.put}}


@given(STATE, STATE, STATE)
def test_laws(raw_base: Any, raw_ours: Any, raw_theirs: Any) -> None:
    base, ours, theirs = state(raw_base), state(raw_ours), state(raw_theirs)
    nothing = Diff(added=(), removed=())
    assert join(diff(base, ours), diff(base, ours)) == Merged((), (), ())  # with itself: nothing
    assert join(diff(base, ours), nothing) == Merged((), (), ())  # with what it comes from: nothing
    assert applied(base, join(nothing, diff(base, theirs))) == theirs  # from where they parted: theirs
    one, other = join(diff(base, ours), diff(base, theirs)), join(diff(base, theirs), diff(base, ours))
    assert [c.example for c in one.open] == [c.example for c in other.open]
    if not one.open:
        assert applied(ours, one) == applied(theirs, other)  # it makes no difference who merges whom
    clashing = {c.example for c in one.clashes}
    for id in KEYS:
        if id in clashing:
            assert ours.get(id) != base.get(id) != theirs.get(id)
        elif theirs.get(id) == base.get(id):
            assert applied(ours, one).get(id) == ours.get(id)
        elif ours.get(id) == base.get(id):
            assert applied(ours, one).get(id) == theirs.get(id)
    for prefer, wins in (("ours", ours), ("theirs", theirs)):
        settled = join(diff(base, ours), diff(base, theirs), [prefer])  # type: ignore[list-item]
        assert not settled.open
        assert {c.took for c in settled.clashes} <= {prefer}
        for id in clashing:
            assert applied(ours, settled).get(id) == wins.get(id)


def test_a_persons_change_beats_the_machines_and_the_later_the_earlier() -> None:
    base, ours = {"a": example("a", "x"), "b": example("b", "x")}, {"a": example("a", "y"), "b": example("b", "y")}
    theirs = {"a": example("a", "z")}
    both = diff(base, ours), diff(base, theirs)
    (first, second) = join(*both).open
    assert (first.base, first.ours, first.theirs) == ("x", "y", "z")
    assert (second.ours, second.theirs) == ("y", None)
    told = {"a": (Author(False, 9), Author(True, 1)), "b": (Author(True, 5), Author(True, 5))}
    human = join(*both, ["human"], told.__getitem__)
    assert [(c.took, c.by) for c in human.clashes] == [("theirs", "human"), (None, None)]
    assert human.put == (theirs["a"],)
    newest = join(*both, ["newest", "theirs"], told.__getitem__)
    assert [(c.took, c.by) for c in newest.clashes] == [("ours", "newest"), ("theirs", "theirs")]
    assert (newest.put, newest.remove) == ((), ("b",))


def test_nothing_moves_between_training_and_golden_unseen() -> None:
    base = {"a": example("a", "x", "train", 0.5)}
    ours, theirs = {"a": example("a", "x", "golden")}, {"a": example("a", "x", "train", 1.0)}
    assert [c.example for c in join(diff(base, ours), diff(base, theirs)).open] == ["a"]


def test_who_changed_what_is_asked_for_clashes_alone() -> None:
    def asked(id: str) -> tuple[Author, Author]:
        raise AssertionError(id)

    base = {"a": example("a", "x"), "b": example("b", "x")}
    ours, theirs = {**base, "a": example("a", "y")}, {**base, "b": example("b", "y")}
    assert join(diff(base, ours), diff(base, theirs), ["human"], asked).put == (theirs["b"],)
    with pytest.raises(AssertionError):
        join(diff(base, ours), diff(base, {**base, "a": example("a", "z")}), ["human"], asked)

"""What a backend promises of declared signals: columns, filled with the feedback, and gone with it."""

from typing import Any

import pytest

from everloop.errors import NotFound
from everloop.store import Store
from everloop.types import Derived, Feedback, FeedbackFields, Implicit, Interaction, LoopSpec, Outcome, SignalSpec


def loop(*signals: SignalSpec, **more: Any) -> LoopSpec:
    return LoopSpec(name="shop", signals=signals, **more)


def asked(id: str, at: int = 1000, **more: Any) -> Interaction:
    return Interaction(id=id, loop="shop", at=at, input="x", **more)


def clicked(id: str, of: str, at: int = 2000, **more: Any) -> Implicit:
    return Implicit(id=id, interaction=of, at=at, value="click", **more)


def bought(id: str, of: str, value: float, at: int = 2000, **more: Any) -> Outcome:
    return Outcome(id=id, interaction=of, at=at, value=value, **more)


CLICK = SignalSpec(
    name="click", fields={"page": "str", "depth": "int", "share": "float", "bot": "bool", "position": "int"}
)
SOLD = SignalSpec(name="sold", kind="outcome", fields={"items": "int"})


def test_declared_signals_are_columns(store: Store, reopen: Any) -> None:
    store.records.put(loop(CLICK, SOLD, outcome="sold"), asked("i1"), asked("i2", 1500))
    store.records.put(
        clicked("f1", "i1", fields={"page": "a'; DROP TABLE loops", "depth": 3, "share": 1, "bot": True}, position=7),
        clicked("f2", "i2", 2500),
        bought("f3", "i1", 9.5, name="sold", fields={"items": 2}),
        bought("f4", "i1", 1.0, silent=True),  # the outcome the loop declares
        bought("f5", "i1", 1.0, name="returned"),
        Implicit(id="f6", interaction="i1", at=1, value="dwell"),
    )
    store.close()
    signals = reopen().signals
    found = signals.columns("shop", "click")
    assert list(found) == [
        "interaction", "asked", "at", "received", "silent", "page", "depth", "share", "bot", "position",
    ]  # fmt: skip
    assert found["position"] == [7, None]
    assert found["interaction"] == ["i1", "i2"]
    assert found["asked"] == [1000, 1500]
    assert found["at"] == [2000, 2500]
    assert found["page"] == ["a'; DROP TABLE loops", None]
    assert (found["depth"], found["share"], found["bot"]) == ([3, None], [1.0, None], [True, None])
    assert min(found["received"]) > 1_600_000_000_000
    sold = signals.columns("shop", "sold")
    assert (sold["value"], sold["silent"], sold["items"]) == ([9.5, 1.0], [False, True], [2, None])
    with pytest.raises(NotFound, match="it declares: click, sold"):
        signals.columns("shop", "returned")


def test_a_column_that_is_added_is_absent_in_old_rows_and_one_that_goes_comes_back(store: Store) -> None:
    def declare(**fields: Any) -> None:
        store.records.replace(loop(SignalSpec(name="click", fields=fields)))

    declare(a="int")
    store.records.put(asked("i"), clicked("f1", "i", fields={"a": 1, "b": 1}))
    declare(a="int", b="float")
    store.records.put(clicked("f2", "i", fields={"a": 2, "b": 2}))
    assert {k: v for k, v in store.signals.columns("shop", "click").items() if k in "ab"} == {
        "a": [1, 2],
        "b": [None, 2.0],
    }
    declare(b="float")
    store.records.put(clicked("f3", "i", fields={"a": 3, "b": 3}))
    assert "a" not in store.signals.columns("shop", "click")
    declare(b="float", a="int")
    store.records.put(clicked("f4", "i", fields={"a": 4}))
    found = store.signals.columns("shop", "click")
    assert (found["a"], found["b"]) == ([1, 2, None, 4], [None, 2.0, 3.0, None])
    declare(a="str")  # another type is another column
    store.records.put(clicked("f5", "i", fields={"a": "five"}))
    assert store.signals.columns("shop", "click")["a"] == [None] * 4 + ["five"]
    store.records.replace(loop())
    store.records.put(clicked("f6", "i", fields={"a": "six"}))
    assert len(store.signals.columns("shop", "click")["at"]) == 5


def test_what_does_not_fit_its_column_is_absent_there_and_kept_in_the_record(store: Store) -> None:
    store.records.put(loop(CLICK), asked("i"))
    odd = clicked("f", "i", fields={"page": 5, "depth": "x", "share": True, "bot": 1, "more": [1]})
    store.records.put(odd, clicked("g", "i", fields={"depth": 2**70, "share": 0.5}))
    found = store.signals.columns("shop", "click")
    assert [found[name] for name in ("page", "depth", "share", "bot")] == [
        [None] * 2,
        [None] * 2,
        [None, 0.5],
        [None] * 2,
    ]
    assert store.records.get(Implicit, "f").fields == odd.fields  # type: ignore[union-attr]


def test_held_feedback_is_filled_in_when_it_is_joined_with_the_time_it_came(store: Store) -> None:
    store.records.put(loop(CLICK), clicked("f", "i", fields={"depth": 1}), clicked("g", "t", fields={"depth": 2}))
    (before,) = set(store.signals.held_since())
    assert store.signals.columns("shop", "click")["depth"] == []
    store.records.put(asked("i", trace="t"))
    found = store.signals.columns("shop", "click")
    assert (found["depth"], found["received"], found["interaction"]) == ([1, 2], [before] * 2, ["i"] * 2)
    assert store.signals.held_since() == []


def test_written_over_deleted_and_erased(store: Store) -> None:
    store.records.put(loop(CLICK, SOLD), asked("i", subject="u"), asked("j"))
    store.records.put(
        clicked("f1", "i", fields={"depth": 1}),
        clicked("f2", "j", fields={"depth": 2}),
        clicked("f3", "j", fields={"depth": 3}, subject="u"),
        bought("s", "j", 1, name="sold"),
    )
    before = store.signals.columns("shop", "click")
    store.records.replace(clicked("f2", "j", fields={"depth": 20}))
    after = store.signals.columns("shop", "click")
    assert after["depth"] == [1, 20, 3]
    assert after["received"] == before["received"]
    store.records.replace(bought("f2", "j", 5, name="sold"))  # another signal now
    assert store.signals.columns("shop", "click")["depth"] == [1, 3]
    assert store.signals.columns("shop", "sold")["value"] == [5.0, 1.0]  # at its position
    assert store.records.delete(Implicit, ["f2"]) == 0
    assert store.records.delete(Outcome, ["f2"]) == 1
    assert store.signals.columns("shop", "sold")["value"] == [1.0]
    store.records.put(*(Derived(id=f"r:{id}", loop="shop", rule="retry.v1", interaction=id, value=1) for id in "ij"))
    assert store.records.erase("u").rows["derived"] == 2  # of j too, where they gave feedback
    assert store.signals.columns("shop", "click")["depth"] == []
    assert store.signals.columns("shop", "sold")["value"] == [1.0]
    assert store.records.delete(FeedbackFields, ["s"]) == 1
    assert store.signals.columns("shop", "sold")["value"] == []


def test_only_some_columns(store: Store) -> None:
    store.records.put(loop(CLICK), asked('i\\"at": 5'), clicked("f", 'i\\"at": 5', fields={"depth": 2}))
    assert store.signals.columns("shop", "click", only=["depth", "asked"]) == {"depth": [2], "asked": [1000]}
    assert store.signals.columns("shop", "click", only=[]) == {}
    with pytest.raises(NotFound, match="no column 'dept'"):
        store.signals.columns("shop", "click", only=["dept"])


def test_newest_and_since(store: Store) -> None:
    store.records.put(loop(CLICK), asked("i"))
    for n in range(10):
        store.records.put(clicked(f"f{n}", "i", fields={"depth": n}))
    assert store.signals.columns("shop", "click", limit=3)["depth"] == [7, 8, 9]
    received = store.signals.columns("shop", "click")["received"]
    assert len(store.signals.columns("shop", "click", since=received[-1])["depth"]) == received.count(received[-1])


def test_an_outcome_and_an_implicit_signal_of_one_name(store: Store) -> None:
    store.records.put(loop(SignalSpec(name="x"), SignalSpec(name="x", kind="outcome")), asked("i"))
    store.records.put(Implicit(id="f", interaction="i", at=1, value="x"), bought("g", "i", 2, name="x"))
    assert store.signals.columns("shop", "x", kind="outcome")["value"] == [2.0]
    assert "value" not in store.signals.columns("shop", "x", kind="implicit")


def test_coverage_is_of_a_span_of_time_in_whatever_order_it_came(store: Store) -> None:
    store.records.put(loop(CLICK, SOLD))
    times = [*range(0, 3000), *range(5000, 4000, -1), 10**15]  # an import the wrong way round, a clock far ahead
    store.records.put(*(asked(f"i{n}", at) for n, at in enumerate(times)))
    said: list[Feedback] = [clicked(f"f{n}", f"i{n}") for n in range(0, 3000, 3)]
    store.records.put(*said, clicked("again", "i0"), bought("s", "i3", 1, name="sold", silent=True))
    assert store.signals.coverage("shop", "click", after=0, before=3000) == (3000, 1000)
    assert store.signals.coverage("shop", "click", after=1000, before=2000, limit=300) == (300, 100)
    assert store.signals.coverage("shop", "sold", after=0, before=100) == (100, 0)
    assert store.signals.coverage("shop", "click", after=9_000, before=9_999) == (0, 0)


def test_a_declaration_that_fails_leaves_no_table(store: Store) -> None:
    futures = [store.records.submit([loop(CLICK)]), store.records.submit([loop(CLICK, SOLD)])]  # a conflict
    assert futures[0].result() == ["new"]
    with pytest.raises(Exception, match="already"):
        futures[1].result()
    with pytest.raises(NotFound):
        store.signals.columns("shop", "sold")


@pytest.mark.parametrize("many", [1, 3])
def test_two_processes_declare_and_fill(reopen: Any, many: int) -> None:
    one, two = reopen(), reopen()
    one.records.replace(loop(SignalSpec(name="click", fields={"a": "int"})))
    two.records.put(asked("i"), *(clicked(f"f{n}", "i", fields={"a": n, "b": n}) for n in range(many)))
    two.records.replace(loop(SignalSpec(name="click", fields={"a": "int", "b": "int"})))
    one.records.put(clicked("g", "i", fields={"a": 9, "b": 9}))
    found = two.signals.columns("shop", "click")
    assert (found["a"], found["b"]) == ([*range(many), 9], [None] * many + [9])

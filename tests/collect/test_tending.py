"""What is kept up to date beside the turn, on a clock that the tests move."""

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from everloop import registry
from everloop.collect import tending
from everloop.collect.deriving import Found, Rule
from everloop.collect.outcomes import counts, outcome_of
from everloop.collect.tending import declared_marks, derive, lease_name, tend
from everloop.errors import Conflict, EverloopError, InvalidInput
from everloop.store import Store, open_store
from everloop.types import (
    Comment,
    Correction,
    Derived,
    FeedbackFields,
    Implicit,
    Interaction,
    LoopSpec,
    Mark,
    Outcome,
    SignalSpec,
    Thumb,
)

DAY, MINUTE = 86_400_000, 60_000
T0 = 1_800_000_000_000
WEEK = SignalSpec(name="contact", kind="outcome", window_s=7 * 86_400, silence=0.0)
SPEC = LoopSpec(name="l", signals=(WEEK,))


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with open_store(tmp_path) as made:
        made.records.replace(SPEC, *declared_marks(made.records, SPEC, None))
        yield made


def ask(store: Store, id: str, at: int = T0, **more: Any) -> Interaction:
    made = Interaction(**{"id": id, "loop": "l", "at": at, "input": f"question {id}", "output": "an answer", **more})
    store.records.put(made)
    return made


def came(store: Store, id: str, of: str, at: int, value: float = 1.0, **more: Any) -> None:
    store.records.put(Outcome(**{"id": id, "interaction": of, "at": at, "value": value, "name": "contact", **more}))


def silences(store: Store) -> list[str]:
    return [one.interaction for one in store.records.find(Outcome, "l") if one.silent]


def at(store: Store, time: int, spec: LoopSpec = SPEC) -> tending.Tended:
    return tend(store.records, spec, "me", time=time)


# --- windows --------------------------------------------------------------------------------------------------------


def test_silence_becomes_an_outcome_only_when_the_window_has_closed(store: Store) -> None:
    ask(store, "a")
    ask(store, "b", T0 + DAY)
    came(store, "f", "a", T0 + 3 * DAY)
    at(store, T0 + DAY)
    at(store, T0 + 7 * DAY)
    assert silences(store) == []
    at(store, T0 + 8 * DAY)
    assert silences(store) == []  # what happens in the last millisecond still counts
    assert at(store, T0 + 8 * DAY + 1).silences == 1
    (made,) = [one for one in store.records.find(Outcome) if one.silent]
    assert made == Outcome(id="b.contact.silence", interaction="b", loop="l", at=T0 + 8 * DAY, value=0.0, silent=True,
                           name="contact", window_s=7 * 86_400.0, source="system")  # fmt: skip
    assert at(store, T0 + 9 * DAY) == tending.Tended()
    assert at(store, T0 + 99 * DAY) == tending.Tended()
    assert store.signals.columns("l", "contact")["silent"] == [False, True]


def test_many_days_of_traffic_in_whatever_order(store: Store) -> None:
    """A few at a time, some reported days late; a look every six hours. Each has its silence, and none before time."""
    asked: dict[str, int] = {}
    for hour in range(0, 24 * 16, 3):
        time = T0 + hour * 3_600_000
        fresh = {f"{hour}-{n}": time - late for n, late in enumerate((0, 0, 5 * DAY, -MINUTE))}
        store.records.put(*(Interaction(id=id, loop="l", at=when, input="x") for id, when in fresh.items()))
        asked |= fresh
        if hour % 6 == 0:
            at(store, time)
            due = {id for id, when in asked.items() if when + 7 * DAY < time}
            done = set(silences(store))
            assert done <= {id for id, when in asked.items() if min(when, time) + 7 * DAY < time}
            hour_ago = {id for id in due if asked[id] + 7 * DAY + 3 * 3_600_000 < time}
            assert hour_ago <= done
    mark = store.records.get(Mark, "l:silence:contact")
    assert mark is not None
    assert len(mark.ahead) < 130
    assert mark.position > 0
    at(store, T0 + 100 * DAY)
    assert sorted(silences(store)) == sorted(asked)
    mark = store.records.get(Mark, "l:silence:contact")
    assert mark is not None
    assert (mark.ahead, mark.position) == ((), store.records.head(Interaction, "l"))


def test_history_that_somebody_brings_along_closes_at_once(store: Store) -> None:
    ask(store, "old", T0 - 30 * DAY)
    ask(store, "answered", T0 - 30 * DAY)
    came(store, "f", "answered", T0 - 29 * DAY)
    assert at(store, T0).silences == 1
    assert silences(store) == ["old"]


def test_a_clock_that_is_not_believed_counts_from_when_we_saw_it(store: Store) -> None:
    ask(store, "ahead", T0 + 5000 * DAY)
    ask(store, "reset", 12_345)
    ask(store, "right", T0)
    assert at(store, T0).silences == 0
    assert at(store, T0 + 7 * DAY).silences == 0
    at(store, T0 + 7 * DAY + 1)
    assert sorted(silences(store)) == ["ahead", "reset", "right"]


def test_our_own_clock_put_back_does_no_harm(store: Store) -> None:
    ask(store, "a")
    at(store, T0)
    ask(store, "b")
    at(store, T0 - 3 * DAY)
    ask(store, "c", T0 + DAY)
    at(store, T0 + DAY)
    at(store, T0 + 30 * DAY)
    assert sorted(silences(store)) == ["a", "b", "c"]


def test_what_was_asked_before_the_declaration_gets_no_silence(store: Store) -> None:
    ask(store, "before", T0 - 90 * DAY)
    other = replace(WEEK, name="returned")
    spec = replace(SPEC, signals=(WEEK, other))
    store.records.replace(spec, *declared_marks(store.records, spec, SPEC))
    ask(store, "after", T0 - 90 * DAY)
    at(store, T0, spec)
    assert sorted(one.id for one in store.records.find(Outcome)) == [
        "after.contact.silence", "after.returned.silence", "before.contact.silence",
    ]  # fmt: skip
    # Taken back and declared again: what came in between is nobody's silence.
    store.records.replace(SPEC)
    ask(store, "between", T0 - 90 * DAY)
    store.records.replace(spec, *declared_marks(store.records, spec, SPEC))
    at(store, T0, spec)
    assert "between.returned.silence" not in {one.id for one in store.records.find(Outcome)}


def test_an_outcome_after_the_window_is_kept_and_does_not_count(store: Store) -> None:
    it = ask(store, "a")
    at(store, T0)
    at(store, T0 + 8 * DAY)
    came(store, "late", "a", T0 + 9 * DAY)
    told = outcome_of(store.records.find(Outcome), it, "contact", SPEC)
    assert told.outcome is not None
    assert told.outcome.silent
    assert [one.id for one in told.late] == ["late"]
    late, silence = (store.records.get(Outcome, id) for id in ("late", "a.contact.silence"))
    assert late is not None
    assert silence is not None
    assert not counts(store.records, late, it, SPEC)
    assert counts(store.records, silence, it, SPEC)
    assert counts(store.records, replace(late, name="anything"), it, SPEC)  # not declared: no window


def test_what_happened_in_time_is_believed_over_a_silence_however_late_it_is_told(store: Store) -> None:
    it = ask(store, "a")
    at(store, T0)
    at(store, T0 + 8 * DAY)
    assert silences(store) == ["a"]
    came(store, "real", "a", T0 + 7 * DAY)
    told = outcome_of(store.records.find(Outcome), it, "contact", SPEC)
    assert told.outcome is not None
    assert (told.outcome.id, told.late) == ("real", ())
    came(store, "again", "a", T0 + 7 * DAY, 5.0)
    last = outcome_of(store.records.find(Outcome), it, "contact", SPEC).outcome
    assert last is not None
    assert last.id == "real"  # of one time, the greater id


def test_a_real_outcome_that_races_the_silence(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes after we looked for it and before the silence is written: both are there, and the real one counts."""
    it = ask(store, "a")
    at(store, T0)
    write = tending.write_silences

    def slow(records: Any, made: Any) -> int:
        came(store, "real", "a", T0 + DAY)
        return write(records, made)

    monkeypatch.setattr(tending, "write_silences", slow)
    at(store, T0 + 8 * DAY)
    found = store.records.find(Outcome)
    assert len(found) == 2
    counted = outcome_of(found, it, "contact", SPEC).outcome
    assert counted is not None
    assert counted.id == "real"


@pytest.mark.parametrize("after", ["write_silences", "write"])
def test_killed_at_any_point_it_comes_to_the_same(store: Store, monkeypatch: pytest.MonkeyPatch, after: str) -> None:
    for n in range(5):
        ask(store, f"i{n}", T0 - 30 * DAY)
    with monkeypatch.context() as patch:
        if after == "write":
            patch.setattr(tending._Pen, "write", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        else:
            write = tending.write_silences
            patch.setattr(
                tending, "write_silences", lambda *args: (write(*args), (_ for _ in ()).throw(KeyboardInterrupt))
            )
        with pytest.raises(KeyboardInterrupt):
            at(store, T0)
    at(store, T0)
    assert sorted(silences(store)) == [f"i{n}" for n in range(5)]
    assert store.records.count(FeedbackFields) == 5


def test_only_one_worker_is_at_it_and_a_late_one_writes_no_mark(store: Store) -> None:
    ask(store, "a", T0 - 30 * DAY)
    held = store.records.lease(lease_name("l"), "other", 60)
    assert held is not None
    assert at(store, T0) == tending.Tended()
    store.records.unlease(held)
    assert at(store, T0).silences == 1


def test_an_id_that_somebody_took_stops_nobody(store: Store) -> None:
    for id in "abc":
        ask(store, id, T0 - 30 * DAY)
    store.records.put(Comment(id="b.contact.silence", interaction="a", at=1, value="mine"))
    assert at(store, T0).silences == 2
    assert sorted(silences(store)) == ["a", "c"]


def test_somebody_erased_meanwhile_leaves_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    ask(store, "a", T0 - 30 * DAY, subject="u")
    ask(store, "b", T0 - 30 * DAY)
    write = tending.write_silences

    def erased(records: Any, made: Any) -> int:
        records.erase("u")
        return write(records, made)

    monkeypatch.setattr(tending, "write_silences", erased)
    assert at(store, T0).silences == 1
    assert store.records.held() == []
    assert silences(store) == ["b"]


def test_a_large_import_goes_in_rounds(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tending, "BATCH", 10)
    monkeypatch.setattr(tending, "_ROUND", 3)
    store.records.put(*(Interaction(id=f"i{n}", loop="l", at=T0 - (n % 20) * DAY, input="x") for n in range(100)))
    rounds = 1
    while at(store, T0).more:
        rounds += 1
    assert rounds >= 4
    closed = [f"i{n}" for n in range(100) if n % 20 > 7]
    assert sorted(silences(store)) == sorted(closed)
    for day in range(1, 9):
        at(store, T0 + day * DAY + 1)
    assert len(silences(store)) == 100


# --- diffs ----------------------------------------------------------------------------------------------------------


def test_corrections_get_their_diff_whenever_their_interaction_comes(store: Store) -> None:
    store.records.put(Correction(id="held", interaction="a", at=1, value="an apple"),
                      Correction(id="traced", interaction="t", at=1, value="an answer"))  # fmt: skip
    ask(store, "a", trace="t")
    ask(store, "none", output=None)
    store.records.put(Correction(id="nothing", interaction="none", at=1, value="x"))
    assert at(store, T0).diffs == 2
    made = store.records.get(Correction, "held")
    assert made is not None
    assert (made.diff, made.distance) == ((("=", "an "), ("-", "answer"), ("+", "apple")), 4 / 9)
    traced, nothing = (store.records.get(Correction, id) for id in ("traced", "nothing"))
    assert traced is not None
    assert traced.distance == 0
    assert nothing is not None
    assert nothing.diff is None
    assert store.records.put(Correction(id="held", interaction="a", at=1, value="an apple")) == ["known"]
    assert at(store, T0) == tending.Tended()


# --- derived signals ------------------------------------------------------------------------------------------------


def derived(store: Store, rule: str) -> dict[str, tuple[float, tuple[str, ...]]]:
    return {one.interaction: (one.value, one.evidence) for one in store.records.find(Derived, "l", rule=rule)}


def session(store: Store) -> None:
    """Asked, asked again in other words, copied; another person corrects; a third goes away."""
    ask(store, "q1", T0, session="s", input="Where is my card?")
    ask(store, "q2", T0 + 2 * MINUTE, session="s", input="where is  my CARD")
    ask(store, "q3", T0 + 3 * MINUTE, session="s", input="something else")
    ask(store, "c1", T0, subject="u")
    ask(store, "g1", T0 + MINUTE, session="gone")
    ask(store, "anybody", T0)
    store.records.put(
        Implicit(id="copy", interaction="q3", at=T0 + 4 * MINUTE, value="copy"),
        Correction(id="fix", interaction="c1", at=T0 + MINUTE, value="an apple"),
        Thumb(id="down", interaction="g1", at=T0 + MINUTE, value="down"),
    )


WANTED = {
    "retry.v1": {"q1": (0.9412, ("q2",))},
    "edit_distance.v1": {"c1": (0.4444, ("fix",))},
    "abandoned.v1": {"g1": (1.0, ())},
    "copied.v1": {"q3": (1.0, ("copy",))},
}


def test_the_worker_derives_what_needs_no_session_at_once_and_the_rest_once_it_has_settled(store: Store) -> None:
    session(store)
    at(store, T0 + 5 * MINUTE)
    assert {rule: derived(store, rule) for rule in WANTED} == {
        **WANTED, "retry.v1": {}, "abandoned.v1": {}
    }  # fmt: skip
    assert at(store, T0 + 34 * MINUTE).derived == 0
    assert at(store, T0 + 35 * MINUTE).derived == 2
    assert {rule: derived(store, rule) for rule in WANTED} == WANTED
    assert at(store, T0 + 3 * DAY) == tending.Tended()
    store.records.put(Correction(id="fix2", interaction="c1", at=T0 + DAY, value="an answer"))
    at(store, T0 + 3 * DAY)
    assert derived(store, "edit_distance.v1") == {"c1": (0.0, ("fix2",))}


def test_history_is_derived_anew_and_comes_to_the_same(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tending, "BATCH", 2)
    session(store)
    seen: list[int] = []
    counted = derive(store.records, SPEC, "me", time=T0 + DAY, told=seen.append)
    assert counted == {"retry.v1": 1, "edit_distance.v1": 1, "abandoned.v1": 1, "copied.v1": 1}
    assert sum(seen) == 6
    rows = sorted(store.records.find(Derived), key=lambda one: one.id)
    at(store, T0 + DAY)
    at(store, T0 + 2 * DAY)
    assert sorted(store.records.find(Derived), key=lambda one: one.id) == rows
    store.records.replace(Derived(id="retry.v1:q3", loop="l", rule="retry.v1", interaction="q3", value=1),
                          Derived(id="old.v1:q3", loop="l", rule="old.v1", interaction="q3", value=1))  # fmt: skip
    derive(store.records, SPEC, "me", ["retry.v1"], time=T0 + DAY)
    assert derived(store, "retry.v1") == WANTED["retry.v1"]
    assert len(derived(store, "old.v1")) == 1
    derive(store.records, SPEC, "me", time=T0 + DAY)
    assert derived(store, "old.v1") == {}
    with pytest.raises(InvalidInput, match="it derives: retry"):
        derive(store.records, SPEC, "me", ["retri.v1"])


def test_what_has_not_settled_is_left_to_the_worker(store: Store) -> None:
    session(store)
    assert derive(store.records, SPEC, "me", time=T0 + 5 * MINUTE)["abandoned.v1"] == 0


def test_a_session_is_seen_from_both_sides_in_any_order_and_however_long(store: Store) -> None:
    store.records.put(
        *(
            Interaction(id=f"i{n}", loop="l", at=T0 - n * MINUTE, input=f"words that differ {n * 7919}", session="s")
            for n in range(100)
        )
    )  # newest first, as an export may be
    derive(store.records, SPEC, "me", ["abandoned.v1"], time=T0 + DAY)
    assert derived(store, "abandoned.v1") == {"i0": (1.0, ())}


def test_a_strangers_rule(store: Store) -> None:
    def longest(it: Interaction, feedback: Any, _: Any) -> Found | None:
        if it.id == "bad":
            raise ZeroDivisionError("no\nway")
        return Found(float(len(feedback)), tuple(one.id for one in feedback)) if feedback else None

    registry.register("signal", "said_much.v1", Rule(longest))
    spec = replace(SPEC, derive=("said_much.v1",))
    ask(store, "a")
    store.records.put(Thumb(id="f1", interaction="a", at=1, value="up"))
    at(store, T0, spec)
    store.records.put(Thumb(id="f2", interaction="a", at=1, value="up"))
    at(store, T0, spec)
    assert derived(store, "said_much.v1") == {"a": (2.0, ("f1", "f2"))}
    ask(store, "bad")
    store.records.put(Thumb(id="f3", interaction="bad", at=1, value="up"))
    with pytest.raises(
        EverloopError, match=r"rule 'said_much.v1' failed on interaction 'bad': ZeroDivisionError: no way"
    ):
        at(store, T0, spec)


def test_while_another_worker_is_at_it_deriving_waits_and_then_says_so(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tending, "_PATIENCE", 0.0)
    assert store.records.lease(lease_name("l"), "other", 60) is not None
    with pytest.raises(Conflict, match="try again soon"):
        derive(store.records, SPEC, "me")

"""What every Records backend promises."""

import math
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from msgspec.structs import replace

from everloop.errors import Conflict, InvalidInput, LeaseLost, StoreError
from everloop.store import Store
from everloop.types import (
    Alternative,
    Annotation,
    Comment,
    Correction,
    DatasetVersion,
    Demonstration,
    Drop,
    DropAudit,
    Example,
    FeedbackFields,
    Implicit,
    Interaction,
    Intervention,
    Label,
    LoopSpec,
    Model,
    Outcome,
    Placement,
    Rating,
    Release,
    Review,
    SourceAnswer,
    Spec,
    Thumb,
    Turn,
    Verdict,
    Vote,
)


def interaction(id: str, loop: str = "support", **more: Any) -> Interaction:
    return Interaction(**{"id": id, "loop": loop, "at": 1, "input": f"text {id}", **more})


def thumb(id: str, of: str, **more: Any) -> Thumb:
    return Thumb(**{"id": id, "interaction": of, "at": 5, "value": "up", **more})


def review(id: str, **more: Any) -> Review:
    return Review(
        **{"id": id, "loop": "support", "turn": 1, "interaction": "i1", "input": "x", "why": "random", **more}
    )


def drop(id: str, turn: int, reason: str) -> Drop:
    return Drop(id=id, loop="support", turn=turn, stage="curate", reason=reason)


FIELDS: dict[str, Any] = {"interaction": "i1", "at": 5, "loop": "support", "subject": "u1"}
FEEDBACK = [
    Thumb(id="f0", value="down", rationale="wrong", **FIELDS),
    Rating(id="f1", value=3.5, **FIELDS),
    Vote(id="f2", value="tie", other="i2", **FIELDS),
    Correction(id="f3", value="card_arrival", rationale="asks where it is", seconds=3.25, **FIELDS),
    Intervention(id="f4", value="brake", before_s=2.0, window="ab" * 32, **FIELDS),
    Implicit(id="f5", value="skip", position=3, reason_end="next", **FIELDS),
    Outcome(id="f6", value=0.25, name="handoff_rate", **FIELDS),
    Comment(id="f7", value="naïve — ✓ \0 日本", **FIELDS),
    Label(id="f8", value="card_arrival", split="test", **FIELDS),
    Demonstration(id="f9", value="done", steps=({"at": 1, "op": "click"},), outcome={"success": True}, **FIELDS),
]
# fmt: off
CONTROL = [
    LoopSpec(name="support", signal="agents correct", labels=("a", "b")),
    interaction("i1", subject="u1", alternatives=(Alternative("b", 0.1),), context={"channel": "web", "n": [1, 2.5]}),
    interaction("i2", input=[0.0, 1.5, -2.0]),
    interaction("i3", input={"messages": [{"role": "user", "content": "hi"}]}),
    Placement(id="p1", loop="support", interaction="i1", group="p1", split="train", turn=1),
    drop("i2", 1, "empty"),
    review("r1"),
    Annotation(id="a1", loop="support", review="r1", interaction="i1", annotator="ann", value="b"),
    Model(id="m1", loop="support", turn=1, spec=Spec(name="x.v1", args={"c": 1}), dataset="v1", blob="00", size=3,
          classes=("a",), seconds=0.5, at=1),
    Verdict(id="w1", loop="support", turn=1, candidate="m1", champion=None, outcome="pass", reason="better",
            metric="accuracy", estimate=0.1, low=0.0, high=0.2, n=9, level=0.95, margin=0.02, method="paired"),
    Release(id="l1", loop="support", model="m1", stage="live"),
    Turn(id="t1", loop="support", number=1, trigger="hand", cut={"feedback": 3}),
]
# fmt: on


def id_of(record: Any) -> str:
    return record.name if isinstance(record, LoopSpec) else record.id


@pytest.mark.parametrize("record", [*CONTROL, *FEEDBACK], ids=lambda record: f"{type(record).__name__}-{id_of(record)}")
def test_what_is_put_is_read_back_equal(store: Store, record: Any) -> None:
    if isinstance(record, FeedbackFields):
        store.records.put(CONTROL[1])
    assert store.records.put(record) == ["new"]
    assert store.records.get(type(record), id_of(record)) == record
    assert store.records.find(type(record), "support") == [record]
    assert [r for batch in store.records.scan(type(record), "support") for _, r in batch] == [record]
    assert store.records.count(type(record)) == 1
    assert store.records.head(type(record), "support") > 0
    assert store.records.head(type(record), "other") == 0
    assert store.records.put(record) == ["known"]
    assert store.records.delete(type(record), [id_of(record), "absent"]) == 1
    assert store.records.get(type(record), id_of(record)) is None


def test_everything_at_once_and_after_reopening(store: Store, reopen: Any) -> None:
    records = [*FEEDBACK, *CONTROL]  # feedback before its interaction, in one submission
    assert store.records.put(*records) == ["new"] * len(records)
    store.close()
    again = reopen().records
    for record in records:
        assert again.get(type(record), id_of(record)) == record
    assert again.find(FeedbackFields, "support") == FEEDBACK
    assert again.get(FeedbackFields, "f3") == FEEDBACK[3]
    assert again.get(Thumb, "f3") is None  # a correction is no thumb


def test_nothing_is_nothing(store: Store) -> None:
    assert store.records.put() == []
    store.records.replace()
    assert store.records.delete(Drop, []) == 0
    assert store.records.find(Interaction, id=[]) == []
    assert list(store.records.scan(Interaction, "support")) == []
    assert store.records.tally(Drop, "support", "reason") == {}


def test_ids_are_idempotent_and_a_conflict_writes_nothing(store: Store) -> None:
    put = store.records.put
    assert put(interaction("i1"), interaction("i1"), interaction("i2")) == ["new", "known", "new"]
    assert put(interaction("i1", at=99), interaction("i3")) == ["known", "new"]  # the time is not content
    with pytest.raises(Conflict, match="'i1' is there already"):
        put(interaction("i4"), interaction("i1", output="other"), review("r1"))
    with pytest.raises(Conflict):
        put(interaction("i5"), interaction("i5", output="other"))
    with pytest.raises(Conflict):
        put(interaction("i1", loop="other"))
    assert [r.id for r in store.records.find(Interaction)] == ["i1", "i2", "i3"]
    assert store.records.count(Review) == 0


def test_feedback_ids_are_idempotent_across_kinds_and_time(store: Store) -> None:
    put = store.records.put
    put(interaction("i1"), interaction("i2"))
    assert put(thumb("f1", "i1"), thumb("f1", "i1", at=77, loop="whatever")) == ["new", "known"]
    assert put(thumb("f1", "i1", at=6)) == ["known"]
    for other in (thumb("f1", "i2"), thumb("f1", "absent"), thumb("f1", "i1", value="down"),
                  Comment(id="f1", interaction="i1", at=5, value="up")):  # fmt: skip
        with pytest.raises(Conflict):
            put(other)
    with pytest.raises(Conflict):
        put(thumb("f2", "i1"), thumb("f2", "i2"))
    assert store.records.count(FeedbackFields, "support") == 1


def test_feedback_waits_for_its_interaction_and_joins_with_it(store: Store, reopen: Any) -> None:
    put = store.records.put
    assert put(thumb("f1", "i1", at=9), thumb("f2", "i9", at=3)) == ["held", "held"]
    assert put(thumb("f1", "i1", at=10)) == ["known"]
    with pytest.raises(Conflict):
        put(thumb("f1", "i1", value="down"))
    assert store.records.get(Thumb, "f1") is None
    assert store.records.count(FeedbackFields) == 0
    store.close()

    store = reopen()
    assert [f.id for f in store.records.held()] == ["f2", "f1"]
    assert [f.id for f in store.records.held(older_than=9)] == ["f2"]
    assert store.records.put(interaction("i0"), thumb("f0", "i0")) == ["new", "new"]
    before = store.records.head(FeedbackFields, "support")
    store.records.put(interaction("i1"))
    assert store.records.get(Thumb, "f1") == thumb("f1", "i1", at=9, loop="support")
    assert store.records.head(FeedbackFields, "support") > before  # a position of its own, after what was read
    assert store.records.put(thumb("f1", "i1")) == ["known"]
    assert [f.id for f in store.records.held()] == ["f2"]
    assert store.records.delete(FeedbackFields, ["f2", "f1"]) == 2
    assert store.records.held() == []


def test_a_conflict_leaves_held_feedback_waiting(store: Store) -> None:
    store.records.put(thumb("f1", "i1"), interaction("i2"))
    with pytest.raises(Conflict):
        store.records.put(interaction("i1"), interaction("i2", output="other"))
    assert [f.id for f in store.records.held()] == ["f1"]
    assert store.records.get(Interaction, "i1") is None


def test_replace_overwrites_and_keeps_the_position(store: Store) -> None:
    store.records.put(review("r1"), review("r2"))
    head = store.records.head(Review, "support")
    store.records.replace(review("r1", state="done"), review("r3"), review("r3", priority=2.0))
    assert [(r.id, r.state) for r in store.records.find(Review, "support")] == [
        ("r1", "done"), ("r2", "open"), ("r3", "open"),
    ]  # fmt: skip
    assert store.records.get(Review, "r3") == review("r3", priority=2.0)
    assert [r.id for b in store.records.scan(Review, "support", after=head) for _, r in b] == ["r3"]


def test_replace_joins_and_holds_as_put_does(store: Store) -> None:
    store.records.replace(thumb("f1", "i1"), thumb("f2", "i2"))
    store.records.replace(thumb("f1", "i1", value="down"))
    assert len(store.records.held()) == 2
    store.records.replace(interaction("i1"))
    assert store.records.get(Thumb, "f1") == thumb("f1", "i1", value="down", loop="support")
    store.records.replace(thumb("f1", "i1"))
    assert store.records.find(Thumb, "support") == [thumb("f1", "i1", loop="support")]
    assert [f.id for f in store.records.held()] == ["f2"]


def test_positions_only_grow(store: Store) -> None:
    seen = 0
    for n in range(5):
        store.records.put(interaction(f"i{n}"), interaction(f"o{n}", loop="other"))
        assert store.records.head(Interaction, "support") > seen
        seen = store.records.head(Interaction, "support")
        store.records.delete(Interaction, [f"i{n}", f"o{n}"])  # a deleted position is not given out again


def test_scan_reads_in_batches_between_positions(store: Store) -> None:
    store.records.put(*(interaction(f"{loop}{n:03}", loop=loop) for n in range(100) for loop in ("a", "b")))
    batches = list(store.records.scan(Interaction, "a", batch=30))
    assert [len(batch) for batch in batches] == [30, 30, 30, 10]
    rows = [row for batch in batches for row in batch]
    assert [r.id for _, r in rows] == [f"a{n:03}" for n in range(100)]
    positions = [position for position, _ in rows]
    assert positions == sorted(set(positions))
    assert positions[-1] == store.records.head(Interaction, "a")
    middle = [r.id for b in store.records.scan(Interaction, "a", after=positions[9], upto=positions[19]) for _, r in b]
    assert middle == [f"a{n:03}" for n in range(10, 20)]
    writing = store.records.scan(Interaction, "a", batch=30)
    next(writing)
    store.records.put(interaction("a999", loop="a"))  # holds no lock
    assert sum(len(batch) for batch in writing) == 71


def test_find_filters_orders_and_limits(store: Store) -> None:
    put, find = store.records.put, store.records.find
    put(*(interaction(f"i{n}", subject=f"u{n % 3}" if n % 4 else None) for n in range(12)))
    put(interaction("x", loop="other", subject="u1"))
    put(*(thumb(f"f{n}", f"i{n % 2}", subject=f"v{n % 3}") for n in range(6)), Comment(id="c", **FIELDS, value="x"))
    assert [r.id for r in find(Interaction, "support", subject="u1")] == ["i1", "i7", "i10"]
    assert [r.id for r in find(Interaction, subject="u1", newest=True, limit=2)] == ["x", "i10"]
    assert [r.id for r in find(Interaction, "support", subject=None)] == ["i0", "i4", "i8"]
    assert [r.id for r in find(Interaction, subject=("u0", "u2", "nobody"), limit=3)] == ["i2", "i3", "i5"]
    assert [r.id for r in find(Interaction, id=["i3", "i1"])] == ["i1", "i3"]
    assert [r.id for r in find(Interaction, "support", newest=True, limit=1)] == ["i11"]
    assert [r.id for r in find(FeedbackFields, interaction="i1")] == ["f1", "f3", "f5", "c"]
    assert [r.id for r in find(Thumb, "support", interaction="i1", subject="v1")] == ["f1"]
    assert store.records.count(FeedbackFields, interaction="i1") == 4
    assert store.records.count(Comment, "support") == 1
    for bad in ({"input": "x"}, {"position": 1}, {'"; DROP TABLE turns': 1}, {"subject": 3}, {"id": 1.5}):
        with pytest.raises(InvalidInput):
            find(Interaction, "support", **bad)


def test_every_promised_filter(store: Store) -> None:
    for kind, fields in {
        Review: {"state": "open", "turn": 1, "interaction": "i1"}, Annotation: {"review": "r1", "interaction": "i1"},
        Drop: {"turn": 1, "reason": "empty"}, Model: {"turn": 1}, Verdict: {"candidate": "m1", "turn": 1},
        Turn: {"number": 1, "state": "open"}, Placement: {"group": "p1"}, Thumb: {"interaction": "i1", "subject": "u1"},
    }.items():  # fmt: skip
        store.records.replace(*CONTROL, *FEEDBACK)
        for name, value in fields.items():
            assert len(store.records.find(kind, "support", **{name: value})) == 1, (kind, name)
            assert store.records.find(kind, "support", **{name: "absent"}) == []
            assert store.records.tally(kind, "support", name) == {str(value): 1}
        assert store.records.count(kind, "support", **fields) == 1


def test_tally(store: Store) -> None:
    store.records.put(*(drop(f"d{n}", n % 2, "empty" if n < 4 else "exact") for n in range(10)))
    store.records.put(interaction("i1"), interaction("i2", subject="u2"), thumb("f1", "i1"))
    store.records.put(Comment(id="c", interaction="i1", at=1, value="x"), thumb("f2", "i1", subject="u1"))
    assert store.records.tally(Drop, "support", "reason") == {"empty": 4, "exact": 6}
    assert store.records.tally(Drop, "support", "reason", turn=0) == {"empty": 2, "exact": 3}
    assert store.records.tally(Drop, "support", "turn", reason=["exact"]) == {"0": 3, "1": 3}
    assert store.records.tally(FeedbackFields, "support", "kind") == {"comment": 1, "thumb": 2}
    assert store.records.tally(Thumb, "support", "kind") == {"thumb": 2}
    assert store.records.tally(FeedbackFields, "support", "subject") == {"": 2, "u1": 1}
    assert store.records.tally(Interaction, "support", "subject") == {"": 1, "u2": 1}
    with pytest.raises(InvalidInput):
        store.records.tally(Drop, "support", "score")


def test_two_loops_may_place_the_same_input(store: Store) -> None:
    here = CONTROL[4]
    there = replace(here, loop="other", split="golden")
    assert store.records.put(here) == ["new"]
    store.records.replace(there)
    assert store.records.put(there, here) == ["known", "known"]
    assert store.records.find(Placement, "support", id=["p1"]) == [here]
    assert store.records.find(Placement, "other") == [there]
    with pytest.raises(InvalidInput, match="more than one loop"):
        store.records.get(Placement, "p1")


@pytest.mark.parametrize(
    "record",
    [
        Rating(id="x", interaction="i1", at=1, value=math.nan),
        interaction("x", confidence=math.inf),
        interaction("x", input=[1.0, math.nan]),
        interaction("x", input="\ud800"),
        interaction("\ud800"),
        interaction("x", context={"a": object()}),
        interaction("x", context={"a": [-math.inf]}),
        interaction("x", output=3),
        Example(id="x", loop="l", input="x", target="y", origin="human", split="train", group="g"),
        DatasetVersion(id="x", loop="l", parent=None, recipe=Spec(name="x"), hash="", added=0, removed=0, size=0, at=0),
    ],
    ids=lambda record: type(record).__name__,
)
def test_what_could_not_be_read_back_is_refused_in_one_line(store: Store, record: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        store.records.put(interaction("i1"), record)
    assert "\n" not in str(caught.value)
    assert store.records.count(Interaction) == 0


def test_what_is_acknowledged_can_be_read_elsewhere(store: Store, reopen: Any) -> None:
    other, seen = reopen(), []
    futures = [store.records.submit([interaction(f"i{n}"), interaction(f"j{n}")]) for n in range(50)]
    for n, future in enumerate(futures):
        future.add_done_callback(lambda _, n=n: seen.append(other.records.get(Interaction, f"i{n}")))
    store.records.put(interaction("last"))
    assert [one and one.id for one in seen] == [f"i{n}" for n in range(50)]


def test_one_bad_submission_does_not_take_others_with_it(store: Store) -> None:
    store.records.put(interaction("taken"))
    futures = [
        store.records.submit([interaction(f"i{n}"), interaction("taken", output="x" if n % 10 == 3 else None)])
        for n in range(100)
    ]
    for n, future in enumerate(futures):
        if n % 10 == 3:
            with pytest.raises(Conflict):
                future.result()
        else:
            assert future.result() == ["new", "known"]
    assert store.records.count(Interaction) == 91


def test_a_submission_given_up_does_not_stop_the_others(store: Store) -> None:
    futures = [store.records.submit([interaction(f"i{n}")]) for n in range(200)]
    given_up = [future.cancel() for future in futures]
    store.records.put(interaction("last"))
    for n, (future, gone) in enumerate(zip(futures, given_up, strict=True)):
        assert gone or future.result() == ["new"]
        assert (store.records.get(Interaction, f"i{n}") is None) == gone


def test_eight_threads_at_once(store: Store) -> None:
    barrier = threading.Barrier(8)

    def work(k: int) -> None:
        barrier.wait()
        for n in range(60):
            store.records.put(interaction(f"{k}-{n}"), thumb(f"f{k}-{n}", f"{(k + 1) % 8}-{n}"))
            assert store.records.get(Interaction, f"{k}-{n}") is not None

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    rows = [row for batch in store.records.scan(Interaction, "support", batch=100) for row in batch]
    assert len({r.id for _, r in rows}) == len(rows) == 480
    assert [p for p, _ in rows] == sorted(p for p, _ in rows)
    assert store.records.held() == []  # whoever came first, all have joined
    assert store.records.count(Thumb, "support") == 480


def test_a_reader_never_sees_a_position_appear_below_one_it_has_read(store: Store) -> None:
    stop = threading.Event()

    def work(k: int) -> None:
        n = 0
        while not stop.is_set():
            store.records.put(*(interaction(f"{k}-{n}-{m}") for m in range(3)))
            n += 1

    with ThreadPoolExecutor(4) as pool:
        for k in range(4):
            pool.submit(work, k)
        after, seen = 0, []
        for _ in range(40):
            for batch in store.records.scan(Interaction, "support", after=after, batch=50):
                seen += [r.id for _, r in batch]
                after = batch[-1][0]
        stop.set()
    seen += [r.id for batch in store.records.scan(Interaction, "support", after=after) for _, r in batch]
    assert seen == [r.id for r in store.records.find(Interaction, "support")]


def test_leases(store: Store) -> None:
    lease = store.records.lease
    first = lease("turn:support", "ann", 60)
    assert first is not None
    assert lease("turn:support", "bob", 60) is None
    assert lease("turn:other", "bob", 60) is not None
    renewed = lease("turn:support", "ann", 90)
    assert renewed is not None
    assert renewed.token == first.token
    assert renewed.until > first.until
    store.records.unlease(renewed)
    second = lease("turn:support", "bob", 0)
    assert second is not None
    assert second.token > first.token
    store.records.replace(review("r0"), fence=second)  # past its time, but nobody else has taken it
    third = lease("turn:support", "ann", 60)
    assert third is not None
    assert third.token > second.token
    store.records.unlease(second)  # too late: no longer theirs
    assert lease("turn:support", "bob", 60) is None


def test_a_lost_lease_fences_every_write(store: Store) -> None:
    lost = store.records.lease("turn", "ann", 0)
    assert store.records.lease("turn", "bob", 60) is not None
    store.records.put(drop("d1", 1, "empty"))
    with pytest.raises(LeaseLost):
        store.records.replace(review("r1"), fence=lost)
    with pytest.raises(LeaseLost):
        store.records.delete(Drop, ["d1"], fence=lost)
    with pytest.raises(LeaseLost):
        store.datasets.commit("support", [], id="v", parent=None, recipe=Spec(name="x"), at=1, fence=lost)
    assert store.records.count(Review) == 0
    assert store.records.count(Drop) == 1
    assert store.datasets.log("support") == []


def test_taking_a_lease_at_once_gives_it_to_one(reopen: Any) -> None:
    stores = [reopen() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        taken = list(pool.map(lambda n: stores[n].records.lease("turn", f"w{n}", 60), range(4)))
    assert sum(one is not None for one in taken) == 1


def test_erasure_takes_the_subject_and_what_hangs_on_it(store: Store) -> None:
    put, count = store.records.put, store.records.count
    put(interaction("i1", subject="u1"), interaction("i2", subject="u2"), interaction("i3"))
    put(thumb("mine", "i2", subject="u1"), thumb("on-mine", "i1", subject="u2"), thumb("other", "i2", subject="u2"))
    put(thumb("waiting", "later", subject="u1"), thumb("waiting2", "later", subject="u2"))
    put(drop("i1", 1, "empty"), drop("i2", 1, "empty"), review("r1"), review("r2", interaction="i2"))
    put(*(DropAudit(id=f"d{n}", loop="support", reason="empty", interaction=f"i{n}") for n in (1, 2)))
    put(
        *(Annotation(id=f"a{n}", loop="support", review=f"r{n}", interaction=f"i{n}", annotator="x", value="y")
          for n in (1, 2)),
        *(Placement(id="p", loop=loop, interaction=of, group="p", split="train", turn=1)
          for loop, of in (("support", "i1"), ("other", "i2"))),
    )  # fmt: skip
    put(*(SourceAnswer(id=f"support:s:{n}", loop="support", source="s", interaction=f"i{n}", turn=1) for n in (1, 2)))
    erased = store.records.erase("u1")
    assert erased.interactions == ("i1",)
    assert erased.rows == {
        "interaction": 1, "feedback": 2, "held": 1, "drop": 1, "drop_audit": 1, "review": 1, "annotation": 1,
        "placement": 1, "source_answer": 1, "proposed_class": 0, "derived": 0, "blob": 0, "example": 0,
    }  # fmt: skip
    assert (erased.versions, erased.models) == ((), ())
    assert [r.id for r in store.records.find(Interaction)] == ["i2", "i3"]
    assert [r.id for r in store.records.find(FeedbackFields)] == ["other"]
    assert [r.id for r in store.records.held()] == ["waiting2"]
    assert (count(Drop), count(Review), count(Annotation), count(Placement)) == (1, 1, 1, 1)
    assert set(store.records.erase("u1").rows.values()) == {0}


def test_a_closed_store_says_so(store: Store) -> None:
    future = store.records.submit([interaction("i1")])
    store.close()
    store.close()
    assert future.result() == ["new"]  # what was submitted is finished first
    with pytest.raises(StoreError, match="closed"):
        store.records.put(interaction("i2"))
    with pytest.raises(StoreError, match="closed"):
        store.records.get(Interaction, "i1")

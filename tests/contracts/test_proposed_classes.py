"""Proposed classes in the store: found by state, replaced by id, and gone or wordless when one of their people is."""

from pathlib import Path

from everloop.store import Store
from everloop.types import Interaction, ProposedClass

THEIRS = "quaggaquagga"


def one(id: str, state: str = "open", *interactions: str, words: str = THEIRS) -> ProposedClass:
    return ProposedClass(id=id, loop="support", turn=3, name=f"{words}_x", words=(words,), size=len(interactions),
                         score=0.5, interactions=interactions, nearest="card", state=state)  # type: ignore[arg-type]  # fmt: skip


def test_found_by_state_and_replaced(store: Store) -> None:
    a, b = one("a", "open", "i1"), one("b", "refused", "i2")
    store.records.replace(a, b)
    assert store.records.find(ProposedClass, "support", state="open") == [a]
    done = one("a", "accepted", "i1")
    store.records.replace(done)
    assert store.records.find(ProposedClass, "support") == [done, b]
    assert store.records.count(ProposedClass, "support", state="open") == 0
    assert store.records.find(ProposedClass, "sales") == []


def test_erasure_reaches_names_made_of_words(store: Store, tmp_path: Path) -> None:
    records = store.records
    for who in ("ann", "bob"):
        for n in range(3):
            records.put(Interaction(id=f"{who}{n}", loop="support", at=1, input="x", subject=who))
    others = [one("untouched", "open", "bob0", words="free"), one("refused too", "refused", "bob1", words="free")]
    records.replace(
        one("open", "open", "bob0", "ann0"), one("refused", "refused", "ann1", "bob1"),
        one("accepted", "accepted", *(f"ann{n}" for n in range(3))), *others,
    )  # fmt: skip
    erased = records.erase("ann")
    assert erased.rows["proposed_class"] == 1
    left = {c.id: c for c in records.find(ProposedClass)}
    assert set(left) == {"untouched", "refused too", "refused", "accepted"}
    assert [left[c.id] for c in others] == others
    assert (left["refused"].interactions, left["refused"].name, left["refused"].words) == (("bob1",), "", ())
    assert left["accepted"].interactions == ()
    assert records.find(ProposedClass, state="accepted") == [left["accepted"]]
    found = [p for p in tmp_path.rglob("*") if p.is_file() and THEIRS.encode() in p.read_bytes()]
    assert found == []
    assert records.erase("ann").rows["proposed_class"] == 0

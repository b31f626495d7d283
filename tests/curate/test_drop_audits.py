"""Is this rule right? Random samples of drops, what people found, and the interval."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from msgspec import structs

import everloop
from everloop.curate import drop_audits, reasons
from everloop.errors import Conflict, InvalidInput, NotFound
from everloop.types import Drop, DropAudit, Interaction


@pytest.fixture
def records(tmp_path):
    with everloop.open(tmp_path / "home") as wheel:
        wheel.loop("desk")
        records = wheel.store.records
        records.put(
            *(Interaction(id=f"i{n:03}", loop="desk", at=0, input=f"text {n}", subject="ann") for n in range(60))
        )
        records.replace(*(
            Drop(id=f"i{n:03}", loop="desk", turn=1, stage="curate", reason="length" if n < 50 else "no_consent",
                 score=1.5, matched=f"i{n + 1:03}" if n == 0 else f"{n} characters")
            for n in range(60)
        ))  # fmt: skip
        yield records


def rng(seed=0):
    return np.random.default_rng(seed)


def test_a_sample_stays_until_it_was_looked_at_and_nothing_is_drawn_twice(records):
    one = drop_audits.draw(records, "desk", "length", 10, rng(1))
    assert [a.id for a in drop_audits.draw(records, "desk", "length", 10, rng(2))] == [a.id for a in one]
    for audit in one:
        drop_audits.answer(records, "desk", audit.id, right=True, by="ann")
    two = drop_audits.draw(records, "desk", "length", 45, rng(3))
    assert len(two) == 40  # all there are
    assert not {a.interaction for a in one} & {a.interaction for a in two}
    with pytest.raises(NotFound, match="there are: length, no_consent"):
        drop_audits.draw(records, "desk", "flood", 5, rng())
    with pytest.raises(InvalidInput, match="own choice"):
        drop_audits.draw(records, "desk", "no_consent", 5, rng())
    with pytest.raises(InvalidInput, match="1 to 1,000"):
        drop_audits.draw(records, "desk", "length", 0, rng())


def test_the_share_of_right_drops_has_its_exact_interval_and_a_bad_rule_is_doubted(records):
    drawn = drop_audits.draw(records, "desk", "length", 20, rng())
    for n, audit in enumerate(drawn[:-1]):
        drop_audits.answer(records, "desk", audit.interaction, right=n < 8, by="ann")
    length, no_consent = drop_audits.standings(records, "desk")
    assert (length.drops, length.n, length.right, length.open, length.doubted) == (50, 19, 8, 1, True)
    assert (round(length.low, 4), round(length.high, 4)) == (0.2025, 0.6650)  # binom.test(8, 19) in R
    assert (no_consent.n, no_consent.estimate, no_consent.doubted) == (0, None, False)
    assert drop_audits.doubted(records, "desk") == (
        "length: this rule is wrong more than 20 % of the time: 11 of 19 looked at were",
    )
    assert len(drop_audits.wrong(records, "desk", "length")) == 11
    assert len(drop_audits.sampled(records, "desk", "length")) == 20


def test_who_disagrees_is_told_and_who_thinks_again_is_heard(records):
    (audit,) = drop_audits.draw(records, "desk", "length", 1, rng())
    drop_audits.answer(records, "desk", audit.id, right=True, by="ann")
    with pytest.raises(Conflict, match="ann has found"):
        drop_audits.answer(records, "desk", audit.id, right=False, by="bob")
    assert drop_audits.answer(records, "desk", audit.id, right=False, by="ann").right is False
    with pytest.raises(NotFound, match="draw some first"):
        drop_audits.answer(records, "desk", "nothing", right=True, by="ann")
    with pytest.raises(NotFound, match="draw some first"):
        drop_audits.answer(records, "other", audit.id, right=True, by="ann")


def test_examples_are_any_of_them_and_show_what_they_matched(records):
    found = drop_audits.examples(records, "desk", "length", 10, rng())
    assert len({d.id for d in found}) == 10
    assert {d.reason for d in drop_audits.examples(records, "desk", None, 60, rng())} == {"length", "no_consent"}
    (first,) = drop_audits.shown(records, [records.get(Drop, "i000")])
    assert (first.input, first.matched_input) == ("text 0", "text 1")
    counts = np.zeros(50)
    for seed in range(300):
        for drop in drop_audits.examples(records, "desk", "length", 5, rng(seed)):
            counts[int(drop.id[1:])] += 1
    assert 10 < counts.min() <= counts.max() < 60  # 30 each on average


@pytest.mark.parametrize(("whole", "tries"), [(0, 400), (0, 3)], ids=["by position", "in one pass"])
def test_many_are_not_all_read_and_yet_each_is_as_likely(records, monkeypatch, whole, tries):
    monkeypatch.setattr(drop_audits, "_READ_WHOLE", whole)
    monkeypatch.setattr(drop_audits, "_TRIES", tries)
    records.replace(*(structs.replace(records.get(Drop, f"i{n:03}"), undone=True) for n in range(10)))
    counts = np.zeros(50)
    for seed in range(80):
        drawn = drop_audits.draw(records, "desk", "length", 5, rng(seed))
        assert len({a.interaction for a in drawn}) == 5
        counts[[int(a.interaction[1:]) for a in drawn]] += 1
        records.delete(DropAudit, [a.id for a in drawn])
    assert counts[:10].sum() == 0  # taken back
    assert 0 < counts[10:].min() <= counts[10:].max() < 25  # 10 each on average
    assert len(drop_audits.draw(records, "desk", "length", 1_000, rng())) == 40
    assert len(drop_audits.draw(records, "desk", "length", 1_000, rng())) == 40


def test_two_who_draw_at_once_get_one_sample(records):
    with ThreadPoolExecutor(4) as threads:
        drawn = list(threads.map(lambda seed: drop_audits.draw(records, "desk", "length", 10, rng(seed)), range(4)))
    assert len({tuple(sorted(a.id for a in one)) for one in drawn}) == 1


def test_all_of_a_reason_is_taken_back(records, monkeypatch):
    monkeypatch.setattr(reasons, "_AT_ONCE", 7)
    assert reasons.take_back(records, "desk", "length") == 50
    assert reasons.take_back(records, "desk", "length") == 0
    (length, _) = sorted(drop_audits.standings(records, "desk"), key=lambda one: one.reason)
    assert (length.reason, length.drops, length.undone) == ("length", 0, 50)
    for kept, why in (("no_consent", "own choice"), ("sealed", "honest"), ("no_signal", "mended")):
        with pytest.raises(InvalidInput, match=why):
            reasons.take_back(records, "desk", kept)
    assert records.get(Drop, "i055").undone is False


def test_an_erasure_reaches_the_audits(records):
    drop_audits.draw(records, "desk", "length", 5, rng())
    assert records.erase("ann").rows["drop_audit"] == 5
    assert not records.find(DropAudit, "desk")

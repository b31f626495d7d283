"""What the machine labels by itself: only what was certified, audited by people, and nothing once the promise broke."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import everloop
from everloop.turn.opinions import audits, drawn
from everloop.types import Example, Review
from everloop.wheel import Loop
from tests.server.conftest import questions

POLICY = {"golden_share": 0.0, "trigger_feedback": 0, "review_budget": 60, "review_fresh": 10, "auto_audit": 30}
TRUTH = dict(questions(330, 5))
ROWS = list(TRUTH.items())
KNOWN, GOLDEN, NEW = ROWS[:90], ROWS[90:200], ROWS[200:]


def logged(loop: Loop, rows: list[tuple[str, str]], split: str | None) -> None:
    loop.log_many({"input": text, "label": label if split else None, "split": split} for text, label in rows)


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[Loop]:
    with everloop.open(tmp_path) as wheel:
        made = wheel.loop("desk", labels=sorted(set(TRUTH.values())), policy=POLICY)
        logged(made, KNOWN, "train")
        logged(made, GOLDEN, "golden")
        logged(made, NEW, None)
        yield made


def own(loop: Loop) -> list[Example]:
    version = loop.report().dataset
    assert version is not None
    return [e for e in loop.wheel.store.datasets.examples(version, "train") if e.origin == "auto"]


def asked(loop: Loop, why: str) -> list[Review]:
    return [review for review in loop.reviews() if review.why == why]


def test_it_labels_under_a_promise_and_people_audit_it(loop: Loop) -> None:
    report = loop.turn()
    made = own(loop)
    assert report.auto_labelled == len(made) > 30
    assert report.auto_error == 0.05
    assert "at most 5 % of them wrong" in report.report()
    assert sum(e.target != TRUTH[str(e.input)] for e in made) <= 0.05 * len(made)
    audit = asked(loop, "audit")
    assert len(audit) == 30
    assert {r.input for r in audit} <= {e.input for e in made}
    assert {r.proposal for r in audit} <= set(TRUTH.values())
    for review in audit:
        loop.annotate(review.id, TRUTH[str(review.input)])
    report = loop.turn()
    assert report.audited is not None
    assert (report.audited.n, report.audited.alarms) == (30, 0)
    right = sum(r.proposal == TRUTH[str(r.input)] for r in audit)
    assert report.audited.estimate == pytest.approx(1 - right / 30)
    assert f"of {report.audited.n} audited" in report.report()
    assert not {r.interaction for r in asked(loop, "audit")} & {r.interaction for r in audit}


def test_once_the_promise_is_broken_it_labels_nothing(loop: Loop) -> None:
    loop.turn()
    for review in asked(loop, "audit"):
        loop.annotate(review.id, next(label for label in sorted(set(TRUTH.values())) if label != review.proposal))
    told = audits(loop.wheel.store, loop.spec)
    assert told.alarms >= 1
    assert told.since > 0
    report = loop.turn()
    assert report.auto_labelled == 0
    assert own(loop) == []
    assert report.audited is not None
    assert report.audited.alarms >= 1
    assert "the promise was broken" in report.report()


def test_without_rows_that_were_drawn_at_random_nothing_is_certified(tmp_path: Path) -> None:
    with everloop.open(tmp_path) as wheel:
        loop = wheel.loop("desk", labels=sorted(set(TRUTH.values())), policy=POLICY)
        logged(loop, KNOWN, "train")
        logged(loop, NEW, None)
        report = loop.turn()
        assert (report.auto_labelled, report.auto_error) == (0, None)
        assert "nothing could be certified: that takes about" in report.report()
        assert report.auto_needed is not None
        assert 59 <= report.auto_needed < 1_000


def test_nobody_s_wish_is_no_promise(loop: Loop) -> None:
    loop.wheel.loop("desk", policy={**POLICY, "auto_error": 0.0})
    assert loop.turn().auto_labelled == 0
    loop.wheel.loop("desk", policy={**POLICY, "auto_confidence": 1.1})
    logged(loop, [("something new to make a turn", next(iter(TRUTH.values())))], "train")
    assert loop.turn().auto_labelled == 0


def test_the_queue_s_random_arm_certifies_too(loop: Loop) -> None:
    loop.turn()
    by_chance = asked(loop, "random")
    assert by_chance
    for review in by_chance:
        loop.annotate(review.id, TRUTH[str(review.input)])
    found = drawn(loop.wheel.store, "desk")
    assert found == {review.interaction for review in by_chance}
    assert drawn(loop.wheel.store, "desk", since=2**50) == frozenset()


def test_other_sources_have_a_say(loop: Loop) -> None:
    rules = [{"when": {"input": {"contains": "sim"}}, "label": "lost_phone"}]
    sources = [{"name": "neighbours.v1"}, {"name": "rules.v1", "args": {"rules": rules}}]
    loop.wheel.loop("desk", policy={**POLICY, "sources": sources})
    report = loop.turn()
    assert report.auto_labelled > 30
    assert sum(e.target != TRUTH[str(e.input)] for e in own(loop)) <= 0.05 * report.auto_labelled

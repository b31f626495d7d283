"""Several people on the same rows, through the real turn: who is believed, what is asked again, and what is shown."""

import numpy as np
import pytest

import everloop
from everloop.turn import believing
from everloop.turn.believing import annotators, weights_of
from everloop.types import Placement, Review
from tests.loop.conftest import TOPICS, questions

POLICY = {"golden_share": 0.5, "golden_source": "traffic", "trigger_feedback": 0, "review_budget": 80,
          "review_fresh": 20, "auto_confidence": 1.1}  # fmt: skip
TRUTH = dict(questions(150, seed=7))


def at_the_queue(wheel, **policy):
    """A loop whose turn is at the step after "label": there are reviews to answer."""
    loop = wheel.loop("support", labels=sorted(TOPICS), policy={**POLICY, **policy})
    loop.log_many({"id": f"seed{i}", "input": text, "label": topic, "split": "train"}
                  for i, (text, topic) in enumerate(questions(30)))  # fmt: skip
    loop.turn()
    loop.log_many({"id": f"q{i}", "input": text} for i, text in enumerate(TRUTH))
    queue(loop)
    return loop


def queue(loop):
    while loop.advance("hand") != "label":
        pass
    return loop.reviews()


def other(topic, rng):
    return str(rng.choice([name for name in TOPICS if name != topic]))


def said(rng, quality, topic):
    return topic if rng.random() < quality else other(topic, rng)


def answered(loop, crew, rng, each=2):
    """Every review that is open, by `each` of the crew; who comes last is drawn, too."""
    for review in loop.reviews():
        for who in rng.permutation(list(crew))[:each]:
            loop.annotate(review.id, said(rng, crew[who], TRUTH[review.input]), annotator=str(who))


def examples(loop, split=None):
    version = loop.report().dataset
    return [e for e in loop.wheel.store.datasets.examples(version, split) if e.input in TRUTH]


def wrong(rows):
    return sum(e.target != TRUTH[e.input] for e in rows)


@pytest.mark.slow
def test_a_careless_annotator_loses_weight_and_a_disputed_golden_row_is_asked_again(wheel):
    loop = at_the_queue(wheel)
    rng = np.random.default_rng(0)
    answered(loop, {"ann": 0.97, "ben": 0.97, "cleo": 0.97, "dud": 0.3}, rng, each=3)
    report = loop.turn()
    assert report.agreement is not None
    assert report.agreement.people == 4
    assert report.agreement.n >= 60
    assert "4 people, α = 0." in report.report()
    assert weights_of(wheel.store, "support")["dud"] < 0.5
    shown = {one.name: one for one in annotators(wheel.store, "support").annotators}
    assert [name for name, one in shown.items() if any("careless" in flag for flag in one.flags)] == ["dud"]
    assert shown["ann"].right.high > 0.9
    # Where dud and a good one differ the good one is believed, and whether dud came last does not matter.
    assert wrong(examples(loop)) <= 0.07 * len(examples(loop))
    # Of two good ones who differ nobody knows: the row leaves the golden set, and a third person is asked.
    again = [r for r in loop.reviews() if r.why == "disputed" and r.proposal is None]
    places = {p.interaction: p.split for p in loop.records.find(Placement, "support")}
    assert all(places[r.interaction] == "golden" for r in again)
    golden = {e.input for e in examples(loop, "golden")}
    assert not golden & {r.input for r in again}
    assert again
    for who in ("third", "fourth"):  # of whom nothing is known: one may be too few
        for review in loop.reviews():
            if review.input in {r.input for r in again}:
                loop.annotate(review.id, TRUTH[review.input], annotator=who)
        loop.log("one more thing to look at", id=who)
        loop.turn()
    assert {r.input for r in again} <= {e.input for e in examples(loop, "golden")}
    assert wrong(examples(loop, "golden")) == 0


@pytest.mark.slow
def test_two_good_ones_who_differ_are_asked_about_until_it_is_settled_and_not_for_ever(wheel):
    loop = at_the_queue(wheel)
    open_now = loop.reviews()
    places = {p.interaction: p.split for p in loop.records.find(Placement, "support")}
    disputed = next(r for r in open_now if places[r.interaction] == "golden")
    rng = np.random.default_rng(1)
    for review in open_now:
        topic = TRUTH[review.input]
        loop.annotate(review.id, topic, annotator="ann")
        loop.annotate(review.id, other(topic, rng) if review is disputed else topic, annotator="ben")

    def again():
        return [r for r in loop.reviews() if r.interaction == disputed.interaction]

    for turn in range(4):
        loop.turn()
        assert disputed.input not in {e.input for e in examples(loop, "golden")}
        assert len(again()) == (turn < 2), turn
        for review in again():  # the same person, and the same word
            loop.annotate(review.id, TRUTH[disputed.input], annotator="ann")
        loop.log(f"{turn} something new {turn}", id=f"new{turn}")
    loop.annotate(disputed.id, TRUTH[disputed.input], annotator="cleo")
    loop.turn()
    [settled] = [e for e in examples(loop, "golden") if e.input == disputed.input]
    assert settled.target == TRUTH[disputed.input]


def test_a_ring_of_three_does_not_outvote_two_good_ones(wheel):
    loop = at_the_queue(wheel, review_budget=100)
    rng = np.random.default_rng(4)
    for number, review in enumerate(loop.reviews()):
        topic = TRUTH[review.input]
        script = said(rng, 0.4, topic)
        for who in ("ann", "ben"):
            loop.annotate(review.id, said(rng, 0.97, topic), annotator=who)
        for who in ("r1", "r2", "r3") if number % 2 else ("cleo",):
            loop.annotate(review.id, script if number % 2 else topic, annotator=who)
    loop.turn()
    # Three who say the same against two who do: nobody can know, so such rows measure nothing yet, and weigh less.
    golden = examples(loop, "golden")
    assert wrong(golden) == 0 < len(golden)
    assert all(e.weight <= 0.5 for e in examples(loop) if e.target != TRUTH[e.input])
    for text in sorted({r.input for r in wheel.store.records.find(Review, "support", state="done")})[::2]:
        loop.feedback(f"q{list(TRUTH).index(text)}", label=TRUTH[text])  # an expert's, later
    loop.turn()
    shown = {one.name: one for one in annotators(wheel.store, "support").annotators}
    assert "coordinated with r2, r3" in shown["r1"].flags
    assert wrong(examples(loop)) <= 0.05 * len(examples(loop))


@pytest.mark.parametrize("people", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_with_one_word_a_row_the_turn_is_as_ever_bit_for_bit(tmp_path, monkeypatch, people):
    """Also with a second look at what the machine doubts, which says nothing of who gave the first answer."""

    def run(home):
        with everloop.open(home) as wheel:
            loop = at_the_queue(wheel)
            rng = np.random.default_rng(3)
            told = []
            for _ in range(2):
                for review in sorted(loop.reviews(), key=lambda r: r.interaction):
                    value = said(rng, 0.8, TRUTH.get(review.input, "card"))
                    who = "second" if review.why == "suspect" else f"p{rng.integers(people)}"
                    loop.annotate(review.id, value, annotator=who)
                report = loop.turn()
                assert report.agreement is None
                told.append((report.dataset_hash, report.dropped, report.verdict and report.verdict.candidate_score))
                loop.log_many({"id": f"{len(told)}z{i}", "input": f"{text} zebra"}
                              for i, (text, _) in enumerate(questions(20, seed=len(told))))  # fmt: skip
                queue(loop)
            assert weights_of(wheel.store, "support") == {}
            return told

    now = run(tmp_path / "now")
    monkeypatch.setattr("everloop.loop.believed", lambda *_: believing.Believed({}, [], {}))
    assert run(tmp_path / "before") == now


@pytest.mark.slow
def test_it_is_reckoned_anew_from_what_is_there_and_forgets_who_is_erased(wheel):
    loop = wheel.loop("support", labels=sorted(TOPICS), policy=POLICY)
    loop.log_many({"id": f"q{i}", "input": text, "output": "card", "subject": f"u{i % 3}"}
                  for i, text in enumerate(TRUTH))  # fmt: skip
    for i, topic in enumerate(TRUTH.values()):
        loop.feedback(f"q{i}", correction=topic, subject=f"u{i % 3}")
        review = Review(id=f"r{i}", loop="support", turn=0, interaction=f"q{i}", input="x", why="random")
        wheel.store.records.replace(review)
        for who in ("ann", "ben"):
            loop.annotate(f"r{i}", topic if i % 3 or who == "ann" else "card", annotator=who)
    before = annotators(wheel.store, "support")
    assert (before.users, before.users_known, before.alpha.n) == (3, 3, 150)
    wheel.forget("u0")
    after = annotators(wheel.store, "support")
    assert (after.users, after.users_known, after.alpha.n) == (2, 2, 100)
    assert after.alpha.estimate == 1  # they differed on the rows of the one who is gone
    assert len(weights_of(wheel.store, "support")) == 4

"""People who disagree, people who are not heard, and whose word weighs what."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.curate import Known, run
from everloop.curate.ballot import ballot
from everloop.types import Annotation, Correction, Interaction, Policy, Rating, Statement, Thumb

POLICY = Policy(golden_share=0.0)


def answer(id, output, text="how do I cook rice"):
    return Interaction(id=id, loop="l", at=0, input=text, output=output)


def thumb(id, of, value, who, at=0, **more):
    return Thumb(id=id, interaction=of, at=at, value=value, subject=who, **more)


def told(*feedback, **more):
    by = {}
    for item in feedback:
        by.setdefault(item.interaction, []).append(item)
    return Known(by, {}, {}, **more)


def test_two_answers_that_people_like_contradict_each_other_for_a_label_but_not_for_free_text():
    rows = [answer("a", "boil it"), answer("b", "steam it")]
    said = [thumb("1", "a", "up", "ann"), thumb("2", "b", "up", "bob")]
    assert [d.reason for d in run("l", 1, rows, told(*said), POLICY).drops] == ["duplicate", "contradicted"]
    funnel = run("l", 1, rows, told(*said, task="chat"), POLICY)
    assert [d.reason for d in funnel.drops] == ["duplicate"]
    assert {s.value for s in funnel.evidence[0].statements} == {"boil it", "steam it"}


@pytest.mark.parametrize("task", ["chat", "classify"])
def test_an_up_and_a_down_on_the_same_answer_is_a_contradiction(task):
    said = [thumb("1", "a", "up", "ann"), thumb("2", "a", "down", "bob")]
    funnel = run("l", 1, [answer("a", "boil it")], told(*said, task=task), POLICY)
    assert [(d.reason, d.matched) for d in funnel.drops] == [("contradicted", "boil it")]


def test_of_free_answers_the_disputed_one_is_not_learned_from():
    rows = [answer("a", "boil it"), answer("b", "steam it")]
    said = [thumb("1", "a", "up", "ann"), thumb("2", "a", "down", "bob"), thumb("3", "b", "up", "eve")]
    (row,) = run("l", 1, rows, told(*said, task="chat"), POLICY).evidence
    assert {(s.kind, s.value) for s in row.statements} == {("refuted", "boil it"), ("confirmed", "steam it")}


def test_whose_word_weighs_more_settles_it():
    said = [Correction(id="1", interaction="a", at=0, value="x", subject="ann"),
            Correction(id="2", interaction="a", at=0, value="y", subject="bob")]  # fmt: skip
    assert run("l", 1, [answer("a", "z")], told(*said), POLICY).contested
    assert run("l", 1, [answer("a", "z")], told(*said, weights={"ann": 0.4}), POLICY).evidence


def test_whose_word_it_is_stands_in_the_statement():
    note = Annotation(id="n", loop="l", review="r", interaction="a", annotator="rev", value="x")
    known = Known(
        {"a": [thumb("1", "a", "up", "ann"), Rating(id="2", interaction="a", at=0, value=5)]}, {"a": [note]}, {}
    )
    (row,) = run("l", 1, [answer("a", "x")], known, POLICY).evidence
    assert [(s.kind, s.by) for s in row.statements] == [
        ("confirmed", "ann"),
        ("confirmed", None),
        ("annotation", "rev"),
    ]


@given(st.lists(st.tuples(st.sampled_from("xyz"), st.booleans(), st.sampled_from(["ann", "bob", None]))),
       st.dictionaries(st.sampled_from(["ann", "bob"]), st.floats(0, 2)))  # fmt: skip
def test_a_ballot_adds_up(said, weights):
    statements = [
        Statement(id=str(n), kind="refuted" if against else "confirmed", value=value, interaction="i", by=who)
        for n, (value, against, who) in enumerate(said)
    ]
    total = sum((-1 if against else 1) * weights.get(who, 1.0) for _, against, who in said)
    assert sum(ballot(statements, weights).values()) == pytest.approx(total)
    assert all(vote == int(vote) for vote in ballot(statements).values())


def clicks(n, who, value="up", gap=100, **more):
    rows = [
        answer(f"{who}{i}", f"answer {i}", f"{who} asks question number {i} about topic {i * 37}") for i in range(n)
    ]
    said = [thumb(f"f{who}{i}", f"{who}{i}", value, who, at=i * gap, **more) for i in range(n)]
    return rows, said


def test_feedback_faster_than_anybody_reads_is_not_heard_and_each_piece_is_a_drop_that_can_be_taken_back():
    rows, said = clicks(40, "bot")
    mine, honest = clicks(5, "ann", gap=60_000)
    policy = Policy(golden_share=0.0, near_duplicate=1.0)
    funnel = run("l", 1, [*rows, *mine], told(*said, *honest), policy)
    assert {e.interaction for e in funnel.evidence} == {row.id for row in mine}
    assert [(d.id, d.reason) for d in funnel.drops] == sorted((f.id, "feedback_flood") for f in said)
    assert funnel.drops[0].matched == "30 pieces of feedback in 2.9 s"
    back = run("l", 1, rows, told(*said, undone=frozenset({("fbot3", "feedback_flood")})), policy)
    assert [e.interaction for e in back.evidence] == ["bot3"]


def test_feedback_that_is_always_the_same_is_not_heard_but_an_import_and_a_reviewer_are():
    rows = [answer(f"i{n}", f"answer {n % 7}", f"question {n} {n * 91}") for n in range(40)]
    same = [
        Correction(id=f"c{n}", interaction=f"i{n}", at=n * 60_000, value="refund", subject="bot") for n in range(40)
    ]
    policy = Policy(golden_share=0.0, near_duplicate=1.0)
    assert not run("l", 1, rows, told(*same), policy).evidence
    assert len(run("l", 1, rows, told(*same[:29]), policy).evidence) == 29
    rows, said = clicks(60, "ann", gap=60_000)
    assert len(run("l", 1, rows, told(*said), policy).evidence) == 60  # who only ever praises is a person all the same
    rows, said = clicks(60, "desk", source="reviewer")
    assert len(run("l", 1, rows, told(*said), policy).evidence) == 60
    rows, said = clicks(60, "batch", gap=0)
    assert len(run("l", 1, rows, told(*said), policy).evidence) == 60  # all at one instant: the times are not known

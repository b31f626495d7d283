"""The funnel: a reason for everything left out, nothing lost, no twin on both sides."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.curate import DEFAULT_ORDER, Known, run
from everloop.curate.inputs import fingerprint
from everloop.curate.near_duplicates import grams, jaccard
from everloop.errors import InvalidInput
from everloop.types import Annotation, Correction, Interaction, Label, Placement, Policy, Rating, Thumb


def it(id, text, output="b", **more):
    return Interaction(id=id, loop="l", at=0, input=text, output=output, confidence=0.6, **more)


def known(*feedback, placements=(), undone=(), annotations=()):
    by = {}
    for item in feedback:
        by.setdefault(item.interaction, []).append(item)
    notes = {}
    for note in annotations:
        notes.setdefault(note.interaction, []).append(note)
    return Known(by, notes, {p.id: p for p in placements}, frozenset(undone))


def correction(id, value, subject=None, at=0):
    return Correction(id=f"{id}-{value}-{subject}-{at}", interaction=id, at=at, value=value, subject=subject)


def reasons(funnel):
    return {drop.id: drop.reason for drop in funnel.drops}


NEVER_GOLDEN = Policy(golden_share=0.0)


def test_each_rule_leaves_out_what_it_says():
    rows = [
        it("ok", "where is my card"),
        it("blank", "  \n "),
        it("twice", "Where is  my CARD."),
        it("private", "do not learn from this", consent=("service",)),
        it("sealed", "a test row"),
        it("quiet", "nobody said anything about this"),
        it("fight", "people disagree about this one"),
        it("numbers", [1.0, 2.0]),
    ]
    sealed = Placement(id=fingerprint("A TEST row"), loop="l", interaction="", group="g", split="test", turn=0)
    funnel = run("l", 1, rows, known(correction("ok", "arrival"), correction("fight", "x", "a"),
                                     correction("fight", "y", "b"), placements=[sealed]), NEVER_GOLDEN)  # fmt: skip
    assert reasons(funnel) == {"blank": "empty", "twice": "duplicate", "private": "no_consent", "sealed": "sealed",
                               "fight": "contradicted", "numbers": "invalid"}  # fmt: skip
    assert next(d for d in funnel.drops if d.id == "twice").matched == "ok"
    assert [e.interaction for e in funnel.evidence] == ["ok"]
    assert [e.interaction for e in funnel.pool] == ["quiet"]
    assert [e.interaction for e in funnel.contested] == ["fight"]
    assert dict(funnel.waterfall)["no_signal"] == 1
    assert funnel.seen == len(rows)


@pytest.mark.parametrize("odd", [{"a": 1}, {"messages": "hello"}, {"messages": None}])
def test_what_no_trainer_reads_would_stop_every_turn(odd):
    rows = [it("ok", "where is my card"), it("odd", odd)]
    assert reasons(run("l", 1, rows, known(), NEVER_GOLDEN)) == {"odd": "invalid"}
    chat = known()._replace(task="chat")
    assert "invalid" not in reasons(run("l", 1, rows, chat, NEVER_GOLDEN)).values()


@pytest.mark.parametrize("number", [1e300, -1e300, float("inf"), float("nan")])
def test_a_number_nothing_can_be_computed_with(number):
    rows = [it("ok", [1.0, 2.0]), it("odd", [1.0, number])]
    assert reasons(run("l", 1, rows, known(), NEVER_GOLDEN)) == {"odd": "invalid"}


def test_what_was_said_of_a_duplicate_counts_for_the_first():
    rows = [it("one", "where is my card"), it("two", "where is my card")]
    funnel = run("l", 1, rows, known(correction("two", "arrival")), NEVER_GOLDEN)
    (row,) = funnel.evidence
    assert (row.interaction, row.interactions, row.statements[0].value) == ("one", ("one", "two"), "arrival")


def test_a_person_who_thinks_again_counts_once_and_a_majority_decides():
    rows = [it("one", "where is my card")]
    funnel = run("l", 1, rows, known(correction("one", "x", "ann", 1), correction("one", "y", "ann", 2),
                                     correction("one", "y", "bob", 3), correction("one", "x", "eve", 4)),
                 NEVER_GOLDEN)  # fmt: skip
    assert [s.value for s in funnel.evidence[0].statements] == ["y", "y", "x"]


def test_an_annotation_settles_a_contradiction():
    note = Annotation(id="n", loop="l", review="r", interaction="one", annotator="rev", value="y")
    said = known(correction("one", "x", "a"), correction("one", "y", "b"), annotations=[note])
    funnel = run("l", 1, [it("one", "where is my card")], said, NEVER_GOLDEN)
    assert [e.interaction for e in funnel.evidence] == ["one"]


@pytest.mark.parametrize(
    ("feedback", "kind"),
    [
        (Thumb(id="f", interaction="one", at=0, value="up"), "confirmed"),
        (Rating(id="f", interaction="one", at=0, value=5), "confirmed"),
        (Label(id="f", interaction="one", at=0, value="z"), "label"),
    ],
)
def test_kinds_of_feedback_that_give_a_label(feedback, kind):
    funnel = run("l", 1, [it("one", "where is my card")], known(feedback), NEVER_GOLDEN)
    assert funnel.evidence[0].statements[0].kind == kind


@pytest.mark.parametrize(
    "feedback",
    [Thumb(id="f", interaction="one", at=0, value="down"), Rating(id="f", interaction="one", at=0, value=0.5)],
)
def test_a_refuted_answer_waits_in_the_pool_for_somebody_who_knows(feedback):
    funnel = run("l", 1, [it("one", "where is my card")], known(feedback), NEVER_GOLDEN)
    assert not funnel.evidence
    assert funnel.pool[0].statements[0].kind == "refuted"


def test_undo_lets_a_thing_through_but_never_to_both_sides():
    rows = [it("a", "please where is my new card"), it("b", "please where is my old cards")]
    said = known(correction("b", "x", "p"), correction("b", "y", "q"), undone=[("b", "contradicted")])
    funnel = run("l", 1, rows, said, NEVER_GOLDEN)
    assert "b" not in reasons(funnel)


def test_the_order_of_rules_is_configuration():
    rows = [it("a", "", consent=())]
    order = tuple(reversed(DEFAULT_ORDER))
    assert reasons(run("l", 1, rows, known(), Policy(rules=order))) == {"a": "empty"}
    assert reasons(run("l", 1, rows, known(), Policy())) == {"a": "no_consent"}
    with pytest.raises(InvalidInput, match="no rule called"):
        run("l", 1, rows, known(), Policy(rules=("nonsense.v1",)))


def test_a_row_that_joins_a_golden_and_a_training_group_is_left_out_even_without_its_rule():
    left, right = "where is my card it has not arrived", "card it has not arrived where is it"
    middle = "where is my card it has not arrived where is it"
    places = [Placement(id=fingerprint(t), loop="l", interaction=i, group=i, split=s, turn=0)
              for t, i, s in ((left, "l", "golden"), (right, "r", "train"))]  # fmt: skip
    rows = [it("l", left), it("r", right), it("m", middle)]
    policy = Policy(near_duplicate=0.5, rules=("empty.v1", "no_signal.v1"))
    assert jaccard(grams(left), grams(middle)) >= 0.5 <= jaccard(grams(right), grams(middle))
    funnel = run("l", 1, rows, known(*(correction(r.id, "x") for r in rows), placements=places), policy)
    assert reasons(funnel) == {"m": "straddles"}


def test_a_near_duplicate_of_which_nobody_says_a_word_is_left_out_where_the_loop_asks_for_it():
    rows = [it("a", "where is my card it has not arrived"), it("b", "where is my card it has not arrived?!"),
            it("c", "where is my card it has not arrived yet")]  # fmt: skip
    policy = Policy(golden_share=0.0, rules=(*DEFAULT_ORDER[:-1], "near_duplicate.v1", "no_signal.v1"))
    funnel = run("l", 1, rows, known(correction("c", "x")), policy)
    assert [(d.id, d.reason, d.matched) for d in funnel.drops] == [("b", "near_duplicate", fingerprint(rows[0].input))]
    assert not run("l", 1, rows, known(), NEVER_GOLDEN).drops


def test_a_label_sent_to_training_that_is_a_twin_of_a_golden_row_is_refused():
    golden = Placement(id=fingerprint("where is my card please"), loop="l", interaction="g", group="g",
                       split="golden", turn=0)  # fmt: skip
    rows = [it("g", "where is my card please"), it("n", "where is my card please?!")]
    sneaky = Label(id="f", interaction="n", at=0, value="x", split="train")
    funnel = run("l", 1, rows, known(sneaky, placements=[golden]), Policy())
    assert reasons(funnel) == {"n": "straddles"}


words = st.sampled_from("card transfer arrived pending refund where is my the not top up".split())
texts = st.lists(words, min_size=1, max_size=8).map(" ".join)


@given(st.lists(texts, max_size=40), st.integers(1, 39), st.floats(0.1, 0.9))
@settings(max_examples=60, deadline=None)
def test_over_two_turns_nothing_is_lost_and_no_twin_straddles_the_split(stream, first, share):
    policy = Policy(golden_share=share, near_duplicate=0.6)
    rows = [it(f"i{n}", text) for n, text in enumerate(stream)]
    said = [correction(row.id, "x") for row in rows]
    one = run("l", 1, rows[:first], known(*said[:first]), policy)
    two = run("l", 2, rows, known(*said, placements=one.placements), policy)
    places = {p.id: p for p in (*one.placements, *two.placements)}
    assert len(places) == len(one.placements) + len(two.placements)
    assert len({d.id for d in two.drops} | {i for e in (*two.evidence, *two.pool) for i in e.interactions}) == len(rows)
    sides = {side: [e for e in two.evidence if e.split == side] for side in ("golden", "train")}
    for golden in sides["golden"]:
        for other in sides["train"]:
            assert jaccard(grams(str(golden.input)), grams(str(other.input))) < 0.6


CALL = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "look", "arguments": "{}"}}]}


@pytest.mark.parametrize(
    "answer",
    [
        {"output": "", "message": CALL},
        {"output": "let me look", "message": CALL},
        {"output": "it is on its w", "status": "partial"},
        {"output": "one", "message": {"choices": [{"index": 0}, {"index": 1}]}},
        {"output": ""},
    ],
)
def test_an_answer_that_is_not_all_text_is_not_learned_because_it_was_liked(answer):
    rows = [it("a", "where is my card", **answer), it("b", "and my phone", message={"reasoning_content": "hm"})]
    liked = [Thumb(id=row.id, interaction=row.id, at=0, value="up") for row in rows]
    funnel = run("l", 1, rows, known(*liked), NEVER_GOLDEN)
    assert [(found.interaction, found.statements[0].value) for found in funnel.evidence] == [("b", "b")]
    assert [found.interaction for found in funnel.pool] == ["a"]
    corrected = run("l", 1, rows, known(*liked, correction("a", "tomorrow")), NEVER_GOLDEN)
    assert {found.interaction for found in corrected.evidence} == {"a", "b"}  # what people write is whole

"""What a judgement becomes: only what is plainly a verdict on the answer may teach."""

import pytest

from everloop.errors import InvalidInput
from everloop.interop.judgement import Declared, Judgement, feedback_of, person_of
from tests.interop.said import kinds


def said(name, value, declared=None, **more):
    one = Judgement("f1", "i1", name, value, {"tool": "test"}, **more)
    return kinds(feedback_of(one, declared or Declared()))


@pytest.mark.parametrize(
    ("name", "value", "becomes"),
    [
        ("helpful", True, ("thumb", "up")),
        ("taskSuccess", False, ("thumb", "down")),
        ("thumbs-up", True, ("thumb", "up")),
        ("hallucination", True, ("outcome", 1.0)),
        ("not_helpful", True, ("outcome", 1.0)),
        ("escalated_to_a_person", False, ("outcome", 0.0)),
        ("stars", 4.0, ("rating", 4.0)),
        ("rating", 4.0, ("outcome", 4.0)),  # of 5, or of 10?
        ("faithfulness", 0.4, ("outcome", 0.4)),
        ("correctness", "incorrect", ("thumb", "down")),
        ("user feedback", "👍", ("thumb", "up")),
        ("quality", "thumbs-down", ("thumb", "down")),
        ("tone", "rude", ("comment", "tone: rude")),
    ],
)
def test_what_a_person_says(name, value, becomes) -> None:
    assert said(name, value) == [becomes]


def test_a_machines_word_teaches_nothing() -> None:
    assert said("helpful", True, source="system") == [("outcome", 1.0)]
    assert said("stars", 5.0, source="system") == [("outcome", 5.0)]
    assert said("correctness", "correct", source="system") == [("comment", "correctness: correct")]
    assert said("answer", "refund", source="system", role="answer") == [("comment", "answer: refund")]


def test_a_label_is_one_of_the_loops_and_called_so() -> None:
    closed = Declared(labels=("refund", "good"))
    assert said("intent", "refund", closed) == [("correction", "refund")]
    assert said("intent", "refund", closed, source="reviewer") == [("label", "refund")]
    assert said("intent", "unknown", closed) == [("comment", "intent: unknown")]
    assert said("mood", "refund", closed) == [("comment", "mood: refund")]


def test_what_the_loop_declares_is_that_outcome() -> None:
    declared = Declared(frozenset({"success", "stars"}))
    assert said("success", True, declared) == [("outcome", 1.0)]
    assert said("stars", 4.0, declared) == [("outcome", 4.0)]
    with pytest.raises(InvalidInput, match="must be a number or a boolean"):
        said("success", "yes", declared)


def test_a_reason_is_kept() -> None:
    thumb = feedback_of(Judgement("f", "i", "helpful", True, {}, rationale="short"))
    assert [(f["kind"], f.get("rationale")) for f in thumb] == [("thumb", "short")]
    assert said("toxicity", 0.9, rationale="it shouts") == [("outcome", 0.9), ("comment", "it shouts")]
    assert said("tone", "rude", rationale="it shouts") == [("comment", "tone: rude"), ("comment", "it shouts")]


def test_a_scale() -> None:
    assert said("quality", 8.0, scale=10.0) == [("rating", 8.0)]
    with pytest.raises(InvalidInput, match="between 0 and its scale, 5"):
        said("stars", 7.0)


def test_a_name_does_not_stay_in_the_tags() -> None:
    assert person_of({"user_id": 7, "userId": "x", "page": "a"}) == ("7", {"page": "a"})
    assert person_of({}) == (None, {})
    with pytest.raises(InvalidInput, match="user: expected a text"):
        person_of({"user": ["a"]})

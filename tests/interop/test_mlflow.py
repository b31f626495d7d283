"""MLflow's assessments, as pure translation there and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.collect import build_feedback
from everloop.errors import InvalidInput
from everloop.interop import mlflow
from tests.interop.said import DOOR, is_taken_or_refused, json_values, kinds, objects

TRACE = "tr-" + "ab" * 16


def given_one(kind="HUMAN", **more):
    return {"assessment_name": "correct", "source": {"source_type": kind, "source_id": "jo"}, **more}


def said(**more):
    return kinds(mlflow.feedback(given_one(**more), "a-1", TRACE, "i1"))


def test_feedback_and_expectations() -> None:
    assert said(feedback={"value": True}, rationale="yes") == [("thumb", "up")]
    assert said(kind="LLM_JUDGE", feedback={"value": 0.7}, rationale="so") == [("outcome", 0.7), ("comment", "so")]
    assert said(expectation={"value": "Paris"}) == [("correction", "Paris")]
    assert said(kind="LLM_JUDGE", expectation={"value": "Paris"}) == [("comment", "correct: Paris")]
    packed = {"serialization_format": "JSON_FORMAT", "value": '["a"]'}
    assert said(expectation={"serialized_value": packed}) == [("comment", 'correct: ["a"]')]
    failed = {"error_code": "ValueError", "error_message": "x"}
    assert said(kind="CODE", feedback={"value": None, "error": failed}) == [("comment", "correct: ValueError: x")]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({}, "one of feedback and expectation"),
        ({"feedback": {"value": {"a": 1}}}, "an assessment for each value"),
        ({"feedback": {"value": True}, "source": {"source_type": "CAT"}}, "source_type: one of HUMAN"),
        ({"feedback": {"value": True}, "assessment_name": ""}, "assessment_name"),
        ({"feedback": {"value": True}, "create_time": "yesterday"}, "is no time"),
        ({"expectation": {}}, "say what was expected"),
    ],
)
def test_what_is_wrong(change, says) -> None:
    with pytest.raises(InvalidInput, match=says):
        mlflow.feedback({**given_one(), **change}, "a-1", TRACE, "i1")


@pytest.mark.parametrize(
    "value",
    [
        {"feedback": {"value": True}}, {"feedback": {"value": 0.25}}, {"feedback": {"value": "good"}},
        {"feedback": {"value": "so: so"}}, {"expectation": {"value": "Paris"}},
        {"expectation": {"serialized_value": {"serialization_format": "JSON_FORMAT", "value": '["a: b"]'}}},
    ],
)  # fmt: skip
def test_what_was_said_can_be_read_again(value) -> None:
    asked = given_one(rationale="why", metadata={"k": "v"}, **value)
    made = [build_feedback(fields, DOOR) for fields in mlflow.feedback(asked, "a-1", TRACE, "i1")]
    shown = mlflow.shown_as(made[0], "a-1", made[1].value if len(made) > 1 else None)
    assert {name: shown[name] for name in value} == value
    assert (shown["rationale"], shown["metadata"], shown["trace_id"]) == ("why", {"k": "v"}, TRACE)
    assert shown["source"]["source_id"].startswith("s_")  # who it was is nobody's business


def test_changes() -> None:
    old = given_one(feedback={"value": True}, metadata={"a": "1"}, rationale="old")
    new = {"assessment": {"expectation": {"value": "x"}, "metadata": {"b": "2"}}, "update_mask": "expectation,metadata"}
    assert mlflow.merged(old, new) == {**given_one(), "metadata": {"a": "1", "b": "2"}, "rationale": "old",
                                       "expectation": {"value": "x"}}  # fmt: skip
    assert mlflow.merged(old, {"assessment": {"assessment_name": "n"}, "update_mask": "assessmentName"})[
        "assessment_name"
    ] == "n"  # fmt: skip
    with pytest.raises(InvalidInput, match="can't be changed"):
        mlflow.merged(old, {"assessment": {}, "update_mask": "trace_id"})


held = objects(value=json_values, serialized_value=objects(value=st.text()), error=objects(error_code=st.text()))


@given(objects(
    assessment_name=st.text(min_size=1, max_size=9), source=objects(source_type=st.sampled_from(["HUMAN", "CODE"]),
    source_id=st.text()), feedback=held, expectation=held, rationale=st.text(), metadata=json_values, span_id=st.text(),
    create_time=st.sampled_from(["2026-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59"]),
))  # fmt: skip
def test_anything(body) -> None:
    is_taken_or_refused(lambda: mlflow.feedback(body, "a-1", TRACE, "i1"))


@given(json_values, objects(assessment=json_values, update_mask=st.just("feedback,rationale,metadata")))
def test_any_change(old, body) -> None:
    is_taken_or_refused(
        lambda: mlflow.feedback(mlflow.merged(old if isinstance(old, dict) else {}, body), "a-1", TRACE, "i1")
    )

"""Phoenix's annotations, as pure translation."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.errors import InvalidInput
from everloop.interop import phoenix
from everloop.interop.judgement import Declared
from tests.interop.said import is_taken_or_refused, json_values, kinds, objects

ONE = {"span_id": "ab" * 8, "name": "quality", "annotator_kind": "HUMAN"}


def said(result, declared=None, **more):
    return kinds(phoenix.feedback({**ONE, "result": result, **more}, "span", "ab" * 8, declared or Declared()))


def test_a_result_of_several_parts() -> None:
    assert said({"label": "good", "score": 1, "explanation": "clear"}) == [("thumb", "up")]
    assert said({"label": "verbose", "score": 0.3}) == [("outcome", 0.3)]
    assert said({"label": "verbose"}) == [("comment", "quality: verbose")]
    assert said({"explanation": "hm"}) == [("comment", "hm")]
    assert said({"label": "good", "score": 0.9}, Declared(frozenset({"quality"}))) == [("outcome", 0.9)]
    assert said({"label": "correct", "score": 1}, annotator_kind="LLM") == [("outcome", 1.0)]
    (made,) = phoenix.feedback({**ONE, "result": {"label": "good", "score": 1}}, "span", "i1")
    assert made["context"] == {"name": "quality", "tool": "phoenix", "by": "HUMAN", "score": 1.0, "span": "ab" * 8}


def test_one_per_name_target_and_identifier() -> None:
    ids = {phoenix.annotation_id(*key) for key in (
        ("span", "a", "n", ""), ("trace", "a", "n", ""), ("span", "b", "n", ""), ("span", "a", "m", ""),
        ("span", "a", "n", "x"), ("span", "a", "n", ""))}  # fmt: skip
    assert len(ids) == 5


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"result": {}}, "at least one of label, score and explanation"),
        ({"annotator_kind": "DOG"}, "annotator_kind: one of HUMAN"),
        ({"span_id": ""}, "span_id"),
        ({"result": {"score": "1"}}, "score: expected a number"),
        ({"name": "x" * 300}, "at most 200"),
    ],
)
def test_what_is_wrong(change, says) -> None:
    with pytest.raises(InvalidInput, match=says):
        phoenix.feedback({**ONE, "result": {"score": 1}, **change}, "span", "i")


@given(objects(
    span_id=st.just("ab"), name=st.text(min_size=1, max_size=9), annotator_kind=st.sampled_from(["HUMAN", "LLM"]),
    result=objects(label=st.text(), score=st.floats(), explanation=st.text()), metadata=json_values,
    identifier=st.text(),
))  # fmt: skip
def test_anything(body) -> None:
    is_taken_or_refused(lambda: phoenix.feedback(body, "span", "ab"))

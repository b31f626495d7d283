"""Langfuse's scores, events and dataset items, as pure translation."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.collect import build_interaction
from everloop.errors import InvalidInput, UserError
from everloop.interop import langfuse
from everloop.interop.langfuse_spans import as_genai
from everloop.interop.otlp import Span
from everloop.types import LoopSpec
from tests.interop.said import DOOR, is_taken_or_refused, json_values, kinds, objects


def said(**more):
    return kinds(langfuse.score({"traceId": "t1", **more}, "langfuse.s1", "t1"))


def test_data_types() -> None:
    assert said(name="helpful", value=1, dataType="BOOLEAN", comment="why") == [("thumb", "up")]
    assert said(name="toxic", value=1.0, dataType="BOOLEAN", comment="why") == [("outcome", 1.0), ("comment", "why")]
    assert said(name="score", value=0.5) == [("outcome", 0.5)]
    assert said(name="stars", value=4, dataType="NUMERIC") == [("rating", 4.0)]
    assert said(name="quality", value=8, metadata={"scale": 10}) == [("rating", 8.0)]
    assert said(name="verdict", value="good") == [("thumb", "up")]
    assert said(name="note", value="hm", dataType="TEXT") == [("comment", "hm")]
    assert said(name="output", value="Paris", dataType="CORRECTION") == [("correction", "Paris")]
    assert said(name="output", value="Paris", dataType="CORRECTION", source="ANNOTATION") == [("label", "Paris")]
    assert said(name="helpful", value=1, dataType="BOOLEAN", source="EVAL") == [("outcome", 1.0)]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"traceId": None}, "say what the score is about"),
        ({"traceId": None, "sessionId": "s"}, "speaks of no one answer"),
        ({"value": 2, "dataType": "BOOLEAN"}, "is 0 or 1"),
        ({"value": "x", "dataType": "NUMERIC"}, "expected a number"),
        ({"value": 1, "dataType": "CATEGORICAL"}, "value: a text is needed"),
        ({"dataType": "IMAGE"}, "dataType: one of"),
        ({"source": "MARS"}, "source: one of"),
        ({"name": " "}, "name"),
        ({"timestamp": "noon"}, "is no time"),
    ],
)
def test_what_is_wrong(change, says) -> None:
    with pytest.raises(InvalidInput, match=says):
        said(**{"name": "n", "value": 1, **change})


def test_events_are_merged_in_the_order_of_their_times() -> None:
    made = langfuse.merge([
        langfuse.Event("2", "generation", {"id": "g", "output": "yo", "metadata": {"b": 2}}, 2),
        langfuse.Event("1", "generation", {
            "id": "g", "traceId": "t", "input": "hi", "output": "-", "metadata": {"a": 1},
        }, 1),
        langfuse.Event("3", "trace", {"id": "t", "userId": "u"}, 1),
        langfuse.Event("4", "span", {"id": "s", "traceId": "t"}, 1),
        langfuse.Event("5", "observation", {"id": "o", "type": "GENERATION", "input": "x"}, 1),
    ])  # fmt: skip
    assert made.generations["g"] == {
        "id": "g", "traceId": "t", "input": "hi", "output": "yo", "metadata": {"a": 1, "b": 2},
    }  # fmt: skip
    assert set(made.generations) == {"g", "o"}
    assert (made.traces, made.others) == ({"t": {"id": "t", "userId": "u"}}, {"s": "t"})


def test_a_generation() -> None:
    body = {
        "id": "g", "traceId": "t", "name": "llm", "model": "m", "input": [{"role": "user", "content": "hi"}],
        "output": {"role": "assistant", "content": "yo"}, "startTime": "2026-01-01T00:00:00Z",
        "endTime": "2026-01-01T00:00:01.5Z", "completionStartTime": "2026-01-01T00:00:00.25Z",
        "usage": {"input": 3, "output": 4, "unit": "TOKENS", "totalCost": 0.5}, "metadata": {"userId": "ada", "a": 1},
    }  # fmt: skip
    fields = langfuse.interaction(body, {"sessionId": "s", "tags": ["x"]})
    made = build_interaction(LoopSpec(name="support"), fields, DOOR)
    assert (made.input, made.output) == ({"messages": body["input"]}, "yo")
    assert (made.trace, made.session, made.variant, made.cost) == ("t", "s", "m", 0.5)
    assert (made.tokens_in, made.tokens_out, made.latency_ms, made.first_token_ms) == (3, 4, 1500.0, 250.0)
    assert made.subject.startswith("s_")
    assert made.context == {"a": 1, "name": "llm", "tags": ["x"]}
    later = langfuse.interaction({"id": "g", "level": "ERROR", "statusMessage": "cut\noff"}, {}, fields)
    assert (later["input"], later["status"], later["error"]) == (fields["input"], "partial", "cut off")


def test_spans_of_its_clients() -> None:
    told = {"langfuse.observation.type": "generation", "langfuse.observation.input": '"q"',
            "langfuse.observation.output": "a", "langfuse.observation.usage_details": '{"input": 3, "output": 4}',
            "langfuse.observation.metadata.loop": "support", "langfuse.observation.level": "ERROR",
            "langfuse.observation.status_message": "cut off",
            "langfuse.observation.completion_start_time": '"1970-01-01T00:00:02Z"'}  # fmt: skip
    span = Span("ab" * 16, "cd" * 8, "", "llm", 10**9, 3 * 10**9, told, (), False, "", {})
    made = as_genai(span)
    assert made.attributes["gen_ai.usage.output_tokens"] == 4
    assert made.attributes["gen_ai.response.time_to_first_chunk"] == 1.0
    assert made.attributes["everloop.loop"] == "support"
    assert (made.failed, made.message) == (True, "cut off")
    assert as_genai(span._replace(attributes={"a": 1})).attributes == {"a": 1}


names = ["type", "input", "usage_details", "cost_details", "model.parameters", "completion_start_time"]


odd = st.sampled_from(["generation", '{"input": 1}', '"2026"', "{", "\ud800"])


@given(st.dictionaries(st.sampled_from(names).map("langfuse.observation.{}".format), odd | json_values))
def test_any_span_of_its_clients(told) -> None:
    as_genai(Span("ab" * 16, "cd" * 8, "", "llm", 1, 2, told, (), False, "", {}))


@given(objects(
    traceId=st.just("t"), observationId=st.text(), name=st.text(min_size=1, max_size=9), value=json_values,
    dataType=st.sampled_from(["NUMERIC", "BOOLEAN", "CATEGORICAL", "TEXT", "CORRECTION"]), comment=st.text(),
    metadata=json_values, source=st.sampled_from(["API", "ANNOTATION"]), environment=st.text(),
    timestamp=st.just("2026-01-01"),
))  # fmt: skip
def test_any_score(body) -> None:
    is_taken_or_refused(lambda: langfuse.score(body, "langfuse.s1", "t"))


observation = objects(
    id=st.just("g"), traceId=st.just("t"), input=json_values, output=json_values, metadata=json_values,
    usage=json_values, usageDetails=json_values, costDetails=json_values, startTime=st.just("2026-01-01"),
    endTime=st.just("2026-01-02"), model=st.text(), level=st.just("ERROR"), statusMessage=st.text(), tags=json_values,
    userId=st.text(), sessionId=st.text(), modelParameters=json_values, name=st.text(), type=st.just("GENERATION"),
)  # fmt: skip


event = objects(
    id=st.text(min_size=1), type=st.sampled_from(["generation-create", "trace-create", "span-update"]),
    body=observation, timestamp=st.just("2026-01-01T00:00:00Z"),
)  # fmt: skip


@settings(max_examples=40)  # the body is large
@given(st.lists(event, max_size=3), observation)
def test_any_event(batch, trace) -> None:
    try:
        merged = langfuse.merge([langfuse.event(one) for one in langfuse.events({"batch": batch})])
        for body in merged.generations.values():
            build_interaction(LoopSpec(name="a", task="chat"), langfuse.interaction(body, trace), DOOR)
    except UserError as error:
        assert "\n" not in str(error)


@given(objects(datasetName=st.text(min_size=1), input=json_values, expectedOutput=json_values, metadata=json_values))
def test_any_dataset_item(body) -> None:
    try:
        fields, _ = langfuse.dataset_item(body, "langfuse.x")
        build_interaction(LoopSpec(name="a"), fields, DOOR)
    except UserError as error:
        assert "\n" not in str(error)

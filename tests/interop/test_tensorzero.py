"""TensorZero's requests, as pure translation."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.errors import InvalidInput, UserError
from everloop.interop import tensorzero
from tests.interop.said import is_taken_or_refused, json_values, kinds, objects

ASK = {"function_name": "support", "input": {"messages": [{"role": "user", "content": "hi"}]}}


def chat(messages, **more):
    return tensorzero.inference({**ASK, "input": {"messages": messages}, **more}).chat


def test_a_conversation_with_tools() -> None:
    call = {"type": "tool_call", "id": "c1", "name": "look", "raw_arguments": '{"a":1}'}
    made = chat(
        [
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "raw_text", "value": "b"}]},
            {"role": "assistant", "content": [call]},
            {"role": "user", "content": [{"type": "tool_result", "id": "c1", "name": "look", "result": "42"}]},
        ],
        additional_tools=[{"name": "look", "description": "d", "parameters": {"type": "object"}}],
        tool_choice={"specific": "look"},
        params={"chat_completion": {"temperature": 0.2, "stop_sequences": ["x"], "seed": None}},
    )
    function = {"name": "look", "arguments": '{"a":1}'}
    assert made["messages"] == [
        {"role": "user", "content": "a\nb"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "type": "function", "function": function}]},
        {"role": "tool", "tool_call_id": "c1", "content": "42"},
    ]
    assert made["tools"][0]["function"]["name"] == "look"
    assert made["tool_choice"]["function"] == {"name": "look"}
    assert (made["temperature"], made["stop"]) == (0.2, ["x"])
    assert "seed" not in made


def test_files_and_a_schema() -> None:
    image = {"type": "file", "file_type": "base64", "mime_type": "image/png", "data": "aGk="}
    made = chat([{"role": "user", "content": [{"type": "text", "text": "a"}, image]}], output_schema={"type": "object"})
    assert made["messages"][0]["content"][1] == {
        "type": "image_url",
        "image_url": {"url": "data:image/png;base64,aGk="},
    }
    assert made["response_format"]["json_schema"]["schema"] == {"type": "object"}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"function_name": None}, "function_name: name the loop"),
        ({"model_name": "gpt"}, "model_name: Everloop does not do this"),
        ({"credentials": {"k": "v"}}, "credentials"),
        ({"extra_body": [{}]}, "extra_body"),
        ({"cache_options": {"enabled": "on"}}, "not cached"),
        ({"episode_id": "mine"}, "expected a UUID"),
        ({"input": {"messages": [], "system": "s"}}, "at least one message"),
        ({"input": {"messages": [{"role": "user", "content": {"name": "x"}}]}}, "fills no templates"),
        ({"input": {"system": {"a": 1}}}, "fills no templates"),
        ({"params": {"chat_completion": {"temp": 1}}}, "chat_completion.temp"),
        ({"params": {"dicl": {"k": 1}}}, "params.dicl"),
        ({"allowed_tools": ["x"]}, "not among additional_tools"),
        ({"tags": {"a": 1}}, "tags.a"),
        ({"stream": "yes"}, "stream: expected true or false"),
        ({"functoin": 1}, "unknown field 'functoin'"),
    ],
)
def test_what_cannot_be_done_is_said(change, says) -> None:
    with pytest.raises(InvalidInput, match=says):
        tensorzero.inference({**ASK, **change})


def test_tags_and_who() -> None:
    asked = tensorzero.inference({**ASK, "tags": {"user_id": "ada", "page": "pay"}, "namespace": "eu"})
    assert (asked.subject, asked.context) == ("ada", {"page": "pay", "tensorzero::namespace": "eu"})


def test_answers() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "look", "arguments": '{"a":1}'}}
    message = {"content": None, "tool_calls": [call]}
    made = tensorzero.answered("i", "e", "v", message, tokens=(3, 4), finish="tool_calls")
    assert made["finish_reason"] == "tool_call"
    assert made["content"][0]["arguments"] == {"a": 1}
    broken = tensorzero.answered("i", "e", "v", {"content": "{"}, tokens=(None, None), json=True)
    assert broken["output"] == {"raw": "{", "parsed": None}


def said(name, value, **more):
    return kinds(tensorzero.feedback({"metric_name": name, "value": value, "inference_id": "i", **more}, "f"))


def test_feedback() -> None:
    assert said("comment", "well done") == [("comment", "well done")]
    assert said("demonstration", "so") == [("demonstration", "so")]
    assert said("demonstration", [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]) == [
        ("demonstration", "a\nb")
    ]
    assert said("demonstration", {"a": 1}) == [("demonstration", '{"a":1}')]
    assert said("quality", 8, tags={"scale": "10"}) == [("rating", 8.0)]
    with pytest.raises(InvalidInput, match="blocks other than text"):
        said("demonstration", [{"type": "tool_call"}])
    with pytest.raises(InvalidInput, match="one of inference_id and episode_id"):
        said("comment", "x", episode_id="e")


def test_who_reviews() -> None:
    tags = {"tensorzero::human_feedback": "true", "user": "ada"}
    body = {"metric_name": "good", "value": True, "inference_id": "i", "tags": tags}
    (made,) = tensorzero.feedback(body, "f")
    assert (made["source"], made["subject"], made["context"]) == (
        "reviewer",
        "ada",
        {"name": "good", "tool": "tensorzero"},
    )


@given(objects(
    metric_name=st.sampled_from(["comment", "demonstration", "stars", "helpful"]), inference_id=st.just("i"),
    episode_id=st.none(), value=json_values, tags=st.dictionaries(st.text(max_size=5), st.text(max_size=5)),
    dryrun=st.booleans(),
))  # fmt: skip
def test_any_feedback(body) -> None:
    is_taken_or_refused(lambda: tensorzero.feedback(body, "f"))


@given(objects(
    function_name=st.just("a"), input=objects(system=st.text(), messages=st.lists(objects(
        role=st.sampled_from(["user", "assistant"]), content=st.text() | st.lists(objects(
            type=st.sampled_from(["text", "tool_call", "tool_result", "file", "thought"]), text=st.text(), id=st.text(),
            name=st.text(), raw_arguments=st.text(), arguments=json_values, result=st.text(), url=st.text(),
            mime_type=st.just("image/png"), data=st.text(), value=st.text(),
        ), max_size=3)), max_size=3)),
    params=objects(chat_completion=json_values), tool_choice=st.sampled_from(["auto", "off"]) | json_values,
    additional_tools=st.lists(objects(name=st.text(), parameters=json_values), max_size=2), tags=json_values,
    allowed_tools=st.lists(st.text(), max_size=2), output_schema=json_values, cache_options=json_values,
))  # fmt: skip
def test_any_inference(body) -> None:
    try:
        tensorzero.inference(body)
    except UserError as error:
        assert "\n" not in str(error)

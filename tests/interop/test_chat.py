"""OpenAI's chat JSON: whatever comes in, what is kept is right, and a stream says what the whole would have said."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.errors import InvalidInput
from everloop.interop import chat
from everloop.types import Price, Variant

MESSAGES = [{"role": "user", "content": "hi"}]
VARIANT = Variant(name="a", url="http://x/v1", model="m")
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
NAMES = ("model", "messages", "stream", "stream_options", "user", "safety_identifier", "metadata", "tools", "n")


@given(st.dictionaries(st.sampled_from(NAMES), ANY))
def test_a_request_is_read_or_refused(body):
    try:
        asked = chat.read_request(body)
    except InvalidInput as error:
        assert str(error).partition(":")[0].partition(".")[0] in NAMES
    else:
        assert asked.input["messages"] == body["messages"]
        assert not {"model", "user", "metadata", "stream"} & set(asked.input)


def test_the_upstream_gets_the_request_less_what_is_ours():
    body = {
        "model": "loop:a",
        "messages": MESSAGES,
        "user": "u",
        "metadata": {"session": "s"},
        "top_k": 1,
        "stream": True,
    }
    sent = chat.for_upstream(body, VARIANT, "s_1")
    assert sent == {"model": "m", "messages": MESSAGES, "user": "s_1", "top_k": 1, "stream": True,
                    "stream_options": {"include_usage": True}}  # fmt: skip
    assert body["model"] == "loop:a"


def test_metadata_goes_where_it_is_to_be_stored():
    body = {"model": "loop:a", "messages": MESSAGES, "store": True, "metadata": {"session": "s", "topic": "t"}}
    assert chat.for_upstream(body, VARIANT, None)["metadata"] == {"topic": "t"}


def test_tags_may_be_names_and_values():
    body = {"model": "a", "messages": MESSAGES, "metadata": {"tags": {"team": "eu"}, "x": 1}}
    assert chat.read_request(body).context == {"team": "eu", "x": 1}


@pytest.mark.parametrize(
    ("message", "output", "kept"),
    [
        ({"content": "hi"}, "hi", False),
        ({"content": "hi", "refusal": None, "annotations": [], "tool_calls": None}, "hi", False),
        ({"content": None, "refusal": "no"}, "", True),
        ({"content": "hi", "tool_calls": [{"id": "x"}]}, "hi", True),
        ({"content": "hi", "reasoning_content": "hm"}, "hi", True),
        ({"content": [{"type": "text", "text": "hi"}]}, "hi", True),
        ({"content": None, "audio": {"id": "x"}}, "", True),
    ],
)
def test_the_message_is_kept_where_a_text_does_not_say_it(message, output, kept):
    message = {"role": "assistant", **message}
    said = chat.read_completion({"choices": [{"message": message}]})
    assert said.output == output
    assert said.message == (message if kept else None)


def test_several_choices_are_kept_all():
    choices = [{"index": n, "message": {"role": "assistant", "content": str(n)}} for n in range(2)]
    said = chat.read_completion({"choices": choices})
    assert (said.output, said.message) == ("0", {"choices": choices})


@pytest.mark.parametrize("usage", [None, 7, {}, {"prompt_tokens": "9"}, {"prompt_tokens": -1}, {"prompt_tokens": True}])
def test_counts_that_are_none(usage):
    said = chat.read_completion({"choices": [{"message": {"content": "x"}}], "usage": usage})
    assert (said.tokens_in, said.cached) == (None, 0)
    assert chat.cost(Price(input=5), said) == 0


def test_cost_never_counts_more_cached_than_there_was():
    assert chat.cost(Price(input=2, cached=0), chat.Said("", None, 10, 0, cached=99)) == 0
    assert chat.cost(Price(input=2), chat.Said("", None, 1_000_000, 0, cached=99)) == 2


FUNCTION = st.fixed_dictionaries({"name": st.text(min_size=1, max_size=4), "arguments": st.text(max_size=9)})
CALL = {"id": st.text(min_size=1, max_size=4), "type": st.just("function"), "function": FUNCTION}
CALLS = st.lists(st.fixed_dictionaries(CALL), max_size=3)
WHOLE = st.fixed_dictionaries(
    {"role": st.just("assistant"), "content": st.none() | st.text(max_size=20)},
    optional={"refusal": st.text(min_size=1, max_size=9), "tool_calls": CALLS.filter(bool)},
)


def pieces(text, cut):
    return [text[i : i + cut] for i in range(0, len(text), cut)] or [""]


@given(st.lists(WHOLE, min_size=1, max_size=3), st.integers(1, 5))
def test_a_stream_says_what_the_whole_says(messages, cut):
    gathering = chat.Gathering()
    for index, message in enumerate(messages):
        parts = [{"role": "assistant"}]
        for key in ("content", "refusal"):
            if message.get(key) is not None:
                parts += [{key: piece} for piece in pieces(message[key], cut)]
        for n, call in enumerate(message.get("tool_calls", ())):
            name = call["function"]["name"]
            parts.append({"tool_calls": [{"index": n, **call, "function": {"name": name, "arguments": ""}}]})
            parts += [{"tool_calls": [{"index": n, "function": {"arguments": piece}}]}
                      for piece in pieces(call["function"]["arguments"], cut)]  # fmt: skip
        for part in [*parts, {}]:
            finish = None if part else "stop"
            gathering.add({"id": "x", "choices": [{"index": index, "delta": part, "finish_reason": finish}]})
    gathering.add({"id": "x", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4}})
    assert gathering.finished
    said = gathering.said()
    assert (said.tokens_in, said.tokens_out, said.finish) == (3, 4, "stop")
    assert said.output == (messages[0]["content"] or "")
    found = said.message["choices"] if len(messages) > 1 else [{"message": said.message or {"content": said.output}}]
    for message, choice in zip(messages, found, strict=True):
        made = choice["message"]
        assert made["content"] == message["content"]
        assert made.get("refusal") == message.get("refusal")
        calls = [{k: v for k, v in call.items() if k != "index"} for call in made.get("tool_calls", ())]
        assert calls == message.get("tool_calls", [])


@given(WHOLE)
def test_a_whole_as_chunks_says_the_same(message):
    gathering = chat.Gathering()
    for one in chat.chunks({"id": "x", "created": 1, "model": "m", "choices": [{"index": 0, "message": message}],
                            "usage": {"prompt_tokens": 1, "completion_tokens": 1}}):  # fmt: skip
        gathering.add(one)
    assert gathering.said().output == (message["content"] or "")
    assert gathering.finished


@given(st.lists(st.dictionaries(st.sampled_from(["choices", "usage", "id"]), ANY), max_size=5))
def test_any_chunks_are_survived(chunks):
    gathering = chat.Gathering()
    for one in chunks:
        gathering.add(one)
    json.dumps(gathering.said()._asdict())


DELTA = st.dictionaries(st.sampled_from(["content", "role", "tool_calls", "function", "index", "x"]), ANY, max_size=4)


@given(st.lists(DELTA, max_size=6))
def test_any_deltas_are_survived(deltas):
    gathering = chat.Gathering()
    for delta in deltas:
        gathering.add({"choices": [{"index": 0, "delta": delta}]})
    json.dumps(gathering.said()._asdict())


def test_some_upstreams_say_role_and_name_with_every_chunk():
    gathering = chat.Gathering()
    for text in ("a", "b"):
        part = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": text}}
        gathering.add({"choices": [{"index": 0, "delta": {"role": "assistant", "tool_calls": [part]}}]})
    message = gathering.said().message
    assert message["role"] == "assistant"
    assert message["tool_calls"][0]["function"] == {"name": "f", "arguments": "ab"}


@given(ANY)
def test_any_error_is_one_line_or_none(body):
    said = chat.error_said(body)
    assert said is None or ("\n" not in said and said)


@pytest.mark.parametrize("body", [{"error": "no"}, {"error": {"message": "no"}}, {"error": {"code": "no"}}])
def test_errors_of_every_shape(body):
    assert chat.error_said(body) == "no"


def test_our_errors_have_openais_shape():
    assert chat.error(429, "slow", "TooOften") == {
        "error": {"message": "slow", "type": "rate_limit_error", "param": None, "code": "TooOften"}
    }

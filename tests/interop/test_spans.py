"""Every convention there was: what a span of it says."""

import json
from typing import Any

import pytest

from everloop.interop import otlp
from everloop.interop.spans import NO_CONTENT, Reading, read_spans

from . import exported as ex

MESSAGES = [{"role": "user", "content": "Where is my card?"}]
CALL = {"id": "call_1", "type": "function", "function": {"name": "find_card", "arguments": '{"n":4}'}}


def read(*spans: dict[str, Any], **resource: Any) -> list[Reading]:
    return read_spans(otlp.read_json(ex.as_json(ex.request(*spans, **resource))))


def fields(attributes: dict[str, Any], **more: Any) -> dict[str, Any]:
    (reading,) = read(ex.span(attributes, **more), service_name="shop")
    assert reading.interaction is not None, reading
    return reading.interaction


def without(attributes: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if name not in names}


def test_the_current_convention() -> None:
    assert fields(ex.CHAT) == {
        "id": ex.SPAN, "trace": ex.TRACE, "at": ex.START // 1_000_000, "output": "On its way.", "variant": "gpt-4-0613",
        "input": {"messages": MESSAGES, "temperature": 0.5}, "session": "c1", "tokens_in": 52, "tokens_out": 47,
        "latency_ms": 1500.0,
        "context": {"provider": "openai", "finish": "stop", "service": "shop", "call": {"span": "chat gpt-4"}},
    }  # fmt: skip


def test_structured_instead_of_json_and_on_an_event_instead_of_the_span() -> None:
    content = {"gen_ai.input.messages": ex.ASKED, "gen_ai.output.messages": ex.ANSWERED}
    bare = without(ex.CHAT, *content)
    assert fields({**bare, **content}) == fields(ex.CHAT)
    event = ex.event("gen_ai.client.inference.operation.details", **content)
    assert fields(bare, events=[event]) == fields(ex.CHAT)


def test_tools_instructions_media_and_reasoning() -> None:
    asked = [
        {"role": "user", "parts": [
            {"type": "text", "content": "see"},
            {"type": "blob", "modality": "image", "mime_type": "image/png", "content": "aGk="},
            {"type": "uri", "modality": "image", "uri": "https://x.example/a.png"},
            {"type": "file", "file_id": "f1"}, {"type": "odd", "x": 1}]},
        {"role": "assistant", "parts": [{"type": "tool_call", "id": "call_0", "name": "look", "arguments": {"a": 1}}]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "call_0", "result": {"seen": True}}]},
    ]  # fmt: skip
    answered = [{"role": "assistant", "finish_reason": "tool_call", "parts": [
        {"type": "reasoning", "content": "hm"},
        {"type": "tool_call", "id": "call_1", "name": "find_card", "arguments": {"n": 4}}]}]  # fmt: skip
    made = fields({
        **ex.CHAT, "gen_ai.input.messages": asked, "gen_ai.output.messages": answered,
        "gen_ai.system_instructions": [{"type": "text", "content": "be kind"}],
        "gen_ai.tool.definitions": json.dumps([{"type": "function", "name": "find_card", "parameters": {}}]),
    })  # fmt: skip
    system, user, call, result = made["input"]["messages"]
    assert system == {"role": "system", "content": "be kind"}
    assert user["content"] == [
        {"type": "text", "text": "see"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}},
        {"type": "image_url", "image_url": {"url": "https://x.example/a.png"}},
        {"type": "file", "file": {"file_id": "f1"}},
        {"type": "odd", "x": 1},
    ]
    assert call["tool_calls"][0]["function"] == {"name": "look", "arguments": '{"a":1}'}
    assert result == {"role": "tool", "tool_call_id": "call_0", "content": '{"seen":true}'}
    assert made["input"]["tools"] == [{"type": "function", "function": {"name": "find_card", "parameters": {}}}]
    assert made["output"] == ""
    assert made["message"] == {
        "role": "assistant", "content": None, "tool_calls": [CALL], "reasoning_content": "hm",
    }  # fmt: skip
    assert made["context"]["finish"] == "tool_call"


def test_openllmetry() -> None:
    made = fields({
        "gen_ai.system": "OpenAI", "llm.request.type": "chat", "gen_ai.request.model": "gpt-4",
        "gen_ai.prompt.0.role": "system", "gen_ai.prompt.0.content": "be kind",
        "gen_ai.prompt.10.role": "user", "gen_ai.prompt.10.content": "Where is my card?",
        "gen_ai.prompt.2.role": "assistant", "gen_ai.prompt.2.tool_calls.0.id": "call_1",
        "gen_ai.prompt.2.tool_calls.0.name": "find_card", "gen_ai.prompt.2.tool_calls.0.arguments": '{"n":4}',
        "gen_ai.prompt.3.role": "tool", "gen_ai.prompt.3.content": "[1, 2]", "gen_ai.prompt.3.tool_call_id": "call_1",
        "gen_ai.completion.0.role": "assistant", "gen_ai.completion.0.content": "On its way.",
        "gen_ai.completion.0.finish_reason": "stop", "gen_ai.usage.prompt_tokens": 5, "llm.usage.completion_tokens": 6,
        "llm.request.functions.0.name": "find_card", "llm.request.functions.0.parameters": '{"type":"object"}',
        "traceloop.association.properties.user_id": "u1", "traceloop.association.properties.session_id": "s1",
    })  # fmt: skip
    assert made["input"]["messages"] == [
        {"role": "system", "content": "be kind"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "content": "[1, 2]", "tool_call_id": "call_1"},
        {"role": "user", "content": "Where is my card?"},
    ]
    assert made["input"]["tools"][0]["function"] == {"name": "find_card", "parameters": {"type": "object"}}
    assert (made["output"], made["tokens_in"], made["tokens_out"]) == ("On its way.", 5, 6)
    assert (made["subject"], made["session"], made["variant"]) == ("u1", "s1", "gpt-4")
    assert "message" not in made


@pytest.mark.parametrize("wrapped", [False, True])
def test_one_event_a_message(wrapped: bool) -> None:
    def event(name: str, **told: Any) -> dict[str, Any]:
        return ex.event(name, **({"gen_ai.event.content": json.dumps(told)} if wrapped else told))

    made = fields(
        {"gen_ai.system": "openai", "gen_ai.operation.name": "chat"},
        events=[
            event("gen_ai.system.message", content="be kind"),
            event("gen_ai.user.message", content="Where is my card?"),
            event("gen_ai.assistant.message", tool_calls=[CALL]),
            event("gen_ai.tool.message", content="found", id="call_1"),
            event("gen_ai.choice", index=1, message={"content": "second"}),
            event("gen_ai.choice", index=0, finish_reason="stop", message={"content": "On its way."}),
        ],
    )
    assert [m["role"] for m in made["input"]["messages"]] == ["system", "user", "assistant", "tool"]
    assert made["input"]["messages"][2]["tool_calls"] == [CALL]
    assert made["input"]["messages"][3]["tool_call_id"] == "call_1"
    assert (made["output"], made["context"]["finish"]) == ("On its way.", "stop")
    assert made["context"]["call"]["choices"] == 2


def test_prompt_and_completion_as_one_text_each() -> None:
    events = [
        ex.event("gen_ai.content.prompt", **{"gen_ai.prompt": json.dumps(MESSAGES)}),
        ex.event("gen_ai.content.completion", **{"gen_ai.completion": "On its way."}),
    ]
    made = fields({"gen_ai.system": "vertex_ai"}, events=events)
    assert (made["input"], made["output"]) == ({"messages": MESSAGES}, "On its way.")


def test_openinference() -> None:
    made = fields({
        "openinference.span.kind": "LLM", "llm.model_name": "gpt-4", "llm.provider": "openai", "session.id": "s1",
        "user.id": "u1", "llm.invocation_parameters": '{"temperature": 0.1, "model": "gpt-4"}',
        "llm.input_messages.0.message.role": "user",
        "llm.input_messages.0.message.contents.0.message_content.type": "text",
        "llm.input_messages.0.message.contents.0.message_content.text": "see",
        "llm.input_messages.0.message.contents.1.message_content.type": "image",
        "llm.input_messages.0.message.contents.1.message_content.image.image.url": "https://x.example/a.png",
        "llm.input_messages.1.message.role": "user", "llm.input_messages.1.message.content": "Where is my card?",
        "llm.output_messages.0.message.role": "assistant",
        "llm.output_messages.0.message.tool_calls.0.tool_call.id": "call_1",
        "llm.output_messages.0.message.tool_calls.0.tool_call.function.name": "find_card",
        "llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments": '{"n":4}',
        "llm.tools.0.tool.json_schema": '{"type": "function", "function": {"name": "find_card"}}',
        "llm.token_count.prompt": 9, "llm.token_count.completion": 3, "llm.cost.total": 0.01,
        "metadata": '{"team": "x"}', "tag.tags": ["a"],
    })  # fmt: skip
    assert made["input"]["messages"] == [
        {"role": "user", "content": [
            {"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": "https://x.example/a.png"}}]},
        {"role": "user", "content": "Where is my card?"},
    ]  # fmt: skip
    assert made["input"]["tools"] == [{"type": "function", "function": {"name": "find_card"}}]
    assert made["input"]["temperature"] == 0.1
    assert (made["output"], made["message"]["tool_calls"]) == ("", [CALL])
    assert (made["subject"], made["session"], made["tokens_in"], made["tokens_out"]) == ("u1", "s1", 9, 3)
    assert (made["cost"], made["context"]["metadata"], made["context"]["tags"]) == (0.01, {"team": "x"}, ["a"])


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ("Where is my card?", "On its way."),
        (
            json.dumps({"model": "m", "messages": MESSAGES}),
            json.dumps({"choices": [{"message": {"content": "On its way."}}]}),
        ),
        (json.dumps(MESSAGES), json.dumps({"role": "assistant", "content": "On its way."})),
    ],
)
def test_openinference_with_input_and_output_as_they_were(asked: str, answered: str) -> None:
    made = fields({"openinference.span.kind": "LLM", "input.value": asked, "output.value": answered})
    assert (made["input"]["messages"], made["output"]) == (MESSAGES, "On its way.")


def test_a_span_that_failed() -> None:
    failed = without(ex.CHAT, "gen_ai.output.messages")
    made = fields(failed, status={"code": 2, "message": "rate\nlimit"})
    assert (made["status"], made["error"]) == ("failed", "rate limit")
    assert "output" not in made
    made = fields(ex.CHAT, status={"code": 2}, events=[ex.event("exception", **{"exception.message": "cut off"})])
    assert (made["status"], made["error"], made["output"]) == ("partial", "cut off", "On its way.")
    assert fields({**failed, "error.type": "timeout"})["error"] == "timeout"


def test_when_it_began_to_answer() -> None:
    assert fields({**ex.CHAT, "gen_ai.response.time_to_first_chunk": 0.25})["first_token_ms"] == 250.0
    chunk = ex.event("gen_ai.content.completion.chunk", at=ex.START + 40_000_000)
    assert fields(ex.CHAT, events=[chunk])["first_token_ms"] == 40.0


def test_what_is_ours_in_a_span() -> None:
    made = fields({**ex.CHAT, "everloop.consent": "service, improve", "everloop.context.channel": "web"})
    assert (made["consent"], made["context"]["channel"]) == (["service", "improve"], "web")
    ours = "0197f0d2-7a1b-7c3d-9e4f-0123456789ab"
    assert fields({**ex.CHAT, "gen_ai.response.id": ours})["id"] == ours
    assert fields({**ex.CHAT, "gen_ai.response.id": "chatcmpl-1"})["id"] == ex.SPAN
    (reading,) = read(ex.span({**ex.CHAT, "everloop.loop": "support"}), everloop_loop="other")
    assert reading.loop == "support"
    (reading,) = read(ex.span(ex.CHAT), everloop_loop="other", service_name="shop")
    assert (reading.loop, reading.service) == ("other", "shop")


@pytest.mark.parametrize(
    ("attributes", "what"),
    [
        ({"http.request.method": "GET", "url.full": "https://x.example"}, "http"),
        ({"db.system.name": "postgresql"}, "database"),
        ({"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "x"}, "execute_tool"),
        ({"gen_ai.operation.name": "embeddings"}, "embeddings"),
        ({"gen_ai.operation.name": "invoke_agent"}, "invoke_agent"),
        ({"openinference.span.kind": "RETRIEVER"}, "retriever"),
        ({"openinference.span.kind": "x\r\nset-cookie: y"}, "other"),
        ({"traceloop.span.kind": "workflow"}, "workflow"),
        ({}, "other"),
    ],
)
def test_other_spans_are_skipped_with_what_they_are(attributes: dict[str, Any], what: str) -> None:
    (reading,) = read(ex.span(attributes))
    assert (reading.skipped, reading.refused, reading.interaction) == (what, "", None)


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (ex.span(ex.CHAT, id="00"), "hexadecimal"),
        (ex.span(ex.CHAT, id="0" * 16), "hexadecimal"),
        (ex.span(ex.CHAT, trace="AAAAAAAAAAAAAAAAAAAAAA=="), "hexadecimal"),
        (ex.span(without(ex.CHAT, "gen_ai.input.messages")), NO_CONTENT),
        (ex.span({**ex.CHAT, "gen_ai.input.messages": "[]"}), NO_CONTENT),
    ],
)
def test_what_is_refused_says_why(made: dict[str, Any], says: str) -> None:
    (reading,) = read(made)
    assert says in reading.refused


def result(name: str, **told: Any) -> dict[str, Any]:
    return {
        "gen_ai.evaluation.name": name,
        **{f"gen_ai.evaluation.{key.replace('_', '.')}": v for key, v in told.items()},
    }


def test_an_evaluation_is_of_the_call_it_hangs_on() -> None:
    event = ex.event(
        "gen_ai.evaluation.result", **result("relevance", score_value=0.8, score_label="good", explanation="why")
    )
    (reading,) = read(ex.span(ex.CHAT, events=[event]))
    (one,) = reading.scores
    assert (one.interaction, one.name, one.value, one.rationale, one.source) == (
        ex.SPAN,
        "relevance",
        0.8,
        "why",
        "system",
    )
    assert one.context["label"] == "good"
    child = ex.span(result("relevance", score_value=1), id="2" * 16, parent=ex.SPAN, name="gen_ai.evaluation.result")
    readings = read(child, ex.span(ex.CHAT))
    assert [r.scores[0].interaction for r in readings if r.scores] == [ex.SPAN]
    assert readings[0].interaction is None


def test_an_evaluation_finds_its_call_by_response_or_trace() -> None:
    ours = "0197f0d2-7a1b-7c3d-9e4f-0123456789ab"
    named = {**result("relevance", score_value=1), "gen_ai.response.id": "chatcmpl-1"}
    call = ex.span({**ex.CHAT, "gen_ai.response.id": "chatcmpl-1"})
    aside = ex.span(named, id="2" * 16, parent="3" * 16, name="gen_ai.evaluation.result")
    above = ex.span({"http.route": "/"}, id="3" * 16)
    assert read(call, aside, above)[1].scores[0].interaction == ex.SPAN
    assert read(aside, above)[0].scores[0].interaction == ex.TRACE  # what it hangs on is no call
    assert read(aside)[0].scores[0].interaction == "3" * 16  # it may be one: the call ends after it
    mine = ex.span({**named, "gen_ai.response.id": ours}, id="2" * 16, name="gen_ai.evaluation.result")
    assert read(mine)[0].scores[0].interaction == ours


def test_the_same_evaluation_has_the_same_id() -> None:
    made = ex.span(ex.CHAT, events=[ex.event("gen_ai.evaluation.result", **result("a", score_value=v)) for v in (1, 2)])
    first, again = read(made)[0].scores, read(made)[0].scores
    assert [one.id for one in first] == [one.id for one in again]
    assert len({one.id for one in first}) == 2


@pytest.mark.parametrize(
    ("told", "value", "source"),
    [
        (result("user_feedback", score_value=1), True, "user"),
        (result("thumbs", score_value=-1.0), False, "user"),
        (result("user_rating", score_value=1), 1.0, "user"),
        (result("quality", score_label="pass"), "pass", "system"),
        (result("quality", score_value=1), 1.0, "system"),
    ],
)
def test_who_judges_is_read_from_the_name(told: dict[str, Any], value: Any, source: str) -> None:
    (reading,) = read(ex.span(ex.CHAT, events=[ex.event("gen_ai.evaluation.result", **told)]))
    assert (reading.scores[0].value, reading.scores[0].source) == (value, source)


def test_annotations_of_openinference() -> None:
    flat = {
        "openinference.span.kind": "LLM", "input.value": "hi", "output.value": "yo",
        "annotations.0.annotation.name": "correctness", "annotations.0.annotation.label": "correct",
        "annotations.0.annotation.annotator_kind": "HUMAN", "annotations.0.annotation.explanation": "checked",
    }  # fmt: skip
    (reading,) = read(ex.span(flat))
    (one,) = reading.scores
    assert (one.interaction, one.name, one.value, one.source, one.rationale) == (
        ex.SPAN, "correctness", "correct", "user", "checked",
    )  # fmt: skip


def test_log_records_that_ask_and_answer_are_an_interaction() -> None:
    def record(name: str, body: Any) -> dict[str, Any]:
        return {
            "traceId": ex.TRACE,
            "spanId": ex.SPAN,
            "timeUnixNano": str(ex.START),
            "eventName": name,
            "body": ex.value(body),
        }

    asks = record("gen_ai.user.message", {"content": "Where is my card?"})
    answers = record("gen_ai.choice", {"index": 0, "finish_reason": "stop", "message": {"content": "On its way."}})
    (reading,) = read_spans(otlp.read_logs_json(ex.as_json(ex.logs(asks, answers))))
    assert reading.interaction is not None
    assert (reading.interaction["id"], reading.interaction["output"]) == (ex.SPAN, "On its way.")
    (reading,) = read_spans(otlp.read_logs_json(ex.as_json(ex.logs(asks))))
    assert "one batch" in reading.refused
    (reading,) = read_spans(otlp.read_logs_json(ex.as_json(ex.logs(record("", "user logged in")))))
    assert reading.skipped == "log"

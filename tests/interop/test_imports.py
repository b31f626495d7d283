"""Files of other tools, in the shapes they are documented to have, as interactions and feedback."""

import json
from typing import Any

import pytest

from everloop.errors import InvalidInput
from everloop.interop import columns, detect, langfuse_export, messages, nvidia, openai_batch
from everloop.interop.judgement import Declared
from everloop.interop.pieces import Ids, Piece, moment

MESSAGES = [{"role": "user", "content": "Where is my card?"}]
CALLS = [{"id": "c1", "type": "function", "function": {"name": "find", "arguments": "{}"}}]
NVIDIA = {
    "timestamp": 1_746_138_417,
    "workload_id": "primary_assistant",
    "client_id": "dev",
    "request": {
        "model": "llama", "messages": MESSAGES, "temperature": 0, "tools": [{"type": "function"}], "user": "ada",
    },
    "response": {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1_746_138_416, "model": "llama-3",
        "choices": [{"index": 0, "finish_reason": "tool_calls",
                     "message": {"role": "assistant", "content": None, "refusal": None, "tool_calls": CALLS}}],
        "usage": {"prompt_tokens": 30, "completion_tokens": 4, "total_tokens": 34},
    },
}  # fmt: skip
REQUEST = {
    "custom_id": "r1", "method": "POST", "url": "/v1/chat/completions",
    "body": {"model": "gpt-4o-mini", "messages": MESSAGES, "max_tokens": 9, "user": "ada"},
}  # fmt: skip
ANSWER = {
    "id": "batch_req_1", "custom_id": "r1", "error": None,
    "response": {"status_code": 200, "request_id": "x", "body": {
        "id": "chatcmpl-1", "created": 1_724_858_089, "model": "gpt-4o-mini-2024-07-18",
        "choices": [{"index": 0, "finish_reason": "stop",
                     "message": {"role": "assistant", "content": "On its way.", "refusal": None}}],
        "usage": {"prompt_tokens": 24, "completion_tokens": 8}}},
}  # fmt: skip
OBSERVATION = {
    "id": "obs1", "trace_id": "tr1", "project_id": "p", "environment": "production", "type": "GENERATION",
    "parent_observation_id": "", "start_time": "2024-05-29 13:46:19.963000", "end_time": "2024-05-29 13:46:21.463000",
    "completion_start_time": "2024-05-29 13:46:20.163000", "name": "answer", "metadata": {"channel": "web"},
    "level": "DEFAULT", "status_message": "", "version": "", "input": json.dumps(MESSAGES),
    "output": json.dumps({"role": "assistant", "content": "On its way."}), "provided_model_name": "gpt-4o",
    "model_parameters": '{"temperature":0.7}', "usage_details": {"input": 24, "output": 8, "total": 32},
    "cost_details": {}, "total_cost": 0.002, "latency": 1.5, "tool_calls": [], "user_id": "ada", "session_id": "s1",
    "trace_name": "chat", "tags": ["beta"], "release": None, "bookmarked": False, "public": False,
}  # fmt: skip
SCORE = {
    "id": "sc1", "timestamp": "2024-05-29 13:47:00.000000", "project_id": "p", "environment": "production",
    "trace_id": "tr1", "observation_id": "obs1", "session_id": None, "name": "helpful", "value": 1.0, "source": "API",
    "comment": "short", "data_type": "BOOLEAN", "string_value": None,
}  # fmt: skip


def fields(piece: Piece) -> dict[str, Any]:
    assert piece.fields is not None
    return piece.fields


def test_nvidia() -> None:
    made = fields(nvidia.read(NVIDIA))
    assert made["input"] == {"messages": MESSAGES, "temperature": 0, "tools": [{"type": "function"}]}
    assert (made["output"], made["message"]["tool_calls"]) == ("", CALLS)
    assert (made["at"], made["subject"], made["variant"]) == (1_746_138_417_000, "ada", "llama-3")
    assert (made["tokens_in"], made["tokens_out"]) == (30, 4)
    assert made["context"] == {"finish": "tool_calls", "workload": "primary_assistant", "client": "dev"}
    assert fields(nvidia.read({**NVIDIA, "response": {}}))["status"] == "failed"
    with pytest.raises(InvalidInput, match="request"):
        nvidia.read({**NVIDIA, "request": {}})


def test_an_openai_batch() -> None:
    made = fields(openai_batch.read(ANSWER, REQUEST))
    assert made == {
        "id": "batch_req_1", "input": {"messages": MESSAGES, "max_tokens": 9}, "output": "On its way.",
        "subject": "ada", "tokens_in": 24, "tokens_out": 8, "variant": "gpt-4o-mini-2024-07-18",
        "at": 1_724_858_089_000,
        "context": {"finish": "stop", "call": {"custom_id": "r1"}},
    }  # fmt: skip
    failed = {**ANSWER, "response": None, "error": {"code": "batch_expired", "message": "too\nlate"}}
    made = fields(openai_batch.read(failed, REQUEST))
    assert (made["status"], made["error"], "output" in made) == ("failed", "too late", False)
    refused = {**ANSWER, "response": {"status_code": 400, "body": {"error": {"message": "no such model"}}}}
    assert fields(openai_batch.read(refused, REQUEST))["error"] == "no such model"
    with pytest.raises(InvalidInput, match="name the input file too"):
        openai_batch.read(ANSWER, None)


def test_a_batch_of_responses() -> None:
    request = {
        "custom_id": "r1",
        "url": "/v1/responses",
        "body": {"model": "m", "input": "hi", "instructions": "be kind"},
    }
    body = {"output": [{"type": "reasoning"}, {"type": "message", "content": [{"type": "output_text", "text": "yo"}]},
                       {"type": "function_call", "call_id": "c1", "name": "find", "arguments": "{}"}],
            "usage": {"input_tokens": 1, "output_tokens": 2}}  # fmt: skip
    made = fields(openai_batch.read({**ANSWER, "response": {"status_code": 200, "body": body}}, request))
    assert made["input"]["messages"] == [{"role": "system", "content": "be kind"}, {"role": "user", "content": "hi"}]
    assert (made["output"], made["message"]["tool_calls"], made["tokens_out"]) == ("yo", CALLS, 2)


NOTHING = Declared()


def test_a_langfuse_observation() -> None:
    (piece,) = langfuse_export.read(OBSERVATION, NOTHING)
    made = fields(piece)
    assert (made["id"], made["trace"], made["subject"], made["session"]) == ("obs1", "tr1", "ada", "s1")
    assert (made["input"], made["output"]) == ({"messages": MESSAGES}, "On its way.")
    assert "message" not in made
    assert (made["latency_ms"], made["first_token_ms"], made["cost"]) == (1500.0, 200.0, 0.002)
    assert (made["tokens_in"], made["tokens_out"], made["variant"]) == (24, 8, "gpt-4o")
    assert (made["context"]["channel"], made["context"]["tags"]) == ("web", ["beta"])
    (piece,) = langfuse_export.read({**OBSERVATION, "type": "TOOL"}, NOTHING)
    assert (piece.fields, piece.skipped) == (None, "tool")


def test_langfuse_in_a_csv_and_in_camel_case() -> None:
    as_csv = {name: "" if value is None else value if isinstance(value, str) else json.dumps(value)
              for name, value in OBSERVATION.items()}  # fmt: skip
    camel = {langfuse_export._camel(name): value for name, value in OBSERVATION.items()}
    camel["model"] = camel.pop("providedModelName")
    expected = fields(*langfuse_export.read(OBSERVATION, NOTHING))
    assert fields(*langfuse_export.read(as_csv, NOTHING)) == expected
    assert fields(*langfuse_export.read(camel, NOTHING)) == expected


@pytest.mark.parametrize(
    ("change", "kind", "value"),
    [
        ({}, "thumb", "up"),
        ({"value": "0"}, "thumb", "down"),
        ({"data_type": "NUMERIC", "name": "relevance", "value": 0.7}, "outcome", 0.7),
        ({"data_type": "CATEGORICAL", "value": 2, "string_value": "wrong", "name": "verdict"}, "thumb", "down"),
        ({"data_type": "TEXT", "value": 0, "string_value": "nice", "name": "note"}, "comment", "nice"),
        ({"observation_id": ""}, "thumb", "up"),
    ],
)
def test_a_langfuse_score(change: dict[str, Any], kind: str, value: Any) -> None:
    row = {**SCORE, **change}
    (piece,) = langfuse_export.read(row, NOTHING)
    first = piece.feedback[0]
    assert (first["kind"], first["value"], first["id"]) == (kind, value, "langfuse.sc1")
    assert first["interaction"] == ("obs1" if row["observation_id"] else "tr1")


def test_a_langfuse_trace_brings_its_generations_and_scores() -> None:
    trace = {
        "id": "tr1", "timestamp": "2024-05-29T13:46:19.963Z", "name": "chat", "userId": "ada", "sessionId": "s1",
        "input": {"question": "x"}, "output": "y", "tags": [], "observations": [
            {"id": "o1", "type": "SPAN", "startTime": "2024-05-29T13:46:19.963Z"},
            {"id": "o2", "type": "GENERATION", "startTime": "2024-05-29T13:46:19.963Z", "input": MESSAGES,
             "output": {"choices": [{"message": {"content": "On its way."}}]}, "model": "gpt-4o"}],
        "scores": [{"id": "s", "name": "helpful", "value": 1, "dataType": "BOOLEAN", "source": "API"}],
    }  # fmt: skip
    for shape in (trace, {"trace": {k: v for k, v in trace.items() if k not in {"observations", "scores"}},
                          "observations": trace["observations"], "scores": trace["scores"]}):  # fmt: skip
        answer, score = langfuse_export.read(shape, NOTHING)
        assert (fields(answer)["id"], fields(answer)["trace"], fields(answer)["output"]) == ("o2", "tr1", "On its way.")
        assert (fields(answer)["subject"], score.feedback[0]["interaction"]) == ("ada", "tr1")
    alone = {**trace, "observations": [], "scores": {"relevance": [0.5]}}
    answer, score = langfuse_export.read(alone, NOTHING)
    assert (fields(answer)["id"], fields(answer)["trace"]) == ("tr1", "tr1")
    assert (score.feedback[0]["kind"], score.feedback[0]["value"]) == ("outcome", 0.5)


def test_detecting() -> None:
    assert detect.detect([NVIDIA]) == "nvidia"
    assert detect.detect([REQUEST]) == detect.detect([ANSWER]) == "openai-batch"
    assert detect.detect([OBSERVATION, OBSERVATION, SCORE]) == detect.detect([SCORE]) == "langfuse"
    assert detect.detect([{"resourceSpans": []}]) == "otlp"
    assert detect.detect([{"kind": "thumb", "interaction": "i"}]) == "everloop"
    assert detect.detect([{"question": "x"}, {}]) == "columns"
    assert detect.detect([]) == "columns"


# ---- tables


def guessed(*rows: dict[str, Any], **told: str) -> columns.Columns:
    return columns.guess(rows, {column: field for field, column in told.items()})


def test_columns_are_known_by_their_names() -> None:
    row = {"Question": "how?", "Answer": "so", "Intent": "pay", "UserID": "u", "createdAt": "2024-01-01",
           "Liked": "yes", "Stars": "4", "extra": "x"}  # fmt: skip
    found = guessed(row)
    assert found.fields == {
        "Question": "input", "Answer": "output", "Intent": "label", "UserID": "subject", "createdAt": "at",
        "Liked": "thumb", "Stars": "rating",
    }  # fmt: skip
    assert "Question as input" in found.guessed
    left: dict[str, None] = {}
    piece = columns.read(row, found, left)
    assert fields(piece) == {"input": "how?", "output": "so", "subject": "u", "at": 1_704_067_200_000}
    assert (piece.label, list(left)) == ("pay", ["extra"])
    assert piece.feedback == ({"kind": "thumb", "value": "up"}, {"kind": "rating", "value": 4.0, "scale": 5.0})


def test_what_is_told_stands() -> None:
    found = guessed({"question": "a", "text": "b", "source": "web"}, input="text", **{"context.channel": "source"})
    assert (found.fields["text"], "question" in found.fields) == ("input", False)
    assert fields(columns.read({"text": "b", "source": "web"}, found, {}))["context"] == {"channel": "web"}
    with pytest.raises(InvalidInput, match="no column 'nope'; there are: a"):
        guessed({"a": "b"}, input="nope")
    for bad in ("input", "=x", "inptu=x"):
        with pytest.raises(InvalidInput, match="--map"):
            columns.mapped([bad])
    with pytest.raises(InvalidInput, match="is input already"):
        columns.mapped(["input=x", "output=x"])


def test_without_a_name_the_longest_text_is_the_input_and_the_one_that_repeats_the_label() -> None:
    rows = [{"a": f"how do I pay bill number {n}?", "b": ["pay", "lost"][n % 2], "n": n} for n in range(30)]
    found = columns.guess(rows, {})
    assert found.fields == {"a": "input", "b": "label"}
    assert found.guessed == ("a as input", "b as label")
    with pytest.raises(InvalidInput, match="--map input=COLUMN"):
        columns.guess([{"n": 1}], {})


def test_conversations() -> None:
    said = [*MESSAGES, {"role": "assistant", "content": "On its way."}]
    found = guessed({"messages": said})
    for value in (said, json.dumps(said)):
        made = fields(columns.read({"messages": value}, found, {}))
        assert made == {"input": {"messages": MESSAGES}, "output": "On its way."}
    made = fields(columns.read({"messages": said, "output": "mine"}, guessed({"messages": said, "output": "x"}), {}))
    assert (made["output"], made["input"]["messages"]) == ("mine", said)
    with pytest.raises(InvalidInput, match="messages"):
        columns.read({"messages": "hi"}, found, {})


def test_a_column_of_other_words_is_no_thumb() -> None:
    assert "feedback" not in guessed({"input": "x", "feedback": "I liked it a lot"}).fields
    assert guessed({"input": "x", "rating": 9}).scale == 10.0
    assert guessed({"input": "x", "rating": 0.4}).scale == 1.0


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"input": "x", "at": "yesterday"}, "at: expected a number, got 'yesterday'"),
        ({"input": "x", "confidence": "high"}, "confidence: expected a number"),
        ({"input": "x", "tokens_in": 1.5}, "tokens_in: expected a whole number"),
        ({"input": "x", "thumb": "maybe"}, "thumb: expected up or down"),
        ({"input": "x", "split": "train"}, "no label"),
        ({"input": "x", "label": 3}, "label: expected a text"),
    ],
)
def test_a_cell_that_can_not_be_names_its_column(row: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        columns.read(row, columns.Columns({name: name for name in columns.FIELDS}), {})


def test_loosely_a_number_is_a_text() -> None:
    own = columns.Columns({name: name for name in columns.FIELDS})
    piece = columns.read({"input": 3, "label": 7, "id": 12}, own, {}, loose=True)
    assert (fields(piece), piece.label) == ({"input": "3", "id": "12"}, "7")


# ---- ids and times


def test_ids_follow_from_content_and_count() -> None:
    rows = [{"input": str(n % 700)} for n in range(1000)]
    first, second = Ids(), Ids()
    ids = [first.of("a", row, None) for row in rows]
    assert ids == [second.of("a", row, None) for row in rows]
    assert len(set(ids)) == 1000
    assert len({Ids().of(loop, {"input": "x"}, label) for loop in "ab" for label in (None, "l")}) == 4
    assert Ids().of("a", {"x": 1, "y": 2}, None) == Ids().of("a", {"y": 2, "x": 1}, None)


@pytest.mark.parametrize(
    "value",
    [1_700_000_000, "1700000000", 1_700_000_000_000, 1_700_000_000_000_000, 1_700_000_000_000_000_000, 1.7e9,
     "2023-11-14T22:13:20Z", "2023-11-14 22:13:20"],
)  # fmt: skip
def test_times(value: Any) -> None:
    assert moment(value, "at") == 1_700_000_000_000


@pytest.mark.parametrize("value", ["soon", True, -1, float("nan"), "1e999", [], 10**30])
def test_what_is_no_time(value: Any) -> None:
    with pytest.raises(InvalidInput, match="at: "):
        moment(value, "at")


def test_answers_of_other_shapes() -> None:
    assert messages.answered("hi") == {"output": "hi"}
    assert messages.answered({"choices": [{"text": "hi", "finish_reason": "length"}]}) == {
        "output": "hi", "context": {"finish": "length"},
    }  # fmt: skip
    anthropic = {"role": "assistant", "content": [{"type": "text", "text": "hi"}], "stop_reason": "end_turn",
                 "usage": {"input_tokens": 1, "output_tokens": 2}}  # fmt: skip
    made = messages.answered(anthropic)
    assert (made["output"], made["tokens_in"], made["context"]) == ("hi", 1, {"finish": "end_turn"})
    assert messages.answered({}) == messages.answered([]) == {}
    several = messages.answer_of({"content": [{"type": "text", "text": "a"}, {"type": "image_url"}]})
    assert (several.output, several.message is not None) == ("a", True)

"""Whatever bytes or JSON come: each reader answers or raises UserError, and does not take long."""

import gzip
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from everloop.cli.reading import read_rows
from everloop.collect import Door, Pseudonyms, build_feedback, build_interaction
from everloop.errors import UserError
from everloop.interop import columns, detect, langfuse_export, messages, nvidia, openai_batch, otlp
from everloop.interop.judgement import Declared, feedback_of
from everloop.interop.pieces import Ids, Piece
from everloop.interop.spans import read_spans
from everloop.server.telemetry import inflated
from everloop.types import LoopSpec

from . import exported as ex

DOOR = Door(Pseudonyms(b"k" * 32), recognisers=())
SPEC = LoopSpec(name="a", task="chat")
MOST = 300_000
READERS: list[Callable[[bytes], list[otlp.Span]]] = [
    otlp.read_json, otlp.read_protobuf, otlp.read_logs_json, otlp.read_logs_protobuf,
]  # fmt: skip

# Names the readers look for, so that random JSON gets past their doors.
NAMES = st.sampled_from(
    "id role content parts type text name arguments function tool_calls messages message model prompt input output "
    "request response choices usage body custom_id error timestamp workload_id client_id traceId trace_id value "
    "dataType data_type source observations scores trace metadata type startTime start_time label split consent at "
    "context question answer rating thumb kind interaction resourceSpans latency totalCost level usageDetails".split()
)
SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8)
    | st.sampled_from(["user", "assistant", "text", "GENERATION", "SPAN", "tool_call", "NUMERIC", "1700000000", "{}"])
)  # fmt: skip
KEYS = NAMES | st.text(max_size=4)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)  # fmt: skip
ROWS = st.dictionaries(KEYS, VALUES, max_size=7)
QUICK = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
LONG = settings(QUICK, max_examples=500)


def nested(depth: int) -> Any:
    made: Any = "x"
    for _ in range(depth):
        made = {"content": [made]}
    return made


def stored(pieces: list[Piece]) -> None:
    """What a reader made is taken or refused by the door, never with another exception."""
    ids = Ids()
    for piece in pieces:
        try:
            if piece.fields is not None:
                id = piece.fields.get("id") or ids.of("a", piece.fields, piece.label)
                build_interaction(SPEC, {**piece.fields, "id": id}, DOOR)
            for one in piece.feedback:
                build_feedback({"interaction": "i", **one}, DOOR)
        except UserError as error:
            one_line(error)


def one_line(error: UserError) -> None:
    assert str(error).strip()
    assert len(str(error)) < 3_000


def spans(read: Callable[[bytes], list[otlp.Span]], body: bytes) -> None:
    try:
        found = read_spans(read(body))
    except UserError as error:
        one_line(error)
        return
    stored([Piece(one.interaction) for one in found if one.interaction is not None])
    for one in found:
        for score in one.scores:
            try:
                stored([Piece(feedback=tuple(feedback_of(score)))])
            except UserError as error:
                one_line(error)


def check_random_bytes(body: bytes) -> None:
    for read in READERS:
        spans(read, body)
    for coding in ("gzip", "deflate", "br", ""):
        try:
            assert len(inflated(body, coding, MOST)) <= MOST
        except UserError as error:
            one_line(error)


test_random_bytes = QUICK(given(body=st.binary(max_size=200))(check_random_bytes))
test_random_bytes_for_long = pytest.mark.slow(LONG(given(body=st.binary(max_size=200))(check_random_bytes)))


ATTRIBUTES = st.dictionaries(
    st.sampled_from([*ex.CHAT, "openinference.span.kind", "input.value", "output.value", "llm.model_name",
                     "gen_ai.prompt.0.role", "gen_ai.prompt.0.content", "gen_ai.prompt.0", "gen_ai.prompt",
                     "gen_ai.completion.99999999.content", "gen_ai.completion.0.tool_calls.0.name",
                     "llm.input_messages.0.message.role", "gen_ai.response.id",
                     "llm.input_messages.0.message.contents.0.message_content.type",
                     "llm.invocation_parameters", "gen_ai.system_instructions", "gen_ai.tool.definitions", "metadata",
                     "gen_ai.evaluation.name", "gen_ai.evaluation.score.value", "everloop.loop", "everloop.consent",
                     "annotations.0.annotation.name", "annotations.0.annotation.score", "error.type", "user.id",
                     "gen_ai.response.finish_reasons", "gen_ai.event.content", "llm.tools.0.tool.json_schema"])
    | st.text(max_size=6),
    VALUES | st.builds(lambda value: json.dumps(value, default=str), VALUES) | st.sampled_from(["chat", "LLM"]),
    max_size=8,
)  # fmt: skip
EVENTS = st.sampled_from(
    ["gen_ai.user.message", "gen_ai.choice", "gen_ai.tool.message", "gen_ai.evaluation.result", "exception",
     "gen_ai.client.inference.operation.details", "gen_ai.content.prompt", "gen_ai.content.completion.chunk"]
)  # fmt: skip


def fit(value: Any) -> Any:
    """JSON whose numbers OTLP can hold."""
    if isinstance(value, dict):
        return {name: fit(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [fit(inner) for inner in value]
    return value % 2**62 if isinstance(value, int) and not isinstance(value, bool) else value


def check_random_attributes(told: dict[str, Any], name: str, event: dict[str, Any], extra: dict[str, Any]) -> None:
    told, event, extra = fit({"gen_ai.operation.name": "chat", **told}), fit(event), fit(extra)
    made = ex.request(
        ex.span(told, events=[{"name": name, "attributes": ex.pairs(event)}]), ex.span(extra, id="2" * 16, name=name),
    )  # fmt: skip
    spans(otlp.read_json, json.dumps(made).encode())


TOLD_SPANS = given(told=ATTRIBUTES, name=EVENTS, event=ATTRIBUTES, extra=ATTRIBUTES)
test_random_attributes = QUICK(TOLD_SPANS(check_random_attributes))
test_random_attributes_for_long = pytest.mark.slow(LONG(TOLD_SPANS(check_random_attributes)))


VALID = ex.request(
    ex.span(ex.CHAT, events=[ex.event("gen_ai.evaluation.result", **{"gen_ai.evaluation.name": "a"})]),
    ex.span({"l": [1, {"a": b"x"}]}, id="2" * 16), service_name="shop",
)  # fmt: skip
MUTATIONS = st.lists(st.tuples(st.integers(0, 10**6), st.binary(min_size=0, max_size=4), st.integers(0, 6)), max_size=5)


@pytest.mark.parametrize("form", ["json", "protobuf", "gzip", "deflate"])
@given(changes=MUTATIONS)
@QUICK
def test_what_was_valid_once(form: str, changes: list[tuple[int, bytes, int]]) -> None:
    protobuf = ex.as_protobuf(VALID)
    packed = {"gzip": gzip.compress(protobuf), "deflate": zlib.compress(protobuf)}
    body = {"json": ex.as_json(VALID), "protobuf": protobuf, **packed}[form]
    for at, put, gone in changes:
        at %= len(body) + 1
        body = body[:at] + put + body[at + gone :]
    if form in {"gzip", "deflate"}:
        try:
            body = inflated(body, form, MOST)
        except UserError as error:
            one_line(error)
            return
    for read in READERS:
        spans(read, body)


@pytest.mark.parametrize("depth", [10, 60, 70, 200, 5_000])
def test_messages_in_messages(depth: int) -> None:
    deep = b'{"content":[' * depth + b'"x"' + b"]}" * depth
    told = {**ex.CHAT, "gen_ai.input.messages": f'[{{"role":"user","parts":[{deep.decode()}]}}]'}
    spans(otlp.read_json, ex.as_json(ex.request(ex.span(told))))
    for read in READERS:
        spans(read, b'{"resourceSpans":[' + deep + b"]}")


def test_names_that_would_be_large() -> None:
    told = {
        "gen_ai.operation.name": "chat",
        "gen_ai.prompt." + "a." * 100_000: "x",
        "gen_ai.prompt.999999999.content": "x",
    }
    spans(otlp.read_json, ex.as_json(ex.request(ex.span(told))))


TOLD = st.lists(st.sampled_from(["input=input", "label=kind", "x", "at=at"]), max_size=2)


def check_random_rows(rows: list[dict[str, Any]], told: list[str]) -> None:
    assert detect.detect(rows) in detect.FORMATS
    try:
        named = columns.guess(rows, columns.mapped(told)) if rows else columns.Columns({})
    except UserError as error:
        one_line(error)
        named = columns.Columns({name: name for name in columns.FIELDS})
    readers: list[Callable[[dict[str, Any]], list[Piece]]] = [
        lambda row: [columns.read(row, named, {})],
        lambda row: [columns.read(row, named, {}, parse=True, loose=True)],
        lambda row: [nvidia.read(row)],
        lambda row: [openai_batch.read(row, row)],
        lambda row: list(langfuse_export.read(row, Declared(frozenset({"a"}), ("x",)))),
    ]
    for row in rows:
        for read in readers:
            try:
                stored(read(row))
            except UserError as error:
                one_line(error)


test_random_rows = QUICK(given(rows=st.lists(ROWS, max_size=4), told=TOLD)(check_random_rows))
test_random_rows_for_long = pytest.mark.slow(LONG(given(rows=st.lists(ROWS, max_size=4), told=TOLD)(check_random_rows)))


ODD: list[dict[str, Any]] = [
    {"input": nested(40)},
    {"messages": [{"role": "user", "content": nested(70)}]},
    {"input": float("inf"), "rating": float("nan"), "at": 10**400, "id": "\ud800"},
    {"request": {"messages": nested(50)}, "response": nested(50), "client_id": "a"},
]


@pytest.mark.parametrize("row", ODD)
def test_odd_rows(row: dict[str, Any]) -> None:
    check_random_rows([row], [])


def check_random_messages(value: Any) -> None:
    messages.from_parts(value)
    messages.answered(value)
    messages.answer_of(value)
    messages.tools_of(value)
    messages.parts_text(value)
    messages.words_of(value)
    messages.dumps(value)
    if isinstance(value, dict):
        messages.asked(value)


test_random_messages = QUICK(given(value=VALUES)(check_random_messages))
test_random_messages_for_long = pytest.mark.slow(LONG(given(value=VALUES)(check_random_messages)))


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".jsonl", ".json", ".jsonl.gz", ".json.gz", ".csv.gz", ".parquet"])
@given(data=st.binary(max_size=120), row=ROWS, packed=st.booleans())
@QUICK
def test_random_files(ending: str, data: bytes, row: dict[str, Any], packed: bool, tmp_path_factory: Any) -> None:
    if ending == ".parquet":
        pytest.importorskip("pyarrow")
    path: Path = tmp_path_factory.getbasetemp() / f"fuzzed{ending}"
    text = json.dumps([row, row]).encode() + data
    path.write_bytes(gzip.compress(text) if packed else data or text)
    refused: list[tuple[int, str]] = []
    try:
        found = list(read_rows(path, 1_000, lambda line, why: refused.append((line, why)), any_form=True))
    except UserError as error:
        one_line(error)
    else:
        assert all(isinstance(one.fields, dict) for one in found)

"""Other tools' own clients, with their address changed and nothing else."""

import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from everloop.ids import new_id
from everloop.keys import create
from everloop.store import Records
from everloop.types import Comment, Correction, FeedbackFields, Interaction, Label, Outcome, Rating, Thumb
from everloop.wheel import Wheel
from tests.server.conftest import served
from tests.server.stub_upstream import Stub, chunk, completion, error, running, says, streams

TRACE, SPAN = "ab" * 16, "cd" * 8
ASK = {"system": "be kind", "messages": [{"role": "user", "content": "where is my card?"}]}


@pytest.fixture(scope="module")
def upstream() -> Iterator[Stub]:
    with running() as stub:
        yield stub


@pytest.fixture
def loops(wheel: Wheel, upstream: Stub) -> Wheel:
    upstream.script.clear()
    upstream.seen.clear()
    variants = [{"name": name, "url": upstream.url, "model": "stub", "retries": 0, "weight": weight}
                for name, weight in (("a", 1.0), ("b", 0.0))]  # fmt: skip
    wheel.loop("desk", task="chat", variants=variants)
    wheel.loop("support")
    return wheel


@pytest.fixture
def records(loops: Wheel) -> Records:
    return loops.store.records


@pytest.fixture
def secret(records: Records) -> str:
    return create(records, "app", "client").secret


@pytest.fixture
def http(loops: Wheel, secret: str) -> Iterator[httpx.Client]:
    with served(loops) as client:
        yield client


@pytest.fixture
def address(http: httpx.Client) -> str:
    return str(http.base_url).rstrip("/")


def said(records: Records, kind: Any = FeedbackFields) -> list[tuple[type, Any]]:
    return [(type(one), one.value) for one in records.find(kind)]


# ---- TensorZero


@pytest.fixture
def tensorzero(address: str, secret: str) -> Iterator[Any]:
    found = pytest.importorskip("tensorzero")
    with found.TensorZeroGateway.build_http(gateway_url=address, api_key=secret) as client:
        yield client


def test_tensorzero_asks_and_says(tensorzero: Any, records: Records, upstream: Stub) -> None:
    upstream.will(says(200, completion({"content": "on its way"})))
    made = tensorzero.inference(
        function_name="desk", input=ASK, tags={"user_id": "ada", "page": "pay"},
        params={"chat_completion": {"temperature": 0.1}},
    )  # fmt: skip
    assert (made.content[0].text, made.variant_name, made.finish_reason.value) == ("on its way", "a", "stop")
    assert (made.usage.input_tokens, made.usage.output_tokens) == (12, 5)
    assert upstream.seen[0].body["messages"] == [{"role": "system", "content": "be kind"}, *ASK["messages"]]
    assert upstream.seen[0].body["temperature"] == 0.1
    # Taken at once: the interaction is on disk before its answer is sent.
    tensorzero.feedback(metric_name="task_success", value=True, inference_id=made.inference_id)
    tensorzero.feedback(metric_name="toxicity", value=0.2, inference_id=made.inference_id)
    tensorzero.feedback(metric_name="comment", value="quick", inference_id=made.inference_id)
    tensorzero.feedback(metric_name="stars", value=4, episode_id=made.episode_id)
    assert said(records) == [(Thumb, "up"), (Outcome, 0.2), (Comment, "quick"), (Rating, 4.0)]
    assert {one.interaction for one in records.find(FeedbackFields)} == {str(made.inference_id)}
    kept = records.get(Interaction, str(made.inference_id))
    assert kept is not None
    assert (kept.session, kept.trace, kept.output) == (str(made.episode_id), str(made.episode_id), "on its way")
    assert kept.context["page"] == "pay"
    assert (kept.subject or "").startswith("s_")


def test_tensorzero_streams(tensorzero: Any, records: Records, upstream: Stub) -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    upstream.will(streams(chunk({"content": "on "}), chunk({"content": "its way"}), chunk({}, "stop"),
                          chunk(usage=usage)))  # fmt: skip
    episode = uuid.UUID(new_id())
    found = list(tensorzero.inference(function_name="desk", input=ASK, stream=True, episode_id=episode))
    assert "".join(block.text for one in found for block in one.content) == "on its way"
    assert {one.episode_id for one in found} == {episode}
    assert [one.finish_reason.value for one in found if one.finish_reason] == ["stop"]
    tensorzero.feedback(metric_name="demonstration", value="it came", inference_id=found[0].inference_id)
    (kept,) = records.find(Interaction)
    assert (kept.id, kept.output, kept.session) == (str(found[0].inference_id), "on its way", str(episode))


def test_tensorzero_tools_and_json(tensorzero: Any, upstream: Stub) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"at": 1}'}}
    upstream.will(says(200, completion({"content": None, "tool_calls": [call]}, "tool_calls")))
    tools = [{"name": "look", "description": "d", "parameters": {"type": "object"}, "strict": False}]
    made = tensorzero.inference(function_name="desk", input=ASK, additional_tools=tools, tool_choice="required")
    assert (made.content[0].name, made.content[0].arguments) == ("look", {"at": 1})
    assert upstream.seen[0].body["tool_choice"] == "required"
    upstream.will(says(200, completion({"content": '{"a": 1}'})))
    made = tensorzero.inference(function_name="desk", input=ASK, output_schema={"type": "object"})
    assert made.output.parsed == {"a": 1}


def test_tensorzero_pins_a_variant_and_sees_what_goes_wrong(tensorzero: Any, records: Records, upstream: Stub) -> None:
    found = pytest.importorskip("tensorzero")
    upstream.will(says(200, completion({"content": "x"})))
    assert tensorzero.inference(function_name="desk", input=ASK, variant_name="b").variant_name == "b"
    with pytest.raises(found.TensorZeroError, match="has none called 'c'"):
        tensorzero.inference(function_name="desk", input=ASK, variant_name="c")
    upstream.will(error(400, "too long"))
    with pytest.raises(found.TensorZeroError, match="too long"):
        tensorzero.inference(function_name="desk", input=ASK)
    with pytest.raises(found.TensorZeroError, match="no loop called 'nobody'"):
        tensorzero.inference(function_name="nobody", input=ASK)
    upstream.will(says(200, completion({"content": "x"})))
    before = len(records.find(Interaction))
    assert tensorzero.inference(function_name="desk", input=ASK, dryrun=True).content[0].text == "x"
    assert len(records.find(Interaction)) == before


def test_tensorzero_on_a_loop_with_a_model_of_its_own(tensorzero: Any, records: Records) -> None:
    made = tensorzero.inference(function_name="support", input=ASK)
    assert (made.content, made.variant_name) == ([], "none")  # it abstains
    tensorzero.feedback(metric_name="demonstration", value="lost_card", inference_id=made.inference_id)
    (kept,) = records.find(Interaction)
    assert (kept.input, kept.output) == ("where is my card?", None)
    assert [one.interaction for one in records.find(FeedbackFields)] == [kept.id]


# ---- Langfuse


def test_langfuse_traces_and_scores(address: str, secret: str, records: Records, monkeypatch: Any) -> None:
    found = pytest.importorskip("langfuse")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "support")
    client = found.Langfuse(public_key=f"pk-{new_id()}", secret_key=secret, base_url=address)
    try:
        assert client.auth_check()
        with client.start_as_current_observation(name="root", as_type="span") as root:
            with client.start_as_current_observation(name="llm", as_type="generation", model="m", input="q") as llm:
                llm.update(output="a", usage_details={"input": 3, "output": 4})
            root.score(name="helpful", value=1.0, data_type="BOOLEAN", comment="why")
            root.score_trace(name="stars", value=5.0)
            trace = root.trace_id
        client.create_score(name="output", value="right", data_type="CORRECTION", trace_id=trace, score_id="s1")
        client.create_score(name="tone", value="rude", data_type="CATEGORICAL", trace_id=trace)
        client.create_score(name="all", value=1.0, session_id="s")  # refused; the others are not
        client.flush()
        client.create_score(name="output", value="better", data_type="CORRECTION", trace_id=trace, score_id="s1")
        client.create_dataset(name="support")
        client.create_dataset_item(dataset_name="support", input="q?", expected_output="refund", id="item")
        client.flush()
    finally:
        client.shutdown()
    (answer,) = records.find(Interaction, trace=trace)
    assert (answer.output, answer.variant, answer.tokens_in, answer.loop) == ("a", "m", 3, "support")
    assert sorted((type(one).__name__, one.value) for one in records.find(FeedbackFields, interaction=answer.id)) == [
        ("Comment", "tone: rude"), ("Correction", "better"), ("Rating", 5.0), ("Thumb", "up"),
    ]  # fmt: skip
    assert records.held() == []
    assert said(records, Label) == [(Label, "refund")]


# ---- MLflow


@pytest.mark.slow  # its import alone takes seconds
def test_mlflow_assessments(address: str, secret: str, loops: Wheel, records: Records, monkeypatch: Any) -> None:
    mlflow = pytest.importorskip("mlflow")
    from mlflow.entities import AssessmentSource, Feedback
    from mlflow.exceptions import MlflowException

    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", secret)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    mlflow.set_tracking_uri(address)
    loops.get("support").log("q", "Rome", id=SPAN, trace=TRACE)
    trace = f"tr-{TRACE}"
    person = AssessmentSource(source_type="HUMAN", source_id="jo@example.org")
    thumb = mlflow.log_feedback(
        trace_id=trace, name="ok", value=True, source=person, rationale="clear", metadata={"a": "b"}
    )
    mlflow.log_feedback(trace_id=trace, name="score", value=0.7, span_id=SPAN, rationale="so",
                        source=AssessmentSource(source_type="LLM_JUDGE", source_id="judge"))  # fmt: skip
    expected = mlflow.log_expectation(trace_id=trace, name="expected_response", value="Paris", source=person)
    facts = mlflow.log_expectation(trace_id=trace, name="expected_facts", value=["a", "b"], source=person)
    assert said(records) == [(Thumb, "up"), (Outcome, 0.7), (Comment, "so"), (Correction, "Paris"),
                             (Comment, 'expected_facts: ["a", "b"]')]  # fmt: skip
    assert {one.interaction for one in records.find(FeedbackFields)} == {SPAN}
    assert "jo@example.org" not in str(records.find(FeedbackFields))
    read = mlflow.get_assessment(trace_id=trace, assessment_id=thumb.assessment_id)
    assert (read.value, read.rationale, read.metadata) == (True, "clear", {"a": "b"})
    assert mlflow.get_assessment(trace_id=trace, assessment_id=facts.assessment_id).value == ["a", "b"]
    changed = Feedback(name="ok", value=False, rationale="not so")
    mlflow.update_assessment(trace_id=trace, assessment_id=thumb.assessment_id, assessment=changed)
    assert said(records, Thumb) == [(Thumb, "down")]
    again = mlflow.override_feedback(trace_id=trace, assessment_id=thumb.assessment_id, value=True, source=person)
    assert said(records, Thumb) == [(Thumb, "up")]
    assert again.overrides == thumb.assessment_id
    mlflow.delete_assessment(trace_id=trace, assessment_id=expected.assessment_id)
    assert said(records, Correction) == []
    with pytest.raises(MlflowException, match="an assessment for each value"):
        mlflow.log_feedback(trace_id=trace, name="many", value={"a": 1.0}, source=person)
    with pytest.raises(MlflowException, match="no assessment"):
        mlflow.get_assessment(trace_id=trace, assessment_id="a-1")


# ---- Phoenix


def test_phoenix_annotations(address: str, secret: str, loops: Wheel, records: Records) -> None:
    client = pytest.importorskip("phoenix.client").Client(base_url=address, api_key=secret)
    loops.get("support").log("q", "Rome", id=SPAN, trace=TRACE)
    say = client.spans.add_span_annotation
    first = say(span_id=SPAN, annotation_name="quality", label="good", score=1, explanation="clear", sync=True)
    assert first["id"].startswith("phoenix.")
    assert say(span_id=SPAN, annotation_name="quality", label="bad", sync=True) == first
    say(span_id=SPAN, annotation_name="quality", label="good", identifier="jo", metadata={"user": "jo"})
    client.spans.log_span_annotations(span_annotations=[
        {"span_id": SPAN, "name": "faithful", "annotator_kind": "LLM", "result": {"score": 0.4}}])  # fmt: skip
    client.traces.add_trace_annotation(trace_id=TRACE, annotation_name="correct", label="incorrect")
    client.spans.add_span_note(span_id=SPAN, note="look again")
    assert said(records) == [(Thumb, "down"), (Thumb, "up"), (Outcome, 0.4), (Thumb, "down"), (Comment, "look again")]
    assert {one.interaction for one in records.find(FeedbackFields)} == {SPAN}
    with pytest.raises(httpx.HTTPStatusError, match="422"):
        client.spans.log_span_annotations(span_annotations=[{"span_id": SPAN, "name": "x", "annotator_kind": "LLM"}])

"""What other tools' clients would say over HTTP, without them: upserts, holding, keys, what is refused and how."""

import httpx
import pytest

from everloop.ids import new_id
from everloop.keys import create
from everloop.store import Records
from everloop.types import FeedbackFields, Interaction, Label, Outcome, Thumb
from everloop.wheel import Wheel
from tests.server.conftest import served

TRACE, SPAN = "ab" * 16, "cd" * 8
ASSESSMENTS = f"/api/3.0/mlflow/traces/tr-{TRACE}/assessments"
ASSESSED = {"assessment": {"assessment_name": "ok", "source": {"source_type": "HUMAN"}, "feedback": {"value": True}}}


@pytest.fixture
def records(wheel: Wheel) -> Records:
    wheel.loop("support", signals=[{"name": "solved", "kind": "outcome"}])
    return wheel.store.records


def feedback(records: Records) -> list:
    return records.find(FeedbackFields)


def logged(wheel: Wheel, **more) -> Interaction:
    return wheel.get("support").log("a question", "an answer", id=SPAN, trace=TRACE, **more)


def score(http: httpx.Client, **more) -> httpx.Response:
    return http.post("/api/public/scores", json={"traceId": TRACE, "name": "helpful", "value": 1, "dataType": "BOOLEAN",
                                                 **more})  # fmt: skip


def test_a_score_sent_again_replaces_what_was_said(http: httpx.Client, wheel: Wheel, records: Records) -> None:
    logged(wheel)
    assert score(http, id="s1").json() == {"id": "s1"}
    assert score(http, id="s1").status_code == 200
    assert score(http, id="s1", value=0, comment="wrong").status_code == 200
    (made,) = feedback(records)
    assert (type(made), made.value, made.rationale, made.interaction) == (Thumb, "down", "wrong", SPAN)
    # Another kind under the same id, with a reason of its own, and then without one.
    score(http, id="s1", name="toxic", comment="it shouts")
    assert {one.id: one.value for one in feedback(records)} == {"langfuse.s1": 1.0, "langfuse.s1.comment": "it shouts"}
    score(http, id="s1", name="toxic")
    assert [type(one) for one in feedback(records)] == [Outcome]
    assert http.post(
        "/v1/feedback", json={"id": "mine", "interaction": SPAN, "kind": "thumb", "value": "up"}
    ).is_success
    score(http, id="mine", value=0)
    assert records.get(FeedbackFields, "mine").value == "up"  # nobody's score writes over our own API's feedback


def test_the_same_id_twice_in_one_batch(http: httpx.Client, wheel: Wheel, records: Records) -> None:
    logged(wheel)
    one = {"id": "s1", "traceId": TRACE, "name": "helpful", "dataType": "BOOLEAN"}
    said = http.post("/api/public/scores", json=[{**one, "value": value} for value in (1, 0, 1, 0)])
    assert (said.status_code, said.json()) == (202, {"message": "Accepted"})
    assert [made.value for made in feedback(records)] == ["down"]


def test_what_the_loop_declares(http: httpx.Client, wheel: Wheel, records: Records) -> None:
    logged(wheel)
    score(http, name="solved")
    http.post("/feedback", json={"metric_name": "solved", "value": False, "inference_id": SPAN})
    assert sorted((one.name, one.value) for one in feedback(records)) == [("solved", 0.0), ("solved", 1.0)]


def test_feedback_waits_for_what_it_is_about(http: httpx.Client, wheel: Wheel, records: Records) -> None:
    assert score(http).status_code == 200
    one = {"span_id": SPAN, "name": "q", "annotator_kind": "HUMAN", "result": {"label": "good"}}
    assert http.post("/v1/span_annotations", json={"data": [one]}).status_code == 200
    assert http.post(ASSESSMENTS, json=ASSESSED).is_success
    assert http.post("/feedback", json={"metric_name": "good", "value": True, "inference_id": SPAN}).is_success
    assert len(records.held()) == 4
    logged(wheel)
    assert records.held() == []
    assert {one.interaction for one in feedback(records)} == {SPAN}


def test_what_is_said_of_a_span_that_is_no_answer_is_said_of_its_trace(
    http: httpx.Client, wheel: Wheel, records: Records
) -> None:
    spans = [{"traceId": TRACE, "spanId": id, "name": "retrieve", "startTimeUnixNano": "1", "endTimeUnixNano": "2"}
             for id in ("e1" * 8, "e2" * 8)]  # fmt: skip

    def annotate(id: str) -> None:
        result = {"label": "good"}
        one = {"span_id": id, "name": "q", "annotator_kind": "HUMAN", "result": result}
        assert http.post("/v1/span_annotations", json={"data": [one]}).is_success

    logged(wheel)
    annotate("e1" * 8)  # before the span is there
    assert len(records.held()) == 1
    assert http.post("/v1/traces", json={"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).is_success
    annotate("e2" * 8)  # after
    assert records.held() == []
    assert [(one.interaction, one.context["span"]) for one in feedback(records)] == [(SPAN, "e1" * 8), (SPAN, "e2" * 8)]


def test_an_ingestion_batch(http: httpx.Client, wheel: Wheel, records: Records) -> None:
    def send(*events: tuple[str, dict]) -> dict:
        batch = [{"id": str(n), "type": kind, "timestamp": f"2026-01-01T00:00:0{n}Z", "body": body}
                 for n, (kind, body) in enumerate(events)]  # fmt: skip
        answer = http.post("/api/public/ingestion", json={"batch": batch})
        assert answer.status_code == 207
        return answer.json()

    said = send(
        ("trace-create", {"id": "t", "userId": "ada"}),
        ("generation-create", {"id": "g", "traceId": "t", "input": "hi", "startTime": "2026-01-01T00:00:00Z"}),
        ("generation-update", {"id": "g", "output": "yo", "endTime": "2026-01-01T00:00:01Z"}),
        ("span-create", {"id": "s", "traceId": "t"}),
        ("score-create", {"id": "c", "traceId": "t", "observationId": "s", "name": "good", "value": 1,
                          "dataType": "BOOLEAN"}),
        ("sdk-log", {"log": "x"}),
        ("generation-create", {"id": "g2", "traceId": "t"}),
        ("dance-create", {"id": "d"}),
        ("score-create", {"name": "x"}),
    )  # fmt: skip
    assert sorted(one["id"] for one in said["successes"]) == ["0", "1", "2", "3", "4", "5"]
    assert {one["id"]: one["message"] for one in said["errors"]} == {
        "6": 'an interaction needs an "input"', "7": "type: no event is called 'dance-create'",
        "8": "traceId: say what the score is about",
    }  # fmt: skip
    (made,) = records.find(Interaction)
    assert (made.input, made.output, made.latency_ms, made.loop) == ("hi", "yo", 1000.0, "support")
    assert [one.interaction for one in feedback(records)] == ["g"]
    # A later batch says more of both; nothing that was said is lost, and a subject stays a pseudonym.
    trace = ("trace-create", {"id": "t", "sessionId": "s1"})
    assert not send(trace, ("generation-update", {"id": "g", "model": "m"}))["errors"]
    assert not send(("generation-update", {"id": "g", "usage": {"input": 3}}))["errors"]
    (later,) = records.find(Interaction)
    assert (later.trace, later.tokens_in) == ("t", 3)
    assert (later.session, later.variant, later.output, later.subject) == ("s1", "m", "yo", made.subject)


def test_a_trace_that_asks_and_answers_is_an_interaction(http: httpx.Client, records: Records) -> None:
    body = {"id": "t", "input": "hi", "output": "yo"}
    http.post("/api/public/ingestion", json={"batch": [{"id": "1", "type": "trace-create", "body": body}]})
    assert score(http, traceId="t").is_success
    assert [(one.id, one.output) for one in records.find(Interaction)] == [("t", "yo")]
    assert [one.interaction for one in feedback(records)] == ["t"]


def test_dataset_items_are_the_golden_split(http: httpx.Client, wheel: Wheel, records: Records) -> None:
    def put(**more) -> httpx.Response:
        given = {"datasetName": "support", "id": "i1", "input": "a question", "expectedOutput": "refund", **more}
        return http.post("/api/public/dataset-items", json=given)

    wheel.loop("second")
    assert put().json()["id"] == "i1"
    assert put(expectedOutput="other").is_success
    (made,) = records.find(Label)
    assert (made.value, made.split, made.source) == ("other", "golden", "import")
    lost = put(datasetName="elsewhere", id="i2")
    assert (lost.status_code, "a dataset is a loop" in lost.json()["message"]) == (404, True)
    assert put(status="ARCHIVED").is_success
    assert (records.find(Interaction), feedback(records)) == ([], [])


def test_errors_are_in_each_tools_own_words(http: httpx.Client, records: Records) -> None:
    assert http.post("/feedback", content=b"{").json()["error"].startswith("the body is not valid JSON")
    assert http.post("/inference", json={"function_name": "nobody", "input": {"messages": [
        {"role": "user", "content": "x"}]}}).json()["error"].startswith("no loop called 'nobody'")  # fmt: skip
    assert set(http.post("/api/public/scores", json={}).json()) == {"message", "error"}
    missing = http.get(f"/api/3.0/mlflow/traces/tr-{TRACE}/assessments/a-1").json()
    assert missing["error_code"] == "RESOURCE_DOES_NOT_EXIST"
    wrong = http.post(f"/api/3.0/mlflow/traces/tr-{TRACE}/assessments", json={"assessment": {}}).json()
    assert wrong["error_code"] == "INVALID_PARAMETER_VALUE"
    assert set(http.post("/v1/span_annotations", json=[]).json()) == {"detail"}


def test_annotations_are_taken_all_or_none(http: httpx.Client, records: Records) -> None:
    good = {"span_id": SPAN, "name": "q", "annotator_kind": "HUMAN", "result": {"label": "good"}}
    answer = http.post("/v1/span_annotations", json={"data": [good, {**good, "result": {}}]})
    assert answer.status_code == 422
    assert records.held() == []


@pytest.mark.parametrize("text", ["\\ud800", "a\\u0000b", "x" * 5_000])
def test_odd_ids_are_refused_in_one_line(http: httpx.Client, records: Records, text: str) -> None:
    """An unpaired surrogate, a NUL, a very long one."""
    for path, body in (
        ("/feedback", f'{{"metric_name": "good", "value": true, "inference_id": "{text}"}}'),
        ("/api/public/scores", f'{{"traceId": "{text}", "name": "good", "value": 1}}'),
        ("/api/public/scores", f'{{"id": "{text}", "traceId": "t", "name": "good", "value": 1}}'),
        ("/v1/span_annotations", f'{{"data": [{{"span_id": "{text}", "name": "q", "result": {{"score": 1}}}}]}}'),
        ("/v1/span_notes", f'{{"data": {{"span_id": "{text}", "note": "q"}}}}'),
        ("/api/3.0/mlflow/traces/t/assessments", f'{{"assessment": {{"assessment_name": "a", "span_id": "{text}",'
         '"source": {"source_type": "HUMAN"}, "feedback": {"value": true}}}'),
        ("/api/public/ingestion", f'{{"batch": [{{"id": "1", "type": "trace-create", "body": {{"id": "{text}",'
         '"input": "x"}}]}'),
    ):  # fmt: skip
        answer = http.post(path, content=body.encode())
        assert answer.status_code in {207, 400, 422}, (path, answer.text)
        assert answer.status_code != 207 or len(answer.json()["errors"]) == 1
    assert records.held() == []


def test_dry_runs_leave_nothing(http: httpx.Client, records: Records) -> None:
    ask = {"function_name": "support", "input": {"messages": [{"role": "user", "content": "hi"}]}, "dryrun": True}
    made = http.post("/inference", json=ask).json()
    said = {"metric_name": "good", "value": True, "inference_id": made["inference_id"]}
    assert http.post("/feedback", json=said).is_success
    assert http.post("/feedback", json={**said, "inference_id": new_id(), "dryrun": True}).is_success
    assert (records.find(Interaction), feedback(records), records.held()) == ([], [], [])


def test_a_key_of_one_loop_is_kept_to_it(wheel: Wheel, records: Records) -> None:
    logged(wheel)
    wheel.loop("other")
    secret = {one: create(records, one, "client", loop=one).secret for one in ("support", "other")}
    reviewer = create(records, "r", "reviewer").secret
    with served(wheel) as http:
        one = {"traceId": TRACE, "name": "helpful", "value": True, "dataType": "BOOLEAN"}
        ask = {"function_name": "support", "input": {"messages": [{"role": "user", "content": "hi"}]}}
        assert http.post("/api/public/scores", json=one).status_code == 401
        assert http.post("/api/public/scores", json=one, auth=("pk", reviewer)).status_code == 403
        assert http.post("/api/public/scores", json=one, auth=("pk", secret["other"])).status_code == 403
        assert http.post("/api/public/scores", json=one, auth=("pk", secret["support"])).status_code == 200
        assert http.get("/api/public/projects", auth=("pk", secret["other"])).status_code == 200
        mine, other = ({"Authorization": f"Bearer {secret[name]}"} for name in ("support", "other"))
        assert http.post("/inference", json=ask, headers=other).status_code == 403
        assert http.post("/inference", json=ask, headers=mine).status_code == 200
        said = {"metric_name": "good", "value": True, "inference_id": SPAN}
        assert http.post("/feedback", json=said, headers=other).status_code == 403
        path = f"/api/3.0/mlflow/traces/tr-{TRACE}/assessments"
        body = {
            "assessment": {"assessment_name": "ok", "source": {"source_type": "HUMAN"}, "feedback": {"value": True}}
        }
        id = http.post(path, json=body, headers=mine).json()["assessment"]["assessment_id"]
        assert http.delete(f"{path}/{id}", headers=other).status_code == 403
        assert http.delete(f"{path}/{id}", headers=mine).status_code == 200
    assert {one.loop for one in feedback(records)} == {"support"}


def test_unknown_dialect_paths_are_not_there(http: httpx.Client) -> None:
    assert http.get("/api/public/traces").status_code == 404
    assert http.get("/api/public/health").json()["status"] == "OK"


def test_a_browser_that_opts_out_teaches_nothing_whoever_s_client_it_has(
    http: httpx.Client, wheel: Wheel, records: Records
) -> None:
    logged(wheel)
    http.headers["sec-gpc"] = "1"
    assert score(http, id="s").is_success
    one = {"span_id": SPAN, "name": "q", "annotator_kind": "HUMAN", "result": {"label": "good"}}
    assert http.post("/v1/span_annotations", json={"data": [one]}).is_success
    assert http.post("/v1/span_notes", json={"data": {"span_id": SPAN, "note": "so so"}}).is_success
    assert http.post("/feedback", json={"metric_name": "good", "value": True, "inference_id": SPAN}).is_success
    made = http.post(ASSESSMENTS, json=ASSESSED).json()["assessment"]
    changed = {"assessment": {"feedback": {"value": False}}, "update_mask": "feedback"}
    assert http.patch(f"{ASSESSMENTS}/{made['assessment_id']}", json=changed).is_success
    assert [said.consent for said in feedback(records)] == [("service",)] * 5
    stamp = "2026-01-01T00:00:00.000Z"
    body = {"id": "g", "name": "support", "input": "where is my card", "output": "card"}
    event = {"id": "e", "timestamp": stamp, "type": "generation-create", "body": body}
    assert not http.post("/api/public/ingestion", json={"batch": [event]}).json()["errors"]
    assert records.get(Interaction, "g").consent == ("service",)
    item = {"id": "d", "datasetName": "support", "input": "x", "expectedOutput": "y"}
    assert http.post("/api/public/dataset-items", json=item).is_success
    assert records.get(Interaction, "langfuse.d").consent == ("service",)
    del http.headers["sec-gpc"]
    assert score(http, id="t").is_success
    assert records.get(FeedbackFields, "langfuse.t").consent is None


def test_a_key_of_one_loop_is_told_nothing_of_a_trace_in_another(wheel: Wheel, records: Records) -> None:
    wheel.loop("other")
    stamp = "2026-01-01T00:00:00.000Z"

    def event(kind: str, **body) -> dict:
        return {"batch": [{"id": new_id(), "timestamp": stamp, "type": kind, "body": body}]}

    mine, theirs = (create(records, "bot", "client", loop=name).secret for name in ("support", "other"))
    with served(wheel) as http:
        for secret, sent in (
            (mine, event("trace-create", id="t", userId="ada", sessionId="s1", input="my PIN is lost")),
            (mine, event("generation-create", id="g1", traceId="t", input="q", output="a")),
            (theirs, event("generation-create", id="g2", traceId="t", output="b", input="q")),
        ):
            said = http.post("/api/public/ingestion", json=sent, headers={"authorization": f"Bearer {secret}"})
            assert said.json()["errors"] == []
    seen = {one.id: (one.loop, one.session, one.subject is None) for one in records.find(Interaction, id=["g1", "g2"])}
    assert seen == {"g1": ("support", "s1", False), "g2": ("other", None, True)}

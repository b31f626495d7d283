"""A person comes in by every way there is, is forgotten, and not a byte of what was theirs is left in the folder."""

import base64
import json
from pathlib import Path

import httpx

import everloop
from everloop.settings import Settings
from everloop.types import Audit, Preference, SourceAnswer
from everloop.wheel import Wheel

from .conftest import served
from .stub_upstream import running

PERSON, THEIRS = "ada.lovelace", "quaggaquagga"
STAMP = "2026-01-01T00:00:00.000Z"


def attributes(**said: str) -> list[dict]:
    return [{"key": key.replace("__", "."), "value": {"stringValue": value}} for key, value in said.items()]


def span() -> dict:
    told = attributes(
        gen_ai__operation__name="chat", user__id=PERSON, everloop__context__why=THEIRS, gen_ai__conversation__id=THEIRS,
        gen_ai__input__messages=json.dumps([{"role": "user", "parts": [{"type": "text", "content": THEIRS}]}]),
        gen_ai__output__messages=json.dumps([{"role": "assistant", "parts": [{"type": "text", "content": THEIRS}]}]),
    )  # fmt: skip
    return {"traceId": "ab" * 16, "spanId": "cd" * 8, "name": "chat", "startTimeUnixNano": "1", "endTimeUnixNano": "2",
            "attributes": told}  # fmt: skip


def left(home: Path, what: str) -> set[str]:
    return {path.name for path in home.rglob("*") if path.is_file() and what.encode() in path.read_bytes()}


def test_nothing_is_left(tmp_path: Path) -> None:
    with running() as stub, everloop.open(settings=Settings(home=str(tmp_path))) as wheel:
        wheel.loop("desk", task="chat", variants=[{"name": "a", "url": stub.url, "model": "m"}])
        wheel.loop("shop", signals=[{"name": "skip", "kind": "implicit", "fields": {"why": "str"}}])
        file = "data:text/plain;base64," + base64.b64encode(f"bytes of {THEIRS}".encode()).decode()
        with served(wheel) as http:

            def said(path: str, **body) -> dict:
                answer = http.post(path, json=body)
                assert answer.is_success, (path, answer.text)
                return answer.json()

            own = said("/v1/loops/shop/interactions", id="own", input=THEIRS, output="a", subject=PERSON,
                       session=THEIRS, context={THEIRS: THEIRS})["id"]  # fmt: skip
            said("/v1/loops/desk/interactions", subject=PERSON,
                 input={"messages": [{"role": "user", "content": [{"type": "file", "file": {
                     "filename": THEIRS, "file_data": file}}]}]})  # fmt: skip
            others = said("/v1/loops/shop/predict", input="somebody else's", subject="bob")["id"]
            for about in (own, others, "never came"):
                for one in (
                    {"kind": "correction", "value": THEIRS, "rationale": THEIRS},
                    {"kind": "implicit", "value": "skip", "fields": {"why": THEIRS}},
                    {"kind": "comment", "value": THEIRS},
                ):
                    said("/v1/feedback", interaction=about, subject=PERSON, **one)
            asked = [{"role": "user", "content": THEIRS}]
            for stream in (True, False):
                body = {"model": "loop:desk", "user": PERSON, "messages": asked, "stream": stream}
                assert http.post("/v1/chat/completions", json=body).status_code == 200
            made = said("/inference", function_name="desk", input={"messages": asked}, tags={"user_id": PERSON})
            said("/feedback", metric_name="comment", value=THEIRS, inference_id=made["inference_id"])
            trace = {"id": "t", "userId": PERSON, "sessionId": THEIRS, "metadata": {"loop": "desk", "x": THEIRS}}
            answer = {"id": "g", "traceId": "t", "input": THEIRS, "output": THEIRS, "name": THEIRS}
            score = {"id": "s", "traceId": "t", "name": "tone", "value": THEIRS, "dataType": "CATEGORICAL"}
            events = [("trace-create", trace), ("generation-create", answer), ("score-create", score)]
            said("/api/public/ingestion", batch=[
                {"id": str(n), "timestamp": STAMP, "type": kind, "body": body} for n, (kind, body) in enumerate(events)
            ])  # fmt: skip
            said("/v1/loops/desk/traces", resourceSpans=[{"scopeSpans": [{"spans": [span()]}]}])
            for name in ("shop", "desk"):
                wheel.get(name).tend()
            http.put(f"/v1/subjects/{PERSON}/consent", json={"share": False})
            wheel.store.records.put(SourceAnswer(
                id=f"shop:s:{own}", loop="shop", source="s", interaction=own, turn=1, label=THEIRS
            ))  # fmt: skip
            assert left(tmp_path, THEIRS), "it was there"
            assert left(tmp_path, PERSON) == set(), "and who it is of never was"
            erased = http.delete(f"/v1/subjects/{PERSON}").json()
            assert (len(erased["interactions"]), erased["rows"]["blob"]) == (7, 1)
            assert left(tmp_path, THEIRS) == set()
        pseudonym = wheel.door.pseudonyms.of(PERSON)
        assert [one.id for one in wheel.store.records.find(Preference)] == [pseudonym], "a refusal outlives it"
        assert not [row for row in wheel.store.records.find(Audit) if PERSON in str(row) or str(pseudonym) in str(row)]
    assert left(tmp_path, THEIRS) == set()


def test_a_person_whose_name_has_a_slash(http: httpx.Client, wheel: Wheel) -> None:
    wheel.loop("support")
    http.post("/v1/loops/support/predict", json={"input": "x", "subject": "shop/42"})
    assert http.put("/v1/subjects/shop%2F42/consent", json={"improve": False}).status_code == 200
    assert http.put("/v1/subjects/shop/42/consent", json={"improve": False}).status_code == 200
    assert http.delete("/v1/subjects/shop/42").json()["rows"]["interaction"] == 1

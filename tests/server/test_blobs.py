"""Attachments, consent and Sec-GPC over HTTP."""

import base64
import json
from hashlib import sha256

import httpx
import pytest

from everloop.settings import Settings
from everloop.types import Interaction
from everloop.wheel import Wheel
from everloop.wheel import open as open_wheel

from .conftest import served

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(250)) * 4
GPC = {"sec-gpc": "1"}


def seen(data: bytes) -> dict:
    part = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{base64.b64encode(data).decode()}"}}
    return {"messages": [{"role": "user", "content": [{"type": "text", "text": "what is it"}, part]}]}


@pytest.fixture
def loop(wheel: Wheel) -> str:
    wheel.loop("seen", task="chat")
    wheel.loop("support")
    return "seen"


def test_an_image_in_an_input_comes_back_as_it_was(http: httpx.Client, loop: str, wheel: Wheel) -> None:
    for send in (
        lambda: http.post(f"/v1/loops/{loop}/interactions", json={"input": seen(PNG), "output": "a cat"}),
        lambda: http.post(f"/v1/loops/{loop}/interactions", content=json.dumps({"input": seen(PNG)}) + "\n",
                          headers={"content-type": "application/x-ndjson"}),
        lambda: http.post("/v1/loops/support/predict", json={"input": seen(PNG), "id": "mine"}),
        lambda: http.post("/v1/loops/support/predict", json={"input": seen(PNG), "id": "mine"}),  # a retry
    ):  # fmt: skip
        made = send()
        assert made.status_code in (200, 201), made.text
        kept = http.get(f"/v1/interactions/{made.json()['id']}").json()
        (part,) = kept["attachments"]
        assert kept["input"]["messages"][0]["content"][1]["image_url"]["url"]["blob"] == part["hash"]
        got = http.get(f"/v1/blobs/{part['hash']}")
        assert got.content == PNG
        assert got.headers["content-type"] == "image/png"
    assert http.post("/v1/loops/support/predict", json={"input": seen(b"other"), "id": "mine"}).status_code == 409


def test_bytes_are_sent_ahead_and_then_named(http: httpx.Client, loop: str) -> None:
    made = http.post("/v1/blobs", content=PNG, headers={"content-type": "text/html"})
    assert made.status_code == 201
    assert made.json() == {"blob": sha256(PNG).hexdigest(), "media": "image/png", "size": len(PNG)}
    named = http.post(f"/v1/loops/{loop}/interactions", json={"input": {"picture": {"blob": made.json()["blob"]}}})
    assert named.status_code == 201
    lost = http.post(f"/v1/loops/{loop}/interactions", json={"input": {"picture": {"blob": "0" * 64}}})
    assert lost.status_code == 422
    assert "send its bytes to POST /v1/blobs first" in lost.json()["error"]["message"]


@pytest.mark.parametrize(
    ("data", "media", "how"),
    [
        (b"<script>alert(1)</script>", "application/octet-stream", "attachment"),
        (b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", "application/octet-stream", "attachment"),
        (b"%PDF-1.4 /JavaScript", "application/pdf", "attachment"),
        (b"GIF89a/*<script>*/", "image/gif", "inline"),
        (b"ID3\x03" + bytes(9), "audio/mpeg", "inline"),
    ],
)
def test_nothing_a_stranger_sent_runs(http: httpx.Client, loop: str, data: bytes, media: str, how: str) -> None:
    hash = http.post("/v1/blobs", content=data, headers={"content-type": "image/svg+xml"}).json()["blob"]
    got = http.get(f"/v1/blobs/{hash}")
    assert got.content == data
    assert got.headers["content-type"] == media
    assert got.headers["content-disposition"].startswith(f"{how}; filename=")
    assert got.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert got.headers["x-content-type-options"] == "nosniff"
    assert got.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("asked", "status", "start", "end"),
    [
        ("bytes=0-9", 206, 0, 10), ("bytes=1000-", 206, 1000, 1008), ("bytes=-8", 206, 1000, 1008),
        ("bytes=5-99999", 206, 5, 1008), ("bytes=-99999", 206, 0, 1008), ("bytes=1008-", 416, 0, 0),
        ("bytes=9-5", 200, 0, 1008), ("bytes=0-1,4-5", 200, 0, 1008), ("items=0-1", 200, 0, 1008),
        ("bytes=-0", 416, 0, 0), ("bytes=-", 200, 0, 1008),
    ],
)  # fmt: skip
def test_ranges(http: httpx.Client, loop: str, asked: str, status: int, start: int, end: int) -> None:
    hash = http.post("/v1/blobs", content=PNG).json()["blob"]
    got = http.get(f"/v1/blobs/{hash}", headers={"range": asked})
    assert got.status_code == status
    assert got.content == (PNG[start:end] if status != 416 else b"")
    if status == 206:
        assert got.headers["content-range"] == f"bytes {start}-{end - 1}/{len(PNG)}"


def test_only_attachments_are_read_and_only_good_ones_taken(http: httpx.Client, loop: str, wheel: Wheel) -> None:
    model = wheel.store.blobs.put(b"a model's bytes")
    for hash in (model, "0" * 64, "x", "..%2f..%2feverloop.db"):
        assert http.get(f"/v1/blobs/{hash}").status_code == 404
    assert http.post("/v1/blobs", content=b"").status_code == 422
    bad = http.post(f"/v1/loops/{loop}/interactions", json={"input": {"data": "@", "media": "a/b"}})
    assert (bad.status_code, bad.json()["error"]["message"].partition(";")[0]) == (422, "input.data: not valid base64")


def test_an_attachment_may_be_larger_than_a_body_and_has_a_limit_of_its_own(tmp_path) -> None:
    settings = Settings(home=str(tmp_path), max_body_bytes=10_000, max_attachment_bytes=50_000)
    with open_wheel(settings=settings) as wheel, served(wheel) as http:
        assert http.post("/v1/blobs", content=b"x" * 50_000).status_code == 201
        assert http.post("/v1/blobs", content=b"x" * 50_001).status_code == 413


def test_forgetting_reaches_attachments(http: httpx.Client, loop: str) -> None:
    made = http.post(f"/v1/loops/{loop}/interactions", json={"input": seen(PNG), "subject": "ann"}).json()
    hash = http.get(f"/v1/interactions/{made['id']}").json()["attachments"][0]["hash"]
    assert http.delete("/v1/subjects/ann").json()["rows"]["blob"] == 1
    assert http.get(f"/v1/blobs/{hash}").status_code == 404


def consent_of(wheel: Wheel, id: str) -> tuple[str, ...]:
    return wheel.interaction(id).consent


@pytest.mark.parametrize("path", ["predict", "interactions"])
def test_a_browser_that_opts_out_is_heard(http: httpx.Client, loop: str, wheel: Wheel, path: str) -> None:
    everything = ["service", "improve", "share"]
    for headers, consent, kept in [
        (GPC, None, ("service",)),
        (GPC, everything, ("service", "improve")),
        ({"sec-gpc": "0"}, None, ("service", "improve")),
        ({}, everything, ("service", "improve", "share")),
    ]:
        body = {"input": "where is my card"} | ({"consent": consent} if consent else {})
        made = http.post(f"/v1/loops/support/{path}", json=body, headers=headers)
        assert consent_of(wheel, made.json()["id"]) == kept


def test_feedback_of_such_a_browser_teaches_nothing_unless_it_says_so(http: httpx.Client, loop: str) -> None:
    id = http.post("/v1/loops/support/predict", json={"input": "x"}).json()["id"]
    thumb = {"kind": "thumb", "value": "up", "interaction": id}
    for body, headers in [(thumb, GPC), ({**thumb, "consent": ["service", "improve"]}, GPC), (thumb, {})]:
        assert http.post("/v1/feedback", json=body, headers=headers).status_code == 201
    told = http.get(f"/v1/interactions/{id}/feedback").json()["feedback"]
    assert [f.get("consent") for f in told] == [["service"], ["service", "improve"], None]


def test_without_service_nothing_is_stored_and_feedback_is_ignored(http: httpx.Client, loop: str, wheel: Wheel) -> None:
    answer = http.post("/v1/loops/support/predict", json={"input": "where is my card", "consent": []})
    assert answer.status_code == 200
    assert answer.json()["id"].startswith("unstored-")
    assert "nothing of this is stored" in answer.json()["note"]
    logged = http.post("/v1/loops/support/interactions", json={"input": "x", "id": "mine", "consent": ["improve"]})
    assert (logged.status_code, logged.json()["id"], logged.json()["state"]) == (200, "mine", "ignored")
    lines = [{"input": "x", "consent": []}, {"input": "y"}]
    both = http.post("/v1/loops/support/interactions", content="\n".join(map(json.dumps, lines)),
                     headers={"content-type": "application/x-ndjson"})  # fmt: skip
    assert [json.loads(line)["state"] for line in both.text.splitlines()] == ["ignored", "new"]
    thumb = {"kind": "thumb", "value": "up", "interaction": answer.json()["id"]}
    told = http.post("/v1/feedback", json=thumb)
    assert (told.status_code, told.json()["state"]) == (200, "ignored")
    assert "not stored" in told.json()["note"]
    assert wheel.store.records.count(Interaction) == 1
    assert wheel.store.records.held() == []


def test_consent_is_taken_back_over_http(http: httpx.Client, loop: str, wheel: Wheel) -> None:
    id = http.post("/v1/loops/support/predict", json={"input": "x", "subject": "ann"}).json()["id"]
    path = "/v1/subjects/ann/consent"
    assert http.get(path).json() == {"allows": {}, "interactions": 0, "feedback": 0, "reviews": 0}
    assert http.put(path, json={"improve": False}).json() == {
        "allows": {"improve": False},
        "interactions": 1,
        "feedback": 0,
        "reviews": 0,
    }
    assert consent_of(wheel, id) == ("service",)
    assert http.put(path, json={"improve": None}).json()["allows"] == {}
    for body in ({"service": False}, {"improve": "no"}, []):
        assert http.put(path, json=body).status_code == 422
    assert http.post("/v1/loops/support/predict", json={"input": "x", "consent": ["profit"]}).status_code == 422

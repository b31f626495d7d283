"""Loops, turns and people over HTTP."""

import logging
import socket
import time

import httpx
import pytest

from everloop.errors import StoreFull
from everloop.wheel import Wheel

from .conftest import questions, served


def test_declare_show_list(http: httpx.Client) -> None:
    made = http.put("/v1/loops/support", json={"signal": "agents correct", "outcome": "handoffs", "goal": "down"})
    assert made.status_code == 200
    assert made.json()["spec"]["goal"] == "down"
    assert http.put("/v1/loops/support").json()["spec"]["goal"] == "down"
    changed = http.put("/v1/loops/support", json={"policy": {"trigger_feedback": 7}}).json()["spec"]
    assert (changed["policy"]["trigger_feedback"], changed["signal"]) == (7, "agents correct")
    assert http.get("/v1/loops/support").json()["status"]["live"] is None
    assert [loop["spec"]["name"] for loop in http.get("/v1/loops").json()["loops"]] == ["support"]
    assert http.get("/v1/loops/support/check").json()["turning"] is False
    for kind in ("turns", "reviews", "releases", "models", "datasets"):
        assert http.get(f"/v1/loops/support/{kind}").json() == {kind: []}


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "says"),
    [
        ("GET", "/v1/loops/nope", None, 404, "no loop called 'nope'"),
        ("POST", "/v1/loops/nope/predict", {"input": "x"}, 404, "everloop init nope"),
        ("PUT", "/v1/loops/No%20Way", {}, 422, "loop name"),
        ("PUT", "/v1/loops/a", {"outcom": "x"}, 422, "outcom"),
        ("PUT", "/v1/loops/a", {"policy": {"level": 7}}, 422, "level"),
        ("GET", "/v1/interactions/nope", None, 404, "no interaction 'nope'"),
        ("POST", "/v1/reviews/nope", {"value": "x"}, 404, "no review 'nope'"),
        ("GET", "/v1/loops/there/turns/1", None, 404, "no turn 1"),
        ("GET", "/v1/loops/there/turns/one", None, 404, "no turn 'one'"),
        ("GET", "/v1/loops/there/reviews?state=lost", None, 422, "state"),
        ("GET", "/v1/loops/there/reviews?limit=-1", None, 422, "limit"),
        ("POST", "/v1/loops/there/rollback", None, 409, "no live model"),
        ("POST", "/v1/loops/there/drops/nope/undo", None, 404, "nope"),
        ("GET", "/v1/nothing", None, 404, "nothing at /v1/nothing"),
        ("PATCH", "/v1/loops", {}, 405, "GET, HEAD"),
    ],
)
def test_a_mistake_gets_one_line(
    http: httpx.Client, wheel: Wheel, method: str, path: str, body: object, status: int, says: str
) -> None:
    wheel.loop("there")
    answer = http.request(method, path, json=body) if body is not None else http.request(method, path)
    assert answer.status_code == status, answer.text
    message = answer.json()["error"]["message"]
    assert says in message
    assert "\n" not in message
    if status == 405:
        assert answer.headers["allow"] == "GET, HEAD"


def test_head_is_get_without_its_body(http: httpx.Client) -> None:
    for path in ("/", "/healthz", "/v1/loops"):
        head, get = http.head(path), http.get(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == str(len(get.content))


def test_a_turn_over_http(wheel: Wheel) -> None:
    wheel.loop("support", policy={"golden_share": 0.2})
    with served(wheel, worker=True) as http:
        for text, label in questions(60, 3):
            asked = http.post("/v1/loops/support/predict", json={"input": text, "subject": "anna"}).json()
            said = {"interaction": asked["id"], "kind": "correction", "value": label}
            assert http.post("/v1/feedback", json=said).status_code == 201
        started = http.post("/v1/loops/support/turns")
        assert (started.status_code, started.json()["turn"]) == (202, 1)
        deadline = time.monotonic() + 30
        while http.get("/v1/loops/support").json()["status"]["turns"] == 0:
            assert time.monotonic() < deadline, "the worker did not finish the turn"
            time.sleep(0.05)
        assert http.get("/v1/loops/support/turns/1").json()["state"] == "closed"
        assert len(http.get("/v1/loops/support/models").json()["models"]) == 1
        review = http.get("/v1/loops/support/reviews?limit=1").json()["reviews"][0]
        note = http.post(f"/v1/reviews/{review['id']}", json={"value": "lost_phone", "annotator": "bo"})
        assert (note.status_code, note.json()["annotator"]) == (200, "bo")
        time.sleep(0.3)
        asked = http.post("/v1/loops/support/predict", json={"input": "currency exchange rate euro"}).json()
        assert (asked["output"], asked["abstained"]) == ("exchange_rate", False)
        assert "note" not in asked
        gone = http.delete("/v1/subjects/anna").json()
        assert len(gone["interactions"]) == 60
        assert gone["models"]


def test_a_page_of_another_site_may_not_write(http: httpx.Client, wheel: Wheel) -> None:
    answer = http.put("/v1/loops/mine", headers={"origin": "https://elsewhere.example"})
    assert answer.status_code == 403
    assert wheel.loops() == []
    own = str(http.base_url).rstrip("/")
    assert http.put("/v1/loops/mine", headers={"origin": own}).status_code == 200


def test_what_nobody_foresaw_has_a_reference_that_is_in_the_log(
    http: httpx.Client, wheel: Wheel, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(wheel, "loops", broken)
    with caplog.at_level(logging.ERROR, logger="everloop.server"):
        answer = http.get("/v1/loops")
    assert answer.status_code == 500
    message = answer.json()["error"]["message"]
    assert "secret" not in answer.text
    assert message.rpartition(" ")[2] in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_a_full_disk_is_said(http: httpx.Client, wheel: Wheel, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel.loop("support")

    def full(_: object) -> None:
        raise StoreFull("the disk is full: nothing was written")

    monkeypatch.setattr(wheel.store.records, "submit", full)
    assert http.post("/v1/loops/support/predict", json={"input": "x"}).status_code == 507
    lines = b'{"interaction":"a","kind":"thumb","value":"up"}\n' * 3
    assert http.post("/v1/feedback", content=lines).status_code == 507


def test_slow_and_vanished_clients_stop_nobody(http: httpx.Client, wheel: Wheel) -> None:
    wheel.loop("support")
    where = (http.base_url.host, http.base_url.port)
    slow = []
    for i in range(50):
        one = socket.create_connection(where)
        one.sendall(b"POST /v1/feedback HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\n{")
        if i % 2:
            one.close()
        slow.append(one)
    assert http.post("/v1/loops/support/predict", json={"input": "x"}).status_code == 200
    for one in slow:
        one.close()


def test_a_client_that_stops_in_the_middle_is_let_go(http: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("everloop.server.wire.BODY_SECONDS", 0.2)
    with socket.create_connection((http.base_url.host, http.base_url.port)) as one:
        one.sendall(b"POST /v1/feedback HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\n{")
        one.settimeout(5)
        assert b"408" in one.recv(200)


def test_health(http: httpx.Client) -> None:
    assert http.get("/healthz").json()["status"] == "ok"

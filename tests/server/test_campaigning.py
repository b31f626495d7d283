"""Campaigns over HTTP: declared, versioned, listed for devices with an ETag, and what came of them."""

import httpx

from everloop.wheel import Wheel

UNSURE = {"when": {"confidence": {"below": 0.6}}, "rate": 20, "bytes": 5_000_000}
PATH = "/v1/loops/desk/campaigns"


def test_a_campaigns_life(http: httpx.Client, wheel: Wheel) -> None:
    wheel.loop("desk")
    made = http.put(f"{PATH}/unsure", json=UNSURE)
    assert (made.status_code, made.json()["version"], made.json()["state"]) == (200, 1, "active")
    assert http.put(f"{PATH}/unsure", json=UNSURE).json()["version"] == 1
    assert http.put(f"{PATH}/unsure", json={"rate": 5}).json()["when"] == UNSURE["when"]

    listed = http.get(PATH)
    tag = listed.headers["etag"]
    assert [(one["id"], one["version"]) for one in listed.json()["campaigns"]] == [("unsure", 2)]
    assert int(listed.headers["everloop-time"]) > 1_700_000_000_000
    for known in (tag, f"W/{tag}", f'"x", {tag}', "*"):
        again = http.get(PATH, headers={"if-none-match": known})
        assert (again.status_code, again.content) == (304, b"")
        assert "content-length" not in again.headers
        assert again.headers["everloop-time"]

    assert http.put(f"{PATH}/unsure", json={"state": "paused"}).json()["version"] == 3
    changed = http.get(PATH, headers={"if-none-match": tag})
    assert (changed.status_code, changed.json()) == (200, {"campaigns": []})
    assert len(http.get(PATH, params={"state": "all"}).json()["campaigns"]) == 1
    assert http.put(f"{PATH}/unsure", json={"state": "active"}).status_code == 200
    assert http.put(f"{PATH}/unsure", json={"until": 1}).status_code == 200
    assert http.get(PATH).json() == {"campaigns": []}  # it is over, whatever it is called
    assert http.put(f"{PATH}/unsure", json={"state": "ended"}).status_code == 200
    revived = http.put(f"{PATH}/unsure", json={"state": "active"})
    assert (revived.status_code, "under a new name" in revived.text) == (409, True)


def test_what_came_of_it(http: httpx.Client, wheel: Wheel) -> None:
    wheel.loop("desk")
    http.put(f"{PATH}/unsure", json=UNSURE)
    why = {"campaign": "unsure", "version": 1}
    rows = [
        {"id": "a", "input": "x", "context": {"uploaded_for": why}},
        {"id": "b", "input": "y", "context": {"uploaded_for": {**why, "window_of": "a"}}},
        {"id": "c", "input": "z", "context": {"uploaded_for": "rubbish"}},
        {"id": "d", "input": "w"},
    ]
    for row in rows:
        assert http.post("/v1/loops/desk/interactions", json=row).status_code == 201
    http.post("/v1/feedback", json={"interaction": "a", "kind": "correction", "value": "no"})
    came = http.get(f"{PATH}/unsure").json()["came"]
    assert (came["interactions"], came["moments"], came["feedback"]) == (2, 1, 1)
    assert came["bytes"] > 100


def test_what_is_refused_says_what_to_change(http: httpx.Client, wheel: Wheel) -> None:
    wheel.loop("desk")
    for body, says in (
        ({"when": {"confidence": {"bellow": 1}}}, "did you mean below?"),
        ({"when": {"input.text": {"matches": "(a+)+$"}}}, "no comparison 'matches'"),
        ({"rate": 5}, "say what it asks for"),
        ({**UNSURE, "rate": 0}, "at least 1"),
        ({**UNSURE, "bytes": 0}, "at least 1"),
        ({**UNSURE, "before_s": 1e9}, "between 0 and 600"),
        ({**UNSURE, "before_s": -1}, "between 0 and 600"),
        ({**UNSURE, "until": -1}, "until"),
        ({**UNSURE, "priority": "urgent"}, "priority"),
        ({**UNSURE, "version": 7}, "version"),
        ({"when": []}, "when"),
    ):
        answer = http.put(f"{PATH}/unsure", json=body)
        assert (answer.status_code, says in answer.json()["error"]["message"]) == (422, True), (body, answer.text)
    assert http.put(f"{PATH}/Not%20a%20name", json=UNSURE).status_code == 422
    assert http.get(f"{PATH}/unsure").status_code == 404
    assert http.get("/v1/loops/nowhere/campaigns").status_code == 404
    assert http.get(PATH, params={"state": "some"}).status_code == 422


def test_devices_are_not_given_more_than_they_take(http: httpx.Client, wheel: Wheel) -> None:
    wheel.loop("desk")
    for n in range(64):
        assert http.put(f"{PATH}/c{n}", json=UNSURE).status_code == 200
    assert http.put(f"{PATH}/c64", json=UNSURE).status_code == 409
    assert http.put(f"{PATH}/c0", json={"state": "ended"}).status_code == 200
    assert http.put(f"{PATH}/c64", json=UNSURE).status_code == 200

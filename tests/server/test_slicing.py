"""Weak and watched slices over HTTP: JSON, page and forms."""

import httpx
import pytest

from everloop.keys import create
from everloop.types import Audit, Role, WatchedSlice
from everloop.wheel import Wheel

from .conftest import HOSTILE, questions, served

PATH, PAGE = "/v1/loops/desk/slices", "/loops/desk/slices"


@pytest.fixture
def weak(wheel: Wheel) -> Wheel:
    """Where the live model is wrong is where the context says something hostile."""
    loop = wheel.loop("desk", policy={"golden_share": 0, "trigger_feedback": 0})
    rows = []
    for i, (text, label) in enumerate(questions(200, 3)):
        odd = i >= 80 and label == "exchange_rate" and i % 2 == 0
        who = {"who": HOSTILE if odd else "else"}
        rows.append({"input": f"{text} {i}", "label": "lost_phone" if odd else label, "context": who,
                     "split": "train" if i < 80 else "golden"})  # fmt: skip
    loop.log_many(rows)
    loop.turn()
    return wheel


def test_found_watched_and_let_go(weak: Wheel, http: httpx.Client) -> None:
    found = http.get(PATH).json()
    [one] = found["weak"]["found"]["slices"]
    assert one["terms"] == [f"who={HOSTILE}"]
    assert found["watched"] == found["weak"]["watched"] == []
    assert http.get(f"{PATH}?rows=all").json()["weak"]["out_of_fold"] == 80
    made = http.post(PATH, json={"id": one["id"], "note": "why"})
    assert (made.status_code, made.json()["by"], made.json()["note"]) == (200, "open", "why")
    assert http.post(PATH, json={"terms": ["who=else"], "name": "all others"}).status_code == 200
    again = http.get(PATH).json()
    assert again["weak"]["watched"] == [one["id"]]
    assert [w["slice"]["name"] for w in again["watched"]] == [f"who={HOSTILE}", "all others"]
    assert http.delete(f"{PATH}/{one['id']}").json()["id"] == one["id"]
    assert http.delete(f"{PATH}/{one['id']}").status_code == 404
    actions = [row.action for row in weak.store.records.find(Audit)]
    assert actions.count("POST /v1/loops/{name}/slices") == 2
    assert actions.count("DELETE /v1/loops/{name}/slices/{id}") == 1


def test_mistakes(wheel: Wheel, http: httpx.Client) -> None:
    wheel.loop("desk")
    for body, status in (
        ({}, 422),
        ({"terms": ["a=1"], "id": "x"}, 422),
        ({"terms": ["a"]}, 422),
        ({"id": "nothing"}, 404),
        ({"terms": ["a=1"], "name": "b=2"}, 422),
        ({"term": ["a=1"]}, 422),
    ):
        assert http.post(PATH, json=body).status_code == status
    assert http.get(f"{PATH}?rows=some").status_code == 422
    assert http.delete(f"{PATH}/x").status_code == 404
    assert not wheel.store.records.count(WatchedSlice)


def test_a_loop_without_a_model(http: httpx.Client, wheel: Wheel) -> None:
    wheel.loop("bare")
    assert http.get("/v1/loops/bare/slices").json() == {"weak": None, "watched": []}
    assert http.post("/v1/loops/bare/slices", json={"id": "x"}).status_code == 404
    assert http.post("/v1/loops/bare/slices", json={"terms": ["lang=de"]}).status_code == 200
    page = http.get("/loops/bare/slices").text
    assert "No model of its own answers yet." in page
    assert "8 more to tell anything" in page
    assert http.get("/loops/nowhere/slices").status_code == 404


def test_the_page_and_its_buttons(weak: Wheel, http: httpx.Client) -> None:
    page = http.get(PAGE).text
    assert HOSTILE not in page
    assert "who=&lt;script&gt;" in page
    assert "Watch a slice of your own" in page
    assert f'href="{PAGE}"' in http.get("/loops/desk").text
    one = http.get(PATH).json()["weak"]["found"]["slices"][0]
    done = http.post(PAGE, data={"watch": one["id"], "rows": "all"})
    assert (done.status_code, done.headers["location"]) == (303, f"{PAGE}?rows=all#watched")
    page = http.get(PAGE).text
    assert ">watched</span>" in page
    assert HOSTILE not in page
    assert http.post(PAGE, data={"terms": "lang=de & channel=web", "name": "web"}).status_code == 303
    assert {s.name for s in weak.store.records.find(WatchedSlice)} == {f"who={HOSTILE}", "web"}
    wrong = http.post(PAGE, data={"terms": "nonsense <b>", "name": "n"}, headers={"accept": "text/html"})
    assert wrong.status_code == 422
    assert "write it as name=value" in wrong.text
    assert "nonsense &lt;b&gt;" in wrong.text
    for body in ({}, {"unwatch": "nothing"}, {"watch": "nothing"}):
        assert http.post(PAGE, data=body).status_code in {404, 422}
    assert http.post(PAGE, content=b"\xff", headers={"content-type": "text/plain"}).status_code == 422
    assert http.post(PAGE, data={"unwatch": one["id"]}).status_code == 303
    assert {s.name for s in weak.store.records.find(WatchedSlice)} == {"web"}
    said = [row for row in weak.store.records.find(Audit) if row.action == "POST /loops/{name}/slices"]
    assert [row.detail for row in said] == ["watch", "watch", "unwatch"]


def test_another_sites_page_cannot_press_the_button(wheel: Wheel, http: httpx.Client) -> None:
    wheel.loop("desk")
    for guard in ({"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}):
        assert http.post(PAGE, data={"terms": "a=1"}, headers=guard).status_code == 403
    assert not wheel.store.records.count(WatchedSlice)


def test_who_may_what(wheel: Wheel) -> None:
    wheel.loop("desk")

    def key(role: Role) -> dict[str, str]:
        return {"authorization": f"Bearer {create(wheel.store.records, role, role)[1]}"}

    admin, reviewer, developer = key("admin"), key("reviewer"), key("developer")
    with served(wheel) as http:
        assert http.get(PATH).status_code == 401
        assert http.get(PAGE, headers=reviewer).status_code == 200
        assert "Watch a slice of your own" not in http.get(PAGE, headers=reviewer).text
        assert http.post(PAGE, data={"terms": "a=1"}, headers=reviewer).status_code == 403
        assert http.post(PATH, json={"terms": ["a=1"]}, headers=reviewer).status_code == 403
        made = http.post(PATH, json={"terms": ["a=1"]}, headers=developer).json()
        assert made["by"] != "open"
        assert http.delete(f"{PATH}/{made['id']}", headers=admin).status_code == 200
        secret = developer["authorization"].removeprefix("Bearer ")
        assert http.post("/login", data={"key": secret}).status_code == 303
        own = {"origin": str(http.base_url).rstrip("/"), "sec-fetch-site": "same-origin"}
        assert http.post(PAGE, data={"terms": "b=2"}, headers=own).status_code == 303
        assert http.post(PAGE, data={"terms": "c=3"}).status_code == 403
        assert [one.name for one in wheel.store.records.find(WatchedSlice)] == ["b=2"]

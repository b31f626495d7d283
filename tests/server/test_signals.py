"""Declared signals over HTTP: declared, checked, read as columns, watched."""

import httpx
import pytest

from everloop.wheel import Wheel

SIGNALS = [
    {"name": "skip", "fields": {"dwell_ms": "int", "why": "str"}, "required": ["why"], "expected": 0.5},
    {"name": "contact", "kind": "outcome", "window_s": 604_800, "silence": 0},
]


@pytest.fixture
def asked(http: httpx.Client, wheel: Wheel) -> str:
    assert http.put("/v1/loops/shop", json={"signals": SIGNALS, "outcome": "contact"}).status_code == 200
    answer = http.post("/v1/loops/shop/interactions", json={"input": "x", "output": "an answer", "trace": "t"})
    return str(answer.json()["id"])


def say(http: httpx.Client, interaction: str, **said: object) -> httpx.Response:
    return http.post("/v1/feedback", json={"interaction": interaction, **said})


def test_declared_checked_and_read_back(http: httpx.Client, asked: str) -> None:
    wrong = say(http, asked, kind="implicit", value="skip", fields={"wy": "long"})
    assert wrong.status_code == 422
    assert wrong.json()["error"]["message"] == "skip: unknown field 'wy'; did you mean why?"
    assert say(http, asked, kind="implicit", value="skip", dwell_ms=7, fields={"why": "<b>"}).status_code == 201
    assert say(http, "t", kind="implicit", value="skip", fields={"why": "by trace"}).status_code == 201
    assert say(http, asked, kind="outcome", value=1).status_code == 201
    found = http.get("/v1/loops/shop/signals/skip").json()
    assert found["rows"] == 2
    assert found["columns"]["interaction"] == [asked, asked]
    assert found["columns"]["dwell_ms"] == [7, None]
    assert found["columns"]["why"] == ["<b>", "by trace"]
    assert http.get("/v1/loops/shop/signals/contact?limit=1").json()["columns"]["value"] == [1.0]
    assert http.get("/v1/loops/shop/signals/skap").status_code == 404
    assert http.get("/v1/loops/shop/signals/skip?limit=0").status_code == 422
    assert http.get("/v1/loops/shop/signals/skip?kind=x").status_code == 422
    health = http.get("/v1/loops/shop/signals?days=30").json()
    skip, contact = health["signals"]
    assert (skip["rows"], skip["asked"], skip["verdict"]) == (2, 0, "inconclusive")
    assert contact["rows"] == 1
    for bad in ("0", "-1", "x", "nan", "inf"):
        assert http.get(f"/v1/loops/shop/signals?days={bad}").status_code == 422
    correction = say(http, asked, kind="correction", value="an apple").json()["id"]
    assert http.get(f"/v1/interactions/{asked}/feedback").status_code == 200
    assert correction


def test_the_page_says_what_is_there_and_what_is_not(http: httpx.Client, asked: str, wheel: Wheel) -> None:
    wheel.loop("bare")
    bare = http.get("/loops/bare/signals").text
    assert "Nothing is declared." in bare
    say(http, asked, kind="implicit", value="skip", fields={"why": "x"})
    say(http, "nowhere", kind="thumb", value="up")
    page = http.get("/loops/shop/signals").text
    for words in ("skip", "contact", "can&#39;t tell yet", "A piece of feedback", "Nothing derived yet"):
        assert words in page
    assert "/loops/shop/signals" in http.get("/loops/shop").text


def test_the_worker_keeps_them_and_a_broken_rule_stops_no_turn(
    wheel: Wheel, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from everloop.server.worker import Worker
    from everloop.wheel import Loop

    wheel.loop("shop")
    done: list[str] = []

    def tend(self: Loop) -> None:
        done.append("tend")
        raise RuntimeError("two\nlines")

    monkeypatch.setattr(Loop, "tend", tend)
    monkeypatch.setattr(Loop, "advance", lambda self: done.append("advance"))
    worker = Worker(wheel, 60)
    worker._tend(wheel.get("shop"))
    worker._turn(wheel.get("shop"))
    worker._tend(wheel.get("shop"))
    assert done == ["tend", "advance"]
    assert "can't keep its signals up to date: RuntimeError: two lines" in caplog.text

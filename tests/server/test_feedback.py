"""The door that takes things in: nothing lost, nothing twice, nothing half-written."""

import json
import threading

import httpx
import pytest

from everloop.types import FeedbackFields, Interaction
from everloop.wheel import Wheel


def ask(http: httpx.Client, text: str = "my card has not arrived", **more: object) -> dict:
    answer = http.post("/v1/loops/support/predict", json={"input": text, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.fixture(autouse=True)
def _loop(wheel: Wheel) -> None:
    wheel.loop("support")


def test_an_answer_is_on_disk_before_it_is_given(http: httpx.Client, wheel: Wheel) -> None:
    given = ask(http, subject="anna", context={"channel": "web"})
    assert given["abstained"]
    assert given["output"] is None
    assert given["note"] == "nothing learned yet: send labels or corrections"
    stored = wheel.interaction(given["id"])
    assert stored.context == {"channel": "web"}
    assert "anna" not in str(stored.subject)
    assert http.get(f"/v1/interactions/{given['id']}").json()["input"] == "my card has not arrived"


def test_asking_again_with_the_same_id_gives_the_same_answer(http: httpx.Client, wheel: Wheel) -> None:
    assert ask(http, id="mine")["id"] == "mine"
    assert ask(http, id="mine")["id"] == "mine"
    assert wheel.store.records.count(Interaction, "support") == 1
    other = http.post("/v1/loops/support/predict", json={"input": "something else", "id": "mine"})
    assert other.status_code == 409


def test_one_feedback_new_known_held(http: httpx.Client, wheel: Wheel) -> None:
    said = {"id": "f1", "interaction": ask(http)["id"], "kind": "correction", "value": "card_arrival"}
    first, again = http.post("/v1/feedback", json=said), http.post("/v1/feedback", json=said)
    assert (first.status_code, first.json()) == (201, {"id": "f1", "state": "new"})
    assert (again.status_code, again.json()) == (200, {"id": "f1", "state": "known"})
    other = http.post("/v1/feedback", json={**said, "value": "lost_card"})
    assert other.status_code == 409
    early = http.post("/v1/feedback", json={"interaction": "later", "kind": "thumb", "value": "up"})
    assert (early.status_code, early.json()["state"]) == (202, "held")
    assert "has not arrived" in early.json()["note"]
    ask(http, id="later")
    assert wheel.store.records.held() == []
    assert wheel.store.records.count(FeedbackFields, "support") == 2


def test_good_lines_are_taken_and_bad_ones_are_named(http: httpx.Client, wheel: Wheel) -> None:
    target = ask(http)["id"]
    good = {"interaction": target, "kind": "thumb", "value": "up"}
    body = b"\n".join([
        json.dumps({**good, "id": "a"}).encode(),
        b"",
        b'{"broken":',
        json.dumps({**good, "id": "b", "value": "sideways"}).encode(),
        json.dumps({**good, "id": "a", "value": "down"}).encode(),
        b'{"id": "\xff"}',
        b"[1]",
        json.dumps({**good, "id": "c"}).encode(),
    ])  # fmt: skip
    answer = http.post("/v1/feedback", content=body)
    assert answer.status_code == 207
    assert answer.headers["content-type"] == "application/x-ndjson"
    receipts = [json.loads(line) for line in answer.text.splitlines()]
    assert [r.get("id") or r["line"] for r in receipts] == ["a", 3, 4, 5, 6, 7, "c"]
    assert all("\n" not in r["error"] for r in receipts if "error" in r)
    assert wheel.store.records.count(FeedbackFields, "support") == 2
    again = http.post("/v1/feedback", content=body)
    assert json.loads(again.text.splitlines()[0])["state"] == "known"
    assert wheel.store.records.count(FeedbackFields, "support") == 2


def test_a_batch_without_a_good_line_is_refused(http: httpx.Client) -> None:
    answer = http.post("/v1/feedback", content=b"{}\n{}\n", headers={"content-type": "application/x-ndjson"})
    assert answer.status_code == 422
    assert len(answer.text.splitlines()) == 2


def test_a_pretty_printed_object_is_one_object(http: httpx.Client) -> None:
    said = {"interaction": ask(http)["id"], "kind": "thumb", "value": "up"}
    assert http.post("/v1/feedback", content=json.dumps(said, indent=2)).status_code == 201


def test_a_long_batch(http: httpx.Client, wheel: Wheel) -> None:
    target = ask(http)["id"]
    body = "\n".join(f'{{"id":"{i}","interaction":"{target}","kind":"thumb","value":"up"}}' for i in range(2_500))
    answer = http.post("/v1/feedback", content=body)
    assert answer.status_code == 200
    assert answer.text.count('"new"') == 2_500
    assert wheel.store.records.count(FeedbackFields, "support") == 2_500


def test_a_label_outside_a_closed_set(http: httpx.Client, wheel: Wheel) -> None:
    wheel.loop("support", labels=("card_arrival", "lost_card"))
    said = {"interaction": ask(http)["id"], "kind": "correction", "value": "card_arival"}
    answer = http.post("/v1/feedback", json=said)
    assert answer.status_code == 422
    assert "did you mean card_arrival" in answer.json()["error"]["message"]


def test_logging_after_the_fact(http: httpx.Client, wheel: Wheel) -> None:
    one = http.post("/v1/loops/support/interactions", json={"id": "i1", "input": "x y z", "output": "a", "label": "b"})
    assert (one.status_code, one.json()) == (201, {"id": "i1", "state": "new"})
    many = http.post("/v1/loops/support/interactions", content=b'{"id":"i2","input":"p"}\n{"input":[1,"a"]}\n')
    assert many.status_code == 207
    assert wheel.store.records.count(Interaction, "support") == 2
    assert wheel.store.records.count(FeedbackFields, "support") == 1
    assert http.post("/v1/loops/support/interactions", json={"input": "x", "label": 3}).status_code == 422


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (b"", 400, "empty"),
        (b"{", 400, "not valid JSON"),
        (b'{"input": "\xff"}', 400, "not valid UTF-8 at byte 11"),
        (b'{"input":' + b'{"a":' * 90_000, 400, "too deeply"),
        (b"[]", 422, "object"),
        (b"{}", 422, "input"),
        (b'{"input": 3}', 422, "input"),
        (b'{"input": "x", "imput": "y"}', 422, "imput"),
    ],
)
def test_what_cannot_be_taken_gets_one_line(
    http: httpx.Client, wheel: Wheel, body: bytes, status: int, says: str
) -> None:
    answer = http.post("/v1/loops/support/predict", content=body)
    assert answer.status_code == status
    assert says in answer.json()["error"]["message"]
    assert "\n" not in answer.json()["error"]["message"]
    assert http.post("/v1/feedback", content=body).status_code in (400, 422)
    assert wheel.store.records.count(Interaction, "support") == 0


def test_too_much(http: httpx.Client) -> None:
    answer = http.post("/v1/feedback", content=b"x" * 500_001)
    assert answer.status_code == 413
    assert "500,000 allowed" in answer.json()["error"]["message"]

    def stream():
        for _ in range(60):
            yield b"x" * 10_000

    assert http.post("/v1/feedback", content=stream()).status_code == 413
    wide = http.post("/v1/loops/support/predict", json={"input": "a" * 190_000})
    assert wide.status_code == 200


def test_many_at_once_all_come_through(http: httpx.Client, wheel: Wheel) -> None:
    target = ask(http)["id"]
    seen: list[int] = []

    def send(start: int) -> None:
        with httpx.Client(base_url=http.base_url, timeout=30, trust_env=False) as mine:
            for i in range(25):  # every tenth id is in conflict with another thread's
                id = f"shared-{i}" if i % 10 == 0 else f"{start}-{i}"
                said = {"id": id, "interaction": target, "kind": "comment", "value": str(start)}
                seen.append(mine.post("/v1/feedback", json=said).status_code)

    threads = [threading.Thread(target=send, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (seen.count(201), seen.count(409)) == (8 * 22 + 3, 7 * 3)
    assert wheel.store.records.count(FeedbackFields, "support") == 8 * 22 + 3

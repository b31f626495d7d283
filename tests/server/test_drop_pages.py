"""The page of what was left out: its reasons, a sample that is judged, and the way back."""

import re

import httpx
import pytest

from everloop.keys import create
from everloop.types import Audit, Drop, DropAudit, Interaction, Role
from everloop.wheel import Wheel

from .conftest import HOSTILE, served

PAGE = "/loops/desk/drops"


@pytest.fixture
def dropped(wheel: Wheel) -> Wheel:
    wheel.loop("desk")
    wheel.store.records.put(
        *(Interaction(id=f"i{n}", loop="desk", at=0, input=f"text {n} {HOSTILE}") for n in range(30)),
        Interaction(id="large", loop="desk", at=0, input="x" * 1_000_000),
    )

    def drop(id: str, reason: str, matched: str | None) -> Drop:
        return Drop(id=id, loop="desk", turn=1, stage="curate", reason=reason, score=0.5, matched=matched)

    wheel.store.records.replace(
        *(drop(f"i{n}", "length", f"{n} {HOSTILE}") for n in range(20)), drop("large", "near_duplicate", "i7"),
        *(drop(f"i{n}", "no_consent", None) for n in range(20, 24)), drop("i24", "sealed", None),
        *(drop(f"i{n}", "no_signal", None) for n in range(25, 30)),
    )  # fmt: skip
    return wheel


def fields(page: httpx.Response, name: str) -> list[str]:
    return re.findall(rf'name="{name}" value="([^"]+)"', page.text)


def test_draw_judge_and_take_back(dropped: Wheel, http: httpx.Client) -> None:
    page = http.get(PAGE)
    assert page.status_code == 200
    assert "not audited yet" in page.text
    assert "the person's choice" in page.text
    assert len(re.findall('name="draw"', page.text)) == 4  # there is nothing to judge of somebody's own choice
    done = http.post(PAGE, data={"reason": "length", "draw": "1"})
    assert (done.status_code, done.headers["location"]) == (303, f"{PAGE}?reason=length#sample")
    page = http.get(done.headers["location"])
    ids = fields(page, "answer")
    assert len(ids) == 20
    assert HOSTILE not in page.text
    assert "&lt;script&gt;alert" in page.text
    assert "drops.js" in page.text
    assert http.post(PAGE, data={"reason": "length", "draw": "1"}).status_code == 303  # the same sample
    assert fields(http.get(f"{PAGE}?reason=length"), "answer") == ids
    for n, id in enumerate(ids[:15]):
        judged = http.post(PAGE, data={"reason": "length", "answer": id, "right": "yes" if n < 5 else "no"})
        assert judged.status_code == 303
    page = http.get(f"{PAGE}?reason=length")
    assert len(fields(page, "answer")) == 5
    assert "So far 5 of 15 were right: 33.3 %, 11.8 % to 61.6 %" in page.text  # binom.test(5, 15) in R
    assert "This rule is wrong more than 20 % of the time: 10 of 15 looked at were" in page.text
    assert "This rule is wrong" in http.get(PAGE).text
    back = fields(page, "back")
    assert len(back) == 10
    assert http.post(PAGE, data={"reason": "length", "back": back[0]}).status_code == 303
    one = dropped.store.records.get(Drop, back[0])
    assert one is not None
    assert one.undone
    assert http.post(PAGE, data={"reason": "length", "wrong": "1"}).status_code == 303
    assert dropped.store.records.count(Drop, "desk", reason="length", undone=True) == 10
    page = http.get(f"{PAGE}?reason=length&undo=1")
    assert "Take back all 10?" in page.text
    assert http.post(PAGE, data={"reason": "length", "all": "1"}).status_code == 422
    assert http.post(PAGE, data={"reason": "length", "all": "sure"}).status_code == 303
    assert dropped.store.records.count(Drop, "desk", reason="length", undone=False) == 0
    assert "20 taken back" in http.get(PAGE).text
    said = [row.detail for row in dropped.store.records.find(Audit)]
    assert said[:2] == ["draw", "draw"]
    assert said[-3:] == ["undo", "undo those found wrong", "undo all"]


def test_a_large_text_is_cut_and_a_twin_stands_beside_it(dropped: Wheel, http: httpx.Client) -> None:
    http.post(PAGE, data={"reason": "near_duplicate", "draw": "1"})
    page = http.get(f"{PAGE}?reason=near_duplicate")
    assert len(page.content) < 20_000
    assert "xxx…</p>" in page.text
    assert "It is like" in page.text
    assert "text 7 &lt;script&gt;" in page.text
    assert "nearly the same as a row there is" in page.text


def test_what_cannot_be(dropped: Wheel, http: httpx.Client) -> None:
    assert http.get(f"{PAGE}?reason=nonsense").status_code == 404
    assert http.get("/loops/nowhere/drops").status_code == 404
    for body, status, says in (
        ({}, 422, "nothing was asked"),
        ({"reason": "length"}, 422, "nothing was asked"),
        ({"reason": "flood", "draw": "1"}, 404, "nothing was left out for"),
        ({"reason": "no_consent", "draw": "1"}, 422, "own choice"),
        ({"reason": "length", "answer": "nothing", "right": "yes"}, 404, "draw some first"),
        ({"reason": "length", "answer": "nothing", "right": "perhaps"}, 422, "yes or no"),
        ({"reason": "length", "back": "nothing"}, 404, "nothing was dropped"),
        ({"reason": "sealed", "back": "i24"}, 422, "honest"),
        ({"reason": "sealed", "all": "sure"}, 422, "honest"),
        ({"reason": "no_signal", "all": "sure"}, 422, "only mended"),
        ({"reason": HOSTILE, "draw": "1"}, 404, "nothing was left out for"),
    ):
        answer = http.post(PAGE, data=body)
        assert answer.status_code == status, body
        assert says in answer.text
        assert HOSTILE not in answer.text
    assert http.post(PAGE, content=b"\xff", headers={"content-type": "text/plain"}).status_code == 422
    assert dropped.store.records.count(Drop, "desk", undone=True) == 0
    assert dropped.store.records.find(DropAudit) == []
    for reason in ("no_consent", "sealed", "no_signal"):
        page = http.get(f"{PAGE}?reason={reason}&undo=1").text
        assert 'value="sure"' not in page
        assert "Take back all" not in page


def test_a_loop_of_which_nothing_was_left_out(wheel: Wheel, http: httpx.Client) -> None:
    wheel.loop("desk")
    assert "Nothing was left out yet." in http.get(PAGE).text


def test_who_may_what(dropped: Wheel) -> None:
    def key(role: Role) -> dict[str, str]:
        return {"authorization": f"Bearer {create(dropped.store.records, role, role)[1]}"}

    admin, reviewer, developer, client = key("admin"), key("reviewer"), key("developer"), key("client")
    with served(dropped) as http:
        assert http.get(PAGE).status_code == 401
        assert http.get(PAGE, headers=client).status_code == 403
        assert http.post(PAGE, data={"reason": "length", "draw": "1"}, headers=reviewer).status_code == 303
        page = http.get(f"{PAGE}?reason=length", headers=reviewer)
        id = fields(page, "answer")[0]
        assert "Take back all" not in page.text
        assert "Take back all" in http.get(f"{PAGE}?reason=length", headers=developer).text
        said = {"reason": "length", "answer": id, "right": "no"}
        assert http.post(PAGE, data=said, headers=client).status_code == 403
        assert http.post(PAGE, data=said, headers=reviewer).status_code == 303
        other = http.post(PAGE, data={**said, "right": "yes"}, headers=developer)
        assert other.status_code == 409
        assert "has found drop" in other.text
        for body in ({"all": "sure"}, {"back": "i1"}, {"wrong": "1"}):
            assert http.post(PAGE, data={"reason": "length", **body}, headers=reviewer).status_code == 403
        path = "/v1/loops/desk/drops/undo"
        assert http.post(path, json={"reason": "length"}, headers=reviewer).status_code == 403
        assert http.post(path, json={"reason": "sealed"}, headers=developer).status_code == 422
        assert http.post(path, json={"reason": "length"}, headers=developer).json() == {"undone": 20}
        assert http.post(path, json={"reason": "length"}, headers=admin).json() == {"undone": 0}
    assert dropped.store.records.count(Drop, "desk", undone=True) == 20


def test_another_sites_page_cannot_press_the_buttons(dropped: Wheel, http: httpx.Client) -> None:
    for guard in ({"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}):
        assert http.post(PAGE, data={"reason": "length", "all": "sure"}, headers=guard).status_code == 403
    assert dropped.store.records.count(Drop, "desk", undone=True) == 0

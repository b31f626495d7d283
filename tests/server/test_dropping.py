"""What was left out, over HTTP."""

import httpx

from everloop.types import Drop, Interaction
from everloop.wheel import Wheel

PATH = "/v1/loops/desk/drops"


def test_examples_an_audit_and_what_it_says(http: httpx.Client, wheel: Wheel) -> None:
    wheel.loop("desk")
    wheel.store.records.put(*(Interaction(id=f"i{n}", loop="desk", at=0, input=f"text {n}") for n in range(9)))
    wheel.store.records.replace(
        *(
            Drop(id=f"i{n}", loop="desk", turn=1, stage="curate", reason="length", matched="9 characters")
            for n in range(9)
        )
    )
    shown = http.get(PATH, params={"reason": "length", "sample": "4"}).json()["drops"]
    assert len(shown) == 4
    assert shown[0]["input"].startswith("text ")
    assert http.get(PATH, params={"reason": "nonsense"}).status_code == 404
    assert http.get(PATH, params={"sample": "many"}).status_code == 422
    drawn = http.post(f"{PATH}/audits", json={"reason": "length", "sample": 5}).json()["drops"]
    assert len({one["audit"] for one in drawn}) == 5
    for one in drawn:
        told = http.post(f"{PATH}/audits/{one['audit']}", json={"right": False, "by": "ann"})
        assert (told.status_code, told.json()["right"]) == (200, False)
    (length,) = http.get(f"{PATH}/audits").json()["reasons"]
    assert (length["n"], length["right"], length["doubted"]) == (5, 0, True)
    assert http.post(f"{PATH}/audits/{drawn[0]['audit']}", json={"right": True, "by": "bob"}).status_code == 409
    assert http.post(f"{PATH}/audits/nothing", json={"right": True}).status_code == 404
    assert http.post(f"{PATH}/audits", json={"reason": "length", "sample": 0}).status_code == 422
    assert http.get("/v1/loops/desk").json()["status"]["doubts"]

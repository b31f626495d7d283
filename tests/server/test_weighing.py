"""Who answers reviews, over HTTP: all of it for those who look after it, and for a reviewer their own row."""

from everloop.keys import create
from everloop.types import Annotation, Review
from everloop.wheel import Wheel

from .conftest import served

PATH = "/v1/loops/desk/annotators"


def test_a_reviewer_sees_their_own_row_alone(wheel: Wheel) -> None:
    loop = wheel.loop("desk")
    loop.log_many({"id": f"q{i}", "input": f"question number {i}"} for i in range(4))
    for i in range(4):
        review = Review(id=f"r{i}", loop="desk", turn=0, interaction=f"q{i}", input="x", why="golden", at=i)
        notes = [Annotation(id=f"r{i}.{who}", loop="desk", review=f"r{i}", interaction=f"q{i}", annotator=who,
                            value=f"{who if i == 3 else i % 2}", at=9) for who in ("ann", "ben")]  # fmt: skip
        wheel.store.records.replace(review, *notes)
    with served(wheel) as http:
        found = http.get(PATH).json()
        assert [one["name"] for one in found["annotators"]] == ["ann", "ben"]
        assert found["alpha"]["n"] == 4
        assert found["annotators"][0]["flags"] == ["too few: 4 of 20 that others labelled too"]
        assert http.get("/v1/loops/none/annotators").status_code == 404
    made = create(wheel.store.records, "ann", "reviewer", loop="desk")
    admin = create(wheel.store.records, "boss", "admin")
    with served(wheel) as http:
        own = http.get(PATH, headers={"authorization": f"Bearer {made.secret}"}).json()
        assert [one["name"] for one in own["annotators"]] == ["ann"]
        assert own["pairs"] == []
        everybody = http.get(PATH, headers={"authorization": f"Bearer {admin.secret}"}).json()
        assert [one["name"] for one in everybody["annotators"]] == ["ann", "ben"]

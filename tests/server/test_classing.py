"""Proposed classes over HTTP: JSON, page and forms."""

import httpx
import pytest

from everloop.keys import create
from everloop.types import Annotation, Audit, Interaction, ProposedClass, Review, Role
from everloop.wheel import Wheel

from .conftest import HOSTILE, served

PATH, PAGE = "/v1/loops/desk/classes", "/loops/desk/classes"


@pytest.fixture
def found(wheel: Wheel) -> Wheel:
    """What a turn would have left: two proposals, one of them with hostile words and inputs."""
    loop = wheel.loop("desk", labels=["card", "refund"])
    loop.log_many({"id": f"{kind}{n}", "input": f"{HOSTILE} {kind} {n}"} for kind in ("oil", "dog") for n in range(12))
    wheel.store.records.replace(*(
        ProposedClass(
            id=f"{kind * 5}", loop="desk", turn=1, name=f"{kind}_{HOSTILE}", words=(HOSTILE, kind), size=12, score=0.4,
            interactions=tuple(f"{kind}{n}" for n in range(12)), nearest="card",
        ) for kind in ("oil", "dog")
    ))  # fmt: skip
    return wheel


def test_listed_shown_accepted_and_refused(found: Wheel, http: httpx.Client) -> None:
    listed = http.get(PATH).json()
    assert [len(one["typical"]) for one in listed["open"]] == [10, 10]
    assert (listed["decided"], listed["waits"]) == ([], "")
    one = http.get(f"{PATH}/oiloiloiloiloil").json()
    assert one["typical"][0] == {"interaction": "oil0", "input": f"{HOSTILE} oil 0", "output": None}
    body = {"name": "oil_change", "labelled": ["oil0", "oil1"], "annotator": "ann"}
    done = http.post(f"{PATH}/oiloiloiloiloil/accept", json=body).json()
    assert (done["added"], done["asked"], done["labelled"], done["proposed"]["by"]) == (True, 10, 2, "open")
    assert found.get("desk").spec.labels == ("card", "refund", "oil_change")
    notes = found.store.records.find(Annotation, "desk")
    assert [(n.interaction, n.value, n.annotator) for n in notes] == [
        ("oil0", "oil_change", "ann"), ("oil1", "oil_change", "ann")]  # fmt: skip
    queue = http.get("/v1/loops/desk/reviews").json()["reviews"]
    assert {(r["why"], r["proposal"]) for r in queue} == {("novel", "oil_change")}
    assert http.post(f"{PATH}/dogdogdogdogdog/refuse").json()["proposed"]["state"] == "refused"
    assert http.post(f"{PATH}/dogdogdogdogdog/accept").status_code == 409
    assert [one["id"] for one in http.get(PATH).json()["decided"]] == ["dogdogdogdogdog", "oiloiloiloiloil"]
    rows = [row for row in found.store.records.find(Audit) if "classes" in row.action]
    assert [row.action.rpartition("/")[2] for row in rows] == ["accept", "refuse"]
    assert all(HOSTILE not in row.target + row.detail and "oil_change" not in row.detail for row in rows)


def test_mistakes(found: Wheel, http: httpx.Client) -> None:
    for path, body, status in (
        ("nothing/accept", {}, 404),
        ("nothing/refuse", {}, 404),
        ("oiloiloiloiloil/accept", {"name": "x" * 501}, 422),
        ("oiloiloiloiloil/accept", {"named": "x"}, 422),
        ("oiloiloiloiloil/accept", {"name": "x", "labelled": ["dog0"]}, 422),
        ("oiloiloiloiloil/accept", {"name": "x", "annotator": "\n"}, 422),
    ):
        assert http.post(f"{PATH}/{path}", json=body).status_code == status, (path, body)
    assert http.get(f"{PATH}/nothing").status_code == 404
    assert http.get("/v1/loops/nowhere/classes").status_code == 404
    assert {one.state for one in found.store.records.find(ProposedClass)} == {"open"}
    assert not found.store.records.count(Review)


def test_the_page_and_its_buttons(found: Wheel, http: httpx.Client) -> None:
    page = http.get(PAGE).text
    assert HOSTILE not in page
    assert "oil_&lt;script&gt;" in page
    assert page.count('type="checkbox" name="row"') == 20
    assert f'href="{PAGE}">2 proposed' in http.get("/loops/desk").text
    form = {"id": "oiloiloiloiloil", "do": "accept", "name": "oil", "row": ["oil0", "oil2"]}
    wrong = http.post(PAGE, data=form | {"name": " "}, headers={"accept": "text/html"})
    assert wrong.status_code == 422
    assert "give the class a name" in wrong.text
    wrong = http.post(PAGE, data=form | {"name": "x" * 501 + HOSTILE}, headers={"accept": "text/html"})
    assert wrong.status_code == 422
    assert HOSTILE not in wrong.text
    done = http.post(PAGE, data=form | {"label_shown": "1"})
    assert (done.status_code, done.headers["location"]) == (303, f"{PAGE}#decided")
    assert [n.interaction for n in found.store.records.find(Annotation, "desk")] == ["oil0", "oil2"]
    assert found.store.records.find(Annotation, "desk")[0].annotator == "me"
    assert http.post(PAGE, data={"id": "dogdogdogdogdog", "do": "refuse", "name": "x"}).status_code == 303
    page = http.get(PAGE).text
    assert ">refused</span>" in page
    assert ">accepted</span>" in page
    assert "Nothing is proposed" in page
    for body in ({}, {"do": "accept"}, {"id": "oiloiloiloiloil"}, {"id": "x", "do": "refuse"}):
        assert http.post(PAGE, data=body).status_code in {404, 422}
    assert http.post(PAGE, content=b"\xff", headers={"content-type": "text/plain"}).status_code == 422
    said = [row for row in found.store.records.find(Audit) if row.action == "POST /loops/{name}/classes"]
    assert [(row.target, row.detail) for row in said] == [
        ("desk, oiloiloiloiloil", "accept"), ("desk, dogdogdogdogdog", "refuse")]  # fmt: skip


def test_unticked_none_is_labelled_and_the_queue_has_all(found: Wheel, http: httpx.Client) -> None:
    assert http.post(PAGE, data={"id": "oiloiloiloiloil", "do": "accept", "name": "oil", "row": ["oil0"]}).is_redirect
    assert not found.store.records.count(Annotation)
    assert {r.proposal for r in found.store.records.find(Review)} == {"oil"}
    assert found.store.records.count(Review) == 12


@pytest.mark.parametrize(
    ("name", "declared", "says"),
    [
        ("bare", {}, "once a model of the loop&#39;s own is live"),
        ("talk", {"task": "chat"}, "A chat loop has no classes"),
    ],
)
def test_what_it_waits_for(wheel: Wheel, http: httpx.Client, name: str, declared: dict, says: str) -> None:
    wheel.loop(name, **declared)
    assert says in http.get(f"/loops/{name}/classes").text
    assert ("classes" in http.get(f"/loops/{name}").text) == (name == "bare")


def test_another_sites_page_cannot_press_the_button(found: Wheel, http: httpx.Client) -> None:
    for guard in ({"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}):
        answer = http.post(PAGE, data={"id": "oiloiloiloiloil", "do": "refuse"}, headers=guard)
        assert answer.status_code == 403
    assert {one.state for one in found.store.records.find(ProposedClass)} == {"open"}


def test_who_may_what(found: Wheel) -> None:
    def key(role: Role) -> dict[str, str]:
        return {"authorization": f"Bearer {create(found.store.records, role, role)[1]}"}

    reviewer, developer, client = key("reviewer"), key("developer"), key("client")
    with served(found) as http:
        assert http.get(PATH).status_code == 401
        assert http.get(PATH, headers=client).status_code == 403
        page = http.get(PAGE, headers=reviewer)
        assert page.status_code == 200
        assert "checkbox" not in page.text
        assert "Accept</button>" not in page.text
        for path in (f"{PATH}/oiloiloiloiloil/accept", f"{PATH}/oiloiloiloiloil/refuse", PAGE):
            assert http.post(path, headers=reviewer, data={"do": "refuse"}).status_code == 403
        said = {"name": "oil", "labelled": ["oil3"]}
        made = http.post(f"{PATH}/oiloiloiloiloil/accept", json=said, headers=developer).json()["proposed"]
        assert made["by"] not in {"", "open"}
        assert [n.annotator for n in found.store.records.find(Annotation)] == [f"key:{made['by']}"]
        assert found.store.records.count(Interaction) == 24

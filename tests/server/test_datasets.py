"""Dataset versions over HTTP: read, named, edited, merged, blamed; and their pages."""

import httpx
import pytest

from everloop.curate.inputs import fingerprint
from everloop.types import Example, Interaction, Ref, Spec
from everloop.wheel import Wheel

EVIL = "<script>alert(1)</script>"
TEXTS = {"where is my card": "card", "i want my money back": "refund", EVIL: "limit"}


@pytest.fixture
def versioned(http: httpx.Client, wheel: Wheel) -> httpx.Client:
    wheel.loop("shop", labels=["card", "refund", "limit"])
    examples = []
    for text, label in TEXTS.items():
        id = fingerprint(text)
        wheel.store.records.put(Interaction(id=f"i-{id}", loop="shop", at=1, input=text, output="card", subject="u1"))
        examples.append(Example(id=id, loop="shop", input=text, target=label, origin="production", split="train",
                                group=id, slices=(f"topic={EVIL}",), evidence=(f"i-{id}",),
                                subjects=("u1",)))  # fmt: skip
    wheel.store.datasets.commit("shop", examples, id="v1-00000000", parent=None, recipe=Spec(name="turn.v1"), at=1,
                                branch=Ref(id="main", loop="shop", kind="branch", version=""))  # fmt: skip
    return http


def test_from_a_branch_to_main(versioned: httpx.Client) -> None:
    at = "/v1/loops/shop"
    assert versioned.put(f"{at}/refs/fix", json={"by": "ada", "why": "try"}).json()["version"] == "v1-00000000"
    assert versioned.put(f"{at}/refs/v1", json={"kind": "tag"}).status_code == 200
    assert versioned.put(f"{at}/refs/fix").status_code == 409
    assert versioned.put(f"{at}/refs/v1", json={"kind": "tag", "move": True}).status_code == 422
    made = versioned.post(f"{at}/edits", json={"branch": "fix", "relabel": {"where is my card": "limit"}, "by": "ada"})
    assert made.status_code == 201
    shown = versioned.get(f"{at}/datasets/fix").json()
    assert (shown["version"]["id"], shown["names"]) == (made.json()["id"], ["fix"])
    assert shown["composition"]["classes"] == {"limit": 2, "refund": 1}
    assert versioned.get(f"{at}/datasets/fix~1").json()["names"] == ["main", "v1"]
    diff = versioned.get(f"{at}/datasets/fix/diff").json()
    assert diff["comparison"]["relabelled"][0]["n"] == 1
    assert "subjects" not in diff["added"][0]
    assert versioned.get(f"{at}/datasets/latest/diff?old=fix&limit=1").json()["comparison"]["changed"] == 1
    dry = versioned.post(f"{at}/merges", json={"theirs": "fix", "dry_run": True}).json()
    assert (dry["kind"], dry["put"], dry["dry_run"]) == ("forward", 1, True)
    assert versioned.post(f"{at}/merges", json={"theirs": "fix"}).json()["kind"] == "forward"
    assert versioned.get(f"{at}/datasets/latest").json()["version"]["id"] == made.json()["id"]
    blame = versioned.get(f"{at}/examples/{fingerprint('where is my card')}").json()
    assert [s["what"] for s in blame["steps"]] == ["entered", "relabelled"]
    assert {r["id"] for r in versioned.get(f"{at}/refs").json()["refs"]} == {"main", "fix", "v1"}
    assert versioned.delete(f"{at}/refs/fix").json()["id"] == "fix"
    log = [row["action"] for row in versioned.get("/v1/audit").json()["audit"]]
    assert {"PUT /v1/loops/{name}/refs/{ref}", "POST /v1/loops/{name}/edits", "POST /v1/loops/{name}/merges",
            "DELETE /v1/loops/{name}/refs/{ref}"} <= set(log)  # fmt: skip


def test_mistakes(versioned: httpx.Client) -> None:
    at = "/v1/loops/shop"
    for label in ("refund", "limit"):
        versioned.put(f"{at}/refs/to-{label}", json={"version": "v1-00000000"})
        versioned.post(f"{at}/edits", json={"branch": f"to-{label}", "relabel": {"where is my card": label}})
    versioned.post(f"{at}/merges", json={"theirs": "to-refund"})
    clash = versioned.post(f"{at}/merges", json={"theirs": "to-limit"})
    assert clash.status_code == 409
    assert "nothing was changed" in clash.json()["error"]["message"]
    listed = versioned.post(f"{at}/merges", json={"theirs": "to-limit", "dry_run": True}).json()
    assert [(c["ours"], c["theirs"]) for c in listed["clashes"]] == [("refund", "limit")]
    assert versioned.post(f"{at}/merges", json={"theirs": "to-limit", "prefer": ["newest"]}).json()["kind"] == "merged"
    for method, path, body, status in (
        ("GET", "datasets/nope", None, 404), ("GET", "datasets/latest/diff?limit=0", None, 422),
        ("GET", "datasets/latest/diff?old=nope", None, 404), ("GET", "examples/nope", None, 404),
        ("PUT", "refs/latest", {}, 422), ("PUT", "refs/main", {"move": True}, 409), ("DELETE", "refs/main", None, 409),
        ("DELETE", "refs/nope", None, 404), ("POST", "edits", {"branch": "main"}, 422),
        ("POST", "edits", {"branch": "main", "drop": ["x"]}, 404), ("POST", "merges", {"theirs": "nope"}, 404),
        ("POST", "merges", {"theirs": "main", "into": "nope"}, 404), ("POST", "merges", {"prefer": ["me"]}, 422),
        ("PUT", "refs/x", {"why": "x" * 501}, 422), ("POST", "edits", {"branch": "main", "by": "\n"}, 422),
    ):  # fmt: skip
        answer = versioned.request(method, f"{at}/{path}", json=body) if body is not None else versioned.request(
            method, f"{at}/{path}")  # fmt: skip
        assert answer.status_code == status, (method, path, answer.text)


def test_pages(versioned: httpx.Client) -> None:
    versioned.put("/v1/loops/shop/refs/fix", json={})
    versioned.post("/v1/loops/shop/edits", json={"branch": "fix", "relabel": {"where is my card": "limit"},
                                                 "why": EVIL})  # fmt: skip
    page = versioned.get("/loops/shop/datasets", headers={"accept": "text/html"}).text
    one = versioned.get("/loops/shop/datasets/fix", headers={"accept": "text/html"}).text
    for text in (page, one):
        assert "fix" in text
        assert "<script>alert" not in text
        assert "&lt;script&gt;" in text
    for words in ("Relabelled", "Since its parent", "topic="):
        assert words in one
    assert versioned.get("/loops/shop/datasets/nope", headers={"accept": "text/html"}).status_code == 404
    assert "/loops/shop/datasets" in versioned.get("/loops/shop", headers={"accept": "text/html"}).text

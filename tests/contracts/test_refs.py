"""What every Datasets backend promises of names, amendments and histories."""

import threading
from typing import Any

import pytest
from msgspec.structs import replace

from everloop.errors import Conflict, InvalidInput, LeaseLost
from everloop.store import Amendment, Store
from everloop.types import DatasetVersion, Drop, Example, Ref, Spec

RECIPE = Spec(name="turn.v1", args={"turn": 1})


def example(id: str, target: str = "a", **more: Any) -> Example:
    return Example(
        **{"id": id, "loop": "support", "input": f"text {id}", "target": target, "origin": "production",
           "split": "train", "group": id, **more}
    )  # fmt: skip


def ref(name: str, version: str = "", kind: Any = "branch", loop: str = "support") -> Ref:
    return Ref(id=name, loop=loop, kind=kind, version=version, by="ann", at=5)


def commit(store: Store, content: Any, id: str, parent: str | None = None, **more: Any) -> DatasetVersion:
    return store.datasets.commit("support", content, **{"id": id, "parent": parent, "recipe": RECIPE, "at": 1, **more})


@pytest.fixture
def two(store: Store) -> Store:
    commit(store, [example("a"), example("b"), example("c")], "v1")
    commit(store, [example("a", "z"), example("b")], "v2", "v1")
    return store


def test_branches_move_from_where_they_were_seen_and_tags_never(two: Store) -> None:
    datasets = two.datasets
    assert (datasets.refs("support"), datasets.ref("support", "main"), datasets.head("support")) == ([], None, None)
    datasets.point(ref("main", "v1"), None)
    datasets.point(ref("first", "v1", "tag"), None)
    assert datasets.ref("support", "main") == ref("main", "v1")
    assert [one.id for one in datasets.refs("support")] == ["main", "first"]
    assert datasets.refs("other") == []
    datasets.point(ref("main", "v2"), "v1")
    head = datasets.head("support")
    assert head is not None
    assert head.id == "v2"
    for name, kind, expected in (
        ("main", "branch", None), ("main", "branch", "v1"), ("first", "tag", None), ("first", "tag", "v1"),
        ("first", "branch", "v1"), ("main", "tag", "v2"), ("absent", "branch", "v1"),
    ):  # fmt: skip
        with pytest.raises(Conflict) as caught:
            datasets.point(ref(name, "v1", kind), expected)
        assert "\n" not in str(caught.value)
    with pytest.raises(InvalidInput):
        datasets.point(ref("x", "absent"), None)
    with pytest.raises(InvalidInput):
        datasets.point(ref("x", "v1", loop="other"), None)
    assert [one.version for one in datasets.refs("support")] == ["v2", "v1"]


def test_a_name_is_forgotten_only_as_it_was_seen(two: Store) -> None:
    two.datasets.point(ref("b", "v1"), None)
    for stale in (ref("b", "v2"), ref("b", "v1", "tag"), ref("c", "v1")):
        with pytest.raises(Conflict):
            two.datasets.unpoint(stale)
    two.datasets.unpoint(ref("b", "v1"))
    assert two.datasets.refs("support") == []
    assert two.datasets.get("v1") is not None


def test_of_many_who_move_a_branch_at_once_one_does(two: Store) -> None:
    two.datasets.point(ref("main", "v1"), None)
    done: list[str] = []

    def move(n: int) -> None:
        try:
            commit(two, Amendment([example(f"n{n}")]), f"w{n}", "v1", branch=ref("main"))
        except Conflict:
            return
        done.append(f"w{n}")

    threads = [threading.Thread(target=move, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    head = two.datasets.head("support")
    assert head is not None
    assert done == [head.id]
    assert {version.id for version in two.datasets.log("support")} == {"v1", "v2", head.id}


def test_a_commit_and_its_branch_are_one_transaction(two: Store) -> None:
    drop = Drop(id="d", loop="support", turn=1, stage="x", reason="y")
    made = commit(two, [example("n")], "v3", branch=ref("main"), alongside=[drop])
    assert two.datasets.ref("support", "main") == ref("main", "v3")
    for parent in (None, "v2"):
        with pytest.raises(Conflict):
            commit(two, [example("m")], "v4", parent, branch=ref("main"), alongside=[replace(drop, reason="z")])
    assert two.datasets.get("v4") is None
    assert two.records.get(Drop, "d") == drop
    lease = two.records.lease("turn", "ann", 60)
    assert lease is not None
    two.records.unlease(lease)
    with pytest.raises(LeaseLost):
        two.datasets.point(ref("main", "v2"), "v3", fence=lease)
    assert commit(two, [example("n")], "v3", branch=ref("main")) == made  # again: what is there


def test_an_amendment_is_a_commit_of_the_whole(two: Store) -> None:
    whole = commit(two, [example("a", "y"), example("c"), example("n")], "w", "v1")
    wanted = Amendment([example("a", "y"), example("n")], ["b", "nowhere"])
    amended = commit(two, wanted, "m", "v1")
    assert replace(amended, id="w") == whole
    assert two.datasets.examples("m") == two.datasets.examples("w")
    merged = commit(two, Amendment(merged="v2"), "n", "v1")
    assert (merged.merged, merged.hash) == ("v2", two.datasets.log("support")[-1].hash)
    for content, parent in (
        (Amendment([example("a")], ["a"]), "v1"), (Amendment(), None), (Amendment(), "absent"),
        (Amendment(merged="absent"), "v1"), (Amendment([example("a", loop="other")]), "v1"),
    ):  # fmt: skip
        with pytest.raises(InvalidInput):
            commit(two, content, "bad", parent)
    assert two.datasets.get("bad") is None


def test_only_some_examples(two: Store) -> None:
    found = two.datasets.examples("v2", only=["c", "a", "nothing"])
    assert found == [example("a", "z")]
    assert two.datasets.examples("v1", "golden", only=["a"]) == []
    assert two.datasets.examples("v1", only=[]) == []


def test_a_history_has_every_change_on_every_line(two: Store) -> None:
    commit(two, Amendment([example("a", evidence=("e",))]), "v3", "v1")
    seen = [(c.version.id, c.example) for c in two.datasets.history("support", "a")]
    assert seen == [("v1", example("a")), ("v2", example("a", "z")), ("v3", example("a", evidence=("e",)))]
    assert [(c.version.id, c.example) for c in two.datasets.history("support", "c")] == [
        ("v1", example("c")), ("v2", None),
    ]  # fmt: skip
    assert two.datasets.history("other", "a") == []
    assert two.datasets.history("support", "nothing") == []


def test_erasure_reaches_histories_and_leaves_names(store: Store) -> None:
    commit(store, [example("a", subjects=("u1",)), example("b")], "v1", branch=ref("main"))
    commit(store, Amendment([], ["a"]), "v2", "v1", branch=ref("main"))
    store.records.erase("u1")
    assert store.datasets.history("support", "a") == []
    head = store.datasets.head("support")
    assert head is not None
    assert head.id == "v2"
    assert commit(store, Amendment([example("n")]), "v3", "v1").size == 2

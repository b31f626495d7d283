"""What every Datasets backend promises."""

from hashlib import sha256
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from everloop.errors import InvalidInput, NotFound
from everloop.ids import new_id
from everloop.store import Store
from everloop.types import DatasetVersion, Diff, Drop, Example, Interaction, Model, Spec

RECIPE = Spec(name="turn.v1", args={"turn": 1})


def example(id: str, target: str = "a", loop: str = "support", **more: Any) -> Example:
    return Example(
        **{"id": id, "loop": loop, "input": f"text {id}", "target": target, "origin": "production", "split": "train",
           "group": id, **more}
    )  # fmt: skip


def commit(store: Store, examples: list[Example], id: str, parent: str | None = None, **more: Any) -> DatasetVersion:
    return store.datasets.commit("support", examples, **{"id": id, "parent": parent, "recipe": RECIPE, "at": 1, **more})


def ids(examples: Any) -> list[str]:
    return [one.id for one in examples]


def test_a_version_is_a_commit(store: Store) -> None:
    a, b, c = example("a"), example("b", split="golden"), example("c", input=[0.5, -1.0])
    first = commit(store, [c, a, b], "version-1", at=7)
    assert (first.added, first.removed, first.size, first.parent, first.at) == (3, 0, 3, None, 7)
    assert first.recipe == RECIPE
    assert store.datasets.get("version-1") == first
    assert store.datasets.examples("version-1") == [a, b, c]
    assert store.datasets.examples("version-1", "golden") == [b]
    relabelled = replace(b, target="z")
    second = commit(store, [a, relabelled, example("d")], "version-2", "version-1")
    assert (second.added, second.removed, second.size, second.parent) == (2, 2, 3, "version-1")
    assert second.hash != first.hash
    diff = store.datasets.diff("version-1", "version-2")
    assert diff.added == (relabelled, example("d"))
    assert diff.removed == (b, c)
    assert store.datasets.diff(None, "version-1").added == (a, b, c)
    assert store.datasets.log("support") == [second, first]
    assert store.datasets.log("other") == []
    assert store.datasets.holding("b") == [first, second]
    assert store.datasets.holding("c") == [first]
    assert store.datasets.holding("nothing") == []
    third = commit(store, [c, b, a], "version-3", "version-2")
    assert third.hash == first.hash
    assert store.datasets.holding("c") == [first, third]


def test_the_hash_is_of_content_and_known(store: Store) -> None:
    plain = commit(store, [example("a")], "v1")
    content = '{"depth":0,"input":"text a","origin":"production","slices":[],"split":"train","target":"a","weight":1.0}'
    assert plain.hash == sha256(sha256(content.encode()).digest()).hexdigest()
    same = [
        {"evidence": ("e1",)}, {"subjects": ("u1",)}, {"group": "other"}, {"weight": 1.0 + 1e-9},
    ]  # fmt: skip
    for n, more in enumerate(same):
        assert commit(store, [example("a", **more)], f"same{n}", at=99, recipe=Spec(name="other")).hash == plain.hash
    different = [
        {"input": "other"}, {"target": "b"}, {"origin": "human"}, {"split": "golden"}, {"weight": 0.5}, {"depth": 1},
        {"slices": ("channel=web",)},
    ]  # fmt: skip
    found = {commit(store, [example("a", **more)], f"different{n}").hash for n, more in enumerate(different)}
    assert len(found | {plain.hash}) == len(different) + 1
    wide = commit(store, [example("a", input=[0.1 + 0.2, -0.0])], "w1").hash
    assert commit(store, [example("a", input=[0.3, 0])], "w2").hash == wide
    nested = commit(store, [example("a", input={"x": {"b": 0.1 + 0.2, "a": 1}})], "n1").hash
    assert commit(store, [example("a", input={"x": {"a": 1, "b": 0.3}})], "n2").hash == nested


def test_a_change_of_evidence_is_kept_though_it_is_no_change_of_content(store: Store) -> None:
    before, after = example("a", subjects=("u1",)), example("a", subjects=("u1", "u2"))
    commit(store, [before], "v1")
    second = commit(store, [after], "v2", "v1")
    assert (second.added, second.removed) == (0, 0)
    assert store.datasets.diff("v1", "v2") == Diff(added=(), removed=())
    assert store.datasets.examples("v1") == [before]
    assert store.datasets.examples("v2") == [after]
    assert store.records.erase("u2").versions == ("v2",)
    assert store.datasets.examples("v1") == [before]
    assert store.datasets.examples("v2") == []


def test_versions_are_found_by_a_unique_prefix(store: Store) -> None:
    first = commit(store, [example("a")], "aaaaaaaa-1")
    second = commit(store, [example("b")], "aaaaaaaa-2")
    again = commit(store, [example("a")], "cccccccc-3")
    assert store.datasets.get(second.hash[:8]) == second
    assert store.datasets.get("cccccccc") == again
    assert store.datasets.get("aaaaaaaa-1") == first
    assert store.datasets.examples("cccccccc") == [example("a")]
    assert store.datasets.get("aaaaaaa") is None  # too short to stand for anything
    assert store.datasets.get("%%%%%%%%") is None
    for ambiguous in ("aaaaaaaa", first.hash[:8]):
        with pytest.raises(InvalidInput, match="more than one"):
            store.datasets.get(ambiguous)
    with pytest.raises(NotFound):
        store.datasets.examples("absent")
    with pytest.raises(NotFound):
        store.datasets.diff("absent", "aaaaaaaa-1")


def test_committing_an_id_again_returns_what_is_there(store: Store) -> None:
    first = commit(store, [example("a")], "v1", alongside=[Drop(id="d", loop="support", turn=1, stage="x", reason="y")])
    store.records.delete(Drop, ["d"])
    dropped = [Drop(id="e", loop="support", turn=1, stage="x", reason="y")]
    assert commit(store, [example("b")], "v1", at=9, alongside=dropped) == first
    assert store.datasets.examples("v1") == [example("a")]
    assert store.records.count(Drop) == 0
    with pytest.raises(InvalidInput):
        store.datasets.commit("other", [], id="v1", parent=None, recipe=RECIPE, at=1)


def test_bad_commits_write_nothing(store: Store) -> None:
    commit(store, [example("a")], "v1")
    store.datasets.commit("other", [], id="o1", parent=None, recipe=RECIPE, at=1)
    noted = [Drop(id="d", loop="support", turn=1, stage="x", reason="y")]
    for examples, parent in (
        ([example("a"), example("a", "b")], "v1"), ([example("a")], "o1"), ([example("a")], "absent"),
        ([example("a", loop="other")], "v1"), ([example("a", weight=float("nan"))], "v1"),
        ([example("a", origin="x")], None),
    ):  # fmt: skip
        with pytest.raises(InvalidInput) as caught:
            commit(store, examples, "v2", parent, alongside=noted)
        assert "\n" not in str(caught.value)
    assert ids(store.datasets.log("support")) == ["v1"]
    assert store.records.count(Drop) == 0


def test_what_goes_alongside_is_in_the_same_transaction(store: Store) -> None:
    lease = store.records.lease("turn", "ann", 60)
    drop = Drop(id="d", loop="support", turn=1, stage="x", reason="y")
    commit(store, [example("a")], "v1", alongside=[drop], fence=lease)
    assert store.records.get(Drop, "d") == drop
    commit(store, [example("a")], "v2", "v1", alongside=[replace(drop, reason="z")], fence=lease)
    assert store.records.find(Drop, reason="z") == [replace(drop, reason="z")]


def test_erasure_reaches_every_version_and_names_the_models(store: Store) -> None:
    mine, ours, theirs = example("a", subjects=("u1",)), example("b", subjects=("u1", "u2")), example("c")
    commit(store, [theirs], "v0")
    commit(store, [mine, theirs], "v1", "v0")
    commit(store, [ours, theirs], "v2", "v1")
    commit(store, [theirs], "v3", "v2")
    commit(store, [mine, ours, theirs], "v4", "v3")
    store.records.put(
        *(Model(id=f"m{n}", loop="support", turn=1, spec=RECIPE, dataset=f"v{n}", blob="00", size=1, classes=("a",),
                seconds=1.0, at=1) for n in (0, 2, 4)),
        Interaction(id="i1", loop="support", at=1, input="x", subject="u1"),
    )  # fmt: skip
    before = {version.id: version for version in store.datasets.log("support")}
    erased = store.records.erase("u1")
    assert erased.versions == ("v1", "v2", "v4")
    assert erased.models == ("m2", "m4")
    assert erased.rows["example"] == 4  # stored rows: `a` and `b` were each added twice
    for id, gone in {"v0": 0, "v1": 1, "v2": 1, "v3": 0, "v4": 2}.items():
        version = store.datasets.get(id)
        assert version == replace(before[id], erased=gone)
        assert store.datasets.examples(id) == [theirs]
    assert store.datasets.holding("a") == []
    assert store.datasets.diff("v0", "v4") == store.datasets.diff("v3", "v4")
    assert store.records.erase("u2").versions == ()  # what they shared went with the first
    after = commit(store, [theirs, example("n")], "v5", "v4")
    assert (after.added, after.removed, after.erased) == (1, 0, 0)


KEYS = st.sampled_from("abcdef")
CONTENT = st.dictionaries(KEYS, st.tuples(st.sampled_from("xy"), st.sampled_from(["train", "golden"]), st.booleans()))
HISTORY = st.lists(st.tuples(CONTENT, st.integers(0, 5)), min_size=1, max_size=6)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=HISTORY, subject=st.sampled_from(["u-x", "u-y"]))
def test_any_history_of_edits_and_branches(store: Store, history: list[Any], subject: str) -> None:
    """Whatever was committed is read back; the laws of hash, diff and holding; and erasure leaves the rest."""
    mark = new_id()
    made: list[tuple[str, dict[str, Example]]] = []
    for n, (content, back) in enumerate(history):
        examples = {
            key: example(key, target, split=split, subjects=(f"u-{target}{mark}",) if named else ())
            for key, (target, split, named) in content.items()
        }
        parent = made[back % len(made)][0] if made and back else None
        version = commit(store, list(examples.values())[::-1], f"{mark}-{n}", parent)
        old = dict(made)[parent] if parent else {}
        assert version.size == len(examples)
        assert len(old) + version.added - version.removed == version.size
        made.append((version.id, examples))

    def seen(e: Example) -> Example:
        return replace(e, subjects=())

    for id, content in made:
        assert store.datasets.examples(id) == [content[key] for key in sorted(content)]
        golden = store.datasets.examples(id, "golden")
        assert golden == [content[key] for key in sorted(content) if content[key].split == "golden"]
        for other, theirs in made:
            diff = store.datasets.diff(id, other)
            assert ids(diff.added) == sorted(ids(diff.added))
            back = store.datasets.diff(other, id)
            assert (diff.added, diff.removed) == (back.removed, back.added)
            patched = {k: seen(e) for k, e in content.items() if k not in ids(diff.removed)}
            patched |= {e.id: seen(e) for e in diff.added}
            assert patched == {k: seen(e) for k, e in theirs.items()}
            same = store.datasets.get(id).hash == store.datasets.get(other).hash  # type: ignore[union-attr]
            assert same == (not diff.added and not diff.removed)
    for key in "abcdef":
        found = [v.id for v in store.datasets.holding(key) if v.id.startswith(mark)]
        assert found == [id for id, content in made if key in content]

    erased = store.records.erase(f"{subject}{mark}")
    for id, content in made:
        left = [content[key] for key in sorted(content) if f"{subject}{mark}" not in content[key].subjects]
        assert store.datasets.examples(id) == left
        assert store.datasets.get(id).erased == len(content) - len(left)  # type: ignore[union-attr]
        assert (id in erased.versions) == (len(left) < len(content))

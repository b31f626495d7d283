"""Names, edits, merges and blame over a real store; and that the next turn keeps what people decided."""

import pytest

from everloop import versions
from everloop.curate.inputs import fingerprint
from everloop.errors import Conflict, InvalidInput, NotFound
from everloop.loop import evidence_lease
from everloop.types import Annotation, DatasetVersion, Drop, Model, Release, Spec
from everloop.versions import Editor
from everloop.wheel import Wheel
from tests.loop.conftest import questions
from tests.versions.conftest import TEXTS

CARD, REFUND, LIMIT, POST, GOLDEN = TEXTS


def targets(editor: Editor, word: str) -> dict[str, str]:
    version = versions.named(editor.datasets, "support", word)
    return {str(e.input): e.target for e in editor.datasets.examples(version.id)}


def begin(editor: Editor, name: str, at: str = "latest") -> None:
    versions.branch(editor.datasets, "support", name, versions.named(editor.datasets, "support", at), by="ada")


def edit(editor: Editor, branch: str, *, drop: tuple[str, ...] = (), **relabel: str) -> DatasetVersion:
    words = {"card": CARD, "refund": REFUND, "limit": LIMIT, "post": POST, "golden": GOLDEN}
    return versions.edit(editor, branch, relabel={words[k]: v for k, v in relabel.items()}, drop=drop, why="because")


def test_what_a_version_is_called(editor: Editor, first: DatasetVersion) -> None:
    begin(editor, "fix")
    second = edit(editor, "fix", card="limit")
    versions.tag(editor.datasets, "support", "golden-1", second, by="ada")
    for word, meant in {
        "latest": first, "main": first, first.id: first, first.hash[:8]: first, "fix": second, "golden-1": second,
        "fix~": first, "fix~1": first, "golden-1~0": second, f"{second.id}~1": first,
    }.items():  # fmt: skip
        assert versions.named(editor.datasets, "support", word) == meant, word
    for bad in ("absent", "fix~2", "fix~x", "", "~", "latest~1"):
        with pytest.raises((NotFound, InvalidInput)):
            versions.named(editor.datasets, "support", bad)
    assert {id: [ref.id for ref in refs] for id, refs in versions.names(editor.datasets, "support").items()} == {
        first.id: ["main"], second.id: ["fix", "golden-1"],
    }  # fmt: skip
    for bad in ("latest", "deadbeef", "a/b", "a~1", "", "-x", "x" * 64, "<b>"):
        with pytest.raises(InvalidInput):
            versions.check_name(bad)
    with pytest.raises(Conflict, match="--move"):
        begin(editor, "fix")
    versions.branch(editor.datasets, "support", "fix", first, by="ada", move=True)
    assert versions.delete(editor.datasets, "support", "tag", "golden-1").version == second.id
    for kind, name, error in (("branch", "main", Conflict), ("tag", "fix", NotFound), ("branch", "x", NotFound)):
        with pytest.raises(error):
            versions.delete(editor.datasets, "support", kind, name)
    with pytest.raises(Conflict, match="not by hand"):
        versions.branch(editor.datasets, "support", "main", first, by="ada", move=True)


def test_an_edit_says_who_and_why_and_touches_its_branch_alone(editor: Editor, first: DatasetVersion) -> None:
    begin(editor, "fix")
    made = versions.edit(editor, "fix", relabel={CARD: "limit", LIMIT: "card"}, drop=[fingerprint(POST)],
                         why="ask ada@example.org")  # fmt: skip
    assert made.recipe == Spec(name="edit.v1", args={"branch": "fix", "by": "ada", "why": "ask [email]",
                                                     "relabelled": 2, "dropped": 1})  # fmt: skip
    assert targets(editor, "fix") == {CARD: "limit", REFUND: "refund", LIMIT: "card", GOLDEN: "card"}
    assert targets(editor, "main") == TEXTS
    (changed,) = editor.datasets.examples(made.id, only=[fingerprint(LIMIT)])
    assert (changed.origin, changed.weight, changed.slices) == ("human", 1.0, ("channel=web",))
    assert editor.store.records.count(Annotation) == editor.store.records.count(Drop) == 0
    for relabel, drop, error in (
        ({CARD: "nonsense"}, (), InvalidInput), ({CARD: "limit"}, (), InvalidInput), ({POST: "limit"}, (), NotFound),
        ({CARD: "card"}, (CARD,), InvalidInput), ({CARD: "card", fingerprint(CARD): "refund"}, (), InvalidInput),
    ):  # fmt: skip
        with pytest.raises(error):
            versions.edit(editor, "fix", relabel=relabel, drop=drop)
    with pytest.raises(NotFound, match="there are: main, fix"):
        versions.edit(editor, "absent", relabel={CARD: "card"}, drop=())
    assert versions.named(editor.datasets, "support", "fix") == made


def test_a_merge_that_only_moves_on_and_one_that_is_there(editor: Editor, first: DatasetVersion) -> None:
    begin(editor, "fix")
    made = edit(editor, "fix", card="limit", drop=(POST,))
    dry = versions.merge(editor, "fix", dry=True)
    assert (dry.kind, dry.version, dry.put, dry.removed) == ("forward", first, 1, 1)
    done = versions.merge(editor, "fix")
    assert (done.kind, done.version, done.base) == ("forward", made, first)
    assert editor.datasets.head("support") == made
    assert versions.merge(editor, "fix").kind == "nothing"
    assert versions.merge(editor, first.id).kind == "nothing"
    (note,) = editor.store.records.find(Annotation)
    assert (note.annotator, note.value, note.interaction) == ("ada", "limit", f"i-{fingerprint(CARD)}")
    (drop,) = editor.store.records.find(Drop)
    assert (drop.id, drop.reason) == (f"i-{fingerprint(POST)}", "edited_out")


def test_two_lines_and_their_clashes(editor: Editor, first: DatasetVersion) -> None:
    begin(editor, "one")
    begin(editor, "two")
    edit(editor, "one", card="limit", refund="card")
    edit(editor, "two", card="refund", limit="refund", drop=(POST,))
    assert versions.merge(editor, "one", "main").kind == "forward"
    before = editor.store.records.count(Annotation)
    open_ = versions.merge(editor, "two")
    assert open_.kind == "clash"
    assert [(c.base, c.ours, c.theirs, c.took) for c in open_.clashes] == [("card", "limit", "refund", None)]
    assert versions.merge(editor, "two", prefer=["human"]).kind == "clash"  # both are people's
    assert editor.store.records.count(Annotation) == before
    assert targets(editor, "main") == {**TEXTS, CARD: "limit", REFUND: "card"}
    done = versions.merge(editor._replace(by="bob"), "two", prefer=["human", "newest"], why="two is later")
    assert done.kind == "merged"
    assert targets(editor, "main") == {CARD: "refund", REFUND: "card", LIMIT: "refund", GOLDEN: "card"}
    two = editor.datasets.head("support", "two")
    assert two is not None
    assert (done.version.merged, done.version.recipe.args["settled"]) == (two.id, {"human": 0, "newest": 1})
    notes = {(n.annotator, n.value) for n in editor.store.records.find(Annotation)}
    assert notes == {("ada", "card"), ("ada", "refund")}  # who edited, not who merged; and of each the last word
    assert versions.merge(editor, "two").kind == "nothing"
    back = versions.merge(editor, "main", "two")
    assert (back.kind, editor.datasets.head("support", "two")) == ("forward", done.version)


def test_the_machines_label_gives_way_to_a_persons(editor: Editor, first: DatasetVersion) -> None:
    begin(editor, "fix")
    edit(editor, "fix", limit="card")
    examples = [e for e in editor.datasets.examples(first.id) if e.input != LIMIT]
    machine = [e for e in editor.datasets.examples(first.id) if e.input == LIMIT]
    relabelled = [type(e)(**{**{n: getattr(e, n) for n in e.__struct_fields__}, "target": "refund"}) for e in machine]
    ref = editor.datasets.ref("support", "main")
    editor.datasets.commit("support", [*examples, *relabelled], id="turn-2", parent=first.id, at=9,
                           recipe=Spec(name="turn.v1", args={"turn": 2}), branch=ref)  # fmt: skip
    assert versions.merge(editor, "fix").kind == "clash"
    assert versions.merge(editor, "fix", prefer=["human"]).kind == "merged"
    assert targets(editor, "main")[LIMIT] == "card"


def test_whoever_is_putting_a_version_together_goes_first(editor: Editor, wheel: Wheel, first: DatasetVersion) -> None:
    lease = wheel.store.records.lease(evidence_lease("support"), "a turn", 60)
    assert lease is not None
    with pytest.raises(Conflict, match="try again soon"):
        versions.edit(editor._replace(wait=0.0), "main", relabel={CARD: "limit"}, drop=())
    wheel.store.records.unlease(lease)
    edit(editor, "main", card="limit")
    assert wheel.store.records.lease(evidence_lease("support"), "a turn", 60) is not None


def test_blame_leads_to_evidence_people_versions_and_models(editor: Editor, first: DatasetVersion) -> None:
    edit(editor, "main", card="limit")
    second = edit(editor, "main", drop=(CARD,))
    put = editor.store.records.put
    put(*(Model(id=f"m{n}", loop="support", turn=n, spec=Spec(name="x"), dataset=v.id, blob="0", size=1, classes=("a",),
                seconds=1.0, at=n) for n, v in enumerate((first, second))),
        Release(id="r1", loop="support", model="m0", stage="live", at=3))  # fmt: skip
    found = versions.blame(editor.store, "support", f"  {CARD.upper()} ")
    assert [(s.what, s.target, s.by) for s in found.steps] == [
        ("entered", "card", "turn 1"), ("relabelled", "limit", "ada"), ("left", None, "ada"),
    ]  # fmt: skip
    assert found.steps[-1].names == ("main",)
    assert [(s.kind, s.who, s.value) for s in found.evidence] == [
        ("interaction", "u1", "refund"), ("label", None, "card"),
    ]  # fmt: skip
    assert len(found.versions) == 2
    assert [(m.model, m.target, m.part, m.releases, m.live) for m in found.models] == [
        ("m0", "card", "train", ("live",), True),
    ]  # fmt: skip
    editor.store.records.erase("u1")
    with pytest.raises(NotFound):
        versions.blame(editor.store, "support", CARD)


@pytest.mark.slow
def test_the_next_turn_keeps_what_people_decided(wheel: Wheel) -> None:
    loop = wheel.loop("desk")
    rows = questions(120)
    loop.log_many([{"input": text, "label": topic} for text, topic in rows])
    loop.turn()
    editor = Editor(wheel.store, loop.spec, wheel.door, "ada", wheel.owner)
    train = wheel.store.datasets.examples(versions.named(editor.datasets, "desk", "latest").id, "train")
    changed, gone = train[0], train[1]
    versions.branch(editor.datasets, "desk", "fix", versions.named(editor.datasets, "desk", "latest"), by="ada")
    other = "refund" if changed.target != "refund" else "card"
    versions.edit(editor, "fix", relabel={changed.id: other}, drop=[gone.id])
    assert loop.turn().dataset == versions.named(editor.datasets, "desk", "main").id  # a branch is nobody's business
    assert versions.named(editor.datasets, "desk", "main").hash == versions.named(editor.datasets, "desk", "main~").hash
    merged = versions.merge(editor, "fix").version
    report = loop.turn()
    made = versions.named(editor.datasets, "desk", "main")
    assert (made.parent, made.hash) == (merged.id, merged.hash)
    assert report.model is not None  # no model had seen the edit yet
    assert loop.turn().model is None
    loop.undo(gone.evidence[0])
    loop.turn()
    held = wheel.store.datasets.examples(
        versions.named(editor.datasets, "desk", "latest").id, only=[changed.id, gone.id]
    )
    assert {e.id: e.target for e in held} == {changed.id: other, gone.id: gone.target}

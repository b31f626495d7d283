"""A person changes a dataset by hand: edits on a branch, and merges of one line into another.

What comes into main is also written down as evidence, in the same transaction: a relabelling as an annotation, an
example taken out as a drop that can be undone. The turn makes its versions from the evidence, so it keeps what people
decided instead of silently making it anew.
"""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from everloop.auditing import along
from everloop.collect import Door
from everloop.collect.incoming import check_label
from everloop.curate.inputs import fingerprint
from everloop.errors import Conflict, InvalidInput, NotFound
from everloop.ids import new_id, now
from everloop.loop import evidence_lease
from everloop.reading import EDITED_OUT
from everloop.store import Amendment, Change, Datasets, Store
from everloop.types import Annotation, DatasetVersion, Diff, Drop, Example, Interaction, Lease, LoopSpec, Ref, Spec
from everloop.versions.merging import Author, Clash, Merged, Prefer, join
from everloop.versions.naming import MAIN, named, reason

EDIT = "edit.v1"  # recipes
MERGE = "merge.v1"
_LEASE_SECONDS = 120.0
_MAX_NAME = 200  # characters of who edits


class Editor(NamedTuple):
    """Who edits which loop."""

    store: Store
    spec: LoopSpec
    door: Door  # takes private data out of reasons and, where labels are free text, out of labels
    by: str  # the person, as in reviews
    owner: str  # of the lease: another for each worker
    wait: float = 120.0  # seconds for a turn that is putting a dataset version together

    @property
    def datasets(self) -> Datasets:
        """Where the versions are."""
        return self.store.datasets


class Joined(NamedTuple):
    """What became of a merge."""

    kind: Literal["nothing", "forward", "merged", "clash"]  # theirs was in it already; the branch only moved; a new
    # version with two parents; clashes are open, and nothing was done
    version: DatasetVersion  # where the branch is now
    base: DatasetVersion | None  # where the lines had parted
    clashes: tuple[Clash, ...]
    put: int = 0  # examples of theirs that were added or changed in ours
    removed: int = 0


def edit(
    editor: Editor, branch: str, *, relabel: Mapping[str, str], drop: Collection[str], why: str = ""
) -> DatasetVersion:  # fmt: skip
    """A new version on `branch`: other labels by example, and examples taken out. Examples are named by their id or by
    their input's text.

    Raises NotFound for an example the branch does not hold, InvalidInput for a label that can't be or an edit that
    changes nothing, Conflict if somebody else moved the branch meanwhile.
    """
    said = _said(editor, why)
    datasets, loop = editor.datasets, editor.spec.name
    with _evidence_held(editor) as lease:
        ref, head = _branch(datasets, loop, branch)
        held = _held(datasets, head, [*relabel, *drop])
        put = [_relabelled(editor, held[word], label) for word, label in relabel.items()]
        put = [e for e in put if e != held[e.id]]
        remove = sorted({held[word].id for word in drop})
        if both := {e.id for e in put} & set(remove):
            raise InvalidInput(f"example {min(both)} is both relabelled and dropped")
        if len({e.id for e in put}) < len(put):
            raise InvalidInput("the same example is relabelled twice")
        if not put and not remove:
            raise InvalidInput("this changes nothing: the examples have these labels already")
        recipe = Spec(name=EDIT, args={"branch": branch, "by": editor.by, "why": said, "relabelled": len(put),
                                       "dropped": len(remove)})  # fmt: skip
        evidence = _evidence(editor, held, put, remove, {}, said) if branch == MAIN else []
        return datasets.commit(
            loop, Amendment(put, remove), id=new_id(), parent=head.id, recipe=recipe, at=now(), fence=lease,
            alongside=[*evidence, *along()], branch=replace(ref, by=editor.by, why=said, at=now()),
        )  # fmt: skip


def merge(
    editor: Editor, theirs: str, into: str = MAIN, prefer: Sequence[Prefer] = (), *, why: str = "", dry: bool = False
) -> Joined:
    """Bring what another line did since the two parted into branch `into`; `prefer` settles clashes (see `join`).

    With a clash open, or with `dry`, nothing is changed.
    """
    said = _said(editor, why)
    datasets, loop = editor.datasets, editor.spec.name
    with _evidence_held(editor) as lease:
        ref, ours = _branch(datasets, loop, into)
        other = named(datasets, loop, theirs)
        base = common(datasets, ours, other)
        if base is not None and base.id == other.id:
            return Joined("nothing", ours, base, ())
        yours = datasets.diff(base.id if base else None, other.id)
        if base is not None and base.id == ours.id:
            merged = join(Diff(added=(), removed=()), yours)
        else:
            mine = datasets.diff(base.id if base else None, ours.id)
            merged = join(mine, yours, prefer, _authors(datasets, base, ours, other))
        counts = (len(merged.put), len(merged.remove))
        if merged.open:
            return Joined("clash", ours, base, merged.clashes, *counts)
        forward = base is not None and base.id == ours.id
        if dry:
            return Joined("forward" if forward else "merged", ours, base, merged.clashes, *counts)
        moved = replace(ref, by=editor.by, why=said, at=now())
        alongside = [*_arriving(editor, into, ours, other, merged, said), *along()]
        if forward:
            datasets.point(replace(moved, version=other.id), ours.id, alongside=alongside, fence=lease)
            return Joined("forward", other, base, (), *counts)
        recipe = Spec(name=MERGE, args={
            "branch": into, "with": theirs, "base": base.id if base else None, "by": editor.by, "why": said,
            "settled": {by: sum(c.by == by for c in merged.clashes) for by in prefer},
        })  # fmt: skip
        made = datasets.commit(
            loop, Amendment(merged.put, merged.remove, other.id), id=new_id(), parent=ours.id, recipe=recipe,
            at=now(), alongside=alongside, fence=lease, branch=moved,
        )  # fmt: skip
        return Joined("merged", made, base, merged.clashes, *counts)


def common(datasets: Datasets, one: DatasetVersion, other: DatasetVersion) -> DatasetVersion | None:
    """The newest version that both come from; None if there is none. Merges count with both their parents."""
    log = datasets.log(one.loop)
    known = {version.id: version for version in log}
    both = _line(known, one) & _line(known, other)
    # The log is newest first, and a parent is older than its children: the first is an ancestor of no other.
    return next((version for version in log if version.id in both), None)


def line(datasets: Datasets, version: DatasetVersion) -> set[str]:
    """Ids of a version and of all it comes from, by both parents of merges."""
    return _line({one.id: one for one in datasets.log(version.loop)}, version)


def _line(known: Mapping[str, DatasetVersion], version: DatasetVersion) -> set[str]:
    found, waiting = set(), [version.id]
    while waiting:
        id = waiting.pop()
        if id in known and id not in found:
            found.add(id)
            waiting += [parent for parent in (known[id].parent, known[id].merged) if parent is not None]
    return found


def _authors(
    datasets: Datasets, base: DatasetVersion | None, ours: DatasetVersion, theirs: DatasetVersion
) -> Callable[[str], tuple[Author, Author]]:  # fmt: skip
    """Who changed an example last on either line since they parted."""
    known = {version.id: version for version in datasets.log(ours.loop)}
    shared = _line(known, base) if base else set()
    lines = [_line(known, head) - shared for head in (ours, theirs)]

    def of(id: str) -> tuple[Author, Author]:
        history = datasets.history(ours.loop, id)
        mine, yours = ([change for change in history if change.version.id in line] for line in lines)
        return _author(mine), _author(yours)

    return of


def _author(changes: Sequence[Change]) -> Author:
    last = changes[-1]
    edited = last.version.recipe.name == EDIT
    return Author(edited or (last.example is not None and last.example.origin == "human"), last.version.at)


def _branch(datasets: Datasets, loop: str, name: str) -> tuple[Ref, DatasetVersion]:
    ref = datasets.ref(loop, name)
    if ref is None or ref.kind != "branch":
        there = ", ".join(r.id for r in datasets.refs(loop) if r.kind == "branch") or "none"
        raise NotFound(f"no branch {name!r} in {loop}; there are: {there}")
    head = datasets.get(ref.version)
    assert head is not None
    return ref, head


def _held(datasets: Datasets, head: DatasetVersion, words: Sequence[str]) -> dict[str, Example]:
    """The examples that are meant, by the word and by the id."""
    ids = {word: [word, fingerprint(word)] for word in words}
    there = {e.id: e for e in datasets.examples(head.id, only=sorted({id for pair in ids.values() for id in pair}))}
    found = dict(there)
    for word, pair in ids.items():
        example = next((there[id] for id in pair if id in there), None)
        if example is None:
            raise NotFound(f"no example {word[:80]!r} in {head.id}: say its id or the whole text of its input")
        found[word] = example
    return found


def _relabelled(editor: Editor, example: Example, label: str) -> Example:
    """As a person's label, it counts in full."""
    check_label(label, editor.spec.labels, editor.spec.name)
    said: dict[str, Any] = {"value": label}
    if not editor.spec.labels:
        editor.door.clean(said, ("value",))
    if said["value"] == example.target:
        return example
    return replace(example, target=said["value"], origin="human", weight=1.0)


def _said(editor: Editor, why: str) -> str:
    if not (0 < len(editor.by) <= _MAX_NAME and editor.by.isprintable()):
        raise InvalidInput(f"who edits: must be 1 to {_MAX_NAME} printable characters")
    said: dict[str, Any] = {"rationale": reason(why)}
    editor.door.clean(said, ("rationale",))
    return str(said["rationale"])


def _arriving(
    editor: Editor, into: str, ours: DatasetVersion, theirs: DatasetVersion, merged: Merged, why: str
) -> list[Struct]:  # fmt: skip
    """The evidence for what a merge brings into main, in the name of those who edited it."""
    if into != MAIN:
        return []
    touched = [*(e.id for e in merged.put), *merged.remove]
    before = {e.id: e for e in editor.datasets.examples(ours.id, only=touched)}
    comes_from = line(editor.datasets, theirs)
    editors = {}
    for id in touched:
        edits = [c.version for c in editor.datasets.history(ours.loop, id)
                 if c.version.id in comes_from and c.version.recipe.name == EDIT]  # fmt: skip
        if edits:
            editors[id] = str(edits[-1].recipe.args["by"])
    return _evidence(editor, before, merged.put, merged.remove, editors, why)


def _evidence(
    editor: Editor, before: Mapping[str, Example], put: Sequence[Example], remove: Sequence[str],
    editors: Mapping[str, str], why: str,
) -> list[Struct]:  # fmt: skip
    """An annotation for every label a person changed and a drop for every example they took out, where an interaction
    is there to hang it on."""
    relabelled = [e for e in put if e.id in before and e.target != before[e.id].target and e.origin == "human"]
    gone = [before[id] for id in remove if id in before]
    firsts = sorted({e.evidence[0] for e in (*relabelled, *gone) if e.evidence})
    there = {it.id for it in editor.store.records.find(Interaction, id=firsts)} if firsts else set()
    at, loop = now(), editor.spec.name
    notes = []
    for e in relabelled:
        if e.evidence and e.evidence[0] in there:
            who = editors.get(e.id, editor.by)
            # One word of each person on each input: a later edit replaces theirs.
            notes.append(Annotation(id=f"edit.{loop}.{e.id}.{who}", loop=loop, review="", interaction=e.evidence[0],
                                    annotator=who, value=e.target, rationale=why or None, at=at))  # fmt: skip
    drops = [
        Drop(id=e.evidence[0], loop=loop, turn=0, stage="edit", reason=EDITED_OUT)
        for e in gone if e.evidence and e.evidence[0] in there
    ]  # fmt: skip
    return [*notes, *drops]


@contextmanager
def _evidence_held(editor: Editor) -> Iterator[Lease]:
    """Meanwhile nobody is erased, whose words this would bring back, and no turn puts a version together."""
    records, loop = editor.store.records, editor.spec.name
    owner = f"{editor.owner} edit {new_id()}"
    until = time.monotonic() + editor.wait
    while (lease := records.lease(evidence_lease(loop), owner, _LEASE_SECONDS)) is None:
        if time.monotonic() > until:
            raise Conflict(f"loop {loop!r} is putting a dataset version together; try again soon")
        time.sleep(0.1)
    try:
        yield lease
    finally:
        records.unlease(lease)


__all__ = ["EDIT", "MERGE", "Editor", "Joined", "common", "edit", "line", "merge"]

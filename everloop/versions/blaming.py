"""From an example back to where it came from: its evidence, the people behind it, and every model that learned it."""

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from everloop import deploy
from everloop.curate.inputs import fingerprint
from everloop.errors import NotFound
from everloop.store import Change, Store
from everloop.store.digests import example_digest
from everloop.types import Annotation, Example, FeedbackFields, Input, Interaction, Model, Release, Split

What = Literal["entered", "relabelled", "changed", "other evidence", "left"]


class Step(Struct, frozen=True, kw_only=True):
    """A version in which an example entered, changed or left."""

    version: str
    at: int
    what: What
    target: str | None  # None: it left
    weight: float | None
    recipe: str  # what made the version: "turn.v1"
    by: str  # who: "turn 3", or the person who edited or merged
    why: str
    names: tuple[str, ...] = ()  # branches and tags that point at the version


class Said(Struct, frozen=True, kw_only=True):
    """One piece of evidence."""

    id: str
    kind: str  # "interaction", the kind of feedback, "annotation"
    at: int
    who: str | None  # the annotator's name, or the pseudonym of the person; None: unknown
    value: str | None  # what was answered or said
    source: str  # the model that answered; "user", "reviewer", "import", "system"; the review
    rationale: str | None = None


class Learned(Struct, frozen=True, kw_only=True):
    """A model made from a version that holds the example."""

    model: str
    turn: int
    dataset: str
    target: str  # the label it had there
    part: Split  # "train": it learned from it; "golden" or "test": it was judged by it
    at: int
    releases: tuple[str, ...]  # stages it has been at, oldest first
    live: bool


class Blame(Struct, frozen=True, kw_only=True):
    """All that is known of where an example came from and where it went."""

    example: str
    loop: str
    input: Input
    target: str  # the newest
    origin: str
    split: Split
    steps: tuple[Step, ...]  # oldest first
    evidence: tuple[Said, ...]  # oldest first
    missing: int  # pieces of evidence that are there no longer
    versions: tuple[str, ...]  # all that hold it, oldest first
    models: tuple[Learned, ...]  # oldest first


def blame(store: Store, loop: str, word: str) -> Blame:
    """Where the example with this id, or with this text as its input, came from; NotFound if no version held it."""
    id, history = next(
        ((id, found) for id in (word, fingerprint(word)) if (found := store.datasets.history(loop, id))), ("", [])
    )
    seen = [change.example for change in history if change.example is not None]
    if not seen:
        raise NotFound(
            f"no dataset version of {loop} holds {word[:80]!r}: say an example's id or its input's whole text"
        )
    ids = list(dict.fromkeys(id for example in seen for id in example.evidence))
    evidence = _evidence(store, ids)
    holding = [version for version in store.datasets.holding(id) if version.loop == loop]
    last = seen[-1]
    return Blame(
        example=id, loop=loop, input=last.input, target=last.target, origin=last.origin, split=last.split,
        steps=_steps(store, loop, history), evidence=tuple(evidence), missing=len(ids) - len(evidence),
        versions=tuple(version.id for version in holding),
        models=_models(store, loop, id, {version.id for version in holding}),
    )  # fmt: skip


def _steps(store: Store, loop: str, history: Sequence[Change]) -> tuple[Step, ...]:
    named: dict[str, list[str]] = {}
    for ref in store.datasets.refs(loop):
        named.setdefault(ref.version, []).append(ref.id)
    steps = []
    id = next(change.example.id for change in history if change.example is not None)
    for version, example in history:
        held = store.datasets.examples(version.parent, only=[id]) if version.parent is not None else []
        before = held[0] if held else None
        args = version.recipe.args
        turn = args.get("turn")
        steps.append(Step(
            version=version.id, at=version.at, what=_what(before, example),
            target=example.target if example else None, weight=example.weight if example else None,
            recipe=version.recipe.name, by=f"turn {turn}" if turn is not None else str(args.get("by", "")),
            why=str(args.get("why", "")), names=tuple(named.get(version.id, ())),
        ))  # fmt: skip
    return tuple(steps)


def _what(before: Example | None, after: Example | None) -> What:
    if after is None:
        return "left"
    if before is None:
        return "entered"
    if before.target != after.target:
        return "relabelled"
    return "changed" if example_digest(before) != example_digest(after) else "other evidence"


def _evidence(store: Store, ids: Sequence[str]) -> list[Said]:
    if not ids:
        return []
    found = [
        Said(id=it.id, kind="interaction", at=it.at, who=it.subject, value=it.output,
             source=it.model or it.variant or "")
        for it in store.records.find(Interaction, id=ids)
    ]  # fmt: skip
    for said in store.records.find(FeedbackFields, id=ids):
        value = getattr(said, "value", None)
        found.append(Said(
            id=said.id, kind=str(said.__struct_config__.tag), at=said.at, who=said.subject, source=said.source,
            value=None if value is None else str(value), rationale=getattr(said, "rationale", None),
        ))  # fmt: skip
    found += [
        Said(id=note.id, kind="annotation", at=note.at, who=note.annotator, value=note.value,
             source=f"review {note.review}" if note.review else "edit", rationale=note.rationale)
        for note in store.records.find(Annotation, id=ids)
    ]  # fmt: skip
    return sorted(found, key=lambda said: (said.at, said.id))


def _models(store: Store, loop: str, example: str, versions: set[str]) -> tuple[Learned, ...]:
    releases = store.records.find(Release, loop)
    current = deploy.live(releases)
    found = []
    for model in store.records.find(Model, loop):
        if model.dataset not in versions:
            continue
        there = store.datasets.examples(model.dataset, only=[example])
        found += [
            Learned(model=model.id, turn=model.turn, dataset=model.dataset, target=e.target, part=e.split, at=model.at,
                    releases=tuple(r.stage for r in releases if r.model == model.id),
                    live=current is not None and current.model == model.id)
            for e in there
        ]  # fmt: skip
    return tuple(found)


__all__ = ["Blame", "Learned", "Said", "Step", "blame"]

"""Where a loop's live model is weak, and the slices somebody watches so that no candidate gets worse there."""

import difflib
from collections.abc import Sequence
from typing import Literal

import msgspec
import numpy as np
from msgspec import Struct

from everloop import curate, deploy, evaluate
from everloop.auditing import along
from everloop.errors import Conflict, InvalidInput, NotFound
from everloop.ids import now
from everloop.loop import newest_version
from everloop.store import Store
from everloop.turn.opinions import answers, predictor, right_out_of_fold, vectors_of
from everloop.types import Example, LoopSpec, Model, Release, SliceVerdict, Verdict, WatchedSlice

Rows = Literal["golden", "all"]

_MOST_WATCHED = 50  # each takes its share of what a verdict's intervals may err together
_LABELLED = 6_000  # rows people labelled that are answered out of fold: bounds time


class Weakness(Struct, frozen=True, kw_only=True):
    """The weak slices of a live model, and in which rows they were looked for."""

    loop: str
    model: str
    dataset: str  # version
    golden: int  # rows the live model answered and never trains on
    out_of_fold: int  # rows people labelled, answered by models of its kind that had not seen them
    found: evaluate.Found
    watched: tuple[str, ...]  # ids of the found ones that are watched already


class Watching(Struct, frozen=True, kw_only=True):
    """A watched slice, and what is known of it."""

    slice: WatchedSlice
    golden: int  # golden rows of the newest dataset version that are in it
    needed: int  # from how many on a verdict says something
    last: SliceVerdict | None  # what the newest verdict that looked at it says
    turn: int | None  # of that verdict


def weakness(store: Store, spec: LoopSpec, rows: Rows = "all") -> Weakness:
    """The weak slices of the live model on the newest labelled data.

    "golden": on golden rows alone, which it has never trained on. "all": also on rows that people labelled, each
    answered by a model of the same trainer that has not seen it, or its near-duplicates; that takes training. Raises
    Conflict while there is no live model or no dataset version.
    """
    model = live_model(store, spec)
    version = newest_version(store, spec.name)
    if model is None or version is None:
        what = "is answered by its variants" if spec.task == "chat" else "has no live model yet"
        raise Conflict(f"loop {spec.name!r} {what}: weak slices are looked for where a model of its own answers")
    golden = store.datasets.examples(version.id, "golden")
    people: list[Example] = []
    if rows == "all":
        people = [e for e in store.datasets.examples(version.id, "train") if e.origin in {"human", "production"}]
        people = people[:_LABELLED]  # ids are hashes: the first are a sample
    wrong = [a != e.target for a, e in zip(answers(predictor(store, model), [e.input for e in golden]), golden,
                                           strict=True)]  # fmt: skip
    if people:
        wrong += _wrong_out_of_fold(model, people)
    seen = [*golden, *people]
    inputs = [e.input for e in seen]
    found = evaluate.find(
        [evaluate.terms_of(e) for e in seen], np.array(wrong, dtype=float), groups=[e.group for e in seen],
        loop=spec.name,
        vectors=vectors_of(inputs) if inputs else None, space=evaluate.space_of(inputs), level=spec.policy.level,
        texts=[curate.text_of(value) or "" for value in inputs], rng=np.random.default_rng(0),
    )  # fmt: skip
    there = {one.id for one in store.records.find(WatchedSlice, spec.name)}
    return Weakness(
        loop=spec.name, model=model.id, dataset=version.id, golden=len(golden), out_of_fold=len(people), found=found,
        watched=tuple(one.id for one in found.slices if one.id in there),
    )  # fmt: skip


def watchings(store: Store, loop: str) -> list[Watching]:
    """Every watched slice of a loop, oldest first."""
    slices = store.records.find(WatchedSlice, loop)
    version = newest_version(store, loop) if slices else None
    golden = store.datasets.examples(version.id, "golden") if version else []
    inputs = [e.input for e in golden]
    inside = evaluate.members(
        slices, [evaluate.terms_of(e) for e in golden], evaluate.space_of(inputs), lambda: vectors_of(inputs)
    )  # fmt: skip
    verdicts = store.records.find(Verdict, loop, newest=True, limit=20) if slices else []
    made = []
    for one, rows in zip(slices, inside, strict=True):
        said = next(((s, v.turn) for v in verdicts for s in v.slices if s.slice == one.name), (None, None))
        made.append(Watching(slice=one, golden=int(rows.sum()), needed=evaluate.WATCHED, last=said[0], turn=said[1]))
    return made


def watch_terms(
    store: Store, loop: str, terms: Sequence[str], *, name: str = "", by: str = "", note: str = ""
) -> WatchedSlice:  # fmt: skip
    """Watch the rows that have all of `terms`; the one there is, under its new name if one is given.

    Raises InvalidInput for what are no terms or no name, Conflict for a name another slice has.
    """
    wanted = evaluate.checked(terms)
    return _watch(store, WatchedSlice(
        id=evaluate.id_of(loop, wanted), loop=loop, name=evaluate.named(name, wanted), terms=wanted, by=by,
        note=_line(note), at=now(),
    ))  # fmt: skip


def watch_found(
    store: Store, loop: str, found: evaluate.WeakSlice, *, name: str = "", by: str = "", note: str = ""
) -> WatchedSlice:  # fmt: skip
    """Watch a weak slice that was found, a conjunction or a cluster."""
    if found.terms:
        return watch_terms(store, loop, found.terms, name=name, by=by, note=note)
    return _watch(store, WatchedSlice(
        id=found.id, loop=loop, name=evaluate.named(name or found.name, ()), centroid=found.centroid,
        radius=found.radius, space=found.space, by=by, note=_line(note), at=now(),
    ))  # fmt: skip


def unwatch(store: Store, loop: str, which: str) -> WatchedSlice:
    """Watch it no longer; `which` is its id, its name or its terms. NotFound lists those there are."""
    there = store.records.find(WatchedSlice, loop)
    said = " ".join(which.split())
    for one in there:
        if said in {one.id, one.name} or (one.terms and "=" in said and evaluate.parse(which) == one.terms):
            store.records.delete(WatchedSlice, [one.id])
            return one
    names = ", ".join(one.name for one in there) or "none"
    raise NotFound(f"no watched slice {said[:80]!r} in loop {loop!r}; there are: {names}")


def unknown_terms(store: Store, loop: str, terms: Sequence[str]) -> list[str]:
    """A remark for each term that no row of the newest dataset version has: a slip of the pen is watched for ever."""
    version = newest_version(store, loop)
    known = {term for e in store.datasets.examples(version.id) for term in evaluate.terms_of(e)} if version else set()
    said = []
    for term in terms:
        if known and term not in known:
            near = difflib.get_close_matches(term, sorted(known), n=1)
            said.append(f"no row has {term} so far{f'; did you mean {near[0]}?' if near else ''}")
    return said


def live_model(store: Store, spec: LoopSpec) -> Model | None:
    """The model that answers now."""
    release = deploy.live(store.records.find(Release, spec.name))
    return store.records.get(Model, release.model) if release and release.model else None


def _watch(store: Store, one: WatchedSlice) -> WatchedSlice:
    there = store.records.find(WatchedSlice, one.loop)
    old = next((other for other in there if other.id == one.id), None)
    if any(other.name == one.name for other in there if other.id != one.id):
        raise Conflict(f"another watched slice of loop {one.loop!r} is called {one.name!r}; give it a name of its own")
    if old is None and len(there) >= _MOST_WATCHED:
        raise InvalidInput(
            f"loop {one.loop!r} watches {len(there)} slices: each makes it harder to see a loss in the others; "
            "unwatch one first"
        )
    if old is not None:
        one = msgspec.structs.replace(one, at=old.at, by=old.by, note=one.note or old.note)
    if one != old:
        store.records.replace(one, *along())
    return one


def _wrong_out_of_fold(model: Model, people: Sequence[Example]) -> list[bool]:
    if len({e.target for e in people}) < 2:
        return [False] * len(people)
    return [not right for right in right_out_of_fold(model, people)]


def _line(note: str) -> str:
    return " ".join(note.split())[:500]

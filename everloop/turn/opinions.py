"""What the machine thinks of rows: of those people labelled, whether the label is right; of the others, what it would
be. By models that have not seen the row, and whatever other sources a loop names.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from everloop import curate, deploy, label, train
from everloop.curate import label_errors
from everloop.features import neighbours, text
from everloop.store import Records, Store
from everloop.train import folds
from everloop.turn import promising
from everloop.types import Alternative, Annotation, Evidence, Example, Input, LoopSpec, Model, Release, Review

_POOL = 10_000  # rows nobody labelled that the machine looks at in one turn, newest first: bounds time and memory
_PLENTY = 30_000  # rows people labelled from which on the machine's own labels add nothing worth their time
_ENOUGH = 2_000  # rows that tell a first model's accuracy to within about 2 points
_FOLDS, _MANY = 3, 8_000  # with so many rows two folds tell the same, in half the time
_NEIGHBOURLY = 8_000  # rows up to which their neighbours are asked as well: time grows with the square
_LEARNED = 2_000  # rows people labelled by which sources are weighed against each other
_PLACES = 4  # digits of a probability that decide anything
_LEAST = 1e-4  # what a model holds for impossible may still be so
_KNOWN_BY_NAME = 30  # statements from which on somebody's own reliability is told apart from others of their kind
_RANDOM = ("random", "golden")  # reviews whose rows were drawn without regard to what the machine thinks of them


class Ground(NamedTuple):
    """What opinions on labels stand on: rows that have one, those that models learned from first."""

    rows: tuple[Evidence, ...]
    targets: tuple[str, ...]  # their labels
    learned: int  # so many of them
    classes: tuple[str, ...]
    probabilities: NDArray[np.float64]  # (rows, classes), by models that have not seen the row
    wrong: NDArray[np.float64]  # (learned,) how probably the label is wrong


class Judged(NamedTuple):
    """What the machine thinks of a turn's rows."""

    opinions: dict[str, label.Opinion]  # by evidence id
    suspects: list[tuple[float, Evidence]]  # rows whose label is probably wrong, with how probably; the worst first
    certified: label.Certified | None  # from which confidence on its labels count; None: there was nothing to certify
    cost: float = 0.0  # of asking sources, in the loop's currency
    notes: tuple[str, ...] = ()  # what sources could not do
    wanted: tuple[label.Wish, ...] = ()  # what paid sources should be asked; what they have said is in the rest
    ground: Ground | None = None
    promise: promising.Promise | None = None  # what `certified` is made of


class Audits(NamedTuple):
    """What people found in the machine's labels that were drawn at random for them."""

    state: label.Audited | None  # since the last alarm; None: none was looked at
    alarms: int  # times the promise was broken so far
    since: int  # when the last alarm was, ms since 1970: what was labelled before counts no more


NOTHING = Judged({}, [], None)


def predictor(store: Store, model: Model) -> train.Predictor:
    """A model, loaded from its bytes; loading executes nothing."""
    return train.trainer(model.spec).load(store.blobs.get(model.blob))


def answers(model: train.Predictor, inputs: Sequence[Input]) -> list[str]:
    """The model's answer to each input."""
    return [model.classes[i] for i in model.probabilities(inputs).argmax(axis=1)] if inputs else []


def vectors_of(inputs: Sequence[Input]) -> NDArray[np.float32]:
    """Inputs as vectors (n, columns): lists of numbers as they are, all others by their text."""
    if inputs and isinstance(inputs[0], list):
        return np.array(inputs, np.float32)
    return text.vectors([curate.text_of(value) or "" for value in inputs])


def with_proposals(store: Store, loop: str, pool: Sequence[Evidence]) -> list[Evidence]:
    """The newest rows of the pool with the live model's answer: what an older model was unsure of is old news."""
    current = deploy.live(store.records.find(Release, loop))
    model = store.records.get(Model, current.model) if current and current.model else None
    older, newest = list(pool[:-_POOL]), list(pool[-_POOL:])
    if model is None or not newest:
        return list(pool)
    loaded = predictor(store, model)
    matrix = np.round(loaded.probabilities([row.input for row in newest]), _PLACES)
    for i, row in enumerate(matrix):
        best = np.argsort(-row, kind="stable")[:2]
        told = [Alternative(loaded.classes[j], float(row[j])) for j in best]
        newest[i] = msgspec.structs.replace(
            newest[i], output=told[0].value, confidence=told[0].confidence, alternatives=tuple(told[1:])
        )
    return older + newest


def audits(store: Store, spec: LoopSpec) -> Audits:
    """The audit of the machine's labels so far, in the order in which people answered.

    An alarm ends what came before it: the machine labels nothing by itself until rows answered after it certify that
    again, and a new audit begins.
    """
    asked = {r.id: r for r in store.records.find(Review, spec.name, state="done") if r.why == "audit"}
    notes = store.records.find(Annotation, spec.name, review=list(asked)) if asked else []
    audit, alarms, since, heard = _audit(spec), 0, 0, False
    for note in sorted(notes, key=lambda note: (note.at, note.id)):
        heard = True
        if audit.update(note.value == asked[note.review].proposal).alarm:
            audit, alarms, since, heard = _audit(spec), alarms + 1, note.at, False
    return Audits(audit.state if heard else None, alarms, since)


def _audit(spec: LoopSpec) -> label.Audit:
    return label.Audit(min(max(spec.policy.auto_error, 1e-6), 0.5), spec.policy.level)


def drawn(store: Store, loop: str, since: int = 0) -> frozenset[str]:
    """Interactions that people labelled without regard to what the machine thought of them: drawn at random, or golden.
    `since`: answered after that (ms since 1970)."""
    asked = {r.id: r for r in store.records.find(Review, loop, state="done") if r.why in _RANDOM}
    notes = store.records.find(Annotation, loop, review=list(asked)) if asked else []
    return frozenset(note.interaction for note in notes if note.at > since)


def judge(
    spec: LoopSpec, evidence: Sequence[Evidence], pool: Sequence[Evidence], drawn: frozenset[str],
    alarmed: bool = False, beliefs: Mapping[str, label.Belief] | None = None, records: Records | None = None,
    since: Mapping[str, int] | None = None,
) -> Judged:  # fmt: skip
    """Opinions out of fold for `evidence`; for `pool` the folds' mean, or what the loop's sources say together.

    Rows of `drawn`, and golden ones that people settled, certify: no model here learns from them, and they are judged
    as the pool is. After an alarm (`alarmed`) only those of `drawn` do. `beliefs`, by evidence id, are whom to believe
    where people disagree: see `label.target_of`. `records` hold what paid sources have said; nobody is asked here.
    `since`: the rows that came since inputs drifted; then only these certify, of `drawn`.
    """
    alarmed = alarmed or since is not None
    trained = [e for e in evidence if e.split == "train" and e.interaction not in drawn]
    known = sorted(trained, key=lambda e: e.id)
    checks = sorted((e for e in evidence if _certifies(e, drawn, alarmed) and label.target_of(e, beliefs)[1]),
                    key=lambda e: e.id)  # fmt: skip
    # The machine's own labels help most where people's are few.
    room = max(0, min(_POOL, _PLENTY - len(known)))
    fresh = sorted((e for e in pool if e.split == "train"), key=lambda e: e.interaction)
    fresh = fresh[len(fresh) - min(room, len(fresh)) :]
    targets = [label.target_of(e, beliefs)[0] for e in known]
    if len(set(targets)) < 2 or spec.task == "chat":  # free text has no classes to be unsure between
        return NOTHING
    trainer = train.choose([e.input for e in known]) if spec.trainer.name == "auto" else spec.trainer
    crossed = train.crossed(train.CrossJob(
        trainer, [e.input for e in known], targets, [1.0] * len(known), [e.group for e in known],
        [e.input for e in (*checks, *fresh)], _FOLDS if len(known) < _MANY else 2,
    ))  # fmt: skip
    place = {name: i for i, name in enumerate(crossed.classes)}
    given = np.array([place[target] for target in targets], np.int64)
    own, others = np.round(crossed.probabilities, _PLACES), np.round(crossed.pool, _PLACES)
    wrong, mistaken = _wrong(known, targets, given, own)
    found = {
        row.id: label.Opinion(crossed.classes[p.argmax()], float(p.max()), float(p[at]), round(float(w), 2))
        for row, p, at, w in zip(known, own, given, wrong, strict=True)
    }
    answer, sure, cost, notes, wanted = _together(
        spec, crossed.classes, known, given, own, [*checks, *fresh], others, len(checks), records
    )
    for i, row in enumerate((*checks, *fresh)):
        if answer[i] >= 0:
            at = place.get(label.target_of(row, beliefs)[0], -1) if i < len(checks) else -1
            said = float(others[i, at]) if at >= 0 else 0.0
            found[row.id] = label.Opinion(crossed.classes[answer[i]], round(float(sure[i]), _PLACES), said)
    truth = np.array([place.get(label.target_of(row, beliefs)[0], -1) for row in checks], np.int64)
    n = len(checks)
    named = [crossed.classes[i] if i >= 0 else "" for i in answer.tolist()]
    promise = promising.promise(spec.policy, checks, fresh, named, sure, answer[:n] == truth, mistaken, since)
    doubtful = [(float(w), row) for w, row in zip(wrong, known, strict=True) if w > 0.5]
    # Where the machine is sure of something else than a single person said of a row that measures it, a second looks.
    # Where both agree and are wrong nobody does: by so much the error may be more than it seems.
    doubtful += [(float(sure[i]), row) for i, row in enumerate(checks)
                 if row.split == "golden" and sure[i] > 0.5 and answer[i] != truth[i] and _single(row)]  # fmt: skip
    given_to = (*targets, *(label.target_of(row, beliefs)[0] for row in checks))
    ground = Ground((*known, *checks), given_to, len(known), crossed.classes, np.concatenate((own, others[:n])), wrong)
    return Judged(found, sorted(doubtful, key=lambda one: (-one[0], one[1].id)), promise.certified, cost, notes, wanted,
                  ground, promise)  # fmt: skip


def _certifies(row: Evidence, drawn: frozenset[str], alarmed: bool) -> bool:
    if not any(s.kind in ("annotation", "label") for s in row.statements) or row.split == "test":
        return False
    return row.interaction in drawn or (row.split == "golden" and not alarmed)


def _single(row: Evidence) -> bool:
    return sum(s.kind == "annotation" for s in row.statements) == 1


def _wrong(
    known: Sequence[Evidence], targets: Sequence[str], given: NDArray[np.int64], own: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """(n,) how probably each label people gave is wrong, by the models, the neighbours, and who said it; and how often
    people are who were asked."""
    if len(known) < max(label_errors.LEAST_ROWS, label_errors.LEAST_EACH * own.shape[1]):
        return np.zeros(len(known)), 0.0  # too few for a model of the noise: each is believed
    models = [np.maximum(own, _LEAST) / np.maximum(own, _LEAST).sum(axis=1, keepdims=True)]
    if len(known) <= _NEIGHBOURLY:
        models.append(np.round(neighbours.vote(vectors_of([e.input for e in known]), given, own.shape[1]), _PLACES))
        models[-1] /= models[-1].sum(axis=1, keepdims=True)
    said_by = _voices(known, targets)
    numbers = {who: i for i, who in enumerate(sorted(set(said_by)))}
    people = np.array([numbers[who] for who in said_by], np.int64)
    found = label_errors.rank(given, models, annotators=people)
    asked = np.array([_spokesman(row, said)[1] == "annotation" for row, said in zip(known, targets, strict=True)])
    mistaken = float(found.rates[people[asked]].mean()) if found.rates is not None and asked.any() else 0.0
    return found.score, round(mistaken, _PLACES)


def _voices(known: Sequence[Evidence], targets: Sequence[str]) -> list[str]:
    """Whose word each row's label is: somebody who has said much, or else the kind of thing that was said."""
    spoken = [_spokesman(row, target) for row, target in zip(known, targets, strict=True)]
    often: dict[str, int] = {}
    for who, _ in spoken:
        often[who] = often.get(who, 0) + 1
    return [who if who and often[who] >= _KNOWN_BY_NAME else f"any {kind}" for who, kind in spoken]


def _spokesman(row: Evidence, target: str) -> tuple[str, str]:
    argued = [s for s in row.statements if s.kind != "refuted" and s.value == target]
    first = next((s for s in argued if s.kind in ("annotation", "label")), argued[0])
    return first.by or "", first.kind


def _together(
    spec: LoopSpec, classes: tuple[str, ...], known: Sequence[Evidence], given: NDArray[np.int64],
    own: NDArray[np.float64], rows: Sequence[Evidence], others: NDArray[np.float64], measures: int,
    records: Records | None,
) -> tuple[NDArray[np.int64], NDArray[np.float64], float, tuple[str, ...], tuple[label.Wish, ...]]:  # fmt: skip
    """Each row's label (-1: nobody has one) and confidence; the loop's own model alone, or with its other sources. The
    first `measures` rows measure the others.

    How sources are weighed is learned on rows people labelled, half by half: what a source says of one half it has
    learned from the other. A paid source learns nothing, so what it was once told serves both halves.
    """
    answer, sure = others.argmax(axis=1), others.max(axis=1) if len(others) else np.zeros(0)
    if not spec.policy.sources or not len(rows):
        return answer, sure, 0.0, (), ()
    some = np.arange(min(len(known), _LEARNED))  # in the order of their hashes: a sample, and the same next time
    # Near-duplicates fall on one side: a source must not have learned the twin of what it is asked about.
    half = folds.assign([known[i].group.encode() for i in some.tolist()], 2, seed=0)
    votes = [np.concatenate((own[some].argmax(axis=1), answer))]
    trust = [np.concatenate((own[some].max(axis=1), sure))]
    cost, notes, wanted = 0.0, [], []
    for source in spec.policy.sources:
        if label.paid(source) is not None:
            if records is None:
                continue
            served = label.serve(records, spec, source, classes, known[: len(some)], rows, sure, measures)
            wanted.append(served.wish)
            said = np.concatenate((served.known.answers, served.rows.answers))
            if (said >= 0).any():
                votes.append(said)
                trust.append(np.concatenate((served.known.confidence, served.rows.confidence)))
            continue
        said, sureness = np.full(len(some), -1, np.int64), np.zeros(len(some))
        for side in (0, 1):
            at, rest = some[half == side], some[half != side]
            one = label.propose_labels(
                source, [known[i].input for i in at.tolist()], _seen(classes, known, given, rest)
            )
            said[half == side], sureness[half == side] = one.answers, one.confidence
            cost += one.cost
        last = label.propose_labels(source, [row.input for row in rows], _seen(classes, known, given, None))
        cost += last.cost
        notes += [f"{source.name}: {last.note}"] if last.note else []
        votes.append(np.concatenate((said, last.answers)))
        trust.append(np.concatenate((sureness, last.confidence)))
    if len(votes) > 1:
        both = label.combine(np.stack(votes, 1), np.stack(trust, 1), len(classes), np.arange(len(some)), given[some])
        answer, sure = both.labels[len(some) :], np.round(both.confidence[len(some) :], _PLACES)
    return answer, sure, cost, tuple(notes), tuple(wanted)


def _seen(
    classes: tuple[str, ...], known: Sequence[Evidence], given: NDArray[np.int64], rows: Iterable[int] | None
) -> label.Seen:
    at = range(len(known)) if rows is None else list(rows)
    return label.Seen(classes, [known[i].input for i in at], given[list(at)], vectors_of)


def out_of_fold(model: Model, examples: Sequence[Example]) -> tuple[NDArray[np.float64], float]:
    """For a first model: which training rows it gets right when it has not seen them, and the best constant's share.

    Only rows a person labelled count, and no more of them than the answer needs: ids are hashes, so the first are a
    sample, and models trained on fewer rows err on the safe side.
    """
    people = [e for e in examples if e.origin != "auto"][:_ENOUGH]
    targets = [e.target for e in people]
    return np.array(right_out_of_fold(model, people), float), max(targets.count(t) for t in set(targets)) / len(targets)


def right_out_of_fold(model: Model, examples: Sequence[Example]) -> list[bool]:
    """Whether models of this one's trainer that have not seen a row, or its near-duplicates, get it right."""
    targets = [e.target for e in examples]
    crossed = train.crossed(train.CrossJob(
        model.spec, [e.input for e in examples], targets, [e.weight for e in examples], [e.group for e in examples],
    ))  # fmt: skip
    said = [crossed.classes[i] for i in np.round(crossed.probabilities, _PLACES).argmax(axis=1)]
    return [a == t for a, t in zip(said, targets, strict=True)]

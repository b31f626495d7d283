"""Which label to believe where people disagree, and how surely; where nothing is known of them, nothing is said."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from everloop.label.people import People, log_odds
from everloop.stats.aggregation import Aggregated, choose, dawid_skene, ebcc, majority, one_coin, stacked
from everloop.stats.judgements import Judgements, checked, normalised, result
from everloop.types import Evidence, Statement

SETTLED_AT = 0.75  # how sure a label must be of which people disagree to count as settled
_RELIABLE = 0.75  # at least so often a user is right who is heard against an annotator
_SEVERAL = 2  # users it takes
_CLASSES = 10  # a wrong answer is one of a few: as if there were so many classes, at most
_LARGEST = 5_000_000  # numbers the largest method may hold at a time; with more it is not tried
_EVEN = 1e-6


class Belief(NamedTuple):
    """What to take one row's label for."""

    target: str
    settled: bool  # people were asked, or brought it, and it is sure enough
    sure: float  # probability that it is right, as far as people differ; 1 where they don't


class Believed(NamedTuple):
    """What was believed of all rows, and by which way of aggregating."""

    beliefs: dict[str, Belief]  # by row; a row that is not there is as ever: see `target_of`
    method: str
    gold: int  # rows whose truth was known to choose by


def believe(rows: Sequence[Evidence], people: People, rng: np.random.Generator | None = None) -> Believed:
    """Beliefs of those `rows` where somebody contradicts somebody, or only a careless one spoke.

    Annotators who disagree are weighed where enough is known of two of them at least: by the way of aggregating that
    brought golden labels speak for, or by how far each can be believed; a ring of them is one voice. Where this leaves
    a draw the last word counts, and it is not settled; nor is it where several good ones contradict the others. Users
    never outweigh an annotator, unless several do of whom it is known that they are reliable. Among users alone what
    was refuted is taken off a label's votes, and each counts for what is known of them. `rng` is for the methods that
    draw; without one it starts from 0.
    """
    weighed = people.known() >= 2
    found: dict[str, Belief] = {}
    notes = {row.id: _annotations(row) for row in rows if any(s.kind == "annotation" for s in row.statements)}
    fought = [row for row in rows if len({s.value for s in notes.get(row.id, ())}) > 1] if weighed else []
    posterior, method, gold = _weighed(rows, notes, fought, people, rng)
    voice = _voices(people)
    for row in rows:
        said = notes.get(row.id, [])
        if row.id in posterior:
            one = _last_of_best(posterior[row.id], said)
            if method == "trust" and _split(one.target, said, people, voice):
                one = one._replace(settled=False, sure=min(one.sure, 0.5))
        elif said and weighed and all(_is_careless(s.by, people) for s in said):
            one = _careless(said, people)
        else:
            one = None
        against = _by_users(row, said, one, people)
        one = against or one
        if one is None and not said:
            one = _among_users(row, people)
        if one is not None:
            found[row.id] = one
    return Believed(found, method, gold)


def _annotations(row: Evidence) -> list[Statement]:
    """Each annotator's last word, oldest first."""
    said: dict[str, Statement] = {}
    for s in row.statements:
        if s.kind == "annotation":
            said.pop(s.by or "", None)
            said[s.by or ""] = s
    return list(said.values())


def _rate(who: str | None, people: People) -> float:
    known = people.annotators.get(who or "")
    return people.usual if known is None or known.agreed is None else known.agreed.estimate


def _is_careless(who: str | None, people: People) -> bool:
    known = people.annotators.get(who or "")
    return known is not None and known.careless


def _weighed(
    rows: Sequence[Evidence], notes: Mapping[str, list[Statement]], fought: Sequence[Evidence], people: People,
    rng: np.random.Generator | None,
) -> tuple[dict[str, dict[str, float]], str, int]:  # fmt: skip
    """Each label's probability for the rows that are fought over; by what; and how many rows were known."""
    if not fought:
        return {}, "", 0
    brought = {row.id: {s.value for s in row.statements if s.kind == "label"} for row in rows if row.split == "golden"}
    known = {id: next(iter(labels)) for id, labels in brought.items() if len(labels) == 1 and id in notes}
    used = [id for id, said in notes.items() if len(said) > 1 or id in known]
    values = sorted({s.value for id in used for s in notes[id]} | {known[id] for id in used if id in known})
    code, place = {v: i for i, v in enumerate(values)}, {id: i for i, id in enumerate(used)}
    voice = _voices(people)
    names = sorted({voice.get(s.by or "", s.by or "") for id in used for s in notes[id]})
    number = {name: i for i, name in enumerate(names)}
    told = np.array([(number[voice.get(s.by or "", s.by or "")], place[id], code[s.value])
                     for id in used for s in notes[id]], np.int64).T  # fmt: skip
    judged = checked(told[0], told[1], told[2], len(values))
    gold = np.array([code[known[id]] if id in known else -1 for id in used], np.int64)
    rates = np.array([_rate(name, people) for name in names])
    results = {"majority": majority(*judged[:3], len(values)), "trust": _by_trust(judged, rates)}
    tried = choose(results, gold)
    if tried.tried:
        results |= _models(judged, np.random.default_rng(0) if rng is None else rng)
        name, each = "stacked", stacked(results, gold).probabilities
    else:  # too little gold: the majority of people who count for what is known of them
        name, each = "trust", results["trust"].probabilities
    found = {}
    for row in fought:
        said = {s.value: float(each[place[row.id], code[s.value]]) for s in notes[row.id]}
        all_of_it = max(sum(said.values()), 1e-12)  # one of what was said is right, as far as anybody knows
        found[row.id] = {value: share / all_of_it for value, share in said.items()}
    return found, name, tried.gold


def _voices(people: People) -> dict[str, str]:
    return {one.name: min((one.name, *one.ring)) for one in people.annotators.values() if one.ring}


def _by_trust(judged: Judgements, rates: NDArray[np.float64]) -> Aggregated:
    """Each voice counts for the logarithm of its odds of being right."""
    k = judged.n_classes
    odds = np.array([log_odds(rate) for rate in rates]) + np.log(max(min(k, _CLASSES) - 1, 1))
    cell = judged.items * k + judged.labels
    scores = np.bincount(cell, judged.weights * odds[judged.workers], judged.n_items * k).astype(np.float64)
    return result(judged, normalised(scores.reshape(judged.n_items, k))[0])


def _models(judged: Judgements, rng: np.random.Generator) -> dict[str, Aggregated]:
    k, said = judged.n_classes, judged[:3]
    found = {"one_coin": one_coin(*said, k)}
    if judged.n_workers * k * k <= _LARGEST:
        found["dawid_skene"] = dawid_skene(*said, k)
    if 10 * k * max(judged.n_items, judged.n_workers * k) <= _LARGEST:
        found["ebcc"] = ebcc(*said, k, rng, restarts=3)
    return found


def _last_of_best(probabilities: Mapping[str, float], said: Sequence[Statement]) -> Belief:
    best = max(probabilities.values())
    target = [s.value for s in said if probabilities[s.value] >= best - _EVEN][-1]
    return Belief(target, best >= SETTLED_AT, best)


def _split(target: str, said: Sequence[Statement], people: People, voice: Mapping[str, str]) -> bool:
    """Whether several contradict it who are not careless, and not twice as many agree: who is right at random does not
    meet so often. Some of them copy each other, or the row has two answers."""
    sides: dict[str, set[str]] = {}
    for s in said:
        if not _is_careless(s.by, people):
            sides.setdefault(s.value, set()).add(voice.get(s.by or "", s.by or ""))
    against = max((len(names) for value, names in sides.items() if value != target), default=0)
    return against > 1 and len(sides.get(target, ())) < 2 * against


def _careless(said: Sequence[Statement], people: People) -> Belief:
    """Only careless people spoke, and they agree, or the row would be fought over."""
    sure = max(_rate(s.by, people) for s in said)
    return Belief(said[-1].value, sure >= SETTLED_AT, sure)


def _by_users(row: Evidence, said: Sequence[Statement], so_far: Belief | None, people: People) -> Belief | None:
    """What several reliable users leave of a label that people were asked about or brought; None: they say nothing."""
    asked = said or [s for s in row.statements if s.kind == "label"]
    heard = [(s, person) for s in row.statements if s.kind not in ("annotation", "label")
             and (person := people.users.get(s.by or "")) is not None
             and person.agreed is not None and person.agreed.low >= _RELIABLE]  # fmt: skip
    if not asked or len(heard) < _SEVERAL:
        return None
    target = so_far.target if so_far is not None else asked[-1].value
    others = {s.value for s in asked} - {target}
    against = [(s, p) for s, p in heard if (s.value == target) == (s.kind == "refuted")]
    if len({s.by for s, _ in against}) < _SEVERAL or (others and so_far is None):
        return None
    mine = so_far.sure if so_far is not None else _rate(asked[-1].by, people)
    odds = log_odds(mine)
    for s, person in heard:
        assert person.agreed is not None
        odds += log_odds(person.agreed.estimate) * (-1 if (s, person) in against else 1)
    sure = float(1 / (1 + np.exp(-odds)))
    argued = [s.value for s, _ in against if s.kind != "refuted"]
    if sure < 0.5 and argued:
        return Belief(max(sorted(set(argued)), key=argued.count), False, 1 - sure)
    return Belief(target, sure >= SETTLED_AT, sure)


def _among_users(row: Evidence, people: People) -> Belief | None:
    """Nobody was asked: the users' votes, less what they refuted; None where this changes nothing."""
    if any(s.kind == "label" for s in row.statements):
        return None
    argued = {s.value for s in row.statements if s.kind != "refuted"}
    refuted = any(s.kind == "refuted" and s.value in argued for s in row.statements)
    if len(argued) < 2 or not (refuted or any(_word(s, people) != 1 for s in row.statements)):
        return None
    votes = dict.fromkeys(argued, 0.0)
    for s in row.statements:
        if s.value in votes:
            votes[s.value] += -_word(s, people) if s.kind == "refuted" else _word(s, people)
    return Belief(min(votes, key=lambda v: (-round(votes[v], 6), v)), False, 1.0)


def _word(said: Statement, people: People) -> float:
    known = people.users.get(said.by or "")
    return 1.0 if known is None else known.weight

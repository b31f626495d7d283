"""Who proposes a label: the loop's own model, labelled neighbours, a bigger model, rules, functions somebody wrote.

A source answers or abstains, and says how sure it is in its own coin; what that is worth is found out on rows people
labelled, afterwards (`guarantee`). Sources are plug-ins of kind "source"; a loop names its own in `Policy.sources`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from everloop import registry
from everloop.client import predicates
from everloop.errors import InvalidInput
from everloop.label.neighbours import neighbours
from everloop.types import Input, Spec

ABSTAINS = -1
_NEIGHBOURS = 10
_MOST_RULES = 200


class Said(NamedTuple):
    """What one source says of n rows."""

    answers: NDArray[np.int64]  # (n,) places in `classes`; -1 where it abstains
    confidence: NDArray[np.float64]  # (n,) between 0 and 1, 0 where it abstains; in the source's own coin
    cost: float = 0.0  # of all of it, in the loop's currency
    note: str = ""  # what a person should know: how many could not be asked, and why


class Seen(NamedTuple):
    """What a source may learn from: rows people labelled, none of them among those it is asked about."""

    classes: tuple[str, ...]
    inputs: Sequence[Input]
    targets: NDArray[np.int64]  # (m,) places in `classes`
    vectors: Callable[[Sequence[Input]], NDArray[np.float32]]  # inputs as an (n, d) matrix


class Source(Protocol):
    """Proposes labels for rows. Deterministic where it can be; a row's answer depends on no other row."""

    def __call__(self, inputs: Sequence[Input], seen: Seen, args: Mapping[str, Any]) -> Said:
        """InvalidInput with one line where `args` can't be."""
        ...


def propose(spec: Spec, inputs: Sequence[Input], seen: Seen) -> Said:
    """What the source `spec` names says of `inputs`; its answer is checked, as strangers write sources too.

    Raises InvalidInput for a source nobody registered, or one whose answer has another shape.
    """
    source: Source = registry.find("source", spec.name)
    said = source(inputs, seen, spec.args)
    answers, confidence = np.asarray(said.answers), np.asarray(said.confidence, np.float64)
    if answers.shape != (len(inputs),) or confidence.shape != (len(inputs),):
        raise InvalidInput(f"source {spec.name!r} answered {answers.shape} for {len(inputs)} rows")
    if len(answers) and not (answers.dtype.kind == "i" and answers.min() >= -1 and answers.max() < len(seen.classes)):
        raise InvalidInput(f"source {spec.name!r} named a class that is not there")
    if not (np.isfinite(confidence).all() and (confidence >= 0).all() and (confidence <= 1).all()):
        raise InvalidInput(f"source {spec.name!r} has a confidence that is not between 0 and 1")
    return said._replace(answers=answers.astype(np.int64), confidence=np.where(answers == ABSTAINS, 0.0, confidence))


def _neighbours(inputs: Sequence[Input], seen: Seen, args: Mapping[str, Any]) -> Said:
    """The labelled rows nearest by vector, weighted by how near. args: k (10)."""
    k = args.get("k", _NEIGHBOURS)
    if not isinstance(k, int) or k < 1:
        raise InvalidInput(f"source 'neighbours.v1': k must be 1 or more, got {k!r}")
    if not len(inputs) or not len(seen.inputs):
        return Said(np.full(len(inputs), ABSTAINS, np.int64), np.zeros(len(inputs)))
    found = neighbours(seen.vectors(inputs), seen.vectors(seen.inputs), seen.targets, len(seen.classes), k)
    return Said(found.labels, found.confidence)


def _rules(inputs: Sequence[Input], seen: Seen, args: Mapping[str, Any]) -> Said:
    """Predicates somebody declared, the first that holds. args: rules = [{"when": predicate, "label": "card"}, …].

    A predicate is what a campaign's is (`everloop.client.predicates`), over the field `input`: data, never code.
    """
    given = args.get("rules", ())
    if not isinstance(given, list | tuple) or len(given) > _MOST_RULES:
        raise InvalidInput(f"source 'rules.v1': rules must be a list of at most {_MOST_RULES}")
    place = {name: i for i, name in enumerate(seen.classes)}
    rules: list[tuple[predicates.Test, int]] = []
    for number, rule in enumerate(given, start=1):
        if not isinstance(rule, dict) or set(rule) != {"when", "label"}:
            raise InvalidInput(f'source \'rules.v1\', rule {number}: an object with "when" and "label" is needed')
        if rule["label"] in place:  # a class nobody has labelled yet can't be checked, and so is not proposed
            rules.append((predicates.parse(rule["when"]).test, place[rule["label"]]))
    answers = np.array([_first(rules, value) for value in inputs], np.int64).reshape(len(inputs))
    return Said(answers, (answers != ABSTAINS).astype(np.float64))


def _first(rules: Sequence[tuple[predicates.Test, int]], value: Input) -> int:
    moment = {"input": value}
    return next((label for test, label in rules if test(moment)), ABSTAINS)


def _function(inputs: Sequence[Input], seen: Seen, args: Mapping[str, Any]) -> Said:
    """A function somebody installed (kind "labelling_function"): an input to a label, or None. args: name.

    What it raises for one input is an abstention there, and is counted.
    """
    name = args.get("name")
    if not isinstance(name, str):
        raise InvalidInput("source 'function.v1': args need the function's \"name\"")
    function: Callable[[Input], str | None] = registry.find("labelling_function", name)
    place = {label: i for i, label in enumerate(seen.classes)}
    answers, failed = np.full(len(inputs), ABSTAINS, np.int64), 0
    for i, value in enumerate(inputs):
        try:
            label = function(value)
        except Exception:  # somebody else's code: one odd input must not stop the turn
            failed += 1
            continue
        answers[i] = ABSTAINS if label is None else place.get(label, ABSTAINS)
    note = f"{name} failed on {failed:,} of {len(inputs):,} rows" if failed else ""
    return Said(answers, (answers != ABSTAINS).astype(np.float64), note=note)


registry.register("source", "neighbours.v1", _neighbours)
registry.register("source", "rules.v1", _rules)
registry.register("source", "function.v1", _function)

__all__ = ["ABSTAINS", "Said", "Seen", "Source", "propose"]

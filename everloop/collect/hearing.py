"""Feedback as it comes in, held against what it speaks of: the loop's labels and declared signals, and the answer."""

from collections.abc import Mapping
from typing import Any

from everloop.collect.consent import narrowed
from everloop.collect.diffs import AT_ONCE, compared
from everloop.collect.door import Door
from everloop.collect.incoming import MAX_LABEL, build_feedback
from everloop.collect.signals import check_signal
from everloop.errors import InvalidInput
from everloop.store import Records
from everloop.types import Correction, Feedback, Interaction, LoopSpec

_KINDS = frozenset(str(kind.__struct_config__.tag) for kind in Feedback.__args__)
_LABELLING = frozenset({"correction", "label", "demonstration", "intervention"})
_SIGNALS = frozenset({"implicit", "outcome"})


def hear(given: Mapping[str, Any], door: Door, records: Records, specs: Mapping[str, LoopSpec]) -> Feedback:
    """The feedback that a client sent, checked against the loop of the interaction it names, if that is known yet.

    `specs`: every loop by name. Raises InvalidInput as `build_feedback` does. A correction gets its diff here if both
    texts are short; a longer one, or one whose interaction comes later, gets it from the worker.
    """
    about, spec = None, None
    if _matters(given.get("kind"), specs) and isinstance(given.get("interaction"), str):
        about = records.get(Interaction, given["interaction"])
        # Of a trace, which interaction it will be is for the store to say; its loop is known before.
        found = [about] if about else records.find(Interaction, trace=given["interaction"], newest=True, limit=1)
        spec = specs.get(found[0].loop) if found else None
    return heard(given, door, spec, about, chat=any(one.task == "chat" for one in specs.values()))


def heard(given: Mapping[str, Any], door: Door, spec: LoopSpec | None, about: Interaction | None,
          chat: bool = False) -> Feedback:  # fmt: skip
    """The feedback in `given`, on a loop that is known (`spec`) or not, about an interaction that is there or not.

    `chat`: whether a loop that is not known may be one of texts, whose corrections are as long as its answers.
    """
    long = (spec.task == "chat") if spec is not None else chat
    labels = {spec.name: spec.labels} if spec is not None and spec.labels else None
    made = build_feedback(given, door, labels, spec.name if spec is not None else None,
                          longest=door.max_input_bytes if long else MAX_LABEL)  # fmt: skip
    if spec is not None:
        check_signal(made, spec)
    if door.preferences is not None and (allows := door.preferences.of(made.subject)):
        made = narrowed(made, [one for one, yes in allows.items() if not yes])
    answer = about.output if about is not None and isinstance(made, Correction) else None
    if answer is not None and max(len(str(made.value)), len(answer)) <= AT_ONCE:
        assert isinstance(made, Correction)
        return compared(made, answer)
    return made


def said(given: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Which kind of feedback keywords are, and its fields with the value in place; InvalidInput unless it is one kind.

    >>> said({"implicit": "skip", "position": 3})
    ('implicit', {'position': 3, 'value': 'skip'})
    """
    kinds = [name for name in given if name in _KINDS]
    if "demonstration" in kinds:
        kinds = ["demonstration"]  # which has a field called outcome
    if len(kinds) != 1:
        raise InvalidInput(f"say one thing at a time: thumb=, correction=, rating=, … (got {sorted(given)})")
    (kind,) = kinds
    return kind, {**{name: value for name, value in given.items() if name != kind}, "value": given[kind]}


def _matters(kind: Any, specs: Mapping[str, LoopSpec]) -> bool:
    """Whether what is declared, or answered, has a say in feedback of this kind."""
    if not isinstance(kind, str):
        return False
    if kind in _SIGNALS:
        return any(spec.signals for spec in specs.values())
    labelling = kind in _LABELLING and any(spec.labels or spec.task == "chat" for spec in specs.values())
    return labelling or kind == "correction"


__all__ = ["hear", "heard", "said"]

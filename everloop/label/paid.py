"""Sources that cost money, or whose machine is somebody else's: asked about each input once.

Such a source learns nothing from rows people labelled, so one answer for each input serves every turn. It says what
decides its answers, what may be spent on them, and whether an input that is sent to it leaves the installation.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from everloop import registry
from everloop.label.sources import Said, Seen
from everloop.types import Input, Spec


class Terms(NamedTuple):
    """What a source's args come to."""

    decides: Any  # JSON: all that decides an answer; prices, keys and limits do not
    own: bool = False  # what is sent stays on machines of whoever runs this
    most: int = 1_000  # new rows asked about in one turn
    max_cost: float | None = None  # of one turn, in the loop's currency; None: no limit
    title: str = ""  # what reports call it beside its name: the model


class Answered(NamedTuple):
    """What a source said of n rows."""

    answers: NDArray[np.int64]  # (n,) places in the classes offered; -1: none of them, or no answer
    confidence: NDArray[np.float64]  # (n,) between 0 and 1, in the source's own coin
    answered: NDArray[np.bool_]  # (n,) it gave an answer, be it none of the classes: nobody need ask again
    costs: NDArray[np.float64]  # (n,) in the loop's currency
    failures: Mapping[str, int]  # why rows that were sent have no answer, and how many
    stopped: str = ""  # why it was not asked about the rest, and should not be about other rows now


class Paid(NamedTuple):
    """A source of this kind, as it is registered (kind "source"). Asked outside a turn, it is a source as any other."""

    ask: Callable[[Sequence[Input], tuple[str, ...], Mapping[str, Any], float | None], Answered]  # inputs, classes,
    # args, and what may still be spent (None: no limit)
    terms: Callable[[Mapping[str, Any]], Terms]  # InvalidInput with one line where the args can't be

    def __call__(self, inputs: Sequence[Input], seen: Seen, args: Mapping[str, Any]) -> Said:
        """Its answers to the first `most` of `inputs`; nothing of it is kept."""
        terms = self.terms(args)
        asked = inputs[: terms.most]
        found = self.ask(asked, seen.classes, args, terms.max_cost)
        rest = len(inputs) - len(asked)
        none = int((found.answered & (found.answers < 0)).sum())
        parts = told({"no label of the list": none} if none else {}) + told(found.failures)
        parts += [f"{rest:,} not asked about (most)"] if rest else []
        parts += [found.stopped] if found.stopped else []
        return Said(
            np.concatenate((found.answers, np.full(rest, -1, np.int64))),
            np.concatenate((found.confidence, np.zeros(rest))), float(found.costs.sum()),
            f"of {len(inputs):,} rows: {', '.join(parts)}" if parts else "",
        )  # fmt: skip


def paid(spec: Spec) -> Paid | None:
    """The source `spec` names, if it is of this kind; InvalidInput for a source nobody registered, or args that can't
    be."""
    found = registry.find("source", spec.name)
    if not isinstance(found, Paid):
        return None
    found.terms(spec.args)
    return found


def told(failures: Mapping[str, int]) -> list[str]:
    """Each kind of failure in words.

    >>> told({"status 500": 1_200})
    ['1,200 status 500']
    """
    return [f"{n:,} {kind}" for kind, n in failures.items()]


def key_of(*parts: Any) -> str:
    """128 bits of SHA-256 over JSON values: equal for equal ones, whatever the order of their keys.

    >>> key_of({"a": 1, "b": 2}) == key_of({"b": 2, "a": 1}), len(key_of())
    (True, 32)
    """
    return hashlib.sha256(msgspec.json.encode(parts, order="sorted")).hexdigest()[:32]


__all__ = ["Answered", "Paid", "Terms", "key_of", "paid", "told"]

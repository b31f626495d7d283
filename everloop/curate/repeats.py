"""Rows of the pool that say the same as a row that is kept, in other words: left out, where that is certified.

The cosine from which two rows say the same is found on the loop's own labelled rows each time (see `semantic`); where
nothing can be certified nothing is left out. Only training rows take part. Golden and test rows are a sample of the
traffic, and without those that resemble others they would be none. Nor is a training row left out for being like a
golden one: people say the same things, the model will be asked what it has learned in other words, and a training set
with holes around each golden row measures less than the model can do. What is a *copy* of a golden row, by its letters,
is kept out of training elsewhere, whatever a loop's rules are.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from everloop.curate import semantic
from everloop.curate.funnel import Funnel
from everloop.curate.inputs import text_of
from everloop.curate.rule import reason
from everloop.curate.rules import order
from everloop.curate.rules_row import MEANING
from everloop.types import Drop, Evidence, LoopSpec

REASON = reason(MEANING)
MAX_DIFFERENT, LEVEL = 0.02, 0.95  # share of the rows left out that may differ from the one kept, and how surely
_LABELLED = 20_000  # rows people labelled by which the threshold is found, the newest: time grows with their square
_MERELY = ("confirmed", "refuted")  # nobody named a label: two rows agree where the model says the same of both


def without_repeats(
    funnel: Funnel, spec: LoopSpec, turn: int, *, vectors: Callable[[Sequence[str]], NDArray[np.float32]],
    label_of: Callable[[Evidence], str], undone: Collection[tuple[str, str]] = (),
) -> Funnel:  # fmt: skip
    """`funnel` without the rows of its pool that say the same as a row somebody labelled, or one before them.

    `vectors` of texts, `label_of` a row with statements; of `undone` (interaction, reason) nothing is left out. Rows
    of which anything was said stay. What the threshold rests on is in the result's `meaning`. A loop whose rules do
    not name this one gets its funnel as it is.
    """
    if MEANING not in order(spec.policy, spec.task):
        return funnel
    known = [row for row in funnel.evidence if row.split == "train"]
    asked = [row for row in funnel.pool if row.split == "train" and not row.statements]
    matrix = _vectors([*known, *asked], vectors)
    named = [n for n, row in enumerate(known) if any(s.kind not in _MERELY for s in row.statements)][-_LABELLED:]
    numbers: dict[str, int] = {}  # in a chat a label is a whole answer: no array of texts
    labels = [numbers.setdefault(label_of(known[n]), len(numbers)) for n in named]
    found = semantic.calibrate(matrix[named], np.array(labels, np.int64), MAX_DIFFERENT, LEVEL)
    funnel = funnel._replace(meaning=found)
    if found.threshold is None or not asked:
        return funnel
    staying = np.array([(row.interaction, REASON) in undone for row in asked])
    like = semantic.repeats(matrix[: len(known)], matrix[len(known) :], found.threshold, staying)
    everybody = [*known, *asked]
    drops = [
        Drop(id=row.interaction, loop=spec.name, turn=turn, stage="curate", reason=REASON,
             score=round(float(like.cosine[n]), 4), matched=everybody[of].interaction)
        for n, (row, of) in enumerate(zip(asked, like.of.tolist(), strict=True)) if of != len(known) + n
    ]  # fmt: skip
    gone = {drop.id for drop in drops}
    return funnel._replace(
        pool=[row for row in funnel.pool if row.interaction not in gone], drops=[*funnel.drops, *drops],
        waterfall=_counted(funnel.waterfall, len(drops)),
    )  # fmt: skip


def alike(funnel: Funnel) -> dict[str, Any]:
    """What a turn's step writes down of the threshold, under "meaning"; nothing where the loop has no such rule."""
    found = funnel.meaning
    if found is None:
        return {}
    share = found.different
    return {"meaning": {
        "threshold": found.threshold, "labelled": found.n, "needed": found.more, "n": share.n if share else 0,
        "differ": share.estimate if share else None, "high": share.high if share else None,
    }}  # fmt: skip


def _counted(waterfall: tuple[tuple[str, int], ...], n: int) -> tuple[tuple[str, int], ...]:
    """They were counted among those that nobody said anything of, where a loop has that rule."""
    more = {REASON: n, "no_signal": -n}
    found = {why: max(0, count + more.get(why, 0)) for why, count in waterfall}
    return tuple(({REASON: n} | found).items() if REASON not in found else found.items())


def _vectors(
    rows: Sequence[Evidence], vectors: Callable[[Sequence[str]], NDArray[np.float32]]
) -> NDArray[np.float32]:  # fmt: skip
    if rows and isinstance(rows[0].input, list):
        return np.array([row.input for row in rows], np.float32)
    return vectors([text_of(row.input) or "" for row in rows])

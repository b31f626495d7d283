"""Which labels are wrong, as far as models can tell that have not seen them: an order for people to look through.

Nothing is ever dropped for it. Where labels were checked by people, a fifth to nine tenths of such flags were right
(Northcutt, Athalye, Mueller 2021): the rest are rare but true, and what a model most needs to see.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from everloop.curate import confident, label_scores, noise_model
from everloop.errors import InvalidInput

Method = Literal["auto", "noise_model", "confident_learning", "low_self_confidence", "low_normalized_margin"]

LEAST_ROWS = 200  # and
LEAST_EACH = 5  # rows a class (mean) from which a noise model can be fitted; below, self-confidence ranks
FLOOR = 0.25  # probability of being wrong from which a label is flagged at all
_ADDS_UP = 0.01  # by which a row of probabilities may miss 1


class Suspects(NamedTuple):
    """All n rows as a queue; the flagged ones are its head."""

    order: NDArray[np.int64]  # (n,) rows, the most suspect first
    score: NDArray[np.float64]  # (n,) how suspect, 0..1; by a noise model: the probability that the label is wrong
    flagged: NDArray[np.bool_]  # (n,) those worth a person's look
    proposed: NDArray[np.int64]  # (n,) the most probable other class
    method: str  # how they were ranked
    threshold: float  # least score of a flagged row; above 1 where none is flagged
    expected_precision: float | None  # share of the flagged that are wrong, by the model; None: none flagged, no model
    expected_recall: float | None  # share of the wrong that are flagged, by the model; None: none are, or no model
    expected_wrong: float | None  # wrong labels in all, by the model; None: no model
    rates: NDArray[np.float64] | None  # (g,) share wrong of each annotator in the order of their numbers, or one for
    # all; None: no model


def rank(
    labels: NDArray[np.int64],
    probabilities: NDArray[np.float64] | Sequence[NDArray[np.float64]],
    *,
    annotators: NDArray[np.int64] | None = None,
    recall: float = 0.95,
    method: Method = "auto",
) -> Suspects:
    """Rank `labels` (n,), each an index into k classes, by how probably they are wrong.

    `probabilities` (n, k) must be out of fold: by a model that has not seen the row or its twins. Several arrays, of
    models that err in different places (a linear one, the nearest neighbours), find more. `annotators` (n,) says who
    gave each label, by a number from 0; somebody who is often wrong is then found out. `recall` is the share of the
    wrong labels that should be flagged; the more, the more right ones are looked at in vain.

    "auto" is a noise model (`noise_model.fit`), or self-confidence where rows are too few for one. The others are
    confident learning's count of rows (`confident.flag`); they take one array, and neither `recall` nor `annotators`.

    Raises InvalidInput for lengths that differ, probabilities that are not, a label outside of the classes, fewer than
    two classes, a `recall` outside of 0 to 1, and for what a method does not take.

    >>> labels = np.array([0] * 150 + [1] * 150)
    >>> sure = np.where(labels[:, None] == np.arange(2), 0.97, 0.03)
    >>> labels[7] = 1
    >>> found = rank(labels, sure)
    >>> found.method, found.order[:1].tolist(), found.proposed[7].item(), np.flatnonzero(found.flagged).tolist()
    ('noise_model', [7], 0, [7])
    """
    given = probabilities if isinstance(probabilities, list | tuple) else [probabilities]
    if not given:
        raise InvalidInput("there must be the probabilities of at least one model")
    models = [_checked(labels, np.asarray(each, np.float64)) for each in given]
    labels = np.asarray(labels, np.int64)
    if any(model.shape != models[0].shape for model in models):
        raise InvalidInput("the models must give probabilities of the same classes")
    if not 0 < recall <= 1:
        raise InvalidInput(f"recall lies above 0 and is at most 1, not {recall}")
    people = None if annotators is None else np.asarray(annotators)
    if people is not None and (people.shape != labels.shape or people.dtype.kind not in "iu" or (people < 0).any()):
        raise InvalidInput("annotators needs a whole number from 0 for each label")
    n, k = models[0].shape
    if method == "auto":
        method = "noise_model" if n >= max(LEAST_ROWS, LEAST_EACH * k) else "low_self_confidence"
        models = models if method == "noise_model" else [np.mean(models, axis=0)]
    elif method != "noise_model" and (len(models) > 1 or people is not None):
        raise InvalidInput(f"{method} takes the probabilities of one model and no annotators")
    if method == "noise_model" and n >= 2:
        return _by_noise_model(labels, models, people, recall)
    return _counted(labels, models[0], method)


def _by_noise_model(
    labels: NDArray[np.int64],
    models: list[NDArray[np.float64]],
    people: NDArray[np.int64] | None,
    recall: float,
) -> Suspects:
    numbers = None if people is None else np.unique(people, return_inverse=True)[1]
    found = noise_model.fit(labels, models, numbers)
    order = np.lexsort((np.arange(len(labels)), -found.log_odds))
    wrong = found.wrong[order]
    total = float(wrong.sum())
    reached = np.cumsum(wrong)
    # What the model knows nothing of it can't count: half of what may be missed is kept for that.
    count = int(np.searchsorted(reached, (1 + recall) / 2 * total)) + 1
    count = min(count, int(np.searchsorted(-wrong, -FLOOR, side="right")))
    flagged = np.zeros(len(labels), np.bool_)
    flagged[order[:count]] = True
    return Suspects(
        order,
        found.wrong,
        flagged,
        label_scores.others(labels, found.true).argmax(axis=1),
        "noise_model",
        float(wrong[count - 1]) if count else np.inf,
        float(wrong[:count].mean()) if count else None,
        float(reached[count - 1]) / total if count else None,
        total,
        found.rates,
    )


def _counted(labels: NDArray[np.int64], probabilities: NDArray[np.float64], method: str) -> Suspects:
    """Ranked by a score, as many flagged as confident learning counts."""
    margin = method == "low_normalized_margin"
    quality = (label_scores.normalized_margin if margin else label_scores.self_confidence)(labels, probabilities)
    flagged = np.zeros(len(labels), np.bool_)
    if len(labels):
        flagged = confident.flag(labels, probabilities, "noise_rate" if method == "confident_learning" else
                                 "off_diagonal")  # fmt: skip
    order = np.lexsort((np.arange(len(labels)), quality))
    if method == "confident_learning":  # not the least confident rows of all: those of each pair of classes
        order = order[np.argsort(~flagged[order], kind="stable")]
    else:
        count = int(flagged.sum())
        flagged[:] = False
        flagged[order[:count]] = True
    score = np.clip(1 - quality, 0.0, 1.0)
    threshold = float(score[flagged].min()) if flagged.any() else np.inf
    proposed = label_scores.others(labels, probabilities).argmax(axis=1)
    return Suspects(order, score, flagged, proposed, method, threshold, None, None, None, None)


def _checked(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities whose rows sum to 1; raises InvalidInput as `rank` says."""
    given = np.asarray(labels)
    if given.ndim != 1 or given.dtype.kind not in "iu":
        raise InvalidInput("labels must be whole numbers, one a row: indices into the classes")
    if probabilities.ndim != 2 or len(probabilities) != len(given) or probabilities.shape[1] < 2:
        raise InvalidInput(
            f"{len(given)} labels need a row of probabilities each, of 2 classes or more, not {probabilities.shape}"
        )
    if not np.isfinite(probabilities).all() or (probabilities < 0).any():
        raise InvalidInput("probabilities must be finite and not negative")
    total = probabilities.sum(axis=1, keepdims=True)
    if (np.abs(total - 1) > _ADDS_UP).any():
        raise InvalidInput("the probabilities of each row must add up to 1")
    if given.size and (given.min() < 0 or given.max() >= probabilities.shape[1]):
        raise InvalidInput(f"labels must lie between 0 and {probabilities.shape[1] - 1}")
    result: NDArray[np.float64] = probabilities / total
    return result

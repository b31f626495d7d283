"""The label that most workers gave."""

from numpy.typing import ArrayLike

from everloop.stats.judgements import Aggregated, checked, result, shares


def majority(workers: ArrayLike, items: ArrayLike, labels: ArrayLike, n_classes: int) -> Aggregated:
    """Each worker has one voice; a probability is a label's share of an item's voices.

    `workers`, `items` and `labels` are (n,) whole numbers from 0. Raises ValueError as `judgements.checked`.

    >>> found = majority([0, 1, 2, 0, 1], [0, 0, 0, 1, 1], [1, 1, 0, 0, 0], 2)
    >>> found.labels.tolist(), found.quality.round(3).tolist()
    ([1, 0], [0.833, 0.833, 0.333])
    """
    judged = checked(workers, items, labels, n_classes)
    return result(judged, shares(judged))

"""Which way of aggregating suits these workers: the items whose truth is known decide."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from everloop.stats.crowd_model import with_model
from everloop.stats.dawid_skene import dawid_skene
from everloop.stats.ebcc import ebcc
from everloop.stats.estimate import Estimate
from everloop.stats.intervals import wilson
from everloop.stats.judgements import Aggregated
from everloop.stats.majority import majority
from everloop.stats.one_coin import one_coin
from everloop.stats.paired import PairedResult, compare

_GAIN, _SPREAD = 0.02, 0.04  # what a model of the workers brings over the majority: see `select`


class Tried(NamedTuple):
    """How one way did on the gold items."""

    name: str
    accuracy: Estimate  # Wilson's interval
    gain: PairedResult  # over the majority, on the same items
    expected_gain: float  # that gain shrunk to what is usual; 0 for the majority


class Selected(NamedTuple):
    """The way that was chosen, its result, and what was tried."""

    name: str
    result: Aggregated
    tried: tuple[Tried, ...]  # the majority first
    gold: int  # items whose truth was known
    why: str  # one line


def select(
    workers: ArrayLike,
    items: ArrayLike,
    labels: ArrayLike,
    n_classes: int,
    gold: ArrayLike,
    rng: np.random.Generator,
    probabilities: ArrayLike | None = None,
    least: int = 20,
    restarts: int = 10,
) -> Selected:
    """The way of aggregating that the `gold` items (n_items,) speak for; -1 where the truth is unknown.

    Majority, one-coin, Dawid-Skene and EBCC are tried, and the model as an annotator where its out-of-fold
    `probabilities` (n_items, n_classes) are given. The gold labels are used for the choice alone. With fewer than
    `least` of them it is the majority.

    A few dozen gold items can't tell ways apart that differ by a few points: the best of several on so few is often
    the luckiest, and a test at 5 % would nearly always stay with the majority, which is the worst of them on most
    data. So each gain over the majority, measured in pairs, is shrunk to what such methods usually bring: 2 points
    with a standard deviation of 4. That is a round and cautious figure, not an estimate (over 17 data sets, Li,
    Rubinstein and Cohn 2019 give 0.806 for the majority, 0.833 for Dawid-Skene, 0.843 for EBCC). The highest expected
    gain is taken; where none is positive, the majority.

    Raises ValueError as `judgements.checked`, and for gold of another length or that is no class.

    >>> rng = np.random.default_rng(0)
    >>> truth = rng.integers(0, 2, 200)
    >>> items, workers = np.repeat(np.arange(200), 5), np.tile(np.arange(5), 200)
    >>> right = rng.random(1000) < np.array([0.95, 0.9, 0.55, 0.55, 0.55])[workers]
    >>> labels = np.where(right, truth[items], 1 - truth[items])
    >>> found = select(workers, items, labels, 2, np.where(np.arange(200) < 60, truth, -1), rng)
    >>> found.name != "majority", found.gold
    (True, 60)
    """
    results = {"majority": majority(workers, items, labels, n_classes)}
    first = choose(results, gold, least)
    if not first.tried:
        return first
    results |= {
        "one_coin": one_coin(workers, items, labels, n_classes),
        "dawid_skene": dawid_skene(workers, items, labels, n_classes),
        "ebcc": ebcc(workers, items, labels, n_classes, rng, restarts=restarts),
    }
    if probabilities is not None:
        joined = with_model(workers, items, labels, n_classes, probabilities)
        results["with_model"] = Aggregated(joined.labels, joined.probabilities, joined.quality, None, joined.iterations)
    return choose(results, gold, least)


def choose(results: Mapping[str, Aggregated], gold: ArrayLike, least: int = 20) -> Selected:
    """`select`'s choice among `results` that are there already, by name; one is the "majority".

    Raises ValueError for gold that does not fit them.
    """
    start, known = results["majority"], np.asarray(gold)
    n_classes = start.probabilities.shape[1]
    if known.shape != start.labels.shape or known.dtype.kind not in "iu":
        raise ValueError(f"gold is one whole number an item, {start.labels.shape[0]} in all, not {known.shape}")
    if known.min() < -1 or known.max() >= n_classes:
        raise ValueError("gold is a class, or -1 where the truth is unknown")
    chosen = known >= 0
    n = int(chosen.sum())
    if n < max(least, 1):
        return Selected("majority", start, (), n, f"{n} gold items are too few to choose by: {least} are needed")
    right = {name: (found.labels == known)[chosen] for name, found in results.items()}
    tried = tuple(_tried(name, each, right["majority"]) for name, each in right.items())
    best = max(tried, key=lambda each: each.expected_gain)  # the first of equals: the majority before any other
    if best.name == "majority":
        why = f"nothing is expected to beat the majority, on {n} gold items"
    else:
        why = (
            f"{best.name} was right on {best.accuracy.estimate:.1%} of {n} gold items, the majority on "
            f"{tried[0].accuracy.estimate:.1%}: an expected gain of {100 * best.expected_gain:.1f} points"
        )
    return Selected(best.name, results[best.name], tried, n, why)


def _tried(name: str, right: NDArray[np.bool_], usual: NDArray[np.bool_]) -> Tried:
    n = int(right.size)
    accuracy = wilson(int(right.sum()), n)
    gain = compare(right, usual)
    if name == "majority":
        return Tried(name, accuracy, gain, 0.0)
    # One pair more that differs: where none does, the gain is small but not known to be nothing.
    variance = (gain.better + gain.worse + 1) / n**2
    trust = 1 / variance / (1 / variance + 1 / _SPREAD**2)
    return Tried(name, accuracy, gain, trust * gain.estimate + (1 - trust) * _GAIN)

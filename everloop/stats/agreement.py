"""How far people agree beyond chance: Krippendorff's alpha, Cohen's and Fleiss' kappa, with intervals.

Every interval is a percentile bootstrap over items (Efron 1979), as answers to one item depend on each other. Above
2,000 items they are first joined at random into 2,000 groups, which are drawn instead: the same interval, and it does
not slow down with the number of items.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from everloop.stats.estimate import Estimate

Floats = NDArray[np.float64]
_GROUPS = 2_000


def krippendorff_alpha(
    raters: ArrayLike,
    items: ArrayLike,
    values: ArrayLike,
    rng: np.random.Generator,
    level: Literal["nominal", "ordinal", "interval"] = "nominal",
    confidence: float = 0.95,
    draws: int = 1_000,
) -> Estimate:
    """Krippendorff's alpha: 1 for full agreement, 0 for what chance gives; anybody may skip any item.

    `raters`, `items` and `values` are (n,): who gave which item which value; ids are whole numbers, values too for
    nominal data, numbers whose order counts for ordinal, whose distance counts for interval. Items with one value
    can't be compared and are left out; n is the number of the others. Raises ValueError for a rater who rates an item
    twice, where no item has two values, and where all the values are the same (there is nothing to agree about).

    Source: Krippendorff 2011, "Computing Krippendorff's alpha-reliability".

    >>> alpha = krippendorff_alpha([0, 1] * 4, [0, 0, 1, 1, 2, 2, 3, 3], [1, 1, 2, 2, 1, 2, 2, 2],
    ...                            np.random.default_rng(0))
    >>> round(alpha.estimate, 3), alpha.n
    (0.533, 4)
    """
    who, what, value = np.asarray(raters), np.asarray(items), np.asarray(values, dtype=np.float64)
    if who.ndim != 1 or not who.size or not who.shape == what.shape == value.shape:
        raise ValueError("raters, items and values are rows of one length, at least one")
    if not np.isfinite(value).all():
        raise ValueError("values are finite numbers; leave out what is missing")
    _, unit = np.unique(what, return_inverse=True)
    _, person = np.unique(who, return_inverse=True)
    if np.unique(unit * (person.max() + 1) + person).size != unit.size:
        raise ValueError("a rater gives an item one value")
    size = np.bincount(unit)
    kept = size[unit] >= 2
    if not kept.any():
        raise ValueError("alpha needs an item with two values")
    _, unit = np.unique(unit[kept], return_inverse=True)
    size, value = np.bincount(unit), value[kept]
    known, code = np.unique(value, return_inverse=True)
    if known.size < 2:
        raise ValueError("all values are the same: there is nothing to agree about")
    if level == "interval":
        centred = value - value.mean()  # the squares of large values would drown their differences
        first, second = np.bincount(unit, centred), np.bincount(unit, centred**2)
        within = 2 * (size * second - first**2) / (size - 1)
        return _interval([size, first, second, within], _interval_alpha, rng, confidence, draws)
    n, v = size.size, known.size
    counts = np.bincount(unit * v + code, minlength=n * v).reshape(n, v).astype(np.float64)
    if level == "nominal":
        within = (size**2 - (counts**2).sum(axis=1)) / (size - 1)
        return _interval([*counts.T, within], _nominal_alpha, rng, confidence, draws)
    if level != "ordinal":
        raise ValueError(f"a level is nominal, ordinal or interval, not {level}")
    return _interval(_coincidences(counts, size), _ordinal_alpha, rng, confidence, draws)


def cohen_kappa(
    a: ArrayLike,
    b: ArrayLike,
    rng: np.random.Generator,
    weights: Literal["none", "linear", "quadratic"] = "none",
    confidence: float = 0.95,
    draws: int = 1_000,
) -> Estimate:
    """Cohen's kappa of two raters' labels (n,), whole numbers; n is the number of items.

    With `weights` a disagreement counts for its distance, or its square. Raises ValueError for lengths that differ,
    no item, and where both always give one and the same label.

    Source: Cohen 1960, "A coefficient of agreement for nominal scales"; weighted: Cohen 1968.

    >>> kappa = cohen_kappa([0] * 25 + [1] * 25, [0] * 20 + [1] * 5 + [0] * 10 + [1] * 15, np.random.default_rng(0))
    >>> round(kappa.estimate, 3), kappa.n
    (0.4, 50)
    """
    x, y = np.asarray(a), np.asarray(b)
    if x.ndim != 1 or x.shape != y.shape or not x.size:
        raise ValueError(f"two raters label the same items, at least one, not {x.shape} and {y.shape}")
    known, code = np.unique(np.concatenate([x, y]), return_inverse=True)
    k, n = known.size, x.size
    if weights not in {"none", "linear", "quadratic"}:
        raise ValueError(f"weights are none, linear or quadratic, not {weights}")
    steps = np.abs(np.arange(k)[:, None] - np.arange(k)).astype(np.float64)
    cost = {"none": (steps > 0).astype(np.float64), "linear": steps, "quadratic": steps**2}[weights]
    table = np.bincount(code[:n] * k + code[n:], minlength=k * k)
    # Items with the same two labels are the same: drawing from the table is drawing items.
    drawn = np.concatenate([table[None], rng.multinomial(n, table / n, size=draws)]).reshape(-1, k, k) / n
    expected = np.einsum("ij,bi,bj->b", cost, drawn.sum(axis=2), drawn.sum(axis=1))
    return _percentiles(_ratio((drawn * cost).sum(axis=(1, 2)), expected), n, confidence)


def fleiss_kappa(counts: ArrayLike, rng: np.random.Generator, confidence: float = 0.95, draws: int = 1_000) -> Estimate:
    """Fleiss' kappa of (n_items, n_classes) counts: how many raters gave each item each class; n is n_items.

    Raters need not be the same people for each item, but as many, at least two. Raises ValueError otherwise, and
    where all ratings are of one class.

    Source: Fleiss 1971, "Measuring nominal scale agreement among many raters".

    >>> kappa = fleiss_kappa([[3, 0], [0, 3], [2, 1], [3, 0]], np.random.default_rng(0))
    >>> round(kappa.estimate, 3)
    0.625
    """
    table = np.asarray(counts, dtype=np.float64)
    if table.ndim != 2 or not table.size or (table < 0).any():
        raise ValueError("counts are (n_items, n_classes), none negative")
    size = table.sum(axis=1)
    if (size != size[0]).any() or size[0] < 2:
        raise ValueError("Fleiss' kappa needs as many ratings of each item, at least two; alpha does not")
    raters = float(size[0])
    apart = 1 - ((table**2).sum(axis=1) - raters) / (raters * (raters - 1))

    def kappa(sums: Floats) -> Floats:
        totals = sums[:, :-1] / sums[:, :-1].sum(axis=1, keepdims=True)
        items = sums[:, :-1].sum(axis=1) / raters
        return _ratio(sums[:, -1] / items, 1 - (totals**2).sum(axis=1))

    return _interval([*table.T, apart], kappa, rng, confidence, draws)


def _interval(
    columns: Iterable[NDArray[np.generic]],
    statistic: Callable[[Floats], Floats],
    rng: np.random.Generator,
    confidence: float,
    draws: int,
) -> Estimate:
    """`statistic` of the sums over items of each column (n_items,), and of such sums over items drawn again."""
    group = np.empty(0, dtype=np.int64)
    sums: list[Floats] = []
    for column in columns:
        if not sums:
            n = column.size
            group = np.arange(n) if n <= _GROUPS else rng.permutation(n) % _GROUPS
        sums.append(np.asarray(np.bincount(group, column.astype(np.float64)), dtype=np.float64))
    groups = sums[0].size
    drawn = np.ones((draws + 1, groups))
    drawn[1:] = rng.multinomial(groups, np.full(groups, 1 / groups), size=draws)
    return _percentiles(statistic(drawn @ np.column_stack(sums)), group.size, confidence)


def _percentiles(found: Floats, n: int, confidence: float) -> Estimate:
    """The first is the estimate; draws in which nothing can disagree say nothing and are left out."""
    if not 0 < confidence < 1:
        raise ValueError(f"a confidence lies between 0 and 1, not {confidence}")
    if not np.isfinite(found[0]):
        raise ValueError("all labels are the same: there is nothing to agree about")
    rest = found[1:][np.isfinite(found[1:])]
    if not rest.size:
        return Estimate(float(found[0]), -1.0, 1.0, n)
    low, high = np.quantile(rest, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Estimate(float(found[0]), float(low), float(high), n)


def _ratio(seen: Floats, expected: Floats) -> Floats:
    """1 - seen / expected, not a number where nothing can disagree."""
    possible = expected > 1e-12
    return np.where(possible, 1 - seen / np.where(possible, expected, 1.0), np.nan)


def _nominal_alpha(sums: Floats) -> Floats:
    """From columns (each value's count, disagreement within items)."""
    counts, within = sums[:, :-1], sums[:, -1]
    total = counts.sum(axis=1)
    expected = (total**2 - (counts**2).sum(axis=1)) / (total * (total - 1))
    return _ratio(within / total, expected)


def _interval_alpha(sums: Floats) -> Floats:
    """From columns (values, their sum, their squares' sum, squared differences within items)."""
    total, first, second, within = sums.T
    expected = 2 * (total * second - first**2) / (total * (total - 1))
    # Rounding must not pass for a difference.
    scale = second / total
    return np.where(expected > 1e-12 * scale, _ratio(within / total, expected), np.nan)


def _coincidences(counts: Floats, size: NDArray[np.int64]) -> Iterator[Floats]:
    """The values' counts, then for each two values how often they stand together, value by value."""
    yield from counts.T
    for lower in range(counts.shape[1]):
        for upper in range(lower + 1, counts.shape[1]):
            yield 2 * counts[:, lower] * counts[:, upper] / (size - 1)


def _ordinal_alpha(sums: Floats) -> Floats:
    """From `_coincidences`' columns; the distance of two values is that of their middle ranks."""
    v = int((np.sqrt(8 * sums.shape[1] + 1) - 1) / 2)  # v + v (v - 1) / 2 columns
    counts, together = sums[:, :v], sums[:, v:]
    total = counts.sum(axis=1)
    rank = np.cumsum(counts, axis=1) - counts / 2
    lower, upper = np.triu_indices(v, k=1)
    far = (rank[:, upper] - rank[:, lower]) ** 2
    expected = 2 * (counts[:, lower] * counts[:, upper] * far).sum(axis=1) / (total * (total - 1))
    return _ratio((together * far).sum(axis=1) / total, expected)

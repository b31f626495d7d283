"""Clusters of errors among vectors: balls in which a model is wrong more often than outside.

A scan: around errors, balls of every size are looked at, and the one whose rows have the least likely excess of errors
is taken; its rows are put aside, and the scan goes on. Source of the likelihood ratio: Kulldorff 1997, "A spatial scan
statistic", Communications in Statistics 26:1481-1496. What is found on one half of the rows is tested on the other.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from everloop.evaluate.held_out import Place, confirm, halves

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

LEAST = 10  # rows of a half in which a cluster is looked for
_CENTRES, _SCANNED = 256, 20_000  # errors around which, and rows among which, is scanned: bounds time
_WORD = re.compile(r"[^\W\d_]{2,}")
_WORDS = 60  # of a text that are looked at for a name
_SPREAD = 3  # rows that must have a word before it may stand in a name: no single person's word does


class Ball(NamedTuple):
    """Rows at most `radius` from a point."""

    centroid: Floats  # (columns,)
    radius: float

    def holds(self, vectors: ArrayLike) -> Mask:
        """Which rows of (n, columns) are in it."""
        return np.asarray(_distances(np.asarray(vectors, dtype=np.float64), self.centroid[None])[0] <= self.radius)


class Cluster(NamedTuple):
    """A ball of errors, with what the half it was not found on says of it."""

    ball: Ball
    words: tuple[str, ...]  # what is frequent in it and rare elsewhere; empty without texts
    support: int  # rows of all that are in it
    estimate: float  # error rate on the other half; interval, count and p as in `held_out.Confirmed`
    low: float
    high: float
    n: int
    elsewhere: float
    p: float


def clusters(
    vectors: ArrayLike,
    errors: ArrayLike,
    *,
    rng: np.random.Generator,
    groups: Sequence[str] | None = None,
    texts: Sequence[str] | None = None,
    most: int = 5,
    level: float = 0.95,
) -> list[Cluster]:
    """Up to `most` clusters of errors, found on one half of the rows and measured on the other; most significant first.

    `vectors` (n, columns), `errors` (n,) 0 or 1, `groups` names rows that depend on each other. All that were found are
    given, with their p-values after Holm: those with p <= 1 - level are shown to have more errors than elsewhere, all
    of them together at `level`.
    """
    points, wrong = np.asarray(vectors, dtype=np.float64), np.asarray(errors, dtype=np.float64)
    if points.ndim != 2 or wrong.shape != points.shape[:1] or not np.isin(wrong, (0, 1)).all():
        raise ValueError("clusters need vectors (n, columns) and as many errors, each 0 or 1")
    side = halves(wrong.size, groups, rng)
    balls = scan(points[side.first], wrong[side.first], most=most, rng=rng)
    inside = [ball.holds(points) for ball in balls]
    result = []
    for ball, rows, sure in zip(balls, inside, confirm(places(inside, ~side.first & side.alone), wrong, level),
                                strict=True):  # fmt: skip
        if sure is not None:
            words = name(texts, rows) if texts is not None else ()
            result.append(Cluster(ball, words, int(rows.sum()), *sure))
    return sorted(result, key=lambda c: c.p)


def places(inside: Sequence[Mask], held: Mask) -> list[Place]:
    """Each place against what lies outside it and the earlier ones; the test is of rows that no earlier one has."""
    found, taken = [], np.zeros(held.size, bool)
    for rows in inside:
        found.append(Place(rows, rows & ~taken, ~(rows | taken), held))
        taken = taken | rows
    return found


def scan(vectors: Floats, errors: Floats, *, most: int, rng: np.random.Generator, least: int = LEAST) -> list[Ball]:
    """The balls of at least `least` rows, and at most half of them, with the most excess of errors; the strongest
    first, each looked for among the rows outside the earlier ones."""
    if errors.size > _SCANNED:
        picked = rng.choice(errors.size, _SCANNED, replace=False)
        vectors, errors = vectors[picked], errors[picked]
    left = np.ones(errors.size, bool)
    found: list[Ball] = []
    centres = np.flatnonzero(errors)
    if centres.size > _CENTRES:
        centres = rng.choice(centres, _CENTRES, replace=False)
    distance = _distances(vectors, vectors[centres])
    order = np.argsort(distance, axis=1, kind="stable")
    while len(found) < most and left.sum() >= 2 * least and errors[left].sum() >= 2:
        ratios = [_best(order[c], errors, left, least) for c in range(centres.size)]
        if not ratios or max(ratios)[0] <= 0:
            break
        _, c = max((ratio, c) for c, (ratio, _) in enumerate(ratios))
        size = ratios[c][1]
        ball = _recentred(vectors, errors, left, order[c][left[order[c]]][:size], least)
        inside = ball.holds(vectors)
        if not (inside & left).any():
            break
        found.append(ball)
        left &= ~inside
    return found


def name(texts: Sequence[str], inside: Mask, most: int = 3) -> tuple[str, ...]:
    """The words that tell the texts inside from the others, the most telling first.

    By the log-odds of a word with the words of all texts as prior, in standard errors (Monroe, Colaresi and Quinn 2008,
    "Fightin' Words"). Only words that several texts have.
    """
    here: Counter[str] = Counter()
    there: Counter[str] = Counter()
    for text, within in zip(texts, inside, strict=True):
        (here if within else there).update(set(_WORD.findall(text.lower())[:_WORDS]))
    words = [word for word, n in here.items() if n >= _SPREAD]
    if not words:
        return ()
    a, b = (np.array([c[w] for w in words], dtype=np.float64) for c in (here, there))
    prior = (a + b) * (10.0 / max(1.0, float((a + b).sum()))) + 0.01
    total_a, total_b, total = sum(here.values()), sum(there.values()), float(prior.sum())
    odds = np.log((a + prior) / (total_a + total - a - prior)) - np.log((b + prior) / (total_b + total - b - prior))
    telling = odds / np.sqrt(1 / (a + prior) + 1 / (b + prior))
    best = sorted(range(len(words)), key=lambda i: (-telling[i], words[i]))
    return tuple(words[i] for i in best[:most] if telling[i] > 0)


def _best(order: NDArray[np.int64], errors: Floats, left: Mask, least: int) -> tuple[float, int]:
    """Kulldorff's log likelihood ratio at its highest over growing balls, and how many rows that ball has."""
    e = errors[order[left[order]]]
    n, total = e.size, float(e.sum())
    inside = np.arange(1, n // 2 + 1)
    c = np.cumsum(e)[: n // 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = _likelihood(c, inside) + _likelihood(total - c, n - inside) - _likelihood(total, n)
        ratio = np.where((c / inside > (total - c) / (n - inside)) & (inside >= least), ratio, -1.0)
    best = int(ratio.argmax()) if ratio.size else 0
    return (float(ratio[best]), best + 1) if ratio.size else (-1.0, 0)


def _likelihood(wrong: ArrayLike, n: ArrayLike) -> Floats:
    from scipy.special import xlogy

    c, m = np.asarray(wrong, dtype=np.float64), np.asarray(n, dtype=np.float64)
    return np.asarray(xlogy(c, c / m) + xlogy(m - c, 1 - c / m))


def _recentred(vectors: Floats, errors: Floats, left: Mask, rows: NDArray[np.int64], least: int) -> Ball:
    """The ball around the middle of the errors among `rows`, as large as is best there."""
    middle = vectors[rows[errors[rows] > 0]].mean(axis=0)
    away = _distances(vectors, middle[None])[0]
    order = np.argsort(away, kind="stable")
    _, size = _best(order, errors, left, least)
    near = order[left[order]]
    # Half-way to the next row: its own distance would leave the last one to a rounding.
    edge = near[max(size, 1) - 1 : max(size, 1) + 1]
    return Ball(middle, float(away[edge].mean()))


def _distances(vectors: Floats, centres: Floats) -> Floats:
    """(centres, n) Euclidean."""
    square = (centres**2).sum(axis=1)[:, None] - 2 * centres @ vectors.T + (vectors**2).sum(axis=1)
    return np.asarray(np.sqrt(np.maximum(square, 0.0)))

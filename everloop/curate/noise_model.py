"""How a true class becomes a given label: what several models say and how people err, fitted together.

Each row has a true class, which the models' probabilities, sharpened and multiplied, know in part. With some
probability (one for all, or one for each annotator) the label was given wrongly: any other class is as likely then, or
some are that are often taken for it. Temperatures, rates and confusions are those under which the given labels are the
likeliest; the probability that a label is wrong follows from Bayes. So there is an expected number of wrong labels,
and a share of them for each place where a list of suspects could be cut off.

Without knowing the truth, the confusions of people and the doubts of a model look alike. They are told apart by labels
that the fit has not seen: confusions are only assumed where they make those likelier.

Sources: the noise channel of Dawid and Skene 1979 with a model in the place of repeated labels; the temperatures of
Guo et al. 2017 (arXiv 1706.04599); expectation-maximisation by Dempster, Laird and Rubin 1977.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

_FLOOR = 1e-6  # no model is surer than that a class is not it
_LEAST, _MOST = 0.05, 20.0  # temperatures
_RATE, _RATE_ROWS = 0.05, 20.0  # a rate before anything is seen, and the rows that this weighs
_OWN_ROWS = 10.0  # rows from which on an annotator's own rate counts more than everybody's
_TINY = 1e-5  # no rate is nearer to 0 or 1
_SMOOTH: tuple[float | None, ...] = (None, 5.0, 2.0)  # pseudo-rows of "any other class" in each class's confusions;
# None: no class is taken for another more often
_GAIN = 0.01  # by which confusions must make a label they have not seen likelier (log, a row) to be assumed
_ROWS, _EACH, _CELLS = 20_000, 200, 4_000_000  # rows from which on only some are fitted to: so many, or so many a
# class while their probabilities are not more than that
_OUTER, _INNER, _STEPS = 4, 8, 12


class NoiseModel(NamedTuple):
    """The fit, and what it says of each row."""

    wrong: NDArray[np.float64]  # (n,) probability that the label is wrong
    log_odds: NDArray[np.float64]  # (n,) of it: tells rows apart where `wrong` is 1.0
    true: NDArray[np.float64]  # (n, k) probabilities of the classes, without regard to the given label
    temperatures: NDArray[np.float64]  # (m,) exponent of each model: the larger, the more it is believed
    rates: NDArray[np.float64]  # (g,) share of wrong labels of each annotator; one for all where none are known
    confusions: NDArray[np.float64] | None  # (k true, k given) what a wrong label is; None: any other class


class _Fit(NamedTuple):
    """What is fitted."""

    log_temperatures: NDArray[np.float64]  # (m,)
    rates: NDArray[np.float64]  # (g,)
    confusions: NDArray[np.float64]  # (k true, k given), 0 on the diagonal


def fit(
    labels: NDArray[np.int64],
    models: Sequence[NDArray[np.float64]],
    annotators: NDArray[np.int64] | None = None,
) -> NoiseModel:
    """Fit to `labels` (n,), the out-of-fold probabilities (n, k) of each of `models`, and who gave each label.

    `annotators` (n,) are numbers from 0. Two rows and two classes at least. Nothing random: the halves that try the
    confusions are dealt out along each class by self-confidence, so that the order of rows and classes is all the same.
    """
    k = models[0].shape[1]
    logs = [np.log(model * (1 - k * _FLOOR) + _FLOOR) for model in models]
    people = np.zeros(len(labels), np.int64) if annotators is None else annotators
    g = int(people.max()) + 1
    place = _place(labels, models[0])
    stride = max(1, labels.size // max(_ROWS, min(_EACH * k, _CELLS // k)))
    some = np.flatnonzero(place % stride == stride // 2)
    if some.size < 2:
        some = np.arange(labels.size)
    place = place[some] // stride
    parts = [
        (labels[half], [log[half] for log in logs], people[half])
        for half in (some[place % 2 == 0], some[place % 2 == 1])
        if half.size
    ]
    smooth = _smooth(parts, g)
    found = _learn((labels[some], [log[some] for log in logs], people[some]), g, smooth)
    true = _pool(logs, found.log_temperatures)
    own = true[np.arange(len(labels)), labels]
    rate = found.rates[people]
    odds = np.log(rate) - np.log1p(-rate) + np.log(_by_mistake(true, labels, found.confusions)) - np.log(own)
    return NoiseModel(
        1 / (1 + np.exp(-odds)),
        odds,
        true,
        np.exp(found.log_temperatures),
        found.rates,
        None if smooth is None else found.confusions,
    )


_Rows = tuple[NDArray[np.int64], list[NDArray[np.float64]], NDArray[np.int64]]


def _smooth(parts: Sequence[_Rows], g: int) -> float | None:
    """Which confusions one half's fit makes the other half's labels likeliest with."""
    if len(parts) < 2:
        return None
    score = []
    for smooth in _SMOOTH:
        tried = (_likelihood(parts[1 - i], _learn(parts[i], g, smooth)).sum() for i in (0, 1))
        score.append(sum(tried) / sum(len(part[0]) for part in parts))
    best = int(np.argmax(score))
    return _SMOOTH[best] if score[best] > score[0] + _GAIN else None


def _learn(rows: _Rows, g: int, smooth: float | None) -> _Fit:
    """Temperatures by their gradient, rates and confusions by expectation-maximisation, in turn."""
    from scipy.optimize import minimize
    from scipy.sparse import csr_matrix

    labels, logs, people = rows
    n, k = logs[0].shape
    any_other = (1 - np.eye(k)) / (k - 1)
    given = csr_matrix((np.ones(n), (labels, np.arange(n))), shape=(k, n))
    start = np.full(len(logs), -np.log(len(logs)))
    if smooth is None:
        found = _Fit(start, np.full(g, _RATE), any_other)
    else:  # from the softer start the doubts of the models would take everything
        mistaken = np.zeros((k, k))
        np.add.at(mistaken, (sum(logs).argmax(axis=1), labels), 1.0)  # type: ignore[union-attr]
        np.fill_diagonal(mistaken, 0.0)
        found = _Fit(start, np.full(g, 2 * _RATE), _smoothed(mistaken, any_other, smooth))
    for _ in range(_OUTER):
        best = minimize(
            _loss,
            found.log_temperatures,
            args=(rows, found.rates[people], found.confusions),
            jac=True,
            method="L-BFGS-B",
            bounds=[(np.log(_LEAST), np.log(_MOST))] * len(logs),
            options={"maxiter": _STEPS},
        )
        found = _people(found._replace(log_temperatures=best.x), rows, given, any_other, smooth)
    return found


def _people(
    found: _Fit, rows: _Rows, given: "csr_matrix", any_other: NDArray[np.float64], smooth: float | None
) -> _Fit:
    """Rates and confusions, the temperatures being what they are."""
    labels, logs, people = rows
    true = _pool(logs, found.log_temperatures)
    own = true[np.arange(len(labels)), labels]
    g = len(found.rates)
    rates, confusions = found.rates, found.confusions
    rows_of = np.bincount(people, minlength=g)
    for _ in range(_INNER):
        mistake = true * confusions.T[labels]
        total = mistake.sum(axis=1)
        rate = rates[people]
        wrong = rate * total / (rate * total + (1 - rate) * own)
        overall = (wrong.sum() + _RATE * _RATE_ROWS) / (len(labels) + _RATE_ROWS)
        rates = np.clip(
            (np.bincount(people, wrong, minlength=g) + _OWN_ROWS * overall) / (rows_of + _OWN_ROWS)
            if g > 1 else np.array([overall]),
            _TINY, 1 - _TINY,
        )  # fmt: skip
        if smooth is not None:
            counts = np.asarray(given @ (mistake * (wrong / total)[:, None])).T
            confusions = _smoothed(counts, any_other, smooth)
    return _Fit(found.log_temperatures, rates, confusions)


def _smoothed(counts: NDArray[np.float64], any_other: NDArray[np.float64], smooth: float) -> NDArray[np.float64]:
    result: NDArray[np.float64] = (counts + smooth * any_other) / (counts.sum(axis=1, keepdims=True) + smooth)
    return result


def _loss(
    log_temperatures: NDArray[np.float64], rows: _Rows, rate: NDArray[np.float64], confusions: NDArray[np.float64]
) -> tuple[float, NDArray[np.float64]]:
    """What a label costs in bits of nature, a row, and its gradient."""
    labels, logs, _ = rows
    true = _pool(logs, log_temperatures)
    n = len(labels)
    joint = true * confusions.T[labels] * rate[:, None]
    joint[np.arange(n), labels] += (1 - rate) * true[np.arange(n), labels]
    total = joint.sum(axis=1)
    pull = joint / total[:, None] - true
    gradient = np.array([-(pull * log).sum() for log in logs]) * np.exp(log_temperatures) / n
    return -float(np.log(total).mean()), gradient


def _likelihood(rows: _Rows, found: _Fit) -> NDArray[np.float64]:
    labels, logs, people = rows
    true = _pool(logs, found.log_temperatures)
    rate = found.rates[people]
    own = true[np.arange(len(labels)), labels]
    result: NDArray[np.float64] = np.log((1 - rate) * own + rate * _by_mistake(true, labels, found.confusions))
    return result


def _by_mistake(
    true: NDArray[np.float64], labels: NDArray[np.int64], confusions: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(n,) probability that a wrong label is the one that was given."""
    # A row that is its label beyond doubt leaves nothing over; it must not divide by nothing.
    result: NDArray[np.float64] = np.maximum(np.einsum("ik,ik->i", true, confusions.T[labels]), 1e-300)
    return result


def _pool(logs: Sequence[NDArray[np.float64]], log_temperatures: NDArray[np.float64]) -> NDArray[np.float64]:
    """The models' probabilities, each to the power of its temperature, multiplied; rows sum to 1."""
    total = sum(np.exp(t) * log for t, log in zip(log_temperatures, logs, strict=True))
    assert isinstance(total, np.ndarray)
    total -= total.max(axis=1, keepdims=True)
    np.exp(total, out=total)
    total /= total.sum(axis=1, keepdims=True)
    return np.maximum(total, 1e-300)


def _place(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> NDArray[np.int64]:
    """Each row's place among those of its label, the least confident first."""
    order = np.lexsort((probabilities[np.arange(len(labels)), labels], labels))
    count = np.bincount(labels)
    result = np.empty(len(labels), np.int64)
    result[order] = np.arange(len(labels)) - np.repeat(np.cumsum(count) - count, count)
    return result

"""Automatic labels under a bound that holds: above which confidence the machine may label by itself.

What is promised, and under what: the calibration labels are drawn at random from the rows that are to be labelled (a
fixed pool) or from the stream they come from, they are right, and the confidences were not made from them. Then, with
probability `level` or more over that draw, the error among what is labelled automatically is at most `max_error`:
whatever the confidences are worth, and however few the labels. Confidences that are worth nothing cost coverage.

The threshold is found by fixed-sequence testing ("Learn then test", Angelopoulos et al. 2021, arXiv 2110.01052): a
ladder of thresholds from strict to loose, each tested exactly at the whole 1 - level, up to the first that fails. A
ladder that begins too strict certifies nothing, as a clean sample needs ln(1 / (1 - level)) / max_error rows; it begins
here where it can most probably certify. That place and the ladder come from the confidences and never from the labels:
this is what lets every rung be tested without paying for the others.
"""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from everloop.errors import InvalidInput
from everloop.stats.bounds import binomial_upper, hypergeometric_cdf, hypergeometric_upper, labels_for

Scope = Literal["auto-labelled part", "whole set"]

_RUNGS = 100
# What the true error above a threshold may be. The ladder begins where the mean chance to pass over these is largest:
# so many times what the confidences say, and at least so much of the bound;
_SCENARIOS = ((0.5, 0.1), (1.0, 0.25), (1.5, 0.25), (2.0, 0.25), (1.0, 0.4))
# and where only the order of the confidences means anything: so many times the bound if all were labelled, falling by
# this power of the share that is.
_BY_ORDER = ((2.0, 3.0), (4.0, 4.0))
_FLOOR = 0.1  # of the bound; the least error assumed by these
# Where people were taken to be wrong as often as the machine may be, no place would be better than another to begin at.
_BELIEVABLE = 0.4  # of the bound, at most, are people's mistakes taken to be
_POWER = 0.8  # chance to certify, with the number of labels that is said to be needed
_MOST = 10_000_000  # labels beyond which no number is named
_LAST_BIT = 1e-9
_TIES = 1 - _LAST_BIT  # as in `bounds`: what is equal but for its last bits has not passed


class Certified(NamedTuple):
    """From which confidence on the machine labels, and what is known of it."""

    threshold: float | None  # rows at or above it are labelled automatically; None: nothing can be certified
    coverage: float  # share of the pool's rows (without a pool: of the calibration rows) at or above it
    bound: float  # upper bound of the error at this threshold, read alone; 1 where nothing is certified
    n: int  # calibration labels at or above the threshold
    errors: int  # of them wrong
    scope: Scope  # what the error is a share of
    needed: int | None  # labels that would probably certify something; None: something is, or no number would

    @property
    def estimate(self) -> float | None:
        """The share of wrong ones among the `n` calibration labels; None where there are none."""
        return self.errors / self.n if self.n else None


class _Ladder(NamedTuple):
    """Thresholds from strict to loose, and what lies at or above each."""

    threshold: NDArray[np.float64]  # (r,)
    size: NDArray[np.int64]  # (r,) rows, those drawn for calibration included; 0s for a stream
    n: NDArray[np.int64]  # (r,) calibration rows
    errors: NDArray[np.int64]  # (r,) of them wrong


class _Question(NamedTuple):
    """What a rung is tested for."""

    max_error: float
    alpha: float
    whole: bool
    pool: bool
    rows: int  # pool and calibration together; without a pool, the calibration rows

    def p(self, errors: ArrayLike, n: ArrayLike, size: ArrayLike) -> NDArray[np.float64]:
        """The chance of so few errors where the machine's labels break the bound: exact, for each rung."""
        errors, n, size = np.asarray(errors), np.asarray(n), np.asarray(size)
        if not self.pool:
            from scipy.special import bdtr  # 0.3 s to import: only who certifies pays it

            # Of the whole set: each row of the stream is labelled wrongly or not, whatever its confidence is.
            of = np.full(n.shape, self.rows) if self.whole else n
            chance = bdtr(np.clip(errors, 0, of), of, self.max_error)
            return np.where(of > 0, chance, 1.0)
        rest = size - n
        allowed = self.allowed(rest)
        # The fewest wrong rows among `size` with which the rest would hold one too many.
        chance = hypergeometric_cdf(errors, size, np.minimum(errors + allowed + 1, size), n)
        return np.where(rest == 0, 1.0, np.where(allowed >= rest, 0.0, chance))

    def allowed(self, rest: NDArray[np.int64]) -> NDArray[np.int64]:
        """How many of the pool's rows at or above a threshold, `rest` of them, may be wrong."""
        of = np.full(rest.shape, self.rows) if self.whole else rest
        return np.floor(self.max_error * of + _LAST_BIT).astype(np.int64)

    def bound(self, errors: int, n: int, size: int) -> float:
        """The upper bound that belongs to `p`: it is at most max_error where p is at most alpha."""
        level = 1 - self.alpha
        if not self.pool:
            return binomial_upper(errors, self.rows if self.whole else n, level)
        left = hypergeometric_upper(errors, n, size, level) - errors
        return left / max(self.rows if self.whole else size - n, 1)


def certify(
    confidence: ArrayLike, correct: ArrayLike, max_error: float, level: float = 0.95, pool: ArrayLike | None = None, *,
    scope: Scope = "auto-labelled part", stream: ArrayLike | None = None, ladder_level: float | None = None,
    mistaken: float = 0.0,
) -> Certified:  # fmt: skip
    """The lowest confidence from which the machine's labels hold `max_error`, with probability `level` or more.

    `confidence` (n,) in [0, 1] and `correct` (n,) of rows drawn at random and labelled by people; `pool` (m,) the
    confidences of all the other rows of the set they were drawn from, which are the ones that will be labelled: the
    error is then counted on them exactly (hypergeometric). Without a pool the rows come from a stream without end
    (binomial); `stream` (k,) are confidences of other rows of it, and make the ladder: without them the calibration
    rows' own do, which is exact where the error falls steadily as the confidence rises and has no jumps.

    `ladder_level` is the level the ladder is built for, where `level` itself was found on labels (`certify_groups`).
    `mistaken` is the share of people's labels that are expected to be wrong, known from other rows than these: where
    even the surest answers seem wrong so often, the ladder had better begin with more of them. It is a plan and changes
    nothing of the promise, which counts every disagreement as an error of the machine.
    `scope`: the error as a share of what the machine labels, or of the "whole set" (pool and calibration rows), whose
    other labels people give and which then count as right. Nothing certified is a result and no error. Raises
    InvalidInput for lengths that differ, a confidence outside [0, 1], and a max_error or level outside (0, 1).

    >>> sure = np.linspace(0, 1, 400)
    >>> found = certify(sure, sure > 0.3, 0.05)
    >>> round(found.threshold, 2), found.n, found.errors, round(found.bound, 3)
    (0.28, 288, 8, 0.05)
    >>> certify(sure[-50:], [True] * 50, 0.05)[::6]  # clean, but too small
    (None, 125)
    """
    sure, right = _rows(confidence, correct, max_error, level, scope)
    others = _confidences(pool, "pool")
    ladder_of: NDArray[np.float64] | None = sure
    if others is not None:
        ladder_of = np.concatenate((sure, others))
    elif stream is not None:
        ladder_of = _confidences(stream, "stream")
    question = _Question(max_error, 1 - level, scope == "whole set", others is not None,
                         len(sure) + (0 if others is None else len(others)))  # fmt: skip
    if not len(sure) or ladder_of is None or not len(ladder_of) or (others is not None and not len(others)):
        return _nothing(question, scope, labels_for(max_error, level))
    planned = question if ladder_level is None else question._replace(alpha=1 - ladder_level)
    thresholds = _begin(np.sort(ladder_of)[::-1], len(sure), planned, min(max(mistaken, 0.0), _BELIEVABLE * max_error))
    ladder = _climb(thresholds, sure, right, others)
    passed = question.p(ladder.errors, ladder.n, ladder.size) <= question.alpha * _TIES
    rung = int(passed.size if passed.all() else passed.argmin()) - 1
    if rung < 0:
        return _nothing(question, scope, _needed(ladder, len(sure), question))
    threshold, size = float(ladder.threshold[rung]), int(ladder.size[rung])
    n, errors = int(ladder.n[rung]), int(ladder.errors[rung])
    coverage = float(np.mean((sure if others is None else others) >= threshold))
    bound = min(question.bound(errors, n, size), max_error)  # p said so already; this is its last bit
    return Certified(threshold, coverage, bound, n, errors, scope, None)


def _begin(
    falling: NDArray[np.float64], labels: int, question: _Question, mistaken: float
) -> NDArray[np.float64]:  # fmt: skip
    """The ladder's thresholds, from the one that most probably passes to the loosest; from confidences, no labels."""
    total = len(falling)
    said = np.cumsum(1 - falling)
    size = _evenly(1, total)
    size = np.unique(np.searchsorted(-falling, -falling[size - 1], side="right"))  # all rows of equal confidence
    doubt = said[size - 1] / size
    n = np.maximum(np.round(labels * size / total).astype(np.int64), 1)
    most = _most_errors(n, size, question)
    from scipy.special import bdtr

    trials = np.full(n.shape, labels) if question.whole else n
    chance = np.zeros(len(size))
    share = size / total
    errors = [np.maximum(doubt * times, floor * question.max_error) for times, floor in _SCENARIOS]
    errors += [question.max_error * np.maximum(times * share**power, _FLOOR) for times, power in _BY_ORDER]
    for error in errors:
        seen = error + mistaken
        rate = np.minimum(seen * share if question.whole else seen, 1.0)
        chance += np.where(most >= 0, bdtr(np.clip(most, 0, trials), trials, rate), 0.0)
    first = int(size[chance.argmax()])
    thresholds: NDArray[np.float64] = np.unique(falling[_evenly(first, total) - 1])[::-1]
    return thresholds


def _evenly(first: int, last: int) -> NDArray[np.int64]:
    return np.unique(np.linspace(first, last, _RUNGS).round().astype(np.int64))


def _most_errors(n: NDArray[np.int64], size: NDArray[np.int64], question: _Question) -> NDArray[np.int64]:
    """How many errors a rung may show and pass; -1 where it can't. By bisection, all rungs at once."""
    low, high = np.full(n.shape, -1), np.asarray(n, np.int64)  # low passes (or is -1), what is above high does not
    while (low < high).any():
        middle = (low + high + 1) // 2
        passes = question.p(np.maximum(middle, 0), n, size) <= question.alpha * _TIES
        low, high = np.where(passes, middle, low), np.where(passes, high, middle - 1)
        high = np.maximum(low, high)
    return low


def _climb(
    thresholds: NDArray[np.float64], sure: NDArray[np.float64], right: NDArray[np.bool_],
    others: NDArray[np.float64] | None,
) -> _Ladder:  # fmt: skip
    rising, wrong = np.sort(sure), np.sort(sure[~right])
    n = len(rising) - np.searchsorted(rising, thresholds)
    errors = len(wrong) - np.searchsorted(wrong, thresholds)
    size = np.zeros(len(thresholds), np.int64)
    if others is not None:
        size = n + len(others) - np.searchsorted(np.sort(others), thresholds)
    return _Ladder(thresholds, size, n, errors)


def _nothing(question: _Question, scope: Scope, needed: int | None) -> Certified:
    return Certified(None, 0.0, 1.0, 0, 0, scope, needed)


def _needed(ladder: _Ladder, labels: int, question: _Question) -> int | None:
    """Labels with which the best rung would pass four times in five, were its error what these labels show.

    Of a stream: where a pool is small, fewer will do.
    """
    from scipy.special import bdtr, bdtrik

    least = labels_for(question.max_error, 1 - question.alpha)
    seen = np.maximum(ladder.n, 1)
    of = np.full(seen.shape, labels) if question.whole else seen
    error = np.where(ladder.n > 0, (ladder.errors + 0.5) / (of + 1), 1.0)
    part = np.ones(seen.shape) if question.whole else ladder.n / labels

    def enough(many: int) -> bool:
        n = np.maximum((many * part).astype(np.int64), 1)
        most = np.floor(bdtrik(question.alpha, n, question.max_error))  # near enough: it is a plan and no promise
        return bool((np.where(most >= 0, bdtr(np.maximum(most, 0), n, np.minimum(error, 1.0)), 0.0) >= _POWER).any())

    low, high = least - 1, max(least, labels)
    while not enough(high):
        low, high = high, high * 2
        if high > _MOST:
            return None
    while high - low > max(1, high // 50):  # to two digits, as it is an estimate
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return max(high, least)


def _rows(
    confidence: ArrayLike, correct: ArrayLike, max_error: float, level: float, scope: str
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    if not 0 < max_error < 1 or not 0 < level < 1:
        raise InvalidInput(f"max_error and level lie between 0 and 1, not {max_error} and {level}")
    if scope not in ("auto-labelled part", "whole set"):
        raise InvalidInput(f'the scope is "auto-labelled part" or "whole set", not {scope!r}')
    sure, right = _confidences(confidence, "calibration"), np.asarray(correct)
    assert sure is not None
    if right.shape != sure.shape:
        raise InvalidInput(f"{right.size} labels for {sure.size} confidences: they go in pairs")
    if right.size and not np.isin(right, (0, 1)).all():
        raise InvalidInput("correct is true or false for each row")
    return sure, right.astype(np.bool_)


def _confidences(given: ArrayLike | None, of: str) -> NDArray[np.float64] | None:
    if given is None:
        return None
    values = np.asarray(given, dtype=np.float64)
    if values.ndim != 1 or not ((values >= 0) & (values <= 1)).all():
        raise InvalidInput(f"the confidences of the {of} rows must be a list of numbers between 0 and 1")
    return values

"""What keeps the promise of automatic labels honest: a person looks at a random few of them, for ever.

A bound that held when it was made does not hold for ever: inputs change, the model is replaced. A random share of the
automatic labels therefore goes to people, who don't see the machine's answer, and `Audit` hears of each whether the
machine was right. As long as the true error is at most `max_error` it raises an alarm with probability 1 - level or
less in all its life, however often it is looked at; when the error grows it raises one soon. After an alarm nothing is
labelled automatically until `recalibrate` certifies a threshold on the newest labels.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from everloop.errors import InvalidInput
from everloop.label.guarantee import Certified, certify
from everloop.stats.anytime import bernoulli
from everloop.stats.estimate import Estimate

_MEMORIES = (2.5, 5.0, 10.0, 20.0)  # each bettor's memory, in labels times max_error: what is fast, what is slow
_FIRST = 0.5  # of the bound: what a bettor thinks the error is before it has seen anything
_MOST = 0.9  # of the stake is the most that is lost by one right label
_RICH = 1e100  # nothing is learned above: it keeps a long alarm a number
_FRESH = 5.0  # labels times max_error after which each bettor is lent something new
# Labels times max_error that are heard in 19 of 20 drifts before the alarm, while the error climbs evenly from the
# bound to twice the bound (benchmarks/guarantee.py).
_CLIMB = 90.0


class Audited(NamedTuple):
    """What the audited labels say so far."""

    alarm: bool  # the promise is broken; once true it stays so
    at: int | None  # number of the label that raised it, from 1
    error: Estimate  # of all labels heard; its interval may be looked at after each of them
    evidence: float  # what a bet against the promise has made of a stake of 1; the alarm is at 1 / (1 - level)


class Audit:
    """Listens to audited automatic labels, one after the other; the same sequence makes the same state.

    Bettors with memories of different length bet that the next label is wrong, more when they have lately seen more
    errors than promised, and nothing otherwise: under the promise no bet wins in the mean, so their wealth grows to
    1 / (1 - level) with probability 1 - level or less (Ville). Each is lent a little from time to time, so that a long
    quiet life does not leave it without a stake. Source: Waudby-Smith and Ramdas 2023, "Estimating means of bounded
    random variables by betting" (arXiv 2010.09686); the loans are a mixture over the start of the change.

    Assumed: which labels are audited is drawn at random, and people are right. Not detected: what falls between two
    audits. An error that jumps above twice the bound at once is heard after it has jumped.

    >>> audit = Audit(0.05)
    >>> for number in range(300):
    ...     state = audit.update(number % 50 != 0)  # 2 % are wrong
    >>> state.alarm, state.error.n
    (False, 300)
    >>> for number in range(200):
    ...     state = audit.update(number % 5 != 0)  # now 20 %
    >>> state.alarm, state.at
    (True, 366)
    """

    def __init__(self, max_error: float, level: float = 0.95) -> None:
        if not 0 < max_error < 1 or not 0 < level < 1:
            raise InvalidInput(f"max_error and level lie between 0 and 1, not {max_error} and {level}")
        self.max_error, self.level = max_error, level
        # Lists and not arrays: of four numbers they are five times as fast, and a start hears a long record again.
        self._forgets = [max_error / memory for memory in _MEMORIES]
        self._thinks = [_FIRST * max_error] * len(_MEMORIES)
        self._wealth = [0.0] * len(_MEMORIES)
        self._every = max(1, round(_FRESH / max_error))
        self._heard = self._wrong = self._loans = 0
        self._kept = 1.0  # of the stake, not lent yet
        self._evidence = 1.0
        self._at: int | None = None

    @classmethod
    def of(cls, max_error: float, correct: Iterable[bool], level: float = 0.95) -> "Audit":
        """The audit that has heard `correct`, in this order: how it is rebuilt from what is stored."""
        audit = cls(max_error, level)
        for one in correct:
            audit._hear(bool(one))
        return audit

    def update(self, correct: bool) -> Audited:
        """One more label that a person has looked at; the state with it."""
        self._hear(bool(correct))
        return self.state

    @property
    def state(self) -> Audited:
        """What is known so far; changes nothing."""
        error = bernoulli(self._wrong, self._heard, self.level)
        return Audited(self._at is not None, self._at, error, self._evidence)

    def _hear(self, correct: bool) -> None:
        if self._heard % self._every == 0:
            self._loans += 1
            loan = 1 / (self._loans * (self._loans + 1))  # they add up to 1
            self._kept -= loan
            self._wealth = [wealth + loan for wealth in self._wealth]
        wrong, bound = (0.0 if correct else 1.0), self.max_error
        for i, thinks in enumerate(self._thinks):
            # Kelly's stake for an error of what it thinks, chosen before the label is seen; none where that keeps the
            # promise.
            if thinks > bound:
                grown = 1 + min((thinks - bound) / (1 - bound), _MOST) / bound * (wrong - bound)
                self._wealth[i] = min(self._wealth[i] * grown, _RICH)
            self._thinks[i] = thinks + self._forgets[i] * (wrong - thinks)
        self._heard += 1
        self._wrong += int(wrong)
        self._evidence = sum(self._wealth) / len(self._wealth) + self._kept
        if self._at is None and self._evidence >= 1 / (1 - self.level):
            self._at = self._heard


def audit_share(max_error: float, rows: int) -> float:
    """The share of automatic labels to audit so that an alarm comes before the error is twice the bound.

    `rows`: over how many automatically labelled rows the error climbs evenly from `max_error` to twice that, in the
    fastest drift that is to be caught in time, in 19 of 20 cases. 1 where even looking at all would be too slow.

    >>> audit_share(0.05, 36_000), audit_share(0.05, 1_000)
    (0.05, 1.0)
    """
    if not 0 < max_error < 1 or rows < 1:
        raise InvalidInput(f"max_error lies between 0 and 1 and rows is 1 or more, not {max_error} and {rows}")
    return min(1.0, _CLIMB / (max_error * rows))


def audits_for(max_error: float, labels: int, turns: int) -> int:
    """How many of `labels` automatic labels to audit in each turn so that the alarm comes before the error is twice
    `max_error`, where it climbs evenly over `turns` turns, in 19 of 20 cases; all where that would be too slow.

    >>> audits_for(0.05, 500, 10), audits_for(0.05, 500, 100), audits_for(0.05, 50, 10)
    (180, 18, 50)
    """
    return math.ceil(audit_share(max_error, labels * turns) * labels - 1e-9) if labels else 0


def turns_until_heard(max_error: float, labels: int, audits: int) -> int | None:
    """Over how many turns the error may climb so that `audits` of `labels` labels a turn hear it in time; None: never.

    >>> turns_until_heard(0.05, 500, 10), turns_until_heard(0.05, 500, 180), turns_until_heard(0.05, 500, 0)
    (180, 10, None)
    """
    heard = min(audits, labels)
    return math.ceil(_CLIMB / (max_error * heard) - 1e-9) if heard > 0 else None


class Shift(NamedTuple):
    """Whether the confidences of recent rows are distributed as those at calibration."""

    shifted: bool
    p: float
    distance: float  # the largest difference of the two distributions, 0 to 1
    change: float  # mean confidence, recent less reference
    n: int  # recent rows


def shift(reference: ArrayLike, recent: ArrayLike, level: float = 0.95, look: int = 1) -> Shift:
    """Compare `recent` confidences (k,) with those at calibration (n,): a warning that costs no labels, and no proof.

    Confidences can move while the error stays, and an error can grow where they don't: the audit decides. `look` counts
    the windows looked at, from 1: the chance of a false warning in all of them together is 1 - level (1 / (look · (look
    + 1)) of it each). Windows must not overlap. By Kolmogorov and Smirnov's two-sample test. Raises InvalidInput for an
    empty side.

    >>> calm = np.linspace(0, 1, 500)
    >>> shift(calm, calm[::5]).shifted, shift(calm, calm[::5] ** 2).shifted
    (False, True)
    """
    a, b = np.asarray(reference, np.float64), np.asarray(recent, np.float64)
    if not a.size or not b.size or look < 1:
        raise InvalidInput("a shift needs confidences on both sides, and looks counted from 1")
    from scipy.stats import ks_2samp  # 0.5 s to import: only who looks pays it

    found = ks_2samp(a, b)
    spent = (1 - level) / (look * (look + 1))
    p = float(found.pvalue)
    return Shift(p <= spent, p, float(found.statistic), float(b.mean() - a.mean()), int(b.size))


def recalibrate(
    confidence: ArrayLike, correct: ArrayLike, asked: ArrayLike, max_error: float, rng: np.random.Generator, *,
    level: float = 0.95, window: int = 1_000, stream: ArrayLike | None = None, mistaken: float = 0.0,
) -> Certified:  # fmt: skip
    """`certify` on the newest `window` labels of the running loop, oldest first.

    They are no random sample: people are asked about every row below the threshold and about few above it. `asked` (n,)
    is the probability with which each row was sent to a person, above 0 and known when it was sent. Rows are left out
    at random until all had the same chance; only the draw of those is the new calibration, of n as small as it may be.
    Each recalibration is a promise of its own at `level`; `stream` and `mistaken` as in `certify`. Raises
    InvalidInput as that does.

    >>> rng = np.random.default_rng(0)
    >>> sure = rng.beta(4, 1, 4_000)
    >>> right, asked = rng.random(4_000) < sure ** 0.2, np.where(sure > 0.8, 0.5, 1.0)
    >>> found = recalibrate(sure, right, asked, 0.05, rng, window=2_000)
    >>> found.threshold is not None, found.n < 1_700
    (True, True)
    """
    chance: NDArray[np.float64] = np.asarray(asked, np.float64)[-window:] if window > 0 else np.zeros(0)
    sure, right = np.asarray(confidence, np.float64)[-window:], np.asarray(correct)[-window:]
    if chance.shape != sure.shape or right.shape != sure.shape or not ((chance > 0) & (chance <= 1)).all():
        raise InvalidInput("each label needs the probability, above 0, with which its row was sent to a person")
    keep = rng.random(len(chance)) * chance < (chance.min() if len(chance) else math.inf)
    return certify(sure[keep], right[keep], max_error, level, stream=stream, mistaken=mistaken)

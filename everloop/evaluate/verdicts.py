"""Champion against candidate on the golden set, paired, overall and by slice: pass, fail or inconclusive."""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from everloop.stats import clusters, intervals, paired
from everloop.stats.estimate import Estimate
from everloop.stats.multiplicity import simultaneous
from everloop.stats.power import detectable
from everloop.types import Outcome3, SliceVerdict, Verdict

ENOUGH = 20  # golden rows from which anything is said, overall and of a slice
WATCHED = 8  # golden rows from which a slice that somebody watches can fail a candidate

Right = NDArray[np.float64]  # (n,) 1 where an answer was right, else 0


class _Rows(NamedTuple):
    """What two models got right, row by row."""

    mine: Right
    theirs: Right
    groups: Sequence[str] | None

    def compare(self, level: float) -> paired.PairedResult:
        """Candidate minus champion."""
        return paired.compare(self.mine, self.theirs, self.groups, level=level)

    def only(self, at: Sequence[int]) -> "_Rows":
        """The rows at these places."""
        groups = None if self.groups is None else [self.groups[i] for i in at]
        return _Rows(self.mine[at], self.theirs[at], groups)


class _Asked(NamedTuple):
    """Which slices there are, and which of them somebody watches."""

    slices: Sequence[Sequence[str]]  # of each row
    watched: tuple[str, ...]
    strict: bool


class _Finding(NamedTuple):
    """What a verdict says, without whose it is."""

    outcome: Outcome3
    reason: str
    n: int
    method: str
    difference: tuple[float, float, float] | None = None  # candidate minus champion, with its interval
    slices: tuple[SliceVerdict, ...] = ()


def judge(
    *,
    id: str,
    loop: str,
    turn: int,
    candidate: str,
    champion: str | None,
    answers: Sequence[str | None],
    champion_answers: Sequence[str | None] | None,
    targets: Sequence[str],
    groups: Sequence[str] | None = None,
    slices: Sequence[Sequence[str]] | None = None,
    watched: Collection[str] = (),
    strict: bool = False,
    margin: float = 0.02,
    level: float = 0.95,
    out_of_fold: tuple[ArrayLike, float] | None = None,
    at: int = 0,
) -> Verdict:
    """The verdict on a candidate's `answers` to the n golden rows, beside those of the champion.

    *fail*: the two-sided interval of the difference in accuracy lies below 0; or in a slice of `ENOUGH` rows that of
    the difference, taken at a level at which the intervals of all such slices hold together, lies below `-margin`.
    *pass*: the difference is at least 0, and a candidate worse by `margin` or more is refuted one-sidedly at `level`.
    Both are asked: refuting alone would let each turn give away a little less than the margin, turn after turn; and a
    difference that merely looks good may be luck. *inconclusive*: neither, or fewer than `ENOUGH` golden rows.

    Rows are paired; near-duplicates (equal `groups`) count as dependent. `slices` names the slices of each row.

    Slices in `watched` count from `WATCHED` rows on, and share half of what all the slices' intervals may err together,
    however many others there are. One with fewer rows decides nothing, and the reason says so; with `strict`
    a candidate passes only if a loss of `margin` is ruled out in each of them.

    Where nothing is live (`champion_answers` is None) the rival is the best constant answer: pass if the accuracy is
    above its share, one-sidedly at `level`; never a fail. It is measured on the golden rows, or as long as they are
    too few on `out_of_fold`: which training rows the trainer got right without having seen them (1 or 0 each), and the
    share of their commonest target.

    One verdict looks once. Turn after turn on the same golden rows a candidate may win by luck more often than 1 -
    `level` says; a golden set that grows makes up for it. Raises ValueError for lengths that differ.

    >>> verdict = judge(id="v", loop="l", turn=1, candidate="b", champion="a", answers=["x"] * 40,
    ...                 champion_answers=["x"] * 30 + ["y"] * 10, targets=["x"] * 40)
    >>> verdict.outcome, verdict.estimate, verdict.n
    ('pass', 0.25, 40)
    """
    _check(targets, answers, champion_answers, groups, slices)
    mine = _right(answers, targets)
    theirs = None if champion_answers is None else _right(champion_answers, targets)
    score = _score(mine, groups, level)
    if theirs is not None:
        asked = _Asked(slices or [()] * len(targets), tuple(sorted(set(watched))), strict)
        finding = _against(_Rows(mine, theirs, groups), asked, margin, level)
    else:
        finding, score = _first(mine, targets, score, out_of_fold, level)
    low_high = finding.difference or (None, None, None)
    return Verdict(
        id=id, loop=loop, turn=turn, candidate=candidate, champion=champion, outcome=finding.outcome,
        reason=finding.reason, metric="accuracy", estimate=low_high[0], low=low_high[1], high=low_high[2],
        n=finding.n, level=level, margin=margin, method=finding.method,
        candidate_score=score.estimate if score else None, candidate_low=score.low if score else None,
        candidate_high=score.high if score else None,
        champion_score=float(theirs.mean()) if theirs is not None and theirs.size else None,
        slices=finding.slices, at=at,
    )  # fmt: skip


def _against(rows: _Rows, asked: _Asked, margin: float, level: float) -> _Finding:
    """The rules of `judge` where there is a champion."""
    found = _overall(rows, asked, margin, level)
    unsure = _unsure(found.slices, asked.watched) if rows.mine.size >= ENOUGH else ""
    return found._replace(reason=f"{found.reason}{unsure}")


def _overall(rows: _Rows, asked: _Asked, margin: float, level: float) -> _Finding:
    """The finding, but for what is said of watched slices with too few rows."""
    n = int(rows.mine.size)
    if not n:
        return _Finding("inconclusive", _too_few(0), 0, "none")
    gain = rows.compare(level)
    difference = (gain.estimate, gain.low, gain.high)
    scores = f"{_share(rows.mine.mean())} right against {_share(rows.theirs.mean())} on {n} golden rows"
    change = f"{scores} ({_points(*difference)}, {level:.0%} interval)"
    if n < ENOUGH:
        return _Finding("inconclusive", _too_few(n), n, gain.method, difference)
    by_slice = _slices(rows, asked, margin, level)
    found = _Finding("inconclusive", "", n, gain.method, difference, by_slice)
    if gain.high < 0:
        return found._replace(outcome="fail", reason=f"worse: {change}")
    failed = [s for s in by_slice if s.outcome == "fail"]
    worst = min(failed, key=lambda s: (s.slice not in asked.watched, s.high), default=None)
    if worst:
        where = f"{_points(worst.estimate, worst.low, worst.high)} on {worst.n} golden rows"
        which = f"the watched slice {worst.slice}" if worst.slice in asked.watched else worst.slice
        return found._replace(outcome="fail", reason=f"worse in {which}: {where}; overall {change}")
    # The lower end of a two-sided interval at 2 x level - 1 is a one-sided bound at level.
    bound = rows.compare(2 * level - 1).low
    open_ = _not_shown(by_slice, asked) if asked.strict else ""
    if gain.estimate >= 0 and bound > -margin and open_:
        why = f"a loss of {margin * 100:g} points is not ruled out in the watched slice {open_}"
        return found._replace(reason=f"{change}: {why}")
    if gain.estimate >= 0 and bound > -margin:
        return found._replace(
            outcome="pass", reason=f"{change}: a loss of {margin * 100:g} points or more is ruled out one-sidedly"
        )
    change_by_row = rows.mine - rows.theirs
    # Where no answer differs, count on one that does: a spread of nothing would claim to see anything.
    spread = max(float(change_by_row.std()), n**-0.5)
    worth = clusters.worth(change_by_row, clusters.index(rows.groups, n))
    seen = detectable(worth, spread, level) * 100
    why = "no gain was seen" if gain.estimate < 0 else f"a loss of {margin * 100:g} points is not ruled out"
    return found._replace(reason=f"{change}: {why}; so many rows show differences from about {seen:.1f} points")


def _slices(rows: _Rows, asked: _Asked, margin: float, level: float) -> tuple[SliceVerdict, ...]:
    """The comparison in each slice of `ENOUGH` rows, and in each watched one that has any, sorted by name."""
    places: dict[str, list[int]] = {}
    for i, names in enumerate(asked.slices):
        for name in set(names):
            places.setdefault(name, []).append(i)
    watched = {name: places[name] for name in asked.watched if name in places}
    others = {name: at for name, at in places.items() if len(at) >= ENOUGH and name not in watched}
    # Watched slices were named before the candidate was seen: what they may err must not shrink with each value some
    # field of the metadata happens to have. Half is theirs, half the others'.
    count = sum(len(at) >= WATCHED for at in watched.values())
    share = 2 if count and others else 1
    found = []
    for name, at in sorted({**others, **watched}.items()):
        gain = rows.only(at).compare(simultaneous(level, share * (count if name in watched else len(others))))
        outcome: Outcome3 = "fail" if gain.high < -margin else "pass" if gain.low > -margin else "inconclusive"
        if len(at) < WATCHED:
            outcome = "inconclusive"
        found.append(SliceVerdict(slice=name, estimate=gain.estimate, low=gain.low, high=gain.high, n=len(at),
                                  outcome=outcome))  # fmt: skip
    return tuple(found)


def _unsure(by_slice: Sequence[SliceVerdict], watched: Sequence[str]) -> str:
    """What a verdict's reason says of watched slices with too few golden rows to tell."""
    rows = {one.slice: one.n for one in by_slice}
    few = [f"{name} ({rows.get(name, 0)})" for name in watched if rows.get(name, 0) < WATCHED]
    if not few:
        return ""
    more = f" and {len(few) - 3} more" if len(few) > 3 else ""
    return f"; too few golden rows to tell in the watched {', '.join(few[:3])}{more}: {WATCHED} are needed"


def _not_shown(by_slice: Sequence[SliceVerdict], asked: _Asked) -> str:
    """The first watched slice in which a loss is not ruled out; empty if there is none."""
    shown = {one.slice for one in by_slice if one.outcome == "pass"}
    return next((name for name in asked.watched if name not in shown), "")


def _first(
    mine: Right,
    targets: Sequence[str],
    score: Estimate | None,
    out_of_fold: tuple[ArrayLike, float] | None,
    level: float,
) -> tuple[_Finding, Estimate | None]:
    """The rules of `judge` where nothing is live, and the accuracy they rest on."""
    method, what = "wilson", "golden rows"
    if score is not None and mine.size >= ENOUGH:
        constant = max(targets.count(target) for target in set(targets)) / len(targets)
    elif out_of_fold is not None:
        right, constant = np.asarray(out_of_fold[0], dtype=np.float64), out_of_fold[1]
        method, what = "wilson, out of fold", "training rows it had not seen"
        mine, score = right, _score(right, None, level)
    if score is None or mine.size < ENOUGH:
        return _Finding("inconclusive", _too_few(mine.size, what), int(mine.size), method), score
    worth = score.n
    bound = intervals.wilson(score.estimate * worth, worth, 2 * level - 1).low
    difference = (score.estimate - constant, score.low - constant, score.high - constant)
    said = (
        f"{_share(score.estimate)} of {mine.size} {what} right "
        f"({_share(score.low)} to {_share(score.high)}, {level:.0%} interval)"
    )
    rival = f"answering always the same would get {_share(constant)}"
    found = _Finding("inconclusive", f"{said}, not shown to beat a constant: {rival}", mine.size, method, difference)
    if bound > constant:
        found = found._replace(outcome="pass", reason=f"the first model: {said}; {rival}")
    return found, score


def _score(right: Right, groups: Sequence[str] | None, level: float) -> Estimate | None:
    """Accuracy and its interval, on as many rows as they are worth; None without rows."""
    if not right.size:
        return None
    worth = max(1, round(clusters.worth(right, clusters.index(groups, int(right.size)))))
    share = float(right.mean())
    return intervals.wilson(min(share * worth, worth), worth, level)._replace(estimate=share)


def _right(answers: Sequence[str | None], targets: Sequence[str]) -> Right:
    return np.array([answer == target for answer, target in zip(answers, targets, strict=True)], dtype=np.float64)


def _check(targets: Sequence[str], *others: Sequence[Any] | None) -> None:
    if any(other is not None and len(other) != len(targets) for other in others):
        raise ValueError("answers, groups and slices must be as many as the targets")


def _too_few(n: int, what: str = "golden rows") -> str:
    return f"{n} {what} are too few to judge by: needs {ENOUGH - n} more golden labels"


def _share(value: float) -> str:
    return f"{value:.1%}"


def _points(estimate: float, low: float, high: float) -> str:
    return f"{estimate * 100:+.1f} points, {low * 100:+.1f} to {high * 100:+.1f}"

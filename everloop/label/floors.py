"""The guarantee for each class or slice by itself: where the whole is right often enough, a part of it may not be."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from everloop.errors import InvalidInput
from everloop.label.guarantee import Certified, certify
from everloop.stats.bounds import labels_for
from everloop.stats.multiplicity import simultaneous


class Floors(NamedTuple):
    """With probability `level` or more, all of these hold together: each group's bound, and that of the rest."""

    groups: dict[Hashable, Certified]  # those tested by themselves; a threshold of None leaves the group to people
    rest: Certified | None  # the groups too small to be tested, together under one bound; None where they go to people
    pooled: tuple[Hashable, ...]  # the groups in `rest`, or left to people where it is None
    coverage: float  # share of all rows to be labelled that are labelled automatically

    def threshold(self, group: Hashable) -> float | None:
        """From which confidence on a row of `group` is labelled automatically; None: never, also if it is unknown."""
        found = self.groups.get(group, self.rest if group in self.pooled else None)
        return None if found is None else found.threshold


def certify_groups(
    confidence: ArrayLike, correct: ArrayLike, groups: Sequence[Hashable], max_error: float, level: float = 0.95,
    pool: ArrayLike | None = None, pool_groups: Sequence[Hashable] | None = None, *,
    own: Mapping[Hashable, float] | None = None, together: bool = True, stream: ArrayLike | None = None,
    stream_groups: Sequence[Hashable] | None = None, mistaken: float = 0.0,
) -> Floors:  # fmt: skip
    """A threshold for each group whose error is bounded by itself; arguments as `certify`, in the same order of rows.

    `groups` (n,) is known before anybody labels the row: the class the machine proposes, a slice of its context.
    `own` is the bound of a group that needs another than `max_error`; such a group is never put together with others.
    Groups with too few rows to pass even without an error are put `together` under `max_error`, which promises nothing
    for each of them, or are left to people. 1 - level is divided evenly among all that is tested, and what a group that
    is labelled as a whole had of it goes to the others (Holm's step, as in Bretz et al. 2009, "A graphical approach to
    sequentially rejective multiple test procedures"). Which groups are tested depends on how many rows they have and
    not on the labels. `stream` (k,), with `stream_groups`, and `mistaken` are those of `certify`; no pool
    goes with them. Raises InvalidInput as `certify`.

    >>> rng = np.random.default_rng(0)
    >>> sure, kind = rng.random(2_000), rng.choice(["card", "loan"], 2_000)
    >>> right = rng.random(2_000) < np.where(kind == "card", 0.995, 0.8)  # the mean holds 15 %, loans don't
    >>> found = certify_groups(sure, right, kind.tolist(), 0.15)
    >>> found.threshold("card") is None, found.threshold("loan") is None
    (False, True)
    """
    sure, right = np.asarray(confidence, np.float64), np.asarray(correct)
    others = None if pool is None else np.asarray(pool, np.float64)
    if len(groups) != len(sure) or right.shape != sure.shape:
        raise InvalidInput(f"{len(groups)} groups and {right.size} labels for {sure.size} confidences")
    if (others is None) != (pool_groups is None) or (pool_groups is not None and others is not None
                                                     and len(pool_groups) != len(others)):  # fmt: skip
        raise InvalidInput("pool and pool_groups go together, one group for each row")
    ladder_of = None if stream is None else np.asarray(stream, np.float64)
    if (0 if ladder_of is None else len(ladder_of)) != len(stream_groups or ()) or not (pool is None or stream is None):
        raise InvalidInput("stream and stream_groups go together, one group for each row, and take the place of a pool")
    stream_rows = _places(stream_groups or ())
    bounds = dict(own or {})
    rows = _places(groups)
    pool_rows = {} if pool_groups is None else _places(pool_groups)
    names = list(dict.fromkeys([*rows, *pool_rows, *stream_rows]))
    share = len(sure) / max(1, len(sure) + (0 if others is None else len(others)))

    def expected(name: Hashable) -> float:
        """Calibration rows of the group; with a pool, as many as a draw brings on average."""
        here = len(rows.get(name, _NONE))
        return here if others is None else share * (here + len(pool_rows.get(name, _NONE)))

    least = labels_for(max_error, level)
    tested = [name for name in names if name in bounds or expected(name) >= least]
    alone = [n for n in tested if expected(n) >= labels_for(bounds.get(n, max_error), simultaneous(level, len(tested)))]
    left = [name for name in names if name not in alone and name not in bounds]
    count = len(alone) + bool(left and together)
    each = simultaneous(level, count)

    def on(some: Sequence[Hashable], bound: float, level_now: float) -> Certified:
        at, of = _joined(rows, some), _joined(pool_rows, some)
        more = None if ladder_of is None else ladder_of[_joined(stream_rows, some)]
        return certify(sure[at], right[at], bound, level_now, None if others is None else others[of],
                       ladder_level=each, stream=more, mistaken=mistaken)  # fmt: skip

    families = {place: ([name], bounds.get(name, max_error)) for place, name in enumerate(alone)}
    if left and together:
        families[len(alone)] = (left, max_error)
    results = _stepwise(families, level, on, lambda some: len(_joined(rows, some)))
    found = {name: results[place] for place, name in enumerate(alone)}
    rest = results.get(len(alone))
    for name, bound in bounds.items():
        if name not in found:
            needed = labels_for(bound, each)
            found[name] = Certified(None, 0.0, 1.0, 0, 0, "auto-labelled part", needed)
    counted = rows if others is None else pool_rows
    total = sum(map(len, counted.values()))
    covered = sum(one.coverage * len(counted.get(name, _NONE)) for name, one in found.items())
    covered += rest.coverage * sum(len(counted.get(name, _NONE)) for name in left) if rest else 0.0
    return Floors(found, rest, tuple(left), covered / max(total, 1))


_NONE: NDArray[np.int64] = np.zeros(0, np.int64)


def _stepwise(
    families: Mapping[int, tuple[Sequence[Hashable], float]], level: float,
    on: Callable[[Sequence[Hashable], float, float], Certified], drawn: Callable[[Sequence[Hashable]], int],
) -> dict[int, Certified]:  # fmt: skip
    """Each family at its even part of 1 - level; what is labelled as a whole leaves its part to those still open."""
    results: dict[int, Certified] = {}
    open_ones = dict(families)
    while open_ones:
        now = simultaneous(level, len(open_ones))
        found = {place: on(some, bound, now) for place, (some, bound) in open_ones.items()}
        results |= found
        whole = [place for place, one in found.items() if one.coverage == 1.0 and one.n == drawn(open_ones[place][0])]
        if not whole:
            break
        for place in whole:
            del open_ones[place]
    return results


def _places(groups: Sequence[Hashable]) -> dict[Hashable, NDArray[np.int64]]:
    found: dict[Hashable, list[int]] = {}
    for place, group in enumerate(groups):
        found.setdefault(group, []).append(place)
    return {group: np.array(places, np.int64) for group, places in found.items()}


def _joined(rows: Mapping[Hashable, NDArray[np.int64]], some: Sequence[Hashable]) -> NDArray[np.int64]:
    return np.sort(np.concatenate([_NONE, *(rows.get(name, _NONE) for name in some)]))

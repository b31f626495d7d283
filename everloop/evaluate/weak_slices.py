"""Where a model is worse than elsewhere: conjunctions of metadata and clusters of inputs, each found on one half of the
rows and confirmed on the other."""

from collections.abc import Sequence

import numpy as np
from msgspec import Struct
from numpy.typing import ArrayLike, NDArray

from everloop.evaluate import error_clusters, sliceline
from everloop.evaluate.held_out import Confirmed, Place, confirm, halves, worse
from everloop.evaluate.watched import id_of

Mask = NDArray[np.bool_]

LEAST = 40  # rows from which two halves say anything
_SUPPORT = 10  # rows of a half that a slice must have at least; or a hundredth of them, if that is more
_LEVELS = 3  # predicates of a conjunction: more of them nobody can read
_METHOD = "found on one half of the rows, confirmed on the other; exact, corrected (Holm) for all that were looked at"


class WeakSlice(Struct, frozen=True, kw_only=True):
    """Rows with more errors than the others, as rows that had no part in finding them say."""

    id: str  # of what it is
    name: str
    terms: tuple[str, ...] = ()  # of metadata: rows that have them all
    centroid: tuple[float, ...] = ()  # of a cluster: rows whose vector is at most `radius` away
    radius: float = 0.0
    space: str = ""  # of the vectors
    estimate: float  # error rate, on rows it was not found on
    low: float  # interval; those of all slices looked at hold together
    high: float
    n: int  # such rows
    elsewhere: float  # error rate of rows neither in it nor in one found before it
    p: float  # of "no more errors than elsewhere", corrected for the number looked at
    support: int  # rows of all that are in it


class Found(Struct, frozen=True, kw_only=True):
    """The weak slices that were confirmed, the worst first, and what they were looked for in."""

    slices: tuple[WeakSlice, ...]
    rows: int
    errors: int
    looked: int  # slices that were found on one half and tested on the other
    level: float
    method: str
    reason: str = ""  # why there are none; empty where there are some


def find(
    terms: Sequence[Sequence[str]],
    errors: ArrayLike,
    *,
    rng: np.random.Generator,
    groups: Sequence[str] | None = None,
    vectors: ArrayLike | None = None,
    space: str = "",
    loop: str = "",
    texts: Sequence[str] | None = None,
    most: int = 5,
    alpha: float = 0.95,
    level: float = 0.95,
) -> Found:
    """The slices of n rows in which errors are more frequent: with probability `level` none of them is by chance.

    `terms` are each row's "name=value", `errors` (n,) 0 or 1, `groups` near-duplicates, `vectors` (n, columns) what
    clusters are looked for in, `texts` what clusters are named by, `loop` whose rows they are. At most `most`
    conjunctions are taken from each half, and `most` clusters from one; `alpha` is `sliceline.top`'s. Each is tested on
    rows that it was not found on and that no worse slice of the same kind has, so that a slice's parts don't come again
    in its wake.

    >>> rows = [["channel=web" if i % 4 else "channel=app", f"lang={'de' if i % 3 else 'en'}"] for i in range(1200)]
    >>> wrong = [float(i % 10 == 0 or (i % 4 == 0 and i % 5 < 3)) for i in range(1200)]
    >>> found = find(rows, wrong, rng=np.random.default_rng(0))
    >>> [(one.name, one.low > one.elsewhere) for one in found.slices]
    [('channel=app', True)]
    """
    wrong = np.asarray(errors, dtype=np.float64)
    if wrong.shape != (len(terms),) or not np.isin(wrong, (0, 1)).all():
        raise ValueError("weak slices need terms and as many errors, each 0 or 1")
    n, count = wrong.size, int(wrong.sum())
    given = Found(slices=(), rows=n, errors=count, looked=0, level=level, method=_METHOD)
    if n < LEAST or count < 2:
        few = f"{n} labelled rows" if n < LEAST else f"{count} errors in {n:,} rows"
        return _with_reason(given, f"{few} are too few to look for weak slices in: it takes {LEAST} rows and 2 errors")
    side = halves(n, groups, rng)
    codes, names = columns(terms)
    inside: list[Mask] = []
    places: list[Place] = []
    what: list[tuple[tuple[str, ...], error_clusters.Ball | None]] = []
    for finding in (side.first, ~side.first):
        predicates = _covering(codes, wrong, finding, most, alpha)
        rows = [np.all([codes[:, j] == code for j, code in one], axis=0) for one in predicates]
        places += error_clusters.places(rows, ~finding & side.alone)
        inside += rows
        what += [(tuple(sorted(names[j][code] for j, code in one)), None) for one in predicates]
    if vectors is not None:
        points = np.asarray(vectors, dtype=np.float64)
        balls = error_clusters.scan(points[side.first], wrong[side.first], most=most, rng=rng)
        rows = [ball.holds(points) for ball in balls]
        places += error_clusters.places(rows, ~side.first & side.alone)
        inside += rows
        what += [((), ball) for ball in balls]
    sure = confirm(places, wrong, level)
    slices = []
    for i in _kept(sure, inside, wrong, level):
        one = sure[i]
        assert one is not None
        slices.append(_weak(loop, *what[i], inside[i], one, space, texts))
    found = Found(slices=tuple(slices), rows=n, errors=count, looked=len(what), level=level, method=_METHOD)
    why = f"of {len(what)} slices that looked bad on one half of {n:,} rows, none was shown to be on the other"
    return found if slices else _with_reason(found, why)


def columns(terms: Sequence[Sequence[str]]) -> tuple[NDArray[np.int64], list[list[str]]]:
    """Rows of "name=value" terms as codes (n, columns), -1 where a row has none, and the term each code stands for.

    What stands before the first "=" is the column; a column of which a row has two values becomes one for each value.

    >>> columns([["a=1"], ["a=2", "b=1"], []])[0].tolist()
    [[0, -1], [1, 0], [-1, -1]]
    """
    seen: dict[str, dict[int, str]] = {}
    twice: set[str] = set()
    for i, row in enumerate(terms):
        for term in set(row):
            column = term.partition("=")[0]
            if seen.setdefault(column, {}).setdefault(i, term) != term:
                twice.add(column)
    by_name = {column: rows for column, rows in seen.items() if column not in twice}
    for i, row in enumerate(terms):
        for term in set(row):
            if term.partition("=")[0] in twice:
                by_name.setdefault(f"{term}\n", {})[i] = term  # like no column's name: those end before a "="
    made: list[NDArray[np.int64]] = []
    names: list[list[str]] = []
    for column in sorted(by_name):
        there = by_name[column]
        kinds = sorted(set(there.values()))
        number = {term: code for code, term in enumerate(kinds)}
        codes = np.full(len(terms), -1, dtype=np.int64)
        codes[list(there)] = [number[term] for term in there.values()]
        made.append(codes)
        names.append(kinds)
    return (np.column_stack(made) if made else np.zeros((len(terms), 0), np.int64)), names


def _covering(
    codes: NDArray[np.int64], errors: NDArray[np.float64], finding: Mask, most: int, alpha: float
) -> list[tuple[tuple[int, int], ...]]:
    """The worst slice of a half, then the worst of the rows outside it, and so on."""
    left = np.flatnonzero(finding)
    found: list[tuple[tuple[int, int], ...]] = []
    support = max(_SUPPORT, left.size // 100)
    while len(found) < most:
        best = sliceline.top(codes[left], errors[left], k=1, alpha=alpha, support=support, max_level=_LEVELS)
        if not best:
            break
        found.append(best[0].predicates)
        left = left[~np.all([codes[left, j] == code for j, code in best[0].predicates], axis=0)]
    return found


def _kept(
    sure: Sequence[Confirmed | None], inside: Sequence[Mask], errors: NDArray[np.float64], level: float
) -> list[int]:
    """Which are shown to be weak, the surest first; without those that the ones before explain."""
    shown = sorted((one.p, -one.n, i) for i, one in enumerate(sure) if one is not None and one.p <= 1 - level)
    taken = np.zeros(errors.size, bool)
    result: list[int] = []
    for _, _, i in shown:
        # This can only take slices away, so it costs nothing of what was shown.
        if not result or worse(errors, inside[i] & ~taken, ~inside[i] & ~taken) <= 1 - level:
            result.append(i)
            taken |= inside[i]
    return result


def _weak(
    loop: str, terms: tuple[str, ...], ball: error_clusters.Ball | None, inside: Mask, sure: Confirmed, space: str,
    texts: Sequence[str] | None,
) -> WeakSlice:  # fmt: skip
    centroid = tuple(round(float(x), 6) for x in ball.centroid) if ball is not None else ()
    radius = float(ball.radius) if ball is not None else 0.0
    words = error_clusters.name(texts, inside) if ball is not None and texts is not None else ()
    id = id_of(loop, terms, centroid, radius, space if ball is not None else "")
    return WeakSlice(
        id=id, name=" & ".join(terms) or f"near: {', '.join(words) or id[:6]}", terms=terms, centroid=centroid,
        radius=radius, space=space if ball is not None else "", estimate=sure.estimate, low=sure.low, high=sure.high,
        n=sure.n, elsewhere=sure.elsewhere, p=sure.p, support=int(inside.sum()),
    )  # fmt: skip


def _with_reason(found: Found, reason: str) -> Found:
    return Found(slices=found.slices, rows=found.rows, errors=found.errors, looked=found.looked, level=found.level,
                 method=found.method, reason=reason)  # fmt: skip

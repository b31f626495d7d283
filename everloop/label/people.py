"""How far each person's word can be believed, by what they said of rows that others spoke of, or whose label is known.

A row that was asked about because somebody's word was doubted tells nothing of people: it was picked for being wrong.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from everloop.stats.aggregation import Shrunk, Trust, rings, shrunk, trust
from everloop.stats.agreement import cohen_kappa, krippendorff_alpha
from everloop.stats.estimate import Estimate
from everloop.stats.intervals import wilson
from everloop.types import Statement

ENOUGH = 20  # judgements of somebody that can be compared, below which nothing is said of them
_MOST_WEIGHT = 2.0  # of one person's word, beside the usual
_LOWEST, _HIGHEST = 0.6, 0.99  # what is usual, at least and at most, where weights are reckoned from it
_LOOKED = 100_000  # judgements in which rings are looked for: time grows with these times the classes
_CROWD = 3  # from so many people on a ring of them can be told, and several settle what is right


class Heard(NamedTuple):
    """What was said of one row."""

    row: str
    golden: bool  # a label that was brought for it is the truth
    statements: Sequence[Statement]


class Person(NamedTuple):
    """One person, as far as others' words say how far theirs counts."""

    name: str
    answered: int  # rows they gave a label
    compared: int  # of these, rows that others gave a label too, or whose label is known
    gold: Estimate | None  # how often they were right where the label is known; None: nowhere
    agreed: Estimate | None  # how often they can be expected to be right (credible interval); None: too few compared
    weight: float  # of their word; 1 is the usual, and where too few are compared
    careless: bool  # the interval lies below that of all others together
    ring: tuple[str, ...] = ()  # who copies them, or whom they copy: together they count as one voice


class Pair(NamedTuple):
    """Two annotators who gave labels to the same rows."""

    first: str
    second: str
    kappa: Estimate | None  # Cohen's; None: both always gave one and the same label


class People(NamedTuple):
    """Everybody who was heard."""

    annotators: Mapping[str, Person]
    users: Mapping[str, Person]  # subjects who gave feedback on what annotators answered too
    usual: float  # how often an annotator is expected to be right of whom nothing is known
    usual_user: float
    alpha: Estimate | None  # Krippendorff's, over the annotators; None: no two of them gave a row labels that differ
    pairs: tuple[Pair, ...] = ()  # with enough rows together, the most first; where asked for

    def weights(self) -> dict[str, float]:
        """How much a person's word counts beside the usual, by `Statement.by`; of whom too little is known is not
        there. The members of a ring share one voice."""
        return {
            one.name: round(one.weight / (1 + len(one.ring)), 2)
            for one in (*self.users.values(), *self.annotators.values()) if one.agreed is not None
        }  # fmt: skip

    def known(self) -> int:
        """Annotators of whom enough is known."""
        return sum(one.agreed is not None for one in self.annotators.values())


class _Compared(NamedTuple):
    """What annotators said of rows that can be compared, in numbers."""

    names: list[str]
    workers: NDArray[np.int64]
    items: NDArray[np.int64]
    labels: NDArray[np.int64]
    gold: NDArray[np.int64]  # (n_items,), -1 where unknown
    n_classes: int


NOBODY = People({}, {}, 1.0, 1.0, None)


def people(
    heard: Iterable[Heard], *, picked: frozenset[str] = frozenset(), contested: frozenset[str] = frozenset(),
    rng: np.random.Generator | None = None, pairs: int = 0,
) -> People:  # fmt: skip
    """What is known of annotators and of users.

    `picked`: ids of annotations that were asked for because an earlier one was doubted; they and what they answer say
    nothing of people. `contested`: those asked for because users' word was; they say nothing of users. Truth is a
    brought golden label, or what two thirds of three annotators or more gave. `pairs`: for how many pairs of
    annotators, at most, kappa is reckoned. `rng` draws for the intervals of alpha and kappa; without one it starts
    from 0.
    """
    rows = list(heard)
    answered: dict[str, int] = {}
    first_hand: list[tuple[str, dict[str, str], str | None]] = []
    for row in rows:
        said = {s.by: s for s in row.statements if s.kind == "annotation" and s.by is not None}
        for who in said:
            answered[who] = answered.get(who, 0) + 1
        first_hand.append((row.row, {w: s.value for w, s in said.items() if s.id not in picked}, _brought(row)))
    compared = _compared(first_hand)
    users, usual_user = _users(rows, first_hand, contested)
    if compared is None:
        alone = {who: Person(who, n, 0, None, None, 1.0, careless=False) for who, n in sorted(answered.items())}
        return People(alone, users, 1.0, usual_user, None)
    annotators, usual = _annotators(compared, answered)
    generator = np.random.default_rng(0) if rng is None else rng
    return People(annotators, users, usual, usual_user, _alpha(compared, generator),
                  _pairs(compared, generator, pairs))  # fmt: skip


def _brought(row: Heard) -> str | None:
    labels = {s.value for s in row.statements if s.kind == "label"} if row.golden else set()
    return labels.pop() if len(labels) == 1 else None


def _compared(rows: Sequence[tuple[str, dict[str, str], str | None]]) -> _Compared | None:
    kept = [(said, brought) for _, said, brought in rows if len(said) > 1 or (said and brought is not None)]
    if not kept:
        return None
    values = {value: i for i, value in enumerate(
        sorted({v for said, brought in kept for v in (*said.values(), *([] if brought is None else [brought]))})
    )}  # fmt: skip
    names = sorted({who for said, _ in kept for who in said})
    number = {who: i for i, who in enumerate(names)}
    told = [(number[who], i, values[value]) for i, (said, _) in enumerate(kept) for who, value in said.items()]
    workers, items, labels = np.array(told, np.int64).T
    gold = np.array([-1 if brought is None else values[brought] for _, brought in kept], np.int64)
    return _Compared(names, workers, items, labels, gold, max(2, len(values)))


def _annotators(compared: _Compared, answered: Mapping[str, int]) -> tuple[dict[str, Person], float]:
    names, workers, items, labels, gold, k = compared
    n = len(names)
    ring = _rings(workers, items, labels, k, gold, n)
    alone = ring < 0
    voices = np.where(alone, np.cumsum(alone) - 1, ring + int(alone.sum()))
    truth = np.where(gold >= 0, gold, _settled(voices[workers], items, labels, k))
    voice, careless = _trusted(voices[workers], items, labels, k, truth, gold)
    right = np.bincount(workers, gold[items] == labels, n)
    known = np.bincount(workers, gold[items] >= 0, n).astype(int)
    several = np.bincount(items)[items] > 1
    count = np.bincount(workers, several | (gold[items] >= 0), n).astype(int)
    usual = min(max(voice.usual, _LOWEST), _HIGHEST)
    made = {}
    for who, total in sorted(answered.items()):
        i = names.index(who) if who in names else -1
        if i < 0 or count[i] < ENOUGH:
            on_gold = wilson(int(right[i]), int(known[i])) if i >= 0 and known[i] else None
            made[who] = Person(who, total, int(count[i]) if i >= 0 else 0, on_gold, None, 1.0, careless=False)
            continue
        v = voices[i]
        others = tuple(names[j] for j in np.flatnonzero((ring == ring[i]) & (ring >= 0)) if j != i)
        agreed = Estimate(float(voice.estimate[v]), float(voice.low[v]), float(voice.high[v]), int(count[i]))
        made[who] = Person(
            who, total, int(count[i]), wilson(int(right[i]), int(known[i])) if known[i] else None, agreed,
            _weight(agreed.estimate, usual), bool(careless[v]), others,
        )  # fmt: skip
    return made, usual


def _rings(
    workers: NDArray[np.int64], items: NDArray[np.int64], labels: NDArray[np.int64], k: int, gold: NDArray[np.int64],
    n: int,
) -> NDArray[np.int64]:  # fmt: skip
    """(n,) the number of the ring each is in, -1 for none; looked for in so many rows as take seconds."""
    ring = np.full(n, -1)
    kept = items % -(-workers.size // _LOOKED) == 0
    if n < _CROWD or int(kept.sum()) < ENOUGH:
        return ring
    there, number = np.unique(workers[kept], return_inverse=True)
    rows, place = np.unique(items[kept], return_inverse=True)
    ring[there] = rings(number, place, labels[kept], k, gold[rows]).ring
    return ring


def _trusted(
    voices: NDArray[np.int64], items: NDArray[np.int64], labels: NDArray[np.int64], k: int, truth: NDArray[np.int64],
    gold: NDArray[np.int64],
) -> tuple[Shrunk, NDArray[np.bool_]]:  # fmt: skip
    """Each voice's rate of being right, and who is careless.

    Of two who disagree nobody can say who is: it takes two others, or enough rows whose truth was brought. Who shares
    rows with a careless one is not judged by those: the worst is found first, and the others are compared without.
    """
    n = int(voices.max()) + 1
    told = (_partners(voices, items, n) >= 2) | (np.bincount(voices, gold[items] >= 0, n) >= ENOUGH)
    right, given = np.zeros(n), np.zeros(n)
    careless = np.zeros(n, dtype=bool)
    while True:
        kept = ~careless[voices]
        found, there = _trust(voices[kept], items[kept], labels[kept], k, truth)
        right[there], given[there] = found.right, found.given
        each = shrunk(right, given)
        rest = shrunk(np.append(right.sum() - right, right.sum()), np.append(given.sum() - given, given.sum()))
        count = np.zeros(n, np.int64)
        count[there] = found.n
        below = told & (count >= ENOUGH) & (each.high < rest.low[:-1]) & ~careless
        if not below.any() or (~careless).sum() < 2:
            return each, careless
        careless[np.where(below, each.estimate, np.inf).argmin()] = True


def _partners(voices: NDArray[np.int64], items: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """(n,) how many others each voice shares a row with."""
    from scipy.sparse import csr_array  # 0.2 s to import: only who compares pays

    said = csr_array((np.ones(voices.size), (voices, items)), shape=(n, int(items.max()) + 1))
    return np.diff(csr_array(said @ said.T).indptr).astype(np.int64) - 1


def _trust(
    voices: NDArray[np.int64], items: NDArray[np.int64], labels: NDArray[np.int64], k: int, truth: NDArray[np.int64]
) -> tuple[Trust, NDArray[np.int64]]:
    """`stats.trust` of those who are left, and their numbers."""
    there, number = np.unique(voices, return_inverse=True)
    rows, place = np.unique(items, return_inverse=True)
    return trust(number, place, labels, k, gold=truth[rows]), there


def _settled(
    voices: NDArray[np.int64], items: NDArray[np.int64], labels: NDArray[np.int64], k: int
) -> NDArray[np.int64]:
    """(n_items,) the label that two thirds of three voices or more gave; -1 where there is none: three against two
    settle nothing, as the three may copy each other."""
    one = np.unique(np.stack([items, voices, labels], 1), axis=0)  # a ring that says the same says it once
    cells, count = np.unique(one[:, 0] * k + one[:, 2], return_counts=True)
    n = int(items.max()) + 1
    total, most, top = np.zeros(n, np.int64), np.zeros(n, np.int64), np.full(n, -1)
    np.add.at(total, cells // k, count)
    order = np.argsort(count, kind="stable")
    most[cells[order] // k], top[cells[order] // k] = count[order], cells[order] % k
    return np.where((total >= _CROWD) & (3 * most >= 2 * total), top, -1)


def _users(
    rows: Sequence[Heard], first_hand: Sequence[tuple[str, dict[str, str], str | None]], contested: frozenset[str]
) -> tuple[dict[str, Person], float]:
    """Users beside what annotators said of the same rows, or what is known to be right."""
    right: dict[str, int] = {}
    count: dict[str, int] = {}
    for row, (_, said, brought) in zip(rows, first_hand, strict=True):
        doubted = any(s.id in contested for s in row.statements)
        truth = {brought} if brought is not None else (set() if doubted else set(said.values()))
        if len(truth) != 1:
            continue
        for s in row.statements:
            if s.by is not None and s.kind not in ("annotation", "label"):
                count[s.by] = count.get(s.by, 0) + 1
                right[s.by] = right.get(s.by, 0) + ((s.value in truth) != (s.kind == "refuted"))
    names = sorted(count)
    if not names:
        return {}, 1.0
    found = shrunk([right[who] for who in names], [count[who] for who in names])
    usual = min(max(found.usual, _LOWEST), _HIGHEST)
    rest = shrunk(
        [sum(right.values()) - right[who] for who in names], [sum(count.values()) - count[who] for who in names]
    )
    made = {}
    for i, who in enumerate(names):
        enough = count[who] >= ENOUGH
        agreed = Estimate(float(found.estimate[i]), float(found.low[i]), float(found.high[i]), count[who])
        made[who] = Person(
            who, 0, count[who], None, agreed if enough else None, _weight(agreed.estimate, usual) if enough else 1.0,
            enough and bool(found.high[i] < rest.low[i]),
        )  # fmt: skip
    return made, usual


def log_odds(rate: float) -> float:
    """How strongly the word speaks of somebody who is right at that rate."""
    kept = min(max(rate, 0.01), _HIGHEST)
    return float(np.log(kept / (1 - kept)))


def _weight(rate: float, usual: float) -> float:
    return round(min(max(log_odds(rate) / log_odds(usual), 0.0), _MOST_WEIGHT), 2)


def _alpha(compared: _Compared, rng: np.random.Generator) -> Estimate | None:
    several = np.bincount(compared.items)[compared.items] > 1
    if np.unique(compared.labels[several]).size < 2:
        return None  # nobody spoke of the same row, or all said one thing: there is nothing to agree about
    return krippendorff_alpha(compared.workers[several], compared.items[several], compared.labels[several], rng)


def _pairs(compared: _Compared, rng: np.random.Generator, most: int) -> tuple[Pair, ...]:
    if most <= 0:
        return ()
    by_row: dict[int, list[int]] = {}
    for place, item in enumerate(compared.items.tolist()):
        by_row.setdefault(item, []).append(place)
    shared: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for places in by_row.values():
        places.sort(key=lambda at: compared.workers[at])
        for i, a in enumerate(places):
            for b in places[i + 1 :]:
                two = (int(compared.workers[a]), int(compared.workers[b]))
                shared.setdefault(two, []).append((int(compared.labels[a]), int(compared.labels[b])))
    enough = sorted(((two, said) for two, said in shared.items() if len(said) >= ENOUGH),
                    key=lambda one: (-len(one[1]), one[0]))  # fmt: skip
    made = []
    for (a, b), said in enough[:most]:
        first, second = np.array(said, np.int64).T
        kappa = cohen_kappa(first, second, rng) if np.unique(said).size > 1 else None
        made.append(Pair(compared.names[a], compared.names[b], kappa))
    return tuple(made)

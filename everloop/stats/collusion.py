"""People who copy each other: a ring of them counts as one voice."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from everloop.stats.judgements import Aggregated, Judgements, checked, result, votes
from everloop.stats.one_coin import one_coin

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]
Flags = NDArray[np.bool_]


class Rings(NamedTuple):
    """Who copies whom, and what says so."""

    ring: Numbers  # (n_workers,) the ring's number, -1 for who is in none
    voices: Numbers  # (n_workers,) whose voice it is: the same number for all of a ring
    shared: Numbers  # (n_workers,) items shared with others of the ring; 0 for who is in none
    agreed: Floats  # (n_workers,) of them, on how many the others gave the same label (their share, summed)
    expected: Floats  # (n_workers,) and on how many they would if they did not know of each other
    released: Flags  # (n_workers,) agreed as a ring does, but are right more often than most: in no ring


class _Fitted(NamedTuple):
    """What each judgement would be if everybody answered apart."""

    judged: Judgements
    chances: NDArray[np.float32]  # (n_classes, n)


def rings(
    workers: ArrayLike,
    items: ArrayLike,
    labels: ArrayLike,
    n_classes: int,
    gold: ArrayLike | None = None,
    level: float = 0.01,
    copying: float = 0.75,
) -> Rings:
    """Workers who agree with each other far more than their quality and the items explain.

    Agreement is compared to that of people who answer apart, each with their own confusion matrix against the
    consensus, on items each of which draws its own mistakes (honest people who fall for the same trap are no ring). A
    candidate grows from the worker who agrees too much with most others; its members are those whose answers agree
    with the rest of it on too many items at `level`, corrected for the number of workers, and whose share of copied
    answers, (agreed - expected) / (shared - expected), is at least `copying`; the whole of it must pass at `level`
    over all groups of that size. A ring then counts as one voice in a new consensus, and the search goes on. One that
    as a single voice is right more often than most is released: experts agree, too. Tails are Chernoff's bounds.

    What it can't see: who copies too little or shares too few items (some ten), and a ring that outvotes everybody
    else on most of what it answers, which is the consensus unless `gold` ((n_items,), -1 where unknown) says
    otherwise. `workers`, `items` and `labels` are (n,) whole numbers from 0. Raises ValueError as
    `judgements.checked`, and for gold that does not fit.

    >>> rng = np.random.default_rng(0)
    >>> truth, items, workers = rng.integers(0, 3, 100), np.repeat(np.arange(100), 8), np.tile(np.arange(8), 100)
    >>> labels = np.where(rng.random(800) < np.where(workers < 6, 0.8, 0.4), truth[items], rng.integers(0, 3, 800))
    >>> labels[workers == 7] = labels[workers == 6]
    >>> rings(workers, items, labels, 3).ring.tolist()
    [-1, -1, -1, -1, -1, -1, 0, 0]
    """
    judged = checked(workers, items, labels, n_classes)
    known = np.full(judged.n_items, -1) if gold is None else np.asarray(gold)
    if known.shape != (judged.n_items,) or known.min() < -1 or known.max() >= n_classes:
        raise ValueError(f"gold is a class or -1 for each of {judged.n_items} items")
    n = judged.n_workers
    ring, released = np.full(n, -1), np.zeros(n, dtype=bool)
    evidence = np.zeros((3, n))
    answered = np.bincount(judged.workers)
    while True:
        voices = _voices(ring)
        fitted = _fit(judged, known, voices)
        free = (ring < 0) & ~released & (answered >= 5)
        members, counts = _strongest(fitted, free, level, copying)
        if not members.any():
            break
        joined = np.where(members, ring.max() + 1, ring)
        if _better_than_most(judged, known, _voices(joined), members):
            released |= members
        else:
            ring = joined
            evidence[:, members] = counts[:, members]
    shared, agreed, expected = evidence
    return Rings(ring, voices, shared.astype(np.int64), agreed, expected, released)


def resistant(
    method: Callable[[ArrayLike, ArrayLike, ArrayLike, int], Aggregated],
    workers: ArrayLike,
    items: ArrayLike,
    labels: ArrayLike,
    n_classes: int,
    gold: ArrayLike | None = None,
) -> tuple[Aggregated, Rings]:
    """`method` (majority, one_coin, dawid_skene, or a partial of ebcc) with each ring as one voice; see `rings`.

    The members' answers to an item share the voice, and the method learns one quality for it; the result's quality is
    again each worker's own. Raises ValueError as `rings`.
    """
    judged = checked(workers, items, labels, n_classes)
    seen = rings(workers, items, labels, n_classes, gold)
    found = method(seen.voices[judged.workers], judged.items, judged.labels, n_classes)
    return found._replace(quality=result(judged, found.probabilities).quality), seen


def _voices(ring: Numbers) -> Numbers:
    """A number from 0 for each worker, the same for all of a ring."""
    alone = ring < 0
    return np.where(alone, np.cumsum(alone) - 1, ring + int(alone.sum()))


def _fit(judged: Judgements, known: Numbers, voices: Numbers) -> _Fitted:
    """Confusion matrices and items' pulls, with each ring's voice counted once."""
    k = judged.n_classes
    one = checked(voices[judged.workers], judged.items, judged.labels, k)
    counted = votes(one)
    size = counted.sum(axis=1)
    truth = np.where(known >= 0, known, result(one, counted / size[:, None]).labels)
    its = truth[judged.items]
    cell = (judged.workers * k + its) * k + judged.labels
    counts = np.bincount(cell, judged.weights, judged.n_workers * k * k)
    confusion = np.asarray(counts.reshape(-1, k, k), dtype=np.float64)
    pooled = confusion.sum(axis=0) + 1 / k
    confusion += 2 * pooled / pooled.sum(axis=1, keepdims=True)
    confusion /= confusion.sum(axis=2, keepdims=True)
    own = [confusion[judged.workers, its, label].astype(np.float32) for label in range(k)]
    # An item's own pull to each label, fitted so that what is expected there is nearly what was said there.
    pull = np.ones((k, judged.n_items), dtype=np.float32)
    chances = np.empty((k, judged.labels.size), dtype=np.float32)
    for turn in range(6):
        for label in range(k):
            np.multiply(own[label], pull[label][judged.items], out=chances[label])
        chances /= chances.sum(axis=0)
        if turn < 5:
            for label in range(k):
                would = np.bincount(judged.items, one.weights * chances[label], judged.n_items)
                steady = would / size  # one judgement more, just as expected
                pull[label] *= (counted[:, label] + steady) / (would + steady)
    return _Fitted(judged, chances)


def _strongest(fitted: _Fitted, free: Flags, level: float, copying: float) -> tuple[Flags, Floats]:
    """The members of one ring, or of none; and every worker's (shared, agreed, expected) with it."""
    order = _suspects(fitted, free)
    nobody, counts = np.zeros(free.size, dtype=bool), np.zeros((3, free.size))
    limit = math.log(max(int(free.sum()), 1) / level)
    for start in order:
        members = start
        for _ in range(20):
            counts = _with(fitted, members)
            shared, agreed, expected = counts
            passes = free & (agreed - expected >= copying * (shared - expected)) & (_evidence(*counts) >= limit)
            if not passes.any() or (passes == members).all():
                break
            members = passes
        size = int(passes.sum())
        if size < 2 or not (passes == members).all():
            continue
        # Half of each: an agreement is both its ends'.
        total = counts[:, members].sum(axis=1) / 2
        ways = math.lgamma(free.sum() + 1) - math.lgamma(size + 1) - math.lgamma(free.sum() - size + 1)
        if float(_evidence(*total)) >= ways - math.log(level):
            return members, counts
    return nobody, counts


def _suspects(fitted: _Fitted, free: Flags, starts: int = 5) -> list[Flags]:
    """Groups to begin from: around each of the workers who agree too much with most others, most first."""
    from scipy.sparse import csr_array  # 0.2 s to import: only who looks for rings pays

    judged, chances = fitted
    kept = free[judged.workers]
    at, shape = (judged.workers[kept], judged.items[kept]), (judged.n_workers, judged.n_items)
    weights = judged.weights[kept]

    def together(values: Floats) -> "csr_array":
        # A little more than nothing, so that all products have the same places and their data stand in one order.
        held = csr_array((values + 1e-9, at), shape=shape)
        product = csr_array(held @ held.T)
        product.sort_indices()
        return product

    pairs = together(weights)
    agreed, expected = np.zeros(pairs.nnz), np.zeros(pairs.nnz)
    for label in range(judged.n_classes):
        agreed += together(weights * (judged.labels[kept] == label)).data
        expected += together(weights * chances[label][kept]).data
    z = (agreed - expected) / np.sqrt(np.maximum(expected * (1 - expected / pairs.data), 0) + 0.25)
    z[pairs.indices == np.repeat(np.arange(judged.n_workers), np.diff(pairs.indptr))] = 0.0
    signed, excess = pairs, pairs.copy()
    signed.data, excess.data = z, np.maximum(z, 0)
    strength = np.asarray(excess.power(2).sum(axis=1)).ravel()
    groups = []
    for worker in np.argsort(-strength, kind="stable")[:starts]:
        beside = excess[[worker], :].toarray().ravel()
        beside[worker] = beside.max(initial=0.0)
        near = signed @ beside
        groups.append(near > 0.5 * near.max() if near.max() > 0 else np.zeros(free.size, dtype=bool))
        # The nearest few, where half the crowd is near.
        groups.append((beside > 1.0) & (near > 0))
    return groups


def _with(fitted: _Fitted, members: Flags) -> Floats:
    """(3, n_workers): items shared with other members, and of them the share of the others agreeing, and expected."""
    judged, chances = fitted
    theirs = members[judged.workers]
    touched = np.bincount(judged.items, theirs, judged.n_items) > 0
    near = np.flatnonzero(touched[judged.items])
    judged = judged._replace(
        workers=judged.workers[near], items=judged.items[near], labels=judged.labels[near], weights=judged.weights[near]
    )
    chances, inside = chances[:, near], theirs[near] * judged.weights
    others = np.bincount(judged.items, inside, judged.n_items)[judged.items] - inside
    said = judged.items * judged.n_classes + judged.labels
    same = np.bincount(said, inside, judged.n_items * judged.n_classes)[said] - inside
    chance = np.zeros(judged.items.size)
    for label in range(judged.n_classes):
        mine = inside * chances[label]
        chance += chances[label] * (np.bincount(judged.items, mine, judged.n_items)[judged.items] - mine)
    any_other = others > 1e-6
    share = judged.weights * any_other / np.where(any_other, others, 1.0)
    return np.array([
        np.bincount(judged.workers, judged.weights * any_other, judged.n_workers),
        np.bincount(judged.workers, share * same, judged.n_workers),
        np.bincount(judged.workers, share * chance, judged.n_workers),
    ])  # fmt: skip


def _evidence(shared: Floats, agreed: Floats, expected: Floats) -> Floats:
    """Minus the log of Chernoff's bound on so much agreement by chance; 0 where there is no more than expected."""
    from scipy.special import rel_entr

    n = np.maximum(shared, 1e-12)
    p, q = np.clip(agreed / n, 0, 1), np.clip(expected / n, 1e-9, 1 - 1e-9)
    return np.where(p > q, n * (rel_entr(p, q) + rel_entr(1 - p, 1 - q)), 0.0)


def _better_than_most(judged: Judgements, known: Numbers, voices: Numbers, members: Flags) -> bool:
    """Whether the members' one voice is right more often than the median of the others."""
    found = one_coin(voices[judged.workers], judged.items, judged.labels, judged.n_classes)
    sure = known >= 0
    truth = found.probabilities
    truth[sure] = np.eye(judged.n_classes)[known[sure]]
    quality = result(checked(voices[judged.workers], judged.items, judged.labels, judged.n_classes), truth).quality
    ring = int(voices[members][0])
    others = np.delete(quality, ring)
    return bool(others.size) and bool(quality[ring] > np.median(others))

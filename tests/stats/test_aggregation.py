"""Labels from people who disagree: what must hold for any of them, and what is known of real crowds."""

import csv
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.stats.aggregation import (
    dawid_skene,
    ebcc,
    majority,
    one_coin,
    resistant,
    rings,
    select,
    stacked,
    trust,
    with_model,
)

DATA = Path(__file__).parents[3] / "shared/data"


def seeded_ebcc(workers, items, labels, n_classes):
    return ebcc(workers, items, labels, n_classes, np.random.default_rng(0), groups=3, restarts=2)


METHODS = [majority, one_coin, dawid_skene, seeded_ebcc]
EACH = pytest.mark.parametrize("method", METHODS, ids=lambda method: method.__name__)


def crowd(rng, n_items=200, n_workers=20, each=5, n_classes=3, quality=None):
    """(workers, items, labels, truth): each item is judged by `each` different workers."""
    truth = rng.integers(0, n_classes, n_items)
    quality = rng.uniform(0.4, 0.95, n_workers) if quality is None else np.asarray(quality)
    workers = np.concatenate([rng.permutation(n_workers)[:each] for _ in range(n_items)])
    workers[:n_workers] = np.arange(n_workers)  # nobody without a judgement
    items = np.repeat(np.arange(n_items), each)
    right = rng.random(items.size) < quality[workers]
    wrong = (truth[items] + rng.integers(1, n_classes, items.size)) % n_classes
    return workers, items, np.where(right, truth[items], wrong), truth


def real(name):
    path = DATA / ("snow2008_rte/rte.csv" if name == "rte" else f"activecrowd/{name}.csv")
    if not path.exists():
        pytest.skip(f"{path} is missing: it is not part of the project")
    with path.open(encoding="utf-8") as file:
        rows = [row[:4] for row in csv.reader(file)][name == "rte" :]
    workers = np.unique([row[0] for row in rows], return_inverse=True)[1]
    items = np.unique([row[1] for row in rows], return_inverse=True)[1]
    classes, codes = np.unique([row[2] for row in rows] + [row[3] for row in rows], return_inverse=True)
    gold = np.empty(items.max() + 1, dtype=np.int64)
    gold[items] = codes[len(rows) :]
    return workers, items, codes[: len(rows)], classes.size, gold


@EACH
@settings(max_examples=15)
@given(seed=st.integers(0, 2**32), k=st.integers(2, 5))
def test_what_any_result_is(method, seed, k):
    workers, items, labels, _ = crowd(np.random.default_rng(seed), n_items=30, n_workers=7, each=3, n_classes=k)
    found = method(workers, items, labels, k)
    assert found.probabilities.shape == (30, k)
    assert found.probabilities.sum(axis=1) == pytest.approx(1)
    assert (found.probabilities >= 0).all()
    assert ((found.quality >= 0) & (found.quality <= 1)).all()
    assert found.quality.shape == (7,)
    assert (found.probabilities[np.arange(30), found.labels] >= found.probabilities.max(axis=1) - 1e-8).all()


@pytest.mark.parametrize("method", [majority, one_coin, dawid_skene])
@settings(max_examples=20)
@given(seed=st.integers(0, 2**32))
def test_names_and_order_do_not_matter(method, seed):
    rng = np.random.default_rng(seed)
    workers, items, labels, _ = crowd(rng, n_items=40, n_workers=8, each=5)
    people, things, classes = rng.permutation(8), rng.permutation(40), rng.permutation(3)
    order = rng.permutation(workers.size)
    plain = method(workers, items, labels, 3)
    again = method(people[workers][order], things[items][order], classes[labels][order], 3)
    assert np.allclose(again.probabilities[things][:, classes], plain.probabilities, atol=1e-6)
    assert np.allclose(again.quality[people], plain.quality, atol=1e-6)


@EACH
@settings(max_examples=15)
@given(seed=st.integers(0, 2**32))
def test_a_crowd_of_one_mind_is_followed(method, seed):
    rng = np.random.default_rng(seed)
    workers, items, _, truth = crowd(rng, n_items=30, n_workers=6, each=3)
    found = method(workers, items, truth[items], 3)
    assert (found.labels == truth).all()
    # EBCC's priors leave a doubt; nobody is doubted more than chance would have it.
    assert (found.quality > (0.5 if method is seeded_ebcc else 0.95)).all()


@EACH
def test_repeating_an_answer_gives_it_no_more_weight(method):
    workers, items, labels, _ = crowd(np.random.default_rng(4))
    plain = method(workers, items, labels, 3)
    loud = np.concatenate([np.arange(labels.size), np.repeat(np.flatnonzero(workers == 0), 5)])
    again = method(workers[loud], items[loud], labels[loud], 3)
    assert np.allclose(again.probabilities, plain.probabilities, atol=1e-6)


@EACH
def test_one_judgement_an_item_and_one_worker(method):
    alone = method(np.zeros(4, dtype=int), np.arange(4), np.array([0, 1, 1, 1]), 2)
    assert alone.labels[1:].tolist() == [1, 1, 1]  # the classes' shares may outweigh one voice for the other
    assert np.isfinite(alone.probabilities).all()
    single = method([0], [0], [1], 3)
    assert single.labels.tolist() == [1]


def test_models_of_workers_beat_the_majority_where_workers_differ():
    rng = np.random.default_rng(0)
    quality = np.r_[np.full(5, 0.95), np.full(15, 0.45)]
    workers, items, labels, truth = crowd(rng, n_items=1_000, each=7, quality=quality)
    right = {method.__name__: (method(workers, items, labels, 3).labels == truth).mean() for method in METHODS}
    assert min(right["one_coin"], right["dawid_skene"], right["seeded_ebcc"]) > right["majority"] + 0.03
    found = one_coin(workers, items, labels, 3)
    assert np.abs(found.quality - quality).max() < 0.12


def test_dawid_skene_finds_who_mixes_two_classes_up():
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 3, 600)
    items, workers = np.repeat(np.arange(600), 5), np.tile(np.arange(5), 600)
    right = rng.random(items.size) < 0.8
    labels = np.where(right, truth[items], rng.integers(0, 3, items.size))
    swapped = np.array([0, 2, 1])
    labels = np.where(workers >= 3, swapped[labels], labels)  # two of five always swap two classes
    assert (dawid_skene(workers, items, labels, 3).labels == truth).mean() > 0.93
    assert (majority(workers, items, labels, 3).labels == truth).mean() < 0.9


def test_more_likely_at_every_step():
    workers, items, labels, _ = crowd(np.random.default_rng(2))
    for method in (one_coin, dawid_skene):
        steps = [method(workers, items, labels, 3, iterations=n, tolerance=0).log_likelihood for n in range(1, 15)]
        assert (np.diff(steps) > -0.05).all()  # what is smoothed may give back a little


@pytest.mark.parametrize(
    ("workers", "items", "labels", "k", "says"),
    [
        ([], [], [], 2, "at least one"),
        ([0, 1], [0], [0, 1], 2, "one length"),
        ([0.0], [0], [0], 2, "whole numbers"),
        ([-1], [0], [0], 2, "from 0"),
        ([0], [0], [2], 2, "below the number of classes"),
        ([0], [0], [0], 1, "below the number of classes"),
        ([0], [1], [0], 2, "every item needs a judgement"),
        ([0, 2], [0, 0], [0, 1], 2, "every worker needs a judgement"),
        ([0], [2**60], [0], 2, "every item needs a judgement"),
    ],
)
@EACH
def test_what_is_refused(method, workers, items, labels, k, says):
    with pytest.raises(ValueError, match=says):
        method(workers, items, labels, k)


# The published runs' output stands beside its code, yuan-li/truth-inference-at-scale, test_ebcc.ipynb.
@pytest.mark.parametrize(("name", "published"), [("rte", 0.93125), ("MS", 0.787143), ("SP_amt", 0.944)])
def test_ebcc_as_published(name, published):
    workers, items, labels, k, gold = real(name)
    found = ebcc(workers, items, labels, k, np.random.default_rng(1), restarts=3)
    assert (found.labels == gold).mean() == pytest.approx(published, abs=0.005)


@pytest.mark.slow
def test_dawid_skene_loses_to_the_majority_on_zencrowd_and_gold_tells():
    workers, items, labels, k, gold = real("ZenCrowd_us")
    assert (dawid_skene(workers, items, labels, k).labels == gold).mean() < 0.84
    rng = np.random.default_rng(0)
    known = np.where(rng.permutation(gold.size) < 100, gold, -1)
    found = select(workers, items, labels, k, known, rng, restarts=1)
    assert found.name in {"one_coin", "ebcc"}
    assert (found.result.labels == gold).mean() > 0.89
    assert found.name in found.why


def test_selection_needs_gold():
    rng = np.random.default_rng(0)
    workers, items, labels, truth = crowd(rng)
    few = np.where(np.arange(200) < 19, truth, -1)
    found = select(workers, items, labels, 3, few, rng)
    assert (found.name, found.gold, found.tried) == ("majority", 19, ())
    assert select(workers, items, labels, 3, np.full(200, -1), rng, least=0).name == "majority"
    enough = select(workers, items, labels, 3, np.where(np.arange(200) < 100, truth, -1), rng, restarts=1)
    assert [tried.name for tried in enough.tried] == ["majority", "one_coin", "dawid_skene", "ebcc"]
    assert all(tried.accuracy.n == 100 for tried in enough.tried)
    for wrong in (truth[:5], np.full(200, 3), np.full(200, -2), truth.astype(float)):
        with pytest.raises(ValueError, match="gold"):
            select(workers, items, labels, 3, wrong, rng)


def test_selection_stays_with_the_majority_where_it_is_best():
    """Gold that says the opposite of what the model of the workers says."""
    rng = np.random.default_rng(3)
    workers, items, labels, _ = crowd(rng, n_items=400, each=5)
    usual = majority(workers, items, labels, 3).labels
    assert select(workers, items, labels, 3, usual, rng, restarts=1).name == "majority"


def test_a_model_helps_where_judgements_are_few():
    rng = np.random.default_rng(0)
    workers, items, labels, truth = crowd(rng, n_items=1_500, each=3, quality=rng.uniform(0.5, 0.9, 20))
    sure = 0.8 * np.eye(3)[np.where(rng.random(1_500) < 0.7, truth, rng.integers(0, 3, 1_500))] + 0.2 / 3
    joined = with_model(workers, items, labels, 3, sure)
    assert joined.probabilities.sum(axis=1) == pytest.approx(1)
    best = max((majority(workers, items, labels, 3).labels == truth).mean(), (sure.argmax(axis=1) == truth).mean())
    assert (joined.labels == truth).mean() > best + 0.01
    # A model that knows nothing is hardly listened to.
    blind = with_model(workers, items, labels, 3, rng.dirichlet(np.ones(3), 1_500))
    assert blind.model_weight < 0.2 * joined.model_weight
    assert (blind.labels == truth).mean() > (majority(workers, items, labels, 3).labels == truth).mean() - 0.01
    with pytest.raises(ValueError, match="rows that sum to 1"):
        with_model(workers, items, labels, 3, sure[:, :2])


@pytest.mark.parametrize("name", ["SP_amt", "CF_amt", "ZenCrowd_us", "MS", "rte"])
def test_no_ring_in_real_crowds(name):
    workers, items, labels, k, _ = real(name)
    assert (rings(workers, items, labels, k).ring == -1).all()


@pytest.mark.parametrize("seed", range(6))
def test_no_ring_among_the_honest(seed):
    """Good ones among bad ones, traps that draw the same mistake, and people who always say the same."""
    rng = np.random.default_rng(seed)
    quality = np.r_[np.full(6, 0.97), rng.uniform(0.45, 0.8, 24)]
    workers, items, labels, truth = crowd(rng, n_items=300, n_workers=30, each=8, quality=quality)
    trap = rng.random(300) < 0.2
    fallen = trap[items] & (rng.random(items.size) < 0.6) & (workers >= 6)
    labels = np.where(fallen, (truth[items] + 1) % 3, labels)
    labels[workers >= 27] = 2
    assert (rings(workers, items, labels, 3).ring == -1).all()


@pytest.mark.parametrize("size", [3, 10])
def test_a_ring_is_found_and_counts_as_one_voice(size):
    rng = np.random.default_rng(size)
    workers, items, labels, truth = crowd(rng, n_items=400, n_workers=34, each=8, quality=np.full(34, 0.75))
    script = np.where(rng.random(400) < 0.7, (truth + 1) % 3, truth)
    labels = np.where(workers < size, script[items], labels)
    found, seen = resistant(majority, workers, items, labels, 3)
    assert (seen.ring[:size] == 0).all()
    assert (seen.ring[size:] == -1).all()
    assert np.unique(seen.voices).size == 35 - size
    assert seen.agreed[:size] == pytest.approx(seen.shared[:size])
    assert (seen.shared[:size] > 10).all()
    assert (seen.expected[:size] < seen.agreed[:size]).all()
    before = (majority(workers, items, labels, 3).labels == truth).mean()
    assert (found.labels == truth).mean() >= before
    assert found.quality.shape == (34,)
    if size == 10:
        assert (found.labels == truth).mean() > before + 0.05
        for method in (one_coin, dawid_skene, partial(seeded_ebcc)):
            assert (resistant(method, workers, items, labels, 3)[0].labels == truth).mean() > 0.85


def test_two_rings_stay_two():
    rng = np.random.default_rng(0)
    workers, items, labels, truth = crowd(rng, n_items=500, n_workers=40, each=8, quality=np.full(40, 0.8))
    for first, shift in ((0, 1), (6, 2)):
        script = np.where(rng.random(500) < 0.8, (truth + shift) % 3, truth)
        inside = (workers >= first) & (workers < first + 6)
        labels = np.where(inside, script[items], labels)
    ring = rings(workers, items, labels, 3).ring
    assert (ring >= 0).sum() == 12
    assert len({*ring[:6]}) == len({*ring[6:12]}) == 1
    assert ring[0] != ring[6]


def test_two_accounts_of_a_good_worker_are_let_go():
    rng = np.random.default_rng(1)
    workers, items, labels, truth = crowd(rng, n_items=300, n_workers=10, each=10, quality=np.full(10, 0.6))
    twin = np.where(rng.random(300) < 0.9, truth, (truth + 1) % 3)
    labels = np.where(workers < 2, twin[items], labels)
    found = rings(workers, items, labels, 3)
    assert (found.ring == -1).all()
    assert found.released[2:].sum() == 0


def test_trust_follows_gold_and_is_shrunk():
    rng = np.random.default_rng(0)
    workers, items, labels, truth = crowd(rng, n_items=400, quality=np.r_[0.95, 0.3, np.full(18, 0.7)])
    found = trust(workers, items, labels, 3, np.where(np.arange(400) < 200, truth, -1))
    assert found.estimate[0] == found.estimate.max()
    assert found.estimate[1] == found.estimate.min()
    assert (found.low < found.estimate).all()
    assert (found.estimate < found.high).all()
    assert (found.gold < found.n).all()
    assert found.n.sum() == workers.size
    # One right answer makes nobody an expert; what only one person saw is no evidence.
    new = trust(np.r_[workers, 20], np.r_[items, 0], np.r_[labels, truth[0]], 3, truth)
    assert new.n[20] == 1
    assert abs(new.estimate[20] - new.usual) < 0.2
    assert new.high[20] - new.low[20] > 0.4
    alone = trust(np.r_[workers, 20], np.r_[items, 400], np.r_[labels, 0], 3)
    assert alone.n[20] == 0
    assert alone.estimate[20] == pytest.approx(alone.usual)
    with pytest.raises(ValueError, match="gold"):
        trust(workers, items, labels, 3, truth[:3])
    with pytest.raises(ValueError, match="peers"):
        trust(workers, items, labels, 3, peers=2)


def test_stacking_weighs_each_way_by_what_it_held_of_gold():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 300)
    good, bad = np.eye(3)[truth] * 0.7 + 0.1, np.eye(3)[(truth + 1) % 3] * 0.7 + 0.1
    ways = {"bad": majority([0] * 300, np.arange(300), truth, 3)._replace(probabilities=bad, labels=bad.argmax(1)),
            "good": majority([0] * 300, np.arange(300), truth, 3)._replace(probabilities=good)}  # fmt: skip
    found = stacked(ways, np.where(np.arange(300) < 40, truth, -1))
    assert found.gold == 40
    assert found.weights["good"] > 0.9
    assert (found.labels == truth).all()
    assert np.allclose(found.probabilities.sum(axis=1), 1)
    even = stacked(ways, np.full(300, -1))
    assert even.weights == {"bad": 0.5, "good": 0.5}
    assert (even.labels == bad.argmax(1)).all()  # a draw: the first way's
    for gold in (np.full(299, -1), np.full(300, 3), np.full(300, 0.5)):
        with pytest.raises(ValueError, match="gold"):
            stacked(ways, gold)
    with pytest.raises(ValueError, match="nothing"):
        stacked({}, [0])

"""What is planted is found and said with an interval; what is not there is not; and no half is used twice."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.evaluate import error_clusters, find
from everloop.evaluate.held_out import Place, confirm, halves, worse
from everloop.evaluate.weak_slices import LEAST, columns


def rows(rng, n, lift=0.0):
    channel = rng.choice(["web", "app", "mail"], n, p=[0.5, 0.3, 0.2])
    lang = rng.choice(["en", "de", "fr"], n)
    terms = [(f"channel={a}", f"lang={b}") for a, b in zip(channel, lang, strict=True)]
    return terms, (rng.random(n) < 0.1 + lift * ((channel == "web") & (lang == "de"))).astype(float)


def test_a_planted_slice_is_found_with_its_interval_and_nothing_in_its_wake():
    hits = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        terms, errors = rows(rng, 1_500, 0.3)
        found = find(terms, errors, rng=rng)
        assert found.rows == 1_500
        assert len(found.slices) <= 2
        hits += any(one.terms == ("channel=web", "lang=de") for one in found.slices)
        for one in found.slices:
            assert one.low <= one.estimate <= one.high
            assert one.p <= 0.05
            assert one.n < one.support
    assert hits >= 9


@pytest.mark.slow
def test_without_an_effect_a_false_alarm_is_as_rare_as_promised():
    """At most 5 of 100; 6 or more of 25 would come by chance less than once in a thousand times."""
    alarms = 0
    for seed in range(25):
        rng = np.random.default_rng(1_000 + seed)
        terms, errors = rows(rng, 200)
        alarms += bool(find(terms, errors, vectors=rng.standard_normal((200, 3)), rng=rng).slices)
    assert alarms <= 5


def test_a_cluster_is_found_named_and_can_be_asked_for_members():
    rng = np.random.default_rng(5)
    vectors = np.concatenate([rng.normal(0, 1, (900, 8)), rng.normal(3, 0.5, (100, 8))])
    errors = (rng.random(1_000) < np.where(np.arange(1_000) >= 900, 0.7, 0.05)).astype(float)
    texts = ["the rate of the euro"] * 900 + ["my phone was stolen"] * 100
    best = error_clusters.clusters(vectors, errors, texts=texts, rng=rng)[0]
    assert best.p < 0.001
    assert {"phone", "stolen"} <= set(best.words)
    assert best.low > best.elsewhere
    inside = best.ball.holds(vectors)
    assert inside[900:].mean() > 0.9
    assert inside[:900].mean() < 0.02
    assert (best.support, best.ball.holds(np.full((1, 8), -3.0)).any()) == (inside.sum(), False)
    found = find([()] * 1_000, errors, vectors=vectors, space="numbers.8", texts=texts, rng=np.random.default_rng(5))
    assert [one.name.startswith("near: ") for one in found.slices] == [True]
    assert (len(found.slices[0].centroid), found.slices[0].space) == (8, "numbers.8")
    again = find([()] * 1_000, errors, vectors=vectors, space="numbers.8", texts=texts, rng=np.random.default_rng(5))
    assert again == found


def test_one_persons_word_never_names_a_cluster():
    texts = ["ada lovelace asks", "a card was lost", "a card was lost", "a card is lost", *["rates"] * 20]
    inside = np.arange(24) < 4
    assert error_clusters.name(texts, inside)[:2] == ("card", "lost")
    assert "lovelace" not in error_clusters.name(texts, inside, most=99)


@pytest.mark.slow
def test_clusters_without_an_effect_keep_their_promise():
    alarms = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        found = error_clusters.clusters(rng.standard_normal((200, 4)), rng.random(200) < 0.2, rng=rng)
        alarms += any(one.p <= 0.05 for one in found)
    assert alarms <= 6


@pytest.mark.parametrize("n", [0, 1, LEAST - 1])
def test_too_few_rows_say_so(n):
    found = find([("a=1",)] * n, [1.0] * n, rng=np.random.default_rng(0))
    assert found.slices == ()
    assert "too few to look" in found.reason


def test_no_metadata_no_errors_or_nothing_but_errors():
    for errors in ([0.0] * 100, [1.0] * 100):
        for terms in ([()] * 100, [("a=1",)] * 100):
            found = find(terms, errors, vectors=np.zeros((100, 2)), rng=np.random.default_rng(0))
            assert found.slices == ()
            assert found.reason
    with pytest.raises(ValueError, match="0 or 1"):
        find([()] * 50, [0.5] * 50, rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match="0 or 1"):
        error_clusters.clusters(np.zeros((3, 2)), [0, 1], rng=np.random.default_rng(0))


def test_near_duplicates_stay_in_one_half_and_count_once():
    groups = [f"g{i // 4}" for i in range(400)]
    side = halves(400, groups, np.random.default_rng(0))
    assert all(len({bool(side.first[i + j]) for j in range(4)}) == 1 for i in range(0, 400, 4))
    assert side.alone.sum() == 100
    errors = np.repeat(np.arange(100) < 12, 4).astype(float)
    terms = [("a=1",) if i < 60 else ("a=2",) for i in range(400)]
    found = find(terms, errors, groups=groups, rng=np.random.default_rng(0))
    assert all(one.n <= 15 for one in found.slices)


@given(st.lists(st.booleans(), min_size=2, max_size=40), st.data())
@settings(max_examples=25, deadline=None)
def test_the_test_is_fishers(errors, data):
    from scipy.stats import fisher_exact

    wrong = np.array(errors, dtype=float)
    inside = np.array(data.draw(st.lists(st.booleans(), min_size=wrong.size, max_size=wrong.size)))
    if not inside.any() or inside.all():
        assert worse(wrong, inside, ~inside) == 1.0
        return
    a, b = wrong[inside], wrong[~inside]
    table = [[a.sum(), a.size - a.sum()], [b.sum(), b.size - b.sum()]]
    assert worse(wrong, inside, ~inside) == pytest.approx(fisher_exact(table, alternative="greater").pvalue)


def test_a_place_that_cannot_be_tested_counts_as_looked_at():
    errors = np.array([1.0, 1, 1, 1, 0, 0, 0, 0, 0, 0])
    inside, none = np.arange(10) < 4, np.zeros(10, bool)
    held = np.ones(10, bool)
    alone = confirm([Place(inside, inside, ~inside, held)], errors, 0.95)[0]
    both = confirm([Place(inside, inside, ~inside, held), Place(none, none, ~none, held)], errors, 0.95)
    assert both[1] is None
    assert both[0].p == pytest.approx(2 * alone.p)
    assert both[0].low < alone.low


@given(st.lists(st.lists(st.sampled_from(["a=1", "a=2", "a=x=1", "b=1", "b="]), max_size=4), max_size=12))
def test_columns_say_what_rows_have(terms):
    codes, names = columns(terms)
    assert codes.shape == (len(terms), len(names))
    for row, line in zip(terms, codes, strict=True):
        assert {names[j][code] for j, code in enumerate(line) if code >= 0} == set(row)

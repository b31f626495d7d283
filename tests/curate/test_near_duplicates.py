"""Near-duplicates against brute force, the laws of groups, and what a flood or an attacker would send."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from everloop.curate.inputs import normalise
from everloop.curate.near_duplicates import between, compare, components, grams, groups, jaccard, pairs
from everloop.curate.near_vectors import pairs as vector_pairs
from everloop.curate.shingles import shingle, similarities
from everloop.curate.signatures import Banding, banding, sign

WORDS = "card transfer arrived pending refund exchange rate top up cash atm fee pin lost stolen phone".split()
sentences = st.lists(st.sampled_from(WORDS), min_size=3, max_size=12).map(" ".join)
odd = st.text(max_size=30) | st.text(alphabet="ab ", max_size=12) | st.sampled_from(["", " ", "x", "ﬁ", "ß", "\ud800"])


def brute(texts, threshold):
    sets = [grams(t) for t in texts]
    return {(i, j) for j in range(len(texts)) for i in range(j) if jaccard(sets[i], sets[j]) >= threshold}


def partition(labels):
    return {frozenset(np.flatnonzero(labels == one).tolist()) for one in np.unique(labels)}


@given(st.lists(sentences, max_size=40))
@settings(max_examples=25, deadline=None)
def test_every_pair_found_is_one_and_groups_join_what_brute_force_joins(texts):
    wanted = brute(texts, 0.7)
    found = {tuple(p) for p in pairs(texts, 0.7).tolist()}
    assert found <= wanted
    joined = groups(texts, 0.7)
    missed = [(i, j) for i, j in wanted if joined[i] != joined[j]]
    assert len(missed) <= 0.02 * len(wanted)


@given(st.lists(odd, max_size=20))
@settings(max_examples=60, deadline=None)
def test_similarity_is_the_jaccard_of_sets_of_strings_whatever_the_characters(texts):
    some = shingle(texts)
    sets = [grams(text) for text in texts]
    assert some.sizes.tolist() == [len(one) for one in sets]
    asked = np.array([(i, j) for j in range(len(texts)) for i in range(j)], np.int64).reshape(-1, 2)
    wanted = [jaccard(sets[i], sets[j]) for i, j in asked.tolist()]
    assert similarities(some, some, asked).tolist() == pytest.approx(wanted)


@given(st.lists(sentences | odd, max_size=30), st.randoms(use_true_random=False))
@settings(max_examples=20, deadline=None)
def test_groups_do_not_depend_on_the_order_of_the_texts(texts, random):
    order = list(range(len(texts)))
    random.shuffle(order)
    shuffled = groups([texts[i] for i in order])
    back = np.empty(len(texts), np.int64)
    back[order] = shuffled
    assert partition(back) == partition(groups(texts))


@given(st.lists(sentences, min_size=1, max_size=30))
@settings(max_examples=20, deadline=None)
def test_band_keys_depend_on_the_text_alone(texts):
    cut = Banding(16, 4)
    together = sign(texts, cut)
    assert all((sign([text], cut).keys[:, 0] == together.keys[:, i]).all() for i, text in enumerate(texts))


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7, 0.8, 0.9, 1.0])
def test_the_bands_fit_the_threshold(threshold):
    cut = banding(threshold)
    assert cut.bands * cut.rows <= 64
    assert cut.found(threshold) >= 0.985


@pytest.mark.parametrize("threshold", [0.0, -1.0, 1.1, float("nan")])
def test_a_threshold_that_is_no_similarity_is_refused(threshold):
    with pytest.raises(ValueError, match="lies above 0"):
        groups(["a", "b"], threshold)


def test_planted_edits_are_found():
    rng = np.random.default_rng(0)
    originals = [" ".join(rng.choice(WORDS, 12)) + f" {i:05d}" for i in range(300)]
    edited = [text.upper() + "?" for text in originals]
    joined = groups(originals + edited)
    assert (joined[:300] == joined[300:]).all()


def test_a_group_is_named_after_its_first_text():
    assert groups(["cancel it", "where is my card", "Where is my card?", "hold it"]).tolist() == [0, 1, 1, 3]
    assert groups(["cancel it now", "where is my card", "Cancel it now.", ""]).tolist() == [0, 1, 0, 3]


def test_only_pairs_with_a_newcomer_are_given():
    texts = ["where is my card please", "where is my card please!", "where is my card please?"]
    assert {tuple(p) for p in pairs(texts, 0.7, first_new=2).tolist()} == {(0, 2), (1, 2)}


def test_texts_of_the_same_grams_are_near_to_what_their_first_is_near_to():
    texts = ["abababab and so on", "abababab and so on!", "ababababab and so on"]  # the last has the grams of the first
    assert {tuple(p) for p in pairs(texts, 0.7).tolist()} == {(0, 1), (0, 2), (1, 2)}


def test_odd_texts_do_no_harm():
    texts = ["", " ", "a", "é" * 5, "\U0001f600" * 9, "a\x00b", "…" * 1000]  # dots at an end do not count
    assert groups(texts).tolist() == [0, 0, 2, 3, 4, 5, 0]
    assert groups([]).shape == (0,)
    assert groups(["x"]).tolist() == [0]
    assert pairs([]).shape == pairs(["x"]).shape == between([], ["x"]).shape == (0, 2)


@pytest.mark.slow
def test_a_flood_of_one_text_costs_what_one_costs():
    texts = ["where is my card"] * 100_000 + ["Where is my card?"]
    assert not groups(texts).any()
    assert len(pairs(texts[:20_000])) == 19_999  # each with the first, not all with all


def test_a_crowd_in_one_bucket_is_not_compared_all_with_all(monkeypatch):
    compared = []
    monkeypatch.setattr(
        "everloop.curate.near_duplicates.compare", lambda *given: compared.append(len(given[4])) or compare(*given)
    )
    rng = np.random.default_rng(3)
    opening = "hello there, could you please be so kind and tell me all about "
    texts = [opening + "".join(map(chr, rng.integers(97, 123, 40))) for _ in range(3_000)]
    assert len(np.unique(groups(texts))) == 3_000  # alike by half, and no more
    assert sum(compared) < 16 * 3_000 * 8
    compared.clear()
    counted = [
        f"your order {i:05d} has left our house and will be with you before the end of the week" for i in range(3_000)
    ]
    assert not groups(counted).any()
    assert sum(compared) < 3_000 * 40


def test_huge_texts_are_compared_too():
    rng = np.random.default_rng(4)
    long = "".join(map(chr, rng.integers(97, 123, 300_000)))
    assert groups([long, long[:-900], "a " * 200_000, long[::-1]]).tolist() == [0, 0, 2, 3]


def test_grams_that_are_too_many_to_keep_are_made_again(monkeypatch):
    rng = np.random.default_rng(5)
    texts = [" ".join(rng.choice(WORDS, 6)) for _ in range(400)]
    wanted, near = groups(texts), between(texts[:50], texts[50:])
    monkeypatch.setattr("everloop.curate.signatures.KEPT_GRAMS", 10)
    assert sign(texts, banding(0.7)).shingles is None
    assert (groups(texts) == wanted).all()
    assert (between(texts[:50], texts[50:]) == near).all()


@given(st.text(alphabet=st.characters(max_codepoint=127), max_size=30))
@example("\x1c a\x0bb.\x1f")
def test_plain_ascii_is_normalised_like_any_text(text):
    assert normalise(text) == normalise(text + " é")[:-1].rstrip().rstrip(" .")


def test_components_are_named_after_their_first_node():
    assert components(5, np.array([[1, 4], [0, 3]])).tolist() == [0, 1, 2, 0, 1]
    assert components(0, np.empty((0, 2), np.int64)).shape == (0,)


def test_vectors_that_differ_by_a_hair_are_twins_and_others_are_not():
    rng = np.random.default_rng(1)
    base = rng.random((200, 64))
    noisy = base[:50] + rng.normal(0, 1e-3, (50, 64))
    found = {tuple(p) for p in vector_pairs(np.vstack([base, noisy]), 0.95).tolist()}
    assert {(i, 200 + i) for i in range(50)} <= found
    assert all(j == 200 + i for i, j in found)


@given(st.lists(sentences, max_size=15), st.lists(sentences, max_size=30))
@settings(max_examples=20, deadline=None)
def test_between_two_lists_every_pair_is_found(left, right):
    wanted = {(i, j) for i, a in enumerate(left) for j, b in enumerate(right) if jaccard(grams(a), grams(b)) >= 0.7}
    assert {tuple(p) for p in between(left, right, 0.7).tolist()} == wanted

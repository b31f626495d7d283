"""Near-duplicates against brute force, and the laws of groups."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.curate.near_duplicates import between, components, grams, groups, jaccard, pairs, sign
from everloop.curate.near_vectors import pairs as vector_pairs

WORDS = "card transfer arrived pending refund exchange rate top up cash atm fee pin lost stolen phone".split()
sentences = st.lists(st.sampled_from(WORDS), min_size=3, max_size=12).map(" ".join)


def brute(texts, threshold):
    sets = [grams(t) for t in texts]
    return {(i, j) for j in range(len(texts)) for i in range(j) if jaccard(sets[i], sets[j]) >= threshold}


@given(st.lists(sentences, max_size=40))
@settings(max_examples=40, deadline=None)
def test_every_pair_found_is_one_and_groups_join_what_brute_force_joins(texts):
    wanted = brute(texts, 0.7)
    found = {tuple(p) for p in pairs(texts, 0.7).tolist()}
    assert found <= wanted
    joined = groups(texts, 0.7)
    missed = [(i, j) for i, j in wanted if joined[i] != joined[j]]
    assert len(missed) <= 0.02 * len(wanted)


@given(st.lists(sentences, min_size=1, max_size=30))
@settings(max_examples=20, deadline=None)
def test_band_keys_depend_on_the_text_alone(texts):
    together = sign(texts)
    assert all((sign([text]).keys[0] == together.keys[i]).all() for i, text in enumerate(texts))


def test_planted_edits_are_found():
    rng = np.random.default_rng(0)
    originals = [" ".join(rng.choice(WORDS, 12)) + f" {i:05d}" for i in range(300)]
    edited = [text.upper() + "?" for text in originals]
    joined = groups(originals + edited)
    assert (joined[:300] == joined[300:]).all()


def test_only_pairs_with_a_newcomer_are_given():
    texts = ["where is my card please", "where is my card please!", "where is my card please?"]
    assert {tuple(p) for p in pairs(texts, 0.7, first_new=2).tolist()} == {(0, 2), (1, 2)}


def test_odd_texts_do_no_harm():
    texts = ["", " ", "a", "é" * 5, "\U0001f600" * 9, "a\x00b", "…" * 1000]
    assert len(groups(texts)) == len(texts)
    assert pairs([]).shape == (0, 2)


def test_components_are_numbered_by_first_appearance():
    assert components(5, np.array([[1, 4], [0, 3]])).tolist() == [0, 1, 2, 0, 1]


def test_vectors_that_differ_by_a_hair_are_twins_and_others_are_not():
    rng = np.random.default_rng(1)
    base = rng.random((200, 64))
    noisy = base[:50] + rng.normal(0, 1e-3, (50, 64))
    found = {tuple(p) for p in vector_pairs(np.vstack([base, noisy]), 0.95).tolist()}
    assert {(i, 200 + i) for i in range(50)} <= found
    assert all(j == 200 + i for i, j in found)


@given(st.lists(sentences, max_size=15), st.lists(sentences, max_size=30))
@settings(max_examples=30, deadline=None)
def test_between_two_lists_every_pair_is_found(left, right):
    wanted = {(i, j) for i, a in enumerate(left) for j, b in enumerate(right) if jaccard(grams(a), grams(b)) >= 0.7}
    assert {tuple(p) for p in between(left, right, 0.7).tolist()} == wanted

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

from everloop.features import ngrams, sparse, tfidf

TEXTS = [
    "Where is my new card? The CARD hasn't come",
    "exchange rates, exchange rates abroad",
    "12.50 € überwiesen — warum?",
    "",
]
words = st.text(alphabet="abcäß٣ \t.,-中文", max_size=40)


def rows(grams, n):
    """Each text's n-grams as a counter of keys."""
    result = [Counter() for _ in range(n)]
    for row, key, times in zip(*(a.tolist() for a in grams), strict=True):
        result[row][key] = times
    return result


@given(st.lists(words | st.text(max_size=12), max_size=6))
def test_a_text_does_not_depend_on_its_neighbours(texts):
    for i, together in enumerate(ngrams.grams(texts)):
        alone = [rows(ngrams.grams([text])[i], 1)[0] for text in texts]
        assert rows(together, len(texts)) == alone
        assert (np.diff(together.row) >= 0).all()
        assert (together.times > 0).all()


def test_words_and_pairs_against_sklearn():
    oracle = CountVectorizer(ngram_range=(1, 2), token_pattern=r"(?u)[^\W_]+").fit_transform(TEXTS)
    ours = rows(ngrams.grams(TEXTS)[0], len(TEXTS))
    assert [sorted(r.values()) for r in ours] == [sorted(oracle[[i]].data.tolist()) for i in range(len(TEXTS))]
    assert len({key for r in ours for key in r}) == oracle.shape[1]


def test_letters_against_sklearn():
    # Words of three letters and more: of a shorter word sklearn counts the whole twice.
    texts = ["where card hasn't come", "exchange rates exchange", "überwiesen — — — warum?".replace("— ", "")]
    oracle = CountVectorizer(analyzer="char_wb", ngram_range=(2, 4)).fit_transform(texts)
    ours = rows(ngrams.grams(texts, chars=(2, 4))[1], 3)
    assert [sorted(r.values()) for r in ours] == [sorted(oracle[[i]].data.tolist()) for i in range(3)]
    assert len({key for r in ours for key in r}) == oracle.shape[1]


@pytest.mark.parametrize(("kind", "oracle"), [
    (0, TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"(?u)[^\W_]+", sublinear_tf=True)),
    (1, TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True)),
])  # fmt: skip
def test_weights_against_sklearn(kind, oracle):
    texts = ["where where card hasn't come", "exchange rates exchange card", "come where rates rates rates"]
    grams = ngrams.grams(texts)[kind]
    found = tfidf.weigh(tfidf.learn([grams], 3, least=1), grams, 3)
    expected = oracle.fit_transform(texts)
    for i in range(3):
        assert np.sort(found.value[found.row == i]) == pytest.approx(np.sort(expected[[i]].data), rel=1e-5)


def test_terms_are_the_commonest_whatever_the_order():
    texts = ["alpha beta gamma", "alpha beta", "alpha delta", "alpha beta delta"]
    grams = [ngrams.grams([text])[0] for text in texts]
    found = tfidf.learn(grams, 4, least=2, most=2)
    assert found.key.size == 2
    assert found.idf.min() == pytest.approx(1.0), "alpha is in all of them"
    again = tfidf.learn(grams[::-1], 4, least=2, most=2)
    assert (again.key == found.key).all()
    assert tfidf.learn(grams, 4, least=9).key.size == 0
    assert tfidf.weigh(tfidf.learn(grams, 4, least=9), grams[0], 1).width == 0


def test_batches_cut_long_texts_and_lose_none():
    texts = ["x" * 50_000, "a", "b" * 399_999, "c"]
    parts = list(ngrams.batches(texts, 30_000))
    assert [i for part in parts for i in range(part.start, part.stop)] == [0, 1, 2, 3]
    long = ngrams.grams(["ab " * 100_000])[0]
    assert long.times.max() <= ngrams.LIMIT


def test_blocks_side_by_side():
    left = sparse.Block(np.array([0, 2]), np.array([1, 0]), np.array([3, 4], np.float32), 2)
    right = sparse.dense(np.array([[5, 6], [0, 7], [8, 9]], np.float32))
    found = sparse.side_by_side([left, right], 3)
    assert found.toarray().tolist() == [[0, 3, 5, 6], [0, 0, 0, 7], [4, 0, 8, 9]]
    assert sparse.side_by_side([sparse.dense(np.zeros((0, 2), np.float32))], 0).shape == (0, 2)

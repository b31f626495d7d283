"""What sets groups of texts apart, in words: a class-based TF-IDF."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_LETTERS = r"(?u)\b[^\W\d_][^\W_]+\b"  # two letters or more, from a letter on
_HELD = 0.25  # of a group's texts must hold a term, or it names only a corner of the group
_ORDINARY = 3.0  # times as common in the group as in all: with less a word is ordinary, and names nothing
_PAIR = 1.5  # a pair of words says more than its better half: it may be in fewer of the texts
_MOST = 20_000  # characters of a text that are looked at


def terms(
    texts: Sequence[str], group: NDArray[np.integer], others: Sequence[str] = (), *, count: int = 5
) -> list[tuple[str, ...]]:  # fmt: skip
    """For each group, numbered from 0, up to `count` words or pairs of words that are common in it and rare elsewhere.

    `others` are texts of no group: what is ordinary here. A text's own repetitions count once. Source: Grootendorst
    2022, "BERTopic" (arXiv 2203.05794), on shares of texts in place of counts of words, and with the logarithm of how
    much commoner a term is here than in all: a score is the term's part in the group's divergence from the rest.

    >>> said = ["change my oil", "oil change please", "play some jazz", "some jazz now"]
    >>> terms(said, np.array([0, 0, 1, 1]), ["change my card please", "my card now"] * 5, count=2)
    [('oil',), ('some jazz', 'play')]
    """
    from sklearn.feature_extraction.text import CountVectorizer  # 1 s to import: only who names pays it

    groups = int(group.max()) + 1 if len(group) else 0
    vectorizer = CountVectorizer(ngram_range=(1, 2), token_pattern=_LETTERS, binary=True)
    cut = [text[:_MOST] for text in (*texts, *others)]
    if not groups or not any(vectorizer.build_analyzer()(text) for text in cut):
        return [()] * groups
    held = vectorizer.fit_transform(cut)
    words = vectorizer.get_feature_names_out()
    everywhere = (np.asarray(held.sum(axis=0)).ravel() + 1) / (held.shape[0] + 1)
    pair = np.array([" " in word for word in words])
    place = {word: i for i, word in enumerate(words)}
    halves = np.array([[place[half] for half in (word.split() * 2)[:2]] for word in words])
    found = []
    for number in range(groups):
        share = np.asarray(held[np.flatnonzero(group == number)].mean(axis=0)).ravel()
        # Common here and rare in all: what every text says scores no higher for being said here too.
        lift = share / everywhere
        said = (share >= _HELD) & (lift[halves].min(axis=1) >= _ORDINARY)  # either half of a pair, and a word itself
        score = np.where(said, share * np.log(np.maximum(lift, 1.0)), 0.0)
        score = np.round(np.where(pair, _PAIR, 1.0) * score, 6)
        order = np.lexsort((words, -score))[: 6 * count]
        found.append(_apart([str(words[i]) for i in order if score[i] > 0], count))
    return found


def _apart(ranked: Sequence[str], count: int) -> tuple[str, ...]:
    """The best `count` that don't say the same: no pair beside one of its own words, and no word of a chosen pair."""
    kept: list[str] = []
    for term in ranked:
        if len(kept) < count and not any(set(term.split()) & set(other.split()) for other in kept):
            kept.append(term)
    return tuple(kept)

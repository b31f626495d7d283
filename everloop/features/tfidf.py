"""How much each n-gram of a text says: term frequency times inverse document frequency, as sparse matrices."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from everloop.features.ngrams import Grams
from everloop.features.sparse import Block


class Terms(NamedTuple):
    """The n-grams a model knows, and how rare each is."""

    key: NDArray[np.uint64]  # ascending
    idf: NDArray[np.float32]  # ln((1 + texts) / (1 + texts that hold it)) + 1


def learn(batches: Sequence[Grams], texts: int, *, least: int = 2, most: int = 1 << 16) -> Terms:
    """The n-grams that at least `least` of `texts` texts hold; at most the `most` commonest of them.

    Each of `batches` holds other texts. Ties for the last place go to the smaller key, so that the result does not
    depend on the order of the texts.

    >>> a = Grams(np.array([0, 0, 1]), np.array([7, 9, 7], np.uint64), np.array([1, 2, 1]))
    >>> learn([a], texts=2).key.tolist()
    [7]
    """
    key, held = np.unique(np.concatenate([batch.key for batch in batches]), return_counts=True)
    key, held = key[held >= least], held[held >= least]
    if key.size > most:
        keep = np.sort(np.lexsort((key, -held))[:most])
        key, held = key[keep], held[keep]
    return Terms(key, (np.log((1 + texts) / (1 + held)) + 1).astype(np.float32))


def weigh(terms: Terms, grams: Grams, texts: int) -> Block:
    """A row of unit length for each of `texts` texts: (1 + ln count) x idf; zeros where no term is known.

    Source: scikit-learn's ``TfidfVectorizer(sublinear_tf=True)``.
    """
    if not terms.key.size:
        return Block(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32), 0)
    at = np.minimum(np.searchsorted(terms.key, grams.key), terms.key.size - 1)
    known = terms.key[at] == grams.key
    row, column = grams.row[known], at[known]
    value = (1 + np.log(grams.times[known])) * terms.idf[column]
    # bincount adds in order, one row apart from the other: a row's bits don't depend on its neighbours.
    norm = np.sqrt(np.bincount(row, value * value, minlength=texts))
    return Block(row, column, (value / norm[row]).astype(np.float32), terms.key.size)

"""The cache gives what the function it stands for gives, asks it once for each text, and stays within its bound."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.features.vector_cache import VectorCache


def embed(texts):
    return np.array([[len(one), sum(map(ord, one))] for one in texts], np.float32).reshape(len(texts), 2)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.text(max_size=2), max_size=6), max_size=6), st.integers(1, 5))
def test_it_says_what_the_function_says(batches, most):
    cache = VectorCache(embed, most)
    for texts in batches:
        assert (cache.vectors(texts) == embed(texts)).all()
        assert len(cache) <= most


def test_each_text_is_embedded_once_while_it_is_kept():
    asked = []

    def counting(texts):
        asked.extend(texts)
        return embed(texts)

    cache = VectorCache(counting, 3)
    cache.vectors(["a", "b"])
    cache.vectors(["b", "a", "c", "c"])
    assert asked == ["a", "b", "c"]
    cache.vectors(["d"])  # the oldest goes
    cache.vectors(["b", "c", "d"])
    assert asked == ["a", "b", "c", "d"]
    cache.vectors(["a"])
    assert asked[-1] == "a"
    assert (cache.vectors(["\ud800", ""]) == embed(["\ud800", ""])).all()

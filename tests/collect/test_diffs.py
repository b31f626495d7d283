"""A diff applied to the answer gives the correction; the distance is Levenshtein's; neither blows up."""

import itertools
import random
import re

from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.collect.diffs import compared, difference, distance, levenshtein
from everloop.types import Correction

WORDS = st.lists(st.sampled_from(["the", "card", " ", "  ", ".", "é", "日本", "\n", "-", "x"]), max_size=25).map(
    "".join
)
TEXTS = st.text(max_size=40) | WORDS


def slow(a: str, b: str) -> int:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[-1]


@given(TEXTS, TEXTS)
@settings(deadline=None)
def test_a_diff_gives_both_texts_back(answer, value):
    parts = difference(answer, value)
    assert "".join(text for sign, text in parts if sign in "=-") == answer
    assert "".join(text for sign, text in parts if sign in "=+") == value
    assert all(text for _, text in parts)
    for (one, _), (two, _) in itertools.pairwise(parts):
        assert (one, two) in {("=", "-"), ("=", "+"), ("-", "+"), ("-", "="), ("+", "=")}


@given(TEXTS, TEXTS)
@settings(deadline=None)
def test_the_distance_is_levenshteins(a, b):
    assert levenshtein(a, b) == levenshtein(b, a) == slow(a, b)
    assert distance(a, b) == (slow(a, b) / max(len(a), len(b)) if a or b else 0)


@given(WORDS, WORDS)
@settings(deadline=None, max_examples=60)
def test_of_few_changes_it_finds_the_fewest(a, b):
    old, new = (re.findall(r"\w+|\s+|[^\w\s]", text) for text in (a, b))
    table = [[0] * (len(new) + 1) for _ in range(len(old) + 1)]
    for i in range(len(old) - 1, -1, -1):
        for j in range(len(new) - 1, -1, -1):
            same = table[i + 1][j + 1] + 1 if old[i] == new[j] else 0
            table[i][j] = max(same, table[i + 1][j], table[i][j + 1])
    kept = "".join(text for sign, text in difference(a, b) if sign == "=")
    assert len(re.findall(r"\w+|\s+|[^\w\s]", kept)) <= table[0][0]
    changed = sum(len(re.findall(r"\w+|\s+|[^\w\s]", t)) for s, t in difference(a, b) if s != "=")
    assert changed <= len(old) + len(new) - 2 * table[0][0]


def test_long_texts_cost_in_proportion_and_say_an_upper_bound():
    # Were it quadratic, this would run for many minutes.
    chance = random.Random(1)
    words = [chance.choice("a b c d e f g".split()) for _ in range(50_000)]
    answer = " ".join(words)
    other = " ".join(chance.sample(words, len(words)))
    assert 0 < distance(answer, other) <= 1
    assert difference(answer, other) is None
    near = answer.replace(words[20_000], "changed", 3)
    assert 0 < distance(answer, near) < 0.001
    assert distance(answer, answer + "x" * 100_000) > 0.4
    assert distance("a" * 100_000, "b" * 100_000) == 1


def test_a_correction_without_an_answer_stays_as_it_is():
    made = Correction(id="f", interaction="i", at=1, value="b")
    assert compared(made, None) == made
    assert compared(made, "") == Correction(id="f", interaction="i", at=1, value="b", diff=(("+", "b"),), distance=1.0)
    assert compared(made, "b").distance == 0
    assert compared(made, "b").diff == (("=", "b"),)

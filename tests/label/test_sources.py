"""Sources of labels: what they say, when they abstain, and that a strange one can't say what can't be."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.neighbors import KNeighborsClassifier

from everloop import registry
from everloop.errors import InvalidInput
from everloop.label import sources
from everloop.label.neighbours import neighbours
from everloop.label.sources import ABSTAINS, Said, Seen, propose
from everloop.types import Spec


def seen(inputs=(), targets=(), classes=("card", "rate")):
    place = {name: i for i, name in enumerate(classes)}

    def vectors(values):
        return np.array([[len(v), v.count("r"), v.count("c")] for v in values], np.float32).reshape(len(values), 3)

    return Seen(tuple(classes), list(inputs), np.array([place[t] for t in targets], np.int64), vectors)


class TestNeighbours:
    def test_it_is_the_majority_of_the_nearest(self):
        rng = np.random.default_rng(1)
        known, asked = rng.normal(size=(200, 5)).astype(np.float32), rng.normal(size=(60, 5)).astype(np.float32)
        labels = rng.integers(0, 3, 200)
        found = neighbours(asked, known, labels, 3, k=1)
        theirs = KNeighborsClassifier(1, metric="cosine").fit(known, labels).predict(asked)
        assert (found.labels == theirs).all()
        assert ((found.confidence >= 0) & (found.confidence <= 1)).all()

    @given(st.integers(1, 30), st.integers(1, 12), st.integers(1, 40))
    def test_blocks_change_nothing(self, m, n, k):
        rng = np.random.default_rng(m * 100 + n)
        known, asked = rng.normal(size=(m, 4)).astype(np.float32), rng.normal(size=(n, 4)).astype(np.float32)
        labels = rng.integers(0, 2, m)
        whole = neighbours(asked, known, labels, 2, k)
        alone = [neighbours(asked[i : i + 1], known, labels, 2, k) for i in range(n)]
        assert whole.labels.tolist() == [one.labels[0] for one in alone]
        assert whole.nearest.tolist() == [one.nearest[0].tolist() for one in alone]

    def test_nothing_labelled_is_an_abstention(self):
        said = propose(Spec(name="neighbours.v1"), ["a", "b"], seen())
        assert said.answers.tolist() == [ABSTAINS, ABSTAINS]
        assert said.confidence.tolist() == [0, 0]

    @pytest.mark.parametrize("k", [0, -1, "3", None])
    def test_k_that_can_not_be(self, k):
        with pytest.raises(InvalidInput, match="k must be 1 or more"):
            propose(Spec(name="neighbours.v1", args={"k": k}), ["a"], seen(["c"], ["card"]))


class TestRules:
    RULES = (
        {"when": {"input": {"contains": "card"}}, "label": "card"},
        {"when": {"input": {"contains": "rate"}}, "label": "rate"},
    )

    def test_the_first_that_holds(self):
        said = propose(
            Spec(name="rules.v1", args={"rules": list(self.RULES)}), ["my card", "a rate", "card rate", "hm"], seen()
        )
        assert said.answers.tolist() == [0, 1, 0, ABSTAINS]
        assert said.confidence.tolist() == [1, 1, 1, 0]

    @pytest.mark.parametrize(
        "rules", [[{"when": {}}], ["x"], "x", [{"when": {"input": {"like": "a"}}, "label": "card"}]]
    )
    def test_rules_that_can_not_be(self, rules):
        with pytest.raises(InvalidInput):
            propose(Spec(name="rules.v1", args={"rules": rules}), ["a"], seen())


def test_a_function_somebody_installed_may_fail_on_a_row():
    def by_length(value):
        if value == "boom":
            raise ZeroDivisionError
        return {1: "card", 2: "rate", 3: "no such class"}.get(len(value))

    registry.register("labelling_function", "by_length.v1", by_length)
    said = propose(Spec(name="function.v1", args={"name": "by_length.v1"}), ["a", "bb", "ccc", "dddd", "boom"], seen())
    assert said.answers.tolist() == [0, 1, ABSTAINS, ABSTAINS, ABSTAINS]
    assert said.note == "by_length.v1 failed on 1 of 5 rows"


@pytest.mark.parametrize(
    ("answers", "confidence", "says"),
    [
        ([0], [0.5, 0.5], "answered"),
        ([2, 0], [0.5, 0.5], "a class that is not there"),
        ([-2, 0], [0.5, 0.5], "a class that is not there"),
        ([0.5, 0], [0.5, 0.5], "a class that is not there"),
        ([0, 1], [0.5, 1.5], "between 0 and 1"),
        ([0, 1], [0.5, float("nan")], "between 0 and 1"),
    ],
)
def test_a_strange_source_can_not_say_what_can_not_be(answers, confidence, says, monkeypatch):
    monkeypatch.setitem(
        registry._plugins, ("source", "odd.v1"), lambda *_: Said(np.array(answers), np.array(confidence))
    )
    with pytest.raises(InvalidInput, match=says):
        propose(Spec(name="odd.v1"), ["a", "b"], seen())


def test_an_unknown_source_is_named_with_those_there_are():
    with pytest.raises(InvalidInput, match=r"no source called 'nobody.v1'; there are: .*neighbours.v1"):
        sources.propose(Spec(name="nobody.v1"), [], seen())

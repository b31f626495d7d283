import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop import registry, train
from everloop.errors import InvalidInput
from everloop.train import folds, head, inputs
from everloop.types import Spec


def chat(*messages):
    return {"model": "any", "messages": [{"role": role, "content": content} for role, content in messages]}


def test_choose_by_the_kind_of_input():
    assert train.choose(["a", chat(("user", "b"))]).name == "linear_text.v1"
    assert train.choose([[1, 2.5], [3.0, 4.0]]).name == "linear_vector.v1"


@pytest.mark.parametrize(("values", "match"), [
    ([], "without an input"),
    (["a", [1.0]], "texts and 1 numbers"),
    ([[1.0], "a"], "texts and 1 numbers"),
    ([{"a": 1}], "an object without messages"),
    ([[1.0], [1.0, 2.0]], "takes 1 numbers, not 2"),
    ([[]], "an empty list"),
    ([["a"]], "something other than numbers"),
    ([[float("inf")]], "not finite"),
    ([[10**400]], "too large"),
    ([{"messages": []}], "no user message"),
    ([{"messages": "hello"}], "not a chat request"),
    ([None], "type NoneType"),
])  # fmt: skip
def test_choose_refuses_in_a_line(values, match):
    with pytest.raises(InvalidInput, match=match) as caught:
        train.choose(values)
    assert "\n" not in str(caught.value)


def test_a_chat_is_read_as_its_last_user_message():
    parts = [{"type": "text", "text": "where is"}, {"type": "image"}, {"type": "text", "text": "my card"}]
    assert inputs.texts([
        chat(("system", "be kind"), ("user", "first"), ("assistant", "yes?"), ("user", "second"), ("assistant", "so")),
        chat(("user", parts)),
    ]) == ["second", "where is my card"]  # fmt: skip


def test_a_trainer_is_found_by_name_and_made_with_its_arguments():
    assert train.trainer(Spec(name="linear_text.v1", args={"c": 2, "seed": 7})).c == 2.0
    for spec, match in (
        (Spec(name="nothing.v1"), "there are: linear_text.v1, linear_vector.v1"),
        (Spec(name="linear_text.v1", args={"depth": 3}), "can't be made with"),
        (Spec(name="linear_text.v1", args={"c": -1}), "c must be a positive number"),
        (Spec(name="linear_vector.v1", args={"c": "big"}), "c must be a positive number"),
    ):
        with pytest.raises(InvalidInput, match=match):
            train.trainer(spec)


def test_a_strangers_trainer_uses_the_same_door(monkeypatch):
    monkeypatch.setattr(registry, "_plugins", dict(registry._plugins))
    registry.register("trainer", "constant.v1", lambda: "mine")
    assert train.trainer(Spec(name="constant.v1")) == "mine"


@given(st.lists(st.text(max_size=5), min_size=1, max_size=30), st.integers(2, 6), st.integers(-5, 5))
def test_a_new_row_moves_no_other(rows, count, seed):
    keys = folds.keys(rows, None)
    found = folds.assign(keys, count, seed)
    assert (folds.assign(keys[1:], count, seed) == found[1:]).all()
    assert found.min() >= 0
    assert found.max() < count


def test_folds_are_about_as_large():
    found = np.bincount(folds.assign([str(i).encode() for i in range(6000)], 3, 0))
    assert (np.abs(found - 2000) < 150).all()


def test_groups_stay_together_whatever_the_input():
    found = folds.assign(folds.keys([[1.0], [2.0], [3.0]], ["g", "g", "h"]), 5, 0)
    assert found[0] == found[1]


def test_temperature_sees_through_wrong_labels():
    """A tenth of the labels made wrong at random must not change what confidence means."""
    rng = np.random.default_rng(8)
    n, k = 4000, 8
    held = rng.normal(size=(n, k))
    truth = np.array([rng.choice(k, p=p) for p in head.softmax(3.0 * held)])
    noisy = np.where(rng.random(n) < 0.1, rng.integers(0, k, n), truth)
    for target in (truth, noisy):
        assert head.temperature(held, target, np.ones(n)) == pytest.approx(3.0, rel=0.15)


def test_too_few_rows_keep_the_stated_temperature():
    assert head.temperature(np.zeros((3, 2)), np.zeros(3, int), np.ones(3)) == head.TEMPERATURE

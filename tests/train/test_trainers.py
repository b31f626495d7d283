"""One suite for every trainer: what `protocols.py` says holds for each."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
from sklearn.datasets import load_digits

from everloop import train
from everloop.errors import InvalidInput, StoreDamaged
from everloop.types import Spec

WORDS = {
    "card": ["card", "plastic", "chip", "arrive", "deliver", "post", "letter", "wait"],
    "rate": ["rate", "exchange", "euro", "dollar", "currency", "abroad", "price", "convert"],
    "pin": ["pin", "code", "forgot", "blocked", "secret", "digits", "unlock", "number"],
}


def texts(n):
    rng = np.random.default_rng(4)
    labels = [("card", "rate", "pin")[i % 3] for i in range(n)]
    return [" ".join(rng.choice(WORDS[label], 4)) + f" ref{i}" for i, label in enumerate(labels)], labels


def vectors(n):
    rng = np.random.default_rng(4)
    labels = [("card", "rate", "pin")[i % 3] for i in range(n)]
    centre = {"card": (1, 0, 0, 50), "rate": (0, 1, 0, 70), "pin": (0, 0, 1, 90)}
    return [(np.array(centre[label]) + rng.normal(0, 0.15, 4) * (1, 1, 1, 20)).tolist() for label in labels], labels


@pytest.fixture(params=["linear_text.v1", "linear_vector.v1"])
def case(request):
    """(trainer, inputs, labels)"""
    inputs, labels = (texts if "text" in request.param else vectors)(150)
    return train.trainer(Spec(name=request.param)), inputs, labels


def fitted(case, **more):
    trainer, inputs, labels = case
    return trainer.fit(inputs, labels, [1.0] * len(inputs), **more)


def test_it_learns_and_is_sure_of_it(case):
    trainer, inputs, labels = case
    model = trainer.load(trainer.fit(inputs[:90], labels[:90], [1.0] * 90))
    found = model.probabilities(inputs[90:])
    assert model.classes == ("card", "pin", "rate")
    assert found.shape == (60, 3)
    assert found.dtype == np.float64
    assert found.sum(axis=1) == pytest.approx(np.ones(60))
    assert [model.classes[i] for i in found.argmax(axis=1)] == labels[90:]
    assert found.max(axis=1).mean() > 0.7


def test_a_row_does_not_depend_on_its_neighbours(case):
    trainer, inputs, _ = case
    model = trainer.load(fitted(case))
    together = model.probabilities(inputs)
    assert (np.concatenate([model.probabilities([x]) for x in inputs]) == together).all()
    assert model.probabilities([]).shape == (0, 3)


def test_no_row_is_predicted_by_a_model_that_saw_it_or_its_group(case):
    """Labels drawn at random can only be guessed from the row itself or its copy."""
    trainer, inputs, _ = case
    rng = np.random.default_rng(0)
    labels = rng.choice(["a", "b"], 75).tolist()
    found = trainer.cross_fit(
        inputs[:75] * 2, labels * 2, [1.0] * 150, groups=[str(i) for i in range(75)] * 2, pool=inputs[75:]
    )
    right = np.array(found.classes)[found.probabilities.argmax(axis=1)] == np.array(labels * 2)
    assert right.mean() < 0.7
    assert found.pool.shape == (75, 2)
    assert found.pool.sum(axis=1) == pytest.approx(np.ones(75))


def test_cross_fit_is_right_where_there_is_something_to_learn(case):
    trainer, inputs, labels = case
    found = trainer.cross_fit(inputs[:90], labels[:90], [1.0] * 90, pool=inputs[90:], folds=3)
    for matrix, truth in ((found.probabilities, labels[:90]), (found.pool, labels[90:])):
        right = np.array(found.classes)[matrix.argmax(axis=1)] == np.array(truth)
        assert right.mean() > 0.9


def test_a_class_that_a_fold_lacks_gets_a_small_probability(case):
    trainer, inputs, labels = case
    labels = ["only once", *labels[1:]]
    found = trainer.cross_fit(inputs, labels, [1.0] * 150)
    assert found.probabilities[0, found.classes.index("only once")] < 0.1
    assert np.isfinite(found.probabilities).all()


def test_two_classes(case):
    trainer, inputs, labels = case
    some = [i for i, label in enumerate(labels) if label != "pin"]
    x, y = [inputs[i] for i in some], [labels[i] for i in some]
    model = trainer.load(trainer.fit(x[:60], y[:60], [1.0] * 60))
    assert [model.classes[i] for i in model.probabilities(x[60:]).argmax(axis=1)] == y[60:]
    assert trainer.cross_fit(x, y, [1.0] * len(x)).probabilities.shape == (len(x), 2)


def test_one_class_and_one_row(case):
    trainer, inputs, _ = case
    for n in (1, 30):
        model = trainer.load(trainer.fit(inputs[:n], ["a"] * n, [1.0] * n))
        assert model.probabilities(inputs[:2]).tolist() == [[1.0], [1.0]]
        found = trainer.cross_fit(inputs[:n], ["a"] * n, [1.0] * n, pool=inputs[:4])
        assert (found.probabilities == 1).all()
        assert (found.pool == 1).all()


def test_few_rows_of_two_classes(case):
    trainer, inputs, _ = case
    found = trainer.cross_fit(inputs[:2], ["a", "b"], [1.0, 1.0], pool=inputs[2:4], groups=["g", "g"])
    assert (found.probabilities == 0.5).all(), "both are held out together: nothing is known"
    assert (found.pool == 0.5).all()
    model = trainer.load(trainer.fit(inputs[:2], ["a", "b"], [1.0, 1.0]))
    assert model.probabilities(inputs[:2]).argmax(axis=1).tolist() == [0, 1]


def test_weights_count_and_weight_nought_is_not_learned(case):
    trainer, inputs, labels = case
    wrong = {"card": "rate", "rate": "pin", "pin": "card"}
    x, y = inputs[:90] * 2, labels[:90] + [wrong[label] for label in labels[:90]]
    for weights in ([1.0] * 90 + [0.0] * 90, [1.0] * 90 + [0.1] * 90):
        model = trainer.load(trainer.fit(x, y, weights))
        right = [model.classes[i] for i in model.probabilities(inputs[90:]).argmax(axis=1)]
        assert np.mean([a == b for a, b in zip(right, labels[90:], strict=True)]) > 0.9
    only = trainer.load(trainer.fit([*inputs, inputs[0]], [*labels, "never"], [1.0] * 150 + [0.0]))
    assert only.probabilities(inputs)[:, only.classes.index("never")].max() < 0.2


def test_the_same_bytes_and_others_for_another_seed_or_weight(case):
    trainer, inputs, labels = case
    first = fitted(case)
    assert fitted(case) == first
    order = sorted(range(150), key=lambda i: str(inputs[i]))
    shuffled = sorted(np.random.default_rng(1).permutation(150).tolist(), key=lambda i: str(inputs[i]))
    assert order == shuffled, "sorted by the caller, any order becomes this one"
    assert trainer.fit(inputs, labels, [0.5] * 150) != first


@pytest.mark.slow
@pytest.mark.parametrize("name", ["linear_text.v1", "linear_vector.v1"])
def test_the_same_bytes_in_another_process_with_other_threads(name):
    script = f"""
import hashlib, importlib.util, sys
spec = importlib.util.spec_from_file_location("suite", {__file__!r})
suite = importlib.util.module_from_spec(spec)
spec.loader.exec_module(suite)
inputs, labels = (suite.texts if "text" in {name!r} else suite.vectors)(150)
data = suite.train.trainer(suite.Spec(name={name!r})).fit(inputs, labels, [1.0] * 150, seed=3)
print(hashlib.sha256(data).hexdigest())
"""
    found = set()
    for threads in ("1", "2"):
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")
        env = {**os.environ, **dict.fromkeys(names, threads), "PYTHONHASHSEED": threads}
        run = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True)
        found.add(run.stdout.strip())
    inputs, labels = (texts if "text" in name else vectors)(150)
    here = train.trainer(Spec(name=name)).fit(inputs, labels, [1.0] * 150, seed=3)
    assert found == {hashlib.sha256(here).hexdigest()}


def test_damaged_bytes_raise_and_nothing_else(case):
    trainer, *_ = case
    data = fitted(case)
    rng = np.random.default_rng(2)
    hostile = [data[:n] for n in rng.integers(0, len(data), 40)] + [
        b"",
        b"\x80\x04cos\nsystem\n(S'id'\ntR.",
        data + b"x",
    ]
    hostile += [b"\xff" * 8 + data[8:], (2**40).to_bytes(8, "little") + b"{}", b"\x02\0\0\0\0\0\0\0{}"]
    for bad in hostile:
        with pytest.raises(StoreDamaged):
            trainer.load(bad)


def test_flipped_bytes_give_a_model_or_store_damaged(case):
    trainer, inputs, _ = case
    data = fitted(case)
    rng = np.random.default_rng(3)
    header = 8 + int.from_bytes(data[:8], "little")
    for at in [*rng.integers(0, header, 150), *rng.integers(header, len(data), 50)]:
        bad = bytearray(data)
        bad[at] ^= 1 << rng.integers(8)
        try:
            found = trainer.load(bytes(bad)).probabilities(inputs[:2])
        except StoreDamaged:
            continue
        assert np.isfinite(found).all()


def test_a_model_of_another_kind_is_refused(case):
    trainer, *_ = case
    other = "linear_vector.v1" if type(trainer).__name__ == "LinearText" else "linear_text.v1"
    with pytest.raises(StoreDamaged, match="are a model of kind"):
        train.trainer(Spec(name=other)).load(fitted(case))


def test_what_can_not_be_learned_is_refused_in_a_line(case):
    trainer, inputs, labels = case
    for x, y, w, match in (
        ([], [], [], "no examples"),
        (inputs, labels[1:], [1.0] * 150, "as many targets"),
        (inputs, labels, [0.0] * 150, "weight 0"),
        (inputs, labels, [-1.0] * 150, "not negative"),
        (inputs, labels, [float("nan")] * 150, "finite"),
    ):
        for call in (trainer.fit, trainer.cross_fit):
            with pytest.raises(InvalidInput, match=match) as caught:
                call(x, y, w)
            assert "\n" not in str(caught.value)
    with pytest.raises(InvalidInput, match="groups"):
        trainer.fit(inputs, labels, [1.0] * 150, groups=["g"])
    with pytest.raises(InvalidInput, match="folds"):
        trainer.cross_fit(inputs, labels, [1.0] * 150, folds=1)


def test_another_kind_of_input_is_refused_in_a_line(case):
    trainer, inputs, _ = case
    model = trainer.load(fitted(case))
    text = isinstance(inputs[0], str)
    wrong = (
        [[1.0, 2.0], {"a": 1}, [], None]
        if text
        else ["hello", [1.0], [1.0] * 5, [float("nan")] * 4, {"a": 1}, [True] * 4]
    )
    for value in wrong:
        with pytest.raises(InvalidInput) as caught:
            model.probabilities([value])
        assert "\n" not in str(caught.value)


def test_digits():
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(images))
    inputs, targets = images[order].tolist(), [str(label) for label in labels[order]]
    trainer = train.trainer(train.choose(inputs))
    model = trainer.load(trainer.fit(inputs[:1200], targets[:1200], [1.0] * 1200))
    found = model.probabilities(inputs[1200:])
    right = np.array(model.classes)[found.argmax(axis=1)] == np.array(targets[1200:])
    assert right.mean() >= 0.97
    assert abs(found.max(axis=1).mean() - right.mean()) < 0.02

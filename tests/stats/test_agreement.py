import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from everloop.stats.agreement import cohen_kappa, fleiss_kappa, krippendorff_alpha

# Krippendorff 2011, example C: four observers, twelve units, some values missing (0).
CODERS = np.array([
    [1, 2, 3, 3, 2, 1, 4, 1, 2, 0, 0, 0],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, 0, 3],
    [0, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 0],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, 0],
])  # fmt: skip
# Fleiss 1971, table 1: thirty patients, six psychiatrists each, five diagnoses.
PATIENTS = np.array([
    [0, 0, 0, 6, 0], [0, 3, 0, 0, 3], [0, 1, 4, 0, 1], [0, 0, 0, 0, 6], [0, 3, 0, 3, 0], [2, 0, 4, 0, 0],
    [0, 0, 4, 0, 2], [2, 0, 3, 1, 0], [2, 0, 0, 4, 0], [0, 0, 0, 0, 6], [1, 0, 0, 5, 0], [1, 1, 0, 4, 0],
    [0, 3, 3, 0, 0], [1, 0, 0, 5, 0], [0, 2, 0, 3, 1], [0, 0, 5, 0, 1], [3, 0, 0, 1, 2], [5, 1, 0, 0, 0],
    [0, 2, 0, 4, 0], [1, 0, 2, 0, 3], [0, 0, 0, 0, 6], [0, 1, 0, 5, 0], [0, 2, 0, 1, 3], [2, 0, 0, 4, 0],
    [1, 0, 0, 4, 1], [0, 5, 0, 1, 0], [4, 0, 0, 0, 2], [0, 2, 0, 4, 0], [1, 0, 5, 0, 0], [0, 0, 0, 0, 6],
])  # fmt: skip


def rng():
    return np.random.default_rng(0)


def alpha(table, level="nominal", **options):
    raters, items = np.nonzero(table)
    return krippendorff_alpha(raters, items, table[raters, items], rng(), level, **options)


@pytest.mark.parametrize(("level", "published"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_krippendorffs_example(level, published):
    found = alpha(CODERS, level)
    assert found.estimate == pytest.approx(published, abs=0.0005)
    assert found.low < found.estimate <= found.high
    assert found.n == 11  # one unit has one value


def test_fleiss_example():
    found = fleiss_kappa(PATIENTS, rng())
    assert found.estimate == pytest.approx(0.430, abs=0.0005)
    assert found.low < 0.43 < found.high
    assert found.n == 30


@given(st.integers(0, 2**32), st.integers(2, 5), st.sampled_from(["none", "linear", "quadratic"]))
def test_cohen_is_scikit_learns(seed, k, weights):
    random = np.random.default_rng(seed)
    a = random.integers(0, k, 40)
    b = np.where(random.random(40) < 0.6, a, random.integers(0, k, 40))
    a[:2], b[:2] = (0, 1), (0, 1)
    expected = cohen_kappa_score(a, b, weights=None if weights == "none" else weights)
    if len({*a, *b}) == k:  # scikit-learn's distances are between places, ours between the labels that occur
        assert cohen_kappa(a, b, rng(), weights, draws=2).estimate == pytest.approx(expected)


@given(st.integers(0, 2**32), st.sampled_from(["nominal", "ordinal", "interval"]))
def test_alpha_does_not_depend_on_names_or_order(seed, level):
    random = np.random.default_rng(seed)
    raters, items = np.divmod(np.flatnonzero(random.random(60) < 0.7), 15)
    values = random.integers(0, 4, raters.size)
    values[:2] = 0, 3
    try:
        plain = krippendorff_alpha(raters, items, values, rng(), level, draws=2).estimate
    except ValueError:
        return
    order = random.permutation(raters.size)
    people, things = random.permutation(4), random.permutation(15)
    again = krippendorff_alpha(people[raters][order], things[items][order], values[order], rng(), level, draws=2)
    assert again.estimate == pytest.approx(plain)
    # What the level doesn't look at changes nothing.
    other = {"nominal": np.array([7, 3, 9, 1])[values], "ordinal": values**3, "interval": values * 10 + 1e6}[level]
    assert krippendorff_alpha(raters, items, other, rng(), level, draws=2).estimate == pytest.approx(plain)


def test_full_agreement_is_one_and_chance_is_nothing():
    random = rng()
    same = np.repeat(random.integers(1, 4, 200)[None], 3, axis=0)
    apart = random.integers(1, 4, (3, 3_000))
    for level in ("nominal", "ordinal", "interval"):
        assert alpha(same, level).estimate == pytest.approx(1)
        found = alpha(apart, level, draws=200)
        assert found.low < 0.02
        assert found.high > -0.02
        assert abs(found.estimate) < 0.04


@pytest.mark.slow
def test_intervals_hold_about_their_level():
    """300 samples of 80 items from raters whose true kappa is known."""
    random = np.random.default_rng(5)
    a = random.integers(0, 2, 400_000)
    b = np.where(random.random(a.size) < 0.75, a, 1 - a)
    truth = 0.5
    inside = sum(
        low <= truth <= high
        for _, low, high, _ in (
            cohen_kappa(a[i : i + 80], b[i : i + 80], random, draws=300) for i in range(0, 300 * 80, 80)
        )
    )
    assert inside >= 0.90 * 300


@pytest.mark.slow
def test_many_items_are_drawn_in_groups():
    random = rng()
    truth = random.integers(0, 3, 100_000)
    values = np.where(random.random((2, truth.size)) < 0.8, truth, random.integers(0, 3, (2, truth.size))).ravel()
    raters, items = np.repeat([0, 1], truth.size), np.tile(np.arange(truth.size), 2)
    found = krippendorff_alpha(raters, items, values, random, draws=400)
    assert found.n == truth.size
    # The standard error of kappa's observed part, over 1 - chance.
    error = np.sqrt(0.24 * 0.76 / truth.size) / (2 / 3)
    assert (found.high - found.low) / 3.92 == pytest.approx(error, rel=0.25)


@pytest.mark.parametrize(
    ("raters", "items", "values", "says"),
    [
        ([0, 1], [0, 1], [1, 2], "two values"),
        ([0, 0], [0, 0], [1, 2], "one value"),
        ([0, 1], [0, 0], [1, 1], "nothing to agree"),
        ([0, 1], [0, 0], [1, np.nan], "finite"),
        ([0, 1], [0], [1, 2], "one length"),
        ([], [], [], "one length"),
    ],
)
def test_what_alpha_refuses(raters, items, values, says):
    with pytest.raises(ValueError, match=says):
        krippendorff_alpha(raters, items, values, rng())


def test_what_kappa_refuses():
    with pytest.raises(ValueError, match="nothing to agree"):
        cohen_kappa([1, 1], [1, 1], rng())
    with pytest.raises(ValueError, match="same items"):
        cohen_kappa([1, 1], [1], rng())
    with pytest.raises(ValueError, match="as many ratings"):
        fleiss_kappa([[2, 1], [1, 1]], rng())
    with pytest.raises(ValueError, match="nothing to agree"):
        fleiss_kappa([[2, 0], [2, 0]], rng())
    with pytest.raises(ValueError, match="confidence"):
        cohen_kappa([1, 0], [1, 1], rng(), confidence=95)

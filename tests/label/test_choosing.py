"""Which rows to ask about: unsure, unlike each other, with slices and rare classes served and a random arm."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from everloop import label
from everloop.errors import InvalidInput
from everloop.label import Quota, choose
from everloop.label.covering import greedy, likeness
from everloop.label.doubt import divergence, margin, unsure, vote_entropy


def pool(n, k=4, d=8, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)).astype("f4"), rng.dirichlet(np.ones(k), n)


def rng(seed=0):
    return np.random.default_rng(seed)


def test_it_is_a_function_of_the_package():
    assert label.choose is choose


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 60), st.integers(0, 80), st.integers(0, 99), st.floats(0, 1), st.booleans())
def test_within_budget_no_row_twice_and_the_same_again(n, budget, seed, share, cold):
    vectors, p = pool(n, seed=seed)
    given_p = None if cold else p
    quotas = [Quota("odd", np.arange(n) % 2 == 1, 5)]
    one, two = (
        choose(vectors, given_p, budget, rng(seed), random_share=share, quotas=quotas, labels_of_class=np.arange(4))
        for _ in range(2)
    )
    assert len(one.rows) <= min(budget, n)
    assert len(set(one.rows.tolist())) == len(one.rows) == len(one.score) == len(one.why)
    assert one.rows.tolist() == two.rows.tolist()
    assert one.why == two.why
    assert np.isfinite(one.score).all()
    if len(set(map(bytes, vectors))) == n:  # nobody has a twin: the budget is used
        assert len(one.rows) == min(budget, n)
    if share and min(budget, n) >= 5:
        assert "random" in one.why
    assert one.propensity == (one.why.count("random") / n if n else 0)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12), st.integers(1, 6), st.integers(0, 99))
def test_of_twins_one_is_asked(distinct, copies, seed):
    vectors, p = pool(distinct, seed=seed)
    found = choose(np.repeat(vectors, copies, axis=0), np.repeat(p, copies, axis=0), 50, rng(), random_share=0)
    assert sorted(found.rows // copies) == list(range(distinct))


@pytest.mark.slow
def test_the_random_arm_is_uniform_over_the_whole_pool():
    vectors, p = pool(40)
    times = np.zeros(40)
    for seed in range(600):
        found = choose(vectors, p, 10, rng(seed), random_share=0.2)
        drawn = [i for i, why in zip(found.rows, found.why, strict=True) if why == "random"]
        assert len(drawn) == 2
        assert found.propensity == 2 / 40
        times[drawn] += 1
    assert chisquare(times).pvalue > 0.01


def test_random_rows_stand_among_the_others():
    vectors, p = pool(200)
    why = choose(vectors, p, 40, rng(), random_share=0.1).why
    assert why.count("random") == 4
    assert why[:20].count("random") == 2


def test_unsure_rows_before_sure_ones_and_dense_ones_before_lonely_ones():
    crowd = np.tile([[1.0, 0, 0]], (20, 1)) + 0.01 * rng(1).standard_normal((20, 3))
    vectors = np.concatenate([crowd, [[0, 1, 0]], [[0, 0, 1]]])
    p = np.array([[0.5, 0.5]] * 21 + [[1.0, 0.0]])
    order = choose(vectors, p, 3, rng(), random_share=0).rows.tolist()
    assert order[0] < 20
    assert order[1] == 20  # alone, but unsure; then what is left of the crowd or the sure one


def test_a_slice_gets_its_floor_and_a_rare_class_its_part():
    vectors, p = pool(300, k=3)
    p[:] = [0.98, 0.01, 0.01]
    p[:100] = [0.5, 0.5, 0.0]
    p[290:] = [0.55, 0.0, 0.45]
    weak = np.arange(300) >= 250
    found = choose(vectors, p, 20, rng(), random_share=0, quotas=[Quota("weak", weak, 6)])
    assert weak[found.rows].sum() >= 6
    assert found.why[:6] == ("slice",) * 6
    found = choose(vectors, p, 20, rng(), random_share=0, labels_of_class=np.array([100, 100, 2]))
    rare = [i for i, why in zip(found.rows, found.why, strict=True) if why == "rare"]
    assert rare
    assert min(rare) >= 290
    assert len(rare) <= 5


def test_a_floor_beyond_the_slice_or_the_budget_is_met_as_far_as_it_goes():
    vectors, p = pool(30)
    few = np.arange(30) < 3
    found = choose(vectors, p, 8, rng(), random_share=0, quotas=[Quota("few", few, 100), Quota("all", ~few, 100)])
    assert len(found.rows) == 8
    assert few[found.rows].sum() == 3


def test_what_models_disagree_on_comes_first():
    vectors, _ = pool(50)
    sure = np.tile([0.95, 0.05], (50, 1))
    other = sure.copy()
    other[7] = [0.05, 0.95]
    assert choose(vectors, sure, 1, rng(), random_share=0, committee=[other], like=0.99).rows.tolist() == [7]


def test_shortlists_that_hold_only_twins_are_passed():
    vectors, p = np.repeat(np.eye(2, dtype="f4"), [500, 1], axis=0), np.full((501, 2), 0.5)
    p[500] = [0.9, 0.1]
    assert choose(vectors, p, 2, rng(), random_share=0).rows.max() == 500


def test_rows_without_a_vector_are_not_twins_of_each_other():
    found = choose(np.zeros((5, 3)), np.full((5, 2), 0.5), 3, rng(), random_share=0)
    assert len(found.rows) == 3


@pytest.mark.parametrize(
    ("vectors", "p", "budget", "more"),
    [
        (np.zeros(3), np.ones((3, 1)), 1, {}),
        (np.zeros((3, 2)), np.ones((2, 1)), 1, {}),
        (np.full((3, 2), np.nan), np.ones((3, 1)), 1, {}),
        (np.zeros((3, 2)), np.full((3, 1), 2.0), 1, {}),
        (np.zeros((3, 2)), np.ones((3, 1)), -1, {}),
        (np.zeros((3, 2)), np.ones((3, 1)), 1, {"random_share": 1.5}),
        (np.zeros((3, 2)), np.ones((3, 1)), 1, {"quotas": [Quota("x", np.ones(2, bool), 1)]}),
        (np.zeros((3, 2)), np.ones((3, 1)), 3, {"labels_of_class": np.array([1, 2])}),
        (np.zeros((3, 2)), np.ones((3, 1)), 3, {"committee": [np.ones((2, 1))]}),
    ],
)
def test_what_does_not_fit_is_refused_in_a_line(vectors, p, budget, more):
    with pytest.raises(InvalidInput) as said:
        choose(vectors, p, budget, rng(), **more)
    assert "\n" not in str(said.value)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 25), st.integers(1, 8), st.integers(0, 99))
def test_lazy_greedy_is_greedy(n, count, seed):
    vectors, p = pool(n, seed=seed)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    doubt = (1 - margin(p)).astype("f4")
    found = greedy(vectors, np.arange(n), doubt, count, np.zeros(n, "f4"), 0.2)
    says = likeness(vectors, vectors, 0.2)
    np.fill_diagonal(says, 1)
    covered = np.zeros(n)
    for row, worth in found:
        each = np.maximum(says - covered, 0) @ doubt
        assert worth == pytest.approx(each[row], abs=2e-3)
        assert each[row] >= each.max() - 2e-3
        covered = np.maximum(covered, says[row])


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 6), st.integers(1, 5), st.integers(0, 99))
def test_disagreement_is_between_nothing_and_all(members, k, seed):
    committee = [rng(seed + i).dirichlet(np.ones(k), 7) for i in range(members)]
    for found in (divergence(committee), vote_entropy(committee), unsure(committee[0], committee[1:])):
        assert ((found >= 0) & (found <= 1)).all()
    assert divergence([committee[0]] * 3) == pytest.approx(np.zeros(7), abs=1e-9)
    assert vote_entropy([committee[0]] * 3) == pytest.approx(np.zeros(7), abs=1e-9)

"""The machine labels by itself only where the error it promises holds, and says so where nothing can be promised."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.errors import InvalidInput
from everloop.label.floors import certify_groups
from everloop.label.guarantee import certify
from everloop.stats.bounds import hypergeometric_upper

SCOPES = st.sampled_from(["auto-labelled part", "whole set"])


@st.composite
def samples(draw):
    """Confidences (rounded: ties), labels and a pool, or none."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    n, m = draw(st.integers(0, 400)), draw(st.integers(0, 400))
    sure = np.round(rng.beta(draw(st.floats(0.5, 8)), 1, n + m), draw(st.integers(1, 6)))
    right = rng.random(n + m) < np.clip(sure + draw(st.floats(-0.2, 0.2)), 0, 1)
    return sure[:n], right[:n], draw(st.sampled_from([None, sure[n:]]))


@settings(max_examples=25)
@given(samples(), st.floats(0.01, 0.5), st.sampled_from([0.8, 0.95]), SCOPES)
def test_a_threshold_comes_with_a_bound_that_keeps_the_promise(sample, max_error, level, scope):
    sure, right, pool = sample
    found = certify(sure, right, max_error, level, pool, scope=scope)
    if found.threshold is None:
        assert (found.coverage, found.bound, found.n, found.errors) == (0.0, 1.0, 0, 0)
        return
    assert found.bound <= max_error
    assert found.needed is None
    above = sure >= found.threshold
    assert (found.n, found.errors) == (above.sum(), (above & ~right).sum())
    assert found.coverage == pytest.approx(np.mean((sure if pool is None else pool) >= found.threshold))
    if pool is not None and scope == "auto-labelled part":
        rest = int((pool >= found.threshold).sum())
        most = hypergeometric_upper(found.errors, found.n, found.n + rest, level) - found.errors
        assert found.bound == pytest.approx(min(most / rest, max_error))


@settings(max_examples=20)
@given(samples(), st.floats(0.01, 0.5), SCOPES, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_does_not_matter(sample, max_error, scope, random):
    sure, right, pool = sample
    order = list(range(len(sure)))
    random.shuffle(order)
    assert certify(sure[order], right[order], max_error, pool=pool, scope=scope) == certify(
        sure, right, max_error, pool=None if pool is None else pool[::-1], scope=scope
    )


@given(samples(), st.floats(0.02, 0.3), st.booleans())
def test_fewer_errors_never_certify_less(sample, max_error, whole):
    sure, right, pool = sample
    scope = "whole set" if whole else "auto-labelled part"
    before = certify(sure, right, max_error, pool=pool, scope=scope)
    better = right.copy()
    better[::2] = True
    assert certify(sure, better, max_error, pool=pool, scope=scope).coverage >= before.coverage


def test_a_wider_bound_certifies_more_of_the_same_labels():
    rng = np.random.default_rng(3)
    sure = rng.beta(4, 1, 3_000)
    right = rng.random(3_000) < sure
    found = [certify(sure[:1_000], right[:1_000], e, pool=sure[1_000:]).coverage for e in (0.02, 0.05, 0.1, 0.2, 0.4)]
    assert found == sorted(found)
    assert found[-1] == 1.0
    whole = [certify(sure, right, e, scope="whole set").coverage for e in (0.02, 0.05, 0.1, 0.2)]
    parts = [certify(sure, right, e).coverage for e in (0.02, 0.05, 0.1, 0.2)]
    assert all(a >= b for a, b in zip(whole, parts, strict=True))  # people's labels thin the error out


def test_nothing_certified_says_how_many_labels_it_would_take():
    assert certify([], [], 0.05).needed == 59
    small = certify(np.linspace(0.9, 1, 50), np.ones(50, bool), 0.05)
    assert small.threshold is None
    assert small.needed is not None
    assert certify(np.linspace(0.9, 1, small.needed), np.ones(small.needed, bool), 0.05).threshold is not None
    assert certify(np.full(2_000, 0.9), np.arange(2_000) % 2 == 0, 0.05).needed is None  # wrong half the time: never


def test_the_number_it_names_is_about_enough():
    rng = np.random.default_rng(5)
    rate = 0.03
    few = certify(np.full(100, 0.9), np.arange(100) >= 100 * rate, 0.05)
    assert few.threshold is None
    assert 300 <= few.needed <= 1_300
    passed = sum(
        certify(np.full(few.needed, 0.9), rng.random(few.needed) >= rate, 0.05).threshold is not None
        for _ in range(100)
    )
    assert passed >= 55


def test_an_exhausted_pool_and_an_empty_one():
    assert certify([0.9] * 100, [True] * 100, 0.05, pool=[]).threshold is None
    sure = np.full(97, 0.9)
    assert certify(sure, np.ones(97, bool), 0.05, pool=[0.9] * 3).coverage == 1.0  # 97 of 100 seen: no room for doubt


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([0.5], [True, False], 0.05), "go in pairs"),
        (([1.5], [True], 0.05), "between 0 and 1"),
        (([float("nan")], [True], 0.05), "between 0 and 1"),
        (([0.5], [True], 0.0), "max_error"),
        (([0.5], [True], 0.05, 1.0), "level"),
        (([0.5], [3], 0.05), "true or false"),
        (([0.5], [True], 0.05, 0.95, [[0.5]]), "pool"),
    ],
)
def test_nonsense_is_refused_in_a_line(arguments, words):
    with pytest.raises(InvalidInput, match=words):
        certify(*arguments)
    with pytest.raises(InvalidInput, match="scope"):
        certify([0.5], [True], 0.05, scope="all")


def violated(kind, trials, size, n, max_error, seed, pool=True, scope="auto-labelled part"):
    """The share of draws whose threshold breaks the promise, and of those that certify anything."""
    rng = np.random.default_rng(seed)
    sure = rng.beta(3, 1, size)
    risk = {
        "honest": (1 - sure) * 0.4,
        "edge": np.full(size, max_error * 1.01),  # the confidences mean nothing and the bound is just broken
        "upside down": sure * 2 * max_error,  # the surer the worse
        "cliff": np.where(sure > 0.8, 0.0, 0.5),
    }[kind]
    wrong = rng.random(size) < risk
    broken = certified = 0
    for _ in range(trials):
        order = rng.permutation(size)
        drawn, rest = order[:n], order[n:]
        found = certify(sure[drawn], ~wrong[drawn], max_error, pool=sure[rest] if pool else None, scope=scope)
        if found.threshold is None:
            continue
        certified += 1
        above = sure[rest] >= found.threshold
        if pool:
            of = size if scope == "whole set" else above.sum()
            broken += wrong[rest][above].sum() > max_error * of + 1e-9
        else:
            broken += risk[sure >= found.threshold].sum() > max_error * (
                size if scope == "whole set" else (sure >= found.threshold).sum()
            )
    return broken / trials, certified / trials


@pytest.mark.parametrize("kind", ["honest", "edge"])
def test_the_promise_holds_in_a_few_draws(kind):
    broken, certified = violated(kind, 40, 1_200, 300, 0.1, 1)
    assert broken <= 0.15
    assert certified > 0.9 or kind == "edge"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["honest", "edge", "upside down", "cliff"])
@pytest.mark.parametrize("pool", [True, False])
@pytest.mark.parametrize("scope", ["auto-labelled part", "whole set"])
def test_the_promise_holds_in_three_hundred_draws(kind, pool, scope):
    """At most 5 %, give or take what 300 draws can tell: 8.4 % is exceeded once in 200 times by chance."""
    assert violated(kind, 300, 2_500 if pool else 20_000, 600, 0.05, 1, pool, scope)[0] <= 0.084


def test_a_group_that_breaks_the_bound_is_left_to_people_though_the_mean_holds():
    rng = np.random.default_rng(0)
    kind = np.array(["card", "loan", "rare"])[rng.choice(3, 6_000, p=[0.6, 0.38, 0.02])]
    sure = rng.beta(5, 1, 6_000)
    right = rng.random(6_000) < np.select([kind == "card", kind == "loan"], [0.995, 0.93], 0.99)
    n = 1_500
    found = certify_groups(sure[:n], right[:n], kind[:n].tolist(), 0.05, pool=sure[n:], pool_groups=kind[n:].tolist())
    assert certify(sure[:n], right[:n], 0.05, pool=sure[n:]).coverage == 1.0
    assert found.threshold("card") is not None
    assert found.threshold("loan") is None
    assert found.threshold("never seen") is None
    assert found.pooled == ("rare",)
    assert 0.55 < found.coverage < 0.65


def test_a_floor_of_its_own_is_never_diluted():
    sure, right = np.full(400, 0.9), np.ones(400, bool)
    kind = ["big"] * 380 + ["small"] * 20
    found = certify_groups(sure, right, kind, 0.05, own={"small": 0.01})
    assert found.threshold("big") is not None
    assert found.threshold("small") is None
    assert found.groups["small"].needed == 299
    alone = certify_groups(sure, right, kind, 0.05, together=False)
    assert (alone.rest, alone.threshold("small"), alone.pooled) == (None, None, ("small",))
    assert certify_groups(sure, right, kind, 0.05).threshold("small") is None  # 20 rows can't carry the bound
    with pytest.raises(InvalidInput):
        certify_groups(sure, right, kind[1:], 0.05)
    with pytest.raises(InvalidInput):
        certify_groups(sure, right, kind, 0.05, pool=[0.5])


@pytest.mark.slow
def test_all_groups_keep_their_bounds_together():
    """Five groups, each over the bound if all of it were labelled: one breaks it in 5 % of draws at most."""
    rng = np.random.default_rng(4)
    size, n, error = 4_000, 1_500, 0.1
    kind = rng.integers(0, 5, size)
    sure = rng.beta(3, 1, size)
    right = rng.random(size) < 1 - (1 - sure) * 0.5
    broken = 0
    for _ in range(150):
        order = rng.permutation(size)
        at, rest = order[:n], order[n:]
        found = certify_groups(
            sure[at], right[at], kind[at].tolist(), error, pool=sure[rest], pool_groups=kind[rest].tolist()
        )
        for group in range(5):
            threshold = found.threshold(group)
            if threshold is not None:
                above = (kind[rest] == group) & (sure[rest] >= threshold)
                if (~right[rest][above]).sum() > error * above.sum():
                    broken += 1
                    break
    assert broken / 150 <= 0.1


def test_a_wild_guess_of_peoples_mistakes_costs_no_certificate():
    rng = np.random.default_rng(0)
    sure = rng.beta(6, 1, 600)
    right = rng.random(600) < 0.97
    usual = certify(sure, right, 0.1, stream=sure)
    wild = certify(sure, right, 0.1, stream=sure, mistaken=0.16)
    assert usual.threshold is not None
    assert wild.threshold is not None
    assert abs(wild.coverage - usual.coverage) < 0.05

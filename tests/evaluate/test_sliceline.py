"""SliceLine against trying every slice there is."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from everloop.evaluate.sliceline import top


def brute(codes, errors, k, alpha, support, levels):
    """The k highest scores above 0 of all slices."""
    n, m = codes.shape
    found = []
    for level in range(1, levels + 1):
        for columns in itertools.combinations(range(m), level):
            for values in itertools.product(*[sorted(set(codes[:, c]) - {-1}) for c in columns]):
                inside = np.all([codes[:, c] == v for c, v in zip(columns, values, strict=True)], axis=0)
                size = inside.sum()
                if size >= max(1, support):
                    worse = errors[inside].mean() / errors.mean() - 1
                    found.append(alpha * worse - (1 - alpha) * (n / size - 1))
    return sorted((score for score in found if score > 1e-9), reverse=True)[:k]


@st.composite
def tables(draw):
    n, m = draw(st.integers(1, 40)), draw(st.integers(1, 4))
    codes = draw(arrays.arrays(np.int64, (n, m), elements=st.integers(-1, 3)))
    errors = draw(arrays.arrays(np.float64, n, elements=st.sampled_from([0.0, 0.0, 0.25, 1.0, 3.0])))
    return codes, errors


@given(tables(), st.integers(1, 6), st.sampled_from([0.3, 0.9, 0.95, 0.99, 1.0]), st.integers(0, 6), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_no_slice_is_passed_over(table, k, alpha, support, levels):
    codes, errors = table
    found = top(codes, errors, k=k, alpha=alpha, support=support, max_level=levels)
    wanted = brute(codes, errors, k, alpha, support, min(levels, codes.shape[1])) if errors.any() else []
    assert [one.score for one in found] == pytest.approx(wanted)
    for one in found:
        inside = np.all([codes[:, column] == code for column, code in one.predicates], axis=0)
        assert (one.size, one.error) == (inside.sum(), pytest.approx(errors[inside].mean()))
        assert len({column for column, _ in one.predicates}) == len(one.predicates) <= levels
    assert len({one.predicates for one in found}) == len(found)


@pytest.mark.parametrize("at_once", [1, 7])
def test_what_is_done_piece_by_piece_gives_the_same(monkeypatch, at_once):
    rng = np.random.default_rng(3)
    codes, errors = rng.integers(0, 4, (400, 5)), (rng.random(400) < 0.3).astype(float)
    whole = top(codes, errors, k=9, alpha=0.99, support=5)
    for name in ("_PAIRS", "_ENTRIES", "_CELLS"):
        monkeypatch.setattr(f"everloop.evaluate.sliceline.{name}", at_once)
    assert top(codes, errors, k=9, alpha=0.99, support=5) == whole
    assert len(whole[0].predicates) > 1


def test_a_column_of_ids_and_very_many_values_cost_nothing_and_overflow_nothing():
    rng = np.random.default_rng(1)
    n = 3_000
    wide = np.column_stack([rng.integers(0, 60, n) * 10**12 // 10**12 for _ in range(12)])
    codes = np.column_stack([np.arange(n), wide])
    errors = np.where(codes[:, 1] == 7, 1.0, 0.1)
    assert top(codes, errors, k=1, alpha=0.99, support=20)[0].predicates == ((1, 7),)


@pytest.mark.parametrize(
    ("codes", "errors", "more"),
    [
        ([[0]], [1, 2], {}),
        ([0, 1], [1, 2], {}),
        ([[0.5]], [1], {}),
        ([[-2]], [1], {}),
        ([[0]], [-1], {}),
        ([[0]], [np.nan], {}),
        ([[0]], [1], {"k": 0}),
        ([[0]], [1], {"alpha": 0}),
        ([[0]], [1], {"alpha": 1.5}),
    ],
)
def test_what_is_no_table_is_refused(codes, errors, more):
    with pytest.raises(ValueError, match=r"errors|codes|code|alpha"):
        top(codes, errors, **more)


def test_nothing_to_find():
    assert top(np.zeros((0, 2), int), []) == []
    assert top([[0], [1]], [0, 0], support=1) == []
    assert top(np.zeros((3, 0), int), [1, 0, 1], support=1) == []
    assert top([[-1]] * 50, [1] * 50) == []

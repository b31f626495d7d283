"""Pairs that are alike: with the sieve and without it the same ones, and none is overlooked."""

import numpy as np
import pytest

from everloop.curate import cosines, semantic


def units(rng, n, d, like=0.05):
    """Half of them near the other half, in a space where some directions count more than others."""
    half = rng.normal(size=(n // 2, d)) * np.linspace(2, 0.1, d)
    rows = np.concatenate([half, half + like * rng.normal(size=half.shape)]).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("floor", [0.5, 0.9, 0.999])
def test_the_sieve_overlooks_nothing(monkeypatch, floor):
    monkeypatch.setattr(cosines, "_WORTH", 10)
    monkeypatch.setattr(cosines, "_CROWDED", 1.0)
    rows = units(np.random.default_rng(0), 300, 160)
    rows[7] = 0
    sieved = cosines.sieved(rows)
    assert sieved.sieve is not None
    cosine = rows @ rows.T
    at, to, value = cosines.near(sieved, sieved, floor)
    assert set(zip(at.tolist(), to.tolist(), strict=True)) == set(zip(*np.nonzero(cosine >= floor), strict=True))
    assert np.allclose(value, cosine[at, to], atol=1e-6)
    plain = cosines.near(cosines.Rows(rows, None), cosines.Rows(rows, None), floor)
    assert (plain[0] == at).all()
    assert (plain[1] == to).all()


def test_pairs_come_by_the_later_row_and_too_many_are_none(monkeypatch):
    rows = cosines.sieved(units(np.random.default_rng(1), 60, 8, like=0.01))
    monkeypatch.setattr(cosines, "AT_ONCE", 7)
    monkeypatch.setattr(cosines, "BESIDE", 5)
    found = cosines.alike(rows, 0.95, 1_000)
    assert found is not None
    earlier, later, _ = found
    cosine = np.tril(rows.whole @ rows.whole.T, -1)
    assert list(zip(later.tolist(), earlier.tolist(), strict=True)) == sorted(
        zip(*map(np.ndarray.tolist, np.nonzero(cosine >= 0.95)), strict=True)
    )
    assert cosines.alike(rows, 0.95, 10) is None
    assert [len(part) for part in cosines.alike(cosines.sieved(np.zeros((0, 4), np.float32)), 0.9, 5)] == [0, 0, 0]


def test_groups_are_the_same_with_the_sieve(monkeypatch):
    rng = np.random.default_rng(2)
    vectors = units(rng, 400, 160)[rng.permutation(400)]
    plain = semantic.groups(vectors, 0.9)
    monkeypatch.setattr(cosines, "_WORTH", 10)
    assert (semantic.groups(vectors, 0.9) == plain).all()
    assert 150 < (plain == np.arange(400)).sum() < 400

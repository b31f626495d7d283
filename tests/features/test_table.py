import numpy as np
import pytest

from everloop.features import fourier, table


def test_columns_come_on_one_scale_and_outliers_are_cut():
    rng = np.random.default_rng(0)
    values = np.stack([rng.normal(1e6, 1e5, 500), rng.normal(0, 1e-6, 500), np.full(500, 0.1)], axis=1)
    values[0, 0] = 1e12
    scale = table.learn(values[1:])
    found = table.scaled(scale, values) * np.sqrt(3)
    assert found[:, :2].std(axis=0) == pytest.approx([1, 1], abs=0.1)
    assert (np.abs(found[:, 2]) < 1e-12).all(), "a constant column says nothing, whatever its rounding"
    assert found[0, 0] == table.REACH


def test_waves_make_a_gaussian_kernel():
    """Rahimi and Recht's claim: the product of two lifted rows estimates exp(-|width (x - y)|^2 / 2)."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(20, 6)) / np.sqrt(6)
    found = fourier.lift(fourier.draw(6, 20_000, 1.5, rng), x)
    apart = ((x[:, None] - x[None]) ** 2).sum(-1)
    assert found @ found.T == pytest.approx(np.exp(-(1.5**2) * apart / 2), abs=0.03)


def test_a_row_does_not_depend_on_its_neighbours():
    rng = np.random.default_rng(2)
    x, waves = rng.normal(size=(300, 64)) / 8, fourier.draw(64, 512, 1.5, rng)
    assert (np.concatenate([fourier.lift(waves, x[i : i + 1]) for i in range(300)]) == fourier.lift(waves, x)).all()

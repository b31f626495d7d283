"""Random Fourier features: a linear model over them bends like one with a Gaussian kernel.

Source: Rahimi and Recht 2007, "Random features for large-scale kernel machines".
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Waves(NamedTuple):
    """Cosines, each with a direction and a phase. Half precision: they are random, so that rounding costs nothing."""

    direction: NDArray[np.float16]  # (columns, waves)
    phase: NDArray[np.float16]  # (waves,)


def draw(columns: int, waves: int, width: float, rng: np.random.Generator) -> Waves:
    """`waves` cosines over rows about as long as 1; the larger `width`, the finer they ripple."""
    direction = rng.standard_normal((columns, waves)) * width
    return Waves(direction.astype(np.float16), (rng.random(waves) * 2 * np.pi).astype(np.float16))


def lift(waves: Waves, values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Features (n, waves) of rows (n, columns); each row's length is about 1."""
    angle = values @ waves.direction.astype(np.float64) + waves.phase.astype(np.float64)
    # A matrix product's last bits depend on the processor, its threads and the batch. Rounded to a grid 10 decimal
    # places coarser they no longer do.
    cosine = np.round(np.cos(angle) * 65536) / 65536
    return np.asarray(cosine * np.sqrt(2 / waves.phase.size), dtype=np.float32)

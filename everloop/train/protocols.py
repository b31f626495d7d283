"""What a trainer and a trained model must do. A stranger's plug-in is measured by the same words."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from everloop.types import Input


class CrossFit(NamedTuple):
    """What models that have not seen a row say of it."""

    classes: tuple[str, ...]  # k labels, sorted
    probabilities: NDArray[np.float64]  # (n, k): each row by the model of the fold that left it out; calibrated
    pool: NDArray[np.float64]  # (m, k): mean over the fold models on the pool; calibrated


class Predictor(Protocol):
    """A trained model, loaded."""

    classes: tuple[str, ...]  # k labels, sorted

    def probabilities(self, inputs: Sequence[Input]) -> NDArray[np.float64]:
        """Calibrated probabilities (n, k) of `classes`; rows sum to 1.

        A row does not depend on the rows around it. Raises InvalidInput for an input of another kind or length.
        """
        ...


class Trainer(Protocol):
    """Makes models. The same arguments make the same bytes; the caller sorts the examples, by id."""

    def fit(
        self,
        inputs: Sequence[Input],
        targets: Sequence[str],
        weights: Sequence[float],
        *,
        seed: int = 0,
        groups: Sequence[str] | None = None,
    ) -> bytes:
        """A model as bytes that execute nothing when loaded.

        `groups` names each row's near-duplicate group: the rows that calibrate the model share none with those that
        it learns from. Raises InvalidInput where nothing can be learned: no rows, lengths that differ, a weight that
        is negative or not finite, no positive weight, an input of another kind.
        """
        ...

    def load(self, data: bytes) -> Predictor:
        """The model in `data`; raises StoreDamaged if it is not what `fit` wrote."""
        ...

    def cross_fit(
        self,
        inputs: Sequence[Input],
        targets: Sequence[str],
        weights: Sequence[float],
        *,
        pool: Sequence[Input] = (),
        folds: int = 3,
        seed: int = 0,
        groups: Sequence[str] | None = None,
    ) -> CrossFit:
        """Probabilities for each row from models that saw neither it nor its group; and for a `pool` of others.

        A row's fold is a hash of its group (without groups, of its input), so that a new row moves no other. A class
        that is absent from the rest of the folds gets a small probability. A row of weight 0 is predicted, not
        learned from. Raises InvalidInput as `fit`.
        """
        ...

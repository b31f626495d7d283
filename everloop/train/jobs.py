"""Learning as a job: everything it needs in one value, so that it can be done in another process."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

from everloop import engine
from everloop.train.choosing import trainer
from everloop.train.protocols import CrossFit
from everloop.types import Example, Input, Spec

A = TypeVar("A")
B = TypeVar("B")
_APART = 10_000  # rows from which learning happens in a process of its own


class FitJob(NamedTuple):
    """A model to be made: its trainer, and its examples ordered by id, as `Datasets.examples` gives them."""

    spec: Spec
    examples: Sequence[Example]


class CrossJob(NamedTuple):
    """Rows to be judged by models that have not seen them, and a pool of rows nobody labelled."""

    spec: Spec
    inputs: Sequence[Input]
    targets: Sequence[str]
    weights: Sequence[float]
    groups: Sequence[str]
    pool: Sequence[Input] = ()
    folds: int = 3


def fitted(job: FitJob) -> bytes:
    """The model's bytes."""
    return _heavy(_fit, job, len(job.examples))


def crossed(job: CrossJob) -> CrossFit:
    """Out-of-fold probabilities, and the folds' mean on the pool."""
    return _heavy(_cross, job, len(job.inputs) + len(job.pool))


def _fit(job: FitJob) -> bytes:
    rows = job.examples
    return trainer(job.spec).fit(
        [e.input for e in rows], [e.target for e in rows], [e.weight for e in rows], seed=_seed(job.spec),
        groups=[e.group for e in rows],
    )  # fmt: skip


def _cross(job: CrossJob) -> CrossFit:
    return trainer(job.spec).cross_fit(
        job.inputs, job.targets, job.weights, pool=job.pool, folds=job.folds, seed=_seed(job.spec), groups=job.groups
    )


def _seed(spec: Spec) -> int:
    return int(spec.args.get("seed", 0))


def _heavy(function: Callable[[A], B], job: A, rows: int) -> B:
    """In a process of its own where there is much to do: the serving process keeps its memory and its breath."""
    return engine.apart(function, job) if rows >= _APART else function(job)

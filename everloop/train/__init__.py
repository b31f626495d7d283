"""Examples to models. A trainer is found by its versioned name; a model is bytes, rebuilt from the same examples."""

from everloop.train.choosing import choose, trainer
from everloop.train.jobs import CrossJob, FitJob, crossed, fitted
from everloop.train.protocols import CrossFit, Predictor, Trainer

__all__ = ["CrossFit", "CrossJob", "FitJob", "Predictor", "Trainer", "choose", "crossed", "fitted", "trainer"]

"""What a model and the labelled neighbours say of the test rows of Banking77 and CLINC150; kept if asked."""

import csv
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from everloop.features import text
from everloop.label.neighbours import neighbours
from everloop.train import trainer
from everloop.types import Spec

DATA = Path(__file__).parents[2] / "shared" / "data"
NAMES = ("banking77", "clinc150")
NEIGHBOURS = 10


class Proposals(NamedTuple):
    """Of the training rows out of fold, of the test rows by the model that learned from all of them."""

    truth: np.ndarray  # (n,) classes of the test rows
    probabilities: np.ndarray  # (n, k) of the model
    near: np.ndarray  # (n, 2) of the neighbours: label, confidence
    train_truth: np.ndarray  # (m,)
    train_said: np.ndarray  # (m, 2) label and confidence of a model that had not seen the row
    train_near: np.ndarray  # (m, 2) of the neighbours, the row itself left out
    strange: np.ndarray  # (o, k) probabilities of CLINC150's rows of no class, to either model inputs from elsewhere


def load(name):
    """((texts, labels) to train on, the same to test on)."""
    if name == "banking77":
        parts = []
        for part in ("train", "test"):
            with (DATA / name / f"{part}.csv").open(encoding="utf-8", newline="") as file:
                rows = list(csv.DictReader(file))
            parts.append(([row["text"] for row in rows], [row["category"] for row in rows]))
        return parts
    found = json.loads((DATA / name / "data_full.json").read_text(encoding="utf-8"))
    return [tuple(map(list, zip(*found[part], strict=True))) for part in ("train", "test")]


def strangers():
    """Questions no class of either set answers."""
    found = json.loads((DATA / "clinc150" / "data_full.json").read_text(encoding="utf-8"))
    return [row[0] for row in found["oos_test"]]


def compute(name):
    (inputs, labels), (test, truth) = load(name)
    order = np.random.default_rng(0).permutation(len(inputs))
    inputs, labels = [inputs[i] for i in order], [labels[i] for i in order]
    made = trainer(Spec(name="linear_text.v1"))
    ones = [1.0] * len(inputs)
    model = made.load(made.fit(inputs, labels, ones))
    place = {label: i for i, label in enumerate(model.classes)}
    crossed = made.cross_fit(inputs, labels, ones, folds=3)
    known = np.array([place[label] for label in labels])
    vectors = text.vectors(inputs)
    near = neighbours(text.vectors(test), vectors, known, len(place), NEIGHBOURS)
    fold = np.arange(len(inputs)) % 3  # neighbours out of fold as well
    said = np.zeros((len(inputs), 2))
    for out in (fold == f for f in range(3)):
        found = neighbours(vectors[out], vectors[~out], known[~out], len(place), NEIGHBOURS)
        said[out] = np.column_stack((found.labels, found.confidence))
    return Proposals(
        np.array([place[label] for label in truth]), model.probabilities(test),
        np.column_stack((near.labels, near.confidence)), known,
        np.column_stack((crossed.probabilities.argmax(axis=1), crossed.probabilities.max(axis=1))), said,
        model.probabilities(strangers()),
    )  # fmt: skip


def proposals(name, keep=None):
    """The proposals; read from the folder `keep` if they are there, and left there if it is given."""
    path = None if keep is None else keep / f"proposals-{name}.npz"
    if path is not None and path.exists():
        with np.load(path) as stored:
            return Proposals(**{field: stored[field] for field in Proposals._fields})
    found = compute(name)
    if path is not None:
        np.savez(path, **found._asdict())
    return found

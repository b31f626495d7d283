"""Wrong labels: which are found, beside cleanlab on the same probabilities.

    python benchmarks/label_errors.py [--peers VENV/bin/python] [--seeds 3] [--minutes 14]

Banking77 and CLINC150 with a tenth of the labels made wrong in three ways; MNIST's and 20news' own labels with what
people said of them (../shared/data; skipped where it is missing). `--peers` is a Python that has cleanlab. After
`--minutes` no further seed is begun.
"""

import argparse
import csv
import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
from _results import machine, markdown_table, write_section

from everloop import train
from everloop.curate import confident, label_errors
from everloop.features import neighbours, text
from everloop.stats.intervals import wilson
from everloop.types import Spec

DATA = Path(__file__).parents[2] / "shared/data"
KINDS = ("uniform", "confusable", "annotator")
RECALL, PRECISION = 0.95, 0.85
FILTERS = ("prune_by_noise_rate", "low_self_confidence", "confident_learning")
OURS = {"off_diagonal": "confident_learning", "noise_rate": "prune_by_noise_rate", "class": "prune_by_class",
        "both": "both", "low_self_confidence": "low_self_confidence"}  # fmt: skip
ROUNDS = 3
# Reads {"filters": [...], "files": [...]} and writes for each file and filter the flagged rows, its own order first.
PEER = """
import json, sys, time, warnings
import numpy as np
warnings.filterwarnings("ignore")
import cleanlab
from cleanlab.filter import find_label_issues
asked = json.load(sys.stdin)
found = {"version": cleanlab.__version__, "seconds": [], "flags": []}
for path in asked["files"]:
    data = np.load(path)
    labels, probabilities = data["labels"], data["probabilities"].astype(float)
    rows = {}
    for name in asked["filters"]:
        begun = time.perf_counter()
        # Its own default of processes, but none for a few rows: starting them would take longer than the work.
        jobs = {"n_jobs": 1} if len(labels) < 1000 else {}
        flags = find_label_issues(
            labels, probabilities, filter_by=name, return_indices_ranked_by="self_confidence", **jobs
        )
        found["seconds"].append(time.perf_counter() - begun)
        rows[name] = [int(row) for row in flags]
    found["flags"].append(rows)
print(json.dumps(found))
"""


def banking77() -> tuple[list[str], list[str]]:
    with (DATA / "banking77/train.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [row["text"] for row in rows], [row["category"] for row in rows]


def clinc150() -> tuple[list[str], list[str]]:
    rows = json.loads((DATA / "clinc150/data_full.json").read_text(encoding="utf-8"))["train"]
    return [row[0] for row in rows], [row[1] for row in rows]


SETS = {"Banking77": banking77, "CLINC150": clinc150}


def ask_peer(python: str, files: list[Path], filters: tuple[str, ...]) -> dict:
    asked = json.dumps({"files": [str(path) for path in files], "filters": filters})
    done = subprocess.run([python, "-c", PEER], input=asked, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


class Measured:
    """One set: its texts, their vectors, and what models that have not seen a row say of it."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder
        self.texts, labels = SETS[name]()
        self.classes = sorted(set(labels))
        self.true = np.array([self.classes.index(label) for label in labels])
        self.vectors = text.vectors(self.texts)
        clean = self.out_of_fold(self.true)
        self.clean = self.save("clean", self.true, clean)
        confused = np.zeros((len(self.classes), len(self.classes)))
        np.add.at(confused, self.true, clean)
        np.fill_diagonal(confused, 0)
        self.nearest = confused.argmax(axis=1)

    def out_of_fold(self, labels: np.ndarray) -> np.ndarray:
        trainer = train.trainer(Spec(name="linear_text.v1"))
        named = [self.classes[label] for label in labels]
        return trainer.cross_fit(self.texts, named, [1.0] * len(named)).probabilities

    def noisy(self, kind: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Labels, of which a tenth is wrong, and who gave each: ten people at random."""
        rng = np.random.default_rng(seed)
        n, k = len(self.true), len(self.classes)
        people = rng.integers(0, 10, n)
        wrong = people == 0 if kind == "annotator" else rng.random(n) < 0.1
        if kind == "annotator60":
            wrong = (people == 0) & (rng.random(n) < 0.6)
        other = self.nearest[self.true] if kind == "confusable" else (self.true + rng.integers(1, k, n)) % k
        return np.where(wrong, other, self.true), people

    def save(self, name: str, labels: np.ndarray, probabilities: np.ndarray) -> Path:
        path = self.folder / f"{self.name}_{name}.npz"
        np.savez(path, labels=labels, probabilities=probabilities)
        return path


def judge(wrong: np.ndarray, order: np.ndarray, flagged: np.ndarray) -> tuple[float, float, float]:
    """Precision and recall of the flags, and the precision where the order reaches the recall wanted."""
    hits = np.cumsum(wrong[order])
    at = int(np.searchsorted(hits, RECALL * wrong.sum()))
    return wrong[flagged].mean(), wrong[flagged].sum() / wrong.sum(), hits[at] / (at + 1)


def one_run(data: Measured, kind: str, seed: int, python: str | None) -> dict[str, tuple[float, float, float]]:
    labels, people = data.noisy(kind, seed)
    wrong = labels != data.true
    linear = data.out_of_fold(labels)
    around = neighbours.nearest(data.vectors, neighbours.suited(len(labels), len(data.classes)))
    near = neighbours.probabilities(labels, len(data.classes), around)
    ways = {"Everloop, one model": ((linear,), None), "Everloop, with neighbours": ((linear, near), None)}
    if kind.startswith("annotator"):
        ways["Everloop, with neighbours and who labelled"] = ((linear, near), people)
    result = {}
    for way, (models, who) in ways.items():
        found = label_errors.rank(labels, models, annotators=who)
        result[way] = judge(wrong, found.order, found.flagged)
        if way == "Everloop, with neighbours":
            again = neighbours.probabilities(labels, len(data.classes), around, 1 - found.score)
            second = label_errors.rank(labels, (linear, again))
            result[f"{way}, second look"] = judge(wrong, second.order, second.flagged)
    if python:
        files = [data.save("one", labels, linear), data.save("mean", labels, (linear + near) / 2)]
        answer = ask_peer(python, files, FILTERS)
        for file, which, flags in zip(files, ("", ", mean of both"), answer["flags"], strict=True):
            own = np.load(file)["probabilities"][np.arange(len(labels)), labels]
            for name, rows in flags.items():
                flagged = np.zeros(len(labels), bool)
                flagged[rows] = True
                result[f"cleanlab {name}{which}"] = judge(wrong, np.argsort(own, kind="stable"), flagged)
    return result


def spread(values: list[float]) -> str:
    if len(values) == 1:
        return f"{values[0]:.3f}"
    return f"{statistics.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"


def checked_sets(python: str | None, folder: Path) -> list[list[object]]:
    """What people said of the first so many flags of each order, among the rows they were asked about."""
    lines = []
    for name in ("mnist", "20news"):
        base = DATA / "label_errors"
        probabilities = np.load(base / f"{name}_test_set_pyx.npy").astype(float)
        labels = np.load(base / f"{name}_test_set_original_labels.npy").astype(int)
        asked = json.loads((base / f"{name}_mturk.json").read_text(encoding="utf-8"))
        rows = np.array([row["id"] for row in asked])
        wrong = np.array([row["mturk"]["guessed"] + row["mturk"]["neither"] >= 3 for row in asked])
        found = label_errors.rank(labels, probabilities)
        orders = {"Everloop (noise_model)": (found.order, int(found.flagged.sum()))}
        for method in ("low_self_confidence", "low_normalized_margin"):
            plain = label_errors.rank(labels, probabilities, method=method)
            orders[f"Everloop, {method}"] = (plain.order, int(plain.flagged.sum()))
        if python:
            path = folder / f"{name}.npz"
            np.savez(path, labels=labels, probabilities=probabilities / probabilities.sum(axis=1, keepdims=True))
            for way, flags in ask_peer(python, [path], FILTERS)["flags"][0].items():
                # Its flags in its own order; behind them the rest, by the same score.
                own = probabilities[np.arange(len(labels)), labels]
                rest = np.argsort(own, kind="stable")
                orders[f"cleanlab {way}"] = (
                    np.concatenate((flags, rest[~np.isin(rest, flags)])).astype(int), len(flags),
                )  # fmt: skip
        for way, (order, flagged) in orders.items():
            place = np.empty(len(labels), int)
            place[order] = np.arange(len(labels))
            first = np.argsort(place[rows], kind="stable")
            cells = []
            for budget in (20, 50):
                share = wilson(int(wrong[first[:budget]].sum()), budget)
                cells.append(f"{share.estimate:.2f} ({share.low:.2f} to {share.high:.2f})")
            lines.append([name, way, flagged, int((place[rows] < flagged).sum()), *cells])
        share = wilson(int(wrong.sum()), len(wrong))
        everything = f"{share.estimate:.2f} ({share.low:.2f} to {share.high:.2f}), n={len(wrong)}"
        lines.append([name, "all that people were asked about", "", len(wrong), everything, ""])
    return lines


def agreement(python: str, folder: Path) -> str:
    """How often the same method names the same rows, on small random inputs."""
    files, ours = [], []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        k = int(rng.integers(2, 12))
        n = int(rng.integers(3 * k, 400))
        true = rng.integers(0, k, n)
        labels = np.where(rng.random(n) < 0.15, rng.integers(0, k, n), true)
        labels[:k] = np.arange(k)
        probabilities = rng.dirichlet(np.full(k, 0.4), n) + rng.uniform(0.3, 2) * np.eye(k)[true]
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        files.append(folder / f"random{seed}.npz")
        np.savez(files[-1], labels=labels, probabilities=probabilities)
        ours.append({OURS[by]: set(np.flatnonzero(confident.flag(labels, probabilities, by)).tolist()) for by in OURS})
    theirs = ask_peer(python, files, tuple(OURS.values()))["flags"]
    counts = [
        f"{name} {sum(a[name] == set(b[name]) for a, b in zip(ours, theirs, strict=True))}" for name in OURS.values()
    ]
    return ", ".join(counts)


def times(python: str | None, folder: Path) -> list[list[object]]:
    """Seconds for a million rows of ten classes, alternating."""
    rng = np.random.default_rng(0)
    true = rng.integers(0, 10, 1_000_000)
    scores = rng.normal(size=(true.size, 10)) + 4 * np.eye(10)[true]
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    labels = np.where(rng.random(true.size) < 0.1, rng.integers(0, 10, true.size), true)
    path = folder / "million.npz"
    np.savez(path, labels=labels, probabilities=probabilities)
    taken: dict[str, list[float]] = {}
    ways = {
        "Everloop `rank` (noise_model)": lambda: label_errors.rank(labels, probabilities),
        "Everloop `confident.flag`, noise_rate": lambda: confident.flag(labels, probabilities, "noise_rate"),
        "Everloop `rank`, low_self_confidence": lambda: label_errors.rank(
            labels, probabilities, method="low_self_confidence"
        ),
    }
    for _ in range(ROUNDS):
        for way, work in ways.items():
            begun = time.perf_counter()
            work()
            taken.setdefault(way, []).append(time.perf_counter() - begun)
        if python:
            answer = ask_peer(python, [path], FILTERS[:2])
            for name, seconds in zip(FILTERS[:2], answer["seconds"], strict=True):
                taken.setdefault(f"cleanlab {name}", []).append(seconds)
    return [[way, f"{statistics.median(all_):.2f} ({min(all_):.2f} to {max(all_):.2f})"] for way, all_ in taken.items()]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--peers", help="a Python that has cleanlab")
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--minutes", type=float, default=14.0)
    options.add_argument("--sets", default=",".join(SETS))
    chosen = options.parse_args()
    if not DATA.exists():
        print(f"skipped: {DATA} is missing")
        return
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sets = [Measured(each, folder) for each in chosen.sets.split(",")]
        runs: dict[tuple[str, str, str], list[tuple[float, float, float]]] = {}
        kinds = [(seed, kind) for seed in range(chosen.seeds) for kind in KINDS] + [(0, "annotator60")]
        for seed, kind in kinds:
            for data in sets:
                if time.monotonic() - begun > 60 * chosen.minutes:
                    continue
                for way, found in one_run(data, kind, seed, chosen.peers).items():
                    runs.setdefault((data.name, kind, way), []).append(found)
                    print(data.name, kind, seed, way, *(f"{value:.3f}" for value in found), flush=True)
        report(runs, sets, checked_sets(chosen.peers, folder), times(chosen.peers, folder), chosen.peers, folder)


def report(
    runs: dict[tuple[str, str, str], list[tuple[float, float, float]]],
    sets: list[Measured],
    checked: list[list[object]],
    taken: list[list[object]],
    python: str | None,
    folder: Path,
) -> None:
    lines = [
        [data, kind, way, len(found), *(spread([run[i] for run in found]) for i in range(3))]
        for (data, kind, way), found in sorted(runs.items(), key=lambda item: item[0][:2])
    ]
    goals = []
    for data in sets:
        found = runs.get((data.name, "uniform", "Everloop, with neighbours"), [])
        if found:
            precision, recall = (statistics.mean(run[i] for run in found) for i in (0, 1))
            met = "met" if precision >= PRECISION and recall >= RECALL else "**not met**"
            goals.append([f"{data.name}, uniform: recall ≥ {RECALL} at precision ≥ {PRECISION}",
                          f"recall {recall:.3f} at precision {precision:.3f}", met])  # fmt: skip
    untouched = []
    for data in sets:
        saved = np.load(data.clean)
        near = neighbours.vote(data.vectors, data.true, len(data.classes))
        line = [data.name, *(int(label_errors.rank(data.true, models).flagged.sum())
                             for models in ((saved["probabilities"],), (saved["probabilities"], near)))]  # fmt: skip
        peers = ask_peer(python, [data.clean], FILTERS)["flags"][0] if python else {}
        untouched.append([*line, *(len(peers[way]) if python else "not measured" for way in FILTERS)])
    same = agreement(python, folder) if python else "not measured: no cleanlab"
    version = ask_peer(python, [], ())["version"] if python else "not measured"
    where = ["labels", "noise", "method", "seeds", "precision", "recall", f"precision at recall {RECALL}"]
    text_ = "\n".join(
        [
            "## Wrong labels", "",
            f"{machine()}. cleanlab {version}. Out-of-fold probabilities from `linear_text.v1` in three folds, the",
            "same for all; “with neighbours” adds the vote of up to 40 nearest rows (WordLlama vectors) as a second",
            "model, and “mean of both” gives cleanlab the mean of the two. In a “second look” neighbours",
            "count by how little they were suspected in the first. Mean (lowest to highest) over seeds.",
            "uniform: a tenth of the labels is any other class; confusable: it is the class that the model confuses",
            "most with the right one; annotator: one of ten people is always wrong; annotator60: in 60 % of cases.",
            "The last column looks at the order alone: where a list cut by somebody who knows the truth would be.", "",
            markdown_table(["goal", "measured", ""], goals), "",
            markdown_table(where, lines), "",
            "Flags where no label was changed (some of the published ones are wrong; nobody has counted them):", "",
            markdown_table(["labels", "Everloop, one model", "with neighbours", *(f"cleanlab {f}" for f in FILTERS)],
                           untouched), "",
            "Real labels, and what five people each said of some that confident learning had flagged: the share that",
            "is wrong (three of five say the proposal or neither) among the first 20 and 50 of the judged rows in each",
            "order, 95 % Wilson intervals. Rows nobody was asked about are left out, so this compares orders and",
            "favours the one by which the rows were chosen.", "",
            markdown_table(["labels", "order", "flagged", "of them judged", "first 20", "first 50"], checked), "",
            f"A million rows, ten classes, median of {ROUNDS} (lowest to highest), alternating:", "",
            markdown_table(["", "seconds"], taken), "",
            f"The same method names the same rows as cleanlab, of 200 small random inputs: {same}.",
        ]
    )  # fmt: skip
    write_section("label_errors", text_)
    print(text_)


if __name__ == "__main__":
    main()

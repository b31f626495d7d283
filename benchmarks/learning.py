"""The text model beside the plain scikit-learn pipeline of the same kind, on Banking77, in one run, alternating.

Both: TF-IDF of words and characters and a linear SVM one against the rest; ours adds static embeddings and calibrated
probabilities, and comes from bytes that execute nothing. Run: python benchmarks/learning.py
"""

import csv
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from _results import machine, markdown_table, write_section
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline, make_union
from sklearn.svm import LinearSVC

from everloop.train import trainer
from everloop.types import Spec

DATA = Path(__file__).parents[2] / "shared" / "data" / "banking77"
SIZES, ASKED = (1000, 3000, 10_003), 300


class Ours:
    name = "linear_text.v1"

    def __init__(self, inputs, targets):
        made = trainer(Spec(name=self.name))
        self.model = made.load(made.fit(inputs, targets, [1.0] * len(inputs)))

    def answer(self, texts):
        return [self.model.classes[i] for i in self.model.probabilities(texts).argmax(axis=1)]


class Plain:
    name = "scikit-learn"

    def __init__(self, inputs, targets):
        words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
        letters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True, min_df=2)
        self.model = make_pipeline(make_union(words, letters), LinearSVC(C=0.5)).fit(inputs, targets)

    def answer(self, texts):
        return list(self.model.predict(texts))


def timed(function, *given):
    begun = time.perf_counter()
    found = function(*given)
    return found, time.perf_counter() - begun


def load(name):
    rows = list(csv.DictReader((DATA / name).open(encoding="utf-8")))
    return [row["text"] for row in rows], [row["category"] for row in rows]


def main():
    if not DATA.is_dir():
        sys.exit(f"needs {DATA}")
    (inputs, targets), (test, truth) = load("train.csv"), load("test.csv")
    rows = []
    for size in SIZES:
        step = len(inputs) / size
        some = [int(i * step) for i in range(size)]
        made = {kind: timed(kind, [inputs[i] for i in some], [targets[i] for i in some]) for kind in (Plain, Ours)}
        one = {kind: [] for kind in made}
        for text in test[:ASKED]:
            for kind, (model, _) in made.items():
                one[kind].append(timed(model.answer, [text])[1] * 1000)
        for kind, (model, seconds) in made.items():
            given, many = timed(model.answer, test)
            right = sum(a == b for a, b in zip(given, truth, strict=True)) / len(truth)
            p50, p99 = statistics.median(one[kind]), sorted(one[kind])[int(0.99 * ASKED)]
            rows.append([kind.name, f"{size:,}", f"{right:.1%}", f"{seconds:.1f}", f"{p50:.2f}", f"{p99:.2f}",
                         f"{len(test) / many:,.0f}"])  # fmt: skip
            print(rows[-1], flush=True)
    columns = [
        "model",
        "labels",
        "accuracy (3,080 test rows)",
        "to train, s",
        "one answer, p50 ms",
        "p99 ms",
        "texts a second",
    ]
    text = f"## The text model\n\n{__doc__.split(chr(10) * 2)[1].split(' Run:')[0]}\n\nOn {machine()}.\n\n"
    write_section("learning", text + markdown_table(columns, rows))


if __name__ == "__main__":
    main()

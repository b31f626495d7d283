"""How many labels it takes to come near what all of them give: our choice beside random, margin, entropy and others.

One learner for all: the text trainer's own linear head on its own features (words, letters, static embeddings), with
the vocabulary of the pool and one fixed temperature, trained anew for each batch. Every method starts from the same
200 random labels and asks for 250 more at a time; "ours" has its random arm of a twentieth in it, as in production.
Run: python benchmarks/choosing.py [--seeds 3] [--data banking77 clinc150 imbalanced novelty speed]
"""

import argparse
import csv
import json
import resource
import statistics
import sys
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from _results import machine, markdown_table, write_section
from scipy.sparse import vstack
from sklearn.metrics import roc_auc_score

from everloop import label
from everloop.features import ngrams, sparse, text, tfidf
from everloop.train import head

DATA = Path(__file__).parents[2] / "shared" / "data"
START, BATCH, MOST = 200, 250, 3_000
SPARSE = (1_000, 2_500)  # of random's curve only its part from 3,700 on is needed, and what it has at 1,200
GRID = 500  # from there on
SHARE, GOAL, TEMPERATURE = 0.98, 0.45, 4.0


class Task(NamedTuple):
    texts: list[str]
    features: object
    vectors: np.ndarray
    target: np.ndarray
    classes: tuple[str, ...]
    test: object
    truth: np.ndarray


# ---- the data and the learner


def read(name):
    if name == "banking77":
        files = [list(csv.DictReader((DATA / name / f).open(encoding="utf-8"))) for f in ("train.csv", "test.csv")]
        return [[(row["text"], row["category"]) for row in rows] for rows in files]
    kind = "data_imbalanced.json" if name == "imbalanced" else "data_full.json"
    found = json.loads((DATA / "clinc150" / kind).read_text(encoding="utf-8"))
    return [found["train"], found["test"]]


def featurise(texts, known=None):
    """(vocabulary, features): as the trainer `linear_text.v1` makes them."""
    parts = [(words := texts[part], ngrams.grams(words, chars=(2, 4))) for part in ngrams.batches(texts)]
    known = known or [tfidf.learn([g[i] for _, g in parts], len(texts)) for i in (0, 1)]
    made = [
        sparse.side_by_side(
            [*(tfidf.weigh(k, g, len(w)) for k, g in zip(known, grams, strict=True)), sparse.dense(v)],
            len(w),
        )
        for w, grams in parts
        for v in [text.vectors(w) * np.float32(1.5)]
    ]  # fmt: skip
    return known, vstack(made, format="csr")


def task(name):
    train, test = read(name)
    texts = [said for said, _ in train]
    vocabulary, features = featurise(texts)
    classes = tuple(sorted({c for _, c in train}))
    index = {c: i for i, c in enumerate(classes)}
    target, truth = (np.array([index[c] for _, c in rows]) for rows in (train, test))
    return Task(texts, features, text.vectors(texts), target, classes,
                featurise([said for said, _ in test], vocabulary)[1], truth)  # fmt: skip


def fit(data, rows):
    return head.solve(head.Rows(data.features[rows], data.target[rows], np.ones(len(rows)), data.classes), 0.5)


def right(data, model):
    return float((head.scores(model, data.test).argmax(axis=1) == data.truth).mean())


# ---- the ways to choose: (vectors, probabilities, budget, rng, vectors with a label, labels of each class)


def ours(v, p, budget, rng, known, counts):
    return label.choose(v, p, budget, rng).rows


def ours_alone(v, p, budget, rng, known, counts):
    return label.choose(v, p, budget, rng, random_share=0).rows


def ours_tenth(v, p, budget, rng, known, counts):
    return label.choose(v, p, budget, rng, random_share=0.1).rows


def ours_rare(v, p, budget, rng, known, counts):
    return label.choose(v, p, budget, rng, labels_of_class=counts).rows


def random(v, p, budget, rng, known, counts):
    return rng.permutation(len(v))[:budget]


def margin(v, p, budget, rng, known, counts):
    two = np.partition(p, -2, axis=1)
    return np.argsort(two[:, -1] - two[:, -2], kind="stable")[:budget]


def entropy(v, p, budget, rng, known, counts):
    return np.argsort((p * np.log(p + 1e-12)).sum(axis=1), kind="stable")[:budget]


def k_centre(v, p, budget, rng, known, counts):
    """Sener and Savarese 2018: each next row is the one farthest from all that have a label."""
    far = np.concatenate([1 - (v[i : i + 1024] @ known.T).max(axis=1) for i in range(0, len(v), 1024)])
    chosen = []
    for _ in range(budget):
        chosen.append(int(far.argmax()))
        far = np.minimum(far, 1 - v @ v[chosen[-1]])
        far[chosen] = -1
    return np.array(chosen)


def badge(v, p, budget, rng, known, counts):
    """Ash et al. 2020: k-means++ on the last layer's gradients, which are (p - answer) x vector: never written out."""
    r = p.astype(np.float32)
    r[np.arange(len(r)), r.argmax(axis=1)] -= 1
    size = (r * r).sum(axis=1) * (v * v).sum(axis=1)
    chosen = [int(size.argmax())]
    away = np.full(len(v), np.inf, np.float32)
    while len(chosen) < budget:
        i = chosen[-1]
        away = np.minimum(away, np.maximum(size + size[i] - 2 * (r @ r[i]) * (v @ v[i]), 0))
        away[chosen] = 0
        total = np.cumsum(away, dtype=np.float64)
        chosen.append(min(int(np.searchsorted(total, rng.random() * total[-1], "right")), len(v) - 1))
    return np.array(chosen)


def shortlist(v, p, budget, rng, known, counts):
    """What the queue did before: k-centre greedy over the six times as many rows of the smallest margins."""
    short = margin(v, p, 6 * budget, rng, known, counts)
    away, chosen = 1 - v[short] @ v[short[0]], [0]
    while len(chosen) < min(budget, len(short)):
        away[chosen[-1]] = -1
        chosen.append(int(away.argmax()))
        away = np.minimum(away, 1 - v[short] @ v[short[chosen[-1]]])
    return short[chosen]


METHODS = {"random": random, "margin": margin, "entropy": entropy, "k-centre": k_centre, "BADGE": badge,
           "margin, then k-centre": shortlist, "ours": ours, "ours, a tenth at random": ours_tenth,
           "ours, no random arm": ours_alone,
           "ours, rare classes first": ours_rare}  # fmt: skip


def needed(data, method, seed, target):
    """(labels at the target or None, the curve): the first time it is reached, in a straight line between points."""
    rng = np.random.default_rng(seed)
    have = rng.permutation(len(data.target))[:START]
    steps = iter(SPARSE) if method is random else iter(())
    later, most = (GRID, len(data.target)) if method is random else (BATCH, MOST)
    curve = []
    while True:
        model = fit(data, have)
        curve.append((len(have), right(data, model)))
        if curve[-1][1] >= target:
            (a, x), (b, z) = curve[-2:]
            return a + (b - a) * (target - x) / (z - x), curve
        step = next(steps, later)
        if len(have) + step > most:
            return None, curve
        rest = np.setdiff1d(np.arange(len(data.target)), have)
        p = head.softmax(head.scores(model, data.features[rest]) * TEMPERATURE)
        counts = np.bincount(data.target[have], minlength=len(data.classes))
        have = np.concatenate((have, rest[method(data.vectors[rest], p, step, rng, data.vectors[have], counts)]))


def choosing(name, seeds):
    data = task(name)
    full = right(data, fit(data, np.arange(len(data.target))))
    target = SHARE * full
    found = {kind: [] for kind in METHODS if kind != "ours, rare classes first" or name == "imbalanced"}
    at = {kind: [] for kind in found}
    for seed in range(seeds):
        for kind, so_far in found.items():
            begun = time.perf_counter()
            labels, curve = needed(data, METHODS[kind], seed, target)
            so_far.append(labels)
            at[kind].append(float(np.interp(1_200, *zip(*curve, strict=True))))
            shown = ", ".join(f"{n}:{share:.3f}" for n, share in curve)
            print(
                name, seed, kind, labels and round(labels), f"{time.perf_counter() - begun:.0f} s;", shown, flush=True
            )
        yield told(name, data, full, found, at)


def told(name, data, full, found, at):
    target, seeds = SHARE * full, len(found["random"])
    base = found["random"]
    rows, verdict = [], ""
    for kind, labels in found.items():
        share, shown = None, f"over {MOST:,}"
        if None not in labels:
            shown = f"{statistics.mean(labels):,.0f} ({min(labels):,.0f} to {max(labels):,.0f})"
            if None not in base:
                share = statistics.mean(a / b for a, b in zip(labels, base, strict=True))
        rows.append([kind, shown, "-" if share is None else f"{share:.0%}", f"{statistics.mean(at[kind]):.1%}"])
        if kind == "ours":
            verdict = "not measured" if share is None else "met" if share <= GOAL else "not met"
            verdict = f"Goal, at most {GOAL:.0%} of random's labels: **{verdict}**."
    rows_text = markdown_table(["", "labels (least to most)", "of random's", "accuracy at 1,200"], rows)
    about = (
        f"{len(data.target):,} rows to choose from, {len(data.classes)} classes; all labels give {full:.2%} of "
        f"{len(data.truth):,} test rows, the target is {SHARE:.0%} of that, {target:.2%}. {seeds} seeds."
    )
    method = __doc__.split("\n\n")[1].split("\nRun:")[0]
    return f"## Choosing what to ask: {name}\n\n{method}\n\n{about}\n\n{rows_text}\n\n{verdict} On {machine()}."


# ---- what no class covers


def novelty(seeds):
    found = json.loads((DATA / "clinc150" / "data_full.json").read_text(encoding="utf-8"))
    aurocs, back, shown = {}, [], []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        train = found["train"]
        for n in (1_500, 4_000):
            ask = found["test"] + found["oos_test"]
            _, p, (v, known, _), _ = learned([train[i] for i in rng.permutation(len(train))[:n]], ask)
            outside = np.array([c == "oos" for _, c in ask])
            new = label.outside(v, p, known)
            two = np.sort(p, axis=1)
            for kind, score in (("1 - greatest probability", new.doubt), ("1 - margin", two[:, -2] - two[:, -1]),
                                ("entropy", -(p * np.log(p + 1e-12)).sum(axis=1)),
                                ("distance to the 3 nearest labelled rows", new.distance),
                                ("ours: both together", new.score)):  # fmt: skip
                aurocs.setdefault(kind, {}).setdefault(n, []).append(roc_auc_score(outside, score))
        result = unknown_classes(found, rng)
        print(result, flush=True)
        back.append(result[0])
        shown = shown or result[1]
    table = markdown_table(
        ["out-of-scope rows of CLINC150, AUROC", "1,500 labels", "4,000 labels"],
        [
            [kind, *(f"{statistics.mean(x):.4f} ({min(x):.3f} to {max(x):.3f})" for x in by.values())]
            for kind, by in aurocs.items()
        ],
    )
    rows = [[s, n, f"{b} of 10", f"{pure:.0%}", f"{c:.0%}", raw] for s, (n, b, pure, c, raw) in enumerate(back)]
    columns = ["seed", "proposed", "held-out intents that come back", "purity, mean", "of their rows, in the largest",
               "without the learned space"]  # fmt: skip
    classes = markdown_table(columns, rows)
    sizes = f"{len(found['test']):,} rows in scope and {len(found['oos_test']):,} out of scope"
    names = markdown_table(["proposed name", "rows", "what most of them are", "of these"], shown)
    return f"""## What no class covers

{sizes}; the same learner and temperature as in choosing, {seeds} seeds.

{table}

Ten intents held out at random: 4,000 labels of the other 140, and a pool of 8,500 rows with 50 of each held-out
intent and 1,000 that are out of scope. The 2,000 most novel rows are put together into proposed classes; an intent
comes back if it is 70 % of one.

{classes}

Names of seed 0, the largest first:

{names}

On {machine()}."""


def learned(train, ask):
    texts, classes = [said for said, _ in train], tuple(sorted({c for _, c in train}))
    target = np.array([classes.index(c) for _, c in train])
    vocabulary, features = featurise(texts)
    model = head.solve(head.Rows(features, target, np.ones(len(target)), classes), 0.5)
    asked = [said for said, _ in ask]
    p = head.softmax(head.scores(model, featurise(asked, vocabulary)[1]) * TEMPERATURE)
    return asked, p, (text.vectors(asked), text.vectors(texts), target), (texts, classes)


def unknown_classes(found, rng):
    out = set(rng.choice(sorted({c for _, c in found["train"]}), 10, replace=False).tolist())
    inside = [row for row in found["train"] if row[1] not in out]
    train = [inside[i] for i in rng.permutation(len(inside))[:4_000]]
    everything = found["train"] + found["test"] + found["val"]
    ask = [row for row in found["test"] + found["val"] if row[1] not in out] + found["oos_test"]
    ask += [row for row in everything if row[1] in out][::3]
    asked, p, (v, known, target), (texts, classes) = learned(train, ask)
    top = np.argsort(-label.outside(v, p, known).score, kind="stable")[:2_000]
    truth = np.array([c for _, c in ask])

    def outcome(space):
        made = label.propose([asked[i] for i in top], v[top], others=texts, taken=classes, known=space)
        best, pure, rows = {}, [], []
        for one in made:
            most, count = Counter(truth[top[one.members]].tolist()).most_common(1)[0]
            pure.append(count / one.members.size)
            rows.append([f"`{one.name}`", one.members.size, f"`{most}`", f"{pure[-1]:.0%}"])
            if most in out and pure[-1] >= 0.7:
                best[most] = max(best.get(most, 0), count)
        total = sum(int((truth == c).sum()) for c in out)
        return len(made), len(best), statistics.mean(pure) if pure else 0.0, sum(best.values()) / total, rows

    n, came, pure, share, rows = outcome(label.class_space(known, target))
    raw = outcome(None)
    return (n, came, pure, share, f"{raw[1]} of 10, purity {raw[2]:.0%}"), rows


# ---- how long it takes


def speed():
    rng = np.random.default_rng(0)
    middles = rng.standard_normal((2_000, 256)).astype(np.float32)
    rows = []
    for n, budget in ((10_000, 250), (100_000, 1_000)):
        v = middles[rng.integers(0, 2_000, n)] + rng.standard_normal((n, 256)).astype(np.float32)
        p = rng.dirichlet(np.full(150, 0.05), n)
        took = []
        for _ in range(3):
            begun = time.perf_counter()
            assert len(label.choose(v, p, budget, np.random.default_rng(0)).rows) == budget
            took.append(time.perf_counter() - begun)
        rows.append([f"{n:,} x 256, 150 classes", f"{budget:,}", f"{statistics.median(took):.1f}"])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    table = markdown_table(["pool", "budget", "seconds (median of 3)"], rows)
    said = f"At most {peak:,.0f} MB in all, the pool's own included. On {machine()}."
    return f"## Choosing what to ask: time\n\n{table}\n\n{said}"


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--data", nargs="*", default=["banking77", "clinc150", "imbalanced", "novelty", "speed"])
    given = options.parse_args()
    if not DATA.is_dir():
        sys.exit(f"needs {DATA}")
    for name in given.data:
        # What is known so far is written after each seed: a run may be stopped.
        parts = {"speed": speed, "novelty": lambda: novelty(given.seeds)}.get(name)
        for part in [parts()] if parts else choosing(name, given.seeds):
            print(part, flush=True)
            write_section(f"choosing {name}", part)


if __name__ == "__main__":
    main()

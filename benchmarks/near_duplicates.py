"""Near-duplicates: what is found of planted edits, how fast beside datasketch, at what size; and semantic duplicates.

    python benchmarks/near_duplicates.py [--peers PATH]

Texts are made from ../shared/data (skipped where it is missing). PATH is the interpreter of an environment that has
datasketch; without it the comparison is "not measured". Each timed run is a process of its own on one core.
"""

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import scipy.sparse
from _planted import DATA, EDITS, Planted, banking, clinc, planted
from _results import machine, markdown_table, write_section

from everloop.curate import near_duplicates, semantic
from everloop.curate.near_index import Index
from everloop.curate.shingles import shingle, similarities
from everloop.features.text import vectors
from everloop.stats.intervals import wilson

HERE = Path(__file__)
THRESHOLD, SEEDS, TRUTH, SPEED, ROUNDS, NEW = 0.7, (0, 1, 2), 10_000, 20_000, 3, 10_000
SCALE, VECTORS = (10_000, 100_000, 1_000_000), 100_000


def gigabytes() -> float:
    # Not ru_maxrss: a process that was started by a large one inherits that one's.
    held = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(held.split()[1]) * 1024 / 1e9


# ---- What a process of its own measures ----


def time_groups(n: int, path: str) -> dict:
    texts = json.loads(Path(path).read_text(encoding="utf-8")) if path else planted(n).texts
    near_duplicates.groups(texts[:100])  # scipy is loaded
    before, begun = gigabytes(), time.perf_counter()
    found = near_duplicates.groups(texts, THRESHOLD)
    seconds = time.perf_counter() - begun
    if path:
        Path(path).with_name("ours.json").write_text(json.dumps(found.tolist()), encoding="utf-8")
    return {"seconds": seconds, "before": before, "peak": gigabytes(), "groups": len(np.unique(found))}


def time_index(n: int, _: str) -> dict:
    texts = planted(n + NEW).texts
    prints = [hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32] for text in texts]
    asked: list[int] = []

    def texts_of(rows: np.ndarray) -> list[str]:
        asked.extend(rows.tolist())
        return [texts[row] for row in rows.tolist()]

    result, index, before = {}, Index(THRESHOLD), gigabytes()
    begun = time.perf_counter()
    for start in range(0, n, 100_000):
        end = min(n, start + 100_000)
        index.add(prints[start:end], texts[start:end], texts_of)
    result["build"] = time.perf_counter() - begun
    begun = time.perf_counter()
    whole = index.dump()
    result["save"] = time.perf_counter() - begun
    begun = time.perf_counter()
    index = Index.load([whole])
    result["load"] = time.perf_counter() - begun
    asked.clear()
    begun = time.perf_counter()
    index.add(prints[n:], texts[n:], texts_of)
    result["add"] = time.perf_counter() - begun
    return result | {
        "bytes": len(whole) / n, "appended": len(index.dump(n)) / 1e6, "asked": len(set(asked)),
        "before": before, "peak": gigabytes(),
    }  # fmt: skip


def time_semantic(n: int, _: str) -> dict:
    rows = vectors(planted(n).texts)
    before, begun = gigabytes(), time.perf_counter()
    of = semantic.groups(rows, 0.9)
    kept = int((of == np.arange(n)).sum())
    return {"seconds": time.perf_counter() - begun, "before": before, "peak": gigabytes(), "kept": kept}


CHILDREN = {"groups": time_groups, "index": time_index, "semantic": time_semantic}


def child(part: str, n: int, path: str = "") -> dict:
    return _run([sys.executable, str(HERE), "--part", part, "--n", str(n), "--texts", path])


def _run(command: list[str]) -> dict:
    core = str(max(os.sched_getaffinity(0)))
    one = {**os.environ, **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"), "1")}
    done = subprocess.run(["taskset", "-c", core, *command], env=one, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


# ---- What is found ----


def truth(texts: list[str]) -> np.ndarray:
    """The groups that all pairs, compared exactly, make."""
    some = shingle(texts)
    _, column = np.unique(some.values, return_inverse=True)
    rows = scipy.sparse.csr_array((np.ones(len(column), np.int32), column, some.starts))
    shared = (rows @ rows.T).tocoo()
    above = shared.row < shared.col
    i, j, both = shared.row[above], shared.col[above], shared.data[above]
    near = both / (some.sizes[i] + some.sizes[j] - both) >= THRESHOLD
    return near_duplicates.components(len(texts), np.stack((i[near], j[near]), axis=1).astype(np.int64))


def together(*labels: np.ndarray) -> int:
    """Pairs that stand in one group by all of these labels."""
    _, count = np.unique(np.stack(labels), axis=1, return_counts=True)
    return int((count * (count - 1) // 2).sum())


def quality(found: np.ndarray, right: np.ndarray) -> tuple[int, int, int]:
    """Pairs joined by both, pairs that should be, pairs that are."""
    return together(found, right), together(right), together(found)


def shares(counts: list[tuple[int, int, int]]) -> tuple[float, float]:
    both, wanted, given = (sum(column) for column in zip(*counts, strict=True))
    return both / wanted, both / given


def by_kind(streams: list[Planted], found: list[np.ndarray]) -> list[list[str]]:
    lines = []
    for kind in EDITS:
        near = joined = n = 0
        for made, groups in zip(streams, found, strict=True):
            at = np.array([i for i, one in enumerate(made.kind) if one == kind])
            of = np.array(made.origin)[at]
            some = shingle(made.texts)
            like = similarities(some, some, np.stack((of, at), axis=1)) >= THRESHOLD
            n, near, joined = n + len(at), near + int(like.sum()), joined + int((groups[at] == groups[of])[like].sum())
        lines.append([kind, f"{n:,}", f"{near / n:.3f}", f"{joined / near:.4f}"])
    return lines


def beside_datasketch(peer: str | None) -> tuple[list[str], list[list[str]], float | None, float | None]:
    """The table's lines; how many times as fast as its default and as its bands at our recall."""
    texts = planted(SPEED, seed=10).texts
    right = truth(texts)
    columns = ["", f"seconds for {SPEED:,}, median (lowest to highest)", "texts/s", "recall", "precision"]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "texts.json"
        path.write_text(json.dumps(texts), encoding="utf-8")
        theirs = [peer, str(HERE.with_name("_datasketch.py")), str(path), str(path.with_name("theirs.json"))]
        ways = {"ours": None}
        if peer:
            ways |= {"datasketch, its own bands": theirs, "datasketch, 32 bands of 4": [*theirs, "32", "4"]}
        times: dict[str, list[float]] = {name: [] for name in ways}
        lines, counts = [], {}
        for _ in range(ROUNDS):
            for name, command in ways.items():
                made = _run(command) if command else child("groups", SPEED, str(path))
                times[name].append(made["seconds"])
                given = path.with_name("theirs.json" if command else "ours.json")
                counts[name] = quality(np.array(json.loads(given.read_text(encoding="utf-8"))), right)
    for name, seconds in times.items():
        middle = statistics.median(seconds)
        spread = f"{middle:.2f} ({min(seconds):.2f} to {max(seconds):.2f})"
        recall, precision = shares([counts[name]])
        lines.append([name, spread, f"{SPEED / middle:,.0f}", f"{recall:.4f}", f"{precision:.4f}"])
    if not peer:
        return columns, [*lines, ["datasketch", "not measured: no `--peers`", "", "", ""]], None, None
    ours, own, same = (statistics.median(times[name]) for name in ways)
    return columns, lines, own / ours, same / ours


# ---- Semantic duplicates ----


def chained(rows: np.ndarray, threshold: float) -> np.ndarray:
    pairs = []
    for begin in range(0, len(rows), 2_000):
        i, j = np.nonzero(rows[begin : begin + 2_000] @ rows.T >= threshold)
        pairs.append(np.stack((i + begin, j), axis=1)[i + begin < j])
    return near_duplicates.components(len(rows), np.concatenate(pairs))


def line(name: str, what: str, threshold: float | None, of: str, one: semantic.Tried | None, n: int) -> list[str]:
    shown = ["–"] * 3
    if one is not None and one.dropped:
        share = wilson(one.different, one.dropped)
        shown = [f"{one.dropped:,} of {n:,} ({one.dropped / n:.1%})", f"{one.different:,}",
                 f"{share.estimate:.1%} ({share.low:.1%} to {share.high:.1%})"]  # fmt: skip
    return [name, what, "none: it can't be certified" if threshold is None else f"{threshold:.2f}", of, *shown]


def meanings() -> list[list[str]]:
    lines = []
    for name, (texts, labels) in (("Banking77", banking("train")), ("CLINC150", clinc("train"))):
        order = np.random.default_rng(0).permutation(len(texts))
        rows, truth_ = vectors([texts[i] for i in order]), np.unique(np.array(labels)[order], return_inverse=True)[1]
        half = len(rows) // 2

        groups = chained(rows, 0.9)
        gone = np.flatnonzero(groups != np.arange(len(rows)))
        wrong = int((truth_[gone] != truth_[groups[gone]]).sum())
        lines.append(
            line(
                name,
                "0.9 for everybody, chained",
                0.9,
                "all rows",
                semantic.Tried(0.9, len(gone), wrong, 0, 0),
                len(rows),
            )
        )
        lines.append(
            line(
                name,
                "0.9 for everybody, like a kept row",
                0.9,
                "all rows",
                semantic.differing(rows, truth_, 0.9),
                len(rows),
            )
        )
        for most in (0.02, 0.05):
            found = semantic.calibrate(rows[:half], truth_[:half], most)
            one = None if found.threshold is None else semantic.differing(rows[half:], truth_[half:], found.threshold)
            what = f"calibrated on one half, at most {most:.0%}"
            lines.append(line(name, what, found.threshold, "the other half", one, len(rows) - half))
        found = semantic.calibrate(rows, truth_, 0.02)
        one = None if found.threshold is None else semantic.differing(rows, truth_, found.threshold)
        lines.append(line(name, "calibrated on all rows, at most 2%", found.threshold, "the same rows", one, len(rows)))
    return lines


def goal(met: bool | None, what: str) -> str:
    return f"- {'not measured' if met is None else 'met' if met else '**not met**'}: {what}"


def page(
    recall: float, precision: float, kinds: list, beside: tuple, times: tuple, sizes: dict, indexed: dict, wide: dict
) -> list[str]:
    most, added = sizes[SCALE[-1]], indexed[SCALE[-1]]
    quick = "at least ten times datasketch's speed, end to end"
    if times[0] is not None:
        quick += f": {times[0]:.1f} times with its own bands, {times[1]:.1f} with bands that find as much"
    lasted = [
        [f"{n:,}", f"{one['seconds']:.2f}", f"{n / one['seconds']:,.0f}", f"{one['peak']:.2f}", f"{one['before']:.2f}",
         f"{one['groups']:,}"]
        for n, one in sizes.items()
    ]  # fmt: skip
    grown = [
        [f"{n:,}", f"{one['build']:.1f}", f"{one['add']:.2f}", f"{one['asked']:,}", f"{one['save']:.2f}",
         f"{one['load']:.2f}", f"{one['bytes']:.1f}", f"{one['appended']:.2f}",
         f"{one['peak']:.2f} ({one['before']:.2f})"]
        for n, one in indexed.items()
    ]  # fmt: skip
    of_index = ["texts in it", "built, s", f"{NEW:,} added, s", "old texts asked for", "saved, s", "loaded, s"]
    of_index += ["bytes a text", "what was added, MB", "peak memory, GB (before it)"]
    of_scale = ["texts", "seconds", "texts/s", "peak memory, GB", "before it, texts and modules, GB", "groups"]
    of_meaning = ["set", "threshold is", "cosine", "tried on", "dropped", "another intent", "share"]
    found = f"recall {recall:.4f} (≥ 0.97) at precision {precision:.4f} (≥ 0.99), {len(SEEDS)} sets of {TRUTH:,}"
    return [
        "## Near-duplicates", "",
        f"{machine()}, each timed run alone in a process on one core. Short distinct texts (49 characters on average):",
        "halves of questions of Banking77 and CLINC150 put together, a fifth of them edits of an earlier text. Truth:",
        f"all pairs compared exactly, Jaccard of character 4-grams ≥ {THRESHOLD}, joined by chains; recall and",
        "precision count the pairs that stand in one group.", "",
        goal(recall >= 0.97 and precision >= 0.99, found),
        goal(None if times[0] is None else times[0] >= 10, quick),
        goal(most["seconds"] < 60 and most["peak"] < 4,
             f"a million texts in {most['seconds']:.0f} s (< 60) and {most['peak']:.2f} GB (< 4)"),
        goal(added["add"] < 10, f"{NEW:,} texts into a million in {added['add']:.1f} s (seconds)"),
        goal(added["bytes"] <= 100, f"{added['bytes']:.0f} bytes a text on disk (≤ 100)"), "",
        markdown_table(["edit", "planted", "of them at Jaccard ≥ 0.7", "of those joined"], kinds), "",
        markdown_table(*beside), "",
        markdown_table(of_scale, lasted), "",
        f"The index: {NEW:,} new texts into so many. Built by adding 100,000 at a time.", "",
        markdown_table(of_index, grown), "",
        "Semantic duplicates: wordllama's vectors, real questions; of the rows dropped, those whose intent is not the",
        "intent of the row kept for them (95 % Wilson intervals).", "",
        markdown_table(of_meaning, meanings()), "",
        f"{VECTORS:,} vectors of 256 numbers at 0.9: {wide['seconds']:.0f} s on one core, {wide['kept']:,} kept, peak",
        f"{wide['peak']:.2f} GB ({wide['before']:.2f} before it).",
    ]  # fmt: skip


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--peers", help="the Python of an environment with datasketch")
    options.add_argument("--part", choices=sorted(CHILDREN), help=argparse.SUPPRESS)
    options.add_argument("--n", type=int, default=0, help=argparse.SUPPRESS)
    options.add_argument("--texts", default="", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if not (DATA / "banking77").exists() or not (DATA / "clinc150").exists():
        print(f"skipped: {DATA} is missing")
        return
    if chosen.part:
        print(json.dumps(CHILDREN[chosen.part](chosen.n, chosen.texts)))
        return
    streams = [planted(TRUTH, seed) for seed in SEEDS]
    found = [near_duplicates.groups(made.texts, THRESHOLD) for made in streams]
    recall, precision = shares([quality(a, truth(made.texts)) for a, made in zip(found, streams, strict=True)])
    kinds = by_kind(streams, found)
    columns, beside, times, times_same = beside_datasketch(chosen.peers)
    sizes = {n: child("groups", n) for n in SCALE}
    indexed = {n: child("index", n) for n in SCALE}
    wide = child("semantic", VECTORS)
    text = page(recall, precision, kinds, (columns, beside), (times, times_same), sizes, indexed, wide)
    write_section("near_duplicates", "\n".join(text))
    print("\n".join(text))


if __name__ == "__main__":
    main()

"""The funnel on a stream where nine rows of ten teach nothing: what it drops, whether that is right, what it costs.

    python benchmarks/funnel.py [--sizes 10000,100000,1000000] [--peers PYTHON]

Real questions (Banking77 and CLINC150, in ../shared/data) among ten kinds of junk made by a seeded generator, so that
the truth about each row is known. Each size runs in a process of its own. `--peers` is an interpreter that has
datasketch: beside ours runs the pipeline most people write, exact hashes, MinHash-LSH and regular expressions.
"""

import argparse
import csv
import json
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
from _memory import peak
from _results import machine, markdown_table, write_section
from _stream import DATA, JUNK, RULES, Row, real, stream

SEEDS = (1, 2, 3)
QUALITY = 50_000  # rows by which drops are judged
PEER = 100_000  # rows the other pipeline gets at most
NEW = 10_000  # rows that come on top
WHOLE = 10_000  # rows of a whole turn
SAID = 0.5  # share of its real questions somebody said the answer to
SELF = Path(__file__)
LATER = {"no_signal", "golden_unverified"}  # what labelling has passed by
LABELLED = (1_000, 3_000, 7_500, 9_000, 12_000)
FULL = ("no_consent.v1", "invalid.v1", "empty.v1", "sealed.v1", "smuggled.v1", "injection.v1", "boilerplate.v1",
        "flood.v1", "length.v1", "gibberish.v1", "template.v1", "language.v1", "duplicate.v1", "straddles.v1",
        "near_duplicate.v1",
        "contradicted.v1", "no_signal.v1")  # fmt: skip


def interactions(rows: list[Row], first: int = 0) -> list:
    from everloop.types import Interaction

    return [
        Interaction(id=f"i{first + n:08}", loop="l", at=row.at, input=row.text, output="a", subject=row.who)
        for n, row in enumerate(rows)
    ]


def quality(seed: int, full: bool) -> dict:
    """Drops by kind of row and by reason."""
    from everloop.curate import Known, run
    from everloop.types import Policy

    rows = stream(QUALITY, seed)
    its = interactions(rows)
    kinds = {it.id: row.kind for it, row in zip(its, rows, strict=True)}
    policy = Policy(rules=FULL, languages=("en",)) if full else Policy()
    funnel = run("l", 1, its, Known({}, {}, {}), policy)
    found = Counter((kinds[d.id], d.reason) for d in funnel.drops)
    groups: dict[str, set] = {}
    for row in funnel.pool:
        for id in row.interactions:
            groups.setdefault(row.group, set()).add(kinds[id])
    near = [row for row in funnel.pool if kinds[row.interaction] == "near"] or funnel.pool[:1]
    grouped = sum(len(groups[row.group] - {"near"}) > 0 for row in near)
    return {"kinds": Counter(kinds.values()), "drops": [[k, r, n] for (k, r), n in found.items()],
            "near": [grouped, len(near)]}  # fmt: skip


def whole(seed: int) -> dict:
    """What a whole turn, with labels for some of the real questions, leaves out by kind and by reason."""
    import everloop
    from everloop.types import Drop

    labels, chance = dict(labelled()), random.Random(seed)
    kinds, given = {}, []
    for n, row in enumerate(stream(WHOLE, seed)):
        fields = {"id": f"i{n:07}", "input": row.text, "subject": row.who, "at": 1_700_000_000_000 + row.at}
        kinds[fields["id"]] = row.kind
        if row.kind == "signal" and row.text in labels and chance.random() < SAID:
            fields["label"], kinds[fields["id"]] = labels[row.text], "signal, labelled"
        given.append(fields)
    with tempfile.TemporaryDirectory() as home, everloop.open(home) as wheel:
        loop = wheel.loop("l", policy={"trigger_feedback": 0})
        loop.log_many(given)
        begun = time.perf_counter()
        report = loop.turn()
        drops = Counter((kinds[d.id], d.reason) for d in loop.records.find(Drop, "l"))
        return {"kinds": Counter(kinds.values()), "drops": [[k, r, n] for (k, r), n in drops.items()],
                "seconds": time.perf_counter() - begun, "examples": report.examples + report.golden,
                "auto": report.auto_labelled}  # fmt: skip


def after_a_turn() -> list[str]:
    found = [apart(sys.executable, "whole", seed) for seed in SEEDS]
    lines = []
    for kind in [*JUNK, "signal, labelled", "signal"]:
        before, later = [], []
        for one in found:
            drops = {reason: n for k, reason, n in one["drops"] if k == kind}
            waiting = sum(n for reason, n in drops.items() if reason in LATER)
            before.append((sum(drops.values()) - waiting) / one["kinds"][kind])
            later.append(waiting / one["kinds"][kind])
        lines.append([kind, sum(one["kinds"][kind] for one in found), spread(before), spread(later)])
    early = [sum(n for _, why, n in one["drops"] if why not in LATER) / sum(one["kinds"].values()) for one in found]
    every = [sum(n for *_, n in one["drops"]) / sum(one["kinds"].values()) for one in found]
    counts = [f"{one['examples']:,} examples, {one['auto']} of them labelled by the machine, {one['seconds']:.0f} s"
              for one in found]  # fmt: skip
    return [
        f"### After a whole first turn of {WHOLE:,} rows, rules on by default: {spread(every)} of all rows left out",
        f"Somebody said the right answer to {SAID:.0%} of the real questions. {spread(early)} are left out before "
        f"labelling, the rest after it, as nobody said what is right and the machine may not yet. Turns: "
        f"{'; '.join(counts)}.",
        markdown_table(["row", "n", "left out before labelling", "after it"], lines),
    ]


def sets() -> list[tuple[str, list[tuple[str, str]], list[tuple[str, str]]]]:
    """(name, training rows, test rows) as (text, label)."""
    parts = []
    for part in ("train", "test"):
        with (DATA / f"banking77/{part}.csv").open(encoding="utf-8") as file:
            parts.append([(row["text"], row["category"]) for row in csv.DictReader(file)])
    clinc = json.loads((DATA / "clinc150/data_full.json").read_text(encoding="utf-8"))
    return [("Banking77", *parts), ("CLINC150", *([tuple(row) for row in clinc[part]] for part in ("train", "test")))]


def labelled() -> list[tuple[str, str]]:
    return [(text, f"{name}: {label}") for name, train, test in sets() for text, label in (*train, *test)]


def meanings() -> list[str]:
    """What `semantic_duplicate.v1` does to rows nobody labelled, and what a model loses with them; with the same number
    at random beside it, and with what is nearly the same by its letters."""
    from everloop.curate import near_duplicates, semantic
    from everloop.features.text import vectors

    found, learned = [], []
    for name, rows, test in sets():
        rows = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))]
        matrix, label = vectors([text for text, _ in rows]), np.array([label for _, label in rows])
        for n in [n for n in LABELLED if n < 0.95 * len(rows)]:
            given = semantic.calibrate(matrix[:n], label[:n])
            if given.threshold is None:
                about = f"{given.more:,}" if given.more else "–"
                found.append([name, f"{n:,}", "none", f"about {about} labels", "–", "–"])
                continue
            like = semantic.repeats(matrix[:n], matrix[n:], given.threshold).of
            gone = np.flatnonzero(like != n + np.arange(len(like)))
            wrong = int((label[like[gone]] != label[n + gone]).sum())
            found.append([name, f"{n:,}", f"{given.threshold:.2f}", f"{given.different.high:.2%}",
                          f"{len(gone):,} of {len(like):,} ({len(gone) / len(like):.1%})",
                          interval(wrong, len(gone))])  # fmt: skip
        threshold = semantic.calibrate(matrix, label).threshold
        by_meaning = semantic.groups(matrix, threshold) if threshold else np.arange(len(rows))
        group = np.unique(near_duplicates.groups([text for text, _ in rows]), return_index=True, return_inverse=True)
        by_letters = group[1][group[2]]  # the first row of each group
        everything, rng = np.arange(len(rows)), np.random.default_rng(1)
        learned.append([name, "all", f"{len(rows):,}", "–", accuracy(rows, test)])
        for what, of in ((f"one of those alike from {threshold} on", by_meaning), ("one of twins", by_letters)):
            keep = of == everything
            wrong = int((label[~keep] != label[of[~keep]]).sum())
            scores = [accuracy([rows[i] for i in np.flatnonzero(keep)], test)]
            scores.append(accuracy([rows[i] for i in rng.permutation(len(rows))[: keep.sum()]], test))
            learned.append([name, what, f"{keep.sum():,}", interval(wrong, int((~keep).sum())), scores[0]])
            learned.append([name, "as many at random", f"{keep.sum():,}", "–", scores[1]])
    return [
        "### Rows that say the same, at a threshold found on the labelled rows (at most 2 % may differ)",
        markdown_table(["set", "labelled rows", "cosine", "bound, or labels needed", "left out of the others",
                        "of another intent (exact 95 %)"], found),
        "What a model (the default for text) learns from all training rows, all labelled, and from fewer of them:",
        markdown_table(["set", "kept", "rows", "left out of another intent (exact 95 %)", "right of the test rows"],
                       learned),
    ]  # fmt: skip


def interval(k: int, n: int) -> str:
    from everloop.stats.intervals import exact

    if not n:
        return "–"
    share = exact(k, n)
    return f"{k} ({share.estimate:.1%}, {share.low:.1%} to {share.high:.1%})"


def accuracy(rows: list[tuple[str, str]], test: list[tuple[str, str]]) -> str:
    from everloop import train
    from everloop.types import Example

    made = [
        Example(id=f"e{n:06}", loop="l", input=text, target=label, weight=1.0, split="train", group=f"e{n:06}",
                origin="human", evidence=(), slices=(), subjects=())
        for n, (text, label) in enumerate(rows)
    ]  # fmt: skip
    spec = train.choose([text for text, _ in rows[:100]])
    model = train.trainer(spec).load(train.fitted(train.FitJob(spec, made)))
    said = model.probabilities([text for text, _ in test]).argmax(axis=1)
    return f"{np.mean([model.classes[i] == label for i, (_, label) in zip(said, test, strict=True)]):.4f}"


def cost(n: int) -> dict:
    """Seconds and memory for `n` rows at once, and for 10,000 more on top of what was carried over."""
    from everloop.curate import Carried, Known, run
    from everloop.curate.carried import decode, encode
    from everloop.types import Policy

    rows = stream(n + NEW, 1)
    its = interactions(rows)
    del rows
    before = peak() >> 20
    carried = Carried()
    begun, worked = time.perf_counter(), time.process_time()
    funnel = run("l", 1, its[:n], Known({}, {}, {}), Policy(), carried=carried)
    seconds, work = time.perf_counter() - begun, time.process_time() - worked
    kept = len(funnel.pool)
    del funnel
    top = peak() >> 20
    begun = time.perf_counter()
    data = encode(carried)
    saved = time.perf_counter() - begun
    del carried
    begun = time.perf_counter()
    carried = decode(data)
    loaded = time.perf_counter() - begun
    size = len(data)
    del data
    begun, worked = time.perf_counter(), time.process_time()
    run("l", 2, its[n:], Known({}, {}, {}), Policy(), carried=carried)
    more = time.process_time() - worked
    return {"n": n, "seconds": seconds, "cpu": work, "more_cpu": more, "rows_mib": before,
            "peak_mib": top, "kept": kept, "save": saved, "load": loaded, "bytes": size,
            "more": time.perf_counter() - begun}  # fmt: skip


def honest() -> list[list[str]]:
    """False drops of each rule on the real rows alone."""
    from everloop.curate import Known, run
    from everloop.curate.rules import CHAT_ORDER, DEFAULT_ORDER
    from everloop.stats.intervals import exact
    from everloop.types import Policy

    texts, _ = real()
    its = interactions([Row(n * 500, text, f"p{n % 5000}", "signal") for n, text in enumerate(texts)])
    lines = []
    for name, policy, task in (
        ("on by default, classify", Policy(rules=DEFAULT_ORDER), "classify"),
        ("on by default, chat", Policy(rules=CHAT_ORDER), "chat"),
        ("every rule but toxicity", Policy(rules=FULL, languages=("en",)), "classify"),
        ("every rule", Policy(rules=(*FULL[:6], "toxicity.v1", *FULL[6:]), languages=("en",)), "classify"),
    ):
        funnel = run("l", 1, its, Known({}, {}, {}, task=task), policy)
        wrong = Counter(d.reason for d in funnel.drops if d.reason not in {"duplicate", "straddles"})
        n = sum(wrong.values())
        share = exact(n, len(its))
        lines.append([name, len(its), n, f"{share.estimate:.3%} ({share.low:.3%} to {share.high:.3%})",
                      ", ".join(f"{count} {reason}" for reason, count in wrong.most_common()) or "none"])  # fmt: skip
    return lines


_PEER_BAD = re.compile(r"ignore (all )?previous|lorem ipsum|traceback|unsubscribe|out of the office|^\W*$", re.I)


def peer(n: int, seed: int) -> dict:
    """What most people write: exact hashes of lower-cased text, datasketch's MinHash-LSH at 0.7, a few patterns."""
    from datasketch import MinHash, MinHashLSH

    rows = stream(n, seed)
    begun, worked = time.perf_counter(), time.process_time()
    seen: set[int] = set()
    lsh = MinHashLSH(threshold=0.7, num_perm=128)
    dropped: Counter = Counter()
    for i, row in enumerate(rows):
        text = " ".join(row.text.lower().split())
        if len(text) < 3 or len(text) > 2_000 or _PEER_BAD.search(text) or not text.isascii() or hash(text) in seen:
            dropped[row.kind] += 1
            continue
        seen.add(hash(text))
        sketch = MinHash(num_perm=128)
        sketch.update_batch([text[k : k + 4].encode() for k in range(max(1, len(text) - 3))])
        if lsh.query(sketch):
            dropped[row.kind] += 1
            continue
        lsh.insert(i, sketch)
    return {"n": n, "seconds": time.perf_counter() - begun, "cpu": time.process_time() - worked,
            "peak_mib": peak() >> 20, "drops": dropped,
            "kinds": Counter(row.kind for row in rows)}  # fmt: skip


def apart(python: str, *words: object) -> dict:
    """One measurement in a process of its own."""
    done = subprocess.run([python, str(SELF), "--one", *map(str, words)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-2_000:])
    return json.loads(done.stdout.splitlines()[-1])


def by_kind(found: list[dict]) -> tuple[list[list[object]], str]:
    """A line for each kind of row, with the spread over the seeds, and the totals."""
    lines: list[list[object]] = []
    for kind in [*RULES, "off_topic", "signal"]:
        shares, right, why = [], [], Counter()
        for one in found:
            drops = {reason: n for k, reason, n in one["drops"] if k == kind}
            shares.append(sum(drops.values()) / one["kinds"][kind])
            right.append(sum(n for reason, n in drops.items() if reason in RULES.get(kind, ())) / one["kinds"][kind])
            why.update(drops)
        most = ", ".join(f"{reason} {n / sum(why.values()):.0%}" for reason, n in why.most_common(3))
        named = spread(right) if kind in RULES else "–"
        lines.append([kind, sum(one["kinds"][kind] for one in found), spread(shares), named, most or "–"])
    total = [sum(n for _, _, n in one["drops"]) / sum(one["kinds"].values()) for one in found]
    return lines, spread(total)


def by_reason(found: list[dict]) -> list[list[object]]:
    """For each reason: how many drops, the share that is junk at all, and of the kind the rule is for."""
    reasons = sorted({reason for one in found for _, reason, _ in one["drops"]})
    lines = []
    for reason in reasons:
        junk, meant, counts = [], [], 0
        for one in found:
            drops = {kind: n for kind, r, n in one["drops"] if r == reason}
            n = sum(drops.values())
            if n:
                counts += n
                junk.append(1 - drops.get("signal", 0) / n)
                meant.append(sum(v for kind, v in drops.items() if reason in RULES.get(kind, ())) / n)
        lines.append([reason, counts, spread(junk), spread(meant)])
    return lines


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.4f} ({min(values):.4f} to {max(values):.4f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="10000,100000,1000000")
    parser.add_argument("--peers", help="an interpreter that has datasketch")
    parser.add_argument("--one", nargs="+", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        what, *rest = args.one
        made = {"whole": lambda: whole(int(rest[0])),
                "quality": lambda: quality(int(rest[0]), rest[1] == "full"), "cost": lambda: cost(int(rest[0])),
                "peer": lambda: peer(int(rest[0]), int(rest[1]))}[what]()  # fmt: skip
        sys.stdout.write(json.dumps(made) + "\n")
        return
    if not DATA.is_dir():
        raise SystemExit("not measured: ../shared/data is missing")
    parts = [f"Streams of {QUALITY:,} rows, a tenth real questions; {len(SEEDS)} seeds: median (lowest to highest). "
             f"{machine()}."]  # fmt: skip
    for name, kind in (("On by default", "default"), ("Every rule but toxicity, the loop declares English", "full")):
        found = [apart(sys.executable, "quality", seed, kind) for seed in SEEDS]
        lines, total = by_kind(found)
        near = [one["near"][0] / one["near"][1] for one in found]
        parts += [
            f"### {name}: {total} of all rows dropped before labelling",
            markdown_table(["row", "n", "dropped", "for a right reason", "reasons given"], lines),
            f"Of the near-duplicates that are kept, {spread(near)} share a group with another kind of row.",
            markdown_table(["reason", "drops", "share that is no real question", "of the kind it is for"],
                           by_reason(found)),
        ]  # fmt: skip
    parts += ["### False drops on real questions alone",
              markdown_table(["rules", "rows", "dropped", "share (exact 95 %)", "by"], honest())]  # fmt: skip
    parts += [*after_a_turn(), *meanings()]
    lines = []
    for n in map(int, args.sizes.split(",")):
        one = apart(sys.executable, "cost", n)
        lines.append(["Everloop", f"{n:,}", f"{one['seconds']:.1f}", f"{one['cpu']:.1f}", f"{n / one['cpu']:,.0f}",
                      one["peak_mib"], one["rows_mib"], f"{one['more']:.2f} ({one['more_cpu']:.2f})",
                      f"{one['save']:.1f} + {one['load']:.1f}", f"{one['bytes'] / 1e6:.0f}"])  # fmt: skip
        if args.peers and n <= PEER:
            other = apart(args.peers, "peer", n, 1)
            lines.append(["hashes, datasketch, patterns", f"{n:,}", f"{other['seconds']:.1f}",
                          f"{other['cpu']:.1f}", f"{n / other['cpu']:,.0f}", other["peak_mib"], "", "", "",
                          ""])  # fmt: skip
    parts += ["### Time and memory", markdown_table(
        ["", "rows", "s", "processor s", "rows a processor second", "peak MiB", "of it before the run MiB",
         "10,000 more, s (processor)",
         "save + load, s", "kept MB"], lines)]  # fmt: skip
    if args.peers:
        drops, kinds = Counter(other["drops"]), Counter(other["kinds"])
        parts.append(f"The pipeline beside it, at {other['n']:,} rows, drops " + ", ".join(
            f"{drops[kind] / kinds[kind]:.1%} of {kind}" for kind in kinds) + "; it says no reason.")  # fmt: skip
    else:
        parts.append("The pipeline beside it: not measured (no `--peers`).")
    write_section("funnel", "## The funnel on a stream that is nine tenths junk\n\n" + "\n\n".join(parts))


if __name__ == "__main__":
    main()

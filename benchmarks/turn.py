"""How a turn grows: seconds and peak memory at 1k, 10k, 100k and 1M interactions, and which step dominates.

Traffic is made of real sentences (Banking77 in ../shared/data): each interaction joins two questions of one intent and
a number, so that inputs are distinct; 30 % draw feedback (60 % corrections, of which 10 % wrong, 40 % thumbs). Each
size runs in a process of its own. Run: python benchmarks/turn.py [--sizes 1000,10000,100000]
"""

import argparse
import contextlib
import csv
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from _results import RESULTS, machine, markdown_table, write_section

import everloop
from everloop.types import Alternative, Correction, Interaction, Thumb

DATA = Path(__file__).parents[2] / "shared" / "data" / "banking77" / "train.csv"
STEPS = ("curate", "label", "dataset", "train", "evaluate")


def traffic(n, seed=0):
    rng = np.random.default_rng(seed)
    rows = list(csv.DictReader(DATA.open(encoding="utf-8")))
    by = {}
    for row in rows:
        by.setdefault(row["category"], []).append(row["text"])
    classes = sorted(by)
    for i in range(n):
        truth = classes[rng.integers(len(classes))]
        a, b = rng.choice(by[truth], 2)
        guess = truth if rng.random() < 0.85 else classes[rng.integers(len(classes))]
        confidence = round(float(rng.beta(5, 2)), 4)
        yield Interaction(
            id=f"i{i:08d}", loop="l", at=i, input=f"{a} {b} {rng.integers(1e6)}", output=guess, confidence=confidence,
            alternatives=(Alternative(classes[rng.integers(len(classes))], round((1 - confidence) / 2, 4)),),
        )  # fmt: skip
        if rng.random() < 0.3:
            if rng.random() < 0.6:
                value = truth if rng.random() > 0.1 else classes[rng.integers(len(classes))]
                yield Correction(id=f"f{i:08d}", interaction=f"i{i:08d}", at=i, value=value)
            else:
                yield Thumb(id=f"f{i:08d}", interaction=f"i{i:08d}", at=i, value="up" if guess == truth else "down")


class Peak(threading.Thread):
    """The most memory this process and its workers held at once, in MB, looked at 5 times a second."""

    def __init__(self):
        super().__init__(daemon=True)
        self.most = 0.0

    def run(self):
        me = os.getpid()
        while True:
            held, family = 0.0, [me]
            for pid in family:
                with contextlib.suppress(OSError):
                    held += _shared_out(pid)
                    for thread in Path(f"/proc/{pid}/task").iterdir():
                        family += map(int, (thread / "children").read_text().split())
            self.most = max(self.most, held)
            time.sleep(0.2)


def _shared_out(pid):
    """PSS: what processes share, as the interpreter's libraries, counts once among them. In MB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def one(n):
    with tempfile.TemporaryDirectory() as home, everloop.open(home) as wheel:
        loop = wheel.loop("l", policy={"trigger_feedback": 0})
        started, batch = time.perf_counter(), []
        for record in traffic(n):
            batch.append(record)
            if len(batch) >= 1000:
                wheel.store.records.put(*batch)
                batch = []
        wheel.store.records.put(*batch)
        filled = time.perf_counter() - started
        peak = Peak()
        peak.start()
        started = time.perf_counter()
        report = loop.turn()
        seconds = time.perf_counter() - started
        size = sum(f.stat().st_size for f in Path(home).rglob("*") if f.is_file()) / 2**20
    steps = {step.name: step.seconds for step in report.steps}
    print(json.dumps({"n": n, "fill": filled, "seconds": seconds, "peak": peak.most, "disk": size,
                      "steps": steps, "examples": report.examples, "auto": report.auto_labelled}))  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="1000,10000,100000,1000000")
    parser.add_argument("--one", type=int)
    args = parser.parse_args()
    if args.one:
        return one(args.one)
    if not DATA.is_file():
        sys.exit(f"needs {DATA}")
    rows = kept()
    for n in map(int, args.sizes.split(",")):
        out = subprocess.run([sys.executable, __file__, "--one", str(n)], capture_output=True, text=True, check=True)
        r = json.loads(out.stdout.splitlines()[-1])
        steps = [f"{r['steps'].get(step, 0):.1f}" for step in STEPS]
        rows[n] = [
            f"{n:,}",
            f"{r['seconds']:.1f}",
            f"{r['peak']:.0f}",
            f"{r['disk']:.0f}",
            f"{r['examples']:,}",
            *steps,
        ]
        print(rows[n], flush=True)
    text = f"## A turn as traffic grows\n\n{__doc__.split(chr(10) * 2)[1]}\n\nOn {machine()}.\n\n"
    columns = ["interactions", "turn, s", "peak MB", "on disk MB", "trained on", *STEPS]
    write_section("turn", text + markdown_table(columns, [rows[n] for n in sorted(rows)]))


def kept():
    """Rows of sizes measured before, so that the million, which takes half an hour, need not be run each time."""
    section = (
        RESULTS.read_text().partition("<!-- turn -->")[2].partition("<!-- /turn -->")[0] if RESULTS.exists() else ""
    )
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:1] == "|"]
    return {int(row[0].replace(",", "")): row for row in cells if row[0].replace(",", "").isdigit()}


if __name__ == "__main__":
    main()

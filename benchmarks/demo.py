"""What the wheel reaches: the demo over ten seeds, on digits and on Banking77, beside its two reference lines.

For each data set: the live model after the last turn as a share of the ceiling (the same trainer given every true
label), the share of the true labels that anybody had seen in any form, and the worst change on the test rows that a
promotion brought. Run: python benchmarks/demo.py [--seeds 10] [--data digits,banking77] [--keep FOLDER]
A run whose JSON is in FOLDER already is not made again.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from _results import machine, markdown_table, write_section

BANKING = Path(__file__).parents[2] / "shared" / "data" / "banking77"


def run(data, seed, keep):
    target = keep / f"{data}-{seed}.json"
    if not target.exists():
        more = ["--folder", str(BANKING)] if data == "banking77" else []
        with tempfile.TemporaryDirectory() as home:
            command = [sys.executable, "-m", "everloop.cli", "demo", "--data", data, "--seed", str(seed),
                       "--home", f"{home}/demo", "--json", str(target), *more]  # fmt: skip
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return json.loads(target.read_text())


def worst(result):
    """The worst change on the test rows from a live model to the one promoted over it, and how many were promoted."""
    before, changes = result["baseline"]["estimate"], []
    for turn in result["turns"]:
        now = turn["test_accuracy"]["estimate"]
        if turn["promoted"]:
            changes.append(now - before)
        before = now
    return min(changes, default=0.0), len(changes)


def spread(values, digits=1):
    return f"{statistics.median(values):.{digits}%} ({min(values):.{digits}%} to {max(values):.{digits}%})"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--data", default="digits,banking77")
    parser.add_argument("--keep", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        keep = args.keep or Path(scratch)
        keep.mkdir(parents=True, exist_ok=True)
        rows = []
        for data in args.data.split(","):
            if data == "banking77" and not BANKING.is_dir():
                print(f"no {BANKING}: banking77 is left out")
                continue
            results = [run(data, seed, keep) for seed in range(args.seeds)]
            ends = [r["turns"][-1]["test_accuracy"] for r in results]
            promoted = [worst(r) for r in results]
            rows.append([
                data, len(results), spread([r["baseline"]["estimate"] for r in results]),
                spread([end["estimate"] for end in ends]), spread([r["ceiling"]["estimate"] for r in results]),
                spread([r["share_of_ceiling"] for r in results]), spread([r["labels_seen"]["share"] for r in results]),
                f"{sum(end['low'] > r['baseline']['high'] for end, r in zip(ends, results, strict=True))} of "
                f"{len(results)}",
                f"{min(change for change, _ in promoted) * 100:+.1f} points ({sum(n for _, n in promoted)} promotions)",
                f"{statistics.median([r['seconds'] for r in results]):.0f} s",
            ])  # fmt: skip
            print(rows[-1], flush=True)
    columns = ["data", "seeds", "never retrained", "after 8 turns", "every label true", "share of that", "labels seen",
               "above never retrained by disjoint intervals", "worst promotion", "one run"]  # fmt: skip
    text = f"## What the wheel reaches\n\nMedian (range) over seeds, on rows the wheel never sees. {machine()}.\n\n"
    write_section("demo", text + markdown_table(columns, rows))


if __name__ == "__main__":
    main()

"""What the wheel reaches: the demo over several seeds, on digits and on Banking77, beside its two reference lines.

For each data set: the live model after the last turn as a share of the ceiling (the same trainer given every true
label), the share of the true labels that anybody had seen in any form, and the worst change on the test rows that a
promotion brought. "chosen" is Banking77 where a tenth of the interactions draws feedback, not three, and people give at
most 30 % of the labels in any form: most of them are asked for. What the machine labelled by itself is held against the
truth, which only a demo can know. Run: python benchmarks/demo.py [--seeds 10] [--data digits,banking77,chosen]
[--keep FOLDER]; a run whose JSON is in FOLDER already is not made again. `--seeds 10,3,3`: so many for each.
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
        more = [] if data == "digits" else ["--folder", str(BANKING)]
        more += ["--feedback", "0.1", "--labels", "0.3"] if data == "chosen" else []
        with tempfile.TemporaryDirectory() as home:
            name = data.replace("chosen", "banking77")
            command = [sys.executable, "-m", "everloop.cli", "demo", "--data", name, "--seed", str(seed)]
            command += ["--home", f"{home}/demo", "--json", str(target), *more]
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


def last(result):
    """Of the examples after the last turn that people or the machine labelled, the machine's share; and of these the
    share that is truly wrong."""
    turn = result["turns"][-1]
    return turn["auto_labelled"] / turn["kept"], turn["auto_wrong"] or 0.0


def candidate(result):
    """The share of the ceiling that the newest candidate has, whether it was put live or the golden rows were too few
    to show that it is better."""
    newest = [turn["candidate_accuracy"] for turn in result["turns"] if turn["candidate_accuracy"] is not None][-1]
    return newest / result["ceiling"]["estimate"]


def spread(values, digits=1):
    return f"{statistics.median(values):.{digits}%} ({min(values):.{digits}%} to {max(values):.{digits}%})"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="10")
    parser.add_argument("--data", default="digits,banking77,chosen")
    parser.add_argument("--keep", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        keep = args.keep or Path(scratch)
        keep.mkdir(parents=True, exist_ok=True)
        rows = []
        wanted = args.data.split(",")
        seeds = [int(n) for n in args.seeds.split(",")]
        for data, count in zip(wanted, seeds if len(seeds) > 1 else seeds * len(wanted), strict=True):
            if data != "digits" and not BANKING.is_dir():
                print(f"no {BANKING}: {data} is left out")
                continue
            results = [run(data, seed, keep) for seed in range(count)]
            ends = [r["turns"][-1]["test_accuracy"] for r in results]
            promoted = [worst(r) for r in results]
            rows.append([
                data, len(results), spread([r["baseline"]["estimate"] for r in results]),
                spread([end["estimate"] for end in ends]), spread([r["ceiling"]["estimate"] for r in results]),
                spread([r["share_of_ceiling"] for r in results]), spread([candidate(r) for r in results]),
                spread([r["labels_seen"]["share"] for r in results]),
                spread([last(r)[0] for r in results]), spread([last(r)[1] for r in results]),
                f"{sum(end['low'] > r['baseline']['high'] for end, r in zip(ends, results, strict=True))} of "
                f"{len(results)}",
                f"{min(change for change, _ in promoted) * 100:+.1f} points ({sum(n for _, n in promoted)} promotions)",
                f"{statistics.median([r['seconds'] for r in results]):.0f} s",
            ])  # fmt: skip
            print(rows[-1], flush=True)
    columns = ["data", "seeds", "never retrained", "after 8 turns", "every label true", "share of that",
               "the last candidate's, live or not", "labels seen",
               "labelled by the machine", "of that truly wrong (10 % promised)",
               "above never retrained by disjoint intervals", "worst promotion", "one run"]  # fmt: skip
    text = f"## What the wheel reaches\n\nMedian (range) over seeds, on rows the wheel never sees. {machine()}.\n\n"
    write_section("demo", text + markdown_table(columns, rows))


if __name__ == "__main__":
    main()

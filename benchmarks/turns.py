"""What a turn costs when little is new: 1,000 rows into a loop that has seen 10,000, 100,000 or 1,000,000.

    python benchmarks/turns.py [--sizes 10000] [--curate 100000,1000000] [--rounds 3]

The traffic is that of benchmarks/turn.py. After a first turn, 1,000 interactions come before each further turn, in turn
read whole (what is kept of the log is thrown away before each step) and read on from what is kept, in one process;
then once more in a process of its own, which takes it from the store. For sizes of `--curate` the turn ends after its
first step, as the others would take hours. Each size runs in processes of its own; nobody else should be at work.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from _results import machine, markdown_table, write_section
from turn import traffic

NEW = 1_000
STEPS = ("curate", "label", "dataset")


def feed(loop, size, first, n):
    """Interactions number `first` to `first + n` of the same stream, whatever was written before."""
    from everloop.types import Interaction

    batch, number = [], -1
    for record in traffic(size):
        number += isinstance(record, Interaction)
        if number >= first + n:
            break
        if number >= first:
            batch.append(record)
        if len(batch) >= 5_000:
            loop.records.put(*batch)
            batch = []
    if batch:
        loop.records.put(*batch)


def revolve(loop, whole, all_steps):
    """One turn; seconds of the whole and of each step, as the report has them, and of the funnel at each."""
    from everloop import loop as turning

    spent, funnel_of = [], turning.funnel_of

    def timed(*given):
        asked = time.perf_counter()
        found = funnel_of(*given)
        spent.append(time.perf_counter() - asked)
        return found

    turning.funnel_of = timed
    begun = time.perf_counter()
    loop.advance("hand")
    while True:
        if whole and len(newest(loop).steps) < len(STEPS):
            forget(loop)
        step = loop.advance()
        if step == "close" or (step == "curate" and not all_steps):
            break
    seconds = time.perf_counter() - begun
    turning.funnel_of = funnel_of
    return {"seconds": seconds, "later": sum(spent[1:]), **{one.name: one.seconds for one in newest(loop).steps}}


def newest(loop):
    from everloop.types import Turn

    return loop.records.find(Turn, loop.name, newest=True, limit=1)[0]


def forget(loop):
    """Throw away what is kept of the log, in memory and in the store."""
    loop._bench.kept.clear()
    carry = loop.wheel.store.carry
    carry.keep(loop.name, [], carry.changes(loop.name))


def shut(loop):
    """End a turn of which the later steps are not wanted: as its last step would."""
    from msgspec.structs import replace

    from everloop.turn import keeping

    bench, turn = loop._bench, newest(loop)
    lease = loop.records.lease(f"turn:{loop.name}", bench.owner, 60)
    begun = time.perf_counter()
    keeping.save(bench, loop.spec, lease)
    saved = time.perf_counter() - begun
    loop.records.replace(replace(turn, state="closed"), fence=lease)
    loop.records.unlease(lease)
    bench.memory.clear()
    return saved


def memory():
    """(peak, now) in MB."""
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return [int(lines[name].split()[0]) / 1024 for name in ("VmHWM", "VmRSS")]


def kept_bytes(loop):
    import sqlite3

    with sqlite3.connect(loop.wheel.settings.folder / "everloop.db") as connection:
        return connection.execute("SELECT coalesce(sum(length(body)), 0) FROM carried").fetchone()[0]


def one(n, rounds, all_steps, home):
    import everloop
    from everloop.curate import encode

    size = n + NEW * (2 * rounds + 2)
    with everloop.open(home) as wheel:
        loop = wheel.loop("l", policy={"trigger_feedback": 0})
        feed(loop, size, 0, n)
        before = memory()[1]
        first = revolve(loop, False, all_steps)
        saved = shut(loop) if not all_steps else 0.0
        found, at = {"whole": [], "on": []}, n
        for _ in range(rounds):
            for how in ("whole", "on"):
                feed(loop, size, at, NEW)
                at += NEW
                if how == "whole" and not all_steps and n > 200_000:
                    continue  # the first turn was one
                found[how].append(revolve(loop, how == "whole", all_steps))
                if not all_steps:
                    shut(loop)
        kept = loop._bench.kept.get("carried:l")
        data = encode(kept.carried) if kept else b""
        bench_kept, peak = kept_bytes(loop), memory()
        feed(loop, size, at, NEW)
    print(json.dumps({"first": first, "saved": saved, **found, "raw": len(data), "kept": bench_kept, "before": before,
                      "peak": peak}))  # fmt: skip


def again(all_steps, home):
    import everloop

    with everloop.open(home) as wheel:
        loop = wheel.get("l")
        before = memory()[1]
        found = revolve(loop, False, all_steps)
        print(json.dumps({**found, "before": before, "peak": memory()}))


def apart(*words):
    done = subprocess.run([sys.executable, __file__, *map(str, words)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-2_000:])
    return json.loads(done.stdout.splitlines()[-1])


def spread(values):
    if len(values) < 2:
        return f"{values[0]:.2f}" if values else "not measured"
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def measured(n, rounds, all_steps):
    with tempfile.TemporaryDirectory() as home:
        r = apart("--one", n, rounds, int(all_steps), home)
        late = apart("--again", int(all_steps), home)
    names = ("curate", "later", "seconds") if all_steps else ("curate",)

    def line(what, runs):
        cells = [spread([run[name] for run in runs]) for name in names]
        return [f"{n:,}", what, *cells, *["not measured"] * (3 - len(cells))]

    rows = [
        line("the first, everything", [r["first"]]),
        line("1,000 more, reading everything", r["whole"]),
        line("1,000 more, reading on", r["on"]),
        line("1,000 more, in a new process", [late]),
    ]
    room = [f"{n:,}", f"{r['raw'] / 1e6:.1f}", f"{r['kept'] / 1e6:.1f}", f"{r['saved']:.1f}" if r["saved"] else "",
            f"{r['before']:.0f}", f"{r['peak'][0]:.0f}", f"{r['peak'][1]:.0f}", f"{late['peak'][0]:.0f}"]  # fmt: skip
    return rows, room


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="10000")
    parser.add_argument("--curate", default="100000,1000000")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--again", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        return one(int(args.one[0]), int(args.one[1]), args.one[2] == "1", args.one[3])
    if args.again:
        return again(args.again[0] == "1", args.again[1])
    lines, rooms = [], []
    for sizes, all_steps in ((args.sizes, True), (args.curate, False)):
        for n in map(int, filter(None, sizes.split(","))):
            rows, room = measured(n, args.rounds if all_steps or n <= 200_000 else 1, all_steps)
            lines += rows
            rooms.append(room)
            print(*rows, room, sep="\n", flush=True)
    about = __doc__.split("\n\n")[2]
    head = f"## A turn when little is new\n\n{about}\n\nOn {machine()}. Seconds: median (lowest to "
    table = markdown_table(
        ["seen before", "turn", "curate, s", "the funnel in label and dataset, s", "whole turn, s"], lines
    )
    room = markdown_table(["seen before", "kept, MB", "in the store, MB", "writing it, s", "MB of memory before",
                           "peak MB", "MB after", "peak MB, new process"], rooms)  # fmt: skip
    write_section("turns", f"{head}highest).\n\n{table}\n\n{room}\n")


if __name__ == "__main__":
    main()

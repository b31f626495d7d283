"""What dataset versions cost: commit, edit, diff, merge, blame and export, at 10,000, 100,000 and a million examples.

    python benchmarks/datasets.py [--sizes 10000,100000,1000000] [--repeats 3]

Made-up short questions of 77 classes, each with an interaction and a label as its evidence. Every size is a process of
its own, on a store of its own; of a million each operation is measured once.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from _memory import peak
from _results import machine, markdown_table, write_section
from msgspec.structs import replace

import everloop
from everloop import versions
from everloop.cli.writing import csv_lines, write_whole
from everloop.ids import new_id
from everloop.store import Amendment
from everloop.types import Example, Interaction, Label, Ref, Spec
from everloop.wheel import Wheel

CLASSES = 77
CHANGED = 100  # one example in so many is changed between versions
EDITED = 100  # examples relabelled by hand
ONCE = 500_000  # from so many examples on, each operation is measured once
WORDS = "card transfer top up limit refund fee exchange rate pin lost pending cash cheque abroad phone declined".split()


def examples(n: int) -> Iterator[Example]:
    for i in range(n):
        words = " ".join(WORDS[(i * (k + 3) + k) % len(WORDS)] for k in range(9))
        yield Example(
            id=f"{i * 2654435761 % 2**64:032x}", loop="l", input=f"{words} number {i}", target=f"class {i % CLASSES}",
            origin="auto" if i % 3 == 0 else "production", split="golden" if i % 20 == 0 else "train",
            group=f"{i:032x}", slices=(f"channel={'web' if i % 2 else 'app'}",), evidence=(f"i{i}", f"l{i}"),
        )  # fmt: skip


def fill(wheel: Wheel, n: int) -> None:
    for start in range(0, n, 5_000):
        rows = range(start, min(start + 5_000, n))
        wheel.store.records.put(
            *(Interaction(id=f"i{i}", loop="l", at=i, input=f"number {i}", output="class 1") for i in rows),
            *(Label(id=f"l{i}", interaction=f"i{i}", loop="l", at=i, value="class 2", source="import") for i in rows),
        )


def measure(n: int, repeats: int) -> dict[str, Any]:
    """Medians of the seconds each operation took, and the most memory held."""
    took: dict[str, list[float]] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        started = time.perf_counter()
        made = work()
        took.setdefault(name, []).append(time.perf_counter() - started)
        return made

    with tempfile.TemporaryDirectory() as folder, everloop.open(Path(folder) / "home") as wheel:
        spec = wheel.loop("l").spec
        fill(wheel, n)
        datasets = wheel.store.datasets
        content = list(examples(n))
        recipe, main = Spec(name="bench"), Ref(id="main", loop="l", kind="branch", version="")
        one = timed("commit, the first", lambda: datasets.commit(
            "l", content, id=new_id(), parent=None, recipe=recipe, at=1, branch=main))  # fmt: skip
        changed = [replace(e, target="another") if i % CHANGED == 0 else e for i, e in enumerate(content)]
        two = timed("commit, 1 % changed", lambda: datasets.commit(
            "l", changed, id=new_id(), parent=one.id, recipe=recipe, at=2))  # fmt: skip
        changed.clear()
        editor = versions.Editor(wheel.store, spec, wheel.door, "ann", wheel.owner)
        once = 1 if n >= ONCE else repeats
        for turn in range(once):
            name = f"line-{turn}"
            versions.branch(datasets, "l", name, one, by="ann")
            wanted = {content[i * (n // EDITED) + 1 + turn].id: f"class {i % 7} of {turn}" for i in range(EDITED)}
            timed(f"edit of {EDITED}", lambda at=name, to=wanted: versions.edit(editor, at, relabel=to, drop=()))
            timed("diff, 1 % changed", lambda: versions.compare(datasets.diff(one.id, two.id)))
            ours, theirs = f"ours-{turn}", f"theirs-{turn}"
            for line, offset in ((ours, 1), (theirs, 2)):  # disjoint: one in a hundred each
                put = [replace(e, target=f"{line}") for e in content[offset + 2 * turn :: CHANGED]]
                versions.branch(datasets, "l", line, one, by="ann")
                datasets.commit("l", Amendment(put), id=new_id(), parent=one.id, recipe=recipe, at=3,
                                branch=datasets.ref("l", line))  # fmt: skip
            joined = timed("merge, 1 % on each side", lambda a=theirs, b=ours: versions.merge(editor, a, b))
            assert joined.kind == "merged"
            timed("blame", lambda at=101 + turn: versions.blame(wheel.store, "l", content[at].id))
            for format in ("jsonl", "openai", "parquet"):
                out = Path(folder) / f"out.{format}"
                timed(f"export as {format}", lambda kind=format, out=out: write_whole(out, versions.export(
                    wheel.store, spec, two, kind, file=out.name, csv_lines=csv_lines).chunks, force=True))  # fmt: skip
            timed("show", lambda: versions.compose(datasets.examples(two.id)))
    return {
        "n": n, "repeats": once, "seconds": {name: statistics.median(values) for name, values in took.items()},
        "spread": {name: [min(values), max(values)] for name, values in took.items()},
        "memory": peak(),
    }  # fmt: skip


def shown(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def report(found: list[dict[str, Any]]) -> str:
    rows = []
    for name in found[0]["seconds"]:
        cells = []
        for one in found:
            low, high = one["spread"][name]
            spread = f" ({shown(low)} to {shown(high)})" if high > low else ""
            cells.append(shown(one["seconds"][name]) + spread)
        rows.append([name, *cells])
    rows.append(["most memory, the caller's examples included", *(f"{one['memory'] / 1e6:,.0f} MB" for one in found)])
    sizes = [f"{one['n']:,} examples (of {one['repeats']})" for one in found]
    return "\n\n".join([
        "## Dataset versions: what they cost",
        f"{machine()}. Medians, and the range where there were several; exports with the consent of all evidence "
        f"looked up and to disk, fsync and all. The edit relabels {EDITED} examples; the merge joins two lines that "
        "each changed one example in a hundred, and makes a version with two parents.",
        markdown_table(["", *sizes], rows),
    ])  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="10000,100000,1000000", help="examples, with commas between")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(args.one, args.repeats)))
        return
    found = []
    for size in args.sizes.split(","):
        command = [sys.executable, __file__, "--one", size, "--repeats", str(args.repeats)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found.append(json.loads(done.stdout.splitlines()[-1]))
        print(f"{int(size):,} examples: {', '.join(f'{k} {shown(v)}' for k, v in found[-1]['seconds'].items())}")
    write_section("datasets", report(found))


if __name__ == "__main__":
    main()

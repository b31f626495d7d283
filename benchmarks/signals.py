"""Declared signals: reading columns against decoding records, and what filling them costs.

    python benchmarks/signals.py [--rows 100000]

Side by side on one store each: the same implicit signals, declared with four fields or not declared at all. Reading is
every value of four fields of all rows; writing is one submission of 100 at a time, on disk when it ends. Repeats
alternate; medians with lowest and highest.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from _results import machine, markdown_table, write_section

from everloop.collect.deriving import BUILT_IN
from everloop.collect.tending import derive
from everloop.store import Store, open_store
from everloop.types import Implicit, Interaction, LoopSpec, SignalSpec

FIELDS = {"page": "str", "depth": "int", "share": "float", "bot": "bool"}
REPEATS, BATCH = 5, 100


def interactions(rows: int) -> list[Interaction]:
    return [
        Interaction(id=f"i{n}", loop="shop", at=n, input=f"where is my card {n}", output="it is on its way",
                    session=f"s{n // 5}")
        for n in range(rows)
    ]  # fmt: skip


def signals(rows: int) -> list[Implicit]:
    return [
        Implicit(id=f"f{n}", interaction=f"i{n}", at=n, value="click", position=n % 10, dwell_ms=n,
                 fields={"page": f"/products/{n % 500}", "depth": n % 7, "share": n / rows, "bot": n % 9 == 0})
        for n in range(rows)
    ]  # fmt: skip


def filled(folder: str, rows: int, declared: bool) -> tuple[Store, float]:
    """A store with `rows` signals, and how many it took a second."""
    store = open_store(Path(folder))
    spec = (SignalSpec(name="click", fields=FIELDS),) if declared else ()  # type: ignore[arg-type]
    store.records.put(LoopSpec(name="shop", signals=spec))
    store.records.put(*interactions(rows))
    said = signals(rows)
    begun = time.perf_counter()
    futures = [store.records.submit(said[n : n + BATCH]) for n in range(0, rows, BATCH)]
    for future in futures:
        future.result()
    return store, rows / (time.perf_counter() - begun)


def by_column(store: Store) -> int:
    return len(store.signals.columns("shop", "click", only=list(FIELDS))["page"])


def by_record(store: Store) -> int:
    read: dict[str, list[object]] = {name: [] for name in FIELDS}
    for batch in store.records.scan(Implicit, "shop"):
        for _, one in batch:
            for name in FIELDS:
                read[name].append(one.fields.get(name))
    return len(read["page"])


def seconds(work: Callable[[Store], int], store: Store) -> float:
    begun = time.perf_counter()
    work(store)
    return time.perf_counter() - begun


def shown(values: list[float], form: str = ",.0f") -> str:
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=100_000)
    rows = parser.parse_args().rows
    wrote: dict[bool, list[float]] = {True: [], False: []}
    read: dict[str, list[float]] = {"columns": [], "records": []}
    derived: list[float] = []
    for repeat in range(REPEATS):
        for declared in (True, False) if repeat % 2 else (False, True):
            with tempfile.TemporaryDirectory() as folder:
                store, rate = filled(folder, rows, declared)
                wrote[declared].append(rate)
                if declared:
                    for _ in range(2):
                        read["columns"].append(seconds(by_column, store))
                        read["records"].append(seconds(by_record, store))
                    begun = time.perf_counter()
                    derive(store.records, LoopSpec(name="shop"), "benchmark", time=10**13)
                    derived.append(rows / (time.perf_counter() - begun))
                store.close()
    faster = statistics.median(read["records"]) / statistics.median(read["columns"])
    lines = [
        ["four fields of every row, as columns (s)", shown(read["columns"], ".2f")],
        ["the same by decoding records (s)", shown(read["records"], ".2f")],
        ["signals written a second, not declared", shown(wrote[False])],
        ["signals written a second, declared with four fields", shown(wrote[True])],
        [f"interactions a second through {len(BUILT_IN)} derived rules, sessions of five", shown(derived)],
    ]
    table = markdown_table(["", "median (lowest to highest)"], lines)
    write_section("signals", f"## Declared signals\n\n`benchmarks/signals.py`, {rows:,} rows, {machine()}. Reading "
                             f"columns is {faster:.1f} times as fast as decoding records.\n\n{table}")  # fmt: skip
    print(table)


if __name__ == "__main__":
    main()

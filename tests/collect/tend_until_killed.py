"""Run by the tests as a process of its own: keeps a loop's signals up to date until there is nothing left to do."""

import sys
from pathlib import Path

from everloop.collect import tending
from everloop.collect.tending import derive, tend
from everloop.store import open_store
from everloop.types import LoopSpec


def main(folder: Path, owner: str, times: list[int]) -> None:
    tending.BATCH, tending._ROUND = 20, 1
    with open_store(folder) as store:
        spec = store.records.get(LoopSpec, "l")
        assert spec is not None
        for time in times:
            while tend(store.records, spec, owner, seconds=0.05, time=time).more:
                print("more", flush=True)  # by which the test knows how far it came
        derive(store.records, spec, owner, seconds=0.5, time=times[-1])
    print("done", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], [int(text) for text in sys.argv[3:]])

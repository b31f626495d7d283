"""Run by the tests as a process of its own: puts batches into a store, and says each one that was acknowledged."""

import sys
from pathlib import Path

from everloop.ids import new_id
from everloop.store import open_store
from everloop.types import Example, Interaction, Spec, Thumb

SIZE = 7  # interactions in a batch; each has a thumb, in the same submission


def batch(name: str) -> list[Interaction | Thumb]:
    return [
        record
        for n in range(SIZE)
        for record in (
            Thumb(id=f"{name}-f{n}", interaction=f"{name}-{n}", at=1, value="up"),
            Interaction(id=f"{name}-{n}", loop="support", at=1, input="x" * 200),
        )
    ]


def main(folder: Path, batches: int) -> None:
    store = open_store(folder)
    parent = None
    for n in range(batches):
        name = new_id()
        store.records.submit(batch(f"{name}x"))  # not waited for
        store.records.put(*batch(name))
        print("batch", name, flush=True)
        if n % 5 == 0:
            examples = [
                Example(id=f"{k}", loop="support", input="x", target=name, origin="human", split="train", group="g")
                for k in range(20)
            ]
            store.datasets.commit("support", examples, id=name, parent=parent, recipe=Spec(name="x"), at=1)
            print("version", name, flush=True)
            parent = name
            print("blob", store.blobs.put(name.encode() * 1000), flush=True)
    store.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))

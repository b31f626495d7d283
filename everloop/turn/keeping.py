"""What a loop's turns keep of the log they have read: in the worker's memory, and in the store for the next process.

It is a cache, and only as good as the log it was made of: whatever was changed or deleted behind it (a person erased,
consent taken back, a row sealed) ends it, and the log is read once more from its beginning. What a step has made of it
counts once the step is written, so a worker that fails, or is killed, in between has lost it and not the rows.
"""

from collections.abc import Mapping
from typing import NamedTuple

from everloop import curate
from everloop.turn.workbench import Workbench
from everloop.types import Lease, LoopSpec

_SMALL = 20_000  # interactions up to which all is written each time
_SHARE = 5  # beyond, once a fifth is new: so each row is written a few times, and a restart reads a fifth at most anew


class Kept(NamedTuple):
    """What is carried over, and what it rests on."""

    carried: curate.Carried
    changes: int  # of the log, counted before it was read
    saved: int  # interactions in what the store keeps; 0: it keeps nothing


def taken(bench: Workbench, spec: LoopSpec, cut: Mapping[str, int]) -> Kept:
    """What was kept, if it still holds for a turn that reads up to `cut`; or else an empty one: read everything.

    It is the caller's until handed back with `bench.hand`.
    """
    changes = bench.store.carry.changes(spec.name)
    held: Kept | None = bench.take(_key(spec.name))
    if held is not None and held.changes == changes and _holds(held.carried, spec, cut):
        return held
    del held
    data = bench.store.carry.kept(spec.name)
    if data is not None:
        carried = curate.decode(data)
        del data
        if carried is not None and _holds(carried, spec, cut):
            return Kept(carried, changes, carried.seen)
    return Kept(curate.Carried(), changes, 0)


def hand_back(bench: Workbench, spec: LoopSpec, kept: Kept) -> None:
    """It is kept once what the step has made of it is written."""
    bench.hand(_key(spec.name), kept)


def save(bench: Workbench, spec: LoopSpec, lease: Lease) -> None:
    """Write down what is kept, where enough of it is new, for whoever does the next turn. Raises LeaseLost."""
    held: Kept | None = bench.kept.get(_key(spec.name))
    if held is None or not _worth_it(held):
        return
    data = curate.encode(held.carried)
    if bench.store.carry.keep(spec.name, [data], held.changes, lease):
        bench.kept[_key(spec.name)] = held._replace(saved=held.carried.seen)


def tidy(bench: Workbench, loop: str) -> None:
    """Before each step: what a step left that failed goes, and all that is kept where the log was changed. Nobody who
    was erased, or took back their consent, is remembered until the next turn."""
    bench.settle(written=False)
    held: Kept | None = bench.kept.get(_key(loop))
    if held is not None and held.changes != bench.store.carry.changes(loop):
        bench.kept.clear()
        bench.memory.pop("funnel", None)


def _holds(carried: curate.Carried, spec: LoopSpec, cut: Mapping[str, int]) -> bool:
    made_under = curate.fits(spec.policy, spec.task, frozenset(spec.labels))
    return carried.fits == made_under and all(carried.upto[log] <= cut[log] for log in ("interactions", "feedback"))


def _worth_it(held: Kept) -> bool:
    seen = held.carried.seen
    return seen > held.saved and (seen <= _SMALL or (seen - held.saved) * _SHARE >= seen)


def _key(loop: str) -> str:
    return f"carried:{loop}"


__all__ = ["Kept", "hand_back", "save", "taken", "tidy"]

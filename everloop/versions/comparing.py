"""What a dataset version is made of, and what changed between two. Pure."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence

from msgspec import Struct

from everloop.types import Diff, Example

_NAMED = 5  # examples named of each kind of relabelling


class Composition(Struct, frozen=True, kw_only=True):
    """How many examples there are of each sort, the most first."""

    examples: int
    splits: dict[str, int]
    origins: dict[str, int]
    classes: dict[str, int]
    slices: dict[str, int]
    weight: float  # sum of the weights
    synthetic: int  # of depth 1 or more
    people: int  # whose words or labels are in the evidence


class Relabelled(Struct, frozen=True, kw_only=True):
    """Examples of which the label changed from one to another."""

    old: str
    new: str
    n: int
    examples: tuple[str, ...]  # ids of the first few


class Moves(Struct, frozen=True, kw_only=True):
    """How many examples of a class, a slice, an origin or a split there are more, and fewer."""

    added: int  # came, from outside the dataset or from another class
    removed: int


class Comparison(Struct, frozen=True, kw_only=True):
    """What one version has that another has not, in counts."""

    added: int  # examples the old one has not at all
    removed: int
    changed: int  # in both, and not alike
    relabelled: tuple[Relabelled, ...]  # the most frequent first
    classes: dict[str, Moves]
    slices: dict[str, Moves]
    origins: dict[str, Moves]
    splits: dict[str, Moves]
    heavier: int  # weigh more than before
    lighter: int


def compose(examples: Iterable[Example]) -> Composition:
    """Count examples by all that tells them apart."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    people: set[str] = set()
    n, weight, synthetic = 0, 0.0, 0
    for e in examples:
        n += 1
        weight += e.weight
        synthetic += e.depth > 0
        counts["splits"][e.split] += 1
        counts["origins"][e.origin] += 1
        counts["classes"][e.target] += 1
        counts["slices"].update(e.slices)
        people.update(e.subjects)
    return Composition(
        examples=n, weight=round(weight, 6), synthetic=synthetic, people=len(people),
        **{name: dict(counts[name].most_common()) for name in ("splits", "origins", "classes", "slices")},
    )  # fmt: skip


def compare(diff: Diff) -> Comparison:
    """A difference, counted."""
    old, new = {e.id: e for e in diff.removed}, {e.id: e for e in diff.added}
    both = [(old[id], new[id]) for id in sorted(old.keys() & new.keys())]
    labels: dict[tuple[str, str], list[str]] = defaultdict(list)
    for before, after in both:
        if before.target != after.target:
            labels[before.target, after.target].append(before.id)
    relabelled = sorted(labels.items(), key=lambda one: (-len(one[1]), one[0]))
    return Comparison(
        added=len(new) - len(both), removed=len(old) - len(both), changed=len(both),
        relabelled=tuple(
            Relabelled(old=a, new=b, n=len(ids), examples=tuple(ids[:_NAMED])) for (a, b), ids in relabelled
        ),
        classes=_moves(diff, lambda e: (e.target,)), slices=_moves(diff, lambda e: e.slices),
        origins=_moves(diff, lambda e: (e.origin,)), splits=_moves(diff, lambda e: (e.split,)),
        heavier=sum(after.weight > before.weight for before, after in both),
        lighter=sum(after.weight < before.weight for before, after in both),
    )  # fmt: skip


def _moves(diff: Diff, of: Callable[[Example], Sequence[str]]) -> dict[str, Moves]:
    """By sort, the one with the most movement first; what stayed in its sort is no movement."""
    old = {e.id: frozenset(of(e)) for e in diff.removed}
    new = {e.id: frozenset(of(e)) for e in diff.added}
    nothing: frozenset[str] = frozenset()
    came = Counter(sort for id, sorts in new.items() for sort in sorts - old.get(id, nothing))
    went = Counter(sort for id, sorts in old.items() for sort in sorts - new.get(id, nothing))
    sorts = sorted(came.keys() | went.keys(), key=lambda sort: (-came[sort] - went[sort], sort))
    return {sort: Moves(added=came[sort], removed=went[sort]) for sort in sorts}


__all__ = ["Comparison", "Composition", "Moves", "Relabelled", "compare", "compose"]

"""What may leave: the examples of a dataset version, by the consent their evidence has now and not when it was made."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from everloop.store import Records
from everloop.types import Example, FeedbackFields, Interaction

Seen = Callable[[Interaction | FeedbackFields], None]
_BATCH = 2_000  # examples whose evidence is looked up at once


class Leaving(NamedTuple):
    """Which examples may leave, and how many of them people agreed to share."""

    examples: list[Example]  # in the order in which they came
    withheld: int  # consent to learn from them was taken back since
    shareable: int  # of `examples`: everybody whose words they are made of agreed to share
    unshared: int  # of `examples`: left out because only shareable ones were wanted


def leaving(
    records: Records, examples: Sequence[Example], *, shareable: bool = False, seen: Seen = lambda _: None
) -> Leaving:  # fmt: skip
    """Those of `examples` that may be given out; with `shareable` only those everybody agreed to share. `seen` is told
    every interaction and piece of feedback looked at on the way.

    An example that is made of no interaction we know (brought along, synthetic) may be learned from, but nobody agreed
    to share it.
    """
    kept: list[Example] = []
    withheld = shared = unshared = 0
    for start in range(0, len(examples), _BATCH):
        chunk = examples[start : start + _BATCH]
        consents = dict(_consents(records, sorted({id for example in chunk for id in example.evidence}), seen))
        interactions = {id for id, (_, is_interaction) in consents.items() if is_interaction}
        for example in chunk:
            allowed = [consents[id][0] for id in example.evidence if id in consents]
            may = bool(interactions.intersection(example.evidence)) and all("share" in one for one in allowed)
            if not all("improve" in one for one in allowed):
                withheld += 1
            elif shareable and not may:
                unshared += 1
            else:
                kept.append(example)
                shared += may
    return Leaving(kept, withheld, shared, unshared)


def _consents(records: Records, ids: list[str], seen: Seen) -> Iterator[tuple[str, tuple[tuple[str, ...], bool]]]:
    """(id, (purposes, whether it is an interaction)) of those known; of feedback only what has a consent of its own."""
    for it in records.find(Interaction, id=ids):
        seen(it)
        yield it.id, (it.consent, True)
    for said in records.find(FeedbackFields, id=ids):
        seen(said)
        if said.consent is not None:
            yield said.id, (said.consent, False)

"""Is this rule right? A random sample of what it left out, looked at by people, and the share of right drops with its
exact interval.

A sample stays as it was drawn until it has been looked at: who draws again until the answer pleases measures nothing.
"""

import threading
from collections.abc import Collection, Sequence

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from everloop.auditing import along
from everloop.errors import Conflict, InvalidInput, NotFound
from everloop.ids import new_id, now
from everloop.stats.intervals import exact
from everloop.store import Records
from everloop.types import Drop, DropAudit, Feedback, FeedbackFields, Input, Interaction, Placement

SAMPLE = 20  # drops looked at, unless somebody says otherwise
MOST = 1_000
FLOOR = 0.8  # a rule whose share of right drops is surely below this is doubted
_LOOKED_AT_ONCE = 10_000
_READ_WHOLE = 20_000  # drops of a reason that are read to draw from them; of more, positions are tried
_TRIES = 10_000
_drawing = threading.Lock()
_PERSONS_OWN = ("no_consent",)  # nothing to be right or wrong about


class Standing(Struct, frozen=True, kw_only=True):
    """What is known of the drops of one reason."""

    reason: str
    drops: int  # that stand
    undone: int  # taken back
    open: int  # drawn, and not looked at yet
    n: int  # looked at
    right: int  # of these, found right
    estimate: float | None = None  # share of right drops; None: nobody has looked
    low: float | None = None  # its exact 95 % interval (Clopper-Pearson)
    high: float | None = None
    doubted: bool = False  # even the upper end is under the floor

    def sentence(self) -> str:
        """What it means, in one line.

        >>> Standing(reason="length", drops=90, undone=0, open=0, n=20, right=8, high=0.64, doubted=True).sentence()
        'this rule is wrong more than 20 % of the time: 12 of 20 looked at were'
        """
        if self.doubted:
            often = f"{100 - 100 * FLOOR:.0f} % of the time"
            return f"this rule is wrong more than {often}: {self.n - self.right} of {self.n} looked at were"
        if not self.n:
            return "nobody has looked"
        return f"{self.right} of {self.n} looked at were right"


class Shown(Struct, frozen=True, kw_only=True):
    """A drop as a person judges it."""

    drop: Drop
    input: Input | None  # None: it has been erased
    output: str | None = None
    feedback: str | None = None  # the kind and value of it, where feedback was left out
    matched_input: Input | None = None  # what it matched, where that is another interaction
    audit: str | None = None  # id of its audit, where it was drawn for one
    right: bool | None = None


def draw(records: Records, loop: str, reason: str, n: int, rng: np.random.Generator) -> list[DropAudit]:
    """`n` drops of a reason to look at: those that are still open, filled up with new ones drawn at random.

    What was drawn before is not drawn again. Raises InvalidInput for a bad `n` or a reason that nobody can judge,
    NotFound where nothing was dropped for it.
    """
    if not 1 <= n <= MOST:
        raise InvalidInput(f"a sample has 1 to {MOST:,} drops, not {n}")
    if not judged(reason):
        raise InvalidInput(f"{reason!r} is the person's own choice: there is nothing to judge")
    with _drawing:  # of two who press the button at once, the second gets what the first has drawn
        return _drawn(records, loop, reason, n, rng)


def _drawn(records: Records, loop: str, reason: str, n: int, rng: np.random.Generator) -> list[DropAudit]:
    earlier = records.find(DropAudit, loop, reason=reason)
    stand = records.count(Drop, loop, reason=reason, undone=False)
    if not stand:
        raise NotFound(f"nothing was left out for {reason!r}; there are: {_there(records, loop)}")
    still = waiting(records, loop, reason, earlier)
    known = {audit.interaction for audit in earlier}
    fresh = _any_of(records, loop, reason, known, stand, max(0, n - len(still)), rng)
    made = [DropAudit(id=new_id(), loop=loop, reason=reason, interaction=id, drawn=now()) for id in fresh]
    if made:
        records.replace(*made, *along())
    return [*still, *made][:n]


def waiting(records: Records, loop: str, reason: str, audits: Sequence[DropAudit] | None = None) -> list[DropAudit]:
    """What was drawn of a reason, stands, and nobody has looked at; `audits`: all of that reason, if they are known."""
    drawn = records.find(DropAudit, loop, reason=reason) if audits is None else audits
    unseen = [audit for audit in drawn if audit.right is None]
    stand = set(_standing_of(records, loop, reason, [audit.interaction for audit in unseen]))
    return [audit for audit in unseen if audit.interaction in stand]


def _any_of(
    records: Records, loop: str, reason: str, known: set[str], stand: int, n: int, rng: np.random.Generator
) -> list[str]:
    """Ids of `n` drops of a reason at random, each as likely as any other, without the `known` ones; fewer where there
    are no more. Of many they are not all kept in memory, and as a rule not all read."""
    if not n:
        return []
    if stand <= _READ_WHOLE:
        fresh = [d.id for d in records.find(Drop, loop, reason=reason, undone=False) if d.id not in known]
        return [fresh[i] for i in rng.choice(len(fresh), size=min(n, len(fresh)), replace=False).tolist()]
    found: dict[str, None] = {}  # most positions hold one of a common reason
    positions = rng.integers(1, records.head(Drop, loop) + 1, _TRIES)
    for at in positions.tolist():
        hit = records.find(Drop, loop, reason=reason, position=range(at, at + 1))
        found |= {drop.id: None for drop in hit if not drop.undone and drop.id not in known}
        if len(found) == n:
            return list(found)
    return [drop.id for drop in _reservoir(records, loop, reason, known, n, rng)]


def _reservoir(
    records: Records, loop: str, reason: str | None, without: Collection[str], n: int, rng: np.random.Generator
) -> list[Drop]:
    """`n` drops at random out of one pass over all (Vitter 1985, "Random sampling with a reservoir", algorithm R)."""
    kept: list[Drop] = []
    seen = 0
    for batch in records.scan(Drop, loop, batch=_LOOKED_AT_ONCE):
        for _, drop in batch:
            if drop.undone or (reason is not None and drop.reason != reason) or drop.id in without:
                continue
            seen += 1
            if len(kept) < n:
                kept.append(drop)
            elif (at := int(rng.integers(seen))) < n:
                kept[at] = drop
    return kept


def judged(reason: str) -> bool:
    """Whether there is anything to be right or wrong about."""
    return reason not in _PERSONS_OWN


def answer(records: Records, loop: str, id: str, *, right: bool, by: str) -> DropAudit:
    """Write down what a person found; `id` is the audit's, or the drop's.

    Raises NotFound for what was not drawn, Conflict where somebody has answered otherwise.
    """
    found = records.get(DropAudit, id) or next(iter(records.find(DropAudit, loop, interaction=id)), None)
    if found is None or found.loop != loop:
        raise NotFound(f"no drop {id!r} was drawn for an audit; draw some first")
    if found.right is not None and found.right != right and found.by != by:
        was = "right" if found.right else "wrong"
        raise Conflict(f"{found.by or 'somebody'} has found drop {found.interaction!r} {was} already")
    told = replace(found, right=right, by=by, at=now())
    records.replace(told, *along())
    return told


def standings(records: Records, loop: str) -> list[Standing]:
    """For each reason there are drops or audits of: how many, and how right. The most drops first."""
    back = records.tally(Drop, loop, "reason", undone=True) if records.count(Drop, loop, undone=True) else {}
    counts = {reason: n - back.get(reason, 0) for reason, n in records.tally(Drop, loop, "reason").items()}
    audits: dict[str, list[DropAudit]] = {}
    for audit in records.find(DropAudit, loop):
        audits.setdefault(audit.reason, []).append(audit)
    return [
        _standing(reason, counts.get(reason, 0), back.get(reason, 0), audits.get(reason, []))
        for reason in sorted({*counts, *back, *audits}, key=lambda reason: (-counts.get(reason, 0), reason))
    ]


def doubted(records: Records, loop: str) -> tuple[str, ...]:
    """A sentence for each reason whose drops people found wrong too often; reads the audits alone."""
    audits: dict[str, list[DropAudit]] = {}
    for audit in records.find(DropAudit, loop):
        audits.setdefault(audit.reason, []).append(audit)
    found = (_standing(reason, 0, 0, of) for reason, of in sorted(audits.items()))
    return tuple(f"{one.reason}: {one.sentence()}" for one in found if one.doubted)


def shown(records: Records, drops: Sequence[Drop], audits: Sequence[DropAudit] = ()) -> list[Shown]:
    """Drops with what they are about and what they matched."""
    of = {audit.interaction: audit for audit in audits}
    found: list[Shown] = []
    for drop in drops:
        it, said = records.get(Interaction, drop.id), None
        if it is None:
            said = next(iter(records.find(FeedbackFields, id=drop.id)), None)
            it = records.get(Interaction, said.interaction) if said is not None else None
        twin = _matched(records, drop)
        audit = of.get(drop.id)
        found.append(Shown(
            drop=drop, input=it.input if it else None, output=it.output if it else None,
            feedback=_spoken(said) if said is not None else None, matched_input=twin.input if twin else None,
            audit=audit.id if audit else None, right=audit.right if audit else None,
        ))  # fmt: skip
    return found


def examples(records: Records, loop: str, reason: str | None, n: int, rng: np.random.Generator) -> list[Drop]:
    """`n` drops at random, of one reason or of all; each is as likely as any other."""
    kept = _reservoir(records, loop, reason, (), n, rng)
    if reason is not None and not kept:
        raise NotFound(f"nothing was left out for {reason!r}; there are: {_there(records, loop)}")
    return kept


def wrong(records: Records, loop: str, reason: str) -> list[str]:
    """The drops of a reason that people found wrong and that still stand."""
    return _standing_of(
        records, loop, reason,
        [a.interaction for a in records.find(DropAudit, loop, reason=reason) if a.right is False],
    )  # fmt: skip


def sampled(records: Records, loop: str, reason: str) -> list[str]:
    """All that was drawn of a reason, and still stands."""
    return _standing_of(records, loop, reason, [a.interaction for a in records.find(DropAudit, loop, reason=reason)])


def _standing_of(records: Records, loop: str, reason: str, ids: list[str]) -> list[str]:
    """Those of `ids` that are still dropped for that reason."""
    there = records.find(Drop, loop, id=ids) if ids else []
    stand = {drop.id for drop in there if not drop.undone and drop.reason == reason}
    return [id for id in ids if id in stand]


def _matched(records: Records, drop: Drop) -> Interaction | None:
    """The interaction a drop matched, where it names one: by its id, or by its input's fingerprint."""
    if not drop.matched:
        return None
    placed = records.find(Placement, drop.loop, id=drop.matched)
    return records.get(Interaction, placed[0].interaction if placed else drop.matched)


def _standing(reason: str, drops: int, undone: int, audits: Sequence[DropAudit]) -> Standing:
    answered = [audit for audit in audits if audit.right is not None]
    n, right = len(answered), sum(audit.right is True for audit in answered)
    share = exact(right, n) if n else None
    return Standing(
        reason=reason, drops=drops, undone=undone, open=len(audits) - n, n=n, right=right,
        estimate=share.estimate if share else None, low=share.low if share else None,
        high=share.high if share else None, doubted=share is not None and share.high < FLOOR,
    )  # fmt: skip


def _spoken(said: Feedback | FeedbackFields) -> str:
    value = getattr(said, "value", None)
    return f"{said.__struct_config__.tag} {value}"[:200]


def _there(records: Records, loop: str) -> str:
    return ", ".join(sorted(records.tally(Drop, loop, "reason", undone=False))) or "none"

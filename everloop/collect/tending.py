"""What is kept up to date beside the turn: diffs of corrections, silences, derived signals.

Each follows a log and remembers how far it has come in a `Mark`, a row like any other; its results and its mark are
written under a lease whose token fences late writers, so that it can be killed at any instruction, done twice or by
somebody else, and comes to the same.

What has to wait for a time is noted in the mark, a stretch of the log at a time, with the time to look at it again
(`Mark.ahead`). The notes are few, however much comes in. The window of an outcome runs by the clock of who sent the
interaction; one that says it is later than now, or more than ten years earlier, is not believed, and the window runs
from when we first saw it.
"""

import time as clock
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from msgspec.structs import replace

from everloop.collect.deriving import NEIGHBOURS, Rule, concluded, rules_of
from everloop.collect.diffs import compared
from everloop.collect.outcomes import silent, write_silences
from everloop.errors import Conflict, InvalidInput, LeaseLost
from everloop.ids import now
from everloop.store import Records
from everloop.types import Correction, Derived, FeedbackFields, Interaction, Lease, LoopSpec, Mark, Outcome, SignalSpec

BATCH = 500  # records read, and written, in one go
_ROUND = 20  # batches of each log in one call: a worker has other loops, too
_NOTES = 100  # a wait is divided into so many notes at most: so exact is when the rest of a stretch is looked at again
_BELIEVED = 10 * 365 * 86_400_000  # ms that a clock may be behind ours; many that are reset begin at 1970
_NEVER = _LAST = 2**62
_PAUSE, _PATIENCE = 0.1, 60.0  # seconds


class Tended(NamedTuple):
    """What one call did."""

    diffs: int = 0  # corrections that got their diff
    silences: int = 0  # windows that closed without a word
    derived: int = 0  # derived signals written
    more: bool = False  # there is more to do at once

    def and_(self, other: "Tended") -> "Tended":
        """Both together."""
        return Tended(self.diffs + other.diffs, self.silences + other.silences, self.derived + other.derived,
                      self.more or other.more)  # fmt: skip


def lease_name(loop: str) -> str:
    """The lease under which a loop's signals are kept up to date."""
    return f"signals:{loop}"


def tend(records: Records, spec: LoopSpec, owner: str, seconds: float = 30.0, time: int | None = None) -> Tended:
    """Do what there is to do for one loop, up to a bound; nothing if another worker is at it.

    `time` is what our clock says, in ms since 1970. Raises LeaseLost if it took so long that another worker has taken
    over.
    """
    time = now() if time is None else time
    if not _due(records, spec, time):
        return Tended()
    lease = records.lease(lease_name(spec.name), owner, seconds)
    if lease is None:
        return Tended()
    try:
        pen = _Pen(records, spec, lease, seconds)
        told = Tended()
        for declared in _silences(spec):
            told = told.and_(_close(pen, declared, time))
        return told.and_(_follow_feedback(pen)).and_(_settle_sessions(pen, time))
    finally:
        records.unlease(lease)


def declared_marks(records: Records, spec: LoopSpec, before: LoopSpec | None) -> list[Mark]:
    """Where the outcomes begin whose silence means something from this declaration on: at what comes from now on. To be
    written with it.

    Of what was asked before nobody knew that its outcome would be wanted, so that nobody saying it means nothing.
    """
    old = {one.name for one in _silences(before)} if before is not None else set()
    new = [one.name for one in _silences(spec) if one.name not in old]
    head = records.head(Interaction, spec.name) if new else 0
    return [Mark(id=_id(spec.name, f"silence:{name}"), loop=spec.name, position=head) for name in new]


def derive(records: Records, spec: LoopSpec, owner: str, names: Sequence[str] = (), *, seconds: float = 30.0,
           time: int | None = None, told: Callable[[int], None] = lambda _: None) -> dict[str, int]:  # fmt: skip
    """Derive a loop's signals anew over its whole history, by the rules `names` (all it has, if none are named); how
    many there are of each now.

    A rule that looks at the session leaves out interactions that have not settled yet. What no longer holds goes, and
    without `names` also what rules said that the loop has no more. `told` hears how many interactions each batch had.
    Memory does not grow with the history. Raises InvalidInput for a rule the loop does not have, Conflict if another
    worker is at it for more than a minute.
    """
    time = now() if time is None else time
    rules = rules_of(spec)
    if unknown := [name for name in names if name not in rules]:
        raise InvalidInput(f"loop {spec.name!r} does not derive {unknown[0]!r}; it derives: {', '.join(rules)}")
    chosen = {name: rules[name] for name in names or rules}
    with _waited_for(records, spec.name, owner, seconds) as lease:
        pen = _Pen(records, spec, lease, seconds)
        for batch in records.scan(Interaction, spec.name, batch=BATCH):
            pen.renew()
            pen.conclude([(p, it) for p, it in batch], chosen, lambda rule, it: it.at + rule.settle_s * 1000 <= time)
            told(len(batch))
        if not names:
            for gone in records.tally(Derived, spec.name, "rule").keys() - rules.keys():
                while ids := [one.id for one in records.find(Derived, spec.name, rule=gone, limit=BATCH)]:
                    records.delete(Derived, ids, fence=pen.lease)
        counted = records.tally(Derived, spec.name, "rule")
    return {name: counted.get(name, 0) for name in chosen}


class _Pen:
    """What writes one loop's results under a lease."""

    def __init__(self, records: Records, spec: LoopSpec, lease: Lease, seconds: float):
        self.records = records
        self.spec = spec
        self.lease = lease
        self._seconds = seconds

    def mark(self, what: str) -> Mark:
        """How far this pass has come."""
        id = _id(self.spec.name, what)
        return self.records.get(Mark, id) or Mark(id=id, loop=self.spec.name)

    def write(self, *made: Any) -> None:
        """Results and mark, in one transaction, unless somebody else has taken over."""
        self.records.replace(*made, fence=self.lease, unless_erased=True)

    def renew(self) -> None:
        """Hold the lease for longer; LeaseLost if it is another's."""
        lease = self.records.lease(self.lease.name, self.lease.owner, self._seconds)
        if lease is None or lease.token != self.lease.token:
            raise LeaseLost(f"another worker has taken over the signals of loop {self.spec.name!r}")
        self.lease = lease

    def conclude(self, placed: Sequence[tuple[int, Interaction]], rules: dict[str, Rule],
                 settled: Callable[[Rule, Interaction], bool], *also: Any) -> int:  # fmt: skip
        """Ask the rules about interactions, at their positions; write what they say, with `also`, and take out what
        they no longer say. How many are new."""
        ids = [it.id for _, it in placed]
        said = _by_interaction(self.records.find(FeedbackFields, interaction=ids) if ids else ())
        beside = _neighbours(self.records, self.spec.name, placed) if any(r.session for r in rules.values()) else {}
        made: list[Derived] = []
        asked: set[str] = set()
        for _, it in placed:
            fit = {name: rule for name, rule in rules.items() if not rule.session or settled(rule, it)}
            asked.update(f"{name}:{it.id}" for name in fit)
            made += concluded(fit, it, said.get(it.id, ()), beside.get(it.id, ()))
        there = {one.id: one for one in self.records.find(Derived, interaction=ids)} if ids else {}
        fresh = [one for one in made if there.get(one.id) != one]
        stale = (there.keys() & asked) - {one.id for one in made}
        if stale:
            self.records.delete(Derived, sorted(stale), fence=self.lease)
        if fresh or also:
            self.write(*fresh, *also)
        return len(fresh)


def _due(records: Records, spec: LoopSpec, time: int) -> bool:
    """Whether there is anything to do: a few lookups, so that an idle loop costs no lease."""
    marks = {mark.id: mark for mark in records.find(Mark, spec.name)}

    def mark(what: str) -> Mark:
        id = _id(spec.name, what)
        return marks.get(id, Mark(id=id, loop=spec.name))

    if records.head(FeedbackFields, spec.name) > mark("feedback").position:
        return True
    waiting = [mark(f"silence:{one.name}") for one in _silences(spec)]
    if any(rule.session for rule in rules_of(spec).values()):
        waiting.append(mark("session"))
    head = records.head(Interaction, spec.name) if waiting else 0
    return any(_seen(one) < head or any(look <= time for _, _, look in one.ahead) for one in waiting)


def _follow_feedback(pen: _Pen) -> Tended:
    """New feedback: corrections get their diff, and rules that need no session are asked of what concerns them."""
    records, mark = pen.records, pen.mark("feedback")
    rules = {name: rule for name, rule in rules_of(pen.spec).items() if not rule.session}
    diffs = derived = 0
    head = records.head(FeedbackFields, pen.spec.name)
    scan = records.scan(FeedbackFields, pen.spec.name, after=mark.position, upto=head, batch=BATCH)
    for number, batch in enumerate(scan, start=1):
        bare = [one for _, one in batch if isinstance(one, Correction) and one.distance is None]
        asked = {one.interaction for _, one in batch if any(rule.concerns(one) for rule in rules.values())}
        wanted = sorted({one.interaction for one in bare} | asked)
        about = {it.id: it for it in records.find(Interaction, id=wanted)} if wanted else {}
        made = [compared(one, about[one.interaction].output) for one in bare if one.interaction in about]
        made = [one for one in made if one.distance is not None]
        mark = Mark(id=mark.id, loop=mark.loop, position=batch[-1][0])
        derived += pen.conclude([(0, about[id]) for id in asked & about.keys()], rules, _any, *made, mark)
        diffs += len(made)
        if number == _ROUND:
            return Tended(diffs, 0, derived, more=True)
        pen.renew()
    return Tended(diffs, 0, derived)


def _settle_sessions(pen: _Pen, time: int) -> Tended:
    """Interactions that have settled: rules that look at the session are asked."""
    rules = {name: rule for name, rule in rules_of(pen.spec).items() if rule.session}
    if not rules:
        return Tended()
    wait = round(max(rule.settle_s for rule in rules.values()) * 1000)
    before = pen.mark("session")
    mark, head = before, pen.records.head(Interaction, pen.spec.name)
    if head > _seen(mark):
        ahead = list(mark.ahead)
        if len(ahead) > 1 and ahead[-1][2] - ahead[-2][2] < wait / _NOTES:
            ahead.pop()  # not far enough from the one before it to stand for itself
        mark = replace(mark, ahead=(*ahead, (head, time, time + wait)))
    upto = max((position for position, _, look in mark.ahead if look <= time), default=mark.position)
    derived = 0
    scan = pen.records.scan(Interaction, pen.spec.name, after=mark.position, upto=upto, batch=BATCH)
    for number, batch in enumerate(scan, start=1):
        before = mark = _moved(mark, batch[-1][0])
        derived += pen.conclude(batch, rules, _any, mark)
        if number == _ROUND:
            return Tended(0, 0, derived, more=True)
        pen.renew()
    mark = _moved(mark, upto)
    if mark != before:
        pen.write(mark)
    return Tended(0, 0, derived)


def _close(pen: _Pen, declared: SignalSpec, time: int) -> Tended:
    """One outcome whose silence means something: what is new is noted, what has closed is written."""
    wait = round((declared.window_s or 0) * 1000)
    before = pen.mark(f"silence:{declared.name}")
    head = pen.records.head(Interaction, pen.spec.name)
    ahead, written, start, more = [], 0, before.position, False
    for position, seen, look in before.ahead:
        if look <= time:
            wrote, again, _ = _look(pen, declared, start, position, seen, time)
            written += wrote
            ahead.append((position, seen, max(again, look + wait // _NOTES)))
        else:
            ahead.append((position, seen, look))
        start = position
    if head > start:
        wrote, look, reached = _look(pen, declared, start, head, time, time, most=_ROUND)
        written += wrote
        more = reached < head
        if ahead and look != _NEVER and abs(look - ahead[-1][2]) < wait / _NOTES:
            _, seen, earlier = ahead.pop()
            look = min(look, earlier)  # looked at on time for the first of them, and soon again for the others
        ahead.append((reached, time, look))
    mark = replace(before, ahead=tuple(ahead))
    while mark.ahead and mark.ahead[0][2] >= _NEVER:
        mark = _moved(mark, mark.ahead[0][0])
    if mark != before:
        pen.write(mark)
    return Tended(0, written, 0, more)


def _look(pen: _Pen, declared: SignalSpec, after: int, upto: int, seen: int, time: int,
          most: int = _LAST) -> tuple[int, int, int]:  # fmt: skip
    """Write the silences of a stretch that have closed: (how many, when the first of the others closes, how far it came
    in `most` batches)."""
    wait = round((declared.window_s or 0) * 1000)
    written, again, reached = 0, _NEVER, upto
    scan = pen.records.scan(Interaction, pen.spec.name, after=after, upto=upto, batch=BATCH)
    for number, batch in enumerate(scan, start=1):
        closed = []
        for _, it in batch:
            believed = seen - _BELIEVED <= it.at <= seen
            look = (it.at if believed else seen) + wait + 1  # what happens in the window's last ms still counts
            if look <= time:
                closed.append(it)
            else:
                again = min(again, look)
        if closed:
            said = pen.records.find(Outcome, interaction=[it.id for it in closed])
            written += write_silences(pen.records, silent(closed, said, declared, pen.spec, time))
        pen.renew()
        if number == most:
            reached = batch[-1][0]
            break
    return written, again, reached


def _silences(spec: LoopSpec) -> list[SignalSpec]:
    return [one for one in spec.signals if one.kind == "outcome" and one.silence is not None and one.window_s]


def _id(loop: str, what: str) -> str:
    return f"{loop}:{what}"


def _seen(mark: Mark) -> int:
    return mark.ahead[-1][0] if mark.ahead else mark.position


def _moved(mark: Mark, position: int) -> Mark:
    """The mark with everything up to `position` done."""
    ahead = tuple(note for note in mark.ahead if note[0] > position)
    return replace(mark, position=max(position, mark.position), ahead=ahead)


def _any(*_: Any) -> bool:
    return True


def _by_interaction(feedback: Iterable[FeedbackFields]) -> dict[str, list[Any]]:
    found: defaultdict[str, list[Any]] = defaultdict(list)
    for item in feedback:
        found[item.interaction].append(item)
    return found


def _neighbours(records: Records, loop: str, placed: Sequence[tuple[int, Interaction]]) -> dict[str, list[Interaction]]:
    """For each interaction of a stretch of the log the others of its session, those nearest by arrival, by their time.

    Two lookups for each session of the stretch, whatever their length: one on either side of it.
    """
    sessions: defaultdict[tuple[str, str], list[tuple[int, Interaction]]] = defaultdict(list)
    for position, it in placed:
        if it.session is not None:
            sessions["session", it.session].append((position, it))
        elif it.subject is not None:
            sessions["subject", it.subject].append((position, it))
    beside: dict[str, list[Interaction]] = {}
    for (field, value), mine in sessions.items():
        where: dict[str, Any] = {field: value}
        first, last = mine[0][0], mine[-1][0]
        before = records.find(Interaction, loop, newest=True, limit=NEIGHBOURS, position=range(first), **where)
        after = records.find(Interaction, loop, limit=NEIGHBOURS, position=range(last + 1, _LAST), **where)
        row = [*reversed(before), *(it for _, it in mine), *after]
        for number, (_, it) in enumerate(mine, start=len(before)):
            near = row[max(0, number - NEIGHBOURS) : number] + row[number + 1 : number + 1 + NEIGHBOURS]
            if field == "subject":  # who has a session is in that one
                near = [other for other in near if other.session is None]
            beside[it.id] = sorted(near, key=lambda other: (other.at, other.id))
    return beside


@contextmanager
def _waited_for(records: Records, loop: str, owner: str, seconds: float) -> Iterator[Lease]:
    """The lease on a loop's signals, once a worker that has it is done."""
    until = clock.monotonic() + _PATIENCE
    while (lease := records.lease(lease_name(loop), owner, seconds)) is None:
        if clock.monotonic() > until:
            raise Conflict(f"another worker keeps the signals of loop {loop!r} up to date; try again soon")
        clock.sleep(_PAUSE)
    try:
        yield lease
    finally:
        records.unlease(lease)


__all__ = ["Tended", "declared_marks", "derive", "lease_name", "tend"]

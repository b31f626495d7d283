"""What a user holds: a wheel (an installation) and its loops. Everything here is a few lines over the stages."""

import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Any

import msgspec

from everloop import collect, curate, deploy, reading
from everloop.auditing import along, unchanged
from everloop.checking import check
from everloop.collect import Live
from everloop.collect.consent import stored
from everloop.collect.incoming import check_input, check_label, imported_label
from everloop.collect.monitoring import DAYS, SignalsHealth, health
from everloop.collect.tending import Tended, declared_marks, derive, tend
from everloop.curate.reasons import taken_back
from everloop.declaring import declared
from everloop.errors import Conflict, EverloopError, InvalidInput, LeaseLost, NotFound
from everloop.ids import new_id, now
from everloop.loop import advance, evidence_lease, open_turn
from everloop.redact import BUILT_IN
from everloop.report import Check, Point, Status, TurnReport
from everloop.settings import Settings
from everloop.store import Erased, Receipt, Store, open_store
from everloop.turn.opinions import predictor
from everloop.turn.workbench import Workbench
from everloop.types import (
    Annotation,
    Drop,
    Feedback,
    Input,
    Interaction,
    Lease,
    LoopSpec,
    Model,
    Placement,
    Release,
    Review,
    Turn,
)

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_REFRESH_SECONDS = 0.25  # how long an answer may come from a model that another process has just replaced
_MAX_NAME = 200  # characters of who answers a review
_PAUSE = 0.1  # seconds between two looks at what another worker does
_UNUSED_MS = 24 * 3_600_000  # how long an attachment that was sent ahead waits for its interaction
_ERASE_SECONDS = 120.0  # how long an erasure waits for a dataset version to be finished


def open(home: str | os.PathLike[str] | None = None, *, settings: Settings | None = None) -> "Wheel":
    """Open the installation in folder `home` (default ./.everloop), making it if it is not there.

    Raises StoreTooNew if a newer Everloop wrote it, StoreError if the folder can't be used.
    """
    return Wheel(settings or Settings.load(home=None if home is None else os.fspath(home)))


class Wheel:
    """One installation: its loops, and the store behind them. Safe to use from several threads."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self.store: Store = open_store(settings.folder)
        self.door = collect.Door(
            collect.Pseudonyms.of_folder(settings.folder),
            recognisers=BUILT_IN if settings.redact else (),
            max_input_bytes=settings.max_input_bytes,
            keeper=collect.Keeper(self.store.blobs, self.store.uses, settings.max_attachment_bytes),
            preferences=collect.Preferences(self.store.records),
        )
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{new_id()[-6:]}"
        self._loops: dict[str, Loop] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> "Wheel":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Finish what was submitted and close the store; a turn at work here goes on elsewhere."""
        with self._lock:
            loops = list(self._loops.values())
        with suppress(EverloopError):  # closed already, or a full disk: the leases run out by themselves
            for loop in loops:
                loop.let_go()
        self.store.close()

    def loop(self, name: str, **declaration: Any) -> "Loop":
        """Declare a loop, or change what is declared; without a declaration, the loop as it is, made if absent.

        `declaration` takes the fields of `LoopSpec`: task, signal, capability, outcome, goal, labels, trainer (a Spec
        or a name), policy (a Policy or a mapping of the fields that differ from the default). Raises InvalidInput with
        one line for a field or value that can't be.
        """
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise InvalidInput(f"loop name {name!r}: use lower-case letters, digits, '-' and '_', at most 63")
        there = self.store.records.get(LoopSpec, name)
        if there is None or declaration:
            spec = declared(there or LoopSpec(name=name, at=now()), declaration)
            if spec != there:
                self.store.records.replace(spec, *declared_marks(self.store.records, spec, there), *along())
            else:
                unchanged()
        return self.get(name)

    def get(self, name: str) -> "Loop":
        """The loop of that name; NotFound lists those there are."""
        spec = self.store.records.get(LoopSpec, name)
        if spec is None:
            there = ", ".join(loop.name for loop in self.loops()) or "none"
            raise NotFound(
                f"no loop called {name!r}; there are: {there}. Declare it with: everloop init {name} --task classify"
            )
        with self._lock:
            return self._loops.setdefault(name, Loop(self, name))

    def loops(self) -> list["Loop"]:
        """Every loop, by name."""
        specs = sorted(self.store.records.find(LoopSpec), key=lambda spec: spec.name)
        with self._lock:
            return [self._loops.setdefault(spec.name, Loop(self, spec.name)) for spec in specs]

    def feedback(self, items: Sequence[Feedback]) -> "Future[list[Receipt]]":
        """Hand feedback on any loop to the next group commit; the future resolves once it is durable."""
        return self.store.records.submit(list(items))

    def interaction(self, id: str) -> Interaction:
        """One interaction; NotFound if there is none with that id."""
        found = self.store.records.get(Interaction, id)
        if found is None:
            raise NotFound(f"no interaction {id!r} in {self.settings.home}")
        return found

    def forget(self, subject: str) -> Erased:
        """Erase a person: interactions and their attachments, feedback, what hangs on them, examples in every version.

        Waits for a turn that is just putting a dataset version together; raises Conflict if that takes too long. What
        they said of the use of their data stays, under their pseudonym, so that nothing later is used against it.
        """
        with self._evidence_held():
            erased = self.store.records.erase(self._pseudonym(subject))
        self.sweep()
        return erased

    def sweep(self) -> int:
        """Delete attachments that nobody uses: of erased people, and what was sent and never used; how many."""
        return self.store.uses.sweep(self.store.blobs.delete, now() - _UNUSED_MS)

    def consent(self, subject: str, **allows: bool | None) -> collect.Preferred:
        """What a person allows from now on: improve=False, share=True; None goes back to the default.

        What is forbidden goes out of the consent of all their interactions, too, and counts from the next turn on.
        Without any: what was said so far. Raises InvalidInput for another purpose, Conflict as `forget` does.
        """
        if not allows:
            return collect.prefer(self.store.records, self._pseudonym(subject), {})
        with self._evidence_held():
            return collect.prefer(self.store.records, self._pseudonym(subject), allows)

    def _pseudonym(self, subject: str) -> str:
        if not isinstance(subject, str):
            raise InvalidInput(f"subject: expected a text, got {type(subject).__name__}")
        return self.door.pseudonyms.of(subject) or subject

    @contextmanager
    def _evidence_held(self) -> Iterator[None]:
        """Meanwhile nobody puts a dataset version together, or erases a person, or changes their consent."""
        held: list[Lease] = []
        until = time.monotonic() + _ERASE_SECONDS
        owner = f"{self.owner} forget {new_id()}"  # its own: another erasure in this process must not let go of it
        try:
            for loop in self.loops():
                name = evidence_lease(loop.name)
                while (lease := self.store.records.lease(name, owner, _ERASE_SECONDS)) is None:
                    if time.monotonic() > until:
                        raise Conflict(f"loop {loop.name!r} is putting a dataset version together; try again soon")
                    time.sleep(0.1)
                held.append(lease)
            yield
        finally:
            for lease in held:
                self.store.records.unlease(lease)


class LoopReader:
    """What can be read of a loop."""

    def __init__(self, wheel: Wheel, name: str):
        self.wheel = wheel
        self.name = name
        self.records = wheel.store.records

    @property
    def spec(self) -> LoopSpec:
        """What is declared, as it is in the store now."""
        found = self.records.get(LoopSpec, self.name)
        if found is None:
            raise NotFound(f"no loop called {self.name!r}")
        return found

    def report(self, number: int | None = None) -> TurnReport:
        """The report of a turn, by default the last one."""
        return reading.turn_report(self.wheel.store, self.name, number)

    def reports(self) -> list[TurnReport]:
        """Every turn's report, oldest first."""
        return reading.turn_reports(self.wheel.store, self.name)

    def curve(self) -> list[Point]:
        """The live model's capability after each turn, with its interval."""
        return reading.curve(self.reports())

    def status(self) -> Status:
        """Where the loop stands now."""
        return reading.status(self.wheel.store, self.spec)

    def check(self) -> Check:
        """Is it a flywheel, or does it only accumulate? Each arrow of its sentence against the evidence so far."""
        return check(self.wheel.store, self.spec)

    def reviews(self, state: str = "open", limit: int | None = None) -> list[Review]:
        """The queue, most urgent first."""
        found = self.records.find(Review, self.name, state=state)
        return sorted(found, key=lambda review: (-review.priority, review.turn, review.id))[:limit]

    def signals(self, days: float = DAYS) -> SignalsHealth:
        """How well its declared signals come in."""
        return health(self.wheel.store, self.spec, days)

    def models(self) -> list[Model]:
        """Every model version, oldest first."""
        return self.records.find(Model, self.name)

    def releases(self) -> list[Release]:
        """Every release, oldest first."""
        return self.records.find(Release, self.name)


class Loop(LoopReader):
    """One flywheel: predict, take feedback, turn, report."""

    def __init__(self, wheel: Wheel, name: str):
        super().__init__(wheel, name)
        self._bench = Workbench(wheel.store, wheel.owner, wheel.settings.lease_seconds)
        self._turning = threading.Lock()
        self._tending = threading.Lock()
        self._live: tuple[float, str | None, Live | None] = (-1.0, None, None)
        self._loading = threading.Lock()

    def answer(self, input: Input, **given: Any) -> Interaction:
        """The live model's answer, not stored. `given` may be subject, session, context, id, consent, at.

        Raises InvalidInput for a chat loop: it has no model of its own.
        """
        spec = self.spec
        if spec.task == "chat":
            raise InvalidInput(
                f"loop {self.name!r} is a chat loop, which its variants answer: ask it as an OpenAI client does, POST "
                f'/v1/chat/completions with "model": "loop:{self.name}"'
            )
        return collect.answer(spec, self.live(), {"input": input, **given}, self.wheel.door)

    def predict(self, input: Input, **given: Any) -> Interaction:
        """Answer and store; durable on return. An id that was answered before gets the answer it got then.

        Without consent to "service" nothing is stored, and the id says so.
        """
        made = self.answer(input, **given)
        if not stored(made):
            return made
        known = given.get("id") and self.records.get(Interaction, made.id)
        if known:
            if (known.input, known.loop) != (made.input, made.loop):
                raise Conflict(f"interaction {made.id!r} is there already with another input")
            return known
        self.records.put(made)
        return made

    def log(self, input: Input, output: str | None = None, *, label: str | None = None, split: str | None = None,
            **given: Any) -> Interaction:  # fmt: skip
        """Store an answer that was given elsewhere; with `label`, also what is right. Durable on return."""
        return self.log_many([{"input": input, "output": output, "label": label, "split": split, **given}])[0]

    def log_many(self, rows: Iterable[Mapping[str, Any]]) -> list[Interaction]:
        """Store many (fields of an interaction, and label, split) in one commit: all or none."""
        spec = self.spec
        made: list[Interaction] = []
        writes: list[msgspec.Struct] = []
        for number, row in enumerate(rows, start=1):
            if not isinstance(row, Mapping):
                raise InvalidInput(f"row {number}: expected the fields of an interaction, got {type(row).__name__}")
            fields = {k: v for k, v in row.items() if k not in ("label", "split")}
            it = collect.build_interaction(spec, fields, self.wheel.door)
            made.append(it)
            if not stored(it):
                continue
            writes.append(it)
            if row.get("label") is not None:
                check_label(row["label"], spec.labels, self.name)
                writes.append(imported_label(spec, it, row["label"], row.get("split"), self.wheel.door))
        if writes:
            self.records.put(*writes)
        return made

    def feedback(self, interaction: str, *, hold: bool = False, id: str | None = None, subject: str | None = None,
                 rationale: str | None = None, seconds: float | None = None, **said: Any) -> Receipt:  # fmt: skip
        """Feedback on an interaction, or on the newest of a trace: one of thumb=, correction=, label=, rating=,
        comment=, outcome=, implicit=, …, and the fields of that kind: implicit="skip", position=3.

        Durable on return. Raises NotFound for an unknown interaction, unless `hold` says that it will arrive later.
        """
        kind, fields = collect.said(said)
        if not isinstance(interaction, str):
            raise InvalidInput(f"say the interaction's id (answer.id), not {type(interaction).__name__}")
        known = self.records.get(Interaction, interaction)
        found = [known] if known else self.records.find(Interaction, trace=interaction, newest=True, limit=1)
        if not found and not hold:
            raise NotFound(f"no interaction {interaction!r} in {self.wheel.settings.home}; if it arrives later: hold")
        if found and found[0].loop != self.name:
            raise NotFound(f"interaction {interaction!r} is of loop {found[0].loop!r}, not of {self.name!r}")
        extra = {"id": id, "subject": subject, "rationale": rationale, "seconds": seconds}
        given = {**fields, "kind": kind, "interaction": interaction,
                 **{k: v for k, v in extra.items() if v is not None}}  # fmt: skip
        return self.records.put(collect.heard(given, self.wheel.door, self.spec, known))[0]

    def annotate(self, review: str, value: str, *, annotator: str = "me", rationale: str | None = None,
                 seconds: float | None = None) -> Annotation:  # fmt: skip
        """One person's answer to a review, which is then done. Answering again replaces that person's answer."""
        found = self.records.get(Review, review)
        if found is None or found.loop != self.name:
            raise NotFound(f"no review {review!r} in loop {self.name!r}; see: everloop review {self.name}")
        check_label(value, self.spec.labels, self.name)
        if not (0 < len(annotator) <= _MAX_NAME and annotator.isprintable()):
            raise InvalidInput(f"annotator: must be 1 to {_MAX_NAME} printable characters")
        said: dict[str, Any] = {"value": value, "rationale": rationale}
        self.wheel.door.clean(said, ("rationale",) if self.spec.labels else ("value", "rationale"))
        note = Annotation(
            id=f"{review}.{annotator}", loop=self.name, review=review, interaction=found.interaction,
            annotator=annotator, seconds=seconds, at=now(), **said,
        )  # fmt: skip
        self.records.replace(note, msgspec.structs.replace(found, state="done"), *along())
        return note

    def advance(self, trigger: str | None = None) -> str | None:
        """Do the next step of the turn, if there is one to do; its name. See `everloop.loop.advance`."""
        with self._turning:
            return advance(self._bench, self.spec, trigger)

    def tend(self) -> Tended:
        """Keep up to date what is kept beside the turn: diffs of corrections, silences, derived signals."""
        with self._tending:  # threads of one wheel are one owner: the first to end would take the lease from the others
            return tend(self.records, self.spec, self.wheel.owner, self.wheel.settings.lease_seconds)

    def derive(self, *rules: str, told: Callable[[int], None] = lambda _: None) -> dict[str, int]:
        """Derive its signals anew over all its history, by `rules` or by all it has; how many there are of each."""
        seconds = self.wheel.settings.lease_seconds
        owner = f"{self.wheel.owner} derive {new_id()}"  # its own: the worker of this process is to wait, too
        return derive(self.records, self.spec, owner, rules, seconds=seconds, told=told)

    def let_go(self) -> None:
        """Leave the turn to other workers: a step still at work here writes nothing."""
        self._bench.let_go()

    def turn(self, told: Callable[[Turn], None] = lambda _: None) -> TurnReport:
        """Open a turn by hand if none is open, go on until it is closed, and report it.

        A worker or another thread that is at it already is helped, not fought: each step is done by one of them, and
        no turn is begun beyond this one. `told` hears of the turn before each step.
        """
        with suppress(LeaseLost):  # to a worker that goes on with it
            while self.tend().more:
                pass
        number = self._begun().number
        while (turn := open_turn(self.wheel.store, self.name)) is not None and turn.number == number:
            told(turn)
            try:
                moved = self.advance() is not None  # without a trigger: if the turn was just closed, none is begun
            except LeaseLost:
                moved = False
            if not moved:
                time.sleep(_PAUSE)
        self.live(fresh=True)
        return self.report(number)

    def _begun(self) -> Turn:
        """The open turn: this caller's, or the one that somebody else began."""
        while (turn := open_turn(self.wheel.store, self.name)) is None:
            try:
                self.advance("hand")
            except (Conflict, LeaseLost):
                time.sleep(_PAUSE)
        return turn

    def undo(self, interaction: str) -> Drop:
        """Take a drop back: its rule no longer applies to this interaction, from the next turn on."""
        drop = self.records.get(Drop, interaction)
        if drop is None or drop.loop != self.name:
            raise NotFound(f"nothing was dropped of interaction {interaction!r}")
        undone = taken_back(drop)
        self.records.replace(undone, *along())
        return undone

    def seal(self, inputs: Iterable[Input]) -> int:
        """Make test inputs untouchable: an equal input is never learned from. Only fingerprints are kept; how many."""
        inputs = list(inputs)
        for value in inputs:
            check_input(value, self.wheel.settings.max_input_bytes)
        given = [{"input": value} for value in inputs]
        for fields in given:
            self.wheel.door.clean(fields, ("input",))  # what they are compared with has been redacted, too
        marks = {curate.fingerprint(fields["input"]) for fields in given}
        self.records.replace(*(
            Placement(id=mark, loop=self.name, interaction="", group=mark, split="test", turn=0) for mark in marks
        ))  # fmt: skip
        return len(marks)

    def rollback(self, to: str | None = None, *, by: str = "hand", reason: str = "") -> Release:
        """Put the model before (or model `to`, an id or the first 8 characters of one) live again, at once."""
        made = deploy.roll_back(self.name, self.releases(), self.models(), to, by, reason)
        self.records.replace(*made, *along())
        self.live(fresh=True)
        return made[-1]

    def live(self, fresh: bool = False) -> Live | None:
        """The model that answers now, loaded; None while the loop abstains. Swapped between requests, never in one."""
        checked, _, found = self._live
        if not fresh and time.monotonic() - checked < _REFRESH_SECONDS:
            return found
        with self._loading:
            asked = time.monotonic()
            checked, release_id, found = self._live  # another thread may have looked while this one waited
            if not fresh and asked - checked < _REFRESH_SECONDS:
                return found
            release = deploy.live(self.records.find(Release, self.name, newest=True, limit=16)[::-1])
            if release is None or release.model is None:
                found = None
            elif release.id != release_id:
                model = self.records.get(Model, release.model)
                if model is None:
                    raise EverloopError(f"release {release.id} names model {release.model}, which is not in the store")
                found = Live(model.id, predictor(self.wheel.store, model))
            self._live = (asked, release.id if release else None, found)
            return found


__all__ = ["Loop", "Wheel", "open"]

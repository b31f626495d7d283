"""The path that takes things in: predict, log after the fact, feedback. What it acknowledges is durable.

Nothing here waits on the event loop: records go to the store's group commit and the reply waits for its future, so a
thousand requests share one flush to disk. Work that takes longer than about a millisecond goes to a thread.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any, NamedTuple

import msgspec

from everloop.collect import build_interaction, hear, may_hold, parse_lines
from everloop.collect.consent import IGNORED, NOT_STORED, signalled, stored, under_gpc
from everloop.collect.incoming import Line, check_label, imported_label
from everloop.errors import Conflict, EverloopError, InvalidInput, StoreError, UserError
from everloop.server.access import restricted
from everloop.server.bodies import Answer, PredictRequest, Refused, Taken
from everloop.server.commits import Commits
from everloop.server.wire import NDJSON, BadRequest, Call, Reply, decode, lines, one_line, reason, reply
from everloop.types import Interaction, LoopSpec
from everloop.wheel import Loop, Wheel

LONG_BODY = 64 * 1024  # bytes from which a batch is parsed in a thread, so that it holds up nobody
SLOW = 0.001  # seconds of computing from which a model answers in a thread
BATCH = 2_000  # records handed to one group commit: a big batch must not keep the others waiting
DECLARED_SECONDS = 0.25  # how long a change of labels or declared signals may take to be noticed
NOTHING_LEARNED = "nothing learned yet: send labels or corrections"
_LINES = NDJSON.decode()
HELD = "held: its interaction has not arrived yet; it is joined when it comes"

# An object a client sent, as the records to write: the first one is what the receipt is about.
Build = Callable[[dict[str, Any]], list[msgspec.Struct]]


class Entry(NamedTuple):
    """One line of a batch: the records to write, or what is wrong with it."""

    line: int
    records: list[msgspec.Struct]
    error: str = ""


class Ingest:
    """Handlers of everything that comes in."""

    def __init__(self, wheel: Wheel, threads: Executor):
        self._wheel = wheel
        self._records = wheel.store.records
        self._commits = Commits(wheel.store.records)
        self._threads = threads
        self._pace: dict[str, float] = {}  # seconds a loop's model computes for one answer, smoothed
        self._declared: tuple[float, Mapping[str, LoopSpec]] = (-1.0, {})

    async def predict(self, call: Call) -> Reply:
        """Answer with the live model; 200 only once the interaction is on disk."""
        asked = decode(call.body, PredictRequest)
        loop = self._wheel.get(call.params["name"])
        if signalled(call.header("sec-gpc")):
            asked = msgspec.structs.replace(asked, consent=under_gpc(asked.consent))
        heavy = may_hold(call.body)  # attachments are written to the disk
        if asked.id is not None:
            look = self._answered
            known = await self._in_thread(look, loop, asked) if heavy else look(loop, asked)
            if known is not None:
                return _answer(known)
        # An unknown pace counts as slow: the first answer loads the model.
        if heavy or self._pace.get(loop.name, 1.0) > SLOW:
            made = await self._in_thread(self._compute, loop, asked)
        else:
            made = self._compute(loop, asked)
        if not stored(made):
            return _answer(made)
        try:
            await self._commits.write([made])
        except Conflict:  # the same id from two requests at once: the first one's answer stands
            known = self._answered(loop, asked)
            if known is None:
                raise
            return _answer(known)
        return _answer(made)

    async def log(self, call: Call) -> Reply:
        """Interactions that were answered elsewhere, one or many, with the right label where it is known."""
        loop = self._wheel.get(call.params["name"])
        spec, opted_out = loop.spec, signalled(call.header("sec-gpc"))

        def build(given: dict[str, Any]) -> list[msgspec.Struct]:
            label, split = given.pop("label", None), given.pop("split", None)
            if opted_out:
                given["consent"] = under_gpc(given.get("consent"))
            made = build_interaction(spec, given, self._wheel.door)
            if not stored(made):  # a client that brought an id looks for its receipt
                return [msgspec.structs.replace(made, id=given["id"])] if given.get("id") else [made]
            if label is None:
                return [made]
            check_label(label, spec.labels, spec.name)
            return [made, imported_label(spec, made, label, split, self._wheel.door)]

        return await self._take(call, build, may_hold(call.body))

    async def feedback(self, call: Call) -> Reply:
        """Feedback of any kind on any loop, one or many."""
        build = self._opted_out_feedback if signalled(call.header("sec-gpc")) else self._feedback
        return await self._take(call, restricted(build, call.key), heavy=False)

    def _opted_out_feedback(self, given: dict[str, Any]) -> list[msgspec.Struct]:
        return self._feedback({**given, "consent": under_gpc(given.get("consent"))})

    def _feedback(self, given: dict[str, Any]) -> list[msgspec.Struct]:
        return [hear(given, self._wheel.door, self._records, self._specs())]

    def _specs(self) -> Mapping[str, LoopSpec]:
        """Every loop's declaration by name."""
        checked, found = self._declared
        if time.monotonic() - checked > DECLARED_SECONDS:
            found = {spec.name: spec for spec in self._records.find(LoopSpec)}
            self._declared = (time.monotonic(), found)
        return found

    def _compute(self, loop: Loop, asked: PredictRequest) -> Interaction:
        started = time.thread_time()
        made = loop.answer(
            asked.input, subject=asked.subject, session=asked.session, context=asked.context, id=asked.id,
            consent=asked.consent,
        )  # fmt: skip
        took = time.thread_time() - started
        self._pace[loop.name] = 0.8 * self._pace.get(loop.name, took) + 0.2 * took
        return made

    def _answered(self, loop: Loop, asked: PredictRequest) -> Interaction | None:
        """The answer an id got before; Conflict if it was another question."""
        known = self._records.get(Interaction, asked.id or "")
        if known is None or (known.input, known.loop) == (asked.input, loop.name):
            return known
        fields = {"input": asked.input, "consent": ()}  # what is stored went through the door; this is not to be stored
        if known.loop != loop.name or build_interaction(loop.spec, fields, self._wheel.door).input != known.input:
            raise Conflict(f"interaction {asked.id!r} is there already with another input")
        return known

    async def _take(self, call: Call, build: Build, heavy: bool) -> Reply:
        """One object, or one a line; `heavy`: what they become is built in a thread."""
        if call.media != _LINES:
            try:
                given = msgspec.json.decode(call.body)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                if not _several(call.body):
                    raise reason(error, call.body) from None
            else:
                return await self._take_one(given, build, heavy)
        heavy = heavy or len(call.body) > LONG_BODY
        entries = await self._in_thread(_entries, call.body, build) if heavy else _entries(call.body, build)
        if not entries:
            raise BadRequest("the body is empty; send one JSON object, or one a line")
        return await self._take_many(entries)

    async def _take_one(self, given: Any, build: Build, heavy: bool) -> Reply:
        if not isinstance(given, dict):
            raise InvalidInput(f"send one JSON object, or one a line (NDJSON), not {_named(given)}")
        records = await self._in_thread(build, given) if heavy else build(given)
        first: Any = records[0]
        if not stored(first):
            return reply(Taken(first.id, "ignored", IGNORED))
        state = (await self._commits.write(records))[0]
        taken = Taken(first.id, state, HELD if state == "held" else None)
        return reply(taken, {"new": 201, "known": 200, "held": 202}[state])

    async def _take_many(self, entries: Sequence[Entry]) -> Reply:
        good = [entry for entry in entries if not entry.error and stored(entry.records[0])]
        states: dict[int, str | EverloopError] = {}
        for start in range(0, len(good), BATCH):
            chunk = good[start : start + BATCH]
            written = await asyncio.gather(*(self._commits.write(e.records) for e in chunk), return_exceptions=True)
            for entry, receipts in zip(chunk, written, strict=True):
                if isinstance(receipts, BaseException) and not isinstance(receipts, EverloopError):
                    raise receipts
                states[entry.line] = receipts if isinstance(receipts, EverloopError) else receipts[0]
        failures = [state for state in states.values() if isinstance(state, StoreError)]
        if failures and len(failures) == len(good):
            raise failures[0]  # nothing was written: the whole request failed
        out: list[Taken | Refused] = []
        for entry in entries:
            state = states.get(entry.line, InvalidInput(entry.error) if entry.error else "ignored")
            if isinstance(state, EverloopError):
                out.append(Refused(entry.line, one_line(state)))
            else:
                out.append(Taken(entry.records[0].id, state))  # type: ignore[attr-defined,arg-type]
        refused = sum(isinstance(line, Refused) for line in out)
        return lines(out, 200 if not refused else 422 if refused == len(out) else 207)

    async def _in_thread(self, work: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *args)


def _answer(made: Interaction) -> Reply:
    abstained = made.output is None
    note = NOT_STORED if not stored(made) else NOTHING_LEARNED if abstained else msgspec.UNSET
    return reply(Answer(made.id, made.output, made.confidence, made.alternatives, made.model, abstained, note))


def _entries(body: bytes, build: Build) -> list[Entry]:
    try:
        return [_entry(line, build) for line in parse_lines(body.removeprefix(b"\xef\xbb\xbf"))]
    except RecursionError:
        raise BadRequest("the body is nested too deeply") from None


def _entry(line: Line, build: Build) -> Entry:
    if line.value is None:
        return Entry(line.number, [], line.error or "not an object")
    try:
        return Entry(line.number, build(line.value))
    except UserError as error:
        return Entry(line.number, [], one_line(error))


def _several(body: bytes) -> bool:
    """Whether a body that is not one JSON value is several: then its first line is one by itself."""
    first, _, rest = body.strip().partition(b"\n")
    if not rest:
        return False
    try:
        msgspec.json.decode(first)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _named(value: Any) -> str:
    return {list: "an array", str: "a text", type(None): "null", bool: "a boolean"}.get(type(value), "a number")

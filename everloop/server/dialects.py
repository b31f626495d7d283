"""What other tools' clients say here, kept as feedback: who it is about, and writing it so that a later word counts.

Those tools upsert: the same id (or name, span and identifier) sent again replaces what was said before, where our own
API answers that it is in conflict. So what is new goes to the group commit like all feedback, and only a conflict
takes the slower path that overwrites.
"""

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any, NamedTuple

import msgspec

from everloop.collect.consent import signalled, stored, under_gpc
from everloop.collect.hearing import heard
from everloop.errors import Conflict, EverloopError
from everloop.interop.judgement import Declared
from everloop.server.commits import Commits
from everloop.server.wire import BadRequest, Call, Forbidden, reason
from everloop.store import Receipt
from everloop.types import FeedbackFields, Interaction, Key, LoopSpec
from everloop.wheel import Wheel

OBJECT = dict[str, Any]  # what the documentation says of bodies whose shape is another tool's
SPECS_SECONDS = 0.25  # how long a change of what a loop declares may take to be noticed
REMEMBERED = 50_000  # spans that are no model's answer, and ids that feedback waits for
MOST = 5_000  # things said in one request: a batch must not keep the others waiting


class About(NamedTuple):
    """What something is said of."""

    interaction: str
    loop: str | None  # None: it has not arrived yet
    declared: Declared
    only: str = ""  # the one loop that the key is for
    known: Interaction | None = None  # it, where its own id was said


Said = list[dict[str, Any]]  # the fields of one judgement's feedback, its own first


class Hearing:
    """Where the handlers of all dialects keep what they hear."""

    def __init__(self, wheel: Wheel, threads: Executor):
        self.wheel = wheel
        self.records = wheel.store.records
        self.commits = Commits(wheel.store.records)
        self._threads = threads
        self._specs: tuple[float, dict[str, LoopSpec]] = (-1.0, {})
        self._lock = threading.Lock()
        self._others: OrderedDict[str, str] = OrderedDict()  # spans that are no model's answer -> their trace
        self._awaited: OrderedDict[str, None] = OrderedDict()  # what feedback was said of before it came
        remember(self._awaited, {one.interaction: None for one in self.records.held()})

    @property
    def specs(self) -> dict[str, LoopSpec]:
        """What the loops declare, by name."""
        read, found = self._specs
        if time.monotonic() - read > SPECS_SECONDS:
            found = {spec.name: spec for spec in self.records.find(LoopSpec)}
            self._specs = (time.monotonic(), found)
        return found

    def about(self, ids: Sequence[str], key: Key | None) -> About:
        """The first of `ids` (of interactions or traces) that is known; else the first, for which feedback is held.

        A key of one loop is kept to it: Forbidden.
        """
        only = key.loop if key is not None else ""
        with self._lock:
            ids = [id for id in ids if id not in self._others] or [self._others[ids[0]]]
        for id in ids:
            known = self.records.get(Interaction, id)
            found = known or next(iter(self.records.find(Interaction, trace=id, newest=True, limit=1)), None)
            if found is not None:
                bind(key, found.loop)
                spec = self.specs.get(found.loop)
                names = declared([spec] if spec else [], spec.labels if spec else ())
                return About(id, found.loop, names, only, known)
        # Whose it is nobody knows yet: a name that any loop declares as an outcome is not taken for anything else.
        with self._lock:
            remember(self._awaited, {ids[0]: None})
        return About(ids[0], None, declared(self.specs.values()), only)

    def elsewhere(self, spans: Mapping[str, str]) -> bool:
        """These spans (id -> trace) are no model's answer: what is said of one is put to its trace from now on.

        True if something was said of one before, which `put_right` puts to the trace too.
        """
        with self._lock:
            remember(self._others, spans)
            return any(id in self._awaited for id in spans)

    def put_right(self, spans: Mapping[str, str]) -> None:
        """Put feedback that waits for one of these spans to its trace (blocks)."""
        waiting = [one for one in self.records.held() if one.interaction in spans]
        if waiting:
            self.records.replace(*(
                msgspec.structs.replace(one, interaction=spans[one.interaction],
                                        context={**one.context, "span": one.interaction})
                for one in waiting
            ))  # fmt: skip
        with self._lock:
            for id in spans:
                self._awaited.pop(id, None)

    async def keep(self, said: Sequence[tuple[Said, About]], call: Call) -> list[Receipt | EverloopError]:
        """Write each; how it went, in the same order. Raises the StoreError if the store failed for all of them."""
        out: list[Receipt | EverloopError] = []
        groups = [self._built(fields, about, call) for fields, about in said]
        waiting = [
            None if isinstance(group, EverloopError) or not stored(group[0]) else self.commits.write(group)
            for group in groups
        ]
        written = await asyncio.gather(*(one for one in waiting if one is not None), return_exceptions=True)
        results = iter(written)
        for group in groups:
            if isinstance(group, EverloopError):
                out.append(group)
                continue
            if not stored(group[0]):  # there is no consent to keep it: heard, and forgotten
                out.append("known")
                continue
            result = next(results)
            if isinstance(result, Conflict):
                out.append(await self.in_thread(self.overwrite, group))
            elif isinstance(result, EverloopError):
                out.append(result)
            elif isinstance(result, BaseException):
                raise result
            else:
                if result[0] == "known":
                    await self.in_thread(self.tidy, group)
                out.append(result[0])
        return out

    def build(self, fields: Said, about: About, call: Call) -> list[Any]:
        """The records of one judgement that came with `call`; InvalidInput for one that can't be."""
        specs = self.specs
        if signalled(call.header("sec-gpc")):
            fields = [{**one, "consent": under_gpc(one.get("consent"))} for one in fields]
        spec, chat = specs.get(about.loop or ""), any(one.task == "chat" for one in specs.values())
        made = [heard(one, self.wheel.door, spec, about.known, chat) for one in fields]
        # Feedback that names its loop joins there alone: what a key of one loop says ahead reaches no other.
        return [msgspec.structs.replace(one, loop=about.only) for one in made] if about.only else made

    def _built(self, fields: Said, about: About, call: Call) -> list[Any] | EverloopError:
        try:
            return self.build(fields, about, call)
        except EverloopError as error:
            return error

    def overwrite(self, group: Sequence[Any]) -> Receipt | EverloopError:
        """Put a judgement in the place of what was said under its id (blocks)."""
        try:
            for one in group:
                there = self.records.get(FeedbackFields, one.id) if one.loop else None
                if there is not None and there.loop not in {None, one.loop}:
                    raise Conflict(f"feedback {one.id!r} is of another loop")
            self.records.replace(*group)
            self.tidy(group)
        except EverloopError as error:
            return error
        return "new"

    def tidy(self, group: Sequence[Any]) -> None:
        """Take away the reason of what was said before, where the new one has none of its own (blocks)."""
        reason_id = f"{group[0].id}.comment"
        if len(group) == 1 and self.records.get(FeedbackFields, reason_id) is not None:
            self.records.delete(FeedbackFields, [reason_id])

    async def in_thread(self, work: Callable[..., Any], *args: Any) -> Any:
        """Do blocking work beside the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *args)

    def loop_of(self, named: Sequence[Any], key: Key | None) -> LoopSpec:
        """The loop that a thing without one is of: the first of `named` that is a loop, the key's, or the only one."""
        specs = self.specs
        for name in named:
            if isinstance(name, str) and name in specs:
                bind(key, name)
                return specs[name]
        if key is not None and key.loop:
            return self.wheel.get(key.loop).spec
        if len(specs) == 1:
            return next(iter(specs.values()))
        raise BadRequest(f"say which loop it is for, in metadata.loop; there are: {', '.join(sorted(specs)) or 'none'}")


def declared(specs: Any, labels: tuple[str, ...] = ()) -> Declared:
    """What loops declare between them."""
    names = {signal.name for spec in specs for signal in spec.signals if signal.kind == "outcome"}
    return Declared(frozenset(names | {spec.outcome for spec in specs if spec.outcome}), labels)


def remember(where: OrderedDict[Any, Any], what: Mapping[Any, Any]) -> None:
    """Put `what` at the end; the oldest make room."""
    for id, value in what.items():
        where[id] = value
        where.move_to_end(id)
    while len(where) > REMEMBERED:
        where.popitem(last=False)


def bind(key: Key | None, loop: str) -> None:
    """Forbidden if the key is for another loop."""
    if key is not None and key.loop and key.loop != loop:
        raise Forbidden(f"key {key.id} is for loop {key.loop} alone")


def body_of(call: Call) -> Any:
    """The body as JSON."""
    try:
        return msgspec.json.decode(call.body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise reason(error, call.body) from None


def limited(given: Sequence[Any]) -> None:
    """BadRequest for more than one request may say."""
    if len(given) > MOST:
        raise BadRequest(f"{len(given):,} in one request; send at most {MOST:,}")

"""The client: `log` and `feedback` return at once, threads of its own do the rest."""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import msgspec

from everloop.client.bell import Bell
from everloop.client.campaigns import Campaigns
from everloop.client.counts import Counts, Stats
from everloop.client.events import (
    Event,
    Priority,
    check_priorities,
    feedback_event,
    interaction_event,
    rank_of,
    said,
)
from everloop.client.holding import Holding
from everloop.client.lifetimes import unwatch, watch
from everloop.client.memory import Memory
from everloop.client.predicting import Answer, predict
from everloop.client.sender import Sender
from everloop.client.spool import Spool
from everloop.client.transport import Http, Transport
from everloop.errors import InvalidInput
from everloop.types import Input

log = logging.getLogger("everloop.client")

LARGEST = 1_000_000  # bytes of an event beyond which no server takes it
EXIT_SECONDS = 5.0  # what the end of the process waits for the last batch, at most
ADOPT_SECONDS = 60.0  # how often the rooms of processes that are gone are looked for


class Client:
    """Sends interactions and feedback to the Everloop server at `url` from threads of its own, in batches.

    `log` and `feedback` return an id within microseconds and never raise for trouble with the network or the server;
    for a mistake of the caller, such as a kind of feedback there is not, they raise InvalidInput with one line. Without
    a spool, events wait in at most `max_memory` bytes, the oldest of the lowest class is dropped when it is full, and
    what is unsent when the process is killed is lost. With a spool they are on disk; then a critical event costs one
    fsync at the call.

    A batch goes after `batch_seconds`, or sooner at `batch_lines` or `batch_bytes`. What fails is tried again after
    0.1 to 120 s, longer each time and by chance, or after what the server asks for. What the server refuses for good
    is set aside, counted and logged once for each reason. Ids are made here, so nothing is taken twice.

    `key` is sent as a bearer token. `priorities` maps "interaction" and kinds of feedback to "critical", "normal" or
    "bulk". Any number of threads may use a client, and asyncio too; a forked child starts with an empty one, its
    parent sends what it had; a child that ends by `os._exit`, as those of multiprocessing do, has to close it. Use it
    in a `with` or `async with`, or call `close`; the end of the process flushes it for five seconds at most.

    With `campaigns` (and a spool, which keeps their budgets) an interaction is sent only if a campaign of the server
    asks for it, or is critical; every `campaign_seconds` the server is asked what campaigns there are. Feedback is sent
    with the interaction it speaks of, but for what is implicit: that goes where its interaction goes. What was not
    asked for stays in at most `recent_bytes` of memory for ten minutes, as it may be in the window before a takeover.

    >>> with Client("http://127.0.0.1:9", loop="support", close_seconds=0) as client:
    ...     answer = client.log("my card has not arrived", "card_arrival", confidence=0.8)
    ...     _ = client.feedback(answer, thumb="up")
    ...     client.stats().waiting
    2
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        loop: str | None = None,
        spool: Spool | None = None,
        priorities: Mapping[str, Priority] | None = None,
        max_memory: int = 32 << 20,
        batch_lines: int = 500,
        batch_bytes: int = 512 << 10,
        batch_seconds: float = 0.5,
        timeout: float = 30.0,
        close_seconds: float = EXIT_SECONDS,
        transport: Transport | None = None,
        campaigns: bool = False,
        campaign_seconds: float = 300.0,
        recent_bytes: int = 8 << 20,
    ) -> None:
        if campaigns and spool is None:
            raise InvalidInput("campaigns need a spool, so that no restart gives their budgets back: Spool(folder)")
        self._transport = transport or Http(url, key)
        self._loop = loop
        self._spool = spool
        self._priorities = check_priorities(priorities or {})
        self._max_memory = max_memory
        self._batches = {"lines": batch_lines, "most_bytes": batch_bytes, "seconds": batch_seconds, "timeout": timeout}
        self._close_seconds = close_seconds
        self._asking = {"seconds": campaign_seconds, "max_bytes": recent_bytes} if campaigns else None
        self._closed = False
        self._afresh()
        watch(self)
        if spool is not None and (campaigns or spool.waiting().events):
            self._start()  # what an earlier life left must not wait for something new

    def _afresh(self) -> None:
        """Empty, and with no thread: what a new client is, and a forked one."""
        self._stale = False
        self._starting = threading.RLock()
        self._progress = threading.Condition()
        self._wake = Bell()
        self._threads: list[threading.Thread] = []
        self._counts = self._spool.counts if self._spool is not None else Counts()
        self._holding: Holding = self._spool or Memory(self._max_memory, self._counts)
        self._sender = Sender(
            self._holding, self._transport, self._counts, time.monotonic, **self._batches  # type: ignore[arg-type]
        )  # fmt: skip
        self._look = Bell()
        self._campaigns: Campaigns | None = None
        if self._asking is not None and self._spool is not None:
            self._campaigns = Campaigns(
                self._spool.folder, self._transport, self._counts, **self._asking  # type: ignore[arg-type]
            )  # fmt: skip
            if self._loop is not None:
                self._campaigns.ask_for(self._loop)

    def log(
        self,
        input: Input,
        output: str | None = None,
        *,
        loop: str | None = None,
        id: str | None = None,
        priority: Priority | None = None,
        second: Mapping[str, Any] | None = None,
        **given: Any,
    ) -> str:
        """Log an answer that was given; its id, for feedback. Other fields of an interaction, and label, as keywords.
        `second`: what other models would have answered, by name: an output, or an object with output and confidence.

        Raises InvalidInput for what is not an interaction; nothing else.
        """
        rank = rank_of(priority, "interaction", self._priorities)
        fields = {**given, "input": input, "output": output, "id": id}
        if second is not None:
            context = given.get("context") or {}
            if not (isinstance(second, Mapping) and isinstance(context, Mapping)):
                raise InvalidInput('second: what others say, by name: {"shadow": "left"}; and context is an object')
            fields["context"] = {**context, "second": second}
        event = interaction_event(loop or self._loop, fields, rank)
        if self._campaigns is None:
            return self._enqueue(event)
        name = loop or self._loop or ""
        seen = {key: value for key, value in fields.items() if value is not None}
        return self._weigh(event, name, lambda on: on.interaction(event, name, {**seen, "id": event.id}, rank == 0))

    def feedback(self, interaction: str, *, priority: Priority | None = None, **given: Any) -> str:
        """Say what an answer was worth: one of thumb=, rating=, vote=, correction=, intervention=, implicit=,
        outcome=, comment=, label=, demonstration=, with that kind's fields as keywords; its id.

        Raises InvalidInput for a kind or field there is not; nothing else.
        """
        kind, fields = said(given)
        rank = rank_of(priority, kind, self._priorities)
        event = feedback_event(interaction, kind, fields, rank)
        if self._campaigns is None:
            return self._enqueue(event)
        seen, direct = {**fields, "kind": kind}, kind != "implicit" or rank == 0
        return self._weigh(
            event, self._loop, lambda on: on.feedback(event, interaction, self._loop, seen, direct)
        )  # fmt: skip

    def _weigh(self, event: Event, loop: str | None, see: Callable[[Campaigns], list[Event]]) -> str:
        """Let campaigns see it, and send what is to be sent now; the rest comes when the spool is written next."""
        if not self._threads or self._stale:
            self._start()
        campaigns = self._campaigns
        if campaigns is None or self._closed:
            return self._enqueue(event)
        if loop is not None and campaigns.ask_for(loop):
            self._look.ring()
        self._counts.add("entered")
        for one in see(campaigns):
            self._put(one)
        if campaigns.waiting and self._spool is not None and not self._spool.dirty.rung:
            self._spool.dirty.ring()
        return event.id

    def _admit(self) -> None:
        """Send what campaigns may have."""
        if self._campaigns is not None:
            for event in self._campaigns.admit():
                self._put(event)

    def _enqueue(self, event: Event) -> str:
        if not self._threads or self._stale:
            self._start()
        self._counts.add("entered")
        self._put(event)
        return event.id

    def _put(self, event: Event) -> None:
        counts = self._counts
        if self._closed:
            counts.lose("dropped", event.rank)
        elif len(event.body) > LARGEST:
            counts.add("refused")
            log.error("event %s has %d bytes: no server takes it", event.id, len(event.body))
        else:
            first = self._holding.put(event)
            if first or (not self._wake.rung and self._sender.full(*self._holding.waiting())):
                self._wake.ring()

    def _start(self) -> None:
        """Start the threads, once a process."""
        with self._starting:
            if self._stale:
                if self._spool is not None:
                    self._spool.reopen()
                self._afresh()
            if self._threads or self._closed:
                return
            made = [threading.Thread(target=self._send, name="everloop-client", daemon=True)]
            if self._spool is not None:
                made.append(threading.Thread(target=self._write, name="everloop-spool", daemon=True))
            if self._campaigns is not None:
                made.append(threading.Thread(target=self._follow, name="everloop-campaigns", daemon=True))
            self._threads = made
            for thread in made:
                with suppress(RuntimeError):  # the process is ending and starts no threads: what is held is spooled
                    thread.start()

    def _send(self) -> None:
        sender, progress, wake = self._sender, self._progress, self._wake
        while not self._closed:
            try:
                wait = sender.step()
            except Exception:  # whatever it is, the product goes on and so does this
                log.exception("the client stumbled; it goes on in a second")
                wait = 1.0
            with progress:
                progress.notify_all()
            if wait != 0:
                wake.wait(wait)

    def _write(self) -> None:
        spool = self._spool
        assert spool is not None
        looked = time.monotonic()
        while not self._closed:
            if spool.dirty.wait(1.0):
                time.sleep(spool.group_seconds)
            try:
                self._admit()
                spool.sync()
                if time.monotonic() - looked > ADOPT_SECONDS:
                    looked = time.monotonic()
                    spool.adopt()
            except Exception:
                log.exception("the spool stumbled; it goes on in a second")
                time.sleep(1.0)

    def _follow(self) -> None:
        campaigns, look = self._campaigns, self._look
        assert campaigns is not None
        while not self._closed:
            try:
                wait = campaigns.look(metered=1 not in self._holding.allowed())
            except Exception:
                log.exception("the campaigns stumbled; they go on in a minute")
                wait = 60.0
            look.wait(wait)

    def predict(
        self,
        input: Input,
        *,
        loop: str | None = None,
        timeout: float = 10.0,
        id: str | None = None,
        subject: str | None = None,
        session: str | None = None,
        context: Mapping[str, Any] | None = None,
        consent: tuple[str, ...] | None = None,
    ) -> Answer:
        """Ask the live model and wait for it; the interaction is stored by the server.

        Raises Unreachable if no answer comes within `timeout` seconds, NotFound for a loop there is not, InvalidInput
        for an input it can't take. With an `id` of yours it can be asked again.
        """
        given = {"id": id, "subject": subject, "session": session, "context": context, "consent": consent}
        name = loop or self._loop
        answer = predict(self._transport, name, input, given, timeout)
        if self._campaigns is not None and name:  # the server has it; what is around it may still be asked for
            fields = {"id": answer.id, "input": input, "output": answer.output, "confidence": answer.confidence}
            seen = interaction_event(name, {**fields, "alternatives": answer.alternatives, "session": session}, 1)
            self._campaigns.interaction(seen, name, msgspec.json.decode(seen.body), direct=True)
        return answer

    def flush(self, timeout: float | None = 30.0) -> bool:
        """Wait until everything logged so far has been taken by the server, refused or dropped; False on timeout.

        What a metered network holds back is not waited for. `timeout` in seconds; None waits for ever.
        """
        until = None if timeout is None else time.monotonic() + timeout
        if self._stale:
            return True  # nothing logged in this process yet
        again = True
        self._admit()
        if self._holding.waiting().events:
            self._start()
        target = self._holding.latest()
        while True:
            oldest = self._holding.oldest(self._holding.allowed())
            if oldest is None or oldest > target:
                return True
            left = 1.0 if until is None else until - time.monotonic()
            if left <= 0 or self._closed:
                return False
            with self._progress:
                self._sender.hurry(again)
                again = False
                self._wake.ring()
                self._progress.wait(min(left, 0.1))

    async def aflush(self, timeout: float | None = 30.0) -> bool:
        """`flush`, without blocking the event loop."""
        import asyncio  # who awaits this has it loaded already

        return await asyncio.to_thread(self.flush, timeout)

    def stats(self) -> Stats:
        """What became of every event so far."""
        if self._stale:
            self._start()
        found = self._counts.stats(*self._holding.waiting())
        if self._campaigns is not None:
            found = msgspec.structs.replace(found, campaigns=self._campaigns.states())
        return found

    def close(self, timeout: float | None = None) -> None:
        """Flush for `timeout` seconds (as the client was made: 5) and stop. A spool keeps what is left, memory can't:
        that is dropped, counted and logged. A second call does nothing; what is logged later is dropped."""
        if self._closed:
            return
        if not self._stale:
            self.flush(self._close_seconds if timeout is None else timeout)
        self._closed = True
        unwatch(self)
        self._wake.ring()
        self._look.ring()
        with self._progress:
            self._progress.notify_all()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(0.5)
        if self._stale:
            return
        if isinstance(self._holding, Memory):
            left = self._holding.empty()
            if left:
                log.warning("closed with %d events unsent; a Spool would have kept them", left)
        elif self._spool is not None:
            self._spool.close()
        self._transport.close()

    def _forked(self) -> None:
        """In a child: the threads and the events are the parent's."""
        self._stale = True
        self._starting = threading.RLock()
        self._transport.forget()
        if self._spool is not None:
            self._spool.abandon()

    def _exit(self) -> None:
        self.close(min(self._close_seconds, EXIT_SECONDS))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        import asyncio

        await asyncio.to_thread(self.close)

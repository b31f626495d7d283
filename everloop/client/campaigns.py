"""Which of the things a device sees it sends: what a campaign asks for, with what came before and after it.

Nothing here has a thread. `interaction` and `feedback` are called where the product logs, take microseconds and touch
no disk; `admit`, called soon after by whoever writes the spool, settles what campaigns may still send, puts that on
disk, and only then hands out the events. What is lost in between was charged and not sent: a budget is never exceeded.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from everloop.client.counts import Counts
from everloop.client.events import RANKS, Event
from everloop.client.granting import Granting, Inside, Later, Moment, Running, Wish
from everloop.client.ledger import NOTED, Ledger, Unwritable, running
from everloop.client.predicates import Moment as Fields
from everloop.client.recent import Recent, Seen
from everloop.client.subscription import Subscription
from everloop.client.transport import Transport
from everloop.errors import InvalidInput

log = logging.getLogger("everloop.client")

MOST_WISHES = 5000  # that wait to be admitted: more within a fifth of a second are not meant
MOST_WINDOWS = 64  # open at a time
_TOLD = 100


class Campaigns:
    """The campaigns of a device over what it saw lately. Any thread; `look` and `admit` one at a time each."""

    def __init__(
        self, folder: Path, transport: Transport, counts: Counts, *, seconds: float, max_bytes: int,
        clock: Callable[[], float] = running, ledger: Ledger | None = None,
    ) -> None:  # fmt: skip
        self._counts = counts
        self._clock = clock
        self._ledger = ledger or Ledger(folder, clock=clock)
        self._subscription = Subscription(folder, transport, seconds, clock)
        self._recent = Recent(max_bytes)
        self._lock = threading.RLock()  # a signal handler may log while its thread is in here
        self._admitting = threading.Lock()
        self._wishes: list[Wish] = []
        self._open: deque[Moment] = deque()
        self._running: dict[str, tuple[Running, ...]] = {}
        self._refused: dict[str, str] = {}
        self._told: set[str] = set()
        self._follow()

    def ask_for(self, loop: str) -> bool:
        """Take part in this loop's campaigns; whether that is news, and `look` has something to do."""
        return self._subscription.add(loop)

    def look(self, metered: bool = False) -> float:
        """Ask the server what campaigns there are if it is time to; seconds until it is again."""
        heard = self._subscription.step(metered)
        if heard is not None:
            if heard.new:
                self._follow()
            keys = [one.key for several in self._running.values() for one in several]
            self._ledger.heard(heard.time, keys)
        else:
            self._ledger.note()
        self._tell(self._ledger.trouble())
        return min(self._subscription.wait(), NOTED / 1000)

    def _follow(self) -> None:
        """Take part in those that are known, and in no others. A predicate this device can't read is refused."""
        running: dict[str, tuple[Running, ...]] = {}
        refused: dict[str, str] = {}
        for loop, said in self._subscription.known.items():
            made = []
            for campaign in said.campaigns:
                try:
                    made.append(Running(campaign))
                except InvalidInput as error:
                    refused[f"{loop}/{campaign.id}"] = f"refused: {error}"
                    self._tell(f"campaign {campaign.id!r} version {campaign.version} is ignored: {error}")
            running[loop] = tuple(sorted(made, key=lambda one: (RANKS[one.campaign.priority], one.campaign.id)))
        self._running, self._refused = running, refused

    def states(self) -> dict[str, str]:
        """Where each campaign stands on this device, in words, by "loop/id"."""
        found = dict(self._refused)
        for several in self._running.values():
            for one in several:
                over = "over" if self._ledger.over(one.campaign.until) else None
                found[one.key] = over or self._ledger.peek(one.key, one.campaign) or "active"
        return found

    def interaction(self, event: Event, loop: str, fields: Fields, direct: bool) -> list[Event]:
        """See an interaction; it comes back if it is to be sent now. `direct`: whatever campaigns say."""
        consent = fields.get("consent")
        with self._lock:
            seen = Seen(event, loop, fields.get("session"), consent is None or "improve" in consent, self._clock())
            if not self._recent.add(seen):
                return self._again(event, direct)
            if direct:
                seen.paid = ""
            else:
                self._counts.add("unasked")
            if seen.may:
                around = tuple(self._around(seen)) if self._open else ()
                if matched := self._matching(loop, fields, on_feedback=False):
                    self._wish(Moment(matched, seen, event.id, seen.when))
                if around and not direct:
                    self._wish(Inside(seen, around))
        return [event] if direct else []

    def _again(self, event: Event, direct: bool) -> list[Event]:
        """An id that was seen already is the same interaction: it goes once, as it was said first."""
        self._counts.add("unasked")
        seen = self._recent.get(event.id)
        if seen is None or not direct or seen.paid is not None:
            return []
        seen.paid = ""
        return [seen.event._replace(rank=event.rank)]

    def feedback(self, event: Event, about: str, loop: str | None, fields: Fields, direct: bool) -> list[Event]:
        """See feedback; what is to be sent now. With `direct` it is sent whatever campaigns say, and the interaction it
        speaks of with it: one teaches nothing without the other. Without, it goes where its interaction goes."""
        sent: list[Event] = []
        with self._lock:
            seen = self._recent.get(about)
            paid = seen.paid if seen is not None else None
            matched = self._on_feedback(seen, seen.loop if seen is not None else loop, about, fields)
            moment = Moment(matched, seen, about, self._clock()) if matched else None
            if fields.get("kind") == "intervention":
                event = _with_window(event, fields, matched)
            if direct or paid == "":
                if direct and seen is not None and paid is None:
                    seen.paid = ""
                    sent += [seen.event._replace(rank=min(event.rank, seen.event.rank)), *seen.said]
                    self._counts.add("unasked", -len(sent))
                sent.append(event)
            else:
                self._counts.add("unasked")
                if seen is not None and paid is None:
                    self._recent.say(seen, event)
                elif moment is not None:
                    moment.said = event
                elif seen is not None:
                    for one in self._running.get(seen.loop, ()):
                        if one.key == paid:
                            self._wish(Later(event, one))
            if moment is not None:
                self._wish(moment)
        return sent

    def _on_feedback(self, seen: Seen | None, loop: str | None, about: str, said: Fields) -> tuple[Running, ...]:
        if loop is None or (seen is not None and not seen.may):
            return ()
        if not any(one.asks.on_feedback for one in self._running.get(loop, ())):
            return ()
        known: dict[str, Any] = msgspec.json.decode(seen.event.body) if seen is not None else {"id": about}
        return self._matching(loop, {**known, "feedback": said}, on_feedback=True)

    def _matching(self, loop: str, fields: Fields, on_feedback: bool) -> tuple[Running, ...]:
        return tuple([
            one for one in self._running.get(loop, ())
            if (one.asks.on_feedback or not on_feedback)
            and one.asks.test(fields)
            and not self._ledger.over(one.campaign.until)
            and self._ledger.peek(one.key, one.campaign) is None
        ])  # fmt: skip

    def _around(self, seen: Seen) -> list[Moment]:
        """The moments whose windows are open for it."""
        while self._open and self._open[0].until < seen.when:
            self._open.popleft()
        return [moment for moment in self._open if seen.when <= moment.until and moment.around(seen)]

    def _wish(self, wish: Wish) -> None:
        if len(self._wishes) >= MOST_WISHES:
            return
        self._wishes.append(wish)
        if isinstance(wish, Moment) and wish.until > wish.when:
            if len(self._open) >= MOST_WINDOWS:
                self._open.popleft()
            self._open.append(wish)

    @property
    def waiting(self) -> bool:
        """Whether there is something to admit."""
        return bool(self._wishes)

    def admit(self) -> list[Event]:
        """What of the wishes may be sent. Its cost is on disk; a disk that would not take it sends nothing."""
        with self._admitting:
            with self._lock:
                wishes, self._wishes = self._wishes, []
            if not wishes:
                return []
            granting: Granting | None = None
            try:
                with self._ledger.open() as book:
                    granting = Granting(self._ledger, book, self._recent)
                    with self._lock:
                        for wish in wishes:
                            granting.grant(wish)
            except Unwritable as error:
                self._tell(f"campaigns send nothing while what they use can't be written: {error}")
                if granting is not None:
                    with self._lock:
                        granting.undo()
                return []
            self._tell(self._ledger.trouble())
            self._counts.add("unasked", -len(granting.out))
            return granting.out

    def _tell(self, line: str | None) -> None:
        if line is not None and line not in self._told and len(self._told) < _TOLD:
            self._told.add(line)
            log.error("%s (said once)", line)


def _with_window(event: Event, fields: Fields, matched: tuple[Running, ...]) -> Event:
    """A takeover says how much around it is kept, if campaigns keep some and the product has not said it."""
    before = max((one.campaign.before_s for one in matched), default=0.0)
    after = max((one.campaign.after_s for one in matched), default=0.0)
    if not (before or after) or "before_s" in fields or "after_s" in fields:
        return event
    body = {**msgspec.json.decode(event.body), "before_s": before, "after_s": after}
    return event._replace(body=msgspec.json.encode(body))


__all__ = ["Campaigns"]

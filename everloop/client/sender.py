"""What is sent when, and what becomes of it. No thread and no clock of its own: whoever has one calls `step`."""

import logging
import random
from collections.abc import Callable, Sequence

from everloop.client.counts import Counts
from everloop.client.holding import ALL, Held, Holding
from everloop.client.replies import Receipts, Refusal, judge
from everloop.client.transport import NDJSON, Transport, Unreachable

log = logging.getLogger("everloop.client")

FIRST, LONGEST = 0.1, 120.0  # seconds of backoff: the first and the last bound
MEND = 60.0  # seconds between tries at least when the key is wrong
HOUR = 3600.0  # a Retry-After beyond this is not believed
METERED = 5.0  # seconds after which a metered network is asked about again
_TOLD = 100  # reasons logged once each, at most


class Sender:
    """Takes batches from a holding to a transport, and waits longer each time that fails, by chance up to a bound."""

    def __init__(
        self,
        holding: Holding,
        transport: Transport,
        counts: Counts,
        clock: Callable[[], float],
        *,
        lines: int = 500,
        most_bytes: int = 512 << 10,
        seconds: float = 0.5,
        timeout: float = 30.0,
        chance: random.Random | None = None,
    ) -> None:
        self._holding = holding
        self._transport = transport
        self._counts = counts
        self._clock = clock
        self._lines = lines
        self._most_bytes = most_bytes
        self._seconds = seconds
        self._timeout = timeout
        self._chance = chance or random.Random()  # noqa: S311 (spreads retries, keeps no secret)
        self._since: float | None = None  # when the first of what waits was noticed
        self._failures = 0
        self._not_before = 0.0
        self._asked = False  # the server itself asked for the wait
        self._hurry = False
        self._refusals = 0
        self._told: set[str] = set()

    def full(self, count: int, size: int) -> bool:
        """Whether so much waits that it need not wait for company."""
        return count >= self._lines or size >= self._most_bytes

    def hurry(self, again: bool) -> None:
        """Make the next step not wait for company; `again`: nor for its backoff, if that is not the server's wish."""
        self._hurry = True
        if again and not self._asked:
            self._not_before = 0.0

    def step(self) -> float | None:
        """Send one batch if it is time to; seconds until there is something to do, None if nothing waits."""
        ranks = self._holding.allowed()
        count, size = self._holding.waiting(ranks)
        if not count:
            self._since, self._hurry = None, False
            return METERED if ranks != ALL else None
        now = self._clock()
        if self._since is None:
            self._since = now
        if now < self._not_before:
            return self._not_before - now
        if not (self._hurry or self.full(count, size)) and now < self._since + self._seconds:
            return self._since + self._seconds - now
        self._hurry = False
        held = self._holding.take(self._lines, self._most_bytes, ranks)
        back = list(held)
        try:
            back = self._send_all(held)
        finally:
            if back:
                self._holding.give_back(back)
        if not back:
            self._since = None
        return max(0.0, self._not_before - self._clock())

    def _send_all(self, held: Sequence[Held]) -> list[Held]:
        """Send by path; what has to be sent again."""
        by_path: dict[str, list[Held]] = {}
        for one in held:
            by_path.setdefault(one.event.path, []).append(one)
        back: list[Held] = []
        for path, batch in by_path.items():
            back += batch if self._clock() < self._not_before else self._send(path, batch)
        return back

    def _send(self, path: str, batch: Sequence[Held]) -> list[Held]:
        try:
            body = b"\n".join([one.event.body for one in batch])
            reply = self._transport.post(path, body, NDJSON, self._timeout)
        except Unreachable as error:
            return self._failed(batch, str(error))
        found = judge(reply, [one.event.id for one in batch])
        if isinstance(found, Receipts):
            self._reached()
            return self._receive(path, batch, found)
        if isinstance(found, Refusal):
            self._reached()
            if len(batch) == 1 or found.status == 404:
                for one in batch:
                    self._set_aside(one, found.why)
                return []
            half = len(batch) // 2  # too large together, or one of them spoils it for all
            back = self._send(path, batch[:half])
            return back + (list(batch[half:]) if back else self._send(path, batch[half:]))
        return self._failed(batch, found.why, found.wait, found.mend)

    def _receive(self, path: str, batch: Sequence[Held], found: Receipts) -> list[Held]:
        taken = [batch[i] for i in found.taken]
        self._counts.add("sent", len(taken))
        self._counts.add("known", found.known)
        self._holding.settle(taken)
        if len(batch) == 1:
            for i, why in found.refused:
                self._set_aside(batch[i], why)
            return []
        # A line can be refused for what is wrong with it or for a disk that filled up just then, and the reply does not
        # tell: one of each reason is sent once more, alone, and then its status does.
        by_reason: dict[str, list[Held]] = {}
        for i, why in found.refused:
            by_reason.setdefault(why, []).append(batch[i])
        back: list[Held] = []
        for why, alike in by_reason.items():
            refusals = self._refusals
            back += alike[:1] if back else self._send(path, alike[:1])
            if self._refusals == refusals:
                back += alike[1:]
                continue
            for one in alike[1:]:
                self._set_aside(one, why)
        return back

    def _set_aside(self, held: Held, why: str) -> None:
        self._refusals += 1
        self._counts.add("refused")
        self._holding.refuse(held, why)
        if why not in self._told and len(self._told) < _TOLD:
            self._told.add(why)
            log.error("refused, and not sent again: %s (event %s; said once)", why, held.event.id)

    def _reached(self) -> None:
        if self._failures:
            log.info("the server answers again")
        self._failures, self._not_before, self._asked = 0, 0.0, False
        self._counts.trouble = None

    def _failed(self, batch: Sequence[Held], why: str, wait: float | None = None, mend: bool = False) -> list[Held]:
        self._counts.add("failures")
        if not self._failures:
            log.warning("not sent, will be tried again: %s", why)
        self._counts.trouble = why
        # Who is not let in needs a person: that is tried ever more rarely, once an hour in the end.
        first, longest = (MEND, HOUR) if mend else (FIRST, LONGEST)
        bound = min(longest, first * 2.0 ** min(self._failures, 32))
        pause = self._chance.uniform(MEND if mend else 0.0, bound)
        self._failures += 1
        self._asked = wait is not None
        self._not_before = self._clock() + max(pause, min(wait or 0.0, HOUR))
        return list(batch)

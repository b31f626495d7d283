"""Which campaigns there are: asked of the server now and then, and kept, so that a device that is dark knows them."""

import logging
import os
import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec

from everloop.client import segments
from everloop.client.ledger import opened, sealed, write_synced
from everloop.client.transport import Reply, Transport, Unreachable
from everloop.types import Campaign

log = logging.getLogger("everloop.client")

MOST_LOOPS = 16
MOST_CAMPAIGNS = 64  # of a loop: a server that says more is not believed to mean it
MOST_BYTES = 1 << 20
TIMEOUT = 10.0  # seconds
METERED = 12.0  # times as long between two looks where bytes cost money
_MENDED_BY_PEOPLE = {401: "is the key right?", 403: "the key's role may not ask for them", 404: "is it declared there?"}
_RATES = (0.8, 1.2)  # a fleet that was switched on at once must not ask at once


class _Listed(msgspec.Struct):
    campaigns: list[msgspec.Raw]


class Known(msgspec.Struct, frozen=True):
    """What a loop's server said last."""

    etag: str | None
    campaigns: tuple[Campaign, ...]


class Heard(NamedTuple):
    """The server has answered: its time, and whether what it said is new."""

    time: int | None
    new: bool


class Subscription:
    """The campaigns of each loop the device logs to. One thread calls `step`; `known` may be read by any."""

    def __init__(
        self, folder: Path, transport: Transport, seconds: float, clock: Callable[[], float],
        chance: random.Random | None = None,
    ) -> None:  # fmt: skip
        self._kept = folder / "campaigns.kept"
        self._transport = transport
        self._seconds = seconds
        self._clock = clock
        self._chance = chance or random.Random()  # noqa: S311 (spreads requests, keeps no secret)
        self._due: dict[str, float] = {}
        self._failures = 0
        self._told: set[tuple[str, int]] = set()
        self.known: dict[str, Known] = self._recall()

    def add(self, loop: str) -> bool:
        """Ask for this loop's campaigns from now on; whether that is news."""
        if loop in self._due or len(self._due) >= MOST_LOOPS:
            return False
        self._due[loop] = self._clock()
        return True

    def wait(self) -> float:
        """Seconds until the next look."""
        return max(0.0, min(dict(self._due).values(), default=self._clock() + self._seconds) - self._clock())

    def step(self, metered: bool = False) -> Heard | None:
        """Ask for one loop's campaigns if it is time to; what was heard, None if nothing was."""
        now = self._clock()
        due, loop = min(((due, loop) for loop, due in dict(self._due).items()), default=(now, ""))
        if not loop or due > now:
            return None
        heard = self._ask(loop)
        self._failures = 0 if heard is not None else self._failures + 1
        pause = self._seconds * (METERED if metered else 1.0)
        if heard is None:  # a loop's first campaigns are worth asking for a little sooner
            pause = min(pause, 5.0 * 2 ** min(self._failures, 16))
        self._due[loop] = now + pause * self._chance.uniform(*_RATES)
        return heard

    def _ask(self, loop: str) -> Heard | None:
        before = self.known.get(loop)
        path = f"/v1/loops/{quote(loop, safe='')}/campaigns"
        try:
            reply = self._transport.get(path, before.etag if before else None, TIMEOUT)
        except Unreachable:
            return None
        if reply.status == 304 and before is not None:
            return Heard(reply.time, False)
        found = _understood(reply, loop)
        if found is None:  # a proxy, a login page, an older server: what is known stays
            if reply.status in _MENDED_BY_PEOPLE and (loop, reply.status) not in self._told:
                self._told.add((loop, reply.status))
                what = _MENDED_BY_PEOPLE[reply.status]
                log.error("no campaigns for loop %r: status %d, %s (said once)", loop, reply.status, what)
            return None
        self.known = {**self.known, loop: found}
        self._keep()
        return Heard(reply.time, True)

    def _keep(self) -> None:
        beside = self._kept.with_suffix(".new.kept")
        try:
            write_synced(beside, sealed(msgspec.json.encode(self.known)))
            os.replace(beside, self._kept)
            segments.sync_folder(self._kept.parent)
        except OSError as error:
            with suppress(OSError):
                beside.unlink(missing_ok=True)
            log.warning("the campaigns can't be kept for a time without network: %s", error)

    def _recall(self) -> dict[str, Known]:
        """The copy of an earlier life; one that is damaged is as if there were none."""
        try:
            data = opened(self._kept.read_bytes())
            return msgspec.json.decode(data, type=dict[str, Known]) if data is not None else {}
        except (OSError, msgspec.MsgspecError):
            return {}


def _understood(reply: Reply, loop: str) -> Known | None:
    """What a reply says; None if it is not from an Everloop server that has campaigns."""
    if reply.status != 200 or len(reply.body) > MOST_BYTES:
        return None
    try:
        listed = msgspec.json.decode(reply.body, type=_Listed).campaigns
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    made: list[Campaign] = []
    for one in listed[:MOST_CAMPAIGNS]:
        try:
            campaign: Any = msgspec.json.decode(one, type=Campaign)
        except (msgspec.MsgspecError, RecursionError) as error:
            log.error("a campaign of loop %r makes no sense and is ignored: %s", loop, " ".join(str(error).split()))
            continue
        if campaign.loop == loop and campaign.state == "active":
            made.append(campaign)
    return Known(reply.etag, tuple(made))

"""72 hours of a device that takes part in campaigns: dark and metered by turns, its power cut at any fsync, its clock
wrong. No budget is exceeded, no cap, nothing is sent twice, and no correction is lost or comes without its answer."""

import os
import random
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import msgspec
import pytest

from everloop.client.campaigns import Campaigns
from everloop.client.events import feedback_event, interaction_event
from everloop.client.ledger import Ledger
from everloop.client.sender import Sender
from everloop.client.spool import Spool
from everloop.client.transport import Reply, Unreachable
from everloop.collect.campaigns import etag, for_devices
from everloop.types import Campaign
from tests.client.conftest import Clock, Dictionary
from tests.client.test_device import Disk, PowerCut, Weather

HOURS, HOUR = 72, 3600
START = 1_800_000_000.0
CAMPAIGNS = (
    Campaign(id="unsure", loop="desk", when={"confidence": {"below": 0.2}}, rate=6, bytes=60_000, before_s=120),
    Campaign(id="takeover", loop="desk", when={"feedback": "correction"}, bytes=150_000, before_s=300, after_s=180),
    Campaign(id="share", loop="desk", when={"share": 0.05}, rate=10, until=int((START + 40 * HOUR) * 1000)),
)


class Flash(Disk):
    """And the files beside the room, which are replaced whole."""

    def __init__(self, chance: random.Random, monkeypatch: pytest.MonkeyPatch, room: Path) -> None:
        super().__init__(chance, monkeypatch, room)
        self.whole: dict[str, bytes] = {}

    def files(self) -> dict[str, bytes]:
        """What is beside the room, as far as it was synced."""
        found = {}
        for path in self.room.parent.iterdir():
            if path.is_file() and not path.name.endswith(".lock"):
                found[path.name] = path.read_bytes()[: self.synced.get(path.stat().st_ino, 0)]
        return found

    def sync_folder(self, folder: Path) -> None:
        if folder == self.room:
            return super().sync_folder(folder)
        if self.chance.random() < self.danger:
            raise PowerCut
        self.whole = self.files()
        return None

    def cut(self) -> None:
        now, before = self.files(), self.whole
        names = {**before, **now}
        super().cut()
        self.whole = {}
        for name in names:
            left = [found[name] for found in (before, now) if name in found]
            path = self.room.parent / name
            path.unlink(missing_ok=True)
            if name in before or self.chance.random() < 0.5:
                path.write_bytes(self.chance.choice(left))
                self.synced[path.stat().st_ino] = path.stat().st_size
        self.whole = self.files()


class Fleet(Weather):
    """The network, and at its end a server that knows what time it is."""

    def __init__(self, inner: Any, chance: random.Random) -> None:
        super().__init__(inner, chance)
        self.true = START
        self.heard = 0.0  # when the device last got the list

    def get(self, path: str, tag: str | None, timeout: float) -> Reply:
        if not self.online or self.chance.random() < 0.1:
            raise Unreachable("no network")
        listed = for_devices(CAMPAIGNS, int(self.true * 1000))
        self.heard = self.true
        new, time = etag(listed), int(self.true * 1000)
        return Reply(304, b"", None, None, time) if tag == new else Reply(
            200, msgspec.json.encode({"campaigns": listed}), None, new, time
        )  # fmt: skip


class Life:
    """The device."""

    def __init__(self, folder: Path, dictionary: Dictionary, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.chance = random.Random(seed)
        self.clock = Clock()
        self.fleet = Fleet(dictionary, self.chance)
        folder.mkdir()
        self.disk = Flash(self.chance, monkeypatch, folder / "000")
        self.wrong = 0.0  # seconds its clock is off
        self.granted: defaultdict[str, list[float]] = defaultdict(list)  # true times of moments, by campaign
        self.promised: list[tuple[str, str]] = []  # corrections that returned, and what they speak of
        self.recent: list[str] = []
        self.entered = 0
        self.boot()

    def boot(self) -> None:
        danger, self.disk.danger = self.disk.danger, 0.0
        self.spool = Spool(self.folder, 1 << 20, clock=self.clock)
        ledger = Ledger(self.folder, clock=self.clock, wall=lambda: self.fleet.true + self.wrong)
        self.on = Campaigns(
            self.folder, self.fleet, self.spool.counts, seconds=300, max_bytes=1 << 18, clock=self.clock, ledger=ledger
        )
        self.on.ask_for("desk")
        self.disk.danger = danger
        self.sender = Sender(self.spool, self.fleet, self.spool.counts, self.clock, chance=self.chance)
        self.recent = []

    def pass_by(self, seconds: float) -> None:
        self.clock.now += seconds
        self.fleet.true += seconds

    def see(self) -> None:
        self.entered += 1
        fields = {"input": "x" * self.chance.randrange(20, 200), "output": "a", "confidence": self.chance.random()}
        event = interaction_event("desk", fields, 1)
        for one in self.on.interaction(event, "desk", {**fields, "id": event.id}, False):
            self.spool.put(one)
        self.recent.append(event.id)
        if self.chance.random() < 0.3:
            self.say("implicit", "skip", self.chance.choice(self.recent[-20:]))
        if self.chance.random() < 0.01:
            self.say("correction", "b", self.chance.choice(self.recent[-20:]))

    def say(self, kind: str, value: str, about: str) -> None:
        self.entered += 1
        direct = kind != "implicit"
        event = feedback_event(about, kind, {"value": value}, 0 if direct else 2)
        seen = self.on._recent.get(about)
        grouped = seen is None or seen.paid not in (None, "")  # a campaign had it sent, in a group that a cut may lose
        for one in self.on.feedback(event, about, "desk", {"kind": kind, "value": value}, direct):
            self.spool.put(one)
        if direct:
            self.promised.append((event.id, event.id if grouped else about))

    def write(self) -> None:
        for event in self.on.admit():
            why = msgspec.json.decode(event.body).get("context", {}).get("uploaded_for")
            if why and "window_of" not in why:
                self.granted[why["campaign"]].append(self.fleet.true)
                if why["campaign"] == "share" and self.fleet.true > START + 40 * HOUR:
                    assert self.fleet.heard < START + 40 * HOUR
            self.spool.put(event)
        self.spool.sync()

    def minute(self) -> None:
        end = self.clock.now + 60
        for _ in range(self.chance.randrange(6)):
            self.see()
            self.pass_by(self.chance.uniform(0, 10))
        self.write()
        self.on.look(self.fleet.metered)
        for _ in range(30):
            wait = self.sender.step()
            if wait is None or self.clock.now + wait >= end:
                break
            self.pass_by(wait + 0.001)
        self.pass_by(max(0.0, end - self.clock.now))
        if self.chance.random() < 1 / 120:
            self.see()
            raise PowerCut

    def power_cut(self) -> None:
        self.spool.abandon()
        self.disk.cut()
        self.pass_by(self.chance.choice([5, 5, 1800, 2 * HOUR]))
        self.wrong = self.chance.choice([0.0, 0.0, -self.fleet.true, -5 * HOUR, 3 * HOUR])
        self.clock.now = 0.0  # the running clock begins again
        self.boot()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_three_days_of_campaigns(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dictionary: Dictionary
) -> None:
    life, cuts = Life(tmp_path / "spool", dictionary, seed, monkeypatch), 0
    life.disk.danger = 0.002
    minute = 0
    while life.fleet.true < START + HOURS * HOUR:
        minute += 1
        if minute % 60 == 0:
            life.fleet.hour()
            life.fleet.metered = False
        try:
            life.minute()
        except PowerCut:
            cuts += 1
            life.power_cut()
    life.disk.danger, life.fleet.online, life.fleet.storm = 0.0, True, False
    life.write()
    while life.spool.waiting().events:
        life.pass_by((life.sender.step() or 0.0) + 0.001)
    life.spool.close()

    arrived = {id: msgspec.json.decode(body) for id, body in dictionary.taken.items()}
    missing = [(said, about) for said, about in life.promised if said not in arrived or about not in arrived]
    assert missing == []
    size: Counter[str] = Counter()
    named: dict[str, str] = {}
    for id, one in arrived.items():
        if (why := one.get("context", {}).get("uploaded_for")) is not None:
            named[id] = why["campaign"]
            size[why["campaign"]] += len(dictionary.taken[id]) + 1
    for id, one in arrived.items():
        if one.get("kind") == "implicit" and one["interaction"] in named:
            size[named[one["interaction"]]] += len(dictionary.taken[id]) + 1
    for campaign in CAMPAIGNS:
        assert size[campaign.id] > 5000  # or this shows nothing
        assert campaign.bytes is None or size[campaign.id] <= campaign.bytes
        times = life.granted[campaign.id]
        for time in times:
            lately = sum(time - HOUR < other <= time for other in times)
            assert campaign.rate is None or lately <= campaign.rate
    assert cuts > 20
    assert len(life.promised) > 30
    assert sum(size.values()) < life.entered * 100  # most was never asked for
    print(cuts, "cuts", dict(size), {name: len(times) for name, times in life.granted.items()}, life.entered, "seen,",
          len(arrived), "arrived;", os.path.basename(life.folder))  # fmt: skip

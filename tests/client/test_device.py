"""72 hours of a device's life: the network comes and goes and is metered at times, replies get lost, and the power is
cut at any fsync, reply or idle moment. A cut loses what was not synced, and may leave half of it, or rubbish."""

import os
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from everloop.client import segments
from everloop.client.events import CLASSES, feedback_event, interaction_event
from everloop.client.holding import ALL
from everloop.client.sender import Sender
from everloop.client.spool import Spool
from everloop.client.transport import Http, Reply, Unreachable
from everloop.types import Correction, Implicit, Interaction, Thumb
from tests.client.conftest import Clock, Dictionary, serving

HOURS = 72
BUDGET = 256 << 10


class PowerCut(BaseException):
    """Nothing after this is done."""


class Disk:
    """What of a folder survives a power cut: what fsync was told."""

    def __init__(self, chance: random.Random, monkeypatch: pytest.MonkeyPatch, room: Path) -> None:
        self.chance = chance
        self.room = room
        self.synced: dict[int, int] = {}  # inode: bytes
        self.named: set[int] = set()
        self.removed: dict[str, bytes] = {}
        self.danger = 0.0  # chance of a power cut at an fsync
        self.highest = 0
        monkeypatch.setattr(segments, "sync_file", self.sync_file)
        monkeypatch.setattr(segments, "sync_folder", self.sync_folder)
        unlink = Path.unlink
        disk = self

        def remembering(path: Path, missing_ok: bool = False) -> None:
            if path.parent == disk.room and path.exists():
                disk.removed[path.name] = path.read_bytes()[: disk.synced.get(path.stat().st_ino, 0)]
            unlink(path, missing_ok=missing_ok)

        monkeypatch.setattr(Path, "unlink", remembering)

    def used(self) -> int:
        return sum(-(-path.stat().st_size // 4096) * 4096 for path in self.room.iterdir())

    def look(self) -> None:
        self.highest = max(self.highest, self.used())

    def sync_file(self, fd: int) -> None:
        self.look()
        if self.chance.random() < self.danger:
            raise PowerCut
        self.synced[os.fstat(fd).st_ino] = os.fstat(fd).st_size

    def sync_folder(self, folder: Path) -> None:
        self.look()
        if self.chance.random() < self.danger:
            raise PowerCut
        self.named = {path.stat().st_ino for path in folder.iterdir()}
        self.removed.clear()

    def cut(self) -> None:
        """What a power cut leaves."""
        for path in self.room.iterdir():
            inode, size = path.stat().st_ino, path.stat().st_size
            safe = self.synced.get(inode, 0)
            if path.name == "lock":
                continue
            if inode not in self.named and self.chance.random() < 0.5:
                os.unlink(path)
                continue
            kept = self.chance.randint(safe, size) if size > safe else size
            data = path.read_bytes()[:kept]
            if size > kept:  # the size may have got to the disk, and the bytes not
                data += self.chance.choice([b"", b"\0" * (size - kept), self.chance.randbytes(size - kept)])
            path.write_bytes(data)
            self.synced[inode] = len(data)
        for name, data in self.removed.items():  # the removal may not have got there
            if data and self.chance.random() < 0.5:
                (self.room / name).write_bytes(data)
        self.removed.clear()
        self.synced = {path.stat().st_ino: path.stat().st_size for path in self.room.iterdir()}
        self.named = set(self.synced)


class Weather:
    """A Transport through a network that is sometimes there."""

    def __init__(self, inner: Any, chance: random.Random) -> None:
        self.inner = inner
        self.chance = chance
        self.online = self.metered = False
        self.storm = True
        self.bytes: Counter[bool] = Counter()  # by metered

    def hour(self) -> None:
        self.online = self.chance.random() < 0.45
        self.metered = self.chance.random() < 0.5

    def post(self, path: str, body: bytes, media: str, timeout: float) -> Reply:
        luck = self.chance.random() if self.storm else 1.0
        if not self.online or luck < 0.05:
            raise Unreachable("no network")
        if luck < 0.08:
            return Reply(503, b"<html>busy</html>", 30.0)
        if luck < 0.11:
            return Reply(200, b"<html>Welcome to our wifi</html>")
        if luck < 0.13:
            raise PowerCut
        self.bytes[self.metered] += len(body)
        assert not self.metered or all(b'"correction"' in line for line in body.split(b"\n"))
        reply: Reply = self.inner.post(path, body, media, timeout)
        if luck < 0.18:
            raise Unreachable("the reply got lost")
        if luck < 0.20:
            raise PowerCut
        return reply

    def forget(self) -> None: ...

    def close(self) -> None: ...


def live(folder: Path, inner: Any, seed: int, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The device's life; what it shows."""
    chance, clock = random.Random(seed), Clock()
    weather = Weather(inner, chance)
    disk = Disk(chance, monkeypatch, folder / "000")
    promised: dict[int, list[str]] = {rank: [] for rank in ALL}
    lost: Counter[str] = Counter()
    made: set[str] = set()  # more than was promised: a cut may come between the fsync and the return
    cuts = 0

    def boot() -> tuple[Spool, Sender]:
        danger, disk.danger = disk.danger, 0.0
        spool = Spool(folder, BUDGET, max_age=20 * 3600, metered=lambda: weather.metered, clock=clock)
        disk.danger = danger
        return spool, Sender(spool, weather, spool.counts, clock, chance=chance)

    def end(spool: Spool) -> None:
        stats = spool.counts.stats(*spool.waiting())
        for how in ("dropped", "purged", "expired"):
            for name, count in getattr(stats, how).items():
                lost[f"{how} {name}"] += count
        gone = sum(sum(getattr(stats, how).values()) for how in ("dropped", "purged", "expired"))
        assert stats.entered + stats.recovered == stats.sent + stats.refused + stats.waiting + gone
        lost["refused"] += stats.refused
        lost["known"] += stats.known

    def emit(spool: Spool) -> None:
        rank = chance.choices(ALL, (1, 4, 15))[0]
        at = int(clock.now * 1000) - (10**10 if chance.random() < 0.1 else 0)  # the device's clock is what it is
        text = "x" * chance.randrange(20, 400)
        if rank == 1 and chance.random() < 0.5:
            event = interaction_event("desk", {"input": text, "at": at}, rank)
        else:
            kind, value = [("correction", text), ("thumb", "up"), ("comment", text)][rank]
            event = feedback_event(f"i{chance.randrange(99)}", kind, {"value": value, "at": at}, rank)
        made.add(event.id)
        spool.counts.add("entered")
        spool.put(event)
        promised[rank].append(event.id)

    spool, sender = boot()
    disk.danger = 0.002
    for minute in range(HOURS * 60):
        if minute % 60 == 0:
            weather.hour()
        try:
            for _ in range(chance.randrange(5)):
                emit(spool)
            spool.sync()
            until = clock.now + 60
            for _ in range(50):
                wait = sender.step()
                if wait is None or clock.now + wait >= until:
                    break
                clock.now += wait + 0.001
            clock.now = until
            if chance.random() < 1 / 120:
                emit(spool)
                raise PowerCut
        except PowerCut:
            cuts += 1
            end(spool)
            spool.abandon()
            disk.cut()
            clock.now += chance.choice([5, 5, 5, 3600])
            spool, sender = boot()
        disk.look()
        assert disk.used() <= spool.used <= BUDGET
    disk.danger, weather.online, weather.metered, weather.storm = 0.0, True, False, False
    while spool.waiting().events:
        clock.now += (sender.step() or 0.0) + 0.001
    end(spool)
    assert disk.highest <= BUDGET
    assert list(disk.room.glob("*.*")) == []
    spool.close()
    return {
        "promised": promised,
        "made": made,
        "lost": lost,
        "cuts": cuts,
        "highest": disk.highest,
        "metered": weather.bytes,
    }


def check(shown: dict[str, Any], arrived: list[str]) -> None:
    assert len(arrived) == len(set(arrived))
    there = set(arrived)
    critical = shown["promised"][0]
    assert len(critical) > 200
    assert [id for id in critical if id not in there] == []
    assert shown["lost"]["refused"] == shown["lost"]["purged critical"] == 0
    assert shown["cuts"] > 20
    assert shown["lost"]["purged bulk"] > 0  # the budget was reached, or this shows nothing
    assert there <= shown["made"]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
def test_three_days(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dictionary: Dictionary) -> None:
    shown = live(tmp_path / "spool", dictionary, seed, monkeypatch)
    check(shown, list(dictionary.taken))
    print(shown["cuts"], shown["highest"], dict(shown["lost"]), dict(shown["metered"]), len(dictionary.taken),
          {CLASSES[r]: len(ids) for r, ids in shown["promised"].items()})  # fmt: skip


@pytest.mark.slow
def test_three_days_with_the_real_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(tmp_path / "home") as server:
        shown = live(tmp_path / "spool", Http(server.url), 11, monkeypatch)
        held = [record.id for record in server.wheel.store.records.held()]
        kinds = [id for kind in (Correction, Thumb, Implicit) for id in server.ids(kind)]
        arrived = server.ids(Interaction) + kinds + held
    check(shown, arrived)

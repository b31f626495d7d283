"""The spool: what is given up and in what order, what may be sent, who has which room, and a disk that won't."""

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from everloop.client.events import Event
from everloop.client.holding import ALL
from everloop.client.segments import Segment
from everloop.client.spool import Spool
from everloop.errors import InvalidInput
from tests.client.conftest import Clock

LEAST = 256 << 10


def event(n: int, rank: int = 1, size: int = 1000) -> Event:
    return Event(f"e{n:06d}", "/v1/feedback", b'{"id":"e%06d","x":"%s"}' % (n, b"z" * size), rank)


def ids(spool: Spool, ranks: tuple[int, ...] = ALL) -> list[str]:
    """Take all, settle, and say what it was."""
    found: list[str] = []
    while held := spool.take(100, 1 << 20, ranks):
        found += [one.event.id for one in held]
        spool.settle(held)
    return found


def on_disk(folder: Path) -> int:
    return sum(-(-p.stat().st_size // 4096) * 4096 for p in folder.rglob("*") if p.is_file())


def test_what_is_synced_is_there_after_a_crash_and_goes_by_class(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    for n in range(9):
        spool.put(event(n, n % 3))
    spool.sync()
    spool.abandon()  # as a crash would
    again = Spool(tmp_path)
    assert again.counts.stats(0, 0).recovered == 9
    assert again.oldest(ALL) == 0
    assert ids(again) == [f"e{n:06d}" for n in (0, 3, 6, 1, 4, 7, 2, 5, 8)]
    assert again.waiting() == (0, 0)
    assert on_disk(tmp_path) == again.used == 0
    again.close()


def test_a_critical_one_is_there_without_a_sync_and_the_others_are_not(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    for rank in ALL:
        spool.put(event(rank, rank))
    spool.abandon()
    again = Spool(tmp_path)
    assert ids(again) == ["e000000"]
    again.close()


def test_the_oldest_of_the_lowest_class_is_purged_first_and_critical_last(tmp_path: Path) -> None:
    spool = Spool(tmp_path, LEAST)
    for n in range(100):
        spool.put(event(n, 2 - n % 2))  # even: bulk, odd: normal
    spool.sync()
    for n in range(100, 300):
        spool.put(event(n, 0))
        assert on_disk(tmp_path) <= spool.used <= LEAST
    stats = spool.counts.stats(0, 0)
    assert stats.purged["bulk"] == 50
    assert 0 < stats.purged["normal"] <= 50
    assert stats.purged["critical"] == 0
    spool.put(event(300, 2))  # nothing lower to give up: it is given up itself
    spool.sync()
    assert spool.counts.stats(0, 0).purged["bulk"] == 51
    for n in range(301, 400):
        spool.put(event(n, 0))
        assert on_disk(tmp_path) <= spool.used <= LEAST
    purged = spool.counts.stats(0, 0).purged
    assert purged["normal"] == 50
    assert purged["critical"] > 0
    kept = ids(spool)
    assert kept == sorted(kept)
    assert kept[-1] == "e000399"
    assert len(kept) == 299 - purged["critical"]
    spool.close()


def test_receipts_for_what_was_purged_meanwhile_change_nothing(tmp_path: Path) -> None:
    spool = Spool(tmp_path, LEAST)
    for n in range(40):
        spool.put(event(n, 2))
    held = spool.take(10, 1 << 20, ALL)
    for n in range(100, 340):
        spool.put(event(n, 0))
    assert spool.counts.stats(0, 0).purged["bulk"] == 40
    spool.settle(held[:5])
    spool.give_back(held[5:])
    spool.settle(held)
    count = spool.waiting().events
    assert len(ids(spool)) == count
    assert spool.waiting() == (0, 0)
    spool.close()


def test_giving_back_twice_or_after_a_receipt_changes_nothing(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    for n in range(4):
        spool.put(event(n))
    held = spool.take(3, 1 << 20, ALL)
    spool.settle(held[:1])
    spool.give_back(held)
    spool.give_back(held)
    assert ids(spool) == ["e000001", "e000002", "e000003"]
    spool.close()


def test_age_counts_the_time_it_was_open_and_critical_has_none(tmp_path: Path, clock: Clock) -> None:
    spool = Spool(tmp_path, max_age=100, clock=clock)
    for rank in ALL:
        spool.put(event(rank, rank))
    spool.sync()
    clock.now += 60
    spool.put(event(5, 1))
    spool.close()
    clock.now -= 5000  # another boot, another clock
    spool = Spool(tmp_path, max_age=100, clock=clock)
    clock.now += 30
    spool.sync()
    assert spool.waiting().events == 4
    clock.now += 30
    spool.sync()
    assert spool.counts.stats(0, 0).expired == {"critical": 0, "normal": 1, "bulk": 1}
    assert ids(spool) == ["e000000", "e000005"]
    spool.close()


def test_metered_lets_through_what_it_may(tmp_path: Path) -> None:
    answers: list[Any] = [True, False]

    def metered() -> bool:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return bool(answer)

    spool = Spool(tmp_path, metered=metered, metered_classes=("critical", "bulk"))
    assert spool.allowed() == (0, 2)
    assert spool.allowed() == ALL
    answers.append(RuntimeError("no modem"))
    assert spool.allowed() == (0, 2)
    spool.put(event(1, 1))
    spool.put(event(2, 2))
    assert spool.waiting((0, 2)).events == 1
    assert ids(spool, (0, 2)) == ["e000002"]
    assert spool.oldest((0, 2)) is None
    assert ids(spool) == ["e000001"]
    spool.close()


def test_two_processes_have_a_room_each_and_the_living_take_over_from_the_dead(tmp_path: Path) -> None:
    first, second = Spool(tmp_path), Spool(tmp_path)
    first.put(event(1, 0))
    second.put(event(2, 0))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["000", "001"]
    first.adopt()
    assert first.waiting().events == 1
    second.abandon()
    first.adopt()
    assert first.waiting().events == 2
    assert sorted(ids(first)) == ["e000001", "e000002"]
    first.close()


def test_what_does_not_fit_stays_where_it_is(tmp_path: Path) -> None:
    first, second = Spool(tmp_path, LEAST), Spool(tmp_path, LEAST)
    for n in range(200):
        first.put(event(n, 0))
        second.put(event(1000 + n, 0))
    second.abandon()
    first.adopt()
    assert first.used <= LEAST
    assert first.counts.stats(0, 0).purged["critical"] == 0
    found = ids(first)
    first.adopt()
    found += ids(first)
    assert len(found) == len(set(found)) == 400
    first.close()


def test_a_smaller_budget_purges_on_opening(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 1 << 20)
    for n in range(600):
        spool.put(event(n, n % 3))
    spool.close()
    spool = Spool(tmp_path, LEAST)
    assert on_disk(tmp_path) <= LEAST
    stats = spool.counts.stats(*spool.waiting())
    assert stats.recovered == 600 == stats.waiting + sum(stats.purged.values())
    assert stats.purged["critical"] == 0
    spool.close()


def test_a_full_disk_costs_the_lower_classes_and_then_memory_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path)
    spool.put(event(1, 2))
    spool.sync()
    append, room = Segment.append, [0]

    def full(self: Segment, framed: bytes, life: int, records: int) -> None:
        if not room[0]:
            room[0] = int(not any(tmp_path.rglob("*.bulk")))
            raise OSError(errno.ENOSPC, "No space left on device")
        room[0] -= 1
        append(self, framed, life, records)

    monkeypatch.setattr(Segment, "append", full)
    spool.put(event(2, 0))  # the bulk one makes way... but not for long
    assert spool.counts.stats(0, 0).purged["bulk"] == 1
    room[0] = 0
    monkeypatch.setattr(Segment, "append", lambda *_: (_ for _ in ()).throw(OSError(errno.EIO, "Input/output error")))
    before = spool.counts.stats(0, 0).undurable
    spool.put(event(3, 0))
    spool.put(event(4, 1))
    assert spool.counts.stats(0, 0).undurable == before + 1
    monkeypatch.setattr(Segment, "append", append)
    assert set(ids(spool)) >= {"e000003", "e000004"}
    assert spool.waiting() == (0, 0)
    spool.close()


def test_a_disk_that_is_gone_does_not_stop_the_sending(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(tmp_path)

    def fail(*_: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Segment, "create", fail)
    for n in range(3):
        spool.put(event(n, n))
    assert ids(spool) == ["e000000", "e000001", "e000002"]
    spool.close()


def test_a_stalled_disk_keeps_memory_bounded(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    for n in range(6000):
        spool.put(event(n, 2))
    stats = spool.counts.stats(*spool.waiting())
    assert stats.waiting_bytes <= 4 << 20
    assert stats.dropped["bulk"] == 6000 - stats.waiting > 0
    spool.close()


def test_what_is_refused_is_set_aside_with_the_reason_within_the_budget(tmp_path: Path) -> None:
    spool = Spool(tmp_path, LEAST)
    for n in range(60):
        spool.put(event(n))
    for held in spool.take(100, 1 << 20, ALL):
        spool.refuse(held, "no such label")
        assert on_disk(tmp_path) == spool.used <= LEAST
    lines = (tmp_path / "000" / "refused.ndjson").read_bytes().splitlines()
    assert 10 < len(lines) < 17  # a sixteenth of the budget
    assert msgspec.json.decode(lines[0])["why"] == "no such label"
    assert msgspec.json.decode(lines[0])["event"]["id"] == "e000000"
    spool.close()


def test_bad_settings_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="needs 262,144 at least"):
        Spool(tmp_path, 1000)
    with pytest.raises(InvalidInput, match="no class 'urgent'"):
        Spool(tmp_path, metered_classes=("urgent",))
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidInput, match="spool folder"):
        Spool(tmp_path / "file")


def test_a_file_that_vanished_is_counted_and_blocks_nobody(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.put(event(1, 0))
    spool.put(event(2, 1))
    spool.sync()
    next((tmp_path / "000").glob("*.critical")).unlink()
    assert ids(spool) == ["e000002"]
    assert spool.counts.stats(0, 0).purged["critical"] == 1
    assert spool.waiting() == (0, 0)
    spool.close()


def test_kill_nine_keeps_what_put_returned(tmp_path: Path) -> None:
    code = (
        "import sys, os\n"
        "from everloop.client.spool import Spool\nfrom everloop.client.events import Event\n"
        f"spool = Spool({str(tmp_path)!r})\n"
        "for n in range(50):\n"
        "    spool.put(Event(f'e{n}', '/v1/feedback', b'{}', 0))\n"
        "    os.write(1, b'%d\\n' % n)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, env={**os.environ})
    assert len(done.stdout.split()) == 50
    spool = Spool(tmp_path)
    assert ids(spool) == [f"e{n}" for n in range(50)]
    spool.close()

"""The segments of one room, within a budget of bytes: the oldest of the lowest class makes way, critical last.

Not safe for threads: the spool's lock is held around every call.
"""

import errno
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from everloop.client.counts import Counts
from everloop.client.holding import ALL, Held
from everloop.client.rooms import Room
from everloop.client.segments import MAGIC, Segment, frame, occupied, sync_folder

_SHARE = 32  # the budget holds about so many segments: the finer, the less is purged at a time
_SMALLEST, _LARGEST = 16 << 10, 1 << 20


class Shelf:
    """Every segment of a room, oldest first in each class; what an earlier life left is found on opening."""

    def __init__(self, room: Room, max_bytes: int, counts: Counts) -> None:
        self._room = room
        self._max = max_bytes
        self._counts = counts
        self._largest = min(max(max_bytes // _SHARE, _SMALLEST), _LARGEST)
        self._segments: tuple[list[Segment], ...] = tuple([] for _ in ALL)
        self._active: list[Segment | None] = [None] * len(ALL)
        self._refused = room.path / "refused.ndjson"
        self._number = 0
        self.used = self._refused_size()  # bytes on disk, in whole blocks
        self.count = [0] * len(ALL)  # records that wait, by rank
        self.bytes = [0] * len(ALL)  # and the bytes of the segments they are in
        self.life = 0  # of the newest record found on opening
        for number, rank, path in room.files():
            self._number = max(self._number, number)
            self._learn(Segment(path.parent, number, rank, 0))
        while self.used > max_bytes and (victim := self._victim(0)) is not None:
            self._remove(victim, "purged")

    def _refused_size(self) -> int:
        with suppress(OSError):
            return occupied(self._refused.stat().st_size)
        return 0

    def _learn(self, segment: Segment) -> None:
        """Take in a segment of an earlier life."""
        self._counts.add("damaged_bytes", segment.recover())
        if not segment.left:
            segment.path.unlink()
            return
        self._counts.add("recovered", segment.left)
        self.life = max(self.life, segment.life)
        self._segments[segment.rank].append(segment)
        self._grow(segment, segment.size, segment.left)

    def _grow(self, segment: Segment, size: int, records: int) -> None:
        """Account for `size` bytes, already in `segment.size`, and `records`."""
        self.used += occupied(segment.size) - (occupied(segment.size - size) if segment.size > size else 0)
        self.bytes[segment.rank] += size
        self.count[segment.rank] += records

    def write(self, rank: int, held: Sequence[Held], life: int) -> Iterator[Sequence[Held]]:
        """Append events of one class; yields what has been dealt with: written, or given up for want of room, counted.

        OSError where the disk won't; what was not yielded then is not written.
        """
        frames = [frame(one.event, life) for one in held]
        start = 0
        while start < len(held):
            end, size = start + 1, len(frames[start])
            while end < len(held) and size + len(frames[end]) < self._largest:
                size += len(frames[end])
                end += 1
            yield from self._append(rank, held[start:end], frames[start:end], life)
            start = end

    def _append(self, rank: int, held: Sequence[Held], frames: Sequence[bytes], life: int) -> Iterator[Sequence[Held]]:
        data = b"".join(frames)
        if not self._room_for(rank, len(data)):
            if len(held) == 1:
                self._counts.lose("purged", rank)
                yield held
                return
            half = len(held) // 2
            yield from self._append(rank, held[:half], frames[:half], life)
            yield from self._append(rank, held[half:], frames[half:], life)
            return
        segment = self._active[rank]
        if segment is None:
            self._number += 1
            segment = Segment(self._room.path, self._number, rank, held[0].seq)
            segment.create()
            self._segments[rank].append(segment)
            self._active[rank] = segment
            self._grow(segment, segment.size, 0)
        segment.append(data, life, len(held))
        self._grow(segment, len(data), len(held))
        yield held

    def _room_for(self, rank: int, size: int) -> bool:
        """Purge until `size` more bytes of a class fit; False if they can't without giving up something better."""
        active = self._active[rank]
        if active is not None and active.size + size > self._largest:
            self._seal(rank)
        if occupied(size + len(MAGIC)) > self._max:
            return False
        while True:
            active = self._active[rank]
            before = active.size if active is not None else 0
            grown = occupied(before + size) - occupied(before) if before else occupied(size + len(MAGIC))
            if self.used + grown <= self._max:
                return True
            victim = self._victim(rank)
            if victim is None:
                return False
            self._remove(victim, "purged")

    def _victim(self, rank: int) -> Segment | None:
        """The oldest segment of the lowest class there is, none above `rank`'s."""
        return next((self._segments[lower][0] for lower in reversed(ALL[rank:]) if self._segments[lower]), None)

    def yield_to(self, rank: int) -> bool:
        """The disk itself is full: purge the oldest of a class below `rank`; whether there was any."""
        victim = self._victim(rank + 1)
        if victim is not None:
            self._remove(victim, "purged")
        return victim is not None

    def _remove(self, segment: Segment, how: str | None = None) -> None:
        """Delete a segment; `how` counts what was still waiting in it."""
        if how is not None:
            self._counts.lose(how, segment.rank, segment.left)
        if self._active[segment.rank] is segment:
            self._active[segment.rank] = None
        segment.close()
        with suppress(FileNotFoundError):
            segment.path.unlink()
        self._segments[segment.rank].remove(segment)
        self.used -= occupied(segment.size)
        self.bytes[segment.rank] -= segment.size
        self.count[segment.rank] -= segment.left
        segment.left = 0

    def sync(self, rank: int) -> None:
        """What was written of a class survives a power cut."""
        active = self._active[rank]
        if active is not None:
            active.sync()

    def _seal(self, rank: int) -> None:
        active, self._active[rank] = self._active[rank], None
        if active is not None:
            active.sync()
            active.close()

    def expire(self, life: int, max_age: int) -> None:
        """Purge what is older than `max_age` (ms of the spool's life); critical has no age."""
        for rank in ALL[1:]:
            active = self._active[rank]
            if active is not None and active.left and life - active.begun > max_age // 8:
                self._seal(rank)  # or young records would keep the old ones in it
            for segment in list(self._segments[rank]):
                if life - segment.life <= max_age:
                    break
                self._remove(segment, "expired")

    def take(self, lines: int, most_bytes: int, ranks: Sequence[int]) -> list[Held]:
        """Hand out records that wait; an active segment is sealed for it, but only if there is nothing else."""
        taken: list[Held] = []
        size = 0
        for rank in ranks:
            for segment in list(self._segments[rank]):
                if segment is self._active[rank]:
                    if taken:
                        break
                    self._seal(rank)
                todo = segment.todo
                if todo is None:
                    try:
                        self._read(segment)
                    except OSError as error:
                        if error.errno == errno.ENOENT:
                            self._remove(segment, "purged")
                        continue  # a bad block must not keep the others from being sent
                    todo = segment.todo
                while todo:
                    size += len(todo[0].event.body) + 1
                    if len(taken) == lines or (taken and size > most_bytes):
                        return taken
                    segment.out.add(todo[0].seq)
                    taken.append(todo.popleft())
        return taken

    def _read(self, segment: Segment) -> None:
        self._counts.add("damaged_bytes", segment.read())
        found = len(segment.todo or ())
        if found < segment.left:  # the disk has lost some since they were written
            self._counts.lose("purged", segment.rank, segment.left - found)
        self.count[segment.rank] -= segment.left - found
        segment.left = found
        if not found:
            self._remove(segment)

    def settle(self, held: Sequence[Held]) -> None:
        """They are with the server; a segment of which all are is deleted."""
        for one in held:
            segment: Segment = one.place
            if segment.left and one.seq in segment.out:  # else purged in the meantime
                segment.out.remove(one.seq)
                segment.left -= 1
                self.count[segment.rank] -= 1
                if not segment.left:
                    self._remove(segment)

    def give_back(self, held: Sequence[Held]) -> None:
        """They were not sent."""
        for one in sorted(held, key=lambda one: one.seq, reverse=True):
            segment: Segment = one.place
            if segment.left and segment.todo is not None and one.seq in segment.out:
                segment.out.remove(one.seq)
                segment.todo.appendleft(one)

    def set_aside(self, line: bytes) -> None:
        """Keep a refused event for a person to look at, as long as a sixteenth of the budget allows."""
        old = self._refused_size()
        size = self._refused.stat().st_size if old else 0
        new = occupied(size + len(line))
        if new <= self._max // 16 and self.used - old + new <= self._max:
            with self._refused.open("ab") as file:
                file.write(line)
            self.used += new - old

    def oldest(self, ranks: Sequence[int]) -> int | None:
        """The `seq` of the first record of the first segment."""
        return min((self._segments[rank][0].first for rank in ranks if self._segments[rank]), default=None)

    def adopt(self, other: Room) -> None:
        """Move the segments of a room whose process is gone over here, as far as the budget allows."""
        for _, rank, path in other.files():
            if self.used + occupied(path.stat().st_size) > self._max:
                break
            self._number += 1
            segment = Segment(self._room.path, self._number, rank, 0)
            path.rename(segment.path)
            self._learn(segment)
            active = self._active[rank]
            if active is not None:  # which stays the newest
                self._segments[rank].remove(active)
                self._segments[rank].append(active)
        sync_folder(self._room.path)
        sync_folder(other.path)

    def close(self) -> None:
        """Everything is on disk."""
        for rank in ALL:
            self._seal(rank)

    def abandon(self) -> None:
        """Close the files alone: in a forked child they are its parent's."""
        for active in self._active:
            if active is not None:
                active.close()

    @property
    def path(self) -> Path:
        """The room's folder."""
        return self._room.path

"""A spool's files: append-only segments of framed records, each with its length and checksum.

A segment starts with eight bytes that say what it is. A record is ``length u32 | crc u32 | life u64 | path u16 |
id u16`` and then path, id and JSON body, little-endian; length counts from `life` on, and the CRC-32 covers length and
all of it. So a record that was torn by a power cut is told from a whole one at any byte.
"""

import os
import struct
import zlib
from collections import deque
from pathlib import Path
from typing import NamedTuple

from everloop.client.events import CLASSES, Event
from everloop.client.holding import Held

MAGIC = b"ELSPOOL1"
BLOCK = 4096  # file systems hand out room in blocks
_FRAME = struct.Struct("<II")
_REST = struct.Struct("<QHH")


class Record(NamedTuple):
    """One record of a segment; `life` is the age of the spool in milliseconds when it was written."""

    life: int
    event: Event


class Scan(NamedTuple):
    """What a segment's bytes hold."""

    records: list[Record]
    end: int  # bytes up to the end of the last whole record
    skipped: int  # bytes in between that are no record: damage, not a torn tail


def frame(event: Event, life: int) -> bytes:
    """An event as the bytes of a record."""
    path, id = event.path.encode(), event.id.encode()
    rest = _REST.pack(life, len(path), len(id)) + path + id + event.body
    length = len(rest).to_bytes(4, "little")
    return length + zlib.crc32(rest, zlib.crc32(length)).to_bytes(4, "little") + rest


def scan(data: bytes, rank: int) -> Scan:
    """Every whole record of a segment's bytes. What can't be read is skipped up to the next whole record.

    >>> event = Event("a", "/v1/feedback", b"{}", 0)
    >>> data = MAGIC + frame(event, 5) + frame(event, 6)
    >>> [len(scan(data[:end], 0).records) for end in (4, 8, 40, len(data) - 1, len(data))]
    [0, 0, 0, 1, 2]
    """
    records: list[Record] = []
    at = end = len(MAGIC) if data.startswith(MAGIC) else 0
    skipped = 0
    while at + _FRAME.size + _REST.size <= len(data):
        found = _record(data, at, rank)
        if found is None:
            at += 1
            continue
        record, after = found
        skipped += at - end
        records.append(record)
        at = end = after
    return Scan(records, end, skipped)


def _record(data: bytes, at: int, rank: int) -> tuple[Record, int] | None:
    length, crc = _FRAME.unpack_from(data, at)
    start = at + _FRAME.size
    stop = start + length
    if length < _REST.size or stop > len(data):
        return None
    if zlib.crc32(memoryview(data)[start:stop], zlib.crc32(data[at : at + 4])) != crc:
        return None
    life, path, id = _REST.unpack_from(data, start)
    one = start + _REST.size
    two = one + path
    event = Event(data[two : two + id].decode(), data[one:two].decode(), data[two + id : stop], rank)
    return Record(life, event), stop


def occupied(size: int) -> int:
    """Bytes a file of `size` takes on the disk.

    >>> occupied(1), occupied(4096), occupied(4097)
    (4096, 4096, 8192)
    """
    return -(-size // BLOCK) * BLOCK


def sync_file(fd: int) -> None:
    """The file's bytes survive a power cut from here on."""
    getattr(os, "fdatasync", os.fsync)(fd)


def sync_folder(folder: Path) -> None:
    """The names in the folder survive a power cut from here on."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class Segment:
    """One file. `left` of its records wait; once read, those not handed out are in `todo`."""

    __slots__ = ("begun", "dirty", "fd", "first", "left", "life", "number", "out", "path", "rank", "size", "todo")

    def __init__(self, folder: Path, number: int, rank: int, first: int) -> None:
        self.path = folder / f"{number:010d}.{CLASSES[rank]}"
        self.number = number
        self.rank = rank
        self.first = first  # seq of its first record; the others follow
        self.size = 0
        self.left = 0
        self.begun = self.life = 0  # of the first and last record
        self.todo: deque[Held] | None = None
        self.out: set[int] = set()  # seq of those handed out
        self.fd: int | None = None
        self.dirty = False

    def create(self) -> None:
        """Make the file, durably. OSError if the disk won't."""
        self.fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        try:
            self._write(MAGIC)
            sync_folder(self.path.parent)
        except OSError:
            self.close()
            self.path.unlink(missing_ok=True)
            raise
        self.size = len(MAGIC)

    def append(self, framed: bytes, life: int, records: int) -> None:
        """Add records; they survive the process, and after `sync` a power cut. OSError leaves the file as it was."""
        assert self.fd is not None
        try:
            self.dirty = True
            self._write(framed)
        except OSError:
            os.ftruncate(self.fd, self.size)
            raise
        self.size += len(framed)
        self.begun = self.begun if self.left else life
        self.life = life
        self.left += records

    def _write(self, data: bytes) -> None:
        assert self.fd is not None
        view = memoryview(data)
        while view:
            view = view[os.write(self.fd, view) :]

    def sync(self) -> None:
        """What was appended survives a power cut."""
        if self.dirty and self.fd is not None:
            sync_file(self.fd)
            self.dirty = False

    def close(self) -> None:
        """Nothing is appended any more."""
        if self.fd is not None:
            fd, self.fd = self.fd, None
            os.close(fd)

    def read(self) -> int:
        """Fill `todo` from the file; how many of its bytes are damaged."""
        found = scan(self.path.read_bytes(), self.rank)
        self.todo = deque(Held(self.first + i, record.event, self) for i, record in enumerate(found.records))
        return found.skipped

    def recover(self) -> int:
        """Learn what a file of an earlier life holds, and cut a torn tail; how many bytes were cut or are damaged."""
        data = self.path.read_bytes()
        found = scan(data, self.rank)
        if found.end < len(data):
            os.truncate(self.path, found.end)
        self.size = found.end
        self.left = len(found.records)
        if found.records:
            self.begun, self.life = found.records[0].life, found.records[-1].life
        return len(data) - found.end + found.skipped

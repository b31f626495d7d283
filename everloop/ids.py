"""Ids that sort by time: UUIDv7 (RFC 9562, section 5.7), and the clock they and every record use."""

import os
import threading
import time

_lock = threading.RLock()  # a signal handler may make an id while its own thread is making one
_last = 0


def now() -> int:
    """Milliseconds since 1970 in UTC."""
    return time.time_ns() // 1_000_000


def new_id() -> str:
    """A UUIDv7: 48 bits of milliseconds, a 12-bit counter within the millisecond, 62 random bits.

    Ids made in one process sort in the order they were made, also when the clock steps back.

    >>> a, b = new_id(), new_id()
    >>> a < b, a[14], len(a)
    (True, '7', 36)
    """
    global _last
    with _lock:
        stamp = max(time.time_ns() // 1_000_000 << 12, _last + 1)
        _last = stamp
    tail = int.from_bytes(os.urandom(8), "big") & (1 << 62) - 1 | 1 << 63
    text = f"{(stamp >> 12) & (1 << 48) - 1:012x}7{stamp & 0xFFF:03x}{tail:016x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

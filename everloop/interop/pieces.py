"""What one row of somebody's file brings, and an id for what has none."""

import hashlib
from collections import Counter
from typing import Any, NamedTuple

import msgspec

from everloop.errors import InvalidInput
from everloop.interop.times import time_of

_BITS = 27  # the map of rows seen takes 16 MB; of a million rows, under 1 % are held for repetitions that are none
_SECONDS, _MILLIS, _MICROS = 10**11, 10**14, 10**17  # times since 1970 below these are in that unit


class Piece(NamedTuple):
    """An interaction with its label, or feedback, or both."""

    fields: dict[str, Any] | None = None  # for `build_interaction`; without an id, one is made from the content
    label: str | None = None
    split: str | None = None
    feedback: tuple[dict[str, Any], ...] = ()  # for `build_feedback`; without `interaction` it is of the above
    skipped: str = ""  # what the row is instead, where nothing of it is wanted


class Ids:
    """Ids that follow from what a row holds, and from how often it was seen before in this file.

    So the same file again brings nothing twice, and a row that is there twice is two. Memory stays as it is however
    long the file: a map of bits tells what may have been seen, and only what may have been is counted.
    """

    def __init__(self) -> None:
        self._map = bytearray(1 << (_BITS - 3))
        self._again: Counter[bytes] = Counter()

    def of(self, loop: str, fields: dict[str, Any], label: str | None) -> str:
        """The id of this row; InvalidInput for what is no JSON."""
        try:
            content = msgspec.json.encode([loop, fields, label], order="sorted")
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise InvalidInput(f"can't be stored: {' '.join(str(error).split())}") from None
        digest = hashlib.sha256(content).digest()
        count = self._count(digest)
        return f"import-{hashlib.sha256(digest + str(count).encode()).hexdigest()[:32]}"

    def _count(self, digest: bytes) -> int:
        bit = int.from_bytes(digest[:8], "big") >> (64 - _BITS)
        byte, mask = bit >> 3, 1 << (bit & 7)
        if not self._map[byte] & mask:
            self._map[byte] |= mask
            return 1
        self._again[digest] += 1
        return self._again[digest] + 1


def moment(value: Any, field: str) -> int | None:
    """A time as milliseconds since 1970: from a number of seconds, ms, µs or ns since then, or from ISO 8601.

    >>> moment(1_700_000_000, "at"), moment("1700000000.5", "at"), moment("2023-11-14T22:13:20Z", "at")
    (1700000000000, 1700000000500, 1700000000000)
    """
    if isinstance(value, str):
        try:
            value = float(value) if "." in value or "e" in value.lower() else int(value)
        except ValueError:
            try:
                return time_of(value.strip(), field)
            except InvalidInput:
                raise InvalidInput(
                    f"{field}: expected a number, got {value[:40]!r} (or write a time as 2026-01-31T12:00:00Z)"
                ) from None
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**63:
        raise InvalidInput(f"{field}: expected a time, got {str(value)[:40]!r}")
    scale = 1000.0 if value < _SECONDS else 1.0 if value < _MILLIS else 1e-3 if value < _MICROS else 1e-6
    return value if scale == 1.0 and isinstance(value, int) else round(value * scale)

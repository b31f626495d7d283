"""OTLP trace exports in protobuf, by hand: a few fields of the format, so that no library has to be installed."""

import time
from collections.abc import Sequence

_VARINT, _FIXED64, _LENGTH = 0, 1, 2


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _field(number: int, body: bytes | str) -> bytes:
    body = body.encode() if isinstance(body, str) else body
    return _varint(number << 3 | _LENGTH) + _varint(len(body)) + body


def _attribute(name: str, value: str | int) -> bytes:
    held = _field(1, value) if isinstance(value, str) else _varint(3 << 3 | _VARINT) + _varint(value)
    return _field(1, name) + _field(2, held)


def _span(trace: bytes, span: bytes, attributes: dict[str, str | int]) -> bytes:
    ended = time.time_ns()
    times = b"".join(_varint(number << 3 | _FIXED64) + at.to_bytes(8, "little")
                     for number, at in ((7, ended - 40_000_000), (8, ended)))  # fmt: skip
    kind = _varint(6 << 3 | _VARINT) + _varint(3)  # client
    named = b"".join(_field(9, _attribute(name, value)) for name, value in attributes.items())
    status = _field(15, _varint(3 << 3 | _VARINT) + _varint(1))  # ok
    return _field(1, trace) + _field(2, span) + _field(5, "chat bench") + kind + times + named + status


def export(ids: Sequence[tuple[bytes, bytes]], attributes: dict[str, str | int], service: str = "bench") -> bytes:
    """An ExportTraceServiceRequest: a chat answer of its own trace for each (16-byte trace id, 8-byte span id)."""
    spans = b"".join(_field(2, _span(trace, span, attributes)) for trace, span in ids)
    resource = _field(1, _attribute("service.name", service))
    return _field(1, _field(1, resource) + _field(2, _field(1, _field(1, "bench")) + spans))


def read_back(body: bytes) -> int:
    """How many spans an export holds: the check that what was written can be walked again.

    >>> read_back(export([(bytes(16), bytes(8)), (bytes(16), bytes(8))], {"gen_ai.request.model": "m", "n": 300}))
    2
    """

    def fields(data: bytes) -> list[tuple[int, bytes]]:
        found, at = [], 0

        def number() -> int:
            nonlocal at
            value = shift = 0
            while True:
                byte = data[at]
                at += 1
                value |= (byte & 0x7F) << shift
                shift += 7
                if byte < 0x80:
                    return value

        while at < len(data):
            key = number()
            size = number() if key & 7 == _LENGTH else 8 if key & 7 == _FIXED64 else 0
            if key & 7 == _VARINT:
                number()
            found.append((key >> 3, data[at : at + size]))
            at += size
        return found

    scopes = [part for name, part in fields(fields(body)[0][1]) if name == 2]
    return sum(name == 2 for scope in scopes for name, _ in fields(scope))

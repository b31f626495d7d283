"""Protobuf's wire format, as far as OTLP needs it: messages become flat lists by tables of fields.

Source: https://protobuf.dev/programming-guides/encoding/. The last of a field counts, repeated ones add up, fields that
no table has (or has with another type) are skipped, groups are refused: proto3 has none. A message that may stand only
once writes into the list of the one it is in, so that a second copy is merged as the format wants it.
"""

import base64
import math
from struct import Struct
from typing import Any, NamedTuple

from everloop.errors import UserError

DEEPEST = 64  # levels of values in values
MOST = 1_000_000  # messages in one request: two bytes make one that takes hundreds here

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5  # how a field's end is found
_TEXT, _PAIR, _WITHIN, _EACH, _BYTES, _VALUE, _BASE64, _INT, _BOOL, _ENUM, _NUMBER, _DOUBLE = range(12)
_WIRES = {_INT: _VARINT, _BOOL: _VARINT, _ENUM: _VARINT, _NUMBER: _FIXED64, _DOUBLE: _FIXED64}
_double = Struct("<d").unpack_from


class Table(NamedTuple):
    """How a message is read."""

    fields: dict[int, tuple[int, int, Any, Any]]  # its number and wire type -> (kind, slot, its table, what it makes)
    blank: tuple[Any, ...]  # what the slots hold before


def _table(blank: tuple[Any, ...], *fields: tuple[Any, ...]) -> Table:
    """A table of (number, kind, slot[, table of the message[, list or dict that it fills]])."""
    found = {}
    for number, kind, slot, *inner in fields:
        found[number << 3 | _WIRES.get(kind, _LENGTH)] = (kind, slot, *inner, None, None)[:4]
    return Table(found, blank)


# What of https://github.com/open-telemetry/opentelemetry-proto is read, by the numbers given there.
_ANY = _table(
    (None,), (1, _TEXT, 0), (2, _BOOL, 0), (3, _INT, 0), (4, _DOUBLE, 0),
    (5, _WITHIN, 0, _table((), (1, _VALUE, 0)), list), (6, _WITHIN, 0, _table((), (1, _PAIR, 0)), dict),
    (7, _BASE64, 0),
)  # fmt: skip
_KEY_VALUE = _table((None, ""), (1, _TEXT, 1), (2, _WITHIN, 0, _ANY))  # the value is in slot 0, as _ANY has it
_STATUS = _table((), (2, _TEXT, 8), (3, _ENUM, 9))
_EVENT = _table(("", 0, None), (1, _NUMBER, 1), (2, _TEXT, 0), (3, _PAIR, 2))
_SPAN = _table(
    (b"", b"", b"", "", 0, 0, None, None, "", 0), (1, _BYTES, 0), (2, _BYTES, 1), (4, _BYTES, 2), (5, _TEXT, 3),
    (7, _NUMBER, 4), (8, _NUMBER, 5), (9, _PAIR, 6), (11, _EACH, 7, _EVENT), (15, _WITHIN, 0, _STATUS),
)  # fmt: skip
_LOG = _table(
    (None, b"", b"", 0, 0, "", None), (1, _NUMBER, 3), (5, _WITHIN, 0, _ANY), (6, _PAIR, 6), (9, _BYTES, 1),
    (10, _BYTES, 2), (11, _NUMBER, 4), (12, _TEXT, 5),
)  # fmt: skip
_RESOURCE = _table((), (1, _PAIR, 0))


def _request(record: Table) -> Table:
    scope = _table((None,), (2, _EACH, 0, record))
    return _table((None,), (1, _EACH, 0, _table((None, None), (1, _WITHIN, 0, _RESOURCE), (2, _EACH, 1, scope))))


SPANS, LOGS = _request(_SPAN), _request(_LOG)


def read(body: bytes, table: Table) -> list[Any]:
    """The slots of a message; what it may hold many of is a list, or a dict by key, or None where there is none.

    Raises UserError (400) for bytes that are no such message, values more than `DEEPEST` levels deep, or more than
    `MOST` messages. Nothing is reserved for what a length announces.

    >>> [[attributes, _]] = read(bytes.fromhex("0a0d0a0b0a090a016b12040a026869"), SPANS)[0]
    >>> attributes
    {'k': 'hi'}
    """
    slots = list(table.blank)
    try:
        _fill(slots, body, 0, len(body), table, DEEPEST, [MOST])
    except IndexError:
        raise _refused("it is cut off") from None
    except UnicodeDecodeError:
        raise _refused("a text is not UTF-8") from None
    return slots


def _fill(slots: list[Any], data: bytes, at: int, end: int, table: Table, deepest: int, left: list[int]) -> None:
    """Read the message in data[at:end] into the slots."""
    get = table.fields.get
    while at < end:
        tag = data[at]
        at += 1
        if tag > 0x7F:
            tag, at = _varint(data, at - 1, 5)
        field, wire = get(tag), tag & 7
        if field is None and tag < 8:
            raise _refused("a field has no number")
        if wire == _LENGTH:
            size = data[at]
            at += 1
            if size > 0x7F:
                size, at = _varint(data, at - 1, 5)
            stop = at + size
            if stop > end:
                raise _refused("it is cut off")
            if field is not None:
                kind, slot, inner, make = field
                if kind == _TEXT:
                    slots[slot] = data[at:stop].decode()
                elif kind == _WITHIN:
                    if make is None:
                        _fill(slots, data, at, stop, inner, deepest, left)
                    elif deepest:
                        if type(slots[slot]) is not make:
                            slots[slot] = make()
                        _fill(slots, data, at, stop, inner, deepest - 1, left)
                    else:
                        raise UserError(f"an attribute has more than {DEEPEST} levels")
                elif kind == _BYTES:
                    slots[slot] = data[at:stop]
                elif kind == _BASE64:
                    slots[slot] = base64.b64encode(data[at:stop]).decode()
                else:
                    left[0] -= 1
                    if left[0] < 0:
                        raise UserError(f"a request with over {MOST:,} values in it: send less at once")
                    of = _KEY_VALUE if kind == _PAIR else _ANY if kind == _VALUE else inner
                    one = [*of.blank]
                    _fill(one, data, at, stop, of, deepest, left)
                    held = slots[slot]
                    if held is None:
                        held = slots[slot] = {} if kind == _PAIR else []
                    if kind == _PAIR:
                        held[one[1]] = one[0]
                    else:
                        held.append(one if kind == _EACH else one[0])
            at = stop
        elif wire == _VARINT:
            value = data[at]
            at += 1
            if value > 0x7F:
                value, at = _varint(data, at - 1, 10)
            if field is not None:
                kind, slot = field[:2]
                if kind == _INT:
                    slots[slot] = value - (1 << 64) if value >> 63 else value
                else:
                    slots[slot] = value != 0 if kind == _BOOL else value & 0xFFFFFFFF
        elif wire == _FIXED64:
            stop = at + 8
            if field is not None and stop <= end:
                if field[0] == _NUMBER:
                    slots[field[1]] = int.from_bytes(data[at:stop], "little")
                else:
                    number = _double(data, at)[0]
                    slots[field[1]] = number if math.isfinite(number) else None  # JSON has no word for the others
            at = stop
        elif wire == _FIXED32:
            at += 4
        else:
            raise _refused("it has groups, or fields of no type there is")
    if at > end:
        raise _refused("it is cut off")


def _varint(data: bytes, at: int, longest: int) -> tuple[int, int]:
    """A number of 7 bits a byte, and where it ends; tags (29 + 3 bits) and lengths (31 bits) have at most 5 bytes."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
        shift += 7
        if shift == longest * 7:
            raise _refused("a number is too long")
    if longest == 5 and value >> 32:
        raise _refused("a number is too long")
    return value & 0xFFFF_FFFF_FFFF_FFFF, at


def _refused(why: str) -> UserError:
    return UserError(f"the body is not an OTLP export request in protobuf: {why}")


def write(*fields: tuple[int, int | str | bytes]) -> bytes:
    """A message of (number, value), without those that are 0 or empty; numbers from 0 on.

    >>> write((1, 300), (2, "no"), (3, "")).hex()
    '08ac0212026e6f'
    """
    out = bytearray()
    for number, value in fields:
        if isinstance(value, int):
            out += _number(number << 3 | _VARINT) + _number(value) if value else b""
        elif value:
            held = value.encode() if isinstance(value, str) else value
            out += _number(number << 3 | _LENGTH) + _number(len(held)) + held
    return bytes(out)


def _number(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))

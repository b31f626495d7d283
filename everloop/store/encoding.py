"""A record as the JSON a backend keeps, checked to be readable again before it is written."""

import math
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from everloop.errors import InvalidInput

T = TypeVar("T")
encode = msgspec.json.Encoder().encode


def encoded(record: Struct, decode: Callable[[bytes], T], name: str) -> tuple[bytes, T]:
    """The JSON of `record`, and what will be read back of it.

    A struct made in Python is not checked for its types, and JSON has no word for NaN and the infinities (msgspec
    writes null): both would show only when read. Raises InvalidInput, which calls the record `name`.

    >>> from everloop.types import Alternative
    >>> encoded(Alternative("a", float("nan")), msgspec.json.Decoder(Alternative).decode, "this")
    Traceback (most recent call last):
    everloop.errors.InvalidInput: this can't be stored: Expected `float`, got `null` - at `$.confidence`
    """
    try:
        body = encode(record)
        read = decode(body)
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError) as error:
        raise InvalidInput(f"{name} can't be stored: {error}") from None
    if read != record and not _finite(msgspec.to_builtins(record)):
        raise InvalidInput(f"{name} can't be stored: it has a number that is not finite")
    return body, read


def _finite(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(_finite(part) for part in value.values())
    if isinstance(value, list | tuple):
        return all(_finite(part) for part in value)
    return True

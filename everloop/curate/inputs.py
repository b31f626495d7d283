"""When are two inputs the same? A fingerprint of the normalised input, and the text or the numbers to compare."""

import hashlib
import unicodedata
from typing import Any

import msgspec
import numpy as np

from everloop.types import Input

_SPACE = str.maketrans(dict.fromkeys("\t\n\r\x0c\x0b\xa0", " "))


def normalise(text: str) -> str:
    """Unicode NFKC, case folded, runs of white space as one space, no white space or full stop at the ends.

    >>> normalise("  My CARD\\n hasn’t arrived. ")
    'my card hasn’t arrived'
    """
    if text.isascii():  # the same, in a third of the time
        return " ".join(text.lower().split()).strip(" .")
    return " ".join(unicodedata.normalize("NFKC", text).casefold().translate(_SPACE).split()).strip(" .")


def text_of(value: Input) -> str | None:
    """The text to compare by: itself, or the words of a chat request's messages; None for numbers."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        messages = value.get("messages")
        if isinstance(messages, list):
            said = [m.get("content") for m in messages if isinstance(m, dict)]
            return "\n".join(s for part in said if (s := _said(part)) is not None)
        return msgspec.json.encode(value, order="sorted").decode()
    return None


def _said(content: Any) -> str | None:
    """The words of a message; of one in parts, the words of each, and what stands for an attachment: two images are
    not the same input because the question is. None where there is nothing."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return None
    return "\n".join(_part(part) for part in content)


def _part(part: Any) -> str:
    text = part.get("text") if isinstance(part, dict) else part
    return text if isinstance(text, str) else msgspec.json.encode(part, order="sorted").decode()


def fingerprint(value: Input) -> str:
    """128 bits of SHA-256 over the normalised input, as hex: equal for inputs that differ in case or spacing alone."""
    text = text_of(value)
    data = normalise(text).encode() if text is not None else np.asarray(value, dtype="<f8").tobytes()
    return hashlib.sha256((b"t" if text is not None else b"v") + data).hexdigest()[:32]

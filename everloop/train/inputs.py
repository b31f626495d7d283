"""What kind of input this is, and one line for the user when it is not what the model takes."""

from collections.abc import Sequence
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from everloop.errors import InvalidInput
from everloop.types import Input


def is_text(value: Input) -> bool:
    """Whether it is read as text: a string, or a chat request with messages."""
    return isinstance(value, str) or (isinstance(value, dict) and "messages" in value)


def is_vector(value: Input) -> TypeGuard[list[float]]:
    """Whether it is a list of numbers."""
    return (
        isinstance(value, list | tuple)
        and len(value) > 0
        and all(isinstance(x, int | float) and not isinstance(x, bool) for x in value)
    )


def texts(inputs: Sequence[Input]) -> list[str]:
    """Each input as a text: a string as it is, of a chat its last user message.

    Raises InvalidInput for anything else.

    >>> texts(["hello", {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}])
    ['hello', 'a']
    """
    return [value if isinstance(value, str) else _chat(value) for value in inputs]


def matrix(inputs: Sequence[Input], length: int | None = None) -> NDArray[np.float64]:
    """Lists of numbers as a matrix (n, length); raises InvalidInput for any other kind, or a length that differs."""
    for value in inputs:
        if not is_vector(value):
            raise InvalidInput(f"this model takes a list of numbers, not {describe(value)}")
        if length is None:
            length = len(value)
        if len(value) != length:
            raise InvalidInput(f"this model takes {length} numbers, not {len(value)}")
    try:
        result = np.array(inputs, dtype=np.float64).reshape(len(inputs), length or 0)
    except OverflowError:
        raise InvalidInput("a number in the input is too large") from None
    if not np.isfinite(result).all():
        raise InvalidInput("a number in the input is not finite")
    return result


def describe(value: Any) -> str:
    """What a value is, in a user's words."""
    if isinstance(value, str):
        return "a text"
    if is_vector(value):
        return f"{len(value)} numbers"
    if isinstance(value, list | tuple):
        return "an empty list" if not value else "a list with something other than numbers"
    if isinstance(value, dict):
        return "a chat request" if "messages" in value else "an object without messages"
    return f"a value of type {type(value).__name__}"


def _chat(value: Input) -> str:
    """The last user message of a chat request, its text parts joined."""
    messages = value.get("messages") if isinstance(value, dict) else None
    if not isinstance(messages, list):
        raise InvalidInput(f"this model takes a text, not {describe(value)}")
    for message in reversed(messages):
        if isinstance(message, dict) and message.get("role") == "user":
            content = message.get("content")
            if isinstance(content, str):
                return content
            if isinstance(content, list):
                parts = [part.get("text") for part in content if isinstance(part, dict)]
                return " ".join(part for part in parts if isinstance(part, str))
            break
    raise InvalidInput("this chat request has no user message with text")

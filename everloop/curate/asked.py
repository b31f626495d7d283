"""What a person said in an input: of a chat request the newest message of theirs, not the instructions around it."""

from typing import Any

from everloop.curate.inputs import text_of
from everloop.types import Input


def asked(value: Input) -> str | None:
    """The words a person put in; None for numbers, and where there are none.

    >>> asked({"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello?"}]})
    'Hello?'
    """
    if isinstance(value, str):
        return value if value and not value.isspace() else None
    if isinstance(value, dict):
        messages = value.get("messages")
        for message in reversed(messages) if isinstance(messages, list) else ():
            if isinstance(message, dict) and message.get("role", "user") == "user":
                return _words(message.get("content"))
    text = text_of(value)
    return text if text and not text.isspace() else None


def _words(content: Any) -> str | None:
    parts = content if isinstance(content, list) else [content]
    texts = [part.get("text") if isinstance(part, dict) else part for part in parts]
    text = "\n".join(one for one in texts if isinstance(one, str))
    return text if text and not text.isspace() else None

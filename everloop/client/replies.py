"""What a reply means for the events that were sent: receipts, refusals, or trouble that may pass.

Only what is Everloop's own counts. A proxy's 404, or a hotel's login page with status 200, is trouble, and nothing is
lost.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from everloop.client.transport import Reply

_OURS = {400, 404, 409, 413, 422}  # these blame the request, when it is our server that says so
_NOT_LET_IN = {401, 403}


class Receipts(NamedTuple):
    """Line by line: which of the events the server has, which it had before, and which it will not take, and why."""

    taken: list[int]
    known: int
    refused: list[tuple[int, str]]


class Refusal(NamedTuple):
    """The whole request was refused."""

    status: int
    why: str


class Trouble(NamedTuple):
    """Try again later; `wait` is what the server asks for in seconds. `mend`: a person has to change something."""

    why: str
    wait: float | None = None
    mend: bool = False


class _Line(msgspec.Struct):
    id: str | None = None
    state: str | None = None
    line: int | None = None
    error: str | None = None


_lines = msgspec.json.Decoder(_Line)


def judge(reply: Reply, ids: Sequence[str]) -> Receipts | Refusal | Trouble:
    """What `reply` means for the events with `ids`, which were sent one a line.

    >>> judge(Reply(207, b'{"id":"a","state":"new"}\\n{"line":2,"error":"no"}'), ["a", "b"])
    Receipts(taken=[0], known=0, refused=[(1, 'no')])
    >>> judge(Reply(200, b"<html>Welcome to our wifi"), ["a"])
    Trouble(why='status 200, but not from an Everloop server', wait=None, mend=False)
    """
    if reply.status in {200, 207, 422} and (receipts := _receipts(reply.body, ids)) is not None:
        return receipts
    message = _message(reply.body)
    if reply.status in _NOT_LET_IN:
        return Trouble(f"status {reply.status}: {message or 'not let in; is the key right?'}", mend=True)
    if reply.status in _OURS and message is not None:
        return Refusal(reply.status, message)
    return Trouble(f"status {reply.status}{': ' + message if message else ', but not from an Everloop server'}",
                   reply.retry_after)  # fmt: skip


def _receipts(body: bytes, ids: Sequence[str]) -> Receipts | None:
    """The receipts, if there is one for each id and each is for that id."""
    try:
        lines = _lines.decode_lines(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    if len(lines) != len(ids):
        return None
    found = Receipts([], 0, [])
    known = 0
    for at, (line, id) in enumerate(zip(lines, ids, strict=True)):
        if line.error is not None and line.line == at + 1:
            found.refused.append((at, line.error))
        elif line.id == id and line.state in {"new", "known", "held", "ignored"}:
            found.taken.append(at)
            known += line.state == "known"
        else:
            return None
    return found._replace(known=known)


def _message(body: bytes) -> str | None:
    """The one line of an Everloop error, or None if it is no such thing."""
    try:
        found: Any = msgspec.json.decode(body)
        message = found["error"]["message"]
    except (msgspec.MsgspecError, UnicodeDecodeError, TypeError, KeyError, IndexError):
        return None
    return message if isinstance(message, str) else None

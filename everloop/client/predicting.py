"""Ask a loop's live model over HTTP: a plain call, which waits and can fail."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from everloop.client.transport import JSON, Transport, Unreachable
from everloop.errors import Conflict, InvalidInput, NotFound, TooLarge
from everloop.ids import new_id
from everloop.types import Alternative, Input

_ERRORS = {400: InvalidInput, 404: NotFound, 409: Conflict, 413: TooLarge, 422: InvalidInput}


class Answer(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """The live model's answer."""

    id: str  # say this in your feedback
    output: str | None  # None: it abstains
    confidence: float | None = None  # calibrated probability
    alternatives: tuple[Alternative, ...] = ()
    model: str | None = None
    abstained: bool = False
    note: str | None = None


class _Failure(msgspec.Struct):
    error: dict[str, str]


def predict(transport: Transport, loop: str | None, input: Input, given: Mapping[str, Any], timeout: float) -> Answer:
    """The answer of `loop` to `input`. See `Client.predict`."""
    if not loop:
        raise InvalidInput('which loop? Client(url, loop="…") or predict(…, loop="…")')
    fields = {key: value for key, value in given.items() if value is not None}
    try:
        body = msgspec.json.encode({"id": new_id(), **fields, "input": input})
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidInput(f"can't be sent as JSON: {' '.join(str(error).split())}") from None
    reply = transport.post(f"/v1/loops/{quote(loop, safe='')}/predict", body, JSON, timeout)
    try:
        if reply.status == 200:
            return msgspec.json.decode(reply.body, type=Answer)
        message = msgspec.json.decode(reply.body, type=_Failure).error["message"]
    except (msgspec.MsgspecError, UnicodeDecodeError, KeyError):
        raise Unreachable(f"status {reply.status}, but not from an Everloop server") from None
    raise _ERRORS.get(reply.status, Unreachable)(message)

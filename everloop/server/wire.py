"""One request in, one reply out: reading a body within its limit, decoding it, and saying an error in one line.

Everything here is raw ASGI: a reply is a status, bytes and a media type, and a handler never sees the socket. That
keeps the path that acknowledges feedback short, and keeps slow or vanished clients out of the handlers altogether.
"""

import asyncio
import logging
import math
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple, TypeVar
from urllib.parse import parse_qsl

import msgspec
from starlette.types import Receive, Scope, Send

from everloop.errors import EverloopError, InvalidInput, StoreError, TooLarge, UserError
from everloop.ids import new_id
from everloop.types import Key

log = logging.getLogger("everloop.server")
T = TypeVar("T")

JSON = b"application/json"
NDJSON = b"application/x-ndjson"
HTML = b"text/html; charset=utf-8"
BODY_SECONDS = 30.0  # a client that sends nothing for so long in the middle of its body has gone
BODY_RATE = 1_000  # and so has one that, after that time, has sent fewer bytes a second than this

_MEDIA = {JSON: JSON.decode(), NDJSON: NDJSON.decode(), b"": ""}  # what nearly every client says
_encoder = msgspec.json.Encoder()
_FOLDERS = re.compile(r"(?<!\S)/(?:[^:]*/)?")  # of an absolute path, up to the name of the file
_GUARD = (
    (b"content-security-policy", b"default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
)


class BadRequest(UserError):
    """Bytes that can't be read at all: not JSON, not UTF-8."""


class Forbidden(UserError):
    """This key may not do this, or another site's page asked a browser to do it."""

    status = 403


class Unauthorized(UserError):
    """No key, or one that opens nothing."""

    status = 401
    headers = ((b"www-authenticate", b'Bearer realm="everloop"'),)


class Misdirected(UserError):
    """The request was meant for another host: a name that somebody made point here."""

    status = 421


class TooOften(UserError):
    """More requests than the limit; `seconds` until the next one is taken."""

    status = 429

    def __init__(self, message: str, seconds: float):
        super().__init__(message)
        self.headers = ((b"retry-after", str(max(1, math.ceil(seconds))).encode()),)


class BodyTimeout(UserError):
    """The body stopped coming."""

    status = 408


class Gone(Exception):
    """The client left before its request was complete."""


class Call(NamedTuple):
    """One request, read completely."""

    path: str
    params: Mapping[str, str]  # from the path
    query: Mapping[str, str]
    media: str  # content type of the body, without its parameters, lower case
    body: bytes
    headers: Mapping[bytes, bytes] = {}
    key: Key | None = None  # whose call it is; None: the installation has no keys
    peer: str = ""  # address at the other end of the connection: the client's, or that of a proxy

    def header(self, name: str) -> str:
        """The header of that name (lower case); empty without one."""
        value = self.headers.get(name.encode())
        return "" if value is None else value.decode("latin-1")


class Reply(NamedTuple):
    """What is sent back."""

    status: int
    body: bytes
    media: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Streamed(NamedTuple):
    """A reply that takes over the connection: it sends its own status, headers and body."""

    run: Callable[[Receive, Send], Awaitable[None]]


Handler = Callable[[Call], "Reply | Awaitable[Reply | Streamed]"]
Says = Callable[[int, str, str], Any]  # (status, message, type) -> the body of an error, in a dialect's own shape


def reply(value: Any, status: int = 200) -> Reply:
    """`value` as JSON."""
    return Reply(status, _encoder.encode(value))


def redirect(to: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Reply:
    """See `to` instead; always a path of ours."""
    return Reply(303, b"", HTML, ((b"location", to.encode("ascii")), *headers))


def lines(values: list[Any], status: int) -> Reply:
    """One JSON value a line."""
    return Reply(status, _encoder.encode_lines(values), NDJSON)


def decode(body: bytes, kind: type[T]) -> T:
    """`body` as `kind`; BadRequest for what is not JSON, InvalidInput for JSON of another shape, in one line."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise reason(error, body) from None


def reason(error: Exception, body: bytes) -> UserError:
    """Why decoding failed, as the error to raise."""
    if isinstance(error, msgspec.ValidationError):
        return InvalidInput(one_line(error).replace(" - at `$.", " - at `"))
    if not body.strip():
        return BadRequest("the body is empty; send a JSON object")
    if isinstance(error, RecursionError):
        return BadRequest("the body is nested too deeply")
    try:
        body.decode()
    except UnicodeDecodeError as broken:
        return BadRequest(f"the body is not valid UTF-8 at byte {broken.start}")
    return BadRequest(f"the body is not valid JSON: {one_line(error)}")


def one_line(error: BaseException) -> str:
    """The message of an error without line breaks; where on this machine the store is, is nobody's business outside.

    >>> one_line(StoreError("/srv/everloop home/everloop.db: disk I/O error"))
    'everloop.db: disk I/O error'
    """
    text = " ".join(str(error).split()) or type(error).__name__
    return _FOLDERS.sub("", text) if isinstance(error, StoreError) else text


def failure(error: Exception, method: str, path: str, says: Says | None = None) -> Reply:
    """The reply for an error: its own line if it was raised on purpose, else a reference that is in the log."""
    if isinstance(error, EverloopError):
        return problem(error.status, one_line(error), type(error).__name__, getattr(error, "headers", ()), says=says)
    reference = new_id()
    path = re.sub("(?<=/subjects/).*", "…", path)  # people stay out of the log
    log.error("%s %s failed; reference %s", method, path, reference, exc_info=error)
    return problem(500, f"something went wrong here; the log has it under reference {reference}", "Internal", says=says)


def problem(
    status: int, message: str, kind: str, headers: tuple[tuple[bytes, bytes], ...] = (), says: Says | None = None
) -> Reply:
    """An error's reply; `says` gives it another shape than ours."""
    body = {"error": {"message": message, "type": kind}} if says is None else says(status, message, kind)
    return reply(body, status)._replace(headers=headers)


def _media(given: bytes) -> str:
    return given.decode("latin-1").partition(";")[0].strip().lower()


async def read_call(
    scope: Scope, receive: Receive, limit: int, found: Mapping[bytes, bytes], key: Key | None = None
) -> Call:  # fmt: skip
    """The whole request of somebody who was let in; TooLarge once its body passes `limit` bytes.

    `found` is its headers by name.
    """
    media = _MEDIA.get(given := found.get(b"content-type", b"")) or _media(given)
    body = b""
    if scope["method"] not in {"GET", "HEAD"}:
        length = found.get(b"content-length", b"")
        body = await _read_body(receive, limit, int(length) if length.isdigit() else 0)
    query = dict(parse_qsl(scope["query_string"].decode("latin-1"))) if scope["query_string"] else {}
    params, client = scope.get("path_params") or {}, scope.get("client")
    return Call(scope["path"], params, query, media, body, found, key, client[0] if client else "")


async def _read_body(receive: Receive, limit: int, announced: int) -> bytes:
    if announced > limit:
        await _discard(receive, limit)
        raise TooLarge(f"the body has {announced:,} bytes, more than the {limit:,} allowed")
    message = await receive()
    first: bytes = message.get("body", b"")
    if message["type"] == "http.request" and not message.get("more_body") and len(first) <= limit:
        return first  # nearly every request: one message, no copy
    chunks, size, started = [first], len(first), time.monotonic()
    while message["type"] == "http.request":
        if size > limit:
            if message.get("more_body"):
                await _discard(receive, limit)
            raise TooLarge(f"the body has more than the {limit:,} bytes allowed")
        if not message.get("more_body"):
            return b"".join(chunks)
        message = await _next(receive)
        if size < BODY_RATE * (time.monotonic() - started - BODY_SECONDS):
            raise BodyTimeout(f"the body comes slower than {BODY_RATE:,} bytes a second")
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
    raise Gone


async def _next(receive: Receive) -> Any:
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await receive()
    except TimeoutError:
        raise BodyTimeout(f"nothing more of the body came within {BODY_SECONDS:.0f} s") from None


async def _discard(receive: Receive, most: int) -> None:
    """Let a client that sends too much finish, within reason: most read no answer before they have sent it all."""
    seen = 0
    try:
        async with asyncio.timeout(5.0):
            while seen <= most:
                message = await receive()
                seen += len(message.get("body", b""))
                if message["type"] != "http.request" or not message.get("more_body"):
                    return
    except TimeoutError:
        return


def wants_page(scope: Scope) -> bool:
    """Whether it is a browser that asks, and a person who reads."""
    return any(name == b"accept" and b"text/html" in value for name, value in scope["headers"])


def headers_of(answer: Reply) -> list[tuple[bytes, bytes]]:
    """Its headers; a page brings its guard."""
    headers = list(answer.headers)
    if answer.status != 304:  # which says nothing of what there is
        headers += [(b"content-type", answer.media), (b"content-length", str(len(answer.body)).encode())]
    if answer.media.startswith(b"text/html"):
        headers.extend(_GUARD)
    if answer.status in {408, 413}:
        headers.append((b"connection", b"close"))
    return headers


async def send_reply(send: Send, answer: Reply, *, head: bool = False) -> None:
    """Send it; `head`: the headers alone. A client that is gone by now is nobody's problem."""
    await send({"type": "http.response.start", "status": answer.status, "headers": headers_of(answer)})
    await send({"type": "http.response.body", "body": b"" if head else answer.body})

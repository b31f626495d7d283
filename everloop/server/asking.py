"""Asking a loop's upstreams one after the other until one answers: retries, waiting as told, and the next variant."""

import asyncio
import contextlib
import os
import random
from collections.abc import Awaitable, Callable, Sequence
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import msgspec

from everloop.ids import now
from everloop.interop import chat
from everloop.server.upstream import Answer, Target, UpstreamFailed, Upstreams
from everloop.types import Variant

T = TypeVar("T")
AGAIN = frozenset({408, 409, 429})  # what may go better the next time; so may all from 500
_NOT_HERE = frozenset({401, 402, 403, 404})  # wrong with what we know of this upstream, not with what is asked
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 4.0  # seconds before the second try, doubling; a little less, by chance
_MOST_ERROR = 1 << 20  # bytes of an upstream's error that are read
_PASSED_BACK = (b"x-ratelimit-", b"retry-after")  # headers of the upstream that the client gets, by how they begin

Headers = tuple[tuple[bytes, bytes], ...]


class Refused(Exception):
    """An upstream did not answer, or answered with an error; nothing has been sent to the client yet."""

    def __init__(self, variant: str, status: int, says: str, *, again: bool, body: bytes | None = None,
                 headers: Headers = (), wait: float | None = None):  # fmt: skip
        super().__init__(says)
        self.variant = variant
        self.status = status
        self.says = says  # in one line
        self.again = again  # it may go better the next time, or elsewhere
        self.body = body  # the upstream's own words, in OpenAI's shape
        self.headers = headers
        self.wait = wait  # seconds the upstream asks for


async def first(variants: Sequence[Variant], ask: Callable[[Variant], Awaitable[T]]) -> T:
    """What the first of `variants` that answers says; raises the last one's Refused, which then says why none did.

    An error that asking again can't mend is raised at once. A variant is given up when its retries or the seconds of
    its timeout are used, or when it asks for more patience than is left of them.
    """
    clock = asyncio.get_running_loop().time
    refused: Refused | None = None
    why: dict[str, str] = {}
    for variant in variants:
        until = clock() + variant.timeout_s
        for tried in range(variant.retries + 1):
            try:
                return await ask(variant)
            except Refused as error:
                refused = error
                why[variant.name] = error.says
                if not error.again:
                    error.says = "; ".join(why.values())
                    raise
            pause = refused.wait
            if pause is None:
                pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**tried) * random.uniform(0.5, 1)  # noqa: S311
            if tried == variant.retries or clock() + pause >= until:
                break
            await asyncio.sleep(pause)
    assert refused is not None
    refused.says = "; ".join(why.values())
    raise refused


async def post(upstreams: Upstreams, variant: Variant, path: str, body: bytes, client_key: str | None) -> Answer:
    """Ask a variant's upstream once; its answer if the status is 200. Raises Refused.

    The key is the one in the environment; without a name for it, `client_key`: the client's own Authorization.
    """
    headers = {"content-type": "application/json", "accept": "application/json, text/event-stream",
               "user-agent": "everloop"}  # fmt: skip
    if variant.key_env:
        key = os.environ.get(variant.key_env, "").strip()
        if not key:
            raise Refused(variant.name, 502, f"variant {variant.name!r}: the server's environment has no "
                          f"{variant.key_env}, which should hold the upstream's key", again=True, wait=1e9)  # fmt: skip
        headers["authorization"] = f"Bearer {key}"
    elif client_key:
        headers["authorization"] = client_key
    try:
        answer = await upstreams.ask(Target.of(variant.url), path, headers, body, silence=variant.timeout_s)
        if answer.status == 200:
            return answer
        raise await _refusal(variant, answer, keyed="authorization" in headers)
    except UpstreamFailed as error:
        raise failed(variant, error) from None


def failed(variant: Variant, error: UpstreamFailed) -> Refused:
    """No answer, as a refusal."""
    return Refused(variant.name, error.status, f"variant {variant.name!r}: {error}", again=True)


async def _refusal(variant: Variant, answer: Answer, *, keyed: bool) -> Refused:
    raw = await answer.read(_MOST_ERROR)
    said: Any = None
    with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        said = chat.error_said(msgspec.json.decode(raw))
    status = answer.status
    says = f"variant {variant.name!r} answered {status}: {said or _shown(raw)}"
    if status < 400:  # a redirect is not followed: it could lead a key anywhere
        where = answer.headers.get(b"location", b"").decode("latin-1")[:200]
        return Refused(variant.name, 502, f"variant {variant.name!r} answered {status} {where}, not an answer; its url "
                       "should be that of the API itself", again=True, wait=1e9)  # fmt: skip
    if status == 401 and not keyed:
        return Refused(variant.name, 502, f"{says} (it was asked without a key: say in its key_env which variable of "
                       "the server's environment holds one)", again=True, wait=1e9)  # fmt: skip
    wait = 1e9 if status in _NOT_HERE else _wait(answer.headers)
    return Refused(
        variant.name, status, says, again=status in AGAIN | _NOT_HERE or status >= 500, body=raw if said else None,
        headers=passed_back(answer.headers), wait=wait,
    )  # fmt: skip


def _shown(raw: bytes) -> str:
    return " ".join(raw[:200].decode("utf-8", "replace").split()) or "nothing more"


def passed_back(headers: dict[bytes, bytes]) -> Headers:
    """What the client gets to see of the upstream's headers."""
    return tuple((name, value) for name, value in headers.items() if name.startswith(_PASSED_BACK))


def _wait(headers: dict[bytes, bytes]) -> float | None:
    """Seconds to wait: `retry-after-ms`, or `retry-after` in seconds or as a date (RFC 9110, section 10.2.3)."""
    in_ms = headers.get(b"retry-after-ms", b"")
    if in_ms.isdigit():
        return int(in_ms[:12]) / 1000
    text = headers.get(b"retry-after", b"").decode("latin-1").strip()
    if text.isascii() and text.isdigit():
        return float(text[:12])
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now() / 1000) if text else None
    except (ValueError, OverflowError):
        return None

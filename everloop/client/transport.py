"""How bytes get to the server and back. The library for it is loaded when the first bytes go, not on import."""

import os
import re
import threading
import time
from typing import TYPE_CHECKING, NamedTuple, Protocol

from everloop.errors import EverloopError, InvalidInput

if TYPE_CHECKING:
    import httpx

JSON, NDJSON = "application/json", "application/x-ndjson"

# Making a client reads certificates under locks of OpenSSL's own, which a forked child would find held for ever.
_making = threading.RLock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_making.acquire, after_in_parent=_making.release, after_in_child=_making.release)


class Unreachable(EverloopError):
    """No answer from the server, or none that is its own: the network, a proxy, or a server that is down."""

    status = 503


class Reply(NamedTuple):
    """What came back; `retry_after` in seconds, `time` of the server in ms since 1970 where it says it."""

    status: int
    body: bytes
    retry_after: float | None = None
    etag: str | None = None
    time: int | None = None


class Transport(Protocol):
    """Sends one request."""

    def post(self, path: str, body: bytes, media: str, timeout: float) -> Reply:
        """The reply, whatever its status; Unreachable if there is none. Any thread."""

    def get(self, path: str, etag: str | None, timeout: float) -> Reply:
        """The same for what is there, or status 304 if it is still what `etag` stands for. Asked by campaigns alone."""

    def forget(self) -> None:
        """Let go of connections without closing them: in a forked child they are the parent's."""

    def close(self) -> None:
        """Close connections."""


class Http:
    """A Transport over HTTP. Proxies and certificates are taken from the environment."""

    def __init__(self, url: str, key: str | None = None) -> None:
        if not url.startswith(("http://", "https://")) or not url.split("://")[1].strip("/"):
            raise InvalidInput(f"url {url!r}: must start with http:// or https:// and name a server")
        key = (key or "").strip()  # a secret that comes from a file ends with a line
        if not (key.isascii() and key.isprintable()):
            raise InvalidInput("key: that can't be a key, it holds characters that are none of its")
        self._url = url.rstrip("/")
        self._shown = re.sub(r"//[^/]*@", "//", self._url)  # a password in it is nothing for a log
        self._headers = {"user-agent": "everloop-client"} | ({"authorization": f"Bearer {key}"} if key else {})
        self.forget()

    def forget(self) -> None:
        """See Transport."""
        self._client: httpx.Client | None = None
        self._lock = threading.Lock()

    def _open(self) -> "httpx.Client":
        import httpx

        with self._lock:
            if self._client is None:
                with _making:
                    self._client = httpx.Client(headers=self._headers)
            return self._client

    def post(self, path: str, body: bytes, media: str, timeout: float) -> Reply:
        """See Transport. `timeout` is for connecting, and again for each wait for bytes, in seconds."""
        return self._ask("POST", path, body, {"content-type": media}, timeout)

    def get(self, path: str, etag: str | None, timeout: float) -> Reply:
        """See Transport."""
        return self._ask("GET", path, None, {"if-none-match": etag} if etag else {}, timeout)

    def _ask(self, method: str, path: str, body: bytes | None, headers: dict[str, str], timeout: float) -> Reply:
        try:
            response = self._open().request(method, self._url + path, content=body, headers=headers, timeout=timeout)
        except Exception as error:  # httpx's own, and what sockets, TLS and bad URLs raise below it
            raise Unreachable(f"{self._shown}: {' '.join(str(error).split()) or type(error).__name__}") from None
        found = response.headers
        said = found.get("everloop-time", "")
        clock = int(said) if said.isascii() and said.isdigit() and len(said) < 16 else None
        return Reply(
            response.status_code, response.content, seconds(found.get("retry-after")), found.get("etag"), clock
        )

    def close(self) -> None:
        """See Transport."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()


def seconds(retry_after: str | None) -> float | None:
    """What a Retry-After header says: seconds, or a date; None if it says nothing that can be read.

    >>> seconds("120"), seconds("soon"), seconds("Wed, 21 Oct 2015 07:28:00 GMT")
    (120.0, None, 0.0)
    """
    if retry_after is None:
        return None
    if retry_after.strip().isdecimal():
        return float(retry_after)
    from email.utils import parsedate_to_datetime  # a fifth of what importing the client would cost, for a rare header

    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time.time())
    except ValueError:
        return None

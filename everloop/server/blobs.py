"""Attachments over HTTP: large ones are sent ahead, by themselves; pages and people read them back.

What strangers sent is handed to browsers: so the media type is read from the bytes, only what can hold no script is
shown in place, and everything comes with a policy that lets nothing in it run.
"""

import hashlib
import re
from typing import Any, NamedTuple

from everloop.collect.media import INLINE, media_of
from everloop.errors import InvalidInput, NotFound, TooLarge
from everloop.server.bodies import BlobTaken
from everloop.server.table import Operation
from everloop.server.wire import Call, Reply, reply
from everloop.wheel import Wheel

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_GUARD = (
    (b"content-security-policy", b"default-src 'none'; sandbox"),
    (b"x-content-type-options", b"nosniff"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),  # a person may be forgotten: no browser keeps a copy
    (b"accept-ranges", b"bytes"),
)


class AttachedBlobs:
    """Handlers of attachments."""

    def __init__(self, wheel: Wheel):
        self._store = wheel.store
        self._most = wheel.settings.max_attachment_bytes

    def operations(self) -> list[Operation]:
        """The rows of the table."""
        return [
            Operation("POST", "/v1/blobs", "Send an image, a recording or a document ahead, as the whole body; an "
                      'input then says {"blob": hash}.', self.put, BlobTaken, tag="collect",
                      replies=((201, "On disk."),), limit=self._most, bound=True,
                      also=("application/octet-stream",)),
            Operation("GET", "/v1/blobs/{hash}", "The bytes of an attachment; HTTP ranges are understood.", self.get,
                      tag="collect", media="*/*", bound=True,
                      replies=((200, "All of it."), (206, "The range that was asked for."),
                               (416, "There is no such range."))),
        ]  # fmt: skip

    def put(self, call: Call) -> Reply:
        """Keep a body; it is deleted again if no interaction names it within a day."""
        if not call.body:
            raise InvalidInput("the body is empty; send the bytes of the attachment as they are")
        if len(call.body) > self._most:
            raise TooLarge(f"{len(call.body):,} bytes; the limit of an attachment is {self._most:,}")
        hash = hashlib.sha256(call.body).hexdigest()
        self._store.uses.announce([hash])
        self._store.blobs.put(call.body)
        return reply(BlobTaken(hash, media_of(call.body, call.media or None), len(call.body)), 201)

    def get(self, call: Call) -> Reply:
        """What is kept under a hash, or a range of it. A key of one loop reads what is used there."""
        hash = call.params["hash"]
        loop = call.key.loop if call.key is not None else ""
        if not self._store.uses.known(hash, loop):
            raise NotFound(f"no attachment {hash[:80]!r}")
        data = self._store.blobs.get(hash)
        return served(data, hash, call.header("range"))


class _Part(NamedTuple):
    start: int
    end: int  # one past the last


def served(data: bytes, hash: str, asked: str) -> Reply:
    """The reply to a GET of `data` with the header `Range: asked` (RFC 9110, section 14; one range)."""
    media = media_of(data)
    ending = {"image/jpeg": "jpg", "audio/mpeg": "mp3"}.get(media, media.rpartition("/")[2])
    name = f"{hash[:16]}.{ending if ending != 'octet-stream' else 'bin'}"
    how = "inline" if media in INLINE else "attachment"
    headers = ((b"content-disposition", f'{how}; filename="{name}"'.encode()), *_GUARD)
    part = _range(asked, len(data))
    if part is None:
        return Reply(200, data, media.encode(), headers)
    if part.start >= part.end:
        return Reply(416, b"", media.encode(), ((b"content-range", f"bytes */{len(data)}".encode()), *headers))
    said = f"bytes {part.start}-{part.end - 1}/{len(data)}".encode()
    return Reply(206, data[part.start : part.end], media.encode(), ((b"content-range", said), *headers))


def _range(asked: str, size: int) -> _Part | None:
    """The range, cut to what there is; None where none was asked for, or several: then all of it is sent."""
    found: Any = _RANGE.fullmatch(asked.strip())
    if found is None or not (found[1] or found[2]):
        return None
    if not found[1]:
        return _Part(max(0, size - int(found[2])), size)
    if found[2] and int(found[2]) < int(found[1]):
        return None
    return _Part(int(found[1]), min(size, int(found[2]) + 1 if found[2] else size))

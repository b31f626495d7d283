"""Images, recordings and documents that come inside a request: their bytes go to Blobs, a reference stays.

What is recognised: data URLs; OpenAI's content parts (`image_url`, `input_audio`, `file`), Anthropic's base64 sources,
the blob parts of OpenTelemetry's GenAI messages, `inline_data`, `b64_json`, and our own ``{"data": …, "media": …}``.
The string of base64 is replaced by ``{"blob": SHA-256, "media": …, "size": …}``. Addresses stay as they are; nothing is
ever fetched. ``{"blob": SHA-256}`` speaks of bytes that were sent ahead.
"""

import binascii
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from everloop.collect.media import UNKNOWN, media_of
from everloop.errors import InvalidInput, NotFound, TooLarge
from everloop.store import Blobs, Uses
from everloop.types import Attachment

_MOST = 256  # attachments of one interaction: each is a file
_DEEPEST = 64  # levels of lists and objects, as in redaction
_LONGEST = 200  # characters of a name, or of where it stood
_HASH = re.compile(r"[0-9a-f]{64}")
_MEDIA = re.compile(r"[A-Za-z0-9][\w.+-]{0,60}/[A-Za-z0-9][\w.+-]{0,80}")
_DATA_URL = re.compile(r"data:([^;,]{0,140})((?:;[^;,]{0,100}){0,4});base64,")
_SAID = ("media", "media_type", "mime_type", "mimeType")  # keys that say what kind of bytes stand beside them
_NAMED = ("filename", "file_name", "name")
_HOLDERS = ("input_audio", "audio", "inline_data", "inlineData")  # what an object with "data" is called
_URLS = ("url", "image_url", "file_data", "data")  # where a data URL is meant as one
_CARRYING = frozenset({"data", "blob", "file_data", "b64_json", "mime_type"})  # without one of these it holds no bytes
_OWN = frozenset({"data", "blob", "media", "size", "name"})
_LOOSE = str.maketrans({" ": None, "\n": None, "\r": None, "\t": None, "-": "+", "_": "/"})
# Bytes without which a body of JSON holds no value, unless one of their letters is written as its number.
_SIGNS = (b";base64,", b'"data"', b'"blob"', b'"file_data"', b'"b64_json"')
_NUMBERED = (b"\\u003", b"\\u005", b"\\u006", b"\\u007")


class Part(NamedTuple):
    """Something that was taken out; without its bytes where they were sent ahead."""

    attachment: Attachment
    data: bytes | None


class Keeper(NamedTuple):
    """Where attachments are kept."""

    blobs: Blobs
    uses: Uses
    max_bytes: int = 20_000_000  # of one attachment

    def keep(self, interaction: str, parts: Sequence[Part]) -> None:
        """Make the bytes of `parts` durable, and see that those sent ahead are there: InvalidInput if not.

        Blocks on the disk. The interaction that names them is to be written after it.
        """
        self.uses.announce(sorted({part.attachment.hash for part in parts}), interaction)
        for part in parts:
            if part.data is not None:
                self.blobs.put(part.data)
            elif not self.blobs.has(part.attachment.hash):
                raise _absent(part.attachment)

    def take_out(self, fields: dict[str, Any], names: Sequence[str]) -> list[Part]:
        """Replace each value in those of `fields` that are objects by its Attachment, in place; writes nothing.

        InvalidInput for bad base64 or too many, TooLarge for one over the limit; each says where.
        """
        found = _Found(self, [])
        for name in names:
            if isinstance(fields.get(name), dict) and _may_carry(fields[name], _DEEPEST):
                fields[name] = _without(fields[name], _Where(None, name), found, _DEEPEST)
        return found.parts

    def sent_ahead(self, hash: str, where: str) -> tuple[str, int]:
        """(media type, size) of bytes that are there; InvalidInput if they are not."""
        try:
            if self.uses.known(hash):
                return media_of(self.blobs.get(hash)), self.blobs.size(hash)
        except NotFound:
            pass
        raise _absent(Attachment(hash=hash, media=UNKNOWN, size=0, where=where))


def may_hold(body: bytes) -> bool:
    """Whether a request's body may hold a value; then what it becomes is to be built in a thread. Never wrong with no.

    >>> may_hold(b'{"input": "where is my card"}'), may_hold(b'{"url": "data:image/png;base64,AA=="}')
    (False, True)
    """
    for sign in _SIGNS:
        if sign in body:
            return True
    return b"\\u00" in body and any(sign in body for sign in _NUMBERED)


def referred(value: Any, renamed: Mapping[int, Attachment]) -> Any:
    """`value` with each Attachment as the object that stands for it in a record; `renamed` says by Python's `id` which
    stands for which."""
    if isinstance(value, Attachment):
        part = renamed[id(value)]
        named = {} if part.name is None else {"name": part.name}
        return {"blob": part.hash, "media": part.media, "size": part.size, **named}
    if isinstance(value, dict):
        return {key: referred(inner, renamed) for key, inner in value.items()}
    return [referred(inner, renamed) for inner in value] if isinstance(value, list) else value


class _Where(NamedTuple):
    """A place in a value; its words are put together only when they are needed."""

    above: "_Where | None"
    key: Any

    def __str__(self) -> str:
        keys, place = [], self
        while place.above is not None:
            keys.append(str(place.key))
            place = place.above
        return ".".join([place.key, *reversed(keys)])[:_LONGEST]

    @property
    def name(self) -> Any:
        """The nearest key above that is none of a list."""
        return self.above.name if isinstance(self.key, int) and self.above is not None else self.key


class _Found(NamedTuple):
    keeper: Keeper
    parts: list[Part]

    def value(self, data: bytes, where: "_Where", said: str | None, name: str | None) -> Attachment:
        media = media_of(data, said)
        return self._add(Attachment(hash=hashlib.sha256(data).hexdigest(), media=media, size=len(data),
                                    where=str(where), name=name), data)  # fmt: skip

    def reference(self, hash: str, where: "_Where", name: str | None) -> Attachment:
        media, size = self.keeper.sent_ahead(hash, str(where))
        return self._add(Attachment(hash=hash, media=media, size=size, where=str(where), name=name), None)

    def _add(self, made: Attachment, data: bytes | None) -> Attachment:
        if len(self.parts) == _MOST:
            raise InvalidInput(f"more than {_MOST} attachments in one interaction; send their addresses instead")
        self.parts.append(Part(made, data))
        return made


def _may_carry(value: Any, levels: int) -> bool:
    """Whether it is worth a closer look: most conversations are words alone, and they pay for this only."""
    if isinstance(value, dict):
        if not _CARRYING.isdisjoint(value):
            return True
        value = value.values()
    for inner in value:
        if inner.__class__ is str:
            if inner.startswith("data:"):
                return True
        elif isinstance(inner, dict | list) and (not levels or _may_carry(inner, levels - 1)):
            return True
    return False


def _without(value: Any, where: "_Where", found: _Found, levels: int) -> Any:
    """`value` with attachments where values were; the same object if there were none."""
    if isinstance(value, str):
        return _from_text(value, where, found, None, meant=where.name in _URLS)
    if not isinstance(value, dict | list):
        return value
    if not levels:
        raise InvalidInput(f"{str(where)[:60]}…: nested more than {_DEEPEST} levels deep; flatten it")
    if isinstance(value, list):
        return _each(value, enumerate(value), where, found, levels)
    if _CARRYING.isdisjoint(value):  # nearly every object
        return _each(value, value.items(), where, found, levels)
    return _carried(value, where, found, levels)


def _each(value: Any, inside: Iterable[tuple[Any, Any]], where: "_Where", found: _Found, levels: int) -> Any:
    """A list or an object, copied only once something in it changes."""
    out = value
    for key, inner in inside:
        if inner.__class__ is str and not inner.startswith("data:"):
            continue
        new = _without(inner, _Where(where, key), found, levels - 1)
        if new is not inner:
            out = value.copy() if out is value else out
            out[key] = new
    return out


def _carried(value: dict[str, Any], where: "_Where", found: _Found, levels: int) -> Any:
    """An object that may say that a string of its own is bytes."""
    name = next((_printable(value[one]) for one in _NAMED if isinstance(value.get(one), str)), None)
    blob = value.get("blob")
    if isinstance(blob, str) and _HASH.fullmatch(blob) and _OWN.issuperset(value):
        return found.reference(blob, where, name)
    said = next((value[one] for one in _SAID if isinstance(value.get(one), str)), None)
    key = _field(value, where.name, said)
    if key is None:
        return _each(value, value.items(), where, found, levels)
    there = _Where(where, key)
    made = _from_text(value[key], there, found, name, meant=True)
    if made is value[key]:
        made = found.value(_decoded(made, there, found.keeper.max_bytes), there, said or _format(value), name)
    if key == "data" and _OWN.issuperset(value):
        return made  # our own form: the object is the value
    rest = [(other, inner) for other, inner in value.items() if other != key]
    return _each({**value, key: made}, rest, where, found, levels)


def _field(value: Mapping[str, Any], key: Any, said: str | None) -> str | None:
    """The key whose string is base64, if this object has one."""
    for one in ("file_data", "b64_json"):
        if isinstance(value.get(one), str) and value[one]:
            return one
    kind, typed = value.get("type"), said is not None and _MEDIA.fullmatch(said) is not None
    if kind == "blob" and typed and isinstance(value.get("content"), str) and value["content"]:
        return "content"
    if not isinstance(value.get("data"), str) or not value["data"] or kind == "text":
        return None
    return "data" if typed or kind == "base64" or key in _HOLDERS else None


def _format(value: Mapping[str, Any]) -> str | None:
    """What `input_audio` calls its kind."""
    found = value.get("format")
    return f"audio/{found}" if isinstance(found, str) else None


def _from_text(text: str, where: "_Where", found: _Found, name: str | None, *, meant: bool) -> Any:
    """The attachment a data URL in base64 is; any other text as it is, and so one that is broken where a person may
    have written it."""
    head = _DATA_URL.match(text) if text.startswith("data:") else None
    if head is None or head.end() == len(text):
        return text
    try:
        data = _decoded(text[head.end() :], where, found.keeper.max_bytes)
    except TooLarge:
        raise
    except InvalidInput:
        if meant:
            raise
        return text
    return found.value(data, where, head[1] or None, name)


def _decoded(text: str, where: "_Where", most: int) -> bytes:
    if len(text) * 3 // 4 > most + 3:
        raise _too_large(len(text) * 3 // 4, where, most)
    try:
        try:
            data = binascii.a2b_base64(text, strict_mode=True)
        except binascii.Error:  # broken into lines, for addresses, or without its padding: as good
            plain = text.translate(_LOOSE).rstrip("=")
            data = binascii.a2b_base64(plain + "=" * (-len(plain) % 4), strict_mode=True)
    except (binascii.Error, ValueError):
        raise InvalidInput(f"{where}: not valid base64; send the bytes as base64, or an address") from None
    if len(data) > most:
        raise _too_large(len(data), where, most)
    return data


def _too_large(size: int, where: "_Where", most: int) -> TooLarge:
    limit = f"the limit of an attachment is {most:,} (EVERLOOP_MAX_ATTACHMENT_BYTES)"
    return TooLarge(f"{where}: {size:,} bytes; {limit}")


def _absent(part: Attachment) -> InvalidInput:
    return InvalidInput(f"{part.where}: there is no blob {part.hash[:16]}…; send its bytes to POST /v1/blobs first")


def _printable(name: str) -> str:
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name[:_LONGEST])

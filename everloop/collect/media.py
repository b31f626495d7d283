"""What kind of bytes these are, by their first ones: never by what a client says of them."""

import re

UNKNOWN = "application/octet-stream"
IMAGES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
AUDIO = frozenset({"audio/wav", "audio/mpeg", "audio/ogg"})
VIDEO = frozenset({"video/mp4"})
INLINE = IMAGES | AUDIO | VIDEO  # what a page may show in place: nothing that can hold a script
_SEEN = INLINE | {"application/pdf"}
_SAID = re.compile(r"[a-z0-9][a-z0-9.+-]{0,60}/[a-z0-9][a-z0-9.+-]{0,80}")


def media_of(data: bytes, said: str | None = None) -> str:
    """The media type of `data`; where its bytes don't tell, what was `said`, unless that is one they would have told.

    >>> media_of(b"%PDF-1.7", "image/png"), media_of(b"<svg>", "image/png"), media_of(b"a,b", "text/csv")
    ('application/pdf', 'application/octet-stream', 'text/csv')
    """
    found = sniffed(data)
    if found is not None or said is None:
        return found or UNKNOWN
    plain = said.partition(";")[0].strip().lower()
    return plain if plain not in _SEEN and _SAID.fullmatch(plain) else UNKNOWN


def sniffed(data: bytes) -> str | None:
    """One of the media types a page can show, or PDF; None for anything else.

    The signatures are those of the WHATWG's MIME Sniffing standard, of RFC 3533 (Ogg) and of ISO 14496-12 (MP4).
    """
    head = data[:16]
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if head.startswith(b"RIFF"):
        return {b"WEBP": "image/webp", b"WAVE": "audio/wav"}.get(head[8:12])
    if head.startswith(b"OggS\x00"):
        return "audio/ogg"
    if head.startswith(b"%PDF-"):
        return "application/pdf"
    if head[4:8] == b"ftyp" and head[8:12].isascii():
        return "video/mp4"
    if head.startswith(b"ID3") or _is_mpeg_audio(head):
        return "audio/mpeg"
    return None


def _is_mpeg_audio(head: bytes) -> bool:
    """A frame of MPEG audio, layer III: eleven bits of synchronisation, then fields of which some values can't be."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE6 != 0xE2:
        return False
    return head[1] >> 3 & 3 != 1 and head[2] >> 4 not in (0, 15) and head[2] >> 2 & 3 != 3

"""Email addresses, IP addresses, and names and passwords inside URLs."""

import ipaddress
import re
from collections.abc import Iterator

from everloop.redact.recogniser import Recogniser

_FILES = {"png", "jpg", "jpeg", "gif", "svg", "webp", "avif", "ico", "css", "js", "html"}  # logo@2x.png
_LABEL = re.compile(r"[^\W\d_][\w-]*[^\W_]", re.UNICODE)
_INSIDE_URL = re.compile(r"://[^\s/@]*\Z")
_VERSION = re.compile(r"(?i:\b(?:version|ver|release|build|firmware|section|chapter|§)\.?[ :=]{0,2})\Z")
_PRODUCT = re.compile(r"[A-Za-z]/\Z")  # Chrome/120.0.0.0


def emails(match: re.Match[str]) -> Iterator[tuple[int, int]]:
    """The address without what only touches it; the last part of the host must be able to be a top-level domain."""
    start, end, text = *match.span(), match.string
    while text[start] in ".'&%~-":
        start += 1
    local, _, host = text[start:end].partition("@")
    labels = host.split(".")
    while labels and not _LABEL.fullmatch(labels[-1].rstrip("-_")):
        labels.pop()
    if not local or len(labels) < 2 or labels[-1].lower() in _FILES or local == "git":
        return
    if _INSIDE_URL.search(text[max(0, start - 256) : start]):
        return  # postgres://user:password@host: the credentials are what is secret, and the host may be of use
    yield start, start + len(local) + 1 + len(".".join(labels).rstrip("-_"))


def addresses4(match: re.Match[str]) -> Iterator[tuple[int, int]]:
    """Not a version, a mask, nor this machine itself."""
    parts = [int(part) for part in match[0].split(".")]
    before = match.string[max(0, match.start() - 16) : match.start()]
    if max(parts) > 255 or parts[0] in (0, 127, 255) or _VERSION.search(before):
        return
    if parts[3] == 0 and _PRODUCT.search(before):
        return
    yield match.span()


def addresses6(match: re.Match[str]) -> Iterator[tuple[int, int]]:
    """Whatever the standard library can read, but a digit must be in it: `a::b` is a name in some languages."""
    found = match[0]
    if len(found) > 45 or not any(sign.isdigit() for sign in found):
        return
    found = found.rstrip(":.") if not found.endswith("::") else found
    try:
        address = ipaddress.IPv6Address(found)
    except ValueError:
        return
    if not address.is_loopback and not address.is_unspecified:
        yield match.start(), match.start() + len(found)


def addresses6_short(match: re.Match[str]) -> Iterator[tuple[int, int]]:
    """Those with zeros left out."""
    if "::" in match[0]:
        yield from addresses6(match)


EMAIL = Recogniser("email", re.compile(r"(?<![\w.%+'~&-])[\w.%+'~&-]++@[\w-]++(?:\.[\w-]++)++"), emails, ("@",))
# What stands before the first digit is looked at after it: so the search can leap from digit to digit.
IPV4 = Recogniser(
    "ip", re.compile(r"[0-9](?<![0-9A-Za-z_.].)[0-9]{0,2}(?:\.[0-9]{1,3}){3}(?![0-9A-Za-z_]|\.[0-9])"), addresses4,
    (".",), digits=4, word=7,
)  # fmt: skip
_COLONS = re.compile(r"(?<![0-9A-Za-z_:.])(?=[0-9A-Fa-f]{0,4}:)[0-9A-Fa-f:.]++(?![A-Za-z_])")
# Zeros left out, or all eight groups.
IPV6_SHORT = Recogniser("ip", _COLONS, addresses6_short, ("::",), digits=1)
IPV6_WHOLE = Recogniser("ip", _COLONS, addresses6, (":",), digits=1, word=15)
# The user and password of scheme://user:password@host, and nothing else of it.
CREDENTIALS = Recogniser("credentials", re.compile(r"://([^\s/?#@:\"'<>]*+:[^\s/?#\"'<>]*)@"), needs=("://",),
                         before=0)  # fmt: skip

NETWORK = (EMAIL, IPV4, IPV6_SHORT, IPV6_WHOLE, CREDENTIALS)

"""Digits, signs and spaces of other scripts as ASCII, and without the characters that cannot be seen."""

import re
import unicodedata

# Digits of any script, full-width ASCII, dashes, spaces that are not " ", ideographic full stops.
_ODD = re.compile("(?![0-9])\\d|[\uff01-\uff5e\u2010-\u2015\u2212\ufe58\ufe63\xa0\u1680\u2000-\u200a\u202f\u205f\u3000"
                  "\u3002\uff61]")  # fmt: skip
# Soft hyphen, joiners, direction marks, variation selectors, key caps, tags: they take no room on a screen.
_UNSEEN = re.compile(
    "[\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u20e3"
    "\ufe00-\ufe0f\ufeff\U000e0000-\U000e01ef]"
)
_DASHES, _STOPS = set("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63"), set("\u3002\uff61")


def _plain(match: re.Match[str]) -> str:
    sign = match[0]
    if sign in _DASHES:
        return "-"
    if sign in _STOPS:
        return "."
    if "\uff01" <= sign <= "\uff5e":
        return chr(ord(sign) - 0xFEE0)
    digit = unicodedata.decimal(sign, None)
    return " " if digit is None else str(digit)


def fold(text: str) -> tuple[str, list[int] | None]:
    """`text` as the patterns read it, and for each of its characters the offset in `text` (None: the same offset).

    Look-alike letters (Cyrillic "а" for "a"), digits in words and circled or superscript digits stay what they are.

    >>> fold("４１１１\\u200b 1")
    ('4111 1', [0, 1, 2, 3, 5, 6])
    """
    if text.isascii():
        return text, None
    plain = _ODD.sub(_plain, text)
    if not _UNSEEN.search(plain):
        return plain, None
    seen = [i for i, sign in enumerate(plain) if not _UNSEEN.match(sign)]
    return "".join([plain[i] for i in seen]), seen

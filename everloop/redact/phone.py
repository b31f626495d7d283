"""Phone numbers, with restraint: digits alone are an order number until their shape or a word beside them says more."""

import re
from collections.abc import Iterator

from everloop.redact.recogniser import Recogniser

# Country calling codes that are given out (ITU-T E.164).
_CODES = re.compile(
    "1|7|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|2[1-69][0-9]|3[578][0-9]|42[0-9]|50[0-9]|59[0-9]|"
    "6[789][0-9]|8[0578][0-9]|96[0-9]|97[0-9]|99[0-9]"
)
_NORTH_AMERICA = re.compile("1[2-9][0-9]{2}[2-9][0-9]{6}")
_GROUP = re.compile("[0-9]+")
_DATE = re.compile(
    r"[0-9]{1,2}([./-])[0-9]{1,2}\1(?:19|20)[0-9]{2}(?![0-9])"
    r"|(?:19|20)[0-9]{2}[./-](?:0[1-9]|1[0-2]|(?:19|20)[0-9]{2}(?![0-9]))"
)
_EXTENSION = re.compile(r"[ ,]{0,2}(?i:x|ext\.?|extension|#)[ ]?[0-9]{1,6}(?![0-9])")


def _with_extension(text: str, end: int) -> int:
    found = _EXTENSION.match(text, end)
    return found.end() if found else end


def international(match: re.Match[str]) -> Iterator[tuple[int, int]]:
    """Up to 15 digits after the "+" or "00", ended where a group of digits ends; eleven in North America."""
    text, (start, end) = match.string, match.span(1)
    groups = [group.span() for group in _GROUP.finditer(text, start, end)]
    digits, best = "", 0
    for at, (first, last) in enumerate(groups):
        # A group that the pattern's bound cut short, or one too many, is somebody else's number.
        if (last == end and text[end : end + 1].isdigit()) or (at > 2 and _DATE.match(text, first)):
            break
        digits += text[first:last]
        if len(digits) > 15 or (digits[0] == "1" and len(digits) > 11):
            break
        if _NORTH_AMERICA.fullmatch(digits) if digits[0] == "1" else len(digits) >= 8:
            best = last
    if best and _CODES.match(digits):
        best += text[best : best + 1] == ")" and "(" in text[start:best] and ")" not in text[start:best]
        yield match.start(), _with_extension(text, best)


def national(match: re.Match[str]) -> Iterator[tuple[int, int]]:
    """A trunk 0 and nine to eleven digits in groups; or the shapes of one country. Never a date."""
    start, end = match.span()
    digits = len(re.sub("[^0-9]", "", match[0]))
    if 8 + (match[0][0] == "0") <= digits <= 11 and not _DATE.match(match[0]):
        yield start, _with_extension(match.string, end)


def north_american(match: re.Match[str]) -> Iterator[tuple[int, int]]:
    """The pattern says it all; an extension may follow."""
    yield match.start(), _with_extension(match.string, match.end())


# The words that say so, with what may stand between them and the number. "text" and "reach" are keys of other things.
_BEFORE = re.compile(
    r"(?<![A-Za-z])(?i:(?:tele)?phone|telefon[eo]?|téléphone|teléfono|tel|mobile|mobil|cell(?:phone|ular)?|handy|fax|"
    r"hotline|landline|desk|office|whatsapp|contact|"
    r"(?:call|dial|ring|reach|sms)(?![\"=])|(?:texts?|messages)(?=[ ])|"
    r"(?:my|your|his|her|our|their)[ ]number)(?![a-z])[^0-9+(]{0,24}\Z"
)
_AFTER = re.compile(r"[ ]?[-,(]?[ ]?(?i:office|fax|mobile|cell|home|work|phone|tel)(?![A-Za-z])")
# A decimal, an address, a time in seconds or milliseconds.
_NOT_A_PHONE = re.compile(r"[0-9]\.[0-9]+|(?:[0-9]{1,3}\.){3}[0-9]{1,3}|1[0-9]{9}|1[0-9]{12}")
# A number may be said to be something else.
_OTHER = re.compile(
    r"(?i:order|invoice|ticket|case|reference|\bref\b|account|tracking|parcel|serial|version|booking|transaction|"
    r"customer|item|product|\bid\b|code|date|price|amount|total|zip|postal|card|[$€£¥%])"
)


def said(match: re.Match[str]) -> Iterator[tuple[int, int]]:
    """Seven to fifteen digits that a word beside them says are a phone number."""
    (start, end), text = match.span(), match.string
    size = sum(sign.isdigit() for sign in match[0])
    if not 7 <= size <= 15 or _DATE.match(match[0]) or _NOT_A_PHONE.fullmatch(match[0]):
        return
    word = _BEFORE.search(text[max(0, start - 44) : start]) or _AFTER.match(text, end)
    if word and not _OTHER.search(word[0]):
        yield start, _with_extension(text, end)


# What may not stand before a number is looked at after its first sign: so the search can leap to the next such sign.
_ALONE = r"(?<![0-9A-Za-z_+].)"
_APART = _ALONE + r"(?<![0-9][./,:-].)"
_REST = r"[2-9][0-9]{2}"
# One digit a step and at most one way to take it: this can't backtrack into a second reading.
_PLUS = (
    rf"(?:\+{_ALONE}[ ]?|\({_ALONE}\+|0{_ALONE}(?<![0-9][ .-].)0[ .-]?(?=[1-9][0-9 .()/-]{{10}}))"
    r"([1-9](?:\)?[ ./-]?\(?[0-9]){6,19}+)"
)
_TRUNK = (
    rf"(?:\({_APART}0[1-9][0-9]{{0,3}}\)[ ]?[0-9]{{2,8}}|0{_APART}[1-9][0-9]{{0,3}}[ ./-][0-9]{{2,8}})"
    r"(?:[ .-][0-9]{2,4}){0,4}"
    r"(?![0-9A-Za-z_]|[./,:-][0-9])"
)
_AREA = rf"\({_APART}(?<!\).)[1-9][0-9]{{1,2}}\)[ ]?[0-9]{{3,5}}[ .-][0-9]{{3,4}}(?![0-9A-Za-z_]|[./,:-][0-9])"
_AMERICAN = (
    rf"(?:1{_APART}[ .-](?:\({_REST}\)[ .-]?{_REST}[ .-]?|{_REST}([ .-]){_REST}\1)"
    rf"|\({_APART}{_REST}\)[ .-]?{_REST}[ .-]?|[2-9]{_APART}[0-9]{{2}}([ .-]){_REST}\2)[0-9]{{4}}(?![0-9]|[./,:-][0-9])"
)
_LOOSE = rf"(?:\({_APART}\+?[0-9]|\+{_APART}[0-9]|[0-9]{_APART})(?:\)?[ ./-]?\(?[0-9]){{6,16}}+(?![0-9]|[,:/][0-9])"

PHONE = (
    Recogniser("phone", re.compile(_PLUS), international, ("+", "00"), digits=8),
    Recogniser("phone", re.compile(_TRUNK), national, ("0",), digits=9),
    Recogniser("phone", re.compile(_AREA), national, ("(",), digits=8),
    Recogniser("phone", re.compile(_AMERICAN), north_american, digits=10),
    Recogniser("phone", re.compile(_LOOSE), said, digits=7),
)

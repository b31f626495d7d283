"""Numbers with a checksum or with ranges: payment cards, IBANs, US social security numbers, Bitcoin addresses."""

import re
from collections.abc import Iterator

from everloop.redact import checksums
from everloop.redact.recogniser import Recogniser

# Prefixes and lengths by brand (ISO/IEC 7812 numbers, as the networks publish their ranges).
_BRANDS = re.compile(
    r"""
      4(?:[0-9]{12}|[0-9]{15}|[0-9]{18})                                                        # Visa
    | (?:5[1-5][0-9]{2}|222[1-9]|22[3-9][0-9]|2[3-6][0-9]{2}|27[01][0-9]|2720)[0-9]{12}         # Mastercard
    | 3[47][0-9]{13}                                                                            # American Express
    | (?:30[0-5]|309)[0-9]{11,16} | 3[689][0-9]{12,17}                                          # Diners
    | (?:352[89]|35[3-8][0-9])[0-9]{12,15} | (?:1800|2131)[0-9]{11}                             # JCB
    | (?:5018|5020|5038|5893|6304|6390|6759|676[1-3]|0604|5[678][0-9]{2})[0-9]{8,15}            # Maestro
    | (?:50|6[0-9])[0-9]{14,17}                                      # Discover, UnionPay, RuPay, Verve, Maestro
    | 220[0-4][0-9]{12,15} | 9792[0-9]{12} | 8[12][0-9]{14}                                     # Mir, Troy, RuPay
    """,
    re.VERBOSE,
)
_GROUP = re.compile("[0-9]+")
_ODD_SHAPES = {(8, 8), (6, 10), (6, 13)}


def _written_like_a_card(sizes: tuple[int, ...]) -> bool:
    """4-4-4-4 and its kin: rows of other numbers would pass the checksum one time in ten."""
    return (
        len(sizes) == 1
        or sizes in _ODD_SHAPES
        or (len(sizes) <= 5 and sizes[0] == 4 and all(4 <= n <= 6 for n in sizes[1:-1]) and sizes[-1] <= 6)
    )


def cards(run: re.Match[str]) -> Iterator[tuple[int, int]]:
    """Payment cards among the groups of digits in a run; a security code or a date may stand beside one."""
    if run.end() - run.start() < 12:
        return
    groups = [group.span() for group in _GROUP.finditer(run.string, *run.span())]
    text = run.string
    for first, (start, stop) in enumerate(groups):
        size = 0
        if stop - start < 12 and stop - start not in (4, 6, 8):
            continue  # no card begins so
        for last in range(first, min(first + 5, len(groups))):
            end = groups[last][1]
            size += end - groups[last][0]
            if size > 19:
                break
            if size < 12 or not _written_like_a_card(tuple(e - s for s, e in groups[first : last + 1])):
                continue
            signs = {text[e] for _, e in groups[first:last]}
            # A decimal is no card: 0.4111111111111111 is a probability.
            beside = {text[s] for s in (start - 1, end) if run.start() <= s < run.end()}
            if len(signs) > 1 or "." in beside or re.search(r"(?<![0-9])0,\Z", text[max(0, start - 3) : start]):
                continue
            digits = "".join(text[s:e] for s, e in groups[first : last + 1])
            if _BRANDS.fullmatch(digits) and checksums.luhn(digits):
                yield start, end


def ibans(head: re.Match[str]) -> Iterator[tuple[int, int]]:
    """The IBAN that begins with this country and these check digits, in groups or not."""
    start, text = head.start() - 2, head.string
    length = checksums.IBAN_LENGTHS.get(text[start : start + 2].upper(), 0)
    signs, at = "", start
    while len(signs) < length and at < len(text):
        sign = text[at]
        if sign.isascii() and sign.isalnum():
            signs += sign
        elif sign not in " -" or text[at - 1] in " -":
            return
        at += 1
    if at < len(text) and text[at].isascii() and text[at].isalnum():
        return  # it goes on: something longer
    if checksums.iban(signs.upper()):
        yield start, at


def social(match: re.Match[str]) -> Iterator[tuple[int, int]]:
    """Ranges that were never given out (SSA, POMS RM 10201.035): area 000, 666, 900 to 999; group 00; serial 0000."""
    start, end = match.span(match.lastindex or 0)
    digits = re.sub("[ -]", "", match.string[start:end])
    if digits[:3] not in ("000", "666") and digits[0] != "9" and digits[3:5] != "00" and digits[5:] != "0000":
        yield start, end


def bitcoin(match: re.Match[str]) -> Iterator[tuple[int, int]]:
    """An address whose checksum holds."""
    if checksums.bech32(match[0]) if match[0][:2].lower() == "bc" else checksums.base58check(match[0]):
        yield match.span()


# Nine digits alone are an order number, unless somebody says what they are.
_SSN = r"[0-9](?<![0-9A-Za-z_].)(?<![0-9][-.,].)[0-9]{2}(?:-[0-9]{2}-|[ ][0-9]{2}[ ])[0-9]{4}(?![0-9A-Za-z_]|[-.][0-9])"
_SAID = r"(?i:\bssn|\bsocial[ _-]?security)[^0-9\n]{0,24}([0-9]{9})(?![0-9])"
_COIN = (
    r"(?:[13](?<!\w.)[1-9A-HJ-NP-Za-km-z]{25,34}"
    r"|(?:b(?<!\w.)c1|B(?<!\w.)C1)[02-9AC-HJ-NP-Zac-hj-np-z]{11,87})\b"
)

CARD = Recogniser("card", re.compile(r"[0-9](?:[ .-]?[0-9])*+"), cards, digits=12)
# Found by its check digits, which are rarer than the two letters before them.
IBAN = Recogniser(
    "iban", re.compile(r"[0-9](?<=[A-Za-z]{2}.)(?<![A-Za-z0-9][A-Za-z]{2}.)[0-9](?=[ -]?[A-Za-z0-9]{2})"), ibans,
    digits=2, word=4,
)  # fmt: skip
SSN = Recogniser("ssn", re.compile(_SSN), social, digits=9)
SSN_SAID = Recogniser("ssn", re.compile(_SAID), social, ("ssn", "social"), digits=9, word=9, before=0)
BITCOIN = Recogniser("bitcoin", re.compile(_COIN), bitcoin, ("1", "3"), digits=1, word=14)

NUMBERS = (CARD, IBAN, SSN, SSN_SAID, BITCOIN)

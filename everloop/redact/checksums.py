"""Check digits, each from its standard. Plain functions from a string to yes or no."""

import hashlib

# Length of an IBAN by country (SWIFT IBAN Registry, ISO 13616).
IBAN_LENGTHS = {
    part[:2]: int(part[2:])
    for part in (
        "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 "
        "ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 "
        "LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 "
        "PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 "
        "YE30"
    ).split()
}
_DOUBLED = str.maketrans("0123456789", "0246813579")  # twice the digit, its own digits added
_BASE58 = {sign: n for n, sign in enumerate("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz")}
_BECH32 = {sign: n for n, sign in enumerate("qpzry9x8gf2tvdw0s3jn54khce6mua7l")}


def luhn(digits: str) -> bool:
    """ISO/IEC 7812-1, annex B.

    >>> luhn("4111111111111111"), luhn("4111111111111112")
    (True, False)
    """
    return sum(map(int, digits[-1::-2] + digits[-2::-2].translate(_DOUBLED))) % 10 == 0


def iban(text: str) -> bool:
    """ISO 13616: the length is its country's, and the whole is 1 modulo 97. Upper case, no spaces.

    >>> iban("GB82WEST12345698765432"), iban("GB82WEST12345698765433")
    (True, False)
    """
    if IBAN_LENGTHS.get(text[:2]) != len(text):
        return False
    return int("".join(str(int(sign, 36)) for sign in text[4:] + text[:4])) % 97 == 1


def base58check(text: str) -> bool:
    """A Bitcoin address of the first kinds: version 0 or 5, 20 bytes, and four of their double SHA-256.

    >>> base58check("1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2"), base58check("1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN3")
    (True, False)
    """
    number = 0
    for sign in text:
        if sign not in _BASE58:
            return False
        number = number * 58 + _BASE58[sign]
    if number >> 200:
        return False
    data = number.to_bytes(25, "big")
    return data[0] in (0, 5) and hashlib.sha256(hashlib.sha256(data[:21]).digest()).digest()[:4] == data[21:]


def bech32(text: str) -> bool:
    """A Bitcoin address of the newer kinds (BIP 173; from witness version 1 on BIP 350).

    >>> bech32("bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq"), bech32("bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdp")
    (True, False)
    """
    if text not in (text.lower(), text.upper()):
        return False
    prefix, _, data = text.lower().rpartition("1")
    if len(data) < 7 or any(sign not in _BECH32 for sign in data):
        return False
    values = [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix] + [_BECH32[c] for c in data]
    check = 1
    for value in values:
        top, check = check >> 25, (check & 0x1FFFFFF) << 5 ^ value
        for bit, term in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            check ^= term if top >> bit & 1 else 0
    return check == (1 if _BECH32[data[0]] == 0 else 0x2BC830A3)

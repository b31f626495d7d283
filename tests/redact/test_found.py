"""What must be found: numbers that their issuers publish for tests, and generated ones whose checksum holds."""

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.redact import BUILT_IN, Recogniser, redact
from everloop.redact.checksums import IBAN_LENGTHS, iban, luhn
from everloop.redact.recogniser import seen

# Documented test cards of Stripe, PayPal, Adyen and Mir.
CARDS = """
4242424242424242 4000056655665556 5555555555554444 2223003122003222 5200828282828210 5105105105105100
378282246310005 371449635398431 6011111111111117 6011000990139424 6011981111111113 3056930009020004
36227206271667 6555900000604105 3566002020360505 6200000000000005 6205500000000000004
378734493671000 30569309025904 38520000023237 3530111333300000 4111111111111111 4012888888881881 4222222222222
2200000000000004 6759649826438453 5019717010103742
""".split()
# One of each of many countries from the SWIFT registry.
IBANS = """
AD1200012030200359100100 AE070331234567890123456 AT611904300234573201 AZ21NABZ00000000137010001944 BE68539007547034
BR1800360305000010009795493C1 CH9300762011623852957 CR05015202001026284066 CZ6508000000192000145399
DE89370400440532013000 DK5000400440116243 ES9121000418450200051332 FI2112345600000785 FR1420041010050500013M02606
GB29NWBK60161331926819 GR1601101250000000012300695 IE29AIBK93115212345678 IL620108000000099999999
IT60X0542811101000000123456 KW81CBKU0000000000001234560101 LC55HEMM000100010012001200023015
MT84MALT011000012345MTLCAST001S MU17BOMM0101101030300200000MUR NL91ABNA0417164300 NO9386011117947
PL61109010140000071219812874 PT50000201231234567890154 SA0380000000608010167519 SE4550000000058398257466
TR330006100519786457841326 UA213223130000026007233566001
""".split()
PHONES = [
    "+44 20 7946 0958", "+442079460958", "+1 (415) 555-2671", "+1-903-240-4508x769", "(212) 555-0187", "212-555-0187",
    "212.555.0187 ext. 12", "1-800-555-0199", "+49 (0)30 901820", "030 1234567", "0171/1234567", "01 42 68 53 00",
    "03.93.92.16.85", "07700 900123", "+33 1 42 68 53 00", "0044 20 7946 0958", "001-518-640-0854", "+61 2 5550 1234",
    "(11) 4233-6306", "+91 98765 43210", "+86 138 0013 8000", "(0)0161 496 0000"[3:], "+7 495 123-45-67",
]  # fmt: skip
SAID = ["call me on 07700900123", "Phone: 60-56-85-91", "my number is 699 956 915", "Tel. 9472 7916", "fax:\n467 3395",
        "whatsapp 5511987654321", "28-64-66-98 office"]  # fmt: skip
IPS = ["8.8.8.8", "10.0.0.1", "203.0.113.254", "2001:db8::8a2e:370:7334", "fe80::1ff:fe23:4567:890a",
       "6e40:4041:c617:e898:c11:40d2:c669:2eb4", "::ffff:192.0.2.128"]  # fmt: skip
EMAILS = ["ada@example.org", "ada.love+lace@mail.example.co.uk", "x_y-z@sub-domain.io", "jürgen@müller.de",
          "o'brien@example.com", "ADA@EXAMPLE.ORG", "user@xn--bcher-kva.example"]  # fmt: skip
BITCOINS = [
    "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy",
    "BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4",
    "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
]  # fmt: skip
# Put together here, so that nobody's scanner takes this file for a leak.
TOKENS = [
    "AKIA" + "IOSFODNN7EXAMPLE", "ghp_" + "a1B2" * 9, "github_pat_" + "11AAAAAAA0" * 4,
    "xoxb-" + "123456789012-abcdefGHIJ",
    "sk_" + "live_4eC39HqLyjWDarjtT1zdp7dc", "rk_" + "test_4eC39HqLyjWDarjtT1zdp7dc",
    "AIza" + "SyD9tSrke72PouQMnMX-a7eZSW0jkFMBW",
    "sk-" + "proj-abc123DEF456ghi789JKL", "sk-" + "ant-api03-abcdefgh12345678", "glpat-" + "abcdefghij1234567890",
    "hf_" + "abcdefghijklmnopqrstuvwxyzABCDEFGH", "eyJhbGciOiJIUzI1NiJ9" + ".eyJzdWIiOiIxIn0" + ".c2lnbmF0dXJl-_",
    "npm_" + "a1B2c3D4e5F6" * 3, "SG." + "abcdefghijklmnopqrstuv" + "." + "x" * 43,
]  # fmt: skip


def typed(text: str) -> dict[str, int]:
    return redact(text).counts


@pytest.mark.parametrize("card", CARDS)
def test_published_cards(card: str) -> None:
    assert redact(f"card {card}, thanks").text == "card [card], thanks"
    if len(card) == 16:
        for sign in " -.":
            grouped = sign.join(card[i : i + 4] for i in range(0, 16, 4))
            assert redact(f"card {grouped} please").text == "card [card] please"
        grouped = " ".join(card[i : i + 4] for i in range(0, 16, 4))
        assert redact(f"{grouped} 12/27 123").text == "[card] 12/27 123"
        assert redact(f"{grouped} 737").text.startswith("[card]")
    if len(card) == 15:
        assert typed(f"{card[:4]} {card[4:10]} {card[10:]}") == {"card": 1}


@pytest.mark.parametrize("number", IBANS)
def test_published_ibans(number: str) -> None:
    grouped = " ".join(number[i : i + 4] for i in range(0, len(number), 4))
    for text in (number, number.lower(), grouped, f"{grouped} and then", f"IBAN:{number}."):
        assert typed(text) == {"iban": 1}, text


@pytest.mark.parametrize(
    ("name", "values"),
    [("phone", PHONES), ("ip", IPS), ("email", EMAILS), ("bitcoin", BITCOINS), ("token", TOKENS)],
)
def test_by_type(name: str, values: list[str]) -> None:
    for value in values:
        for text in (
            value,
            f"it is {value}",
            f"({value})",
            f"{value}, and more",
            f"first line\n{value}\nlast",
            f"<{value}>",
        ):
            done = redact(text)
            assert done.counts == {name: 1}, (text, done)
            assert value not in done.text
            assert done.text.replace(f"[{name}]", "") in text.replace(value, ""), (text, done)


@pytest.mark.parametrize("text", SAID)
def test_a_word_beside_says_phone(text: str) -> None:
    assert typed(text) == {"phone": 1}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("password=hunter2", "password=[secret]"),
        ('{"password": "correct horse"}', '{"password": "[secret]"}'),
        ('"{\\"password\\": \\"correct horse\\"}"', '"{\\"password\\": \\"[secret]\\"}"'),
        ("my password is hunter2", "my password is [secret]"),
        ("DB_PASSWORD='tr0ub4dor&3'", "DB_PASSWORD='[secret]'"),
        ("https://x.example/?password=abcd&user=eve", "https://x.example/?password=[secret]&user=eve"),
        ("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG", "aws_secret_access_key = [secret]"),
        ("apiKey: 0a1b2c3d4e5f6071", "apiKey: [secret]"),
        ("export API_TOKEN=0a1b2c3d4e5f6071", "export API_TOKEN=[secret]"),
        ("Authorization: Bearer abcdef0123456789abcdef", "Authorization: Bearer [token]"),
        ("postgres://bob:s3cret@db.example.com/x", "postgres://[credentials]@db.example.com/x"),
        ("redis://:s3cret@10.1.2.3:6379", "redis://[credentials]@[ip]:6379"),
        ("ssn 123-45-6789", "ssn [ssn]"),
        ("social security number: 123456789", "social security number: [ssn]"),
        ("https://hooks.slack.com/services/" + "T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX",
         "https://hooks.slack.com/services/[token]"),
    ],
)  # fmt: skip
def test_only_the_value_goes(before: str, after: str) -> None:
    assert redact(before).text == after


@pytest.mark.parametrize("kind", ["", "RSA ", "EC ", "ENCRYPTED ", "OPENSSH "])
def test_private_keys(kind: str) -> None:
    key = f"-----BEGIN {kind}PRIVATE KEY-----\n" + "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n" * 20
    end = f"-----END {kind}PRIVATE KEY-----"
    assert redact(f"see {key}{end} ok").text == "see [private_key] ok"
    assert redact(f"see {key}{end} ok".replace("\n", "\\n")).text == "see [private_key] ok"
    assert redact(f"see {key}").text == "see [private_key]"
    assert redact(f"{key}was cut off").text == "[private_key]was cut off"
    assert redact(f"{key}MII=\n{end}").text == "[private_key]"
    assert (
        redact(key.replace("\n", "\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,AB\n\n", 1) + end).text
        == "[private_key]"
    )


def test_signs_that_hide_digits() -> None:
    card = "4242 4242 4242 4242"
    full = card.translate({ord(d): ord(d) + 0xFEE0 for d in string.digits})
    arabic = card.translate({ord(d): 0x660 + int(d) for d in string.digits})
    for text in (full, arabic, card.replace(" ", "\u00a0"), card.replace(" ", "\u2011"), "\u200b".join(card),
                 "\ufe0f\u20e3".join(card)):  # fmt: skip
        done = redact(f"«{text}» ok")
        assert done.text == "«[card]» ok", text
    assert redact("ada＠example．org").text == "[email]"


def complete(digits: str) -> str:
    return next(digits + check for check in string.digits if luhn(digits + check))


@given(st.sampled_from(["4", "51", "55", "2221", "2720", "6011", "65", "62", "3528", "2200"]), st.data())
def test_every_valid_card_is_found_and_no_invalid_one(prefix: str, data: st.DataObject) -> None:
    rest = data.draw(st.text("0123456789", min_size=15 - len(prefix), max_size=15 - len(prefix)))
    card = complete(prefix + rest)
    sign = data.draw(st.sampled_from(["", " ", "-"]))
    text = sign.join(card[i : i + 4] for i in range(0, 16, 4))
    assert redact(f"pay {text} now").counts.get("card") == 1
    wrong = card[:-1] + str((int(card[-1]) + data.draw(st.integers(1, 9))) % 10)
    assert "card" not in typed(f"pay {wrong} now")


@given(st.sampled_from(sorted(IBAN_LENGTHS)), st.data())
def test_every_valid_iban_is_found_and_no_invalid_one(country: str, data: st.DataObject) -> None:
    size = IBAN_LENGTHS[country] - 4
    account = data.draw(st.text(string.digits + string.ascii_uppercase, min_size=size, max_size=size))
    number = next(x for x in (f"{country}{k:02}{account}" for k in range(2, 99)) if iban(x))
    assert redact(f"to {number}!").counts.get("iban") == 1
    check = data.draw(st.integers(0, 99).filter(lambda k: (k - int(number[2:4])) % 97 != 0))
    assert "iban" not in typed(f"to {country}{check:02}{account}!")


@settings(max_examples=50)
@given(st.ip_addresses(v=6))
def test_every_version_6_address(address: object) -> None:
    text = str(address)
    expected = {} if text in ("::", "::1") or not any(c.isdigit() for c in text) else {"ip": 1}
    assert typed(f"from {text} to") == expected


def test_skipping_changes_nothing() -> None:
    """What a recogniser says about whatever it finds must hold, and so must where it is looked for."""
    samples = [
        *CARDS,
        *IBANS,
        *PHONES,
        *SAID,
        *IPS,
        *EMAILS,
        *BITCOINS,
        *TOKENS,
        "BEARER " + "a1" * 9,
        "PASSWORD:a1b2",
        "Kennwort=abcd",
        "pwd=abcd",
        "contraseña=abcd",
        "SENHA=abcd",
        "mot de passe: a1b2",
        "API-KEY=a1b2c3d4",
        "credentials: a1b2c3d4",
        "sessionid=a1b2c3d4",
        "SSN 123456789",
    ]
    for finder in BUILT_IN:
        assert isinstance(finder, Recogniser)
        for sample in samples:
            for text in (sample, f"({sample})", f"see {sample}, and\n{sample}.", sample.upper(), sample.lower()):
                if finder.find(text):
                    assert finder.may_find(seen(text)), (finder, text)
                assert finder.find(text) == finder.find(text, text.casefold())

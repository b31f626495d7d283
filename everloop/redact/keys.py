"""Keys and tokens by the shapes their makers publish, and whatever somebody calls a password, a token or a key."""

import math
import re
from collections import Counter
from collections.abc import Iterator

from everloop.redact.recogniser import Recogniser

# Each begins with something that nothing else begins with, so no checksum is needed.
_SHAPES = r"""(?<![0-9A-Za-z_-])(?:
    (?:AKIA|ASIA|AGPA|AIDA|AROA|ANPA|ANVA|ABIA|ACCA)[A-Z2-7]{16}(?![0-9A-Za-z])         # AWS
  | gh[pousr]_[0-9A-Za-z]{30,} | github_pat_[0-9A-Za-z_]{22,}                           # GitHub
  | glpat-[0-9A-Za-z_-]{20,}                                                            # GitLab
  | xox[abeoprs](?:\.xox[bp])?-[0-9A-Za-z-]{10,} | xapp-[0-9]-[0-9A-Za-z-]{10,}         # Slack
  | [srp]k_(?:live|test)_[0-9A-Za-z]{10,} | whsec_[0-9A-Za-z+/=]{20,}                   # Stripe
  | AIza[0-9A-Za-z_-]{30,} | ya29\.[0-9A-Za-z_-]{20,} | GOCSPX-[0-9A-Za-z_-]{20,}        # Google
  | hf_[0-9A-Za-z]{30,} | npm_[0-9A-Za-z]{36} | pypi-[0-9A-Za-z_-]{50,}                 # Hugging Face, npm, PyPI
  | SG\.[0-9A-Za-z_-]{16,}\.[0-9A-Za-z_-]{16,} | nvapi-[0-9A-Za-z_-]{40,}               # SendGrid, NVIDIA
  | (?:gsk|r8|xai|pplx|dop_v1)[_-][0-9A-Za-z]{32,}                                      # Groq, Replicate, xAI, …
  | evl_[0-9A-Za-z]{10}_[0-9A-Za-z]{49}                                                 # our own
  | [0-9]{8,10}:AA[0-9A-Za-z_-]{33}                                                     # Telegram
)"""
_SIGNS = (
    *("akia", "asia", "agpa", "aida", "aroa", "anpa", "anva", "abia", "acca", "gho_", "ghp_", "ghr_", "ghs_", "ghu_"),
    *("github_pat_", "glpat-", "xox", "xapp-", "k_live_", "k_test_", "whsec_", "aiza", "ya29.", "gocspx-", "hf_"),
    *("npm_", "pypi-", "sg.", "nvapi-", "gsk", "r8", "xai", "pplx", "dop_v1", "evl_", ":aa"),
)
# Quoted, or up to a space or a sign that ends a value. Whatever follows the name is read once, so this stays linear.
_VALUE = r"""(?:"([^"\n]{4,})"|\\"([^"\\\n]{4,})\\"|'([^'\n]{4,})'|\\?["'`]?([^\s"'`<>,;&]{4,}))"""
_EQUALS = r"""\\?["'`]?\]?[ \t]{0,3}(?::=|=>|==?|:)[ \t]{0,3}"""
# Secrets that people choose, and secrets that machines draw.
_CHOSEN = r"(?i:passwords?|passwd|passphrase|passcode|pwd|passwort|kennwort|contrase(?:ñ|n)a|mot[ ]de[ ]passe|senha)"
_DRAWN = (
    r"(?i:(?:api|access|secret|private|encryption|signing|auth|account|shared|master|license|subscription)"
    r"[_ -]?key(?:[_-]?id)?|token|secret|credentials?|sessionid)"
)
_CODE = re.compile(r"[A-Za-z_]+(?:\.[A-Za-z_]+)+\[?|\*+|[xX]+|\.+|(?i:none|null|true|false|undefined|string|required)")
_ODD = re.compile(r"[0-9!@#$%^&*+=~?]")


def entropy(text: str) -> float:
    """Shannon's, in bits a character.

    >>> entropy("aaaa"), entropy("abcd")
    (0.0, 2.0)
    """
    n = len(text)
    return max(0.0, -sum(k / n * math.log2(k / n) for k in Counter(text).values()))


def _taken(match: re.Match[str]) -> tuple[int, int, bool]:
    """Where the value stands, and whether it was quoted."""
    group = match.lastindex or 0
    start, end = match.span(group)
    return start, end, match.string[start - 1] in "\"'" and match.string[end : end + 1] in ("'", '"', "\\")


def _is_code(value: str) -> bool:
    """`os.environ`, `getpass(…)`, `${PASSWORD}`: where a secret comes from, and not the secret."""
    return value[0] in "${%[<" or "(" in value or _CODE.fullmatch(value) is not None


def assigned_passwords(match: re.Match[str]) -> Iterator[tuple[int, int]]:
    """After "=", anything; after ":" or "is", what no word looks like, since "password: required" is prose."""
    start, end, quoted = _taken(match)
    value = match.string[start:end]
    if not _is_code(value) and (quoted or "=" in match[1] or _ODD.search(value.rstrip("?!*"))):
        yield start, end


def assigned_keys(match: re.Match[str]) -> Iterator[tuple[int, int]]:
    """Letters and digits mixed, or long and without the repetition that words have."""
    start, end, _ = _taken(match)
    value = match.string[start:end]
    if _is_code(value) or len(value) < 8:
        return
    mixed = any(sign.isdigit() for sign in value) and any(sign.isalpha() for sign in value)
    if " " not in value and (entropy(value) >= 2.5 if mixed else len(value) >= 20 and entropy(value) >= 4):
        yield start, end


def with_digit(match: re.Match[str]) -> Iterator[tuple[int, int]]:
    """`sk-learn-is-not-a-key-but-a-slug`: what machines draw has a digit."""
    group = match.lastindex or 0
    if any(sign.isdigit() for sign in match[group]):
        yield match.span(group)


KEYS = (
    Recogniser("private_key", re.compile(
        # Without its end too: a log line that was cut off still holds the key.
        r"-----BEGIN (?:[A-Z0-9]+ ){0,4}PRIVATE KEY(?: BLOCK)?-----"
        r"(?:\s|\\[nr]|[A-Z][A-Za-z-]++: [^\n\\]*+|[0-9A-Za-z+/=]{16,}+)*+"
        r"(?:[0-9A-Za-z+/=]{1,15}+(?:\s|\\[nr])*+(?=-----END))?"
        r"(?:-----END (?:[A-Z0-9]+ ){0,4}PRIVATE KEY(?: BLOCK)?-----)?"), needs=("private key",)),
    Recogniser("token", re.compile(_SHAPES, re.VERBOSE), needs=_SIGNS, word=15, before=10),
    Recogniser("token", re.compile(r"(?<![0-9A-Za-z_-])sk-[0-9A-Za-z_-]{20,}"), with_digit, ("sk-",),
               word=23, before=0),  # OpenAI, …
    Recogniser("token", re.compile(r"https://hooks\.slack\.com/(?:services|workflows)/([0-9A-Za-z/_-]{20,})"),
               needs=("hooks.slack.com",), before=8),
    Recogniser("token", re.compile(r"(?<![0-9A-Za-z_-])eyJ[0-9A-Za-z_-]{8,}(?:\.[0-9A-Za-z_-]*){2,4}"), needs=("eyj",),
               word=13, before=0),
    Recogniser("token", re.compile(r"(?i:\b(?:bearer|basic))\s{1,3}([0-9A-Za-z._~+/=-]{16,})"), with_digit,
               ("bearer", "basic"), word=16, before=0),
    Recogniser("secret", re.compile(rf"{_CHOSEN}({_EQUALS}|[ ](?i:is|was|to|ist)[ ]:?[ ]?){_VALUE}"),
               assigned_passwords, ("pass", "pwd", "kennwort", "contrase", "senha"), before=7),
    Recogniser("secret", re.compile(rf"{_DRAWN}{_EQUALS}{_VALUE}"), assigned_keys,
               ("key", "token", "secret", "credential", "sessionid"), (":", "="), before=13),
)  # fmt: skip

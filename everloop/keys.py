"""API keys: made, looked up, rotated, revoked. What is stored is a hash; the secret is shown once.

``evl_<id>_<secret><check>``: the id is public and stands in lists and in the audit log; the secret is 256 bits from the
system's generator; six characters of CRC-32 at the end tell a typo, or a scanner that looks for leaked keys, that this
is or is not one of ours, without asking anybody. All of it is letters, digits and two underscores, so that a double
click takes it whole. The hash is one SHA-256: a slow hash protects what people choose, and 256 random bits can't be
guessed, however fast each guess is.
"""

import binascii
import hashlib
import hmac
import ipaddress
import re
import secrets
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

from msgspec.structs import replace

from everloop.auditing import along, noted
from everloop.errors import Conflict, InvalidInput, NotFound
from everloop.ids import now
from everloop.store import Records
from everloop.types import Key, LoopSpec, Role

PREFIX = "evl_"
ROLES: tuple[Role, ...] = ("admin", "developer", "reviewer", "client", "publishable")
MAKE_ONE = "everloop keys create --role admin"

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ID, _SECRET, _CHECK = 10, 43, 6  # characters; 43 of 62 hold 256 bits
_SHAPE = re.compile(rf"{PREFIX}([0-9A-Za-z]{{{_ID}}})_[0-9A-Za-z]{{{_SECRET + _CHECK}}}")
_SIZE = len(PREFIX) + _ID + 1 + _SECRET + _CHECK
_DAY = 86_400_000
_LONGEST_NAME = 100
_LONGEST_GRACE = 90 * 86_400.0  # seconds
_MOST_ORIGINS = 50

State = Literal["live", "ends", "ended", "revoked"]


class Made(NamedTuple):
    """A new key, and the secret that nobody can show again."""

    key: Key
    secret: str


class Keyring:
    """All keys at one moment, to be asked for by their secret."""

    def __init__(self, keys: Iterable[Key] = ()):
        self._by_id = {key.id: (key, bytes.fromhex(key.hash)) for key in keys}
        self.origins = frozenset(o for key, _ in self._by_id.values() if usable(key, now()) for o in key.origins)

    def __len__(self) -> int:
        return len(self._by_id)

    def get(self, id: str) -> Key | None:
        """The key with that id, whatever its state."""
        found = self._by_id.get(id)
        return None if found is None else found[0]

    def find(self, secret: str) -> Key | None:
        """The key whose secret this is, whatever its state; compared in constant time.

        >>> made = new_key("bot", "client")
        >>> ring = Keyring([made.key])
        >>> ring.find(made.secret) is made.key, ring.find(made.secret + "x"), ring.find("")
        (True, None, None)
        """
        if len(secret) != _SIZE or not secret.isascii():
            return None
        found = self._by_id.get(secret[len(PREFIX) : len(PREFIX) + _ID])
        if found is None:
            return None
        return found[0] if hmac.compare_digest(hashlib.sha256(secret.encode()).digest(), found[1]) else None


def usable(key: Key, at: int) -> bool:
    """Whether it opens anything at that time."""
    return key.revoked is None and (key.until is None or at < key.until)


def state(key: Key, at: int) -> State:
    """In one word; "ends": it still works, and has an end."""
    if key.revoked is not None:
        return "revoked"
    if key.until is None:
        return "live"
    return "ends" if at < key.until else "ended"


def well_formed(text: str) -> bool:
    """Whether a text could be a key of ours: its shape and its checksum.

    >>> secret = new_key("bot", "client").secret
    >>> well_formed(secret), well_formed(secret.swapcase()), well_formed("evl_123")
    (True, False, False)
    """
    return _SHAPE.fullmatch(text) is not None and _checksum(text[:-_CHECK]) == text[-_CHECK:]


def new_key(
    name: str, role: Role, *, loop: str = "", origins: Sequence[str] = (), rate: float | None = None,
    days: float | None = None, replaces: str = "",
) -> Made:  # fmt: skip
    """A key that is not stored yet. Raises InvalidInput with one line for what can't be.

    >>> made = new_key("shop", "publishable", origins=["https://shop.example"])
    >>> made.secret.startswith(f"evl_{made.key.id}_"), len(made.secret)
    (True, 64)
    """
    if role not in ROLES:
        raise InvalidInput(f"role {role!r}: one of {', '.join(ROLES)}")
    if len(name) > _LONGEST_NAME or not name.isprintable():
        raise InvalidInput(f"name: at most {_LONGEST_NAME} printable characters")
    if role == "admin" and loop:
        raise InvalidInput("an admin key is for all loops; for one loop make a developer key")
    if role == "publishable" and not origins:
        raise InvalidInput("a publishable key needs the pages it is used from: --origin https://shop.example")
    if role != "publishable" and origins:
        raise InvalidInput(f"origins belong to publishable keys; a {role} key must never be in a web page")
    if len(origins) > _MOST_ORIGINS:
        raise InvalidInput(f"at most {_MOST_ORIGINS} origins; make a second key")
    if rate is not None and not 0 < rate < float("inf"):
        raise InvalidInput(f"rate {rate:g}: requests a second, more than 0")
    if days is not None and not 0 < days <= 36_500:
        raise InvalidInput(f"days {days:g}: more than 0 and at most 36,500")
    id = "".join(secrets.choice(_DIGITS) for _ in range(_ID))
    secret = f"{PREFIX}{id}_{_written(secrets.randbits(256), _SECRET)}"
    secret += _checksum(secret)
    at = now()
    key = Key(
        id=id, name=name, role=role, hash=hashlib.sha256(secret.encode()).hexdigest(), loop=loop,
        origins=tuple(dict.fromkeys(origin(one) for one in origins)), rate=rate, at=at,
        until=None if days is None else at + round(days * _DAY), replaces=replaces,
    )  # fmt: skip
    return Made(key, secret)


def create(
    records: Records, name: str, role: Role, *, loop: str = "", origins: Sequence[str] = (),
    rate: float | None = None, days: float | None = None,
) -> Made:  # fmt: skip
    """Make a key and store it. Raises InvalidInput, and NotFound for a loop there is not."""
    if loop and records.get(LoopSpec, loop) is None:
        raise NotFound(f"no loop called {loop!r}; a key for one loop needs it declared: everloop init {loop}")
    made = new_key(name, role, loop=loop, origins=origins, rate=rate, days=days)
    noted(target=made.key.id, loop=loop, detail=f"role {role}")
    records.put(made.key, *along())
    return made


def rotate(records: Records, id: str, grace_s: float) -> Made:
    """A new key with the same rights; the old one works for `grace_s` seconds more. One transaction.

    Raises NotFound for an unknown id, Conflict for a key that is over or was rotated before, InvalidInput for a grace
    that can't be. A key that was made for some days gets as many again.
    """
    if not 0 <= grace_s <= _LONGEST_GRACE:
        raise InvalidInput(f"grace {grace_s:g} s: from 0 to {_LONGEST_GRACE / 86_400:.0f} days")
    key, at = stored(records, id), now()
    if not usable(key, at):
        raise Conflict(f"key {id} is {state(key, at)}; make a new one: everloop keys create --role {key.role}")
    if (newer := next((k.id for k in records.find(Key) if k.replaces == id), None)) is not None:
        raise Conflict(f"key {id} was rotated already; rotate the newer one, {newer}")
    days = None if key.until is None else (key.until - key.at) / _DAY
    made = new_key(key.name, key.role, loop=key.loop, origins=key.origins, rate=key.rate, days=days, replaces=id)
    ends = at + round(grace_s * 1000)
    noted(target=id, loop=key.loop, detail=f"replaced by {made.key.id}; works {grace_s:g} s more")
    records.replace(replace(key, until=ends if key.until is None else min(ends, key.until)), made.key, *along())
    return made


def revoke(records: Records, id: str) -> Key:
    """End a key now; a key that is revoked already stays as it is. Raises NotFound for an unknown id."""
    key = stored(records, id)
    noted(target=id, loop=key.loop, detail=f"role {key.role}")
    if key.revoked is None:
        key = replace(key, revoked=now())
        records.replace(key, *along())
    return key


def stored(records: Records, id: str) -> Key:
    """The key with that id; NotFound says what ids look like."""
    key = records.get(Key, id) if len(id) == _ID and id.isascii() else None
    if key is None:
        raise NotFound(
            "that is a secret, not an id: the id is what stands between its first two underscores"
            if id.startswith(PREFIX)
            else f"no key {id!r}; see: everloop keys list"
        )
    return key


def origin(text: str) -> str:
    """An origin as browsers write it; InvalidInput for anything else.

    >>> origin("https://Shop.example:443"), origin("http://localhost:3000")
    ('https://shop.example', 'http://localhost:3000')
    """
    wrong = InvalidInput(f"origin {text[:100]!r}: write it as https://shop.example, without a path and without *")
    try:
        parts = urlsplit(text.strip().lower())
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise wrong from None
    if parts.scheme not in {"http", "https"} or parts.path not in {"", "/"} or parts.query or parts.fragment:
        raise wrong
    if parts.username is not None or not _is_host(host):
        raise wrong
    shown = f"[{host}]" if ":" in host else host
    usual = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{shown}" + ("" if port in {None, usual} else f":{port}")


def _is_host(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*", text) is not None
    return True


def _checksum(text: str) -> str:
    return _written(binascii.crc32(text.encode()), _CHECK)


def _written(number: int, size: int) -> str:
    """A number in 62 digits, padded."""
    out = ""
    while number:
        number, digit = divmod(number, 62)
        out = _DIGITS[digit] + out
    return out.rjust(size, "0")

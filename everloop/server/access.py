"""Who may do what: the first thing that looks at a request, before its body is read.

Without any key the installation is open, to this machine alone: only a caller on loopback is answered, and only under
a name of this machine, so that no web page reaches it by pointing its own name here (DNS rebinding). With keys
everybody needs one, on loopback too. The keys are read anew twice a second, so a revoked one stops within a second in
every process on the folder.
"""

import asyncio
import base64
import binascii
import ipaddress
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from msgspec import Struct
from msgspec.structs import replace
from starlette.types import Scope

from everloop.auditing import entry
from everloop.errors import EverloopError, NotFound
from everloop.ids import now
from everloop.keys import MAKE_ONE, Keyring, origin, state, usable
from everloop.server.limits import Buckets, address_of
from everloop.server.sessions import Sessions
from everloop.server.wire import BadRequest, Call, Forbidden, Misdirected, TooOften, Unauthorized, one_line
from everloop.settings import Settings
from everloop.store import Records
from everloop.types import Audit, FeedbackFields, Key, Role

log = logging.getLogger("everloop.server")
Build = Callable[[dict[str, Any]], list[Struct]]

REREAD = 0.4  # seconds after which the keys are read again, beside the requests
LATEST = 0.8  # and after which requests wait for that
VISITOR_RATE = 10.0  # requests a second of one visitor with a publishable key, which all visitors share
FAILURE_RATE, FAILURES = 1.0, 20.0  # refused keys a second of one address that are answered, and how many at first
LOGIN_RATE, LOGINS = 0.1, 5.0  # and of those typed into the login page
AUDIT_SECONDS = 60.0  # refused keys of so long are one row of the audit log: strangers must not fill the disk
VISITOR_KINDS = ("thumb", "rating", "vote", "correction", "implicit", "comment")  # what a publishable key may send
VISITOR_NOT = ("source", "split")  # and what not
VISITOR_BYTES = 64 * 1024
MOST_SEEN = 1_000
ONCE = frozenset({b"host", b"origin", b"authorization", b"x-api-key", b"api-key", b"content-type"})
CROSS_HEADERS = b"authorization, content-type, x-api-key, api-key"

_PREFLIGHT_SECONDS = b"600"
_PREFLIGHT = b"access-control-request-method"


class Rule(NamedTuple):
    """What is asked of the callers of one operation, worked out once from its row."""

    needs: str  # "POST /v1/feedback"
    roles: frozenset[Role]  # who may; admin always may
    public: bool  # it needs no key
    in_path: bool  # its path names the loop
    bound: bool  # or its handler keeps a key of one loop to that loop
    safe: bool  # it changes nothing: a browser may be sent to it from anywhere
    method: bytes
    audited: bool  # a call that went well stands in the audit log

    @property
    def cross(self) -> bool:
        """Whether pages of other sites may be let call it: what clients send, and nothing that manages."""
        return not self.safe and ("client" in self.roles or "publishable" in self.roles)


class Access:
    """Lets a request in, or raises the reason why not."""

    def __init__(self, records: Records, sessions: Sessions, settings: Settings):
        self._records = records
        self._sessions = sessions
        self._rate = settings.rate
        self._proxies = settings.proxies
        self._origins = frozenset(origin(one) for one in listed(settings.origins))
        self._names = frozenset(name.lower().rstrip(".") for name in listed(settings.hosts))
        self._known_hosts: set[bytes] = set()  # Host headers that were looked at and are ours
        self._buckets = Buckets()
        self._ring = Keyring(records.find(Key))
        self._seen: dict[bytes, Key] = {}  # Authorization headers that were looked at since the keys were last read
        self._read_at = time.monotonic()
        self._reading: asyncio.Task[None] | None = None
        self._refused: dict[str, int] = {}  # why -> how many times since the last row of the audit log
        self._told = -AUDIT_SECONDS

    @property
    def open(self) -> bool:
        """Whether there are no keys: everybody on this machine may do everything."""
        return not len(self._ring)

    async def admit(self, scope: Scope, found: Mapping[bytes, bytes], rule: Rule) -> Key | None:
        """The key of a request; None where none is needed. `found` is its headers by name.

        Raises BadRequest for what can be read in two ways, Unauthorized, Forbidden, Misdirected or TooOften.
        """
        if time.monotonic() - self._read_at > REREAD:
            await self._read_again()
        if len(found) != len(scope["headers"]):
            _check_once(scope["headers"])
        if not len(self._ring):
            self._check_local(scope, found)
            self._check_site(found, rule, None)
            return None
        if rule.public:
            self._check_site(found, rule, None)
            self._count(f"address {self._address(scope, found)}", self._rate)
            return None
        given = found.get(b"authorization")
        if given is None or b"x-api-key" in found or b"api-key" in found:
            key, in_address = self._key_of(scope, found, rule)
        elif (seen := self._seen.get(given)) is not None and (seen.until is None or now() < seen.until):
            key, in_address = seen, False
        else:
            key, in_address = self._key_of(scope, found, rule)
            if len(self._seen) < MOST_SEEN:
                self._seen[given] = key
        self._check_key(key, scope, rule, in_address)
        self._check_site(found, rule, key)
        if rate := self._rate if key.rate is None else key.rate:
            self._count(key.id, rate)
        if key.role == "publishable":
            self._count(f"{key.id} {self._address(scope, found)}", VISITOR_RATE, 4 * VISITOR_RATE)
        return key

    def _key_of(self, scope: Scope, found: Mapping[bytes, bytes], rule: Rule) -> tuple[Key, bool]:
        """The key that a request brings, and whether it stands in the address; or the reason why it opens nothing."""
        secret, in_address = _secret(scope, found, rule)
        if secret is None and (cookie := self._cookie(found)) is not None:
            key = self._sessions.read(cookie, self._ring)
            if not rule.safe:
                _check_own_page(found)
        else:
            key = self._ring.find(secret or "")
        if key is None or not usable(key, now()):
            raise self._refuse(scope, found, secret, key)
        return key, in_address

    def cross(self, found: Mapping[bytes, bytes], rule: Rule | None) -> tuple[tuple[bytes, bytes], ...]:
        """The headers that let another site's page read the reply; none if it may not, or if there is no such page.

        Where publishable keys may call, a page that is not let in may read that too: a refusal is all it ever gets (see
        `_check_site`), and its owner looks for the reason in the browser's console.
        """
        given = found.get(b"origin")
        if given is None or rule is None or not rule.cross:
            return ()
        if "publishable" not in rule.roles and not self._lets(given.decode("latin-1"), rule):
            return ()
        return ((b"access-control-allow-origin", given), (b"vary", b"origin"),
                (b"access-control-expose-headers", b"retry-after"))  # fmt: skip

    def preflight(
        self, found: Mapping[bytes, bytes], rules: Mapping[str, Rule]
    ) -> tuple[tuple[bytes, bytes], ...] | None:
        """The headers of the answer to a browser that asks whether a page may call; None if nobody asked that."""
        if _PREFLIGHT not in found:
            return None
        rule = rules.get(found[_PREFLIGHT].decode("latin-1"))
        let = self.cross(found, rule)
        if not let or rule is None or not self._lets(found[b"origin"].decode("latin-1"), rule):
            raise Forbidden(f"a page of {found.get(b'origin', b'nowhere').decode('latin-1')[:100]} may not call this")
        return (
            *let, (b"access-control-allow-methods", rule.method), (b"access-control-allow-headers", CROSS_HEADERS),
            (b"access-control-max-age", _PREFLIGHT_SECONDS),
        )  # fmt: skip

    def login(self, secret: str, peer: str, forwarded: str) -> Key:
        """The key behind a secret that somebody types in; wrong ones are slowed down, the right one always works.

        Raises Unauthorized, Forbidden or TooOften.
        """
        key = self._ring.find(secret)
        if key is None or not usable(key, now()):
            address = address_of(peer, forwarded.encode("latin-1"), self._proxies)
            if wait := self._buckets.take(f"login {address}", LOGIN_RATE, LOGINS):
                self._remember("login")
                raise TooOften(f"too many wrong keys; try again in {wait:.0f} s", wait)
            raise Unauthorized(self._why(secret, key))
        if key.role in {"client", "publishable"}:
            raise Forbidden(f"a {key.role} key can't see pages; use a reviewer, developer or admin key")
        return key

    def session(self, cookies: bytes) -> tuple[str, Key] | None:
        """The session among cookies, and its key, if neither is over."""
        value = self._cookie({b"cookie": cookies})
        key = None if value is None else self._sessions.read(value, self._ring)
        return None if value is None or key is None or not usable(key, now()) else (value, key)

    def _address(self, scope: Scope, found: Mapping[bytes, bytes]) -> str:
        client = scope.get("client")
        return address_of(client[0] if client else "", found.get(b"x-forwarded-for", b""), self._proxies)

    def _cookie(self, found: Mapping[bytes, bytes]) -> str | None:
        name = self._sessions.cookie
        for part in found.get(b"cookie", b"").decode("latin-1").split(";"):
            key, _, value = part.strip().partition("=")
            if key == name:
                return value
        return None

    def _check_key(self, key: Key, scope: Scope, rule: Rule, in_address: bool) -> None:
        if in_address and key.role != "publishable":
            raise Forbidden(
                f"a {key.role} key must not stand in an address, where logs keep it; rotate it: "
                f"everloop keys rotate {key.id} --grace 0"
            )
        if key.role != "admin" and key.role not in rule.roles:
            wanted = ", ".join([role for role in ("developer", "reviewer", "client", "publishable")
                                if role in rule.roles] + ["admin"])  # fmt: skip
            raise Forbidden(f"{rule.needs} needs the role {wanted.replace(', admin', ' or admin')}; "
                            f"key {key.id} is for a {key.role}")  # fmt: skip
        if key.loop and not rule.bound:
            if not rule.in_path:
                raise Forbidden(f"{rule.needs} is not of one loop, and key {key.id} is for loop {key.loop} alone")
            if scope["path_params"].get("name") != key.loop:
                raise Forbidden(f"key {key.id} is for loop {key.loop} alone")

    def _check_local(self, scope: Scope, found: Mapping[bytes, bytes]) -> None:
        client = scope.get("client")
        if client is not None and client[0] != "127.0.0.1" and not loopback(client[0]):
            raise Forbidden(f"without keys Everloop answers its own machine only; make a key there: {MAKE_ONE}")
        host = found.get(b"host")
        if host is not None and host not in self._known_hosts:
            name = _name_of(host)
            if not (loopback(name) or name in self._names):
                raise Misdirected(
                    f"without keys Everloop answers to localhost only, not to {name[:100]!r}; make a key "
                    f"({MAKE_ONE}) or name it in EVERLOOP_HOSTS"
                )
            if len(self._known_hosts) < 100:
                self._known_hosts.add(host)

    def _check_site(self, found: Mapping[bytes, bytes], rule: Rule, key: Key | None) -> None:
        """A browser lets any page send a plain POST anywhere. Programs send no Origin; our own pages send ours."""
        given = found.get(b"origin")
        if key is not None and key.role == "publishable":
            if given is None:
                raise Forbidden(f"key {key.id} works in web pages only, of {', '.join(key.origins)}")
            if given.decode("latin-1") not in key.origins:
                raise Forbidden(f"key {key.id} is not for pages of {given.decode('latin-1')[:100]}")
        elif rule.safe:
            return
        elif given is not None:
            text = given.decode("latin-1")
            if not (_same_site(text, found) or (rule.cross and text in self._origins)):
                raise Forbidden(f"a page of {text[:100]} may not call this server")
        elif found.get(b"sec-fetch-site", b"none") not in {b"none", b"same-origin"}:
            raise Forbidden("a page of another site may not call this server")

    def _lets(self, given: str, rule: Rule) -> bool:
        return rule.cross and (given in self._origins or ("publishable" in rule.roles and given in self._ring.origins))

    def _count(self, name: str, rate: float, burst: float | None = None) -> None:
        if rate and (wait := self._buckets.take(name, rate, burst)):
            raise TooOften(f"more than {rate:g} requests a second; try again in {max(wait, 0.1):.1f} s", wait)

    def _slow(self, address: str) -> None:
        wait = self._buckets.take(f"refused {address}", FAILURE_RATE, FAILURES)
        if wait:
            raise TooOften("too many wrong keys from this address; try again later", wait)

    def _refuse(self, scope: Scope, found: Mapping[bytes, bytes], secret: str | None, key: Key | None) -> Exception:
        if secret is None:
            return Unauthorized(f"a key is needed: Authorization: Bearer evl_…; on the machine, {MAKE_ONE} makes one")
        try:
            self._slow(self._address(scope, found))
        except TooOften as error:
            return error
        return Unauthorized(self._why(secret, key))

    def _why(self, secret: str, key: Key | None) -> str:
        """What is wrong with a key, for its owner; and remember it for the audit log."""
        if key is None:
            self._remember("unknown")
            return "no such key" if secret.startswith("evl_") else "that is not a key of Everloop: they begin with evl_"
        self._remember(key.id)
        over = {"revoked": "was revoked", "ended": "has ended"}[state(key, now())]
        return f"key {key.id} {over}; ask for a new one"

    def _remember(self, who: str) -> None:
        if len(self._refused) < 100 or who in self._refused:
            self._refused[who] = self._refused.get(who, 0) + 1

    async def _read_again(self) -> None:
        """The keys as they are now; a request waits for that only if what is known is too old."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.get_running_loop().create_task(self._read())
            self._reading.add_done_callback(_looked_at)
        if time.monotonic() - self._read_at > LATEST:
            await asyncio.shield(self._reading)

    async def _read(self) -> None:
        started = time.monotonic()
        rows: list[Audit] = []
        if self._refused and started - self._told > AUDIT_SECONDS:
            self._told = started
            told, self._refused = self._refused, {}
            rows = [
                entry("unknown", "key.refused", target=one, detail="once" if many == 1 else f"{many} times")
                for one, many in told.items()
            ]
        self._ring = await asyncio.get_running_loop().run_in_executor(None, _ring, self._records, rows)
        self._seen = {}
        self._read_at = started


def _ring(records: Records, rows: Sequence[Audit]) -> Keyring:
    """The keys as they are now; and what is to be told is written, if there is room for it."""
    if rows:
        try:
            records.submit(rows)
        except EverloopError as error:
            log.error("the audit log could not be written: %s", one_line(error))
    return Keyring(records.find(Key))


def _looked_at(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("the keys can't be read: %s", one_line(error))


def listed(text: str) -> list[str]:
    """The parts of a setting that holds several, between commas or blanks; "none" is none."""
    return [part for part in text.replace(",", " ").split() if part != "none"]


def loopback(host: str) -> bool:
    """Whether only this machine reaches that address.

    >>> loopback("localhost"), loopback("127.0.0.9"), loopback("::1"), loopback("0.0.0.0"), loopback("127.0.0.1.nip.io")
    (True, True, True, False, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _name_of(host: bytes) -> str:
    """The name in a Host header, without its port; empty for what is none."""
    if b"@" in host or b"/" in host:
        return ""
    try:
        return (urlsplit(f"//{host.decode('latin-1')}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _same_site(given: str, found: Mapping[bytes, bytes]) -> bool:
    try:
        return bool(host := found.get(b"host", b"").decode("latin-1")) and urlsplit(given).netloc == host
    except ValueError:
        return False


def _check_own_page(found: Mapping[bytes, bytes]) -> None:
    """A cookie goes with a request whoever asked for it: a change must come from one of our own pages."""
    given = found.get(b"origin")
    if found.get(b"sec-fetch-site", b"same-origin") != b"same-origin" or (
        given is None and b"sec-fetch-site" not in found
    ):
        raise Forbidden("a session may be used from Everloop's own pages only; programs send a key")


def _check_once(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Two servers that read a repeated header differently can be played against each other."""
    seen: set[bytes] = set()
    for name, _ in headers:
        if name in ONCE and name in seen:
            raise BadRequest(f"the header {name.decode()} is there twice")
        seen.add(name)


def _secret(scope: Scope, found: Mapping[bytes, bytes], rule: Rule) -> tuple[str | None, bool]:
    """The secret a request brings, and whether it stands in the address."""
    given = {_from_authorization(found[b"authorization"])} if b"authorization" in found else set()
    given |= {found[name].decode("latin-1").strip() for name in (b"x-api-key", b"api-key") if name in found}
    if len(given) > 1:
        raise BadRequest("two different keys in one request; send one")
    if given:
        return given.pop(), False
    if "publishable" in rule.roles and b"key=" in scope["query_string"]:
        keys = parse_qs(scope["query_string"].decode("latin-1")).get("key", [])
        if len(keys) > 1:
            raise BadRequest("two keys in one address; send one")
        if keys:
            return keys[0], True
    return None, False


def _from_authorization(value: bytes) -> str:
    """The secret in an Authorization header: a bearer token, or the password of Basic (Langfuse's clients)."""
    scheme, _, rest = value.decode("latin-1").strip().partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip()
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(rest.strip(), validate=True).decode("latin-1").partition(":")[2]
    except (binascii.Error, ValueError):
        return ""


def check_loop(call: Call, loop: str) -> None:
    """Raise NotFound if the key of a call is for another loop than that: as if that one were not there."""
    if call.key is not None and call.key.loop not in {"", loop}:
        raise NotFound(f"no loop {loop[:63]!r} for key {call.key.id}, which is for loop {call.key.loop} alone")


def restricted(build: Build, key: Key | None) -> Build:
    """How feedback is built for the owner of a key: of its loop alone, and from a web page with less in it.

    Feedback with its loop filled in joins an interaction of that loop and no other.
    """
    if key is None or not (key.loop or key.role == "publishable"):
        return build
    mine = key

    def narrower(given: dict[str, Any]) -> list[Struct]:
        if mine.role == "publishable":
            _check_visitor(given)
        made = build(given)
        return made if not mine.loop else [
            replace(one, loop=mine.loop) if isinstance(one, FeedbackFields) else one for one in made
        ]  # fmt: skip

    return narrower


def _check_visitor(given: Mapping[str, Any]) -> None:
    kind = given.get("kind")
    if isinstance(kind, str) and kind not in VISITOR_KINDS:
        raise Forbidden(
            f"feedback of kind {kind[:40]!r} needs a client key; a page may send {', '.join(VISITOR_KINDS)}"
        )
    for name in VISITOR_NOT:
        if given.get(name) is not None:
            raise Forbidden(f"{name}: a page may not say this; it needs a client key")

"""Who may come in, and who did what."""

from msgspec import Struct

from everloop.types.words import Role


class Key(Struct, frozen=True, gc=False, kw_only=True):
    """The right to call the server; the secret itself is shown once and kept nowhere."""

    id: str  # public part: in the secret, in lists, in the audit log
    name: str  # what it is for, in its owner's words
    role: Role
    hash: str  # SHA-256 of the secret
    loop: str = ""  # the only loop it is for; empty: all
    origins: tuple[str, ...] = ()  # pages a publishable key may be used from: "https://shop.example"
    rate: float | None = None  # requests a second; None: the installation's limit
    at: int = 0
    until: int | None = None  # it ends by itself then; rotation sets it
    revoked: int | None = None  # it was ended by hand
    replaces: str = ""  # id of the key it was rotated from


class Audit(Struct, frozen=True, gc=False, kw_only=True):
    """Somebody did something that changes what the installation does or knows."""

    id: str
    at: int
    by: str  # id of the key, "open" where there are none, "cli"
    action: str  # "PUT /v1/loops/{name}", "key.create"
    target: str = ""  # what it was done to
    detail: str = ""  # what changed, in one line
    loop: str = ""  # empty: no loop in particular

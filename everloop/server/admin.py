"""Handlers for admins: keys, and what was done with them. Plain functions: each runs in a thread."""

from msgspec.structs import asdict

from everloop import keys
from everloop.errors import InvalidInput
from everloop.ids import now
from everloop.server.bodies import AuditLog, KeyMade, KeyRequest, Keys, KeyView, RotateRequest
from everloop.server.table import Operation
from everloop.server.views import Pages
from everloop.server.wire import Call, Forbidden, Reply, decode, reply
from everloop.store import Records
from everloop.types import Audit, Key, Role

_ADMIN: tuple[Role, ...] = ("admin",)
_SHOWN = 100  # rows of the audit log at first, and
_MOST = 1_000  # at most


class Admin:
    """Keys and the audit log."""

    def __init__(self, records: Records, pages: Pages):
        self._records = records
        self._pages = pages

    def operations(self) -> tuple[Operation, ...]:
        """The rows of the table."""
        op, limit = Operation, ("limit", f"at most so many; {_SHOWN} by default, {_MOST:,} at most")
        return (
            op("GET", "/v1/keys", "Every key, without its secret.", self.keys, Keys, tag="admin", roles=_ADMIN),
            op("POST", "/v1/keys", "Make a key; its secret is in this answer and nowhere else.", self.create, KeyMade,
               KeyRequest, "admin", roles=_ADMIN, replies=((201, "Made."),)),
            op("POST", "/v1/keys/{id}/rotate", "A new secret; the old one works until the grace is over.",
               self.rotate, KeyMade, RotateRequest, "admin", roles=_ADMIN, needs_body=False,
               replies=((201, "Made."),)),
            op("DELETE", "/v1/keys/{id}", "End a key.", self.revoke, KeyView, tag="admin", roles=_ADMIN),
            op("GET", "/v1/audit", "Who did what, newest first.", self.audit, AuditLog, tag="admin", roles=_ADMIN,
               query=(("loop", "only this loop"), ("by", "only this key's id, \"open\" or \"cli\""),
                      ("action", "only this action"), limit)),
            op("GET", "/audit", "Who did what.", self.audit_page, roles=_ADMIN, query=(limit,)),
        )  # fmt: skip

    def keys(self, _: Call) -> Reply:
        """Every key, oldest first."""
        return reply(Keys([view(key) for key in self._records.find(Key)]))

    def create(self, call: Call) -> Reply:
        """A new key. The first one is made on the machine: who opens the door must hold the house."""
        if call.key is None:
            raise Forbidden(f"the first key is made on the machine itself: {keys.MAKE_ONE}")
        asked = decode(call.body, KeyRequest)
        made = keys.create(self._records, **asdict(asked))
        return _no_store(reply(KeyMade(view(made.key), made.secret), 201))

    def rotate(self, call: Call) -> Reply:
        """A new secret for an old key."""
        asked = decode(call.body, RotateRequest) if call.body.strip() else RotateRequest()
        made = keys.rotate(self._records, call.params["id"], asked.grace_s)
        return _no_store(reply(KeyMade(view(made.key), made.secret), 201))

    def revoke(self, call: Call) -> Reply:
        """The end of a key."""
        return reply(view(keys.revoke(self._records, call.params["id"])))

    def audit(self, call: Call) -> Reply:
        """Rows of the audit log."""
        where = {name: call.query[name] for name in ("by", "action") if name in call.query}
        return reply(AuditLog(self._rows(call, **where)))

    def audit_page(self, call: Call) -> Reply:
        """The audit log for people."""
        names = {key.id: key.name for key in self._records.find(Key)}
        return self._pages.render("audit.html", here="audit", rows=self._rows(call), names=names)

    def _rows(self, call: Call, **where: str) -> list[Audit]:
        text = call.query.get("limit", str(_SHOWN))
        if not (text.isascii() and text.isdigit() and 0 < int(text[:9]) <= _MOST):
            raise InvalidInput(f"limit: a number from 1 to {_MOST:,}, not {text[:40]!r}")
        return self._records.find(Audit, call.query.get("loop"), newest=True, limit=int(text), **where)


def view(key: Key) -> KeyView:
    """A key as it may be shown: without the hash."""
    return KeyView(key.id, key.name, key.role, keys.state(key, now()), key.loop, key.origins, key.rate, key.at,
                   key.until, key.revoked, key.replaces)  # fmt: skip


def _no_store(answer: Reply) -> Reply:
    return answer._replace(headers=((b"cache-control", b"no-store"),))

"""Which role may call which operation, and which calls stand in the audit log: by tag, unless the operation says it."""

import re

from everloop.server.access import Rule
from everloop.server.table import Operation
from everloop.types import Role

_READ: tuple[Role, ...] = ("developer", "reviewer")
_CHANGE: tuple[Role, ...] = ("developer",)
_SEND: tuple[Role, ...] = ("developer", "client")

# Tag -> (who may read, who may change). A tag that is not here is for admins alone, until somebody has thought of it.
BY_TAG: dict[str, tuple[tuple[Role, ...], tuple[Role, ...]]] = {
    "collect": (_READ, _SEND),
    "gateway": (_SEND, _SEND),
    "telemetry": (_SEND, _SEND),
    "interop": (_SEND, _SEND),
    "loops": (_READ, _CHANGE),
    "turns": (_READ, _CHANGE),
    "models": (_READ, _CHANGE),
    "people": (_READ, _READ),
    "pages": (_READ, _READ),
    "server": (("developer", "reviewer", "client"), ()),
}
_SENDING = frozenset({"collect", "gateway", "telemetry", "interop"})  # what comes in is not a change of anything
_LOOP = re.compile(r"/loops/{name}(/|$)")


def rule_of(op: Operation) -> Rule:
    """What is asked of the callers of an operation."""
    safe = op.method in {"GET", "HEAD"}
    read, change = BY_TAG.get(op.tag, ((), ()))
    roles = frozenset(op.roles or (read if safe else change)) - {"admin"}
    return Rule(
        needs=f"{op.method} {op.path}", roles=roles, public=op.public,
        in_path=_LOOP.search(op.path) is not None, bound=op.bound, safe=safe, method=op.method.encode(),
        audited=not safe and op.tag not in _SENDING if op.audited is None else op.audited,
    )  # fmt: skip

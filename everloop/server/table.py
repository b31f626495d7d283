"""What an operation is: one row of the table that both routing and documentation are made from."""

import asyncio
import contextvars
import inspect
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec
from starlette.types import Receive, Scope, Send

from everloop.auditing import carrying, entry, settle
from everloop.errors import UserError
from everloop.server.access import VISITOR_BYTES, Access, Rule
from everloop.server.wire import (
    Call,
    Gone,
    Handler,
    Reply,
    Says,
    Streamed,
    Unauthorized,
    failure,
    one_line,
    problem,
    read_call,
    redirect,
    send_reply,
    wants_page,
)
from everloop.store import Records
from everloop.types import Audit, Role

ErrorPage = Callable[[int, str], Reply]  # (status, message; empty where the log has it) -> what a person sees


class Operation(NamedTuple):
    """One method of one path."""

    method: str
    path: str  # with {parameters}
    does: str  # one sentence
    handler: Handler  # async: runs on the event loop, never blocks; plain: runs in a thread
    gives: Any = None  # type of the answer; None for a page
    takes: Any = None  # type of the body
    tag: str = "pages"
    query: tuple[tuple[str, str], ...] = ()  # (name, what it means)
    replies: tuple[tuple[int, str], ...] = ((200, "Done."),)
    lines: bool = False  # the body may also be NDJSON, one object a line; so is the answer then
    optional: tuple[str, ...] = ()  # required fields of the record that a client may leave out
    needs_body: bool = True  # False: an empty body means the defaults
    media: str = "text/html"  # of a page
    roles: tuple[Role, ...] = ()  # who may; empty: what the tag's operations usually need. admin always may
    says: Says | None = None  # the shape of errors, where a client expects another than ours
    public: bool = False  # it needs no key
    bound: bool = False  # its handler keeps a key of one loop to that loop, where the path does not name the loop
    limit: int = 0  # bytes of its body; 0: the installation's
    events: bool = False  # the answer may also be a stream of events
    also: tuple[str, ...] = ()  # media types of bodies that are no JSON; protobuf is answered in kind
    audited: bool | None = None  # a call that went well stands in the audit log; None: if it changes more than data


class Resource:
    """All operations of one path, as a raw ASGI endpoint: lets in, reads, calls, answers, and turns errors into one
    line."""

    def __init__(
        self, operations: list[Operation], rules: list[Rule], threads: Executor, limit: int, page: ErrorPage,
        access: Access, records: Records,
    ):  # fmt: skip
        self._page = page if all(op.gives is None and op.media == "text/html" for op in operations) else None
        self._handlers = {
            op.method: (op.handler, inspect.iscoroutinefunction(op.handler), rule)
            for op, rule in zip(operations, rules, strict=True)
        }
        self._rules = {op.method: rule for op, rule in zip(operations, rules, strict=True)}
        self._says = operations[0].says
        self._threads = threads
        self._limit = limit
        self._access = access
        self._records = records
        allowed = sorted({*self._handlers, *(["HEAD"] if "GET" in self._handlers else [])})
        self._allow = ", ".join(allowed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; nothing but a lost connection escapes."""
        method: str = scope["method"]
        head = method == "HEAD"
        found = self._handlers.get("GET" if head else method)
        headers: dict[bytes, bytes] = dict(scope["headers"])
        try:
            if found is None:
                answer = self._not_allowed(method, scope["path"], headers)
            else:
                handler, is_async, rule = found
                key = await self._access.admit(scope, headers, rule)
                visitor = rule.public or (key is not None and key.role == "publishable")
                limit = min(self._limit, VISITOR_BYTES) if visitor else self._limit
                call = await read_call(scope, receive, limit, headers, key)
                made = await self._answer(handler, is_async, rule, call)
                if isinstance(made, Streamed):
                    return await made.run(receive, send)
                answer = made
        except Gone:
            return
        except Exception as error:
            answer = self._said(error, scope)
        if found is not None and b"origin" in headers and (let := self._access.cross(headers, found[2])):
            answer = answer._replace(headers=(*answer.headers, *let))
        await send_reply(send, answer, head=head)

    async def _answer(self, handler: Handler, is_async: bool, rule: Rule, call: Call) -> Reply | Streamed:
        if not rule.audited:
            if is_async:
                return await handler(call)  # type: ignore[misc,no-any-return]
            made: Reply = await self._in_thread(handler, call)
            return made
        with carrying(_row(rule, call)) as due:
            if is_async:
                answer: Reply | Streamed = await handler(call)  # type: ignore[misc]
                row = due()
            else:
                answer, row = await self._in_thread(contextvars.copy_context().run, _told, handler, call, due)
        if not isinstance(answer, Reply) or answer.status < 400:
            await self._in_thread(settle, self._records, row)
        return answer

    async def _in_thread(self, work: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *args)

    def _said(self, error: Exception, scope: Scope) -> Reply:
        if self._page is None or not wants_page(scope):
            return failure(error, scope["method"], scope["path"], self._says)
        if isinstance(error, Unauthorized) and scope["method"] == "GET":
            return redirect(f"/login?next={quote(scope['path'])}")
        answer = failure(error, scope["method"], scope["path"])
        made = self._page(answer.status, one_line(error) if isinstance(error, UserError) else "")
        return made._replace(headers=(*made.headers, *answer.headers))

    def _not_allowed(self, method: str, path: str, headers: Mapping[bytes, bytes]) -> Reply:
        if method == "OPTIONS" and (let := self._access.preflight(headers, self._rules)) is not None:
            return Reply(200, b"", headers=let)
        allow = ((b"allow", self._allow.encode()),)
        return problem(405, f"{method} is not possible on {path}; {self._allow} is", "MethodNotAllowed", allow)


def _row(rule: Rule, call: Call) -> Audit:
    """Who does what: ids and names of fields, neither people nor values."""
    named = call.params.get("name", "")
    others = [value for name, value in call.params.items() if name not in {"name", "subject"}]
    return entry(
        call.key.id if call.key is not None else "open", rule.needs, loop=named, detail=_fields(call.body),
        target=", ".join([named, *others] if named else others),
    )  # fmt: skip


def _told(handler: Handler, call: Call, due: Callable[[], Audit | None]) -> tuple[Any, Audit | None]:
    """What a handler answered, and its row as it left it: a thread's context is its own."""
    return handler(call), due()


def _fields(body: bytes) -> str:
    """Which fields a body brought, without what stands in them."""
    try:
        given = msgspec.json.decode(body) if body.strip() else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    names = [name for name in given if name.isidentifier() and len(name) <= 40] if isinstance(given, dict) else []
    return ", ".join(names[:20])

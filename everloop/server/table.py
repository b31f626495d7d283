"""What an operation is: one row of the table that both routing and documentation are made from."""

import asyncio
import inspect
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, NamedTuple

from starlette.types import Receive, Scope, Send

from everloop.errors import UserError
from everloop.server.wire import (
    Call,
    Gone,
    Handler,
    Reply,
    Says,
    Streamed,
    failure,
    one_line,
    problem,
    read_call,
    send_reply,
    wants_page,
)
from everloop.types import Role

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


class Resource:
    """All operations of one path, as a raw ASGI endpoint: reads, calls, answers, and turns errors into one line."""

    def __init__(self, operations: list[Operation], threads: Executor, limit: int, page: ErrorPage):
        self._page = page if all(op.gives is None and op.media == "text/html" for op in operations) else None
        self._handlers = {op.method: (op.handler, inspect.iscoroutinefunction(op.handler)) for op in operations}
        self._says = operations[0].says
        self._threads = threads
        self._limit = limit
        allowed = sorted({*self._handlers, *(["HEAD"] if "GET" in self._handlers else [])})
        self._allow = ", ".join(allowed)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; nothing but a lost connection escapes."""
        method: str = scope["method"]
        head = method == "HEAD"
        found = self._handlers.get("GET" if head else method)
        try:
            if found is None:
                answer = self._not_allowed(method, scope["path"])
            else:
                call = await read_call(scope, receive, self._limit)
                made = await self._answer(*found, call)
                if isinstance(made, Streamed):
                    return await made.run(receive, send)
                answer = made
        except Gone:
            return
        except Exception as error:
            answer = failure(error, method, scope["path"], self._says)
            if self._page is not None and wants_page(scope):
                answer = self._page(answer.status, one_line(error) if isinstance(error, UserError) else "")
        await send_reply(send, answer, head=head)

    async def _answer(self, handler: Handler, is_async: bool, call: Call) -> Reply | Streamed:
        if is_async:
            return await handler(call)  # type: ignore[misc,no-any-return]
        made = await asyncio.get_running_loop().run_in_executor(self._threads, handler, call)
        assert isinstance(made, Reply)
        return made

    def _not_allowed(self, method: str, path: str) -> Reply:
        allow = ((b"allow", self._allow.encode()),)
        return problem(405, f"{method} is not possible on {path}; {self._allow} is", "MethodNotAllowed", allow)

"""One chat request from its first byte to its last: asked of an upstream, answered, and on disk before it has ended."""

import asyncio
import logging
import time
from concurrent.futures import Executor
from typing import Any, NamedTuple

import msgspec
from starlette.types import Receive, Send

from everloop.collect import Door, build_interaction, consent, may_hold
from everloop.collect.variants import Assigned, fallbacks
from everloop.errors import EverloopError, InvalidInput, UserError
from everloop.ids import new_id, now
from everloop.interop import chat
from everloop.server.asking import Headers, Refused, failed, first, passed_back, post
from everloop.server.commits import Commits
from everloop.server.streams import DONE, Events, event
from everloop.server.upstream import MOST_BODY, Answer, UpstreamFailed, Upstreams
from everloop.server.wire import JSON, Reply, headers_of, one_line, problem
from everloop.store import Records
from everloop.types import Interaction, LoopSpec, Variant

log = logging.getLogger("everloop.server")

INLINE = 4_096  # bytes of a request, or of an answer, from which it is redacted in a thread
STREAM = b"text/event-stream; charset=utf-8"
CLIENT_SECONDS = 120.0
LEFT = "the client left before the answer was complete"
STOPPED = "the server stopped before the answer was complete"
_ORDINARY = frozenset({"stop", "tool_calls", "function_call"})  # ends of an answer that need no mention

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class Desk(NamedTuple):
    """What an exchange works with."""

    door: Door
    records: Records
    commits: Commits
    upstreams: Upstreams
    threads: Executor


class _Broken(Exception):
    """A stream that broke off after the client had got some of it."""


class _Stuck(Exception):
    """The client takes nothing any more."""


class _Opened(NamedTuple):
    """An upstream that answers: as a whole, or as a stream of which the first events are there."""

    variant: Variant
    headers: Headers
    whole: dict[str, Any] | None
    answer: Answer
    events: Events
    begun: list[bytes]


class Exchange:
    """One chat request to the variants of a loop."""

    def __init__(self, desk: Desk, spec: LoopSpec, asked: chat.Asked, raw: bytes, assigned: Assigned,
                 client_key: str | None):  # fmt: skip
        self._desk = desk
        self._spec = spec
        self._asked = asked
        self._raw = raw
        self._assigned = assigned
        self._client_key = client_key
        self._started = time.perf_counter()
        self._at = now()
        self._id = new_id()
        self._built: asyncio.Future[Interaction] | None = None
        self._gathered = chat.Gathering()
        self._variant: Variant | None = None  # who answers, once somebody does
        self._first_token: float | None = None
        self._size = 0  # bytes of the stream so far
        self._left = False  # the client is gone
        self._streaming = False  # its head has been sent, and not yet its end
        self._sent = False  # its end has been sent
        self._over = False  # nothing that comes can change it any more
        self._stored = False
        self._upstream: Answer | None = None

    async def run(self, receive: Receive, send: Send) -> None:
        """Answer; a client that leaves stops the upstream, and what came until then is stored."""
        work = asyncio.current_task()
        assert work is not None

        def left(_: "asyncio.Future[Any]") -> None:
            if not self._over:
                self._left = True
                work.cancel()

        watch = asyncio.ensure_future(receive())
        watch.add_done_callback(left)
        try:
            await self._answer(send)
        except asyncio.CancelledError:
            self._over = True
            self._store_now(LEFT if self._left else STOPPED)
            work.uncancel()
            if not self._left:
                await self._break_off(send)
        except _Stuck:
            self._store_now(LEFT)
        finally:
            self._over = True
            watch.cancel()
            if self._upstream is not None:
                self._upstream.close()

    async def _answer(self, send: Send) -> None:
        try:
            await self._begin_building()
            opened = await first(fallbacks(self._spec, self._assigned.variant), self._open)
            built = await self._interaction()
        except Refused as refused:
            reply = await self._refuse(refused)
        except UserError as error:  # what was asked can't be kept as it is
            reply = said(error)
        else:
            self._variant, self._id = opened.variant, built.id
            if opened.whole is None:
                return await self._stream(opened, send)
            reply = await self._whole(opened, opened.whole)
        await self._send(send, reply)

    # ---- asking

    async def _begin_building(self) -> None:
        """Make the interaction beside the asking: it is redacted while the upstream thinks."""
        loop = asyncio.get_running_loop()
        large = len(self._raw) > INLINE or may_hold(self._raw)
        if large:
            self._built = loop.run_in_executor(self._desk.threads, self._build)
            if len(self._raw) > self._desk.door.max_input_bytes:  # it may be refused: know that before it costs
                await self._built
        else:
            self._built = loop.create_future()
            loop.call_soon(self._build_soon, self._built)

    def _build_soon(self, built: "asyncio.Future[Interaction]") -> None:
        if built.done():
            return
        try:
            built.set_result(self._build())
        except Exception as error:
            built.set_exception(error)
            built.exception()  # looked at: nobody may be there any more to do it

    def _build(self) -> Interaction:
        asked = self._asked
        question: Any = asked.input if self._spec.task == "chat" else chat.last_text(asked.input["messages"])
        return build_interaction(
            self._spec,
            {"input": question, "subject": asked.subject, "session": asked.session, "context": asked.context,
             "consent": asked.consent, "id": self._id, "at": self._at, "trace": asked.trace,
             "propensity": self._assigned.propensity},
            self._desk.door,
        )  # fmt: skip

    async def _interaction(self) -> Interaction:
        assert self._built is not None
        return await asyncio.shield(self._built)

    async def _open(self, variant: Variant) -> _Opened:
        """Ask one upstream once, as far as it can still be asked of another."""
        desk, asked = self._desk, self._asked
        pseudonym = desk.door.pseudonyms.of(asked.subject)
        body = _encode(chat.for_upstream(asked.body, variant, pseudonym))
        answer = await post(desk.upstreams, variant, "/chat/completions", body, self._client_key)
        self._upstream = answer
        headers, events = passed_back(answer.headers), Events()
        try:
            if answer.media == "text/event-stream":
                if not asked.stream:
                    raise UpstreamFailed("it answered with a stream that was not asked for")
                begun = events.feed(await answer.chunk())
                while not begun:
                    if not (data := await answer.chunk()):
                        raise UpstreamFailed("its stream ended before it began")
                    begun = events.feed(data)
                if (error := chat.error_said(_chunk(begun[0]))) is not None:
                    raise UpstreamFailed(error)
                return _Opened(variant, headers, None, answer, events, begun)
            whole = _completion(await answer.read())
            return _Opened(variant, headers, whole, answer, events, [])
        except UpstreamFailed as error:
            answer.close()
            raise failed(variant, error) from None

    # ---- answering

    async def _whole(self, opened: _Opened, whole: dict[str, Any]) -> Reply:
        """An answer that came as one: passed on as that, or as a stream where the upstream knows no streams."""
        kept = await self._store(chat.read_completion(whole), "complete", None)
        whole["id"] = self._id
        headers = self._headers(opened, kept)
        if not self._asked.stream:
            return Reply(200, _encode(whole), headers=headers)
        chunks = [one for one in chat.chunks(whole) if one["choices"] or self._asked.include_usage]
        return Reply(200, b"".join(event(_encode(one)) for one in chunks) + event(DONE), STREAM, headers)

    async def _stream(self, opened: _Opened, send: Send) -> None:
        """Pass a stream on, chunk by chunk; its last bytes wait until it is on disk."""
        headers = [(b"content-type", STREAM), (b"cache-control", b"no-cache"), *self._headers(opened, True)]
        self._streaming = True
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        try:
            await self._pass_on(opened, send)
        except (UpstreamFailed, _Broken) as error:
            opened.answer.close()
            says = f"variant {opened.variant.name!r}: {error}"
            await self._store(self._so_far(), "partial", says)
            last = event(
                _encode(chat.error(502, f"{says}; what came before is all there is", code="upstream_broke_off"))
            )
        else:
            opened.answer.close(ended=True)
            kept = await self._store(self._gathered.said(), "complete", None)
            last = event(DONE) if kept else b": this answer could not be stored\n\n" + event(DONE)
        self._over, self._streaming, self._sent = True, False, True
        await send({"type": "http.response.body", "body": last})

    async def _pass_on(self, opened: _Opened, send: Send) -> None:
        events, chunk = opened.events, opened.answer.chunk
        batch = opened.begun
        while True:
            if await self._passed_on(batch, send):
                return
            data = await chunk()
            if not data:
                break
            batch = events.feed(data)
        done = await self._passed_on(events.rest(), send)
        if not done and not self._gathered.finished:  # some upstreams say no [DONE], but all say why they ended
            raise _Broken("the stream ended before the answer did")

    async def _passed_on(self, batch: list[bytes], send: Send) -> bool:
        """Send what the client gets of a batch of events, as far as it is good; whether they were the last."""
        out: list[bytes] = []
        try:
            return self._chunks(batch, out)
        finally:
            if out:
                await _push(send, b"".join(out))

    def _chunks(self, batch: list[bytes], out: list[bytes]) -> bool:
        """Put what the client gets of a batch of events into `out`; whether they are the last."""
        for data in batch:
            if data == DONE:
                return True
            self._size += len(data)
            if self._size > MOST_BODY:
                raise _Broken(f"the answer is longer than {MOST_BODY:,} bytes")
            chunk = _chunk(data)
            if (error := chat.error_said(chunk)) is not None:
                raise _Broken(error)
            try:
                self._gathered.add(chunk)
            except RecursionError:
                raise _Broken("a chunk is nested too deeply") from None
            if self._first_token is None and self._gathered.began:
                self._first_token = self._passed()
            if not self._asked.include_usage:
                if chunk.get("usage") is not None and not chunk.get("choices"):
                    continue
                chunk.pop("usage", None)
            chunk["id"] = self._id
            out.append(event(_encode(chunk)))
        return False

    async def _break_off(self, send: Send) -> None:
        """The server stops: say so, in whatever has begun."""
        body = chat.error(503, STOPPED, code="server_stopped")
        if self._streaming:
            await send({"type": "http.response.body", "body": event(_encode(body))})
        elif not self._sent:
            await self._send(send, Reply(503, _encode(body)))

    async def _refuse(self, refused: Refused) -> Reply:
        """No upstream answered: that is stored too, and the client is told what the last one said."""
        self._variant = next((v for v in self._spec.variants if v.name == refused.variant), None)
        try:
            self._id = (await self._interaction()).id
        except UserError as error:
            return said(error)
        kept = await self._store(None, "failed", refused.says)
        body = refused.body or _encode(chat.error(refused.status, refused.says, code="upstream_failed"))
        return Reply(refused.status, body, JSON, (*refused.headers, *self._own_headers(kept)))

    def _headers(self, opened: _Opened, kept: bool) -> Headers:
        return (*opened.headers, *self._own_headers(kept))

    def _own_headers(self, kept: bool) -> Headers:
        own = [(b"x-request-id", self._id.encode("latin-1", "replace"))]
        if self._variant is not None:
            own.append((b"x-everloop-variant", self._variant.name.encode("utf-8")))
        if not kept:
            own.append((b"x-everloop-stored", b"no"))
        return tuple(own)

    async def _send(self, send: Send, reply: Reply) -> None:
        self._over = self._sent = True
        await send({"type": "http.response.start", "status": reply.status, "headers": headers_of(reply)})
        await send({"type": "http.response.body", "body": reply.body})

    # ---- keeping

    def _passed(self) -> float:
        return round((time.perf_counter() - self._started) * 1000, 3)

    def _so_far(self) -> chat.Said | None:
        return self._gathered.said() if self._gathered.began else None

    async def _store(self, answer: chat.Said | None, status: str, error: str | None) -> bool:
        """Have it on disk; False, and a line in the log, where that can't be: the answer is not held back for it."""
        took = self._passed()
        built = await self._interaction()
        if not consent.stored(built):
            return True
        try:
            size = len(answer.output) if answer is not None and answer.message is None else INLINE + 1
            if answer is not None and size > INLINE:
                loop = asyncio.get_running_loop()
                made = await loop.run_in_executor(
                    self._desk.threads, self._finished, built, answer, status, error, took
                )
            else:
                made = self._finished(built, answer, status, error, took)
            self._stored = True
            await self._desk.commits.write([made])
        except EverloopError as failure:
            log.error("interaction %s of loop %s could not be stored: %s", built.id, built.loop, one_line(failure))
            return False
        return True

    def _store_now(self, error: str) -> None:
        """Hand what there is to the store without waiting: this task is being cancelled."""
        if self._stored or self._built is None:
            return
        self._stored = True

        def then(built: "asyncio.Future[Interaction]") -> None:
            if built.cancelled() or built.exception() is not None or not consent.stored(built.result()):
                return
            made = self._finished(built.result(), self._so_far(), "partial", error, self._passed())
            try:
                self._desk.records.submit([made])
            except EverloopError as failure:
                log.error("interaction %s could not be stored: %s", self._id, one_line(failure))

        if self._built.done():
            then(self._built)
        else:
            self._built.add_done_callback(then)

    def _finished(
        self, built: Interaction, answer: chat.Said | None, status: str, error: str | None, took: float
    ) -> Interaction:
        """The interaction with its answer, redacted."""
        found: dict[str, Any] = {"error": error, "status": status}
        if answer is not None:
            found |= {"output": answer.output, "message": answer.message}
        try:
            kept = build_interaction(self._spec, {"input": "", "id": built.id, **found}, self._desk.door)
        except UserError as trouble:  # the message can't be kept as it is; the text can
            found |= {"message": None, "error": error or f"the message could not be kept: {one_line(trouble)}"}
            kept = build_interaction(self._spec, {"input": "", "id": built.id, **found}, self._desk.door)
        counts = {kind: built.redacted.get(kind, 0) + kept.redacted.get(kind, 0)
                  for kind in sorted({*built.redacted, *kept.redacted})}  # fmt: skip
        variant, context = self._variant, {**built.context, "assigned": self._assigned.variant.name}
        if answer is not None and answer.finish is not None and answer.finish not in _ORDINARY:
            context = {**context, "finish_reason": answer.finish}
        return msgspec.structs.replace(
            built, output=kept.output, message=kept.message, status=kept.status, error=kept.error, redacted=counts,
            attachments=(*built.attachments, *kept.attachments), context=context, latency_ms=took,
            variant=None if variant is None or status == "failed" else variant.name, first_token_ms=self._first_token,
            tokens_in=answer.tokens_in if answer else None, tokens_out=answer.tokens_out if answer else None,
            cost=chat.cost(variant.price, answer) if variant is not None and answer is not None else 0.0,
        )  # fmt: skip


def said(error: UserError) -> Reply:
    """A mistake of the client's, as OpenAI says it: with status 400 where ours is 422."""
    status = 400 if error.status == 422 else error.status
    field = str(error).partition(":")[0]
    param = field if field.replace("_", "").replace(".", "").isalpha() else None
    return problem(status, one_line(error), type(error).__name__, says=lambda *args: chat.error(*args, param=param))


def _completion(raw: bytes) -> dict[str, Any]:
    try:
        whole = _decode(raw)
        if (error := chat.error_said(whole)) is not None:
            raise UpstreamFailed(error)
        chat.read_completion(whole if isinstance(whole, dict) else {})
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UpstreamFailed("its answer is not JSON") from None
    except InvalidInput as error:
        raise UpstreamFailed(str(error).replace("the upstream's", "its")) from None
    found: dict[str, Any] = whole
    return found


def _chunk(data: bytes) -> dict[str, Any]:
    try:
        chunk = _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UpstreamFailed("a chunk of its stream is not JSON") from None
    if not isinstance(chunk, dict):
        raise UpstreamFailed("a chunk of its stream is no object")
    return chunk


async def _push(send: Send, out: bytes) -> None:
    """Send some; a client that takes nothing for so long has gone, though its connection has not."""
    try:
        async with asyncio.timeout(CLIENT_SECONDS):
            await send({"type": "http.response.body", "body": out, "more_body": True})
    except TimeoutError:
        raise _Stuck from None

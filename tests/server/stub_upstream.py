"""An OpenAI-compatible upstream that does what a test tells it, and remembers what it was asked."""

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from tests.listening import listening

USAGE = {"prompt_tokens": 12, "completion_tokens": 5, "total_tokens": 17, "prompt_tokens_details": {"cached_tokens": 4}}


class Request(NamedTuple):
    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    left: asyncio.Event  # set once the caller has closed the connection


Act = Callable[[Request, Any], Awaitable[None]]


class Stub:
    """`script` holds what the next requests get; without one they get an echo."""

    def __init__(self) -> None:
        self.script: deque[Act] = deque()
        self.seen: list[Request] = []
        self.ended: list[str] = []  # "complete", or "left" where the caller left first
        self.url = ""

    def will(self, *acts: Act) -> None:
        self.script.extend(acts)

    async def app(self, scope, receive, send) -> None:
        if scope["type"] != "http":
            return
        raw, message = b"", {"more_body": True}
        while message.get("more_body"):
            message = await receive()
            raw += message.get("body", b"")
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        request = Request(scope["path"], headers, json.loads(raw or b"{}"), asyncio.Event())
        self.seen.append(request)
        act = self.script.popleft() if self.script else echo()
        done = asyncio.create_task(act(request, send))
        gone = asyncio.create_task(receive())
        await asyncio.wait({done, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not done.done():
            request.left.set()
            done.cancel()
            self.ended.append("left")
            return
        gone.cancel()
        self.ended.append("complete")
        await done


def completion(message: dict[str, Any], finish: str = "stop", **more: Any) -> dict[str, Any]:
    return {"id": "chatcmpl-upstream", "object": "chat.completion", "created": 1_700_000_000, "model": "stub-2024",
            "choices": [{"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}],
            "usage": USAGE, **more}  # fmt: skip


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return {"id": "chatcmpl-upstream", "object": "chat.completion.chunk", "created": 1_700_000_000,
            "model": "stub-2024", "choices": choices, **more}  # fmt: skip


def says(status: int, body: Any, headers: dict[str, str] | None = None) -> Act:
    async def act(_: Request, send: Any) -> None:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        found = [(b"content-type", b"application/json"), (b"content-length", str(len(raw)).encode())]
        found += [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
        await send({"type": "http.response.start", "status": status, "headers": found})
        await send({"type": "http.response.body", "body": raw})

    return act


def error(status: int, message: str = "no", headers: dict[str, str] | None = None) -> Act:
    body = {"error": {"message": message, "type": "stub_error", "param": None, "code": "stub"}}
    return says(status, body, headers)


def streams(*items: Any, done: bool = True, die: bool = False, hold: asyncio.Event | None = None) -> Act:
    """Chunks (dicts) and raw bytes in order; a float is a pause. `die`: the connection ends in the middle."""

    async def act(_: Request, send: Any) -> None:
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for item in items:
            if isinstance(item, float):
                await asyncio.sleep(item)
                continue
            raw = item if isinstance(item, bytes) else b"data: " + json.dumps(item).encode() + b"\n\n"
            await send({"type": "http.response.body", "body": raw, "more_body": True})
        if die:
            raise ConnectionError("the stub was told to die")
        if done:
            await send({"type": "http.response.body", "body": b"data: [DONE]\n\n", "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    return act


def hangs(seconds: float = 60.0) -> Act:
    async def act(_: Request, send: Any) -> None:
        await asyncio.sleep(seconds)

    return act


def echo() -> Act:
    """The last message back; in words where a stream is asked for; embeddings of the length of each text."""

    async def act(request: Request, send: Any) -> None:
        if request.path.endswith("/embeddings"):
            given = request.body["input"]
            texts = given if isinstance(given, list) else [given]
            data = [
                {"object": "embedding", "index": n, "embedding": [float(len(text)), 0.5]}
                for n, text in enumerate(texts)
            ]
            return await says(200, {"object": "list", "data": data, "model": "stub-embed",
                                    "usage": {"prompt_tokens": 3, "total_tokens": 3}})(request, send)  # fmt: skip
        text = "you said: " + str(request.body["messages"][-1]["content"])
        if not request.body.get("stream"):
            return await says(200, completion({"content": text}))(request, send)
        words = [chunk({"role": "assistant", "content": ""})]
        words += [chunk({"content": word + " "}) for word in text.split(" ")]
        words += [chunk({}, "stop")]
        if (request.body.get("stream_options") or {}).get("include_usage"):
            words = [{**word, "usage": None} for word in words] + [chunk(None, usage=USAGE)]
        return await streams(*words)(request, send)

    return act


@contextmanager
def running() -> Iterator[Stub]:
    stub = Stub()
    with listening(stub.app, lifespan="off", interface="asgi3", timeout_graceful_shutdown=1) as port:
        stub.url = f"http://127.0.0.1:{port}/v1"
        yield stub

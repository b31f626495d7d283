"""The stub that stands for an OpenAI-compatible upstream: answers at once, or streams tokens that say when they left.

    python _upstream.py TOKENS GAP_MS

Prints its port. A streamed token's content is the machine's monotonic clock in ns, so that whoever gets it knows how
long it was under way.
"""

import asyncio
import json
import socket
import sys
import time

import httptools
import uvloop

TEXT = "Your card left our office two days ago and usually takes five working days; you can see where it is in the app."
WHOLE = json.dumps(
    {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "stub",
     "choices": [{"index": 0, "message": {"role": "assistant", "content": TEXT}, "finish_reason": "stop"}],
     "usage": {"prompt_tokens": 80, "completion_tokens": 25, "total_tokens": 105}}
).encode()  # fmt: skip
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(WHOLE) + WHOLE
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
PART = (
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"stub",'
    b'"choices":[{"index":0,"delta":{"content":"%d "},"finish_reason":null}]}\n\n'
)
LAST = (
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"stub",'
    b'"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"stub","choices":[],'
    b'"usage":{"prompt_tokens":80,"completion_tokens":25,"total_tokens":105}}\n\ndata: [DONE]\n\n'
)


def chunked(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class Connection(asyncio.Protocol):
    def __init__(self, tokens: int, gap: float):
        self._tokens, self._gap = tokens, gap
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport):
        self._transport = transport
        self._fresh()

    def _fresh(self):
        self._parser, self._body = httptools.HttpRequestParser(self), b""

    def data_received(self, data):
        self._parser.feed_data(data)

    def on_body(self, data):
        self._body += data

    def on_message_complete(self):
        streamed = b'"stream":true' in self._body
        self._loop.call_soon(self._fresh)
        if not streamed:
            self._transport.write(ANSWER)
            return
        self._transport.write(HEAD + chunked(PART % time.monotonic_ns()))
        self._loop.call_later(self._gap, self._token, 1)

    def _token(self, number):
        if self._transport.is_closing():
            return
        if number < self._tokens:
            self._transport.write(chunked(PART % time.monotonic_ns()))
            self._loop.call_later(self._gap, self._token, number + 1)
        else:
            self._transport.write(chunked(LAST) + b"0\r\n\r\n")


async def main() -> None:
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    tokens, gap = int(sys.argv[1]), float(sys.argv[2]) / 1000
    await asyncio.get_running_loop().create_server(lambda: Connection(tokens, gap), sock=listening, backlog=2048)
    print(listening.getsockname()[1], flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())

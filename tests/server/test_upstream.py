"""The client of upstreams against servers that stall, lie, break off and send a byte at a time."""

import asyncio
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.server import upstream as module
from everloop.server.streams import Events
from everloop.server.upstream import Target, UpstreamFailed, Upstreams, UpstreamSilent

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"
GOOD = HEAD + b"content-length: 5\r\n\r\nhello"


class Server:
    """Says `replies` in order, one a request; `None` in a reply means: close. Floats are pauses."""

    def __init__(self, *replies, byte_by_byte=False):
        self.replies = list(replies)
        self.byte_by_byte = byte_by_byte
        self.connections = 0
        self.requests = []
        self.closed = asyncio.Event()

    async def _serve(self, reader, writer):
        self.connections += 1
        try:
            while self.replies:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                self.requests.append((head, await reader.readexactly(length)))
                reply = self.replies.pop(0)
                for part in reply if isinstance(reply, list) else [reply]:
                    if part is None:
                        return
                    if isinstance(part, float):
                        await asyncio.sleep(part)
                        continue
                    for piece in [part[i : i + 1] for i in range(len(part))] if self.byte_by_byte else [part]:
                        writer.write(piece)
                        await writer.drain()
                        if self.byte_by_byte:
                            await asyncio.sleep(0)
            await reader.read()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self.closed.set()
            writer.close()

    @contextlib.asynccontextmanager
    async def up(self):
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        pool = Upstreams()
        try:
            yield pool, Target.of(f"http://127.0.0.1:{port}/v1")
        finally:
            pool.close()
            server.close()


async def body_of(server, silence=2.0, most=1_000_000):
    async with server.up() as (pool, target):
        answer = await pool.ask(target, "/x", {}, b"{}", silence=silence)
        return await answer.read(most)


def ask(*replies, byte_by_byte=False, **more):
    async def main():
        return await body_of(Server(*replies, byte_by_byte=byte_by_byte), **more)

    return asyncio.run(main())


@pytest.mark.parametrize("byte_by_byte", [False, True])
@pytest.mark.parametrize(
    ("reply", "body"),
    [
        (GOOD, b"hello"),
        (CHUNKED + b"3\r\nhel\r\n2;a=b\r\nlo\r\n0\r\nx: y\r\n\r\n", b"hello"),
        ([HEAD + b"connection: close\r\n\r\nhello", None], b"hello"),
        ([b"HTTP/1.0 200 OK\r\n\r\nhello", None], b"hello"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + GOOD, b"hello"),
        (b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" + GOOD, b"hello"),
        (HEAD + b"content-length: 0\r\n\r\n", b""),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    ],
)
def test_answers_of_every_shape(reply, body, byte_by_byte):
    assert ask(reply, byte_by_byte=byte_by_byte) == body


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        ([HEAD + b"content-length: 50\r\n\r\nhello", None], "broke off"),
        ([CHUNKED + b"5\r\nhel", None], "broke off"),
        ([CHUNKED + b"5\r\nhello\r\n", None], "broke off"),
        ([None], "without an answer"),
        ([b"HTTP/1.1 200 OK\r\ncontent-ty", None], "without an answer"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "no HTTP"),
        (b"\x16\x03\x01\x02\x00\x01", "no HTTP"),
        (CHUNKED + b"zz\r\nhello", "no HTTP"),
        (HEAD + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", "no HTTP"),
        (HEAD + b"content-length: 5\r\ncontent-length: 6\r\n\r\nhello", "no HTTP"),
        (HEAD + b"content-length: -1\r\n\r\nhello", "no HTTP"),
        (HEAD + b"content-encoding: gzip\r\ncontent-length: 2\r\n\r\nxx", "was not asked for"),
        (b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n", "another protocol|no HTTP"),
        (b"HTTP/1.1 200 OK\r\n" + b"x: " + b"y" * 70_000, "no body"),
        (b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 20_000, "no body"),
        ([CHUNKED, *[b"1;" + b"x" * 30_000] * 3], "no body"),
        (CHUNKED + b"5\r\nhello\r\n0\r\n" + b"t: y\r\n" * 60_000, "no body"),
    ],
)
def test_what_is_no_answer_is_an_error(reply, says):
    with pytest.raises(UpstreamFailed, match=says):
        ask(reply)


@pytest.mark.parametrize("reply", [[5.0], [b"HTTP/1.1 200 OK\r\n", 5.0], [CHUNKED + b"3\r\nhel\r\n", 5.0]])
def test_silence_is_noticed_wherever_it_falls(reply):
    with pytest.raises(UpstreamSilent, match=r"silent for 0\.1 s"):
        ask(reply, silence=0.1)


def test_slow_is_not_silent():
    assert ask([CHUNKED, *[0.05, b"1\r\nx\r\n"] * 6, b"0\r\n\r\n"], silence=0.2) == b"xxxxxx"


def test_an_answer_can_be_too_long():
    with pytest.raises(UpstreamFailed, match="longer than 1,000 bytes"):
        ask([CHUNKED, *[b"400\r\n" + b"x" * 1024 + b"\r\n"] * 50], most=1_000)


def test_a_connection_is_kept_and_used_again():
    async def main():
        server = Server(GOOD, GOOD, GOOD)
        async with server.up() as (pool, target):
            for _ in range(3):
                answer = await pool.ask(target, "/x", {"authorization": "Bearer k"}, b"{}", silence=2)
                assert await answer.read() == b"hello"
        return server

    server = asyncio.run(main())
    assert server.connections == 1
    head, body = server.requests[0]
    assert head.startswith(b"POST /v1/x HTTP/1.1\r\nhost: 127.0.0.1:")
    assert b"\r\nauthorization: Bearer k\r\n" in head
    assert body == b"{}"


@pytest.mark.parametrize(
    "spoiled",
    [
        GOOD + b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",  # what nobody asked for must not answer the next
        GOOD + b"garbage",
        HEAD + b"connection: close\r\ncontent-length: 5\r\n\r\nhello",
        b"HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello",
        [GOOD, 0.02, b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"],
        [GOOD, None],  # it was closed while idle: a new one is taken
    ],
)
def test_a_spoiled_connection_is_not_used_again(spoiled):
    async def main():
        server = Server(spoiled, GOOD)
        async with server.up() as (pool, target):
            for _ in range(2):
                answer = await pool.ask(target, "/x", {}, b"{}", silence=2)
                assert await answer.read() == b"hello"
                await asyncio.sleep(0.05)
        return server.connections

    assert asyncio.run(main()) == 2


def test_an_answer_that_is_left_does_not_reach_the_next():
    async def main():
        server = Server([CHUNKED + b"5\r\nfirst\r\n", 0.2, b"0\r\n\r\n"], GOOD)
        async with server.up() as (pool, target):
            left = await pool.ask(target, "/x", {}, b"{}", silence=2)
            assert await left.chunk() == b"first"
            left.close()
            left.close()
            answer = await pool.ask(target, "/x", {}, b"{}", silence=2)
            assert await left.chunk() == b""
            assert await answer.read() == b"hello"
            left.close()
        return server.connections

    assert asyncio.run(main()) == 2


def test_one_that_has_said_all_may_end_in_its_own_time():
    async def main():
        server = Server([CHUNKED + b"5\r\nfirst\r\n", 0.05, b"0\r\n\r\n"], GOOD)
        async with server.up() as (pool, target):
            first = await pool.ask(target, "/x", {}, b"{}", silence=2)
            assert await first.chunk() == b"first"
            first.close(ended=True)
            await asyncio.sleep(0.15)
            assert await (await pool.ask(target, "/x", {}, b"{}", silence=2)).read() == b"hello"
        return server.connections

    assert asyncio.run(main()) == 1


@pytest.mark.parametrize("reply", [[5.0], [CHUNKED + b"3\r\nhel\r\n", 5.0]])
def test_cancelling_closes_the_connection(reply):
    async def main():
        server = Server(reply)
        async with server.up() as (pool, target):

            async def asking():
                await (await pool.ask(target, "/x", {}, b"{}", silence=9)).read()

            task = asyncio.create_task(asking())
            while not server.requests:
                await asyncio.sleep(0.005)
            await asyncio.sleep(0.02)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            server.replies.append(GOOD)
            assert await (await pool.ask(target, "/x", {}, b"{}", silence=2)).read() == b"hello"
        return server.connections

    assert asyncio.run(main()) == 2


def test_a_reader_that_is_slow_holds_the_upstream_back():
    async def main():
        server = Server([CHUNKED, *[b"10000\r\n" + b"x" * 65_536 + b"\r\n"] * 400, b"0\r\n\r\n"])
        async with server.up() as (pool, target):
            answer = await pool.ask(target, "/x", {}, b"{}", silence=0.2)
            await asyncio.sleep(0.5)  # longer than its silence: whoever does not read can't hear
            held = answer._connection._held
            size = len(await answer.read(400 * 65_536))
        return held, size

    held, size = asyncio.run(main())
    assert held < 4 * module._FULL
    assert size == 400 * 65_536


def test_nobody_listens():
    async def main():
        await Upstreams().ask(Target.of("http://127.0.0.1:9/v1"), "/x", {}, b"", silence=1)

    with pytest.raises(UpstreamFailed, match=r"connect to 127\.0\.0\.1:9"):
        asyncio.run(main())


def test_tls_to_one_that_speaks_none():
    async def main():
        server = Server(GOOD)
        async with server.up() as (pool, target):
            await pool.ask(target._replace(secure=True), "/x", {}, b"", silence=1)

    with pytest.raises(UpstreamFailed, match=r"can.t connect|no connection"):
        asyncio.run(main())


@pytest.mark.parametrize("url", ["ftp://x/v1", "http://", "http://a:b/v1", "https://u:p@h/v1", "http://[::1/v1", "x"])
def test_addresses_that_are_none(url):
    with pytest.raises(UpstreamFailed):
        Target.of(url)


def test_addresses():
    assert Target.of("https://h.example/a b/v1?api-version=3").path == "/a%20b/v1"
    assert Target.of("https://h.example/v1?api-version=3").query == "api-version=3"
    assert Target.of("http://[::1]:8000/v1")[:4] == (False, "::1", 8000, "[::1]:8000")
    assert Target.of("https://bücher.example/v1").host == "xn--bcher-kva.example"


def test_a_header_can_bring_no_other():
    asking = Upstreams().ask(Target.of("http://127.0.0.1:9"), "/", {"authorization": "a\r\nx: y"}, b"", silence=1)
    with pytest.raises(UpstreamFailed, match="can't be sent"):
        asyncio.run(asking)


LINES = st.lists(st.binary(max_size=12).filter(lambda raw: not set(raw) & set(b"\r\n")), max_size=5)


@given(st.lists(LINES, max_size=6), st.sampled_from([b"\n", b"\r\n", b"\r"]), st.lists(st.integers(1, 9), min_size=1))
def test_events_are_the_same_however_they_are_cut(groups, end, cuts):
    raw = b"".join(b"".join(b"data: " + line + end for line in lines) + end for lines in groups) + b": over" + end + end
    wanted = [b"\n".join(lines) for lines in groups if lines]
    whole = Events()
    assert whole.feed(raw) + whole.rest() == wanted
    events, found, at = Events(), [], 0
    for n in range(len(raw)):
        if at >= len(raw):
            break
        step = cuts[n % len(cuts)]
        found += events.feed(raw[at : at + step])
        at += step
    assert found + events.rest() == wanted


@given(st.binary(max_size=200))
def test_events_take_any_bytes(raw):
    events = Events()
    for byte in raw:
        events.feed(bytes([byte]))
    events.rest()


def test_an_event_can_be_too_long(monkeypatch):
    monkeypatch.setattr("everloop.server.streams.MOST_EVENT", 100)
    events = Events()
    with pytest.raises(UpstreamFailed, match="more than"):
        [events.feed(b"data: 0123456789\n") for _ in range(20)]
    with pytest.raises(UpstreamFailed, match="more than"):
        Events().feed(b"x" * 101)

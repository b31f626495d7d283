"""The client against a real server on loopback, and against servers that are down, slow, broken or cut off."""

import asyncio
import gc
import http.server
import itertools
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from everloop.client import Client, Spool, Unreachable
from everloop.client.transport import Http
from everloop.errors import InvalidInput, NotFound
from everloop.types import Correction, Implicit, Interaction, Thumb
from tests.client.conftest import Dictionary, Running


def test_log_and_feedback_arrive(server: Running) -> None:
    with Client(server.url, loop="desk") as client:
        answer = client.log("my card is gone", "card_lost", confidence=0.7, subject="u1", context={"channel": "web"})
        said = client.feedback(answer, correction="card_stolen", rationale="it says so", subject="u1")
        labelled = client.log("top up?", None, label="top_up", split="train")
        assert client.flush(10)
        stats = client.stats()
        assert (stats.entered, stats.sent, stats.waiting, stats.trouble) == (3, 3, 0, None)
    found = server.wheel.interaction(answer)
    assert (found.output, found.context, found.subject != "u1") == ("card_lost", {"channel": "web"}, True)
    records = server.wheel.store.records
    assert records.get(Correction, said).rationale == "it says so"
    assert records.get(Interaction, labelled) is not None
    client.close()
    client.log("after")
    assert client.stats().dropped["normal"] == 1


def test_predict_is_a_plain_call(server: Running) -> None:
    with Client(server.url, loop="desk") as client:
        answer = client.predict("where is my card", subject="u2")
        assert answer.abstained
        client.feedback(answer.id, label="card_arrival")
        with pytest.raises(NotFound, match="nowhere"):
            client.predict("x", loop="nowhere")
        with pytest.raises(InvalidInput):
            client.predict(3)  # type: ignore[arg-type]
    with Client("http://127.0.0.1:9", loop="desk") as client, pytest.raises(Unreachable):
        client.predict("x")


def test_a_loop_there_is_not_is_refused_once_and_for_all(server: Running) -> None:
    with Client(server.url) as client:
        client.log("x", loop="nowhere")
        assert client.flush(10)
        assert client.stats().refused == 1


def test_many_threads(server: Running) -> None:
    made: list[str] = []
    with Client(server.url, loop="desk", batch_lines=100) as client:

        def work() -> None:
            made.extend(client.feedback("nobody", implicit="skip", position=n) for n in range(200))

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert client.flush(20)
        assert client.stats().sent == 1600
    held = {record.id for record in server.wheel.store.records.held()}
    assert len(set(made)) == 1600
    assert set(made) <= held


def test_asyncio(server: Running) -> None:
    async def main() -> list[str]:
        async with Client(server.url, loop="desk") as client:

            async def work(n: int) -> str:
                await asyncio.sleep(0)
                return client.log(f"question {n}")

            made = await asyncio.gather(*(work(n) for n in range(100)))
            assert await client.aflush(10)
            assert client.stats().sent == 100
        return list(made)

    made = asyncio.run(main())
    assert set(made) <= set(server.ids(Interaction))


def test_waking_up_is_never_missed(dictionary: Dictionary) -> None:
    with Client("http://x", loop="desk", transport=dictionary, batch_seconds=0.0) as client:
        for n in range(300):
            threads = [threading.Thread(target=client.log, args=("x",)) for _ in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            until = time.monotonic() + 5
            while client.stats().sent != 2 * n + 2:
                assert time.monotonic() < until
                time.sleep(0.0005)


def test_a_signal_handler_may_log(dictionary: Dictionary) -> None:
    client = Client("http://x", loop="desk", transport=dictionary, batch_seconds=0.0)
    signal.signal(signal.SIGALRM, lambda *_: client.feedback("i", thumb="up", id=f"s{next(number)}", at=1))
    number = itertools.count()
    try:
        for n in range(5000):
            if n % 3 == 0:
                signal.setitimer(signal.ITIMER_REAL, 0.00001 + n % 97 / 1e6)
            client.feedback("i", thumb="up", id=f"m{n}", at=1)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signals = next(number)
    assert signals > 100
    assert client.flush(10)
    assert client.stats().sent == 5000 + signals == len(dictionary.taken)
    client.close()


def test_with_a_spool(server: Running, tmp_path: Path) -> None:
    with Client(server.url, loop="desk", spool=Spool(tmp_path)) as client:
        made = [client.log(f"spooled {n}") for n in range(700)]
        said = client.feedback(made[0], correction="y")
        assert client.flush(20)
        assert client.stats().sent == 701
    assert set(made) <= set(server.ids(Interaction))
    assert said in server.ids(Correction)
    assert [p for p in tmp_path.rglob("*.*") if p.is_file()] == []


def test_a_dead_server_costs_the_product_nothing_and_a_spool_keeps_it_all(server: Running, tmp_path: Path) -> None:
    with Client("http://127.0.0.1:9", loop="desk", spool=Spool(tmp_path), close_seconds=0.2) as dead:
        made = [dead.log(f"dark {n}") for n in range(50)]
        assert not dead.flush(0.2)
        assert dead.stats().trouble
    with Client(server.url, loop="desk", spool=Spool(tmp_path)) as client:
        assert client.stats().recovered == 50
        client.log("one more")
        assert client.flush(10)
        assert client.stats().sent == 51
    assert set(made) <= set(server.ids(Interaction))


def test_a_spool_is_emptied_though_nothing_new_is_logged(server: Running, tmp_path: Path) -> None:
    with Client("http://127.0.0.1:9", loop="desk", spool=Spool(tmp_path), close_seconds=0) as dead:
        made = dead.log("dark")
    with Client(server.url, loop="desk", spool=Spool(tmp_path)) as client:
        until = time.monotonic() + 10
        while not client.stats().sent:
            assert time.monotonic() < until
            time.sleep(0.02)
    assert made in server.ids(Interaction)


def test_back_pressure_keeps_memory_bounded_and_never_blocks() -> None:
    with Client("http://127.0.0.1:9", loop="desk", max_memory=1 << 20, close_seconds=0) as client:
        longest = 0.0
        gc.disable()
        try:
            for n in range(20_000):
                begun = time.perf_counter()
                client.feedback("i", implicit="dwell", dwell_ms=n)
                longest = max(longest, time.perf_counter() - begun)
                if n % 20 == 0:
                    client.feedback("i", correction="y")
        finally:
            gc.enable()
        stats = client.stats()
        assert stats.waiting_bytes <= 1 << 20
        assert stats.dropped["bulk"] > 15_000
        assert stats.dropped["critical"] == 0
        assert stats.entered == stats.waiting + sum(stats.dropped.values())
        assert longest < 0.5  # other processes share this machine; nothing here waits for a network
    assert sum(client.stats().dropped.values()) == 21_000


@contextmanager
def broken(answer: Any) -> Iterator[str]:
    """A server whose every POST is answered by `answer(handler)`."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.body = self.rfile.read(int(self.headers["content-length"]))
            answer(self)

        def log_message(self, *_: Any) -> None: ...

    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.handle_error = lambda *_: None  # type: ignore[method-assign]
    thread = threading.Thread(target=made.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{made.server_port}"
    finally:
        made.shutdown()
        made.server_close()


def forward(handler: Any, url: str) -> bytes:
    import httpx

    return httpx.post(
        url + handler.path, content=handler.body, headers={"content-type": handler.headers["content-type"]}
    ).content


@pytest.mark.parametrize("how", ["500", "reset before", "reset after", "half a reply", "hangs up"])
def test_trouble_on_the_way_neither_loses_nor_doubles(server: Running, how: str) -> None:
    left = [3]

    def answer(handler: Any) -> None:
        left[0] -= 1
        if left[0] < 0 or how in {"reset after", "half a reply"}:
            body = forward(handler, server.url)
        if left[0] < 0:
            handler.send_response(200)
            handler.send_header("content-length", str(len(body)))
            handler.end_headers()
            handler.wfile.write(body)
        elif how == "500":
            handler.send_error(500)
        elif how == "half a reply":
            handler.send_response(200)
            handler.send_header("content-length", str(len(body)))
            handler.end_headers()
            handler.wfile.write(body[: len(body) // 2])
            handler.close_connection = True
        elif "reset" in how:
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            handler.connection.close()
        else:
            handler.close_connection = True

    with broken(answer) as url, Client(url, loop="desk") as client:
        made = [client.log(f"{how} {n}") for n in range(20)]
        assert client.flush(20)
        stats = client.stats()
        assert (stats.sent, stats.failures) == (20, 3)
        assert stats.known == (20 if how in {"reset after", "half a reply"} else 0)
    found = server.ids(Interaction)
    assert [found.count(id) for id in made] == [1] * 20


def test_a_server_that_never_answers_holds_up_nobody() -> None:
    stop = threading.Event()
    with broken(lambda _: stop.wait(10)) as url:
        begun = time.monotonic()
        with Client(url, loop="desk", close_seconds=0.1) as client:
            client.log("x")
            assert not client.flush(0.3)
            for _ in range(100):
                client.log("y")
        assert time.monotonic() - begun < 3
        stop.set()


def test_a_fork_waits_for_a_connection_that_is_being_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """The locks of TLS that another thread holds meanwhile would be held in the child for ever."""
    begun, made = threading.Event(), threading.Event()

    def slow(**_: Any) -> None:
        begun.set()
        time.sleep(0.1)
        made.set()

    monkeypatch.setattr("httpx.Client", slow)
    side = threading.Thread(target=Http("http://x")._open)
    side.start()
    assert begun.wait(10)
    pid = os.fork()
    if pid == 0:
        os._exit(0 if made.is_set() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    side.join()


def test_a_fork_starts_empty_and_both_arrive(server: Running, tmp_path: Path) -> None:
    for spool in (None, Spool(tmp_path)):
        client = Client(server.url, loop="desk", spool=spool)
        busy = threading.Event()

        def make_ids(busy: threading.Event = busy, client: Client = client) -> None:
            while not busy.is_set():
                client.log("from the side")

        side = threading.Thread(target=make_ids)
        side.start()
        before = client.log("parent before")
        children = []
        for n in range(5):
            read, write = os.pipe()
            pid = os.fork()
            if pid == 0:
                status = 1
                try:
                    made = client.log(f"child {n}")
                    os.write(write, made.encode())
                    status = 0 if client.flush(20) and client.stats().entered == 1 else 2
                    client.close()
                finally:
                    os._exit(status)
            os.close(write)
            children.append((pid, read))
        busy.set()
        side.join()
        made = [before, client.log("parent after")]
        for pid, read in children:
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
            made.append(os.read(read, 100).decode())
            os.close(read)
        assert client.flush(20)
        stats = client.stats()
        assert stats.known == 0
        client.close()
        found = server.ids(Interaction)
        assert [found.count(id) for id in made] == [1] * 7
        assert len(found) == len(set(found))


SCRIPT = """
import sys
from everloop.client import Client, Spool
spool = Spool(sys.argv[2]) if len(sys.argv) > 2 else None
client = Client(sys.argv[1], loop="desk", spool=spool, close_seconds=1 if sys.argv[1].endswith(":9") else 60)
print(client.log("last words"), client.feedback("nobody", thumb="up"))
"""


def test_what_is_logged_last_is_flushed_when_the_process_ends(server: Running, tmp_path: Path) -> None:
    for more in ([], [str(tmp_path)]):
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, server.url, *more], capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.split()[0] in server.ids(Interaction)
    assert server.ids(Thumb) == []  # it is held until its interaction comes
    assert done.stdout.split()[1] in {record.id for record in server.wheel.store.records.held()}


def test_the_end_of_a_process_waits_for_a_dead_server_within_bounds() -> None:
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, "http://127.0.0.1:9"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0
    assert "closed with 2 events unsent; a Spool would have kept them" in done.stderr
    assert 1 < time.monotonic() - begun < 10


def test_a_clock_that_jumps_back(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    with Client(server.url, loop="desk") as client:
        first = client.log("before the jump")
        wall = time.time_ns
        monkeypatch.setattr(time, "time_ns", lambda: wall() - 10**9 * 86_400 * 365)
        second = client.log("after the jump")
        assert first < second
        assert client.flush(10)
    assert server.wheel.interaction(first).at > server.wheel.interaction(second).at


def test_importing_it_is_cheap() -> None:
    code = (
        "import time; t = time.perf_counter(); import everloop.client, sys; "
        "print(time.perf_counter() - t, *sys.modules)"
    )
    runs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
        for _ in range(3)
    ]
    loaded = set(runs[0][1:])
    assert not {"httpx", "numpy", "starlette", "sqlite3", "everloop.store", "everloop.wheel"} & loaded
    assert min(float(run[0]) for run in runs) < 0.3  # 0.065 s on an idle core


def test_implicit_is_bulk_and_can_be_told_otherwise(dictionary: Dictionary) -> None:
    with Client("http://x", transport=dictionary, priorities={"implicit": "critical"}) as client:
        client.feedback("i", implicit="skip")
    assert len(dictionary.taken) == 1
    assert Implicit.__struct_config__.tag == "implicit"


def test_no_secret_stands_in_what_is_said_of_trouble(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(InvalidInput, match="can't be a key") as caught:
        Client("http://127.0.0.1:9", key="evl_secret\nx-admin: 1")
    assert "evl_" not in str(caught.value)
    with Client("http://ada:lovelace@127.0.0.1:9", key="evl_secret\n", loop="a", close_seconds=0) as client:
        client.log("x", "y")
        assert not client.flush(0.3)
        assert client.stats().trouble
    told = f"{client.stats().trouble} {caplog.text}"
    assert "http://127.0.0.1:9" in told, "it was sent, and nobody was there"
    assert "evl_" not in told
    assert "lovelace" not in told

"""A server on a free port of loopback, in a thread of the test's own process."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

import uvicorn


class _Prompt(uvicorn.Server):
    """Starts and stops as soon as it can, where uvicorn's own looks ten times a second whether it is time."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()
        self._told = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def stop(self) -> None:
        self.should_exit = True
        if self._loop is not None:  # else it has not looked yet, and will
            self._loop.call_soon_threadsafe(self._told.set)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    async def main_loop(self) -> None:
        self._loop = asyncio.get_running_loop()
        tick = 0
        while not await self.on_tick(tick):
            tick += 1
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._told.wait(), 0.1)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._nothing_to_do(), self.config.timeout_graceful_shutdown)
        for task in list(self.server_state.tasks):
            task.cancel()
        await self.lifespan.shutdown()

    async def _nothing_to_do(self) -> None:
        while self.server_state.connections or self.server_state.tasks:
            await asyncio.sleep(0.002)


@contextlib.contextmanager
def listening(app: Any, **config: Any) -> Iterator[int]:
    """Serves `app` while the block runs, with uvicorn's `config`; gives the port."""
    given = {"http": "httptools", "ws": "none", "log_level": "critical", **config}
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        door.listen(256)
        server = _Prompt(uvicorn.Config(app, **given))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [door]}, daemon=True)
        thread.start()
        while not server.ready.wait(0.1):
            assert thread.is_alive(), "the server ended before it had begun"
        try:
            yield door.getsockname()[1]
        finally:
            server.stop()
            thread.join(10)

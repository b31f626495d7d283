"""A real server on loopback, and a server made of a dictionary for what needs no network."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

import everloop
from everloop.client.transport import Reply, Unreachable
from everloop.server import create_app
from everloop.settings import Settings
from everloop.wheel import Wheel
from tests.listening import listening


class Dictionary:
    """A Transport that keeps what it gets by id, as the server does."""

    def __init__(self) -> None:
        self.taken: dict[str, bytes] = {}
        self.requests: list[tuple[str, int]] = []
        self.script: list[Reply | Exception] = []  # what the next requests get instead

    def post(self, path: str, body: bytes, media: str, timeout: float) -> Reply:
        lines = body.split(b"\n")
        self.requests.append((path, len(lines)))
        if self.script:
            answer = self.script.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer
        out = []
        for line in lines:
            id = msgspec.json.decode(line)["id"]
            known = self.taken.get(id)
            assert known in (None, line), "the same id with other bytes"
            self.taken[id] = line
            out.append({"id": id, "state": "new" if known is None else "known"})
        return Reply(200, msgspec.json.encode(out[0]) if len(out) == 1 else b"\n".join(map(msgspec.json.encode, out)))

    def forget(self) -> None: ...

    def close(self) -> None: ...


class Clock:
    """Time that passes when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Running:
    """A server that runs, with a loop called "desk"."""

    def __init__(self, wheel: Wheel, url: str) -> None:
        self.wheel = wheel
        self.url = url

    def ids(self, kind: Any) -> list[str]:
        return [record.id for record in self.wheel.store.records.find(kind)]


@contextmanager
def serving(home: Path) -> Iterator[Running]:
    with everloop.open(settings=Settings(home=str(home))) as wheel:
        wheel.loop("desk")
        with listening(create_app(wheel, worker=False)) as port:
            yield Running(wheel, f"http://127.0.0.1:{port}")


@pytest.fixture
def dictionary() -> Dictionary:
    return Dictionary()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(tmp_path_factory.mktemp("home")) as running:
        yield running


__all__ = ["Clock", "Dictionary", "Reply", "Running", "Unreachable", "serving"]

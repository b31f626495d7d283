"""Every contract runs against every backend: a backend joins by adding its way of opening a store to BACKENDS."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from everloop.store import Store, open_store


def _sqlite(folder: Path) -> Store:
    return open_store(folder / "store")


BACKENDS: dict[str, Callable[[Path], Store]] = {"sqlite": _sqlite}

Reopen = Callable[[], Store]


@pytest.fixture(params=list(BACKENDS))
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Reopen]:
    """Opens the same store again, each time as another process would; all are closed at the end."""
    opened: list[Store] = []

    def again() -> Store:
        opened.append(BACKENDS[request.param](tmp_path))
        return opened[-1]

    yield again
    for store in opened:
        store.close()


@pytest.fixture
def store(reopen: Reopen) -> Store:
    return reopen()

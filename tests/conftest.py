"""What holds for every test: a slow machine is no reason to fail, and what all would do again is done once."""

import contextlib
import gc
import os
import re
import secrets
import shutil
from collections.abc import Generator, Iterator
from pathlib import Path

import certifi
import pytest
from hypothesis import HealthCheck, settings

from everloop.store import open as opening
from everloop.store import sqlite_connection

settings.register_profile("house", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is imported and collected stays: nobody need look through it again and again for garbage."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(20_000, 20, 20)
        gc.enable()


@pytest.fixture(autouse=True, scope="session")
def one_certificate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Every HTTP client reads every root certificate, 30 ms each time; no test speaks to anybody who has one."""
    first = re.search(r"-----BEGIN.+?END CERTIFICATE-----\n", Path(certifi.where()).read_text("ascii"), re.DOTALL)
    assert first is not None
    file = tmp_path_factory.mktemp("certificates") / "one.pem"
    file.write_text(first[0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(file))
        yield


@pytest.fixture(autouse=True, scope="session")
def one_schema(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A new store is a copy of an empty one, for to make the tables takes ten times as long. Not so in tests/store."""
    empty = tmp_path_factory.mktemp("schema") / "empty.db"
    sqlite_connection.prepare(empty)

    def prepare(path: Path) -> None:
        if not path.exists():
            copy = path.with_name(f"{path.name}-{secrets.token_hex(8)}")
            shutil.copyfile(empty, copy)
            with contextlib.suppress(FileExistsError):  # another thread was quicker
                os.link(copy, path)
            copy.unlink()
        sqlite_connection.prepare(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opening, "prepare", prepare)
        yield

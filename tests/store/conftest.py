"""Here the tables of a new store are made by its migrations, as they are for a user."""

import pytest

from everloop.store import open as opening
from everloop.store import sqlite_connection


@pytest.fixture(autouse=True)
def made_by_migrations(one_schema: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "prepare", sqlite_connection.prepare)

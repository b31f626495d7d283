"""The SQL, read from its files: named statements in ``queries.sql`` and the ordered migrations."""

import re
import sqlite3
from functools import cache, lru_cache
from importlib.resources import files
from typing import NamedTuple

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_MIGRATION = re.compile(r"(\d{4})_\w+\.sql")


class Migration(NamedTuple):
    """One step of the schema."""

    version: int  # what `PRAGMA user_version` says after it
    statements: tuple[str, ...]


@cache
def _queries() -> dict[str, str]:
    _, *parts = _NAME.split(files("everloop.store").joinpath("queries.sql").read_text("utf-8"))
    return {name: _bare(text) for name, text in zip(parts[::2], parts[1::2], strict=True)}


def _bare(text: str) -> str:
    return "\n".join(line for line in text.splitlines() if line.strip() and not line.startswith("--"))


@lru_cache(1024)
def query(name: str, **parts: str) -> str:
    """The statement called `name`, its ``{parts}`` filled in; KeyError if there is none.

    >>> query("get", table="turns")
    'SELECT body FROM turns WHERE id = ? LIMIT 2'
    """
    text = _queries()[name]
    return text.format(**parts) if parts else text


@cache
def migrations() -> tuple[Migration, ...]:
    """All migrations, in order; they are numbered from 1 without a gap.

    >>> [m.version for m in migrations()][:2]
    [1, 2]
    """
    found = []
    for file in files("everloop.store").joinpath("migrations").iterdir():
        if match := _MIGRATION.fullmatch(file.name):
            found.append(Migration(int(match[1]), tuple(_statements(file.read_text("utf-8")))))
    return tuple(sorted(found))


def _statements(script: str) -> list[str]:
    """Split a script; sqlite3's own executescript would commit the transaction it runs in."""
    statements, lines = [], ""
    for line in script.splitlines():
        if not lines and (not line.strip() or line.startswith("--")):
            continue
        lines += line + "\n"
        if sqlite3.complete_statement(lines):
            statements.append(lines)
            lines = ""
    return statements

"""Dataset versions in SQLite."""

import sqlite3
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from everloop.errors import InvalidInput, NotFound
from everloop.store import sqlite_rows as rows
from everloop.store.digests import example_digest, subject_key, version_hash
from everloop.store.encoding import encode, encoded
from everloop.store.sqlite_connection import Readers
from everloop.store.sqlite_kinds import listed
from everloop.store.sqlite_versions import holders
from everloop.store.sqlite_writer import Writer
from everloop.store.statements import query
from everloop.types import DatasetVersion, Diff, Example, Lease, Split

_decode_example = msgspec.json.Decoder(Example).decode
_decode_version = msgspec.json.Decoder(DatasetVersion).decode
_SHORTEST_PREFIX = 8


class _Ready(NamedTuple):
    """An example ready to be written."""

    id: str
    split: str
    digest: bytes
    seal: bytes
    body: str
    subjects: tuple[str, ...]


class _Line(NamedTuple):
    """A stored example without its body."""

    key: int
    digest: bytes
    seal: bytes


class SqliteDatasets:
    """The `Datasets` Protocol on one SQLite file. Every method may be called from any thread."""

    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    def commit(self, loop: str, examples: Sequence[Example], *, id: str, parent: str | None, recipe: Any, at: int,
               alongside: Sequence[Struct] = (), fence: Lease | None = None) -> DatasetVersion:  # fmt: skip
        """Make `examples` the content of a new version, and write `alongside`, in one transaction."""
        content = _ready(loop, examples)
        made = version_hash(line.digest for line in content.values())
        batch = rows.ready(alongside)

        def work(connection: sqlite3.Connection) -> DatasetVersion:
            rows.check(connection, fence)
            if (known := connection.execute(query("version"), (id,)).fetchone()) is not None:
                return _known(_decode_version(known[1]), loop)
            base = None if parent is None else _parent(connection, parent, loop)
            old = {} if base is None else _manifest(connection, base)
            kept = {key for key, line in old.items() if key in content and content[key].digest == line.digest}
            version = DatasetVersion(
                id=id, loop=loop, parent=parent, recipe=recipe, hash=made, added=len(content) - len(kept),
                removed=len(old) - len(kept), size=len(content), at=at,
            )  # fmt: skip
            cursor = connection.execute(query("add_version"), (id, loop, base, made, encode(version).decode()))
            position = cursor.lastrowid
            assert position is not None
            _write_changes(connection, position, old, content)
            rows.overwrite(connection, batch)
            return version

        return self._writer.submit(work).result()

    def get(self, version: str) -> DatasetVersion | None:
        """One version by id, or by a unique prefix of its id or hash."""
        with self._readers.reading() as connection:
            found = _find(connection, version)
        return None if found is None else _decode_version(found[1])

    def log(self, loop: str) -> list[DatasetVersion]:
        """Versions of a loop, newest first."""
        with self._readers.reading() as connection:
            found = connection.execute(query("log"), (loop,)).fetchall()
        return [_decode_version(body) for (body,) in found]

    def diff(self, old: str | None, new: str) -> Diff:
        """What `new` has that `old` has not and the other way round, by id and content; examples ordered by id."""
        with self._readers.reading(snapshot=True) as connection:
            before = {} if old is None else _manifest(connection, _position(connection, old))
            after = _manifest(connection, _position(connection, new))
            added = [line.key for id, line in after.items() if _differs(before.get(id), line)]
            removed = [line.key for id, line in before.items() if _differs(after.get(id), line)]
            return Diff(added=tuple(_bodies(connection, added)), removed=tuple(_bodies(connection, removed)))

    def examples(self, version: str, split: Split | None = None) -> list[Example]:
        """The content of a version, ordered by id."""
        with self._readers.reading(snapshot=True) as connection:
            values = {"version": _position(connection, version), "split": split}
            found = connection.execute(query("content"), values).fetchall()
        found.sort()
        return [_decode_example(body) for _, body in found]

    def holding(self, example: str) -> list[DatasetVersion]:
        """Versions that hold the example with this id, oldest first."""
        with self._readers.reading(snapshot=True) as connection:
            stored = connection.execute(query("rows_of_example"), (example,)).fetchall()
            found = holders(connection, stored) if stored else []
        return [_decode_version(body) for _, body, _ in found]


def _ready(loop: str, examples: Sequence[Example]) -> dict[str, _Ready]:
    """Encoded and digested outside the transaction, in order of id: rows that are read together lie together."""
    content: dict[str, _Ready] = {}
    for example in sorted(examples, key=lambda example: example.id):
        if example.id in content:
            raise InvalidInput(f"example {example.id!r} is there twice: one input is one example in a dataset version")
        if example.loop != loop:
            raise InvalidInput(f"example {example.id!r} is of loop {example.loop!r}, not {loop!r}")
        body, read = encoded(example, _decode_example, f"example {example.id!r}")
        seal = blake2b(body, digest_size=16).digest()
        content[read.id] = _Ready(read.id, read.split, example_digest(read), seal, body.decode(), read.subjects)
    return content


def _write_changes(connection: sqlite3.Connection, position: int, old: dict[str, _Line],
                   content: dict[str, _Ready]) -> None:  # fmt: skip
    """Store what differs from the parent in any way, be it only in its evidence: erasure has to find all of it."""
    gone = [line.key for id, line in old.items() if id not in content or content[id].seal != line.seal]
    connection.executemany(query("remove_example"), [(position, key) for key in gone])
    fresh = [line for id, line in content.items() if id not in old or old[id].seal != line.seal]
    connection.executemany(
        query("add_example"), [(position, line.id, line.split, line.digest, line.seal, line.body) for line in fresh]
    )
    if any(line.subjects for line in fresh):
        keys = dict(connection.execute(query("added_keys"), (position,)).fetchall())
        links = {(subject_key(subject), keys[line.id]) for line in fresh for subject in line.subjects}
        connection.executemany(query("add_example_subject"), sorted(links))


def _manifest(connection: sqlite3.Connection, position: int) -> dict[str, _Line]:
    found = connection.execute(query("manifest"), {"version": position})
    return {id: _Line(key, digest, seal) for id, key, digest, seal in found}


def _bodies(connection: sqlite3.Connection, keys: list[int]) -> list[Example]:
    found = connection.execute(query("example_bodies"), (listed(keys),)).fetchall()
    return sorted((_decode_example(body) for (body,) in found), key=lambda example: example.id)


def _differs(mine: _Line | None, other: _Line) -> bool:
    return mine is None or mine.digest != other.digest


def _known(version: DatasetVersion, loop: str) -> DatasetVersion:
    if version.loop != loop:
        raise InvalidInput(f"dataset version {version.id!r} is of loop {version.loop!r}, not {loop!r}")
    return version


def _parent(connection: sqlite3.Connection, parent: str, loop: str) -> int:
    found = connection.execute(query("version"), (parent,)).fetchone()
    if found is None or _decode_version(found[1]).loop != loop:
        raise InvalidInput(f"parent {parent!r} is not a dataset version of loop {loop!r}")
    return int(found[0])


def _find(connection: sqlite3.Connection, version: str) -> tuple[int, str] | None:
    exact: tuple[int, str] | None = connection.execute(query("version"), (version,)).fetchone()
    if exact is not None or len(version) < _SHORTEST_PREFIX:
        return exact
    prefix = {"prefix": version, "length": len(version)}
    found: list[tuple[int, str]] = connection.execute(query("versions_by_prefix"), prefix).fetchall()
    if len(found) > 1:
        raise InvalidInput(f"{version!r} stands for more than one dataset version: give its id in full")
    return found[0] if found else None


def _position(connection: sqlite3.Connection, version: str) -> int:
    found = _find(connection, version)
    if found is None:
        raise NotFound(f"no dataset version {version!r}")
    return found[0]

"""Dataset versions in SQLite."""

import sqlite3
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from everloop.errors import Conflict, InvalidInput, NotFound
from everloop.store import sqlite_rows as rows
from everloop.store.digests import example_digest, subject_key, version_hash
from everloop.store.encoding import encode, encoded
from everloop.store.protocols import Amendment, Change
from everloop.store.sqlite_connection import Readers
from everloop.store.sqlite_kinds import listed
from everloop.store.sqlite_versions import decode_ref, holders, point, unpoint
from everloop.store.sqlite_writer import Writer
from everloop.store.statements import query
from everloop.types import DatasetVersion, Diff, Example, Lease, Ref, Split

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


class _Amended(NamedTuple):
    """An amendment, ready to be written."""

    content: dict[str, _Ready]  # put
    touched: dict[str, _Line]  # of the parent's: what goes, or is put anew
    others: int  # of the parent's, that stay
    hash: str
    erased: int  # examples that had been erased from the parent
    merged: str | None


class SqliteDatasets:
    """The `Datasets` Protocol on one SQLite file. Every method may be called from any thread."""

    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers

    def commit(self, loop: str, examples: Sequence[Example] | Amendment, *, id: str, parent: str | None, recipe: Any,
               at: int, alongside: Sequence[Struct] = (), fence: Lease | None = None,
               branch: Ref | None = None) -> DatasetVersion:  # fmt: skip
        """Make `examples` the content of a new version, and write `alongside`, in one transaction."""
        amended = self._amended(loop, examples, parent) if isinstance(examples, Amendment) else None
        content = amended.content if amended else _ready(loop, examples)  # type: ignore[arg-type]
        made = amended.hash if amended else version_hash(line.digest for line in content.values())
        batch = rows.ready(alongside)

        def work(connection: sqlite3.Connection) -> DatasetVersion:
            rows.check(connection, fence)
            if (known := connection.execute(query("version"), (id,)).fetchone()) is not None:
                return _known(_decode_version(known[1]), loop)
            base = None if parent is None else _parent(connection, parent, loop)
            old = {} if base is None else amended.touched if amended else _manifest(connection, base)
            if amended and _version_of(connection, parent).erased != amended.erased:
                raise Conflict(f"somebody's data is being erased from loop {loop!r}; try again")
            kept = {key for key, line in old.items() if key in content and content[key].digest == line.digest}
            version = DatasetVersion(
                id=id, loop=loop, parent=parent, recipe=recipe, hash=made, added=len(content) - len(kept),
                removed=len(old) - len(kept), size=len(content) + (amended.others if amended else 0), at=at,
                merged=amended.merged if amended else None,
            )  # fmt: skip
            cursor = connection.execute(query("add_version"), (id, loop, base, made, encode(version).decode()))
            position = cursor.lastrowid
            assert position is not None
            _write_changes(connection, position, old, content)
            if branch is not None:
                point(connection, replace(branch, version=id), parent)
            rows.overwrite(connection, batch)
            return version

        return self._writer.submit(work).result()

    def _amended(self, loop: str, wanted: Amendment, parent: str | None) -> "_Amended":
        """What an amendment comes to, worked out while others may write: the parent changes only by erasure."""
        if parent is None:
            raise InvalidInput("an amendment needs the version that it amends as its parent")
        content = _ready(loop, wanted.put)
        if both := content.keys() & set(wanted.remove):
            raise InvalidInput(f"example {min(both)!r} is both put and removed")
        with self._readers.reading(snapshot=True) as connection:
            if wanted.merged is not None:
                _parent(connection, wanted.merged, loop)
            base = _parent(connection, parent, loop)
            erased = _version_of(connection, parent).erased
            manifest = _manifest(connection, base)
        touched = {id: manifest.pop(id) for id in {*content, *wanted.remove} if id in manifest}
        digests = [line.digest for line in manifest.values()] + [line.digest for line in content.values()]
        return _Amended(content, touched, len(manifest), version_hash(digests), erased, wanted.merged)

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

    def examples(self, version: str, split: Split | None = None, *, only: Sequence[str] | None = None) -> list[Example]:
        """The content of a version, ordered by id; of it, `only` the examples with these ids."""
        with self._readers.reading(snapshot=True) as connection:
            values = {"version": _position(connection, version), "split": split}
            if only is None:
                found = connection.execute(query("content"), values).fetchall()
            else:
                found = connection.execute(query("content_of"), {**values, "ids": listed(only)}).fetchall()
        found.sort()
        return [_decode_example(body) for _, body in found]

    def holding(self, example: str) -> list[DatasetVersion]:
        """Versions that hold the example with this id, oldest first."""
        with self._readers.reading(snapshot=True) as connection:
            stored = connection.execute(query("rows_of_example"), (example,)).fetchall()
            found = holders(connection, stored) if stored else []
        return [_decode_version(body) for _, body, _ in found]

    def history(self, loop: str, example: str) -> list[Change]:
        """Where the example with this id was added, changed or removed, oldest first."""
        with self._readers.reading() as connection:
            found = connection.execute(query("changes_of_example"), {"id": example, "loop": loop}).fetchall()
        return [
            Change(_decode_version(version), None if body is None else _decode_example(body))
            for _, version, body in found
        ]

    def refs(self, loop: str) -> list[Ref]:
        """Branches and tags of a loop, oldest first."""
        with self._readers.reading() as connection:
            return [decode_ref(body) for (body,) in connection.execute(query("refs"), (loop,)).fetchall()]

    def ref(self, loop: str, name: str) -> Ref | None:
        """One branch or tag."""
        with self._readers.reading() as connection:
            found = connection.execute(query("ref"), (loop, name)).fetchone()
        return None if found is None else decode_ref(found[1])

    def head(self, loop: str, branch: str = "main") -> DatasetVersion | None:
        """The version that a branch or tag points at."""
        ref = self.ref(loop, branch)
        return None if ref is None else self.get(ref.version)

    def point(self, ref: Ref, expected: str | None, *, alongside: Sequence[Struct] = (),
              fence: Lease | None = None) -> None:  # fmt: skip
        """Make a branch or tag, or move a branch that is at `expected`."""
        batch = rows.ready(alongside)

        def work(connection: sqlite3.Connection) -> None:
            rows.check(connection, fence)
            point(connection, ref, expected)
            rows.overwrite(connection, batch)

        self._writer.submit(work).result()

    def unpoint(self, ref: Ref) -> None:
        """Forget a name; its versions stay."""
        self._writer.submit(lambda connection: unpoint(connection, ref)).result()


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


def _version_of(connection: sqlite3.Connection, id: str | None) -> DatasetVersion:
    return _decode_version(connection.execute(query("version"), (id,)).fetchone()[1])


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

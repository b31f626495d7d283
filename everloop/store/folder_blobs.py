"""Blobs in a folder, addressed by their SHA-256: ``ab/cd/abcd…``."""

import os
import re
import time
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

from everloop.errors import EverloopError, NotFound, StoreDamaged
from everloop.store.sqlite_connection import explain

_HASH = re.compile(r"[0-9a-f]{64}")
_ABANDONED_SECONDS = 24 * 3600  # a file still incoming after this long was left by a crash


class FolderBlobs:
    """The `Blobs` Protocol on a folder. A file appears under its name only when all of it is on disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._incoming = folder / "incoming"
        self._incoming.mkdir(parents=True, exist_ok=True)
        for left in self._incoming.iterdir():
            with suppress(FileNotFoundError):
                if left.stat().st_mtime < time.time() - _ABANDONED_SECONDS:
                    left.unlink()

    def put(self, data: bytes) -> str:
        """Store, durable on return; the hash. Raises StoreFull, and leaves nothing, when the disk is full."""
        name = sha256(data).hexdigest()
        target = self._path(name)
        try:
            if not (target.exists() and target.stat().st_size == len(data)):
                self._write(target, data)
            _sync_folder(target.parent)  # also where another process has just renamed it
        except OSError as error:
            raise explain(error, self._folder) from error
        return name

    def get(self, hash: str) -> bytes:
        """The bytes; NotFound if absent, StoreDamaged if they no longer have that hash."""
        try:
            data = self._path(hash).read_bytes()
        except FileNotFoundError:
            raise _absent(hash) from None
        if sha256(data).hexdigest() != hash:
            raise StoreDamaged(f"blob {hash} is damaged: its bytes no longer have that hash; restore it from a backup")
        return data

    def has(self, hash: str) -> bool:
        """Whether they are there."""
        return _HASH.fullmatch(hash) is not None and self._path(hash).is_file()

    def size(self, hash: str) -> int:
        """How many bytes; NotFound if absent."""
        try:
            return self._path(hash).stat().st_size
        except FileNotFoundError:
            raise _absent(hash) from None

    def delete(self, hash: str) -> None:
        """Remove; nothing happens if absent."""
        if self.has(hash):
            path = self._path(hash)
            path.unlink(missing_ok=True)
            _sync_folder(path.parent)

    def _path(self, name: str) -> Path:
        if not _HASH.fullmatch(name):  # a name from outside must not climb out of the folder
            raise _absent(name)
        return self._folder / name[:2] / name[2:4] / name

    def _write(self, target: Path, data: bytes) -> None:
        incoming = self._incoming / uuid4().hex
        try:
            with incoming.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            for folder in (target.parent.parent, target.parent):
                if not folder.exists():
                    folder.mkdir(exist_ok=True)
                    _sync_folder(folder.parent)
            incoming.replace(target)
        finally:
            incoming.unlink(missing_ok=True)


def _absent(name: str) -> EverloopError:
    return NotFound(f"no blob {name!r}")


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

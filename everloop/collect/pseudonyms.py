"""Subjects become keyed pseudonyms before anything is written: the store never holds who somebody is."""

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from everloop.errors import StoreError

_PREFIX = "s_"


class Pseudonyms:
    """HMAC-SHA256 of a subject under a key of this installation, which lives beside the store and not in it."""

    def __init__(self, key: bytes):
        self._key = key

    @classmethod
    def of_folder(cls, folder: Path) -> "Pseudonyms":
        """Read the key of a folder, or make it: 32 random bytes, readable by the owner alone.

        Raises StoreError if the key can't be read or is damaged.
        """
        path = folder / "subjects.key"
        try:
            if not path.exists():
                made = path.with_name(f".subjects.key.{secrets.token_hex(4)}")
                with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                    file.write(secrets.token_hex(32).encode())
                    file.flush()
                    os.fsync(file.fileno())
                try:
                    os.link(made, path)  # the first process wins; a second one uses the same key
                except FileExistsError:
                    pass
                finally:
                    made.unlink()
            text = path.read_bytes().strip()
            if len(text) != 64:
                raise StoreError(f"{path} is damaged; restore it from a backup: without it subjects can't be matched")
            return cls(bytes.fromhex(text.decode("ascii")))
        except (OSError, ValueError) as error:
            raise StoreError(f"can't use the key of subjects {path}: {error}") from None

    def of(self, subject: str | None) -> str | None:
        """The pseudonym of a subject; the same subject always gets the same. A pseudonym stays as it is."""
        if subject is None or (subject.startswith(_PREFIX) and len(subject) == len(_PREFIX) + 32):
            return subject
        digest = hmac.new(self._key, subject.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()
        return _PREFIX + digest[:32]

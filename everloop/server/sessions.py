"""What a browser holds after a login: a signed note of which key it was, good for a working day.

Nothing is stored. The signature covers the key's hash, so that a session ends with its key, within a second of its
being revoked; the secret that signs lives beside the store, readable by the owner alone, so that whoever reads the
database alone can sign nothing, and every process on a folder takes the sessions of the others.
"""

import hashlib
import hmac
import os
import secrets
import time
from pathlib import Path

from everloop.errors import StoreError
from everloop.keys import Keyring
from everloop.types import Key

HOURS = 8.0
_FILE = "sessions.key"
_MOST = 10_000  # logged out sessions remembered


class Sessions:
    """Makes cookies, reads them, and ends them."""

    def __init__(self, secret: bytes):
        self._secret = secret
        # Cookies know no ports: two installations on one machine must not overwrite each other's.
        self.cookie = f"everloop_{hashlib.sha256(secret).hexdigest()[:8]}"
        self._ended: dict[str, float] = {}  # logged out here, until they would have ended anyway

    @classmethod
    def of_folder(cls, folder: Path) -> "Sessions":
        """Read the secret of a folder, or make it: 32 random bytes. Raises StoreError if it can't be had."""
        path = folder / _FILE
        try:
            if not path.exists():
                made = path.with_name(f".{_FILE}.{secrets.token_hex(4)}")
                with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                    file.write(secrets.token_hex(32).encode())
                    file.flush()
                    os.fsync(file.fileno())
                try:
                    os.link(made, path)  # the first process wins
                except FileExistsError:
                    pass
                finally:
                    made.unlink()
            secret = bytes.fromhex(path.read_bytes().strip().decode("ascii"))
            if len(secret) != 32:
                raise ValueError("not 32 bytes")
        except (OSError, ValueError) as error:
            raise StoreError(f"can't use {path}: {error}; remove it, and everybody logs in again") from None
        return cls(secret)

    def begin(self, key: Key) -> str:
        """A session of that key: what the cookie holds."""
        until = int(time.time() + HOURS * 3600)
        if key.until is not None:
            until = min(until, key.until // 1000)
        note = f"{key.id}.{until}.{secrets.token_hex(8)}"
        return f"{note}.{self._signed(note, key)}"

    def read(self, value: str, ring: Keyring) -> Key | None:
        """The key whose session this is; None if it is over, or was never one. The key's own state is not looked at."""
        if not value.isascii() or value.count(".") != 3:
            return None
        id, until, _, signature = value.split(".")
        key = ring.get(id)
        if key is None or not hmac.compare_digest(signature, self._signed(value.rpartition(".")[0], key)):
            return None
        if int(until) <= time.time() or signature in self._ended:
            return None
        return key

    def end(self, value: str) -> None:
        """Log out: this process takes it no more."""
        now = time.time()
        if len(self._ended) >= _MOST:
            self._ended = {one: until for one, until in self._ended.items() if until > now}
        if len(self._ended) < _MOST:
            self._ended[value.rpartition(".")[2]] = now + HOURS * 3600

    def _signed(self, note: str, key: Key) -> str:
        return hmac.new(self._secret, f"{note}.{key.hash}".encode(), hashlib.sha256).hexdigest()

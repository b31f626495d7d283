"""Every setting of an installation, in one place; each can be set as an environment variable ``EVERLOOP_<NAME>``."""

import os
from pathlib import Path
from typing import Any

import msgspec

from everloop.errors import InvalidInput


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What an installation can be told. No stage takes this object: whoever builds a stage passes what it needs."""

    home: str = "./.everloop"  # folder that holds everything
    host: str = "127.0.0.1"  # address `everloop up` listens on
    port: int = 8700  # and its port
    processes: int = 1  # that serve it side by side; one of them turns the loops
    worker_seconds: float = 1.0  # how often the worker looks for work
    lease_seconds: float = 30.0  # a worker silent for so long has lost its work to another
    redact: bool = True  # take private data out of texts before anything is written
    hosts: str = "localhost"  # names it answers to while it has no keys; with keys, any
    origins: str = "none"  # other sites whose pages may send to it: https://shop.example
    rate: float = 2000.0  # requests a second of one key, or of one address without a key; 0: no limit
    proxies: int = 0  # reverse proxies in front whose X-Forwarded headers are believed
    max_body_bytes: int = 8_000_000  # a request larger than this is refused
    max_input_bytes: int = 1_000_000  # so is a single input larger than this, as JSON
    max_attachment_bytes: int = 20_000_000  # and an image, a recording or a document larger than this

    @staticmethod
    def load(**given: Any) -> "Settings":
        """Defaults, then the environment, then what is `given` and not None; raises InvalidInput for a bad value."""
        found: dict[str, Any] = {}
        for info in msgspec.structs.fields(Settings):
            text = os.environ.get(f"EVERLOOP_{info.name.upper()}")
            if given.get(info.name) is not None:
                found[info.name] = given[info.name]
            elif text is not None:
                try:
                    found[info.name] = msgspec.convert(text, info.type, strict=False)
                except msgspec.ValidationError as error:
                    raise InvalidInput(f"EVERLOOP_{info.name.upper()}={text!r}: {error}") from None
        if found.get("home") == "":
            raise InvalidInput("home: an empty name; give a folder, like ./.everloop")
        return Settings(**found)

    @property
    def folder(self) -> Path:
        """The home folder as a path."""
        return Path(self.home).expanduser()

"""Files that are there whole or not at all, and CSV cells that no spreadsheet runs."""

import csv
import io
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

from everloop.cli.console import Console
from everloop.errors import Conflict, NotFound

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write_whole(path: Path, chunks: Iterable[bytes], *, force: bool) -> int:
    """Write a file beside `path`, then put it there in one step; how many bytes.

    Raises Conflict if something is there and not `force`, NotFound if its folder is not.
    """
    if path.is_dir():
        raise Conflict(f"{path} is a folder; --to names a file")
    if path.exists() and not force:
        raise Conflict(f"{path} is there already; --force overwrites it")
    if not path.parent.is_dir():
        raise NotFound(f"no folder {path.parent}")
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            size = sum(file.write(chunk) for chunk in chunks)
            file.flush()
            os.fsync(file.fileno())
            mask = os.umask(0)
            os.umask(mask)
            os.fchmod(file.fileno(), 0o666 & ~mask)  # mkstemp's 0600 is for secrets
        if force:
            Path(beside).replace(path)
        else:
            try:
                os.link(beside, path)  # unlike a rename it fails if somebody was faster
            except FileExistsError:
                raise Conflict(f"{path} is there already; --force overwrites it") from None
            Path(beside).unlink()
    except BaseException:
        Path(beside).unlink(missing_ok=True)
        raise
    return size


def csv_lines(columns: Sequence[str], rows: Iterable[Sequence[str | float]]) -> Iterator[bytes]:
    """A CSV (RFC 4180) in UTF-8, a line at a time; texts are made inert."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    for row in chain([columns], rows):
        writer.writerow([inert(value) if isinstance(value, str) else value for value in row])
        yield buffer.getvalue().encode()
        buffer.seek(0)
        buffer.truncate()


def inert(text: str) -> str:
    """Text that a spreadsheet shows and does not run: a leading apostrophe before what would start a formula.

    Source: OWASP, "CSV Injection".

    >>> inert("=1+1"), inert("a=b")
    ("'=1+1", 'a=b')
    """
    return f"'{text}" if text.startswith(_FORMULA) else text


def say_what_may_leave(console: Console, only: bool, shareable: int, unshared: int, withheld: int) -> None:
    """How people's consent bore on what was written; `only`: what may be shared was wanted and no more."""
    if only:
        console.say(f"left out {unshared:,} that somebody has not agreed to share")
    else:
        console.say(f"{shareable:,} of them may be shared: everybody they are made of agreed (--shareable)")
    if withheld:
        console.say(f"left out {withheld:,}: consent to learn from them was taken back since")

"""Rows of somebody's file, CSV or JSONL, one at a time; what is wrong with it is said with its line.

Memory stays as it is however long the file, also where it is JSON in one piece, Parquet, or gzipped.
"""

import codecs
import csv
import gzip
import json
import re
import sys
import zlib
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, NoReturn, cast

import msgspec

from everloop.errors import InvalidInput, NotFound, TooLarge

_CSV, _JSONL = (".csv", ".tsv"), (".jsonl", ".ndjson")
_CHUNK = 1 << 18  # characters of a JSON file read at a time
_LOOK = 16  # characters: longer than any word of JSON
_BATCH_ROWS = 2_000
_BLANK = re.compile(r"[ \t\n\r]*")


class Row(NamedTuple):
    """One row: the line it begins on, from 1, and its fields by name."""

    line: int
    fields: dict[str, Any]


Refuse = Callable[[int, str], None]  # what is done with a row that can't be read: (line, why)


def read_rows(path: Path, max_bytes: int, refuse: Refuse | None = None, *, any_form: bool = False) -> Iterator[Row]:
    """The rows of a CSV (or TSV, or parted by semicolons) with a header, or of JSONL; `max_bytes`: the most of a line.

    With `any_form` also of JSON (an array of objects, or one object), of Parquet, and of any of them gzipped (.gz).
    Raises InvalidInput that names the line for broken quoting, a missing cell, bad JSON, or bytes that are not UTF-8;
    with `refuse` only for what no further row can be found after.
    """
    form, packed = _form(path, any_form=any_form)
    if not path.is_file():
        raise NotFound(f"no file {path}")
    if form == ".parquet":
        yield from _parquet(path)
        return
    with gzip.open(path) if packed else path.open("rb") as file:
        stream = cast(BinaryIO, file)
        try:
            if form == ".json":
                yield from _json(stream, path, max_bytes, refuse)
                return
            lines = _lines(stream, path, max_bytes, refuse if form in _JSONL else None)
            if form in _JSONL:
                yield from _jsonl(lines, path, refuse)
            else:
                texts = (text for _, text in lines)
                yield from _csv(texts, path, "\t" if form == ".tsv" else ",", max_bytes, refuse)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise InvalidInput(f"{path}: broken gzip: {error}") from None


def _form(path: Path, *, any_form: bool) -> tuple[str, bool]:
    """(ending, gzipped) of a file's name."""
    endings = [ending.lower() for ending in path.suffixes]
    packed = any_form and endings[-1:] == [".gz"]
    form = (endings[:-1] if packed else endings)[-1:] or [""]
    known = (*_CSV, *_JSONL, *((".json", ".parquet") if any_form else ()))
    if form[0] not in known or (packed and form[0] == ".parquet"):
        more = ", with .gz behind it or without" if any_form else ""
        raise InvalidInput(f"{path}: expected a file that ends in {', '.join(known)}{more}")
    return form[0], packed


def read_text(stream: BinaryIO, max_bytes: int) -> str:
    """All of a stream as text; raises TooLarge over `max_bytes`, InvalidInput if it is not UTF-8."""
    data = stream.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise TooLarge(f"the input is over {max_bytes:,} bytes, the limit (EVERLOOP_MAX_INPUT_BYTES)")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InvalidInput(f"the input is not valid UTF-8 at byte {error.start}") from None


def _wrong(path: Path, line: int, why: str, refuse: Refuse | None, kind: type[InvalidInput] = InvalidInput) -> None:
    if refuse is None:
        raise kind(f"{path}, line {line}: {why}")
    refuse(line, why)


def _lines(file: BinaryIO, path: Path, max_bytes: int, refuse: Refuse | None) -> Iterator[tuple[int, str]]:
    """Lines as text with their numbers, decoded one by one so that a bad byte can be found."""
    for number, raw in enumerate(_raw_lines(file, path, max_bytes, refuse), start=1):
        if raw is None:
            continue
        try:
            text = raw.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            _wrong(path, number, f"not valid UTF-8 at byte {error.start} of the line", refuse)
        else:
            yield number, text


def _raw_lines(file: BinaryIO, path: Path, max_bytes: int, refuse: Refuse | None) -> Iterator[bytes | None]:
    """Lines as they are; None for one that is too long, which is never in memory whole."""
    for number, raw in enumerate(iter(lambda: file.readline(max_bytes + 1), b""), start=1):
        if len(raw) <= max_bytes:
            yield raw
            continue
        _wrong(path, number, f"over {max_bytes:,} bytes (EVERLOOP_MAX_BODY_BYTES)", refuse, TooLarge)
        while raw and not raw.endswith(b"\n"):
            raw = file.readline(max_bytes + 1)  # noqa: PLW2901
        yield None


def _jsonl(lines: Iterator[tuple[int, str]], path: Path, refuse: Refuse | None) -> Iterator[Row]:
    for number, line in lines:
        if not line.strip():
            continue
        try:
            value = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
            _wrong(path, number, f"not JSON: {error}", refuse)
            continue
        if isinstance(value, dict):
            yield Row(number, value)
        else:
            _wrong(path, number, f"expected an object, got {type(value).__name__}", refuse)


def _json(file: BinaryIO, path: Path, max_bytes: int, refuse: Refuse | None) -> Iterator[Row]:
    """The objects of an array, or the one there is; their number stands where that of a line does."""
    for number, value in enumerate(_elements(_Reader(file, path, max_bytes)), start=1):
        if isinstance(value, dict):
            yield Row(number, value)
        else:
            _wrong(path, number, f"expected an object, got {type(value).__name__}", refuse)


def _elements(reader: "_Reader") -> Iterator[Any]:
    if reader.next() != "[":
        yield reader.value()
        if reader.next():
            reader.broken("more behind it: one object on each line is JSONL, and ends in .jsonl")
        return
    reader.skip()
    if reader.next() == "]":
        return
    while True:
        yield reader.value()
        mark = reader.next()
        if mark not in {",", "]"}:
            reader.broken("an array has a comma between two values" if mark else "it ends in the middle of an array")
        reader.skip()
        if mark == "]":
            return


class _Reader:
    """JSON values one behind the other, of which only the one at hand is in memory."""

    def __init__(self, file: BinaryIO, path: Path, max_bytes: int):
        self._file, self._path, self._max = file, path, max_bytes
        self._decode = codecs.getincrementaldecoder("utf-8-sig")()
        self._values = json.JSONDecoder(parse_constant=self._constant)
        self._text, self._at, self._over = "", 0, False

    def next(self) -> str:
        """The next character that is not blank, which stays where it is; empty at the end."""
        while True:
            self._at = _BLANK.match(self._text, self._at).end()  # type: ignore[union-attr]
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more(_CHUNK):
                return ""

    def skip(self) -> None:
        """Past one character."""
        self._at += 1

    def value(self) -> Any:
        """The value that begins here; TooLarge if it is over the limit, InvalidInput if it is none."""
        self.next()
        step = _CHUNK
        while True:
            try:
                value, end = self._values.raw_decode(self._text, self._at)
            except RecursionError:
                self.broken("nested too deeply")
            except json.JSONDecodeError as error:
                # What is cut off is wrong at its end, or begins with a text that has none.
                if error.pos < len(self._text) - _LOOK and not error.msg.startswith("Unterminated string"):
                    self.broken(f"{error.msg.lower()} ({self._text[error.pos : error.pos + _LOOK]!r})")
                if len(self._text) - self._at > self._max:
                    over = f"a value over {self._max:,} bytes (EVERLOOP_MAX_BODY_BYTES)"
                    raise TooLarge(f"{self._path}: {over}") from None
                if not self._more(step):
                    self.broken(error.msg.lower())
                step *= 2  # so that a long value is looked at a few times only
            except ValueError as error:  # a number of thousands of digits
                self.broken(str(error))
            else:
                # A number at the end of what was read may go on.
                if end == len(self._text) and not isinstance(value, dict | list | str) and self._more(step):
                    continue
                self._at = end
                return value

    def broken(self, why: str) -> NoReturn:
        """Raise InvalidInput."""
        raise InvalidInput(f"{self._path}: not JSON: {why}")

    def _more(self, size: int) -> bool:
        """Read on; False at the end."""
        if self._over:
            return False
        data = self._file.read(size)
        self._over = not data
        try:
            text = self._decode.decode(data, final=self._over)
        except UnicodeDecodeError:
            raise InvalidInput(f"{self._path}: not valid UTF-8") from None
        self._text, self._at = self._text[self._at :] + text, 0
        return not self._over

    def _constant(self, name: str) -> None:
        self.broken(f"{name} is no number")


def _parquet(path: Path) -> Iterator[Row]:
    """The rows of a Parquet file, a few thousand in memory at a time; needs the extra `arrow`."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise InvalidInput(f"{path}: Parquet needs pyarrow; install it with: pip install 'everloop[arrow]'") from None
    try:
        with parquet.ParquetFile(path) as file:
            number = 0
            for batch in file.iter_batches(batch_size=_BATCH_ROWS):
                for fields in batch.to_pylist():
                    number += 1
                    yield Row(number, {name: _json_like(value) for name, value in fields.items()})
    except (pyarrow.ArrowException, OSError) as error:
        raise InvalidInput(f"{path}: not a Parquet file that can be read: {' '.join(str(error).split())}") from None


def _json_like(value: Any) -> Any:
    """A cell as JSON has it: times and decimals as text."""
    if isinstance(value, dict):
        return {str(name): _json_like(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_json_like(inner) for inner in value]
    return value if value is None or isinstance(value, str | int | float) else str(value)


def _csv(
    lines: Iterator[str], path: Path, delimiter: str, max_bytes: int, refuse: Refuse | None
) -> Iterator[Row]:  # fmt: skip
    csv.field_size_limit(min(max_bytes, sys.maxsize))
    opening = next(lines, "")
    if delimiter == "," and "," not in opening:  # where numbers have the comma, spreadsheets part by something else
        delimiter = next((mark for mark in ";\t" if mark in opening), ",")
    reader = csv.reader(chain([opening], lines), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    while True:
        begun = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            why = "a quote is opened and never closed" if "unexpected end" in str(error) else str(error)
            raise InvalidInput(f"{path}, line {begun}: broken CSV: {why}") from None
        if not cells:
            continue
        if header is None:
            header = [name.strip() for name in cells]
            _check_header(header, path)
            continue
        if len(cells) != len(header):
            _wrong(path, begun, f"{len(cells)} cells, but the header has {len(header)}", refuse)
            continue
        yield Row(begun, dict(zip(header, cells, strict=True)))
    if header is None:
        raise InvalidInput(f"{path}: empty; the first line of a CSV names its columns: input,label")


def _check_header(header: list[str], path: Path) -> None:
    for name in header:
        if not name:
            raise InvalidInput(f"{path}, line 1: a column without a name")
        if header.count(name) > 1:
            raise InvalidInput(f"{path}, line 1: column {name!r} is there twice")

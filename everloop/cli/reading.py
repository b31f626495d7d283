"""Rows of somebody's file, CSV or JSONL, one at a time; what is wrong with it is said with its line."""

import csv
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import msgspec

from everloop.errors import InvalidInput, NotFound, TooLarge

_CSV, _JSONL = (".csv", ".tsv"), (".jsonl", ".ndjson")


class Row(NamedTuple):
    """One row: the line it begins on, from 1, and its fields by name."""

    line: int
    fields: dict[str, Any]


def read_rows(path: Path, max_bytes: int) -> Iterator[Row]:
    """The rows of a CSV (or TSV) with a header, or of a JSONL file; `max_bytes` is the most a line may hold.

    Raises InvalidInput that names the line for broken quoting, a missing cell, bad JSON, or bytes that are not UTF-8.
    """
    ending = path.suffix.lower()
    if ending not in (*_CSV, *_JSONL):
        raise InvalidInput(f"{path}: expected a file that ends in {', '.join((*_CSV, *_JSONL))}")
    if not path.is_file():
        raise NotFound(f"no file {path}")
    with path.open("rb") as file:
        lines = _lines(file, path, max_bytes)
        if ending in _JSONL:
            yield from _jsonl(lines, path)
        else:
            yield from _csv(lines, path, "\t" if ending == ".tsv" else ",", max_bytes)


def read_text(stream: BinaryIO, max_bytes: int) -> str:
    """All of a stream as text; raises TooLarge over `max_bytes`, InvalidInput if it is not UTF-8."""
    data = stream.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise TooLarge(f"the input is over {max_bytes:,} bytes, the limit (EVERLOOP_MAX_INPUT_BYTES)")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InvalidInput(f"the input is not valid UTF-8 at byte {error.start}") from None


def _lines(file: BinaryIO, path: Path, max_bytes: int) -> Iterator[str]:
    """Lines as text, decoded one by one so that a bad byte can be found."""
    for number, raw in enumerate(iter(lambda: file.readline(max_bytes + 1), b""), start=1):
        if len(raw) > max_bytes:
            raise TooLarge(f"{path}, line {number}: over {max_bytes:,} bytes (EVERLOOP_MAX_BODY_BYTES)")
        try:
            yield raw.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise InvalidInput(f"{path}, line {number}: not valid UTF-8 at byte {error.start} of the line") from None


def _jsonl(lines: Iterator[str], path: Path) -> Iterator[Row]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            value = msgspec.json.decode(line)
        except msgspec.DecodeError as error:
            raise InvalidInput(f"{path}, line {number}: not JSON: {error}") from None
        if not isinstance(value, dict):
            raise InvalidInput(f"{path}, line {number}: expected an object, got {type(value).__name__}")
        yield Row(number, value)


def _csv(lines: Iterator[str], path: Path, delimiter: str, max_bytes: int) -> Iterator[Row]:
    csv.field_size_limit(min(max_bytes, sys.maxsize))
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
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
            raise InvalidInput(f"{path}, line {begun}: {len(cells)} cells, but the header has {len(header)}")
        yield Row(begun, dict(zip(header, cells, strict=True)))
    if header is None:
        raise InvalidInput(f"{path}: empty; the first line of a CSV names its columns: input,label")


def _check_header(header: list[str], path: Path) -> None:
    for name in header:
        if not name:
            raise InvalidInput(f"{path}, line 1: a column without a name")
        if header.count(name) > 1:
            raise InvalidInput(f"{path}, line 1: column {name!r} is there twice")

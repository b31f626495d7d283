"""Files in and out: written whole or not at all, rows that mean the same after a round trip."""

import csv
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.cli.reading import read_rows
from everloop.cli.writing import csv_lines, inert, write_whole
from everloop.errors import Conflict, NotFound

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@given(rows=st.lists(st.tuples(TEXTS, TEXTS), max_size=5))
def test_what_is_written_as_csv_is_read_back(rows, tmp_path_factory):
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    write_whole(path, csv_lines(["input", "label"], rows), force=False)
    expected = [{"input": inert(a), "label": inert(b)} for a, b in rows]
    assert [row.fields for row in read_rows(path, 1_000_000)] == expected


@pytest.mark.parametrize("start", list("=+-@\t\r"))
def test_no_cell_is_a_formula(start, tmp_path):
    write_whole(tmp_path / "a.csv", csv_lines(["input"], [[f"{start}cmd|' /C calc'!A0"], [-1.5]]), force=False)
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        cells = [row[0] for row in csv.reader(file)]
    assert cells == ["input", f"'{start}cmd|' /C calc'!A0", "-1.5"]


def test_a_file_is_there_whole_or_not_at_all(tmp_path):
    def breaks():
        yield b"half"
        raise KeyboardInterrupt

    path = tmp_path / "a.jsonl"
    with pytest.raises(KeyboardInterrupt):
        write_whole(path, breaks(), force=False)
    assert list(tmp_path.iterdir()) == []
    write_whole(path, [b"one"], force=False)
    with pytest.raises(KeyboardInterrupt):
        write_whole(path, breaks(), force=True)
    with pytest.raises(Conflict, match="--force"):
        write_whole(path, [b"two"], force=False)
    assert path.read_bytes() == b"one"
    assert write_whole(path, [b"two", b"three"], force=True) == 8
    assert path.read_bytes() == b"twothree"
    assert list(tmp_path.iterdir()) == [path]


def test_somebody_who_was_faster_is_not_overwritten(tmp_path):
    path = tmp_path / "a.jsonl"

    def slowly():
        path.write_bytes(b"theirs")
        yield b"mine"

    with pytest.raises(Conflict, match="--force"):
        write_whole(path, slowly(), force=False)
    assert path.read_bytes() == b"theirs"
    assert list(tmp_path.iterdir()) == [path]


def test_where_a_file_can_not_go(tmp_path):
    with pytest.raises(NotFound, match="no folder"):
        write_whole(tmp_path / "gone" / "a.csv", [], force=False)
    with pytest.raises(Conflict, match="is a folder"):
        write_whole(tmp_path, [], force=True)


@pytest.mark.parametrize("begin", [b"", b"\xef\xbb\xbf"])
def test_a_byte_order_mark_windows_lines_and_blank_lines(begin, tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(begin + "input,label\r\n\r\nnaïve,b\r\n,\r\n".encode())
    assert [tuple(row) for row in read_rows(path, 1000)] == [
        (3, {"input": "naïve", "label": "b"}),
        (4, {"input": "", "label": ""}),
    ]
    path = tmp_path / "a.jsonl"
    path.write_bytes(begin + b'{"input": "a"}\r\n\n{"input": [1, 2]}')
    assert [tuple(row) for row in read_rows(path, 1000)] == [(1, {"input": "a"}), (3, {"input": [1, 2]})]


def test_tabs(tmp_path):
    (tmp_path / "a.tsv").write_text('input\tlabel\n"a\tb"\tc,d\n')
    assert [row.fields for row in read_rows(tmp_path / "a.tsv", 1000)] == [{"input": "a\tb", "label": "c,d"}]


def test_json_lines_are_not_confused_by_exotic_line_ends(tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps({"input": "a\u2028b\x85c"}, ensure_ascii=False), encoding="utf-8")
    assert [row.fields["input"] for row in read_rows(tmp_path / "a.jsonl", 1000)] == ["a\u2028b\x85c"]

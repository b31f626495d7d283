"""How output looks: plain in a pipe, nothing but the document under --json, no control characters on a terminal."""

import io
import json
import sys

import pytest

from everloop.cli.console import Console, one_line, visible


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_table_in_a_pipe_is_plain_and_aligned(capsys):
    Console().table(["name", "n", "note"], [["a", 1, None], ["bb", 12345, "x\ny"]], title="things")
    assert capsys.readouterr().out == "things\nname       n  note\na          1\nbb    12,345  x y\n"


def test_under_json_only_the_document_is_written(capsys):
    console = Console(json=True)
    console.say("hello")
    console.table(["a"], [[1]])
    console.facts([("a", 1)])
    with console.progress("work", total=2) as advance:
        advance(what="more")
    console.document({"a": [1, None, "é"]})
    out, err = capsys.readouterr()
    assert json.loads(out) == {"a": [1, None, "é"]}
    assert err == ""
    with pytest.raises(AssertionError):
        console.document({})


def test_without_json_the_document_is_not_written(capsys):
    Console().document({"a": 1})
    assert capsys.readouterr().out == ""


def test_on_a_terminal_there_is_a_table_and_no_markup_or_control_character_of_a_stranger(monkeypatch):
    out = Terminal()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    console = Console()
    assert console.terminal
    console.table(["input"], [["[red]not red[/red] \x1b[2J\x07"]])
    console.say("bell \x07")
    assert "[red]not red[/red]" in out.getvalue()
    assert "\x1b[2J" not in out.getvalue()
    assert "\x07" not in out.getvalue()


def test_a_dumb_terminal_is_a_pipe(monkeypatch):
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setenv("TERM", "dumb")
    assert not Console().terminal


def test_a_bar_on_a_terminal_goes_to_stderr_and_leaves_nothing(monkeypatch):
    out, err = Terminal(), Terminal()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    monkeypatch.setenv("TERM", "xterm")
    with Console().progress("importing [x]", total=2) as advance:
        advance()
        advance(1, "still importing")
    assert out.getvalue() == ""
    assert "importing" in err.getvalue()


def test_one_line():
    assert one_line(" a\n\n b\tc\r\n") == "a b c"
    assert visible("é\x00\x1b\u202e") == "é\\x00\\x1b\\u202e"
    assert (
        visible("non\u00a0breaking, \u0645\u06cc\u200c\u062e\u0648, a\tb")
        == "non\u00a0breaking, \u0645\u06cc\u200c\u062e\u0648, a\tb"
    )

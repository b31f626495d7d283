"""Bad input: one clear line, exit code 2 (or 1 where it is not the user's), nothing half-written."""

import os
import socket
import sqlite3

import pytest

from everloop.store import open_store
from everloop.types import FeedbackFields, Interaction


def everything(home):
    """How many interactions and feedback there are."""
    store = open_store(home)
    try:
        return store.records.count(Interaction), store.records.count(FeedbackFields)
    finally:
        store.close()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["stat"], "did you mean: everloop status"),
        (["frobnicate"], "see: everloop --help"),
        (["--json", "status"], "the command comes first"),
        (["predict"], "the following arguments are required: loop, input (see: everloop predict --help)"),
        (["predict", "support", "x", "--subjct", "u"], "unrecognized arguments: --subjct u"),
        (["feedback", "x"], "one of the arguments --thumb --correction"),
        (["feedback", "x", "--thumb", "up", "--rating", "3"], "not allowed with"),
        (["init", "support", "--labels", "card_arrival"], "neither a file nor a list"),
        (["init", "support", "--labels", "a,b,a"], "'a' is there twice"),
        (["init", "support", "--policy", "margn=0.1"], "did you mean margin?"),
        (["init", "support", "--policy", "margin"], "write it as KEY=VALUE"),
        (["init", "support", "--policy", "margin=lots"], "--policy margin=lots: expected"),
        (["init", "support", "--policy", 'sources=[{"name":'], "--policy sources="),
        (["up", "--host", "0.0.0.0"], "so make a key first (everloop keys create --role admin) or use 127.0.0.1"),
        (["up", "--host", "example.com"], "use 127.0.0.1"),
        (["up", "--port", "70000"], "must be 1 to 65535"),
        (["up", "--port", "many"], "invalid int value"),
        (["status", "--home", __file__], "is a file, not a folder"),
        (["predict", "support", "\udcff"], "not valid UTF-8"),
    ],
)
def test_a_slip_of_the_pen_gets_one_line_that_says_what_to_change(run, home, words, says):
    assert says in run(*words).mistake
    assert not home.exists()


def test_a_folder_that_is_not_there_is_not_made(run, home):
    for words in (["status"], ["predict", "support", "x"], ["check"], ["forget", "u", "--yes"]):
        assert "everloop init NAME" in run(*words).mistake
    assert not home.exists()


def test_a_loop_that_cannot_be_is_not_declared(run):
    assert "use lower-case letters" in run("init", "Support!").mistake
    assert "margin=7.0" in run("init", "support", "--policy", "margin=7").mistake
    for name, says in (("oracle.v1", "no source called 'oracle.v1'; there"), ("bigger_model.v1", "field `url`; it")):
        assert says in run("init", "support", "--policy", f'sources=[{{"name": "{name}"}}]').mistake
    assert run("status", "--json").document == []


def test_an_unknown_loop_lists_those_there_are(support):
    for words in (["predict", "suport", "x"], ["turn", "suport"], ["datasets", "suport"], ["models", "suport"]):
        line = support(*words).mistake
        assert "'suport'" in line
        assert "support" in line.replace("suport", "")


def test_an_unknown_interaction_is_not_kept_unless_it_is_to_be_held(support, home):
    assert "--hold" in support("feedback", "nobody", "--thumb", "up").mistake
    assert everything(home) == (0, 0)
    held = support("feedback", "nobody", "--thumb", "up", "--hold", "--json")
    assert held.document["receipt"] == "held"
    assert "'nobody'" in support("undo", "nobody").mistake


def test_a_label_outside_the_closed_set_names_the_nearest(support, home, tmp_path):
    made = support("predict", "support", "where is my card", "--json").document
    line = support("feedback", made["id"], "--correction", "card_arival").mistake
    assert "card_arrival" in line.split("did you mean")[1]
    (tmp_path / "rows.csv").write_text("input,label\nwhere,card_arrival\nlost it,card_lots\n")
    line = support("log", "support", "rows.csv").mistake
    assert line.startswith("rows.csv, line 3: 'card_lots' is not a label")
    assert "card_lost" in line
    assert everything(home) == (1, 0)


def test_ten_megabytes_are_refused(support, home, tmp_path, monkeypatch):
    (tmp_path / "big.jsonl").write_text('{"input": "a"}\n{"input": "' + "x" * 10_000_000 + '"}\n')
    assert "big.jsonl, line 2: over 8,000,000 bytes" in support("log", "support", "big.jsonl").mistake
    (tmp_path / "large.csv").write_text("input\na\n" + "x" * 2_000_000 + "\n")
    assert "large.csv, line 3: input is 2,000,0" in support("log", "support", "large.csv").mistake
    monkeypatch.setattr("sys.stdin", open(tmp_path / "big.jsonl", encoding="utf-8"))  # noqa: SIM115
    assert "over 1,000,000 bytes" in support("predict", "support", "-").mistake
    assert everything(home) == (0, 0)


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("a.csv", b"input,label\nok,top_up\n\xff\xfe,top_up\n", "a.csv, line 3: not valid UTF-8 at byte 0 of the line"),
        ("a.jsonl", b'{"input": "ok"}\n{"input": "\xc3"}\n', "a.jsonl, line 2: not valid UTF-8 at byte 11"),
        ("a.csv", b'input,label\nok,top_up\n"never closed,top_up\nok,top_up\n', "line 3: broken CSV: a quote"),
        ("a.csv", b'input,label\n"a"b,top_up\n', "line 2: broken CSV"),
        ("a.csv", b'input,label\n"two\nlines",top_up\nonly one\n', "line 4: 1 cells, but the header has 2"),
        ("a.csv", b"text,label\nok,top_up\n", "line 2: no 'input'; there are: text, label (--input names the column)"),
        ("a.csv", b"input,input\nok,ok\n", "line 1: column 'input' is there twice"),
        ("a.csv", b"", "a.csv: empty"),
        ("a.csv", b"input,label\n", "a.csv: no rows"),
        ("a.csv", b"input,at\nok,yesterday\n", "line 2: at: expected a number, got 'yesterday'"),
        ("a.csv", b"input,split\nok,golden\n", "line 2: split says where a label goes"),
        ("a.csv", b"input,label,split\nok,top_up,tset\n", "line 2: "),
        ("a.jsonl", b'{"input": "ok"}\n{"input": \n', "line 2: not JSON"),
        ("a.jsonl", b'["ok"]\n', "line 1: expected an object, got list"),
        ("a.jsonl", b'{"input": 3}\n', "line 1: input: expected a text"),
        ("a.jsonl", b'{"input": "ok", "label": 3}\n', "line 1: label: expected a text, got int"),
        ("a.xlsx", b"PK", "a.xlsx: expected a file that ends in .csv, .tsv, .jsonl, .ndjson"),
        (None, b"", "no file gone.csv"),
    ],
)
def test_a_broken_file_is_named_with_its_line_and_nothing_of_it_is_kept(support, home, tmp_path, name, data, says):
    if name is not None:
        (tmp_path / name).write_bytes(data)
    assert says in support("log", "support", name or "gone.csv").mistake
    assert everything(home) == (0, 0)


def test_a_port_in_use(run, home):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert run("up", "--port", str(port)).mistake == f"port {port} is in use; try: everloop up --port {port + 1}"
    assert not home.exists()


def test_a_store_from_a_newer_everloop(support, home):
    for path in home.glob("*"):
        if path.is_file() and path.read_bytes()[:6] == b"SQLite":
            with sqlite3.connect(path) as database:
                database.execute("PRAGMA user_version = 999")
            database.close()
    ran = support("status")
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
    assert "newer" in ran.err


@pytest.mark.skipif(os.getuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written(run, tmp_path):
    tmp_path.chmod(0o500)
    ran = run("init", "support")
    tmp_path.chmod(0o700)
    assert (ran.code, ran.err.count("\n")) == (1, 1)


def test_a_home_below_a_file(run, tmp_path):
    (tmp_path / "file").write_text("")
    ran = run("init", "support", "--home", str(tmp_path / "file" / "home"))
    assert ran.code in {1, 2}
    assert ran.err.count("\n") == 1
    assert "Traceback" not in ran.err


def test_a_bug_is_one_line_too_and_a_traceback_when_asked_for(run, home, monkeypatch):
    monkeypatch.setattr("everloop.cli.version.run", lambda args, console: {}["gone"])
    ran = run("version")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == "everloop: unexpected KeyError: 'gone' (EVERLOOP_DEBUG=1 shows where)\n"
    monkeypatch.setenv("EVERLOOP_DEBUG", "1")
    assert "Traceback" in run("version").err


def test_an_existing_file_is_not_overwritten(support, tmp_path):
    assert "must end in .jsonl or .csv" in support("export", "support", "--to", "out.parquet").mistake
    assert "no dataset version 'latest' in support" in support("export", "support", "--to", "out.csv").mistake
    assert not (tmp_path / "out.csv").exists()


def test_review_and_forget_want_to_be_told_what_is_meant(support):
    assert "'nobody'" in support("review", "nobody").mistake
    assert "--accept needs the id" in support("review", "--accept").mistake
    assert "--yes" in support("forget", "u1").mistake
    assert "takes 2 versions, got 1" in support("datasets", "support", "diff", "latest").mistake

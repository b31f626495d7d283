"""``everloop import``: from a file to what the store holds, once and again."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import everloop
from everloop.types import Correction, FeedbackFields, Interaction, Label, Thumb

from ..interop import exported as ex
from ..interop.test_imports import ANSWER, NVIDIA, OBSERVATION, REQUEST, SCORE

COUNTED = ("rows", "interactions", "known", "labels", "feedback", "held", "refused")


def write(path: Path, rows: list[Any]) -> str:
    """Rows as the ending of the path says; its name."""
    text = "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows) + "\n"
    if path.name.endswith(".json"):
        text = json.dumps(rows, indent=1)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path.name


def counts(ran: Any) -> dict[str, int]:
    return {name: ran.document[name] for name in COUNTED if ran.document[name]}


def everything(home: Path, kind: Any) -> list[Any]:
    with everloop.open(home) as wheel:
        return wheel.store.records.find(kind)


TABLE = [{"question": f"how do I pay {n}?", "intent": "top_up", "liked": n % 2} for n in range(6)]


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.jsonl.gz", "a.csv", "a.tsv", "a.csv.gz", "a.parquet"])
def test_a_table_in_any_form(support, home, tmp_path, name):
    path = tmp_path / name
    if name == "a.parquet":
        arrow = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        parquet.write_table(arrow.Table.from_pylist(TABLE), path)
    elif "json" in name:
        write(path, TABLE)
    else:
        mark = "\t" if name == "a.tsv" else ","
        write(path, [mark.join(TABLE[0]), *(mark.join(map(str, row.values())) for row in TABLE)])
    ran = support("import", "support", name, "--json")
    assert ran.code == 0
    assert counts(ran) == {"rows": 6, "interactions": 6, "labels": 6, "feedback": 6}
    assert ran.document["files"][0]["columns"] == {"question": "input", "intent": "label", "liked": "thumb"}
    again = support("import", "support", name, "--json")
    assert counts(again) == {"rows": 6, "known": 6}
    thumbs = [thumb.value for thumb in everything(home, Thumb)]
    assert (thumbs.count("up"), thumbs.count("down")) == (3, 3)
    assert {label.value for label in everything(home, Label)} == {"top_up"}


def test_what_it_took_for_what_is_said(support, tmp_path):
    ran = support("import", "support", write(tmp_path / "a.jsonl", [{**row, "extra": 1} for row in TABLE]))
    assert "question as input, intent as label, liked as thumb (--map FIELD=COLUMN says otherwise)" in ran.out
    assert "6 interactions, 6 labels and 6 pieces of feedback into support" in ran.out
    assert "columns left out: extra" in ran.out


def test_columns_can_be_told(support, home, tmp_path):
    write(tmp_path / "a.csv", ["question,text,source", "a,the real one,web"])
    words = ["--map", "input=text", "--map", "context.channel=source"]
    assert support("import", "support", "a.csv", *words).code == 0
    (made,) = everything(home, Interaction)
    assert (made.input, made.context) == ("the real one", {"channel": "web"})
    assert "no column 'nope'" in support("import", "support", "a.csv", "--map", "input=nope").mistake
    assert "--map 'nope=text'" in support("import", "support", "a.csv", "--map", "nope=text").mistake


def test_what_log_imported_is_known(support, home, tmp_path):
    write(tmp_path / "a.csv", ["input,label", "where,card_lost", "where,card_lost", "how,top_up"])
    assert support("log", "support", "a.csv").code == 0
    assert counts(support("import", "support", "a.csv", "--json")) == {"rows": 3, "known": 3}
    assert len(everything(home, Interaction)) == 3


def test_rows_that_can_not_be_taken_are_listed_and_the_rest_is_kept(support, home, tmp_path):
    rows = [{"input": "a"}, "{broken", "[]", {"input": "b", "label": "nope"}, {"input": 3}, "", {"input": "c"}]
    ran = support("import", "support", write(tmp_path / "a.jsonl", rows))
    assert ran.code == 1
    assert "2 interactions" in ran.out
    assert "4 rows were refused:" in ran.out
    assert "a.jsonl, line 2: not JSON" in ran.out
    assert "a.jsonl, line 4: 'nope' is not a label" in ran.out
    assert len(everything(home, Interaction)) == 2
    many = support("import", "support", write(tmp_path / "b.jsonl", [{"input": "a"}, *["{"] * 30]))
    assert many.out.count("b.jsonl, line") == 20
    assert "  30  not JSON" in many.out
    write(tmp_path / "c.jsonl", ["{", "{"])
    none = support("import", "support", "c.jsonl")
    assert (none.code, "c.jsonl, line 1: not JSON" in none.err) == (2, True)


def test_a_dry_run_writes_nothing(support, home, tmp_path):
    name = write(tmp_path / "a.jsonl", TABLE)
    ran = support("import", "support", name, "--dry-run", "--json")
    assert counts(ran) == {"rows": 6, "interactions": 6, "labels": 6, "feedback": 6}
    assert ran.document["dry_run"] is True
    assert everything(home, Interaction) == []
    support("import", "support", name)
    assert counts(support("import", "support", name, "--dry-run", "--json")) == {"rows": 6, "known": 6}
    assert "would bring 0 interactions" in support("import", "support", name, "--dry-run").out


def test_nvidia(run, home, tmp_path):
    run("init", "chat", "--task", "chat")
    assert "nvidia" in run("import", "chat", write(tmp_path / "a.jsonl", [NVIDIA, {**NVIDIA, "timestamp": 1}])).out
    assert [made.context["workload"] for made in everything(home, Interaction)] == ["primary_assistant"] * 2


def test_a_batch_in_two_files(run, home, tmp_path):
    run("init", "chat", "--task", "chat")
    requests = [{**REQUEST, "custom_id": f"r{n}"} for n in range(5)]
    answers = [{**ANSWER, "custom_id": f"r{n}", "id": f"batch_req_{n}"} for n in (3, 1, 4, 7)]
    write(tmp_path / "in.jsonl", requests)
    write(tmp_path / "out.jsonl", answers)
    for words in (["in.jsonl", "out.jsonl"], ["out.jsonl", "in.jsonl"]):
        ran = run("import", "chat", *words, "--json")
        assert (ran.code, ran.document["refused"], ran.document["rows"]) == (1, 1, 4)
        assert "'r7'" in ran.document["lines"][0]["reason"]
    assert {made.id for made in everything(home, Interaction)} == {"batch_req_3", "batch_req_1", "batch_req_4"}
    assert "name the file with the answers" in run("import", "chat", "in.jsonl").mistake
    assert "name the input file too" in run("import", "chat", "out.jsonl").err


def test_langfuse_with_its_scores_in_a_second_file(run, home, tmp_path):
    run("init", "chat", "--task", "chat")
    write(tmp_path / "scores.jsonl", [SCORE, {**SCORE, "id": "sc2", "observation_id": None, "name": "correct"}])
    write(tmp_path / "observations.jsonl", [OBSERVATION, {**OBSERVATION, "id": "s", "type": "SPAN"}])
    first = run("import", "chat", "scores.jsonl", "--json")
    assert counts(first) == {"rows": 2, "feedback": 2, "held": 2}
    second = run("import", "chat", "observations.jsonl", "--json")
    assert (counts(second), second.document["skipped"]) == ({"rows": 2, "interactions": 1}, {"span": 1})
    assert [thumb.interaction for thumb in everything(home, Thumb)] == ["obs1", "obs1"]
    (made,) = everything(home, Interaction)
    assert made.subject.startswith("s_")


def test_spans_in_a_file(run, home, tmp_path):
    run("init", "chat", "--task", "chat")
    told = {"gen_ai.evaluation.name": "user_feedback", "gen_ai.evaluation.score.value": 1}
    made = ex.request(ex.span(ex.CHAT, events=[ex.event("gen_ai.evaluation.result", **told)]), service_name="shop")
    ran = run("import", "chat", write(tmp_path / "a.jsonl", [made]), "--json")
    assert counts(ran) == {"rows": 1, "interactions": 1, "feedback": 1}
    assert counts(run("import", "chat", "a.jsonl", "--json")) == {"rows": 1, "known": 1}


def test_our_own_rows_and_feedback(support, home, tmp_path):
    rows = [
        {"id": "i1", "input": "where", "output": "top_up", "correction": "card_lost", "rationale": "it is lost"},
        {"kind": "thumb", "interaction": "i1", "value": "down"},
        {"kind": "thumb", "interaction": "later", "value": "up"},
        {"kind": "sulk", "interaction": "i1"},
    ]
    ran = support("import", "support", write(tmp_path / "a.jsonl", rows), "--json")
    assert counts(ran) == {"rows": 4, "interactions": 1, "feedback": 3, "held": 1, "refused": 1}
    (correction,) = everything(home, Correction)
    assert (correction.value, correction.rationale, correction.source) == ("card_lost", "it is lost", "import")
    again = support("import", "support", "a.jsonl", "--json")
    assert counts(again) == {"rows": 4, "known": 1, "refused": 1}
    assert len(everything(home, FeedbackFields)) == 2


def test_a_row_that_differs_from_what_is_there_costs_itself_alone(support, home, tmp_path):
    support("import", "support", write(tmp_path / "a.jsonl", [{"id": "i1", "input": "a"}]))
    rows = [{"id": "i2", "input": "b"}, {"id": "i1", "input": "other"}, {"id": "i3", "input": "c"}]
    ran = support("import", "support", write(tmp_path / "b.jsonl", rows))
    assert "b.jsonl, line 2: interaction 'i1' is there already with other content" in ran.out
    assert {made.id for made in everything(home, Interaction)} == {"i1", "i2", "i3"}


def test_without_consent_nothing_is_kept(support, home, tmp_path):
    rows = [{"input": "a", "consent": []}, {"input": "b", "consent": ["service"], "label": "top_up"}]
    for command in (["import", "support", write(tmp_path / "a.jsonl", rows)], ["log", "support", "a.jsonl"]):
        assert support(*command).code == 0
        assert [made.input for made in everything(home, Interaction)] == ["b"]


def test_what_came_before_the_break_is_kept(support, home, tmp_path):
    (tmp_path / "a.jsonl.gz").write_bytes(
        gzip.compress(b"".join(b'{"input": "%d"}\n' % n for n in range(3000)))[:-2000]
    )
    ran = support("import", "support", "a.jsonl.gz")
    kept = len(everything(home, Interaction))
    assert 1000 < kept < 3000
    assert "broken gzip: Compressed file ended" in ran.err
    assert f"the {kept:,} interactions before it are kept" in ran.err


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("a.xlsx", b"PK", ".parquet, with .gz behind it or without"),
        ("a.jsonl", b"", "a.jsonl: no rows"),
        ("a.json", b"[", "not JSON"),
        ("a.json", b'[{"input": "x"} {"input": "y"}]', "a comma between two values"),
        ("a.json", b'{"input": "x"}\n{"input": "y"}', "ends in .jsonl"),
        ("a.json", b'[{"input": "x"},]', "not JSON"),
        ("a.json", b"\xff", "not valid UTF-8"),
        ("a.json", b'[{"input": NaN}]', "NaN is no number"),
        ("a.json", b'[{"input": "' + b"x" * 9_000_000 + b'"}]', "a value over 8,000,000 bytes"),
        ("a.json", b"[" * 100_000, "nested too deeply"),
        ("a.jsonl.gz", b"not packed", "broken gzip"),
        ("a.jsonl.gz", gzip.compress(b'{"input": "x"}\n' * 1000, mtime=0)[:-20], "broken gzip"),
        ("a.csv", b'input\n"open', "a quote is opened and never closed"),
        ("a.parquet", b"PAR1", "not a Parquet file"),
    ],
)
def test_a_file_that_can_not_be_read_gets_one_line(support, home, tmp_path, name, data, says):
    if name == "a.parquet":
        pytest.importorskip("pyarrow")
    (tmp_path / name).write_bytes(data)
    ran = support("import", "support", name)
    assert (ran.code, says in ran.err, ran.err.count("\n")) == (2, True, 1), ran


def test_parquet_without_pyarrow_says_what_to_install(support, tmp_path, monkeypatch):
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert "pip install 'everloop[arrow]'" in support("import", "support", "a.parquet").mistake


MEASURE = """
import resource, sys
from everloop.cli import main
assert main(sys.argv[1:]) == 0
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["big.jsonl", "big.json", "big.csv"])
def test_a_file_of_a_hundred_megabytes_takes_no_more_memory_than_a_small_one(support, home, tmp_path, name):
    """RSS of the whole process, in MB: the rows of the large file alone would be several hundred."""

    def resident(rows: int) -> int:
        fields = ({"question": f"{n} " + "where is my card and when " * 30, "answer": f"{n} soon"} for n in range(rows))
        with (tmp_path / name).open("w") as file:
            if name == "big.csv":
                file.write("question,answer\n")
            file.write("[" if name == "big.json" else "")
            for n, row in enumerate(fields):
                comma = "," if n and name == "big.json" else ""
                file.write(
                    f"{row['question']},{row['answer']}\n" if name == "big.csv" else comma + json.dumps(row) + "\n"
                )
            file.write("]" if name == "big.json" else "")
        command = [sys.executable, "-c", MEASURE, "import", "support", str(tmp_path / name), "--dry-run"]
        env = {**os.environ, "EVERLOOP_HOME": str(home), "EVERLOOP_REDACT": "false"}
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=env)
        return int(done.stdout.split()[-1])

    small = resident(200)
    large = resident(120_000)
    assert (tmp_path / name).stat().st_size > 90_000_000
    assert large < small + 40


@pytest.mark.parametrize("mark", [";", "\t"])
def test_a_csv_that_is_parted_by_something_else(support, home, tmp_path, mark):
    """Where the comma is in the numbers, spreadsheets write semicolons."""
    write(tmp_path / "a.csv", [mark.join(["question", "intent"]), mark.join(['"one, two"', "top_up"])])
    assert support("import", "support", "a.csv").code == 0
    (made,) = everything(home, Interaction)
    assert made.input == "one, two"
    assert [label.value for label in everything(home, Label)] == ["top_up"]

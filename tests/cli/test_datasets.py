"""A loop's dataset at the command line, as people use code."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

import pytest

from everloop.curate.inputs import fingerprint
from everloop.types import Example, Interaction, Label, Ref, Spec
from everloop.wheel import open as open_wheel

TEXTS = {"where is my card": "card_arrival", "i lost my card": "card_lost", "put funds in": "top_up"}


def commit(home: Any, rows: dict[str, str]) -> None:
    with open_wheel(home) as wheel:
        examples = []
        for text, label in rows.items():
            id = fingerprint(text)
            examples.append(Example(id=id, loop="support", input=text, target=label, origin="production", split="train",
                                    group=id, evidence=(f"i-{id}", f"l-{id}")))  # fmt: skip
            wheel.store.records.put(
                Interaction(id=f"i-{id}", loop="support", at=1, input=text, output="top_up"),
                Label(id=f"l-{id}", interaction=f"i-{id}", loop="support", at=2, value=label, source="import"),
            )
        wheel.store.datasets.commit(
            "support", examples, id="01a00000-0000-7000-8000-000000000001", parent=None, at=1,
            recipe=Spec(name="turn.v1", args={"turn": 1}),
            branch=Ref(id="main", loop="support", kind="branch", version=""),
        )  # fmt: skip


@pytest.fixture
def data(support: Any, home: Any) -> Any:
    """`data("log")`: everloop datasets support log, on a loop with one version."""
    commit(home, TEXTS)
    return lambda *words: support("datasets", "support", *words)


def test_from_a_branch_to_main_and_back(data: Any) -> None:
    assert "at 01a00000" in data("tag", "v1", "--why", "before").out
    assert data("branch", "fix", "--by", "ada", "--json").document["by"] == "ada"
    made = data("edit", "fix", "--relabel", "put funds in=card_lost", "--drop", "i lost my card", "--why", "a=b",
                "--by", "ada", "--json").document  # fmt: skip
    assert (made["size"], made["recipe"]["args"]["why"]) == (2, "a=b")
    diff = data("diff", "v1", "fix", "--json").document["comparison"]
    assert (diff["added"], diff["removed"], diff["changed"]) == (0, 1, 1)
    assert diff["relabelled"][0] | {"examples": []} == {"old": "top_up", "new": "card_lost", "n": 1, "examples": []}
    assert "top_up → card_lost" in data("diff", "v1", "fix").out
    assert "edit by ada: a=b" in data().out
    assert data("merge", "fix", "--dry-run", "--json").document["kind"] == "forward"
    assert data("show", "latest", "--json").document["version"]["id"] != made["id"]
    assert "moved on to it" in data("merge", "fix").out
    assert "nothing to merge" in data("merge", "fix").out
    assert data("show", "latest", "--json").document["version"]["id"] == made["id"]
    assert [v["id"] for v in data("log", "v1", "--json").document] == [made["parent"]]
    log = {v["id"]: v["names"] for v in data("log", "--json").document}
    assert log == {made["id"]: ["main", "fix"], made["parent"]: ["v1"]}
    blamed = data("blame", "put funds in", "--json").document
    assert [s["what"] for s in blamed["steps"]] == ["entered", "relabelled"]
    for words in ("relabelled", "ada", "no model was made"):
        assert words in data("blame", "PUT funds  in.").out
    assert "forgotten" in data("tag", "v1", "--delete").out
    assert [r["id"] for r in data("branch", "--json").document] == ["main", "fix"]
    assert "no tag yet" in data("tag").out


def test_clashes_are_listed_and_nothing_is_changed(data: Any) -> None:
    for name, label in (("one", "top_up"), ("two", "card_lost")):
        assert data("branch", name, "01a00000").code == 0
        assert data("edit", name, "--relabel", f"where is my card={label}", "--by", name).code == 0
    data("merge", "one")
    before = data("log", "--json").out
    clashed = data("merge", "two")
    assert clashed.code == 2
    for words in ("card_arrival", "top_up", "card_lost"):
        assert words in clashed.out
    assert "nothing was changed" in clashed.err
    assert "--human" in data("merge", "two", "--json").mistake
    assert data("log", "--json").out == before
    assert "not both" in data("merge", "two", "--ours", "--theirs").mistake
    done = data("merge", "two", "--human", "--theirs", "--json").document
    assert (done["kind"], done["clashes"][0]["took"], done["clashes"][0]["by"]) == ("merged", "theirs", "theirs")
    assert data("show", "latest", "--json").document["version"]["merged"] is not None


def test_mistakes_say_what_to_change(data: Any) -> None:
    for words, says in (
        (("edit", "main"), "nothing to edit"), (("edit", "main", "--relabel", "x"), "EXAMPLE=LABEL"),
        (("edit", "nope", "--drop", "x"), "there are: main"), (("edit", "main", "--drop", "x"), "no example 'x'"),
        (("edit", "main", "--relabel", "put funds in=topup"), "did you mean top_up"),
        (("merge", "nope"), "no dataset version 'nope'"), (("merge",), "takes V"), (("branch", "--delete"), "which"),
        (("branch", "main", "--delete"), "can't be deleted"), (("tag", "main"), "already"),
        (("blame", "x"), "holds 'x'"),
        (("show", "latest", "--force"), "takes no --force"), (("log", "--out", "x"), "takes no --out"),
        (("export", "latest"), "--out FILE"), (("export", "latest", "--out", "x.txt"), "which --format"),
        (("branch", "a/b"), "can't be called"), (("show", "latest~1"), "has no parent"),
    ):  # fmt: skip
        assert says in data(*words).mistake, words


def test_files_come_with_a_datasheet_or_not_at_all(data: Any, tmp_path: Any) -> None:
    made = data("export", "latest", "--format", "openai", "--out", "train.jsonl", "--json").document
    assert (made["rows"], made["split"]) == (3, "train")
    lines = [json.loads(line) for line in (tmp_path / "train.jsonl").read_text().splitlines()]
    assert {line["messages"][0]["content"]: line["messages"][1]["content"] for line in lines} == TEXTS
    sheet = (tmp_path / "train.jsonl.datasheet.md").read_text()
    assert "# Datasheet of train.jsonl" in sheet
    assert "--force" in data("export", "latest", "--format", "openai", "--out", "train.jsonl").mistake
    assert data("export", "latest", "--format", "trl", "--out", "train.jsonl", "--force").code == 0
    assert "format trl" in (tmp_path / "train.jsonl.datasheet.md").read_text()
    assert "no folder" in data("export", "latest", "--out", "nowhere/x.csv").mistake
    assert "no preferences" in data("export", "latest", "--format", "dpo", "--out", "pairs.jsonl").out
    assert data("export", "latest", "--out", "all.csv").code == 0
    with (tmp_path / "all.csv").open(newline="", encoding="utf-8") as file:
        assert {row["input"]: row["label"] for row in csv.DictReader(file)} == TEXTS
    (tmp_path / "left.csv.datasheet.md").write_text("of an export that was interrupted")
    assert data("export", "latest", "--out", "left.csv").code == 0
    left = sorted(path.name for path in tmp_path.iterdir() if path.is_file() and not path.name.endswith(".md"))
    assert left == ["all.csv", "left.csv", "pairs.jsonl", "train.jsonl"]


@pytest.mark.slow
def test_killed_while_it_writes_it_leaves_no_half_file(support: Any, home: Any, tmp_path: Any) -> None:
    commit(home, {f"question number {n} about my card": "card_lost" for n in range(4_000)})
    whole = 0
    for n in range(6):
        out = tmp_path / f"out{n}.jsonl"
        command = [sys.executable, "-m", "everloop.cli", "datasets", "support", "export", "latest", "--out", str(out)]
        process = subprocess.Popen(command, env={**os.environ, "EVERLOOP_HOME": str(home)}, stdout=subprocess.DEVNULL)
        until = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < until:
            if any(tmp_path.glob(f".out{n}.*")):  # it writes: its sheet or its rows
                time.sleep(0.005 * n)
                break
        process.send_signal(signal.SIGKILL)
        process.wait()
        if out.exists():
            whole += 1
            assert len(out.read_bytes().splitlines()) == 4_000
            assert out.with_name(out.name + ".datasheet.md").read_text().endswith("pass that on.\n")
    assert support("datasets", "support", "export", "latest", "--out", "out0.jsonl", "--force").code == 0
    assert whole < 6  # some were killed in time

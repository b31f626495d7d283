"""What leaves: who agreed, what is set aside, what the file and its datasheet say."""

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from everloop import versions
from everloop.cli.writing import csv_lines
from everloop.curate.inputs import fingerprint
from everloop.errors import InvalidInput
from everloop.types import Correction, DatasetVersion, Drop, Interaction, Model, Placement, Ref, Spec, Turn, Vote
from everloop.versions import Export
from everloop.wheel import Wheel
from tests.versions.conftest import TEXTS, example

CARD, REFUND, LIMIT, POST, GOLDEN = TEXTS
Exporting = Callable[..., Export]


@pytest.fixture
def export(wheel: Wheel, first: DatasetVersion) -> Exporting:
    def export(format: Any, **more: Any) -> Export:
        version = more.pop("version", first)
        return versions.export(wheel.store, wheel.get("support").spec, version, format, file="out", csv_lines=csv_lines,
                               **more)  # fmt: skip

    return export


def rows(made: Export) -> list[Any]:
    return [json.loads(line) for line in b"".join(made.chunks).splitlines()]


def test_no_golden_row_is_in_what_is_trained_on_unless_asked_for(export: Exporting) -> None:
    for format in ("openai", "trl"):
        made = export(format)
        assert (made.rows, made.split) == (4, "train")
        assert GOLDEN.encode() not in b"".join(made.chunks)
        assert GOLDEN.encode() in b"".join(export(format, split="golden").chunks)
    for format in ("jsonl", "csv", "labelstudio", "argilla"):
        made = export(format)
        assert (made.rows, made.split) == (5, None)
        text = b"".join(made.chunks).decode()
        assert GOLDEN in text
        assert "u1" not in text  # people stay at home


def test_consent_that_was_taken_back_counts(export: Exporting, wheel: Wheel) -> None:
    wheel.store.records.replace(
        *(replace(it, consent=("service",) if it.input == CARD else ("service", "improve", "share"))
          for it in wheel.store.records.find(Interaction) if it.input != REFUND)
    )  # fmt: skip
    made = export("openai")
    assert (made.rows, made.withheld, made.shareable, made.unshared) == (3, 1, 2, 0)
    shared = export("openai", shareable=True)
    assert (shared.rows, shared.unshared) == (2, 1)
    assert "may not be passed on" in made.sheet
    assert "may not be passed on" not in shared.sheet


def test_the_datasheet(export: Exporting, wheel: Wheel, first: DatasetVersion) -> None:
    wheel.store.records.put(Model(id="m1", loop="support", turn=1, spec=Spec(name="x"), dataset=first.id, blob="00",
                                  size=1, classes=("a",), seconds=1.0, at=1))  # fmt: skip
    versions.tag(wheel.store.datasets, "support", "paper", first, by="ada")
    sheet = export("jsonl").sheet
    for words in (
        "agents correct it", "5 examples", "| card | 3 |", "| golden | 1 |", "Labelled by the machine: 1 of 5 (20.0%)",
        "not measured by an audit", "email 1", first.hash, "turn.v1", "Licence: _to fill in_", "(main, paper)",
        "1 people are known", "interaction 5, label 5", "1 models (m1)", "1970-01-01",
    ):  # fmt: skip
        assert words in sheet, words
    wheel.store.records.erase("u1")
    after = wheel.store.datasets.get(first.id)
    assert after is not None
    empty = export("openai", version=after)
    assert (empty.rows, b"".join(empty.chunks)) == (0, b"")
    assert "5 examples of this version were erased" in empty.sheet


def test_what_strangers_wrote_is_no_markup(wheel: Wheel, export: Exporting) -> None:
    evil = "x | y\n# <script>`"
    made = wheel.store.datasets.commit("support", [example("q", evil, slices=("a|b\n\n# c",))], id="evil", parent=None,
                                       recipe=Spec(name="`\n# x", args={}), at=1)  # fmt: skip
    sheet = export("jsonl", version=made).sheet
    assert "<script>" not in sheet.replace("\\<script\\>", "")
    assert not [line for line in sheet.splitlines() if line.startswith(("# x", "# c", "# <"))]


def test_audited_error_is_said_where_a_turn_measured_it(wheel: Wheel, export: Exporting) -> None:
    step = {"name": "label", "seconds": 1.0, "counts": {
        "audited_error": {"estimate": 0.02, "low": 0.01, "high": 0.04, "n": 200}}}  # fmt: skip
    wheel.store.records.put(Turn(id="t1", loop="support", number=1, trigger="hand", cut={}, steps=(step,)))  # type: ignore[arg-type]
    assert "2.0% (1.0% to 4.0%) of 200 drawn at random" in export("jsonl").sheet


@pytest.fixture
def argued(wheel: Wheel, first: DatasetVersion) -> Wheel:
    """Corrections on four inputs and a vote: one on a golden input, one after the turn, one dropped, one taken back."""
    put = wheel.store.records.put
    put(*(Placement(id=fingerprint(text), loop="support", interaction=f"i-{fingerprint(text)}", group="g", turn=1,
                    split="golden" if text == GOLDEN else "train") for text in TEXTS))  # fmt: skip
    for n, text in enumerate((CARD, GOLDEN, LIMIT, POST)):
        put(Correction(id=f"c{n}", interaction=f"i-{fingerprint(text)}", loop="support", at=3, value="card",
                       consent=("service",) if text == LIMIT else None))  # fmt: skip
    put(Drop(id="c3", loop="support", turn=1, stage="curate", reason="flood"))
    put(
        Interaction(id="rival", loop="support", at=1, input=REFUND, output="limit"),
        Vote(id="v1", interaction=f"i-{fingerprint(REFUND)}", loop="support", at=4, value="other", other="rival"),
    )
    cut = wheel.store.records.head(Vote, "support")
    put(Turn(id="t1", loop="support", number=1, trigger="hand", cut={"feedback": cut}))
    put(Correction(id="late", interaction="rival", loop="support", at=9, value="refund"))
    return wheel


def test_preferences_are_of_their_time_and_keep_off_golden_rows(argued: Wheel, export: Exporting) -> None:
    made = export("dpo")
    found = {(r["prompt"], r["chosen"], r["rejected"]) for r in rows(made)}
    assert found == {(REFUND, "limit", "refund"), (CARD, "card", "refund")}
    assert (made.rows, made.withheld) == (2, 1)
    assert "corrections 1" in made.sheet
    assert [r["prompt"][0]["content"] for r in rows(export("trl-preference", split="golden"))] == [GOLDEN]
    argued.store.records.replace(replace(argued.interaction("rival"), consent=("service",)))
    assert export("dpo").rows == 1


def test_an_erased_person_has_no_preferences(argued: Wheel, export: Exporting) -> None:
    argued.store.records.erase("u1")
    assert export("dpo").rows == 0


def test_parquet_is_what_hugging_face_reads(export: Exporting, wheel: Wheel) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(io.BytesIO(b"".join(export("parquet").chunks)))
    told = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    assert list(told) == table.column_names
    assert told["label"] == {"names": ["card", "limit", "refund"], "_type": "ClassLabel"}
    found = {r["input"]: told["label"]["names"][r["label"]] for r in table.to_pylist()}
    assert found == TEXTS
    numbers = wheel.store.datasets.commit(
        "support", [replace(example("v", "card"), input=[0.5, 1.0])], id="numbers", parent=None,
        recipe=Spec(name="x"), at=1, branch=Ref(id="numbers", loop="support", kind="branch", version=""),
    )  # fmt: skip
    read = parquet.read_table(io.BytesIO(b"".join(export("parquet", version=numbers).chunks)))
    assert read.column("input").to_pylist() == [[0.5, 1.0]]
    with pytest.raises(InvalidInput, match="numbers"):
        export("openai", version=numbers)


def test_parquet_without_pyarrow_says_what_to_install(export: Exporting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(InvalidInput, match=r"everloop\[arrow\]"):
        export("parquet")

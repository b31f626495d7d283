"""A loop's life at the command line, from declaration to export."""

import csv
import json
import re
import shutil
import threading

import pytest

from everloop.cli import main
from everloop.types import Drop, Review
from everloop.wheel import open as open_wheel

ASKED = {
    "card_arrival": [
        "where is my card",
        "my card has not arrived",
        "when will the new card come",
        "card still not here",
    ],
    "card_lost": ["i lost my card", "my card is gone", "someone stole my wallet", "cannot find my card anywhere"],
    "top_up": ["how do i top up", "add money to my account", "put funds in", "top up by bank transfer"],
}
ENDS = ["", " please", " today", " as soon as you can", " thanks", ", can you help", " again", " and it is urgent"]


def written(path):
    """`path` with 96 labelled questions and a channel."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["input", "label", "context.channel", "note"])
        for label, texts in ASKED.items():
            writer.writerows([text + end, label, "web", "x"] for text in texts for end in ENDS)
    return path


@pytest.fixture
def rows(tmp_path):
    return written(tmp_path / "past.csv")


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    """A home with the loop of `support` after an import and a turn."""
    folder = tmp_path_factory.mktemp("once")
    home = ["--home", str(folder / "home")]
    assert main(["init", "support", "--labels", "card_arrival,card_lost,top_up", *home]) == 0
    assert main(["log", "support", str(written(folder / "past.csv")), *home]) == 0
    assert main(["turn", "support", *home]) == 0
    return folder / "home"


@pytest.fixture
def learned(run, once, home):
    """`run`, in a copy of that home."""
    shutil.copytree(once, home)
    return run


def test_init_says_what_was_declared_and_what_to_do_next(run, home):
    ran = run("init", "support", "--task", "classify", "--signal", "agents correct the suggested intent",
              "--outcome", "handoff_rate", "--goal", "down", "--policy", "review_budget=50", "margin=0.01")  # fmt: skip
    assert ran.code == 0, ran
    for words in ("agents correct the suggested intent", "handoff_rate", "review_budget=50, margin=0.01", "everloop up",
                  "curl -X POST http://127.0.0.1:8700/v1/loops/support/predict"):  # fmt: skip
        assert words in ran.out
    again = run("init", "support", "--json").document
    assert (again["name"], again["goal"], again["policy"]["review_budget"]) == ("support", "down", 50)
    assert "nothing changed" in run("init", "support").out
    assert "changed" in run("init", "support", "--goal", "up").out
    assert run("init", "support", "--json").document["outcome"] == "handoff_rate"


def test_labels_from_a_file(run, tmp_path):
    (tmp_path / "labels.txt").write_text("a\n\nb c\n", encoding="utf-8-sig")
    assert run("init", "x", "--labels", "labels.txt", "--json").document["labels"] == ["a", "b c"]


def test_a_loop_that_has_learned_nothing_abstains_and_takes_feedback(support):
    made = support("predict", "support", "hello", "--subject", "u1", "--context", "channel=web", "--json").document
    assert (made["output"], made["context"]) == (None, {"channel": "web"})
    assert "u1" not in json.dumps(made)
    assert "abstains" in support("predict", "support", "hello").out
    given = ["feedback", made["id"], "--correction", "top_up", "--rationale", "wants money in", "--id", "f1"]
    assert "correction kept" in support(*given).out
    assert support(*given, "--json").document == {"interaction": made["id"], "kind": "correction", "receipt": "known"}
    for words in (["--thumb", "down"], ["--rating", "4.5"], ["--comment", "no"], ["--outcome", "1"],
                  ["--label", "top_up"]):  # fmt: skip
        assert support("feedback", made["id"], *words).code == 0
    status = support("status", "support", "--json").document
    assert status["feedback"] == {
        "correction": 1, "thumb": 1, "rating": 1, "comment": 1, "outcome": 1, "label": 1,
    }  # fmt: skip


def test_an_import_is_repeatable(support, rows):
    first = support("log", "support", str(rows), "--json").document
    assert first == {"loop": "support", "rows": 96, "interactions": 96, "labels": 96, "known": 0, "ignored": ["note"]}
    rows.write_text(rows.read_text() + "one more,top_up,app,\n")
    again = support("log", "support", str(rows))
    assert "1 interactions and 1 labels into support; 96 rows were here already" in again.out
    assert "columns left out: note" in again.out


def test_other_columns_and_json_inputs(support, tmp_path):
    (tmp_path / "a.csv").write_text('question,intent,at\nhow,top_up,1700000000000\n"lost, all",card_lost,\n')
    words = ["log", "support", "a.csv", "--input", "question", "--label", "intent", "--json"]
    assert support(*words).document["labels"] == 2
    support("init", "digits")
    (tmp_path / "v.csv").write_text('input,label\n"[1, 2.5]",a\n')
    assert support("log", "digits", "v.csv", "--parse", "--json").document["interactions"] == 1
    assert "input" in support("log", "digits", "v.csv", "--parse", "--input", "label").mistake
    (tmp_path / "v.jsonl").write_text('{"input": [1, 2], "label": "b", "context": {"k": "v"}, "context.x": "y"}\n')
    assert support("log", "digits", "v.jsonl", "--json").document["interactions"] == 1


def test_after_a_turn_it_answers(learned):
    made = learned("predict", "support", "i lost my card today", "--json").document
    assert made["output"] == "card_lost"
    assert made["model"]
    shown = learned("predict", "support", "i lost my card today")
    assert shown.out.startswith("card_lost\n")
    assert re.search(r"^interaction +\S+$", shown.out, re.MULTILINE)


def test_turn_status_check_models(learned):
    report = learned("turn", "support", "--json").document
    assert (report["loop"], report["state"]) == ("support", "closed")
    status = learned("status", "support", "--json").document
    assert status["live"]
    assert learned("status", "--json").document == [status]
    assert "support waits for" in learned("status").out
    assert "interactions  96" in learned("status", "support").out
    check = learned("check", "support", "--json").document
    assert len(check["arrows"]) >= 2
    assert learned("check", "--json").document == [check]
    assert check["summary"] in learned("check").out
    models = learned("models", "support", "--json").document
    assert [entry["stage"] for entry in models if entry["model"]["id"] == status["live"]] == ["live"]
    assert status["live"] in learned("models", "support").out


def test_a_turn_beside_a_worker_that_is_at_it(learned, home, tmp_path):
    stop = threading.Event()

    def work():
        with open_wheel(home) as wheel:
            while not stop.wait(0.001):
                wheel.get("support").advance()

    worker = threading.Thread(target=work)
    worker.start()
    try:
        for number in range(1, 5):
            (tmp_path / "one.csv").write_text(f"input,label\nhow do i pay in {number} euros,top_up\n")
            learned("log", "support", "one.csv")
            report = learned("turn", "support", "--json").document
            assert (report["turn"], report["state"], report["interactions"]) == (number, "closed", 1)
    finally:
        stop.set()
        worker.join()


def test_rollback(learned):
    learned("turn", "support")
    live = learned("status", "support", "--json").document["live"]
    ran = learned("rollback", "support", "--reason", "a hunch", "--json")
    if ran.code == 0:
        assert ran.document["reason"] == "a hunch"
        assert learned("status", "support", "--json").document["live"] != live
    else:
        assert ran.mistake


def test_datasets_and_export(learned, tmp_path):
    (log,) = learned("datasets", "support", "--json").document
    assert log["hash"][:8] in learned("datasets", "support").out
    shown = learned("datasets", "support", "show", log["hash"][:12], "--limit", "3", "--json").document
    assert sum(shown["counts"]["split"].values()) == log["size"]
    assert len(shown["examples"]) == 3
    assert "3 of" in learned("datasets", "support", "show", "latest", "--limit", "3").out

    for name in ("all.jsonl", "all.csv", "train.csv"):
        split = ["--split", "train"] if name == "train.csv" else []
        assert learned("export", "support", "--to", name, *split).code == 0
    examples = [json.loads(line) for line in (tmp_path / "all.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(examples) == log["size"]
    assert "subjects" not in examples[0]
    with (tmp_path / "all.csv").open(newline="", encoding="utf-8") as file:
        cells = list(csv.DictReader(file))
    assert {(c["input"], c["label"], c["split"]) for c in cells} == {
        (e["input"], e["target"], e["split"]) for e in examples
    }
    assert all(c["split"] == "train" for c in csv.DictReader((tmp_path / "train.csv").open(encoding="utf-8")))
    assert "--force" in learned("export", "support", "--to", "all.csv").mistake
    assert learned("export", "support", "--to", "all.csv", "--force", "--json").document["examples"] == log["size"]

    assert learned("init", "copy").code == 0
    assert learned("log", "copy", "all.csv", "--json").document["labels"] == log["size"]


def test_what_changed_between_two_versions(learned, tmp_path):
    (old,) = learned("datasets", "support", "--json").document
    (tmp_path / "more.csv").write_text("input,label\nhow can i pay in cash,top_up\n")
    learned("log", "support", "more.csv")
    learned("turn", "support")
    new, *_ = learned("datasets", "support", "--json").document
    diff = learned("datasets", "support", "diff", old["id"], "latest", "--json").document
    assert diff["new"] == new["id"]
    assert len(diff["added"]) == new["added"]
    assert "added" in learned("datasets", "support", "diff", old["id"], "latest").out


def test_reviews_are_listed_shown_and_answered(learned, home):
    found = learned("review", "support", "--json").document
    if not found:
        with open_wheel(home) as wheel:
            it = wheel.get("support").predict("is it lost or late")
            review = Review(id="r1", loop="support", turn=1, interaction=it.id, input=it.input, why="uncertain",
                            proposal="card_lost", confidence=0.5, at=it.at)  # fmt: skip
            wheel.store.records.replace(review)
        found = learned("review", "--json").document
    first = found[0]
    assert first["id"] in learned("review").out
    assert first["why"] in learned("review", first["id"]).out
    assert "did you mean card_lost" in learned("review", first["id"], "card_lst").mistake
    assert "not both" in learned("review", first["id"], "card_lost", "--accept").mistake
    assert learned("review", first["id"], "card_lost", "--annotator", "kim", "--json").document["annotator"] == "kim"
    assert first["id"] not in learned("review", "support").out


def test_undo_takes_a_drop_back(learned, home, tmp_path):
    (tmp_path / "odd.csv").write_text("input,label\n,top_up\n")
    learned("log", "support", "odd.csv")
    learned("turn", "support")
    with open_wheel(home) as wheel:
        drops = wheel.store.records.find(Drop, "support")
    empty = next(drop for drop in drops if drop.reason == "empty")
    assert f"was left out in turn {empty.turn} by empty" in learned("undo", empty.id).out
    assert learned("undo", empty.id, "--json").document["undone"] is True


def test_forget_erases_a_person(support, home):
    made = support("predict", "support", "secret", "--subject", "u1", "--json").document
    erased = support("forget", "u1", "--yes", "--json").document
    assert erased["interactions"] == [made["id"]]
    assert "nothing is known of u1" in support("forget", "u1", "--yes").out
    assert "no interaction" in support("feedback", made["id"], "--thumb", "up").mistake


def test_version(run, home):
    assert set(run("version", "--json").document) == {"everloop", "python"}
    assert run("--version").out.startswith("everloop ")
    assert not home.exists()

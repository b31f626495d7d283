"""A turn leaves out what says the same in other words, writes down why, and takes it back when a person says so."""

import msgspec
import numpy as np

from everloop import curate
from everloop.curate import drop_audits, repeats
from everloop.curate.rules_row import MEANING
from everloop.types import Drop
from tests.loop.conftest import questions

RULES = (*curate.DEFAULT_ORDER, MEANING)


def reordered(text, seed):
    """The same words: the same to a mean of their vectors, and hardly a near-duplicate."""
    return " ".join(np.random.default_rng(seed).permutation(text.split()).tolist())


def labelled(loop, n):
    rows = questions(n)
    loop.log_many({"id": f"q{i}", "input": text, "label": topic} for i, (text, topic) in enumerate(rows))
    loop.log_many({"id": f"r{i}", "input": reordered(text, i), "label": topic} for i, (text, topic) in enumerate(rows))
    return rows


def test_a_turn_leaves_out_what_says_the_same(wheel, monkeypatch):
    monkeypatch.setattr(repeats, "MAX_DIFFERENT", 0.2)
    loop = wheel.loop("support", policy={"rules": RULES, "golden_share": 0.0, "trigger_feedback": 0})
    rows = labelled(loop, 40)
    loop.log_many({"id": f"p{i}", "input": reordered(text, 100 + i)} for i, (text, _) in enumerate(rows[:6]))
    loop.log_many({"id": f"n{i}", "input": text} for i, text in enumerate(["where is the moon", "sing me a song"]))
    report = loop.turn()
    drops = {one.id: one for one in loop.records.find(Drop, "support", reason="semantic_duplicate")}
    assert set(drops) == {f"p{i}" for i in range(6)}
    assert all(one.matched in {f"q{i}", f"r{i}"} for i, one in enumerate(drops[f"p{i}"] for i in range(6)))
    assert report.dropped["semantic_duplicate"] == 6
    assert report.alike.threshold is not None
    assert "say the same: of" in report.report()
    shown = drop_audits.shown(loop.records, [drops["p0"]])[0]
    assert sorted(shown.input.split()) == sorted(shown.matched_input.split())

    loop.undo("p0")
    again = loop.turn()
    assert again.dropped["semantic_duplicate"] == 5
    assert loop.records.get(Drop, "p0").reason == "no_signal" or loop.records.get(Drop, "p0").undone
    assert loop.records.get(Drop, "p1") == msgspec.structs.replace(drops["p1"])


def test_without_enough_labels_nothing_goes_and_the_report_says_how_many_it_takes(wheel):
    loop = wheel.loop("support", policy={"rules": RULES, "golden_share": 0.0, "trigger_feedback": 0})
    rows = labelled(loop, 10)
    loop.log_many([{"id": "p0", "input": reordered(rows[0][0], 100)}])
    report = loop.turn()
    assert "semantic_duplicate" not in report.dropped
    assert report.alike.needed == 20 * 366 // 10
    assert "takes about 700 labelled rows, not 20" in report.report()

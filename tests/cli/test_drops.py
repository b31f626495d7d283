"""``everloop drops``, as somebody uses it."""

import json

import pytest


@pytest.fixture
def turned(support, home):
    """A loop that has left something out."""
    rows = [{"input": text, "label": "top_up"} for text in ("top up my card", "top up with cash", "Top up my card.")]
    rows += [{"input": f"2024-05-0{n} 10:00:00 ERROR job {n} failed"} for n in range(1, 6)]
    (home.parent / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    assert support("log", "support", "rows.jsonl").code == 0
    assert support("turn", "support").code == 0
    return support


def test_from_the_reasons_to_an_audit_to_the_way_back(turned):
    said = turned("drops", "support").out
    assert "boilerplate" in said
    assert "duplicate" in said
    shown = turned("drops", "support", "boilerplate", "--sample", "2", "--json").document
    assert [one["drop"]["reason"] for one in shown] == ["boilerplate"] * 2
    assert "ERROR" in shown[0]["input"]
    assert shown[0]["drop"]["matched"].startswith("log:")
    drawn = turned("drops", "support", "audit", "boilerplate", "--json").document
    ids = [one["drop"]["id"] for one in drawn]
    assert len(ids) == 5
    assert "answer with" in turned("drops", "support", "audit", "boilerplate").out
    told = turned("drops", "support", "audit", "boilerplate", "--right", ids[0], "--wrong", *ids[1:])
    assert "boilerplate: 0.200 [0.005, 0.716] n=5; this rule is wrong more than 20 % of the time" in told.out
    (doubt,) = turned("status", "support", "--json").document["doubts"]
    assert doubt.startswith("boilerplate: this rule is wrong")
    assert "wrong more than 20 %" in turned("status", "support").out
    assert "taken back: 4 drops" in turned("drops", "support", "undo", "boilerplate").out
    assert "nothing to take back" in turned("drops", "support", "undo", "boilerplate").out
    assert turned("drops", "support", "undo", "boilerplate", "--all", "--json").document[0]["undone"]
    rows = {row["reason"]: row for row in turned("drops", "support", "--json").document}
    assert (rows["boilerplate"]["n"], rows["boilerplate"]["right"], rows["boilerplate"]["undone"]) == (5, 1, 5)
    assert "taken back: 1, all of duplicate" in turned("drops", "support", "undo", "duplicate", "--every").out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nonsense"], "nothing was left out for 'nonsense'; there are: boilerplate, duplicate"),
        (["audit"], "one reason: everloop drops support audit REASON"),
        (["a", "b"], "one reason"),
        (["boilerplate", "--right", "x"], "--right and --wrong answer an audit"),
        (["audit", "boilerplate", "--right", "x"], "no drop 'x' was drawn"),
        (["undo", "boilerplate", "--every", "--all"], "--every takes back all of a reason"),
        (["undo", "no_signal", "--every"], "only mended"),
        (["--sample", "0"], "--sample: 1 to 1,000"),
    ],
)
def test_mistakes_are_told_in_one_line(turned, words, says):
    assert says in turned("drops", "support", *words).mistake

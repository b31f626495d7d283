"""``everloop annotators``."""

import msgspec
import pytest

from everloop.types import Annotation, Review
from everloop.wheel import open as open_wheel


@pytest.fixture
def crew(support, home):
    """Two people on thirty rows, of which they differ on six; and one with a hostile name, who answered alone."""
    with open_wheel(home) as wheel:
        loop = wheel.get("support")
        loop.log_many({"id": f"q{i}", "input": f"question number {i}"} for i in range(32))
        records = []
        for i in range(32):
            records.append(
                Review(id=f"r{i}", loop="support", turn=0, interaction=f"q{i}", input="x", why="golden", at=i)
            )
            value = "top_up" if i % 2 else "card_lost"
            for who in ("ann", "ben") if i < 30 else ("[red]cleo",):
                other = "card_arrival" if who == "ben" and i < 6 else value
                records.append(Annotation(id=f"r{i}.{who}", loop="support", review=f"r{i}", interaction=f"q{i}",
                                          annotator=who, value=other, at=100 + i))  # fmt: skip
        wheel.store.records.replace(*records)
    return support


def test_everybody_by_name_and_how_far_they_agree(crew):
    shown = crew("annotators", "support")
    assert shown.code == 0, shown
    assert "α = 0." in shown.out
    assert "[red]cleo" in shown.out
    document = crew("annotators", "support", "--json").document
    ann, ben, cleo = sorted(document["annotators"], key=lambda one: one["answered"], reverse=True)
    assert (ann["name"], ben["name"], cleo["name"]) == ("ann", "ben", "[red]cleo")
    assert (ann["answered"], ann["compared"], ann["right"]["n"], ann["flags"]) == (30, 30, 30, [])
    assert ann["right"]["low"] < 0.8 < ann["right"]["high"]
    assert (cleo["right"], cleo["weight"], cleo["flags"]) == (None, 1.0, ["too few: 0 of 20 that others labelled too"])
    [pair] = document["pairs"]
    assert (pair["first"], pair["second"], pair["kappa"]["n"]) == ("ann", "ben", 30)
    assert document["alpha"]["n"] == 30
    assert document["alpha"]["low"] < document["alpha"]["estimate"] < document["alpha"]["high"]


def test_who_does_not_want_to_be_learned_from_is_not_counted(crew, home):
    with open_wheel(home) as wheel:
        wheel.store.records.replace(msgspec.structs.replace(wheel.interaction("q0"), consent=("service",)))
    assert crew("annotators", "support", "--json").document["alpha"]["n"] == 29


def test_nobody_yet_and_no_such_loop(support):
    assert "nobody has answered" in support("annotators", "support").out
    assert support("annotators", "support", "--json").document["annotators"] == []
    assert "suport" in support("annotators", "suport").mistake

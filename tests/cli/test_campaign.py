"""``everloop campaign``."""

import pytest

WHEN = '{"confidence": {"below": 0.6}}'


def test_declared_listed_paused_and_ended(support):
    assert "no campaign; begin one" in support("campaign", "support").out
    made = support("campaign", "support", "unsure", "--when", WHEN, "--rate", "20", "--bytes", "5MB", "--days", "7",
                   "--before", "10", "--after", "5")  # fmt: skip
    assert made.code == 0
    for said in ("unsure, version 1", "active, 7.0 days left", "5,000,000 a device", "10 s before, 5 s after"):
        assert said in made.out
    assert "0.6" in support("campaign", "support").out
    assert "version 2" in support("campaign", "support", "unsure", "--pause").out
    assert "version 3" in support("campaign", "support", "unsure", "--resume").out
    assert "ended" in support("campaign", "support", "unsure", "--end").out
    (shown,) = support("campaign", "support", "--json").document
    assert (shown["campaign"]["bytes"], shown["came"]["interactions"]) == (5_000_000, 0)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["unsure"], "no campaign 'unsure'"),
        (["unsure", "--rate", "5"], "say what it asks for"),
        (["unsure", "--when", "{"], "--when: not JSON"),
        (["unsure", "--when", '{"confidense": {"below": 1}}'], "did you mean confidence?"),
        (["unsure", "--when", WHEN, "--bytes", "five"], "--bytes 'five'"),
        (["unsure", "--when", WHEN, "--days", "0"], "--days 0"),
        (["--when", WHEN], "which campaign?"),
        (["unsure", "--when", WHEN, "--rate", "nan"], "rate"),
    ],
)
def test_mistakes_are_told_in_one_line(support, words, says):
    assert says in support("campaign", "support", *words).mistake

"""What people are asked: within the budget, golden first, disputes before guesses, no twins of one hard case."""

import numpy as np
import pytest

from everloop.label import choose
from everloop.label.choose import dispute
from everloop.types import Alternative, Evidence, Policy, Statement


def row(id, *said, split="train", output="a", confidence=0.6, second=0.3, input=None):
    return Evidence(
        id=id, loop="l", input=input or id, interaction=f"i-{id}", group=id, split=split, output=output,
        confidence=confidence, alternatives=(Alternative("b", second),),
        statements=tuple(Statement(id=f"{id}{n}", kind=kind, value=value, interaction=f"i-{id}")
                         for n, (kind, value) in enumerate(said)),
    )  # fmt: skip


def vectors(inputs):
    return np.stack([np.random.default_rng(list(text.encode())).standard_normal(8) for text in inputs]).astype("f4")


def chosen(evidence=(), pool=(), contested=(), asked=(), **policy):
    wanted = choose(evidence, pool, contested, asked=frozenset(asked), policy=Policy(**policy), vectors=vectors)
    return [(w.evidence.id, w.why) for w in wanted]


def test_golden_rows_come_first_but_leave_room_for_the_rest():
    golden = [row(f"g{n}", split="golden") for n in range(10)]
    disputed = [row(f"d{n}", ("refuted", "a")) for n in range(10)]
    found = chosen(pool=golden + disputed, review_budget=10, review_fresh=0)
    assert [why for _, why in found] == ["golden"] * 5 + ["disputed"] * 5


def test_golden_rows_by_feedback_need_feedback():
    rows = [row("said", ("refuted", "a"), split="golden"), row("silent", split="golden")]
    assert chosen(pool=rows, golden_source="feedback") == [("said", "golden")]
    assert set(chosen(pool=rows, golden_source="traffic")) == {("said", "golden"), ("silent", "golden")}


def test_nothing_is_asked_twice_and_what_is_settled_not_at_all():
    settled = row("s", ("annotation", "x"))
    assert chosen(evidence=[settled], pool=[row("p")], asked=["i-p"]) == []


def test_uncertain_rows_are_few_uncertain_and_different():
    twins = [row(f"t{n}", confidence=0.41, second=0.40, input="same words") for n in range(20)]
    other = [row(f"o{n}", confidence=0.45, second=0.40, input=chr(200 + 50 * n)) for n in range(4)]
    sure = [row(f"s{n}", confidence=0.99, second=0.01) for n in range(50)]
    found = chosen(pool=[*sure, *twins, *other], review_fresh=4)
    assert len(found) == 4
    assert sum(id.startswith("t") for id, _ in found) <= 1
    assert not any(id.startswith("s") for id, _ in found)


@pytest.mark.parametrize(
    ("said", "low", "high"),
    [
        ([], 0, 0),
        ([("refuted", "a")], 0.5, 1),
        ([("correction", "x"), ("correction", "y")], 1, 1),
        ([("correction", "a")], 0, 0),
        ([("correction", "b")], 0.29, 0.31),
        ([("correction", "never thought of")], 0.6, 0.6),
    ],
)
def test_how_much_a_row_is_disputed(said, low, high):
    assert low <= dispute(row("r", *said)) <= high


def test_the_budget_is_kept_whatever_there_is():
    rows = [row(f"r{n}", ("refuted", "a"), split="golden" if n % 3 else "train") for n in range(200)]
    for budget in (0, 1, 7, 50):
        assert len(chosen(pool=rows, review_budget=budget, review_fresh=budget)) <= budget

"""What people are asked: within the budget, golden first, disputes before guesses, no twins of one hard case."""

import itertools

import numpy as np
import pytest
from msgspec import structs

from everloop.label import ask, recheck
from everloop.label.asking import dispute
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
    wanted = ask(evidence, pool, contested, asked=frozenset(asked), policy=Policy(**policy), vectors=vectors)
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


def asked_of(pool, seed=0, **more):
    policy = Policy(review_budget=40, review_fresh=40)
    rng = np.random.default_rng(seed)
    return ask((), pool, (), asked=frozenset(), policy=policy, vectors=vectors, rng=rng, **more)


def test_some_of_the_untouched_rows_are_drawn_at_random_with_their_chance():
    pool = [row(f"p{n}", confidence=0.5 + n / 1000) for n in range(200)]
    wanted = asked_of(pool, random_share=0.1)
    drawn = [w for w in wanted if w.why == "random"]
    assert len(wanted) == 40
    assert len(drawn) == 4
    assert {w.propensity for w in drawn} == {4 / 200}
    assert all(w.propensity is None for w in wanted if w.why != "random")
    assert [w.evidence.id for w in asked_of(pool, random_share=0.1)] == [w.evidence.id for w in wanted]
    assert {w.evidence.id for w in asked_of(pool, seed=1, random_share=0.1) if w.why == "random"} != {
        w.evidence.id for w in drawn
    }
    assert all(a.priority >= b.priority for a, b in itertools.pairwise(wanted))


def test_a_weak_slice_gets_its_rows_first():
    pool = [structs.replace(row(f"p{n}", confidence=0.99 if n < 20 else 0.35), slices=("pro",) if n < 20 else ())
            for n in range(200)]  # fmt: skip
    assert sum("pro" in w.evidence.slices for w in asked_of(pool, random_share=0)) == 0
    wanted = asked_of(pool, slices={"pro": 8, "nobody": 3}, random_share=0)
    assert all("pro" in w.evidence.slices for w in wanted[:8])
    assert sum("pro" in w.evidence.slices for w in wanted) == 8


def test_a_suspect_is_asked_again_once_in_a_queue_and_by_how_wrong_it_seems():
    settled = [row(f"s{n}", ("annotation", "a")) for n in range(5)]
    disputed = [row("d", ("correction", "b"))]  # 0.3
    suspects = [(0.2 * n, one) for n, one in enumerate(settled)] + [(0.1, disputed[0])]
    wanted = ask(settled, disputed, (), asked=frozenset(["i-s4"]), policy=Policy(), vectors=vectors, suspects=suspects)
    assert [w.evidence.id for w in wanted if w.why == "disputed"] == ["s4", "s3", "s2", "d", "s1"]
    golden = [(0.9, structs.replace(settled[0], split="golden"))]
    assert ask((), (), (), asked=frozenset(), policy=Policy(), vectors=vectors, suspects=golden) == []


class TestRecheck:
    def test_the_likeliest_wrong_ones_and_a_random_few_of_the_machines(self):
        suspects = [(0.9, row("s1", ("correction", "x"))), (0.8, row("s2", ("correction", "x"))),
                    (0.99, row("known", ("annotation", "x"))), (0.7, row("old", ("correction", "x")))]  # fmt: skip
        automatic = [row(f"a{n}") for n in range(30)] + [row("old")]
        found = recheck(suspects, automatic, asked=frozenset({"i-old"}), rechecked=frozenset(),
                        policy=Policy(review_budget=8, auto_audit=5), rng=np.random.default_rng(1))  # fmt: skip
        assert [w.evidence.id for w in found if w.why == "suspect"] == ["s1", "s2"]
        audited = [w for w in found if w.why == "audit"]
        assert len(audited) == 5
        assert {w.propensity for w in audited} == {5 / 30}
        assert not {w.evidence.id for w in audited} & {"old", "known", "s1", "s2"}

    def test_every_label_of_the_machine_has_the_same_chance(self):
        automatic, counts = [row(f"a{n}") for n in range(10)], dict.fromkeys(range(10), 0)
        for seed in range(400):
            for want in recheck([], automatic, asked=frozenset(), rechecked=frozenset(), policy=Policy(auto_audit=3),
                                rng=np.random.default_rng(seed)):  # fmt: skip
                counts[int(want.evidence.id[1:])] += 1
        assert all(80 <= n <= 160 for n in counts.values()), counts

    def test_never_more_than_the_budget(self):
        many = [row(f"a{n}") for n in range(30)]
        suspects = [(0.9, row(f"s{n}", ("correction", "x"))) for n in range(30)]
        for budget in range(12):
            policy = Policy(review_budget=budget, auto_audit=9)
            found = recheck(suspects, many, asked=frozenset(), rechecked=frozenset(), policy=policy,
                            rng=np.random.default_rng(0))  # fmt: skip
            assert len(found) <= budget

    def test_golden_rows_come_first_and_once_though_somebody_was_asked(self):
        golden = row("g", ("annotation", "x"), split="golden")
        suspects = [(0.99, row("s", ("correction", "x"))), (0.6, golden)]
        more = {"policy": Policy(review_budget=4, auto_audit=0), "rng": np.random.default_rng(0)}
        found = recheck(suspects, [], asked=frozenset({"i-g"}), rechecked=frozenset(), **more)
        assert [w.evidence.id for w in found] == ["g"]
        found = recheck(suspects, [], asked=frozenset({"i-g"}), rechecked=frozenset({"i-g"}), **more)
        assert [w.evidence.id for w in found] == ["s"]

    def test_where_nobody_comes_the_queue_does_not_grow(self):
        many, suspects = (
            [row(f"a{n}") for n in range(30)],
            [(0.9, row(f"s{n}", ("correction", "x"))) for n in range(30)],
        )
        policy = Policy(review_budget=20, auto_audit=4)
        for waiting, expected in (
            ({}, (5, 4)),
            ({"suspect": 3, "audit": 1}, (2, 3)),
            ({"suspect": 9, "audit": 4}, (0, 0)),
        ):
            found = recheck(suspects, many, asked=frozenset(), rechecked=frozenset(), policy=policy,
                            rng=np.random.default_rng(0), waiting=waiting)  # fmt: skip
            assert tuple(sum(w.why == why for w in found) for why in ("suspect", "audit")) == expected

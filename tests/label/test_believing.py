"""Whom to believe: people are weighed by what can be known of them, and where nothing can, nothing changes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.label import Belief, Heard, assemble, believe, people, target_of
from everloop.types import Evidence, Policy, Statement

CLASSES = "abcde"


def row(id, *said, split="train"):
    """`said`: (who, value) for an annotation, (who, value, kind) for anything else."""
    return Evidence(
        id=id, loop="l", input=id, interaction=f"i-{id}", group=id, split=split,
        statements=tuple(Statement(id=f"{id}.{n}", kind=kind[0] if kind else "annotation", value=value,
                                   interaction=f"i-{id}", by=who) for n, (who, value, *kind) in enumerate(said)),
    )  # fmt: skip


def heard(rows):
    return [Heard(r.id, r.split == "golden", r.statements) for r in rows]


def crew(rng, n, quality, each=None, split="train"):
    """n rows, each labelled by all (or `each` of them); who is wrong names another class at random."""
    names, rows, truth = list(quality), [], {}
    for i in range(n):
        right = CLASSES[rng.integers(5)]
        truth[f"r{i}"] = right
        chosen = rng.permutation(names)[: each or len(names)]
        said = [(who, right if rng.random() < quality[who] else CLASSES[rng.integers(5)]) for who in chosen]
        rows.append(row(f"r{i}", *said, split=split))
    return rows, truth


def accuracy(rows, truth, beliefs):
    return np.mean([target_of(r, beliefs)[0] == truth[r.id] for r in rows])


def test_a_careless_annotator_is_seen_and_loses_weight():
    rows, truth = crew(np.random.default_rng(0), 150, {"ann": 0.95, "ben": 0.9, "cleo": 0.9, "dud": 0.3}, each=2)
    found = people(heard(rows))
    dud = found.annotators["dud"]
    assert dud.careless
    assert not any(found.annotators[who].careless for who in ("ann", "ben", "cleo"))
    assert dud.weight < 0.5 < found.weights()["ann"]
    beliefs = believe(rows, found).beliefs
    assert accuracy(rows, truth, beliefs) > accuracy(rows, truth, None) + 0.05
    fought = [
        r for r in rows if {s.by for s in r.statements} == {"ann", "dud"} and len({s.value for s in r.statements}) > 1
    ]
    assert np.mean([target_of(r, beliefs)[0] == r.statements[[s.by for s in r.statements].index("ann")].value
                    for r in fought]) == 1  # fmt: skip


def test_of_two_who_disagree_nobody_knows_who_is_careless():
    rows, _ = crew(np.random.default_rng(1), 100, {"ann": 0.95, "dud": 0.3})
    found = people(heard(rows))
    assert not any(one.careless for one in found.annotators.values())
    assert found.annotators["ann"].weight == found.annotators["dud"].weight
    fought = [r for r in rows if len({s.value for s in r.statements}) > 1]
    beliefs = believe(rows, found).beliefs
    assert set(beliefs) == {r.id for r in fought}
    # A draw: the last word, but not settled, and half as sure.
    assert all(beliefs[r.id] == Belief(r.statements[-1].value, False, pytest.approx(0.5)) for r in fought)


def test_brought_labels_tell_which_of_two_it_is():
    rng = np.random.default_rng(2)
    rows, truth = crew(rng, 120, {"ann": 0.95, "dud": 0.3}, split="golden")
    rows = [row(r.id, *((s.by, s.value) for s in r.statements), *([("boss", truth[r.id], "label")] if i < 60 else []),
                split="golden") for i, r in enumerate(rows)]  # fmt: skip
    found = people(heard(rows))
    assert (found.annotators["dud"].careless, found.annotators["ann"].careless) == (True, False)
    assert found.annotators["ann"].gold.n == 60
    chosen = believe(rows, found)
    assert chosen.gold == 60
    assert accuracy(rows, truth, chosen.beliefs) > 0.9


def test_who_shares_rows_with_a_careless_one_alone_is_not_careless_too():
    rng = np.random.default_rng(3)
    rows, _ = crew(rng, 60, {"ann": 0.95, "ben": 0.95, "cleo": 0.95})
    more = []
    for i in range(80):
        right = CLASSES[rng.integers(5)]
        dud = right if rng.random() < 0.3 else CLASSES[rng.integers(5)]
        more.append(row(f"m{i}", ("ann" if i < 40 else "newcomer", right), ("dud", dud)))
    found = people(heard(rows + more))
    assert [one.name for one in found.annotators.values() if one.careless] == ["dud"]
    assert found.annotators["newcomer"].weight == pytest.approx(1, abs=0.3)


def test_a_ring_of_three_is_one_voice():
    rng = np.random.default_rng(4)
    rows, truth = [], {}
    for i in range(200):
        right = CLASSES[rng.integers(5)]
        script = right if rng.random() < 0.4 else CLASSES[rng.integers(5)]
        said = [(who, right if rng.random() < 0.95 else CLASSES[rng.integers(5)]) for who in ("ann", "ben")]
        said += [(who, script) for who in ("r1", "r2", "r3")] if i % 2 else [("cleo", right)]
        if i < 60:
            said.append(("boss", right, "label"))
        truth[f"r{i}"] = right
        rows.append(row(f"r{i}", *said, split="golden"))
    found = people(heard(rows))
    assert found.annotators["r1"].ring == ("r2", "r3")
    assert not found.annotators["ann"].ring
    assert found.weights()["r1"] < 0.3
    beliefs = believe(rows, found).beliefs
    assert accuracy(rows, truth, None) < 0.75
    assert accuracy(rows, truth, beliefs) > 0.95


def test_doubted_rows_tell_nothing_of_people():
    rows, _ = crew(np.random.default_rng(5), 100, {"ann": 0.9, "ben": 0.9, "cleo": 0.4})
    found = people(heard(rows), picked=frozenset(s.id for r in rows for s in r.statements[1:]))
    assert {one.compared for one in found.annotators.values()} == {0}
    assert found.weights() == {}
    assert found.alpha is None
    assert believe(rows, found).beliefs == {}


def test_fewer_than_twenty_are_too_few():
    rows, _ = crew(np.random.default_rng(6), 19, {"ann": 1.0, "ben": 1.0, "dud": 0.0})
    found = people(heard(rows))
    assert found.weights() == {}
    assert all(one.agreed is None and not one.careless for one in found.annotators.values())
    assert found.alpha.n == 19
    assert believe(rows, found).beliefs == {}


def test_users_are_weighed_by_what_annotators_say_of_the_same_rows():
    rng = np.random.default_rng(7)
    rows = []
    for i in range(60):
        right, other = rng.permutation(list(CLASSES))[:2]
        rows.append(row(f"r{i}", ("good", right, "correction"), ("liar", other, "correction"),
                        ("fan", right, "confirmed"), ("foe", right, "refuted"), ("ann", right)))  # fmt: skip
    found = people(heard(rows))
    assert found.users["liar"].weight == found.users["foe"].weight == 0
    assert found.users["good"].weight == found.users["fan"].weight > 1
    contested = row("c", ("liar", "a", "correction"), ("foe", "a", "confirmed"), ("good", "b", "correction"))
    assert target_of(contested)[0] == "a"
    assert believe([contested], found).beliefs["c"] == Belief("b", False, 1.0)
    doubted = people(heard(rows), contested=frozenset(s.id for r in rows for s in r.statements[-1:]))
    assert doubted.users == {}


def test_users_outweigh_an_annotator_only_when_several_reliable_ones_do():
    rng = np.random.default_rng(8)
    users = ("u1", "u2", "u3")
    rows = []
    for i in range(60):
        right = CLASSES[rng.integers(5)]
        rows.append(row(f"r{i}", *((u, right, "correction") for u in users), ("new", right, "correction"),
                        ("ann", right), ("ben", right if rng.random() < 0.9 else "z")))  # fmt: skip
    found = people(heard(rows))

    def told(*said):
        return believe([row("x", *said)], found).beliefs.get("x")

    assert told(("u1", "b", "correction"), ("ann", "a")) is None
    assert told(*[("stranger", "b", "correction")] * 5, ("ann", "a")) is None
    assert told(("u1", "b", "correction"), ("u2", "b", "correction"), ("ben", "a")) == Belief(
        "b", False, pytest.approx(1, abs=0.01)
    )
    weak = told(("u1", "a", "refuted"), ("u2", "a", "refuted"), ("ann", "a"))
    assert (weak.target, weak.settled) == ("a", False)
    assert weak.sure < 0.5
    assert told(("u1", "a", "confirmed"), ("u2", "a", "confirmed"), ("ann", "a")) is None


def test_what_was_refuted_is_taken_off_a_label_s_votes():
    rows = [row("r", ("a", "x", "correction"), ("b", "x", "confirmed"), ("c", "x", "refuted"), ("d", "x", "refuted"),
                ("e", "y", "correction"))]  # fmt: skip
    assert target_of(rows[0]) == ("x", False)
    assert believe(rows, people(heard(rows))).beliefs == {"r": Belief("y", False, 1.0)}


def test_a_row_weighs_as_much_as_it_is_sure_and_an_unsettled_golden_one_stays_out():
    rows = [row("t", ("a", "x"), ("b", "y")), row("g", ("a", "x"), ("b", "y"), split="golden")]
    beliefs = {"t": Belief("x", False, 0.62), "g": Belief("x", False, 0.62)}
    made = assemble("l", 1, rows, [], {}, Policy(), beliefs=beliefs)
    assert [(e.id, e.target, e.weight, e.origin) for e in made.examples] == [("t", "x", 0.6, "human")]
    assert [d.reason for d in made.drops] == ["golden_unverified"]


kinds = st.sampled_from(["annotation", "correction", "confirmed", "refuted", "label"])
statements = st.lists(st.tuples(st.sampled_from("pqrs"), st.sampled_from("abc"), kinds), min_size=1, max_size=5)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(statements, st.sampled_from(["train", "golden"])), max_size=60))
def test_whatever_was_said_beliefs_are_among_what_was_argued(raw):
    rows = [row(f"r{i}", *said, split=split) for i, (said, split) in enumerate(raw)]
    rows = [r for r in rows if any(s.kind != "refuted" for s in r.statements)]
    found = people(heard(rows), pairs=5)
    assert all(0 <= weight <= 2 for weight in found.weights().values())
    by_id = {r.id: r for r in rows}
    for id, belief in believe(rows, found).beliefs.items():
        assert belief.target in {s.value for s in by_id[id].statements if s.kind != "refuted"}
        assert 0 <= belief.sure <= 1


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("pqrs"), st.sampled_from("abc")), max_size=80))
def test_where_each_row_has_one_word_nothing_is_believed_and_nothing_said(raw):
    rows = [row(f"r{i}", said) for i, said in enumerate(raw)]
    found = people(heard(rows))
    assert (found.weights(), found.alpha, believe(rows, found).beliefs) == ({}, None, {})

"""Who gets which variant: as often as its weight says, the same one each time, and few move when weights change."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.collect.pseudonyms import Pseudonyms
from everloop.collect.variants import assign, fallbacks
from everloop.errors import InvalidInput
from everloop.types import LoopSpec, Variant

DOOR = Pseudonyms(b"k" * 32)
PEOPLE = [f"person {n}" for n in range(2_000)]
WEIGHTS = st.lists(st.floats(0, 100, allow_subnormal=False), min_size=1, max_size=6).filter(lambda ws: max(ws) > 0.01)


def loop(weights, **more) -> LoopSpec:
    variants = tuple(Variant(name=f"v{n}", url="http://x/v1", model="m", weight=w) for n, w in enumerate(weights))
    return LoopSpec(name=more.pop("name", "desk"), variants=variants, **more)


def of_all(spec, people=PEOPLE):
    return {person: assign(spec, DOOR, person).variant.name for person in people}


@given(WEIGHTS, st.integers(0, 10**6))
@settings(max_examples=15, deadline=None)
def test_as_often_as_the_weights_say(weights, seed):
    spec = loop(weights)
    people = [f"{seed}/{n}" for n in range(800)]
    counts = Counter(of_all(spec, people).values())
    for variant in spec.variants:
        share = variant.weight / sum(weights)
        sd = (share * (1 - share) / len(people)) ** 0.5
        assert abs(counts[variant.name] / len(people) - share) <= 5 * sd + 1e-9


@given(WEIGHTS, st.text(max_size=20))
@settings(deadline=None)
def test_the_propensity_is_the_weights_share_and_the_choice_stays(weights, person):
    spec = loop(weights)
    found = assign(spec, DOOR, person)
    assert found.propensity == pytest.approx(found.variant.weight / sum(weights))
    assert 0 < found.propensity <= 1
    assert assign(spec, DOOR, person) == found


@given(st.lists(st.floats(0.1, 10), min_size=2, max_size=5), st.data())
@settings(max_examples=25, deadline=None)
def test_only_those_move_whom_a_change_concerns(weights, data):
    at = data.draw(st.integers(0, len(weights) - 1))
    more = [w * (3 if n == at else 1) for n, w in enumerate(weights)]
    before, after = of_all(loop(weights), PEOPLE[:300]), of_all(loop(more), PEOPLE[:300])
    moved = [(before[p], after[p]) for p in before if before[p] != after[p]]
    assert all(to == f"v{at}" for _, to in moved)  # to the one that gained, and never between two others


def test_as_few_as_can_be_move():
    before, after = of_all(loop([1, 1])), of_all(loop([1, 3]))
    moved = sum(before[p] != after[p] for p in PEOPLE) / len(PEOPLE)
    assert moved == pytest.approx(0.25, abs=0.04)


def test_a_new_or_a_gone_variant_moves_nobody_else():
    two, three = of_all(loop([1, 1])), of_all(loop([1, 1, 1]))
    assert all(three[p] in {two[p], "v2"} for p in PEOPLE)


def test_weight_0_gets_nobody():
    assert set(of_all(loop([0, 1, 0])).values()) == {"v1"}


def test_scales_do_not_matter_however_large():
    assert of_all(loop([1, 3])) == of_all(loop([1e307, 3e307]))
    assert assign(loop([1e308, 1e308]), DOOR, "x").propensity == 0.5


def test_loops_do_not_move_as_one():
    spec, other = loop([1, 1]), loop([1, 1], name="other")
    same = sum(assign(spec, DOOR, p).variant.name == assign(other, DOOR, p).variant.name for p in PEOPLE)
    assert same / len(PEOPLE) == pytest.approx(0.5, abs=0.06)


def test_another_installation_shares_out_anew():
    spec, other = loop([1, 1]), Pseudonyms(b"o" * 32)
    same = sum(assign(spec, DOOR, p).variant == assign(spec, other, p).variant for p in PEOPLE)
    assert same / len(PEOPLE) == pytest.approx(0.5, abs=0.06)


def test_a_pseudonym_is_the_person():
    spec = loop([1, 1])
    assert all(assign(spec, DOOR, p) == assign(spec, DOOR, DOOR.of(p)) for p in PEOPLE[:50])


def test_who_keeps_theirs():
    draws = [f"s{n}" for n in range(60)]
    by_subject = loop([1, 1])
    assert len({assign(by_subject, DOOR, "anna", s).variant.name for s in draws}) == 1
    assert len({assign(by_subject, DOOR, None, "s1").variant.name for _ in draws}) == 1
    assert len({assign(by_subject, DOOR).variant.name for _ in draws}) == 2
    by_session = loop([1, 1], sticky="session")
    assert len({assign(by_session, DOOR, "anna", s).variant.name for s in draws}) == 2
    assert len({assign(by_session, DOOR, p, "s1").variant.name for p in draws}) == 1
    by_request = loop([1, 1], sticky="request")
    assert len({assign(by_request, DOOR, "anna", "s1").variant.name for _ in draws}) == 2


def test_nobody_to_choose():
    for weights in ([], [0, 0]):
        with pytest.raises(InvalidInput, match="no variant with a weight"):
            assign(loop(weights), DOOR)


def test_fallbacks_are_the_others_as_declared():
    spec = loop([1, 0, 1])
    assert [v.name for v in fallbacks(spec, spec.variants[2])] == ["v2", "v0", "v1"]

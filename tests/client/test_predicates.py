"""Predicates: what they mean, against a second interpreter; what is refused; and that nothing makes them stumble."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.client.predicates import DEEPEST, MOST_TESTS, parse
from everloop.errors import InvalidInput

SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.floats(-2, 2) | st.sampled_from(["", "a", "ab", "yes"])
PATHS = st.sampled_from(["confidence", "output", "input.text", "input.list.-1", "context.a", "context.missing.b"])
MOMENTS = st.fixed_dictionaries(
    {"id": st.sampled_from([f"i{n}" for n in range(50)])},
    optional={
        "confidence": SCALARS,
        "output": SCALARS,
        "input": st.fixed_dictionaries({"text": SCALARS, "list": st.lists(SCALARS, max_size=3)}) | st.text(max_size=3),
        "context": st.dictionaries(st.sampled_from(["a", "second"]), SCALARS),
    },
)
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner))
COMPARISONS = (
    st.fixed_dictionaries({}, optional={"below": st.integers(-2, 2), "above": st.floats(-2, 2), "equals": SCALARS})
    | st.fixed_dictionaries({"in": st.lists(SCALARS, max_size=3)})
    | st.fixed_dictionaries({"contains": SCALARS})
    | st.fixed_dictionaries({"missing": st.booleans()})
    | st.fixed_dictionaries({"length": st.fixed_dictionaries({"above": st.integers(0, 2)})})
).filter(bool)
PREDICATES = st.recursive(
    st.dictionaries(PATHS, COMPARISONS, min_size=1, max_size=2),
    lambda inner: (
        st.fixed_dictionaries({"all": st.lists(inner, min_size=1, max_size=3)})
        | st.fixed_dictionaries({"any": st.lists(inner, min_size=1, max_size=3)})
        | st.fixed_dictionaries({"not": inner})
    ),
    max_leaves=6,
)
NOTHING = object()


def at(moment: Any, path: str) -> Any:
    for name in path.split("."):
        if isinstance(moment, dict) and name in moment:
            moment = moment[name]
        elif isinstance(moment, list) and name == "-1" and moment:
            moment = moment[-1]
        else:
            return NOTHING
    return moment


def number(value: Any) -> bool:
    return type(value) in (int, float)


def same(a: Any, b: Any) -> bool:
    return (isinstance(a, bool) == isinstance(b, bool)) and a == b


def holds(when: Any, moment: Any) -> bool:
    """The same language, said again the slow way."""
    for name, what in when.items():
        match name:
            case "all":
                found = all(holds(one, moment) for one in what)
            case "any":
                found = any(holds(one, moment) for one in what)
            case "not":
                found = not holds(what, moment)
            case _:
                value = at(moment, name)
                scalar = value is None or isinstance(value, str | int | float)
                found = True
                for operator, bound in what.items():
                    match operator:
                        case "below":
                            found &= number(value) and value < bound
                        case "above":
                            found &= number(value) and value > bound
                        case "equals":
                            found &= scalar and same(value, bound)
                        case "in":
                            found &= scalar and any(same(value, one) for one in bound)
                        case "contains":
                            if isinstance(value, str):
                                found &= isinstance(bound, str) and bound in value
                            else:
                                found &= isinstance(value, list) and any(same(one, bound) for one in value)
                        case "missing":
                            found &= (value is NOTHING or value is None) is bound
                        case "length":
                            found &= isinstance(value, str | list | dict) and len(value) > bound["above"]
        if not found:
            return False
    return True


@given(PREDICATES, MOMENTS)
def test_a_predicate_means_what_it_says(when: Any, moment: Any) -> None:
    try:
        predicate = parse(when)
    except InvalidInput as error:
        assert "deeper" in str(error)
        return
    assert predicate.test(moment) is holds(when, moment)


@given(JSON, MOMENTS)
def test_anything_is_a_predicate_or_refused_in_one_line(when: Any, moment: Any) -> None:
    try:
        predicate = parse(when)
    except InvalidInput as error:
        assert "\n" not in str(error)
    else:
        assert predicate.test(moment) in (True, False)


@pytest.mark.parametrize(
    ("when", "says"),
    [
        ({"confidence": {"bellow": 1}}, "did you mean below?"),
        ({"confidense": {"below": 1}}, "did you mean confidence?"),
        ({"al": [{}]}, "did you mean all?"),
        ({"feedback": "intervantion"}, "did you mean intervention?"),
        ({"feedback": [["thumb"]]}, "no kind of feedback"),
        ({"confidence": 0.6}, "say how"),
        ({"confidence": {"below": "0.6"}}, "takes a number"),
        ({"confidence": {"below": True}}, "takes a number"),
        ({"input.text": {"matches": "(a+)+$"}}, "no comparison 'matches'"),
        ({"output": {"in": list(range(1000))}}, "at most 256"),
        ({"share": 2}, "between 0 and 1"),
        ({"all": []}, "list of predicates"),
        ({"disagrees": {"width": "x"}}, "disagrees"),
        ([], "a predicate is an object, not a list"),
        ({"output": {"equals": "x" * 9000}}, "at most 8,192"),
        ({"any": [{"confidence": {"below": n}} for n in range(MOST_TESTS + 1)]}, "more than 64"),
        ({"input..text": {"missing": True}}, "no path"),
    ],
)
def test_what_is_refused_says_what_is_there(when: Any, says: str) -> None:
    with pytest.raises(InvalidInput, match=says.replace("(", r"\(").replace("?", r"\?")):
        parse(when)


def test_depth_has_an_end() -> None:
    when: Any = {"confidence": {"below": 1}}
    for _ in range(DEEPEST):
        when = {"not": when}
    with pytest.raises(InvalidInput, match="deeper"):
        parse(when)
    for _ in range(10_000):
        when = {"not": when}
    with pytest.raises(InvalidInput):
        parse(when)


def test_a_share_is_that_share_and_the_same_every_time() -> None:
    ids = [f"interaction-{n}" for n in range(20_000)]
    one, again, other = (parse({"share": 0.1}, key).test for key in ("desk/a", "desk/a", "desk/b"))
    chosen = [id for id in ids if one({"id": id})]
    assert abs(len(chosen) - 2000) < 6 * math.sqrt(20_000 * 0.1 * 0.9)
    assert chosen == [id for id in ids if again({"id": id})]
    both = sum(other({"id": id}) for id in chosen)
    assert abs(both - 200) < 100  # another campaign draws by itself
    smaller = parse({"share": 0.05}, "desk/a").test
    assert {id for id in ids if smaller({"id": id})} < set(chosen)
    assert all(parse({"share": 1}, "x").test({"id": id}) for id in ids[:100])
    assert not any(parse({"share": 0}, "x").test({"id": id}) for id in ids[:100])


def test_disagreement_and_margin() -> None:
    def says(when: Any, **moment: Any) -> bool:
        return parse(when).test({"output": "left", "confidence": 0.9, **moment})

    shadow = {"disagrees": {"with": "shadow"}}
    assert says(shadow, context={"second": {"shadow": "right"}})
    assert not says(shadow, context={"second": {"shadow": "left", "old": "right"}})
    assert not says(shadow, context={"second": {"old": "right"}})
    assert not says(shadow)
    assert says({"disagrees": {}}, context={"second": {"old": {"output": "right"}}})
    gap = {"disagrees": {"with": "shadow", "gap": 0.3}}
    assert says(gap, context={"second": {"shadow": {"output": "left", "confidence": 0.5}}})
    assert not says(gap, context={"second": {"shadow": {"output": "left", "confidence": 0.7}}})
    close = {"margin": {"below": 0.1}}
    assert says(close, alternatives=[{"value": "left", "confidence": 0.9}, {"value": "right", "confidence": 0.85}])
    assert not says(close, alternatives=[{"value": "right", "confidence": 0.1}])
    assert not says(close)


def test_feedback_is_a_moment_of_its_own() -> None:
    takeover = parse({"feedback": ["intervention", "correction"], "feedback.reason": {"equals": "critical"}})
    assert takeover.on_feedback
    assert takeover.test({"id": "a", "feedback": {"kind": "intervention", "reason": "critical"}})
    assert not takeover.test({"id": "a", "feedback": {"kind": "thumb", "reason": "critical"}})
    assert not takeover.test({"id": "a"})
    assert not parse({"confidence": {"below": 1}}).on_feedback

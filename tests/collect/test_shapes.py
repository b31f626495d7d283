"""Each kind of feedback has its own shape, and what can't be meant is refused in one line."""

import math

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.collect import Door, Pseudonyms, build_feedback, hear
from everloop.collect.signals import check_signals
from everloop.declaring import declared
from everloop.errors import EverloopError, InvalidInput
from everloop.store import open_store
from everloop.types import Interaction, LoopSpec, SignalSpec

DOOR = Door(Pseudonyms(b"k" * 32))


def build(**said):
    return build_feedback({"interaction": "i1", **said}, DOOR)


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ({"kind": "thumb", "value": 1}, "value"),
        ({"kind": "thumb", "value": "up", "at": -(10**14)}, "must be milliseconds since 1970"),
        ({"kind": "thumb", "value": "up", "at": 10**17}, "years 1 to 9999"),
        ({"kind": "thumb", "value": "up", "at": "2026-01-01"}, "at"),
        ({"kind": "rating", "value": math.nan}, "between 0 and its scale"),
        ({"kind": "rating", "value": 1, "scale": math.inf}, "scale"),
        ({"kind": "rating", "value": 1, "scale": -5}, "scale, -5"),
        ({"kind": "vote", "value": "this"}, 'needs the "other"'),
        ({"kind": "vote", "value": "this", "other": "i1"}, "compared with itself"),
        ({"kind": "vote", "value": "this", "others": ["a", "i1"]}, "compared with itself"),
        ({"kind": "vote", "value": "this", "others": ["a", "a"]}, "there twice"),
        ({"kind": "vote", "value": "this", "others": ["a", ""]}, "can't be empty"),
        ({"kind": "vote", "value": "other", "others": ["a", "b"]}, 'which of the "others" is better'),
        ({"kind": "vote", "value": "other", "other": "c", "others": ["a", "b"]}, 'must be among the "others"'),
        ({"kind": "vote", "value": 0, "others": ["a", "b"]}, "between 1, the best, and 3"),
        ({"kind": "vote", "value": 4, "others": ["a", "b"]}, "rank 4"),
        ({"kind": "vote", "value": 3, "other": "a"}, "and 2, the answers"),
        ({"kind": "vote", "value": "best", "other": "a"}, "value"),
        ({"kind": "vote", "value": True, "other": "a"}, "value"),
        ({"kind": "vote", "value": 1, "others": [str(n) for n in range(101)]}, "at most 100"),
        ({"kind": "vote", "value": "this", "other": "a\nb"}, "printable"),
        ({"kind": "correction", "value": "x", "seconds": -1}, "seconds -1: must be 0 or more"),
        ({"kind": "correction", "value": "x", "seconds": math.inf}, "seconds inf"),
        ({"kind": "correction", "value": "x", "seconds": math.nan}, "seconds nan"),
        ({"kind": "correction", "value": 5}, "value"),
        ({"kind": "intervention", "value": "x", "severity": 1.5}, "severity 1.5: must be between 0 and 1"),
        ({"kind": "intervention", "value": "x", "before_s": -2}, "before_s"),
        ({"kind": "intervention", "value": "x", "after_s": math.nan}, "after_s"),
        ({"kind": "intervention", "value": " "}, "blank"),
        ({"kind": "intervention", "value": "x", "hindsight_label": " "}, "hindsight_label"),
        ({"kind": "intervention", "value": "x", "reason": "bored"}, "bored"),
        ({"kind": "implicit", "value": ""}, "1 to 200 printable"),
        ({"kind": "implicit", "value": "a\nb"}, "printable"),
        ({"kind": "implicit", "value": "skip", "position": -1}, "position"),
        ({"kind": "implicit", "value": "skip", "hour": 24}, "between 0 and 23"),
        ({"kind": "implicit", "value": "skip", "dwell_ms": -5}, "dwell_ms"),
        ({"kind": "implicit", "value": "skip", "skipped": "often"}, "often"),
        ({"kind": "implicit", "value": "skip", "fields": {"a": math.nan}}, "not finite"),
        ({"kind": "implicit", "value": "skip", "fields": dict.fromkeys(map(str, range(65)), 1)}, "at most 64"),
        ({"kind": "implicit", "value": "skip", "fields": {"a": "x" * 20_000}}, "16,384 bytes"),
        ({"kind": "implicit", "value": "skip", "fields": {"\n": 1}}, "printable"),
        ({"kind": "outcome", "value": math.nan}, "finite"),
        ({"kind": "outcome", "value": math.inf}, "finite"),
        ({"kind": "outcome", "value": "much"}, "value"),
        ({"kind": "outcome", "value": 1, "window_s": -1}, "window_s"),
        ({"kind": "outcome", "value": 1, "name": "\x07"}, "an outcome's name"),
        ({"kind": "outcome", "value": 1, "silent": True}, "only Everloop itself"),
        ({"kind": "comment", "value": " \n"}, "blank"),
        ({"kind": "label", "value": "x", "split": "dev"}, "dev"),
        ({"kind": "demonstration", "value": "x", "steps": [{}]}, "step 1 is empty"),
        ({"kind": "demonstration", "value": "x", "steps": ["click"]}, "steps"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(said, says):
    with pytest.raises(InvalidInput, match=says) as caught:
        build(**said)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "said",
    [
        {"kind": "vote", "value": "this", "other": "i2"},
        {"kind": "vote", "value": "both_bad", "others": ["i2", "i3"]},
        {"kind": "vote", "value": "other", "other": "i3", "others": ["i2", "i3"]},
        {"kind": "vote", "value": 2, "others": ["i2", "i3"]},
        {"kind": "rating", "value": 0, "at": 0},
        {"kind": "intervention", "value": "brake", "severity": 0, "before_s": 0},
        {"kind": "implicit", "value": "skip", "position": 0, "hour": 0, "fields": {"anything": [1, {"a": None}]}},
        {"kind": "outcome", "value": -3, "window_s": 0, "fields": {"x": 1}},
    ],
)
def test_what_can_be_meant_is_taken(said):
    made = build(**said)
    assert msgspec.json.decode(msgspec.json.encode(made), type=type(made)) == made


def test_what_is_worked_out_is_never_taken_from_outside():
    made = build(kind="correction", value="x", diff=[["=", "lies"]], distance=0.5)
    assert (made.diff, made.distance) == (None, None)


def test_private_data_goes_out_of_declared_fields_too():
    made = build(kind="implicit", value="search", fields={"query": "mail ada@example.org", "n": 3})
    assert made.fields == {"query": "mail [email]", "n": 3}
    assert made.redacted == {"email": 1}


# --- declared signals -----------------------------------------------------------------------------------------------

SPEC = LoopSpec(
    name="shop", outcome="sold", signals=(
        SignalSpec(name="click", fields={"page": "str", "depth": "int", "share": "float", "dwell_ms": "int"},
                   required=("page", "dwell_ms")),
        SignalSpec(name="sold", kind="outcome", fields={"gift": "bool"}, required=("gift",)),
    )
)  # fmt: skip


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    with open_store(tmp_path_factory.mktemp("signals")) as store:
        store.records.put(Interaction(id="i1", loop="shop", at=1, input="x", output="an answer", trace="t1"))
        store.records.put(Interaction(id="c1", loop="chat", at=1, input="x", output="y" * 300))
        yield store.records


def take(records, **said):
    specs = {"shop": SPEC, "chat": LoopSpec(name="chat", task="chat")}
    return hear({"interaction": "i1", **said}, DOOR, records, specs)


GOOD = {"kind": "implicit", "value": "click", "dwell_ms": 5, "fields": {"page": "a", "depth": 3, "share": 1}}


def with_fields(**fields):
    return {**GOOD, "fields": {**GOOD["fields"], **fields}}


@pytest.mark.parametrize(
    ("said", "says"),
    [
        (with_fields(dept=1), "click: unknown field 'dept'; did you mean depth"),
        (with_fields(colour=1), "unknown field 'colour'; it has page, depth"),
        (with_fields(depth="3"), "depth: expected a whole number, got a text"),
        (with_fields(depth=3.5), "depth: expected a whole number, got a number"),
        (with_fields(depth=True), "got true or false"),
        (with_fields(depth=2**64), "a number that does not fit"),
        (with_fields(share="x"), "share: expected a number"),
        (with_fields(page=5), "page: expected a text"),
        (with_fields(page=None), "'page' is required"),
        (with_fields(dwell_ms=7), "'dwell_ms' is there twice"),
        ({**GOOD, "dwell_ms": None}, "'dwell_ms' is required"),
        ({**GOOD, "fields": {}}, "'page' is required"),
        ({"kind": "outcome", "value": 1}, "sold: 'gift' is required"),  # the outcome the loop declares
        ({"kind": "outcome", "value": 1, "name": "sold", "fields": {"gift": 1}}, "gift: expected true or false"),
        ({**with_fields(dept=1), "interaction": "t1"}, "did you mean depth"),  # by its trace
    ],
)
def test_what_is_not_as_it_was_declared_is_refused(records, said, says):
    with pytest.raises(InvalidInput, match=says):
        take(records, **said)


@pytest.mark.parametrize(
    "said",
    [
        GOOD,
        {**with_fields(depth=None), "interaction": "t1"},
        {**GOOD, "dwell_ms": None, "fields": {"page": "a", "dwell_ms": 5}},
        {**GOOD, "value": "clack", "fields": {"nobody": "declared"}},  # not declared: taken as it is
        {"kind": "outcome", "value": 1, "fields": {"gift": False}},
        {"kind": "outcome", "value": 1, "name": "returned"},
        {**with_fields(dept=1), "interaction": "not there yet"},  # checked by nobody, and kept
    ],
)
def test_what_is_as_declared_or_not_declared_is_taken(records, said):
    assert take(records, **said).value == said["value"]


def test_a_correction_gets_its_diff_at_the_door_where_that_costs_nothing(records):
    made = take(records, kind="correction", value="an apple")
    assert made.diff == (("=", "an "), ("-", "answer"), ("+", "apple"))
    assert made.distance == 4 / 9
    assert take(records, kind="correction", value="an apple", interaction="t1").diff is None  # the store chooses of it
    assert take(records, kind="correction", value="z" * 3000, interaction="c1").diff is None  # the worker does it


def test_corrections_of_texts_are_as_long_as_answers_and_labels_are_not(records):
    assert len(take(records, kind="correction", value="z" * 3000, interaction="c1").value) == 3000
    assert len(take(records, kind="correction", value="z" * 3000, interaction="not there yet").value) == 3000
    with pytest.raises(InvalidInput, match="at most 500"):
        take(records, kind="correction", value="z" * 3000)


@pytest.mark.parametrize(
    ("signal", "says"),
    [
        ({"name": ""}, "1 to 100"),
        ({"name": "a\nb"}, "printable"),
        ({"name": "a", "fields": {"B": "int"}}, "lower-case"),
        ({"name": "a", "fields": {"x y": "int"}}, "lower-case"),
        ({"name": "a", "fields": {'x"; DROP TABLE loops; --': "int"}}, "lower-case"),
        ({"name": "a", "fields": {"at": "int"}}, "every signal has 'at' already"),
        ({"name": "a", "fields": {"dwell_ms": "str"}}, "'dwell_ms' is int in every implicit signal, not str"),
        ({"name": "a", "fields": {"x": "date"}}, "date"),
        ({"name": "a", "fields": {"page": "str"}, "required": ("pag",)}, "did you mean page"),
        ({"name": "a", "silence": 1.0}, "for outcomes"),
        ({"name": "a", "kind": "outcome", "silence": 1.0}, "needs a window_s"),
        ({"name": "a", "kind": "outcome", "window_s": 0.0}, "above 0"),
        ({"name": "a", "kind": "outcome", "window_s": 1.0, "silence": math.nan}, "finite|null"),
        ({"name": "a", "late_s": -1.0}, "late_s"),
        ({"name": "a", "expected": 1.5}, "a share"),
        ({"name": "a", "widow_s": 5.0}, "widow_s"),
    ],
)
def test_declarations_that_cannot_be(signal, says):
    with pytest.raises(InvalidInput, match=says) as caught:
        declared(LoopSpec(name="shop"), {"signals": [signal]})
    assert "\n" not in str(caught.value)


def test_declarations_as_a_whole():
    with pytest.raises(InvalidInput, match="declared twice"):
        check_signals([SignalSpec(name="a"), SignalSpec(name="a")])
    with pytest.raises(InvalidInput, match="at most 64"):
        check_signals([SignalSpec(name=f"a{n}") for n in range(65)])
    check_signals([SignalSpec(name="a"), SignalSpec(name="a", kind="outcome", window_s=5, silence=0)])
    with pytest.raises(InvalidInput, match=r"no signal called 'retri\.v1'; there are: "):
        declared(LoopSpec(name="shop"), {"derive": ["retri.v1"]})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@given(st.fixed_dictionaries(
    {"kind": st.sampled_from(["implicit", "outcome", "vote", "intervention"]),
     "value": st.sampled_from(["click", "this", 1, 2.5]) | json_values},
    optional=dict.fromkeys(("fields", "name", "position", "severity", "others", "other", "at"), json_values),
))  # fmt: skip
@settings(max_examples=100, deadline=None)
def test_garbage_is_refused_in_one_line_or_can_be_read_back(records, said):
    try:
        made = take(records, **said)
    except EverloopError as error:
        assert "\n" not in str(error)
    else:
        assert msgspec.json.decode(msgspec.json.encode(made), type=type(made)) == made

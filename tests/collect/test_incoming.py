"""What comes from outside: every kind of feedback, and one clear line for what can't be taken."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.collect import Door, Pseudonyms, answer, build_feedback, build_interaction, parse_lines
from everloop.collect.incoming import imported_label
from everloop.errors import EverloopError, InvalidInput, StoreError, TooLarge
from everloop.types import LoopSpec

DOOR = Door(Pseudonyms(b"k" * 32))
SPEC = LoopSpec(name="support", labels=("card", "refund"))

EVERY_KIND = [
    {"kind": "thumb", "value": "up"},
    {"kind": "thumb", "value": True},
    {"kind": "rating", "value": 4, "scale": 5},
    {"kind": "vote", "value": "this", "other": "i2"},
    {"kind": "correction", "value": "card", "rationale": "asks where it is", "seconds": 3.5},
    {"kind": "intervention", "value": "card", "reason": "no_fault", "before_s": 5, "after_s": 2},
    {"kind": "implicit", "value": "skip", "position": 3, "reason_start": "clickrow", "skipped": "briefly", "hour": 9},
    {"kind": "outcome", "value": 1, "name": "handoff", "window_s": 604800},
    {"kind": "comment", "value": "thanks"},
    {"kind": "label", "value": "card", "split": "golden"},
    {"kind": "demonstration", "value": "card", "case": "c1", "steps": [{"at": 1, "action": {"op": "click"}}]},
]


@pytest.mark.parametrize("given_", EVERY_KIND, ids=lambda g: str(g["kind"]))
def test_every_kind_of_feedback_is_taken_and_comes_back_from_its_bytes(given_):
    made = build_feedback({**given_, "interaction": "i1", "subject": "ann"}, DOOR)
    assert made.subject.startswith("s_")
    assert "ann" not in msgspec.json.encode(made).decode()
    assert msgspec.json.decode(msgspec.json.encode(made), type=type(made)) == made


@pytest.mark.parametrize(
    ("given_", "says"),
    [
        ({}, 'needs a "kind"'),
        ({"kind": "thumbs"}, "one of comment, correction"),
        ({"kind": "thumb", "value": "up"}, 'needs the "interaction"'),
        ({"kind": "thumb", "interaction": "i", "value": "sideways"}, "Invalid enum value 'sideways'"),
        ({"kind": "thumb", "interaction": "i"}, "value"),
        ({"kind": "rating", "interaction": "i", "value": "five"}, "value"),
        ({"kind": "correction", "interaction": "i", "value": " "}, "blank"),
        ({"kind": "comment", "interaction": "i", "value": "x", "colour": "red"}, "unknown field 'colour'"),
        ({"kind": "comment", "interaction": "i\n", "value": "x"}, "printable"),
        ({"kind": "comment", "interaction": "i", "value": "\ud800"}, "can't be stored"),
        ({"kind": "comment", "interaction": "i", "value": "x", "subject": 5}, "subject: expected a text"),
        ({"kind": ["thumb"]}, 'needs a "kind"'),
    ],
)
def test_what_is_wrong_is_said_in_one_line(given_, says):
    with pytest.raises(InvalidInput, match=says) as caught:
        build_feedback(given_, DOOR)
    assert "\n" not in str(caught.value)


def test_a_label_outside_the_closed_set_is_refused_with_the_nearest():
    given_ = {"kind": "correction", "interaction": "i", "value": "crad"}
    with pytest.raises(InvalidInput, match="did you mean card"):
        build_feedback(given_, DOOR, {"support": SPEC.labels}, "support")


@pytest.mark.parametrize(
    ("value", "error", "says"),
    [
        ("x" * 2_000_000, TooLarge, "2,000,002 bytes; the limit is 1,000,000"),
        (5, InvalidInput, "expected a text"),
        (["a"], InvalidInput, "numbers only"),
        ([True], InvalidInput, "numbers only"),
        ("\ud800", InvalidInput, "surrogate"),
        ({"a": object()}, InvalidInput, "JSON"),
        ([np.float64(1.0)], InvalidInput, "JSON"),
        (None, InvalidInput, 'needs an "input"'),
    ],
)
def test_inputs_that_cannot_be(value, error, says):
    with pytest.raises(error, match=says):
        build_interaction(SPEC, {"input": value}, DOOR)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
field_names = st.sampled_from(["kind", "interaction", "value", "id", "at", "subject", "input", "context", "labels"])


@given(st.dictionaries(field_names | st.text(max_size=5), json_values | st.sampled_from(["thumb", "vote"])))
@settings(max_examples=100, deadline=None)
def test_garbage_is_refused_in_one_line_or_taken_whole(given_):
    for build in (lambda: build_feedback(given_, DOOR), lambda: build_interaction(SPEC, given_, DOOR)):
        try:
            made = build()
        except EverloopError as error:
            assert "\n" not in str(error)
        else:
            back = msgspec.json.decode(msgspec.json.encode(made), type=type(made))
            assert back == made or math.nan in msgspec.to_builtins(made).values()


@given(st.binary(max_size=200))
def test_any_bytes_as_lines(body):
    for line in parse_lines(body):
        assert (line.value is None) != (line.error is None)


def test_lines_say_which_one_is_wrong():
    lines = list(parse_lines(b'{"a":1}\n\n{bad\n[1]\n{"b":2}'))
    assert [(x.number, x.error is None) for x in lines] == [(1, True), (3, False), (4, False), (5, True)]
    assert "expected an object" in lines[2].error


def test_subjects_are_pseudonyms_of_this_installation_alone(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    one, again, other = (Pseudonyms.of_folder(tmp_path / name) for name in ("a", "a", "b"))
    assert one.of("ann") == again.of("ann") != other.of("ann")
    assert one.of(one.of("ann")) == one.of("ann")
    assert one.of(None) is None
    assert (tmp_path / "a" / "subjects.key").stat().st_mode & 0o077 == 0
    (tmp_path / "a" / "subjects.key").write_text("short")
    with pytest.raises(StoreError, match="damaged"):
        Pseudonyms.of_folder(tmp_path / "a")


def test_without_a_model_it_abstains():
    made = answer(SPEC, None, {"input": "where is my card", "subject": "ann"}, DOOR)
    assert (made.output, made.model, made.propensity) == (None, None, 1.0)


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ({"kind": "rating", "value": 9}, "between 0 and its scale, 5"),
        ({"kind": "rating", "value": -1}, "between 0"),
        ({"kind": "rating", "value": 1, "scale": 0}, "its scale, 0"),
        ({"kind": "correction", "value": "x" * 501}, "501 characters"),
    ],
)
def test_values_that_cannot_be(said, says):
    with pytest.raises(InvalidInput, match=says):
        build_feedback({"interaction": "i", **said}, DOOR)


def test_private_data_is_gone_before_anything_is_written():
    given_ = {"input": "mail ada@example.org about card 4242 4242 4242 4242", "context": {"ip": "203.0.113.7", "n": 3}}
    made = build_interaction(SPEC, given_, DOOR)
    assert made.input == "mail [email] about card [card]"
    assert made.context == {"ip": "[ip]", "n": 3}
    assert made.redacted == {"email": 1, "card": 1, "ip": 1}
    said = {"kind": "correction", "interaction": "i", "value": "card", "rationale": "ask ada@example.org"}
    made = build_feedback(said, DOOR, {"support": SPEC.labels}, "support")
    assert (made.value, made.rationale, made.redacted) == ("card", "ask [email]", {"email": 1})


CARD = "4111 1111 1111 1111"


@pytest.mark.parametrize("task", ["classify", "chat"])
def test_no_text_of_an_interaction_passes_as_it_is(task):
    spec = LoopSpec(name="s", task=task)
    given = {"input": CARD, "output": CARD, "message": {"content": CARD}, "error": CARD, "context": {"tag": CARD},
             "alternatives": [{"value": CARD, "confidence": 0.1}]}  # fmt: skip
    made = build_interaction(spec, given, DOOR)
    assert "4111" not in msgspec.json.encode(made).decode()
    assert made.redacted == {"card": 6}
    assert made.alternatives[0].value == "[card]"
    label = imported_label(spec, made, CARD, None, DOOR)
    assert (label.value, label.redacted) == ("[card]", {"card": 1})


def test_a_label_of_a_closed_set_stays_what_it_is():
    spec = LoopSpec(name="s", labels=(CARD, "other"))
    made = build_interaction(spec, {"input": "x", "output": CARD}, DOOR)
    assert made.output == CARD == imported_label(spec, made, CARD, None, DOOR).value


def test_no_text_of_feedback_passes_as_it_is():
    for kind, fields in {
        "intervention": ["value", "note", "trigger", "hindsight_label"],
        "implicit": ["reason_start", "reason_end", "context_type"],
        "demonstration": ["value", "case", "goal"],
    }.items():
        made = build_feedback({"interaction": "i", "kind": kind, "value": "x", **dict.fromkeys(fields, CARD)}, DOOR)
        assert "4111" not in msgspec.json.encode(made).decode(), kind
        assert made.redacted == {"card": len(fields)}


def test_redaction_can_be_left_to_somebody_else_and_numbers_are_never_touched():
    kept = build_interaction(SPEC, {"input": "ada@example.org"}, DOOR._replace(recognisers=()))
    assert (kept.input, kept.redacted) == ("ada@example.org", {})
    assert build_interaction(SPEC, {"input": [4242424242424242, 1.5]}, DOOR).input == [4242424242424242, 1.5]

"""What holds for any text and any recognisers: nothing changes twice, nothing outside is touched, nothing runs away."""

import json
import re
import sys
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.errors import InvalidInput
from everloop.redact import BUILT_IN, Recogniser, Redacted, Span, presidio, redact, redact_value

PIECES = st.sampled_from(
    ["ada@example.org", "4111 1111 1111 1111", "4111111111111111", "DE89370400440532013000", "+44 20 7946 0958",
     "212-555-0187", "10.1.2.3", "2001:db8::1", "password=", "hunter2", "token: ", "a1b2c3d4e5f6", "Bearer ", "://",
     "@",
     "call ", "[email]", "[", "]", "[card", "\u200b", "\uff14", " ", "\n", "-", ".", "=", '"', "\\", "0", "1", "é",
     "the",
     "passwort is ", "mot de passe: ", "api-key", "secret", "=>", "GB29", "NWBK", "6016 1331", "9268 19", "bc1q",
     "1:2:", "3:4:5:6:7:8", "sk_live_", "a1b2c3d4e5f6g7h8", "ſ", "ß", "İ", "123456789", "security ",
     "-----BEGIN PRIVATE KEY-----", "MII", "ssn 123-45-6789", "(0", ")", "+", "00", "office"]
)  # fmt: skip
TEXTS = st.lists(PIECES | st.text(max_size=4), max_size=14).map("".join)


def check(text: str, done: Redacted) -> None:
    at, rebuilt = 0, ""
    for start, end, name in done.spans:
        assert at <= start < end <= len(text)
        rebuilt += text[at:start] + f"[{name}]"
        at = end
    assert done.text == rebuilt + text[at:]
    assert done.counts == dict(Counter(span.name for span in done.spans))


@settings(max_examples=100)
@given(TEXTS, st.sampled_from(["", "password", "phone", "note"]))
def test_twice_is_once_and_the_rest_is_untouched(text: str, context: str) -> None:
    done = redact(text, context=context)
    check(text, done)
    assert redact(done.text, context=context) == (done.text, {}, ())
    assert redact(text, context=context) == done


# The same recognisers with every shortcut taken out.
PLAIN = [finder._replace(needs=(), also=(), digits=0, word=0, before=None) for finder in BUILT_IN]  # type: ignore[attr-defined]


@settings(max_examples=100)
@given(TEXTS, st.sampled_from(["", "password", "token", "note"]))
def test_what_saves_time_changes_nothing(text: str, context: str) -> None:
    assert redact(text, context=context) == redact(text, PLAIN, context=context)


@settings(max_examples=100)
@given(
    st.text("ab[]x ", max_size=60),
    st.lists(
        st.sampled_from(["a", "ab", "b+", "(?<!a)b", "x$", "^a", "a.*b", "[^ ]+x", "", "a?", ".", "x|ab"]), min_size=1
    ),
)
def test_twice_is_once_with_any_patterns(text: str, patterns: list[str]) -> None:
    finders = [Recogniser(f"r{i}", re.compile(pattern)) for i, pattern in enumerate(patterns)]
    done = redact(text, finders)
    check(text, done)
    assert redact(done.text, finders) == (done.text, {}, ())


def test_a_passage_that_keeps_changing_is_withheld() -> None:
    first = [Recogniser("first", re.compile(r"^a|^b"))]
    assert redact("ab", first).text == "[first][first]"
    done = redact("c " + "a" * 100, [Recogniser("first", re.compile(r"a$"))])
    assert done.text == "[redacted]" + "[first]" * 6
    assert redact("a" * 100 + "b", [Recogniser("first", re.compile(r"^a"))]).counts == {"first": 6, "redacted": 1}


def test_overlaps_become_one_named_after_the_longest() -> None:
    short, long, tail = (Recogniser(n, re.compile(p)) for n, p in (("short", "bc"), ("long", "abc"), ("tail", "cd")))
    assert redact("xabcdx", [short, long, tail]).text == "x[long]x"
    assert redact("abcd", [short, tail]).text == "a[short]"
    assert redact("abcd", [tail, short]).text == "a[tail]"
    assert redact("abbc", [Recogniser("one", re.compile("ab")), short]).text == "[one][short]"
    assert redact("call 4111 1111 1111 1111 now").counts == {"card": 1}


def test_what_is_left_beside_a_find_is_searched_again() -> None:
    assert redact("ada@example.org\uff0c4111111111111111").text == "[email]\uff0c[card]"
    assert redact("x=AKIAIOSFODNN7EXAMPLE").text == "x=[token]"


def test_names_are_not_found_by_patterns() -> None:
    assert redact("Ada Lovelace met Charles Babbage").counts == {}


def test_ones_own_recogniser() -> None:
    staff = Recogniser("staff", re.compile(r"\bE-\d{5}\b"))
    assert redact("E-12345 is ada@example.org", [*BUILT_IN, staff]).text == "[staff] is [email]"
    with pytest.raises(InvalidInput, match="lower-case"):
        redact("x", [Recogniser("Staff No", re.compile("x"))])


def test_values() -> None:
    value = {
        "messages": [{"role": "user", "content": "I am ada@example.org"}, None, True, 1.5, 12],
        "password": "lovelace", "phone": "9498777106", "order": "9498777106", "card": 4111111111111111,
        "at": 1694012345678, "text": "1234567 units", "reach": 123456789, "tel": 4155550100, "ssn": 123456789,
    }  # fmt: skip
    done = redact_value(value)
    assert done.value == value | {
        "messages": [{"role": "user", "content": "I am [email]"}, None, True, 1.5, 12],
        "password": "[secret]", "phone": "[phone]", "card": "[card]", "tel": "[phone]", "ssn": "[ssn]",
    }  # fmt: skip
    assert done.counts == {"card": 1, "email": 1, "phone": 2, "secret": 1, "ssn": 1}
    assert redact_value(done.value) == (done.value, {})
    assert value["card"] == 4111111111111111


def test_keys_are_texts_too_and_nothing_under_them_is_lost() -> None:
    value = {"ada@example.org": 1, "eve@example.org": {"4111 1111 1111 1111": [2]}, "role": "user", "a b": 3,
             "ghp_" + "x1Y2" * 9: 4}  # fmt: skip
    done = redact_value(value)
    assert done.value == {"[email]": 1, "[email] 2": {"[card]": [2]}, "role": "user", "a b": 3, "[token]": 4}
    assert done.counts == {"card": 1, "email": 2, "token": 1}
    assert redact_value(done.value) == (done.value, {})


JSON = st.recursive(
    TEXTS | st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["password", "a", "phone"]) | TEXTS, inner)
    ),
    max_leaves=6,
)


@given(JSON)
def test_values_twice(value: object) -> None:
    done = redact_value(value)
    json.dumps(done.value)
    assert redact_value(done.value) == (done.value, {})


def test_depth_is_an_error_and_not_a_crash() -> None:
    deep: list[object] = []
    for _ in range(sys.getrecursionlimit() * 2):
        deep = [deep]
    around: list[object] = []
    around.append(around)
    for value in (deep, {"x": deep}, around):
        with pytest.raises(InvalidInput, match="64 levels"):
            redact_value(value)
    fine: object = "ada@example.org"
    for _ in range(64):
        fine = [fine]
    assert redact_value(fine).counts == {"email": 1}


class Engine:
    """Stands where Presidio's analyzer stands: the same call, the same fields of an answer."""

    class Found:
        def __init__(self, entity_type: str, start: int, end: int) -> None:
            self.entity_type, self.start, self.end = entity_type, start, end

    def analyze(self, *, text: str, language: str, entities: list[str], score_threshold: float) -> "list[Engine.Found]":
        assert (language, score_threshold) == ("en", 0.5)
        found = re.finditer("Ada Lovelace", text)
        return [self.Found("PERSON", m.start(), m.end()) for m in found if "PERSON" in entities]


def test_presidio() -> None:
    done = redact("Ada Lovelace, ada@example.org", [*BUILT_IN, presidio(engine=Engine())])
    assert done.text == "[person], [email]"
    assert done.spans[0] == Span(0, 12, "person")


def test_presidio_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "presidio_analyzer", None)
    with pytest.raises(InvalidInput, match=r"pip install 'everloop\[pii\]'"):
        presidio()

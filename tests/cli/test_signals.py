"""``everloop signals`` and ``everloop derive``."""

import json

import pytest

from everloop.types import Derived
from everloop.wheel import open as open_wheel


@pytest.fixture
def declared(run, tmp_path):
    path = tmp_path / "signals.json"
    path.write_text(json.dumps([
        {"name": "copy", "fields": {"chars": "int"}, "expected": 0.9},
        {"name": "contact", "kind": "outcome", "window_s": 60, "silence": 0},
    ]))  # fmt: skip
    assert run("init", "shop").code == 0
    ran = run("signals", "shop", "--declare", str(path))
    assert ran.code == 0, ran
    return run


def test_declaring_and_looking(declared, home):
    with open_wheel(home) as wheel:
        loop = wheel.get("shop")
        long_ago = 1_700_000_000_000
        first = loop.log("x", "y", session="s", at=long_ago)
        loop.log("x", "y", session="s", at=long_ago + 1000)
        loop.feedback(first.id, implicit="copy", fields={"chars": 4})
        loop.tend()
    shown = declared("signals", "shop").out
    assert "copy" in shown
    assert "contact: 2 windows closed without a word" in shown
    document = declared("signals", "shop", "--json").document
    assert [one["name"] for one in document["signals"]] == ["copy", "contact"]
    assert document["derived"] == {"copied.v1": 1}
    derived = declared("derive", "shop", "--json").document
    assert derived == {"abandoned.v1": 1, "copied.v1": 1, "edit_distance.v1": 0, "retry.v1": 1}
    assert "retry.v1" in declared("derive", "shop", "--rule", "retry.v1").out
    with open_wheel(home) as wheel:
        assert wheel.store.records.count(Derived) == 3


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("signals", "nowhere"), "no loop called 'nowhere'"),
        (("signals", "shop", "--days", "0"), "--days 0"),
        (("signals", "shop", "--declare", "absent.json"), "no file absent.json"),
        (("derive", "shop", "--rule", "retri.v1"), "does not derive 'retri.v1'"),
    ],
)
def test_mistakes(declared, words, says):
    ran = declared(*words)
    assert ran.code == 2
    assert says in ran.err


def test_a_file_that_is_no_list_of_signals(declared, tmp_path):
    for text, says in (("{", "not JSON"), ("{}", "expected a list"), ('[{"nme": 1}]', "nme"), ("[3]", "signals")):
        path = tmp_path / "bad.json"
        path.write_text(text)
        ran = declared("signals", "shop", "--declare", str(path))
        assert ran.code == 2
        assert says in ran.err


def test_a_loop_without_signals_says_how_to_declare_them(run):
    run("init", "bare")
    assert "everloop signals bare --declare FILE" in run("signals", "bare").out


def test_declaring_is_in_the_audit_log_and_derive_says_what_it_waits_for(declared, tmp_path):
    (tmp_path / "a.json").write_text('[{"name": "click"}]')
    assert declared("signals", "shop", "--declare", "a.json").code == 0
    assert declared("audit", "--json").document[0]["action"] == "signals"
    assert "abandoned.v1 30, retry.v1 10" in declared("derive", "shop").out
    assert "retry.v1" not in declared("derive", "shop", "--rule", "copied.v1").out

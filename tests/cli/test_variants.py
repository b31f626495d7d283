"""`everloop init` with variants, on the command line and from a file."""

import json

import pytest

A = ["--variant", "name=a", "url=http://127.0.0.1:9/v1", "model=m"]


def test_a_loop_with_variants(run):
    ran = run("init", "desk", *A, "prompt=be brief", "weight=3", "price.input=0.15", "params.temperature=0.2",
              "params.stop=END",
              "--variant", "name=b", "url=https://x.example/v1", "model=n", "key_env=X_KEY", "retries=0")  # fmt: skip
    assert ran.code == 0, ran.mistake
    assert 'model="loop:desk"' in ran.out
    assert "base_url=" in ran.out
    spec = run("init", "desk", "--json").document
    assert spec["task"] == "chat"
    a, b = spec["variants"]
    assert (a["prompt"], a["weight"], a["price"]["input"]) == ("be brief", 3.0, 0.15)
    assert a["params"] == {"temperature": 0.2, "stop": "END"}
    assert (b["key_env"], b["retries"]) == ("X_KEY", 0)


def test_one_is_changed_and_the_others_stay(run):
    run("init", "desk", *A, "price.input=1", "--variant", "name=b", "url=http://127.0.0.1:9/v1", "model=n")
    assert run("init", "desk", "--variant", "name=b", "weight=0", "price.output=4").code == 0
    a, b = run("init", "desk", "--json").document["variants"]
    assert (a["weight"], a["price"]["input"]) == (1.0, 1.0)
    assert (b["model"], b["weight"], b["price"]["output"]) == ("n", 0.0, 4.0)


def test_what_json_prints_can_be_declared(run, tmp_path):
    run("init", "desk", *A, "--sticky", "session", "--policy", "margin=0.1")
    made = run("init", "desk", "--json").document
    file = tmp_path / "desk.json"
    file.write_text(json.dumps({**made, "goal": "down", "name": "copy"}), encoding="utf-8")
    assert run("init", "copy", "--declare", str(file), "--goal", "up").code == 0
    copy = run("init", "copy", "--json").document
    assert {**copy, "name": 0, "at": 0} == {**made, "name": 0, "at": 0}


def test_a_chat_loop_without_variants_is_told_how(run):
    assert "--variant name=a" in run("init", "desk", "--task", "chat").out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--variant", "name=a"], "url=… and model=…"),
        (["--variant", "url=http://x/v1"], "name=…"),
        ([*A, "wieght=2"], "did you mean weight?"),
        ([*A, "weight=much"], "--variant weight=much: expected"),
        ([*A, "weight"], "write it as KEY=VALUE"),
        ([*A, "weight=-1"], "weight"),
        ([*A, "weight=0"], "weight above 0"),
        (["--variant", "name=a", "url=x.example", "model=m"], "http"),
        (["--declare", "missing.json"], "missing.json"),
    ],
)
def test_mistakes_are_one_line(run, words, says):
    ran = run("init", "desk", *words)
    assert ran.code != 0
    assert says in ran.mistake


@pytest.mark.parametrize(
    ("text", "says"),
    [("{nonsense", "not JSON"), ("[1]", "one JSON object"), ('{"name": "other"}', "not 'desk'"),
     ('{"fame": 1}', "no 'fame'"), ('{"variants": 7}', "variants")],
)  # fmt: skip
def test_files_that_declare_nothing(run, tmp_path, text, says):
    file = tmp_path / "x.json"
    file.write_text(text, encoding="utf-8")
    ran = run("init", "desk", "--declare", str(file))
    assert says in ran.mistake
    assert ran.code != 0
    if "variants" in text:
        assert "variants" in run("init", "desk", "--declare", str(file), *A).mistake


def test_what_a_chat_loop_is_told_of_itself(run):
    """It has no model of its own: nothing of it abstains, waits to learn one, or is asked for an answer here."""
    run("init", "desk", *A, "--variant", "name=b", "url=http://127.0.0.1:9/v1", "model=n", "weight=0")
    said = run("init", "other", *A).out
    said.partition('api_key="')[2].partition('"')[0].encode("ascii")  # it travels in a header as it stands
    assert "answered by a, b" in run("models", "desk").out
    assert "a, b (variants)" in run("status").out
    full = run("status", "desk").out
    assert "the newest 500 interactions" in full
    turned = run("turn", "desk").out
    assert "no model of its own" in run("check", "desk").out
    assert "/v1/chat/completions" in run("predict", "desk", "hello").mistake
    for out in (full, turned):
        assert "abstains" not in out
    assert run("status", "desk", "--json").document["interactions"] == 0
    run("init", "told", "--task", "chat")
    assert "nobody here: it has no variants" in run("status", "told").out

"""A bigger model as a source of labels, over a real connection to an upstream that does what it is told."""

import json

import numpy as np
import pytest

from everloop.errors import InvalidInput
from everloop.label import bigger_model as module
from everloop.label.bigger_model import bigger_model
from everloop.label.kept_answers import source_key
from everloop.label.sources import ABSTAINS, Seen
from everloop.types import Spec
from tests.server.stub_upstream import hangs, running

SEEN = Seen(("card arrival", "exchange rate"), [], np.array([], np.int64), lambda _: np.zeros((0, 1), np.float32))


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(module, "_PAUSE", 0.0)
    monkeypatch.setattr(module, "_SAME_TIME", 1)  # so that answers come in the order of the script


@pytest.fixture(scope="module")
def upstream():
    with running() as stub:
        yield stub


@pytest.fixture
def stub(upstream):
    upstream.script.clear()
    upstream.seen.clear()
    return upstream


def says(content, status=200, logprobs=None, **more):
    body = {"choices": [{"message": {"role": "assistant", "content": content}, "logprobs": logprobs}],
            "usage": {"prompt_tokens": 100, "completion_tokens": 2}, **more}  # fmt: skip
    return raw(json.dumps(body).encode(), status)


def raw(body, status=200):
    async def act(_, send):
        await send(
            {"type": "http.response.start", "status": status, "headers": [(b"content-type", b"application/json")]}
        )
        await send({"type": "http.response.body", "body": body})

    return act


def ask(stub, inputs, **args):
    return bigger_model(inputs, SEEN, {"url": f"{stub.url}/v1", "model": "big", **args})


def test_labels_cost_and_confidence(stub):
    stub.will(
        says("card arrival", logprobs={"content": [{"logprob": -0.5}, {"logprob": -0.5}]}),
        says(' "Exchange Rate." '),
        says("I think it is about cards"),
    )
    said = ask(stub, ["where is my card", "rate?", "hm"], price={"input": 1.0, "output": 10.0})
    assert said.answers.tolist() == [0, 1, ABSTAINS]
    assert said.confidence == pytest.approx([np.exp(-1.0), 1.0, 0.0])
    assert said.cost == pytest.approx(3 * (100 * 1.0 + 2 * 10.0) / 1e6)
    assert said.note == "of 3 rows: 1 no label of the list"
    shown = stub.seen[0].body
    assert shown["messages"][1] == {"role": "user", "content": "where is my card"}
    assert "card arrival\nexchange rate" in shown["messages"][0]["content"]


@pytest.mark.parametrize(
    "body",
    [b"", b"nonsense", b"[]", b"{}", b'{"choices": []}', b'{"choices": [{"message": null}]}', b"\xff\xfe",
     b'{"choices": [{"message": {"content": {"a": 1}}}]}', b'{"choices": [{"message": {"content": null}}]}',
     b'{"choices": [{"message": {"content": "card arrival"}, "logprobs": {"content": [{"logprob": "x"}]}}]}'],
)  # fmt: skip
def test_an_answer_of_another_shape_is_an_abstention(stub, body):
    stub.will(raw(body))
    said = ask(stub, ["x"])
    assert said.answers.tolist() == [ABSTAINS]
    assert said.confidence.tolist() == [0.0]
    assert said.note


def test_what_is_busy_is_asked_again_and_what_has_no_logprobs_without_them(stub):
    stub.will(raw(b"{}", 429), raw(b"{}", 400), says("card arrival"))
    said = ask(stub, ["x"])
    assert said.answers.tolist() == [0]
    assert ["logprobs" in request.body for request in stub.seen] == [True, True, False]


@pytest.mark.parametrize("status", [301, 401, 403, 404])
def test_where_all_would_be_refused_nobody_else_is_asked(stub, status):
    stub.will(raw(b"{}", status))
    assert ask(stub, ["x", "y"]).note == f"of 2 rows: 1 status {status}, stopped: status {status}"
    assert len(stub.seen) == 1


def test_what_is_wrong_with_one_row_is_not_held_against_the_others(stub):
    stub.will(*[raw(b"{}", 422)] * 20, says("card arrival"))
    said = ask(stub, ["x"] * 21)
    assert said.answers.tolist() == [ABSTAINS] * 20 + [0]
    assert said.note == "of 21 rows: 20 status 422"


def test_one_that_stays_busy_is_left_alone(stub):
    stub.will(*[raw(b"{}", 503)] * 90)
    assert ask(stub, ["x"] * 30).note == "of 30 rows: 16 status 503, stopped after 16 failures in a row"
    assert len(stub.seen) == 16 * 3


def test_an_answer_that_broke_off_may_have_been_charged_and_is_not_asked_for_again(stub):
    async def dies(_, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"100")]})
        raise ConnectionError

    stub.will(dies, hangs(), says("card arrival"))
    said = ask(stub, ["x", "y", "z"], timeout_s=0.2)
    assert said.note == "of 3 rows: 1 broken off, 1 no answer in time"
    assert said.answers.tolist() == [ABSTAINS, ABSTAINS, 0]


def test_nobody_there():
    said = bigger_model(["x"] * 20, SEEN, {"url": "http://127.0.0.1:9/v1", "model": "big"})
    assert (said.answers == ABSTAINS).all()
    assert said.note == "of 20 rows: 1 unreachable, stopped: unreachable"


def test_what_was_charged_for_is_an_answer(stub):
    charged = {"choices": [], "usage": {"prompt_tokens": 100, "completion_tokens": 9}}
    args = {"url": f"{stub.url}/v1", "model": "big", "price": {"input": 1, "output": 1}}
    stub.will(says(None), raw(json.dumps(charged).encode()), raw(b"<html>log in</html>"))
    found = bigger_model.ask(["a", "b", "c"], SEEN.classes, args, None)
    assert found.answered.tolist() == [True, True, False]
    assert found.costs.tolist() == pytest.approx([102e-6, 109e-6, 0])
    assert found.failures == {"an answer of another shape": 1}


def test_no_more_is_spent_than_allowed(stub):
    stub.will(*[says("card arrival")] * 10)
    said = ask(stub, ["x"] * 10, price={"input": 10_000, "output": 0}, max_cost=3.5)  # 1 each
    assert said.cost == pytest.approx(3.0)
    assert said.note == "of 10 rows: stopped at max_cost"
    assert ask(stub, ["x"], price={"input": 1}, max_cost=0.0).note == "of 1 rows: stopped at max_cost"


def test_no_more_is_spent_than_allowed_by_several_at_once(stub, monkeypatch):
    monkeypatch.setattr(module, "_SAME_TIME", 8)
    stub.will(*[says("card arrival")] * 30)
    assert ask(stub, ["x"] * 30, price={"input": 10_000, "output": 0}, max_cost=9.5).cost == pytest.approx(9.0)


def test_without_its_key_it_says_so_and_asks_nobody(stub):
    said = ask(stub, ["x"], key_env="NOT_SET_ANYWHERE")
    assert said.note == "of 1 rows: nothing is asked: the environment variable NOT_SET_ANYWHERE is not set"
    assert not stub.seen


@pytest.mark.parametrize(
    ("url", "own"),
    [("http://localhost:11434/v1", True), ("http://a.localhost/v1", True), ("http://127.0.0.1/v1", True),
     ("http://127.8.9.1/v1", True), ("http://10.1.2.3/v1", True), ("http://192.168.0.2:1/v1", True),
     ("http://172.16.0.1/v1", True), ("http://[::1]:80/v1", True), ("http://[fd00::1]/v1", True),
     ("http://[::ffff:10.0.0.1]/v1", True), ("http://[::ffff:8.8.8.8]/v1", False),
     ("http://172.32.0.1/v1", False), ("http://100.64.0.1/v1", False), ("https://8.8.8.8/v1", False),
     ("https://api.example.com/v1", False), ("http://127.0.0.1@example.com/v1", False),
     ("http://127.0.0.1.example.com/v1", False), ("http://localhost.example.com/v1", False),
     ("http://gpu-box/v1", False), ("http://0.0.0.0/v1", False), ("http://2130706433/v1", False),
     ("http://localhost#@example.com/v1", True), ("http://example.com#@localhost/v1", False)],
)  # fmt: skip
def test_whose_machine_it_is(url, own):
    assert bigger_model.terms({"url": url, "model": "m"}).own is own
    assert bigger_model.terms({"url": url, "model": "m", "own": True}).own


def test_what_decides_an_answer_and_what_does_not():
    def key(**args):
        given = {"url": "http://x/v1", "model": "m", **args}
        return source_key(Spec(name="bigger_model.v1", args=given), bigger_model.terms(given))

    same = key()
    for args in (
        {"most": 3}, {"timeout_s": 1}, {"key_env": "X"}, {"own": True}, {"price": {"input": 1}}, {"prompt": ""},
        {"max_cost": 1, "price": {"input": 1}}, {"url": "http://x/v1/"}, {"params": {}},
    ):  # fmt: skip
        assert key(**args) == same, args
    others = {key(url="http://y/v1"), key(model="n"), key(prompt="p"), key(params={"temperature": 0})}
    assert len(others | {same}) == 5


def test_no_more_rows_than_allowed_and_the_key_from_the_environment(stub, monkeypatch):
    monkeypatch.setenv("A_KEY", "secret")
    stub.will(says("card arrival"))
    said = ask(stub, ["x", "y", "z"], most=1, key_env="A_KEY")
    assert stub.seen[0].headers["authorization"] == "Bearer secret"
    assert said.answers.tolist() == [0, ABSTAINS, ABSTAINS]
    assert said.note == "of 3 rows: 2 not asked about (most)"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"model": "m"}, "url"),
        ({"url": "ftp://x", "model": "m"}, "must begin with http"),
        ({"url": "http://x/v1", "model": "m", "key": "abc"}, "unknown field"),
        ({"url": "http://", "model": "m"}, "name a host"),
        ({"url": "http://x:port/v1", "model": "m"}, "name a host"),
        ({"url": "http://x/v1", "model": "m", "most": -1}, "most must be 0"),
        ({"url": "http://x/v1", "model": "m", "timeout_s": 0}, "timeout_s must be above 0"),
        ({"url": "http://x/v1", "model": "m", "max_cost": 1}, "needs the price"),
        ({"url": "http://x/v1", "model": "m", "price": {"input": -1}}, "price"),
        ({"url": "http://x/v1", "model": "m", "timeout_s": "soon"}, "float"),
    ],
)
def test_arguments_that_can_not_be_get_one_line(args, message):
    with pytest.raises(InvalidInput, match=message) as raised:
        bigger_model(["x"], SEEN, args)
    assert "\n" not in str(raised.value)

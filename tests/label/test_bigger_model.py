"""A bigger model as a source of labels, over a real connection to an upstream that does what it is told."""

import json

import numpy as np
import pytest

from everloop.errors import InvalidInput
from everloop.label import bigger_model as module
from everloop.label.bigger_model import bigger_model
from everloop.label.sources import ABSTAINS, Seen
from tests.server.stub_upstream import running

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


def test_a_key_that_is_refused_is_asked_once_a_row(stub):
    stub.will(raw(b"{}", 401), raw(b"{}", 401))
    assert ask(stub, ["x", "y"]).note == "of 2 rows: 2 status 401"
    assert len(stub.seen) == 2


def test_nobody_there():
    said = bigger_model(["x"] * 20, SEEN, {"url": "http://127.0.0.1:9/v1", "model": "big"})
    assert (said.answers == ABSTAINS).all()
    assert said.note == "of 20 rows: 20 unreachable"


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
        ({"url": "http://x/v1", "model": "m", "key_env": "NOT_SET_ANYWHERE"}, "is not set"),
        ({"url": "http://x/v1", "model": "m", "timeout_s": "soon"}, "float"),
    ],
)
def test_arguments_that_can_not_be_get_one_line(args, message):
    with pytest.raises(InvalidInput, match=message) as raised:
        bigger_model(["x"], SEEN, args)
    assert "\n" not in str(raised.value)

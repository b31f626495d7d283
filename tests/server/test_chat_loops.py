"""A loop that variants answer, as its owner sees it: who answered, how well, and what went wrong."""

from collections.abc import Iterator
from typing import Any

import httpx
import msgspec
import openai
import pytest

from everloop import keys
from everloop.types import Interaction
from everloop.wheel import Wheel

from .conftest import served
from .stub_upstream import Stub, completion, error, running, says
from .test_interaction_page import page

ASK: Any = [{"role": "user", "content": "where is my card?"}]
CALL = {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": '{"order": 42}'}}


@pytest.fixture(scope="module")
def upstream() -> Iterator[Stub]:
    with running() as stub:
        yield stub


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is declared holds from the next request on."""
    monkeypatch.setattr("everloop.server.gateway.SPEC_SECONDS", -1.0)


@pytest.fixture
def stub(upstream: Stub) -> Stub:
    upstream.script.clear()
    return upstream


@pytest.fixture
def loop(wheel: Wheel, stub: Stub) -> Any:
    price = {"input": 1.0, "output": 4.0}
    common = {"url": stub.url, "retries": 0, "price": price}
    variants = [{**common, "name": name, "model": f"model-{name}", "weight": 1 - n} for n, name in enumerate("ab")]
    return wheel.loop("desk", task="chat", capability="helpfulness", variants=variants)


@pytest.fixture
def server(wheel: Wheel, loop: Any) -> Iterator[httpx.Client]:
    with served(wheel) as http:
        yield http


@pytest.fixture
def client(server: httpx.Client) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=str(server.base_url).rstrip("/") + "/v1", api_key="none", max_retries=0) as made:
        yield made


def variants_of(loop: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = msgspec.to_builtins(loop.spec.variants)
    return found


def ask(client: openai.OpenAI, **more: Any) -> Any:
    return client.chat.completions.create(model="loop:desk", messages=ASK, **more)


def test_how_each_variant_did(server: httpx.Client, client: openai.OpenAI, stub: Stub, loop: Any) -> None:
    liked, _ = ask(client), ask(client)
    loop.feedback(liked.id, thumb="up")
    stub.will(error(500))
    fell_back = ask(client)
    loop.feedback(fell_back.id, thumb="down")
    stub.will(error(400))
    with pytest.raises(openai.BadRequestError):
        ask(client)
    status = loop.status()
    a, b = status.variants
    assert (a.name, a.model, a.share, a.answers, a.failed) == ("a", "model-a", 1.0, 2, 2)
    assert (b.name, b.share, b.answers, b.failed) == ("b", 0.0, 1, 0)
    assert (a.thumbs, a.up, b.thumbs, b.up) == (1, 1.0, 1, 0.0)
    assert a.up_low is not None
    assert a.up_low < 1.0
    assert a.cost == pytest.approx(2 * 32e-6)
    assert (a.latency_ms or 0) > 0
    assert a.first_token_ms is None
    assert server.get("/v1/loops/desk").json()["status"]["variants"][0]["failed"] == 2


def test_nothing_says_that_a_chat_loop_abstains(server: httpx.Client, client: openai.OpenAI, loop: Any) -> None:
    assert "base_url" in page(server, "/loops/desk")
    ask(client)
    report = loop.turn()
    assert "abstains" not in report.report()
    assert "answered by its variants" in report.report()
    for path in ("/", "/loops/desk", "/loops/desk/turns/1"):
        text = page(server, path)
        for word in ("abstains", "live model", "live afterwards", "Releases", "helpfulness of"):
            assert word not in text, (path, word)
    text = page(server, "/loops/desk")
    assert "model-a" in text
    assert "no model of its own has learned" in text
    assert [arrow.verdict for arrow in loop.check().arrows] == ["inconclusive"] * 3


def test_a_chat_loop_without_variants_says_how_to_get_one(http: httpx.Client, wheel: Wheel) -> None:
    wheel.loop("told", task="chat")
    assert "everloop init told --variant" in page(http, "/loops/told")
    assert "answered elsewhere" in page(http, "/")


def test_predict_is_not_for_chat_loops(server: httpx.Client, wheel: Wheel, loop: Any) -> None:
    answer = server.post("/v1/loops/desk/predict", json={"input": "hello"})
    assert answer.status_code == 422
    assert '/v1/chat/completions with "model": "loop:desk"' in answer.json()["error"]["message"]
    assert wheel.store.records.count(Interaction) == 0


def test_where_nobody_answers_each_says_why(client: openai.OpenAI, stub: Stub, wheel: Wheel, loop: Any) -> None:
    """A fallback without a key must not hide what is wrong with the first."""
    fallback = {"name": "b", "url": stub.url, "model": "m", "weight": 0, "key_env": "NOT_SET_ANYWHERE"}
    variants = [{"name": "a", "url": "http://127.0.0.1:9/v1", "model": "m", "retries": 1}, fallback]
    wheel.loop("desk", variants=variants)
    with pytest.raises(openai.InternalServerError, match=r"can't connect to 127\.0\.0\.1:9.*; .*no NOT_SET_ANYWHERE"):
        ask(client)
    (kept,) = wheel.store.records.find(Interaction)
    assert (kept.error or "").count("can't connect") == 1
    wheel.loop("desk", variants=[variants[0], {**fallback, "key_env": None}])
    stub.will(error(404, "no such model"))
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="loop:desk", messages=ASK)
    error_of = [it.error or "" for it in wheel.store.records.find(Interaction)]
    assert any("can't connect" in said and "no such model" in said for said in error_of)


@pytest.mark.parametrize("status", [401, 402, 403, 404])
def test_what_is_wrong_with_one_variant_is_not_wrong_with_the_next(
    client: openai.OpenAI, stub: Stub, loop: Any, wheel: Wheel, status: int
) -> None:
    """A key that has ended, a model that was taken away: the fallback answers, and nobody is asked twice."""
    wheel.loop("desk", variants=[{**variant, "retries": 3} for variant in variants_of(loop)])
    before = len(stub.seen)
    stub.will(error(status))
    ask(client)
    assert [request.body["model"] for request in stub.seen[before:]] == ["model-a", "model-b"]
    stub.will(error(status), error(status))
    with pytest.raises(openai.APIStatusError) as raised:
        ask(client)
    assert raised.value.status_code == status


def test_an_upstream_that_wants_a_key_which_nobody_declared(wheel: Wheel, stub: Stub, loop: Any) -> None:
    """The client's key is to this server and good: that another one is missing is the server's mistake to mend."""
    secret = keys.create(wheel.store.records, "app", "client").secret
    wheel.loop("desk", variants=variants_of(loop)[:1])
    stub.will(error(401, "You didn't provide an API key"))
    with (
        served(wheel) as http,
        openai.OpenAI(base_url=f"{http.base_url}/v1", api_key=secret, max_retries=0) as client,
        pytest.raises(openai.InternalServerError, match=r"provide an API key.*key_env"),
    ):
        ask(client)


def test_a_request_in_a_trace_is_found_by_it(client: openai.OpenAI, server: httpx.Client, wheel: Wheel) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    made = ask(client, extra_headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"})
    said = server.post("/v1/feedback", json={"interaction": trace, "kind": "thumb", "value": "up"})
    assert said.json()["state"] == "new"
    assert [it.trace for it in wheel.store.records.find(Interaction, id=made.id)] == [trace]
    for header in ("nonsense", f"00-{'0' * 32}-00f067aa0ba902b7-01", f"ff-{trace}-00f067aa0ba902b7-01", "00-" + trace):
        made = ask(client, extra_headers={"traceparent": header})
        assert [it.trace for it in wheel.store.records.find(Interaction, id=made.id)] == [None]


def test_a_call_is_an_answer_on_the_pages(client: openai.OpenAI, server: httpx.Client, stub: Stub) -> None:
    stub.will(says(200, completion({"content": None, "tool_calls": [CALL]}, "tool_calls")))
    tool: Any = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}
    made = ask(client, tools=[tool], temperature=0.25)
    assert "calls look_up({&#34;order&#34;: 42})" in page(server, "/loops/desk/interactions")
    text = page(server, f"/interactions/{made.id}")
    assert "asked with" in text
    assert "0.25" in text
    assert "not given" not in text.partition("In numbers")[2].partition("tokens")[0]  # it has no confidence to give

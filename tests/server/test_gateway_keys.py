"""With keys of its own, the gateway keeps them to itself."""

import time

import openai
import pytest

from everloop import keys
from tests.server.conftest import served
from tests.server.stub_upstream import running

ASK = [{"role": "user", "content": "hi"}]


@pytest.fixture(scope="module")
def upstream():
    with running() as made:
        yield made


@pytest.fixture
def stub(upstream):
    upstream.seen.clear()
    return upstream


@pytest.fixture
def ask(wheel, stub):
    """`ask(secret, loop)`: what a client with that key gets."""
    for name in ("desk", "other"):
        wheel.loop(name, task="chat", variants=[{"name": "a", "url": stub.url, "model": "m"}])
    keys.create(wheel.store.records, "root", "admin")
    with served(wheel) as http:

        def ask(secret, model="loop:desk", what="chat"):
            with openai.OpenAI(base_url=f"{http.base_url}/v1", api_key=secret, max_retries=0) as client:
                if what == "models":
                    return [one.id for one in client.models.list()]
                if what == "embeddings":
                    return client.embeddings.create(model=model, input="x", encoding_format="float")
                return client.chat.completions.create(model=model, messages=ASK)

        yield ask


def test_without_one_nobody_gets_in_and_the_error_is_openais(ask, stub):
    with pytest.raises(openai.AuthenticationError) as raised:
        ask("sk-upstreams")
    assert raised.value.type == "authentication_error"
    assert stub.seen == []


@pytest.mark.parametrize("what", ["chat", "embeddings"])
def test_a_key_to_this_server_never_reaches_an_upstream(ask, wheel, stub, what):
    made = keys.create(wheel.store.records, "shop", "client")
    assert eventually(lambda: ask(made.secret, what=what))
    assert "authorization" not in stub.seen[-1].headers
    assert not any("evl_" in value for value in stub.seen[-1].headers.values())


def test_a_key_of_one_loop_is_for_that_loop(ask, wheel):
    made = keys.create(wheel.store.records, "shop", "client", loop="desk")
    assert eventually(lambda: ask(made.secret))
    assert ask(made.secret, what="models") == ["loop:desk"]
    for what in ("chat", "embeddings"):
        with pytest.raises(openai.PermissionDeniedError):
            ask(made.secret, "loop:other", what)


def test_a_reviewer_may_not_ask(ask, wheel):
    made = keys.create(wheel.store.records, "ann", "reviewer")
    with pytest.raises((openai.PermissionDeniedError, openai.AuthenticationError)):
        ask(made.secret)


def test_one_that_was_once_a_key_is_not_passed_on_either(wheel, stub):
    secret = keys.new_key("old", "client").secret
    wheel.loop("desk", task="chat", variants=[{"name": "a", "url": stub.url, "model": "m"}])
    with served(wheel) as http:
        client = openai.OpenAI(base_url=f"{http.base_url}/v1", api_key=secret, max_retries=0)
        client.chat.completions.create(model="loop:desk", messages=ASK)
        client.close()
    assert "authorization" not in stub.seen[-1].headers


def eventually(work, tries=60):
    """A new key is noticed within a second."""
    for _ in range(tries):
        try:
            return work()
        except openai.AuthenticationError:
            time.sleep(0.05)
    return work()

"""The official OpenAI client against the gateway, with its base_url changed and nothing else."""

import asyncio
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import openai
import pytest

from everloop.errors import StoreFull
from everloop.server.gateway import Gateway
from everloop.server.wire import Call
from everloop.types import Interaction
from tests.server.conftest import served
from tests.server.stub_upstream import (
    Stub,
    chunk,
    completion,
    error,
    hangs,
    running,
    says,
    streams,
)

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
ASK = [{"role": "user", "content": "where is my card?"}]


@pytest.fixture(scope="module")
def upstream() -> Iterator[Stub]:
    with running() as stub:
        yield stub


@pytest.fixture
def stub(upstream) -> Stub:
    upstream.script.clear()
    upstream.seen.clear()
    upstream.ended.clear()
    return upstream


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """What is declared holds from the next request on."""
    monkeypatch.setattr("everloop.server.gateway.SPEC_SECONDS", -1.0)


@pytest.fixture
def loop(wheel, stub):
    variant = {"name": "a", "url": stub.url, "model": "stub-1", "retries": 0, "price": {"input": 1.0, "output": 4.0}}
    return wheel.loop("desk", task="chat", variants=[variant])


@pytest.fixture
def base(wheel, loop) -> Iterator[str]:
    with served(wheel) as http:
        yield str(http.base_url).rstrip("/") + "/v1"


@pytest.fixture
def client(base) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=base, api_key="sk-clients-own", max_retries=0) as made:
        yield made


def stored(wheel, id) -> Interaction:
    found = wheel.store.records.get(Interaction, id)
    assert found is not None
    return found


def eventually(look, seconds=5.0):
    until = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < until
        time.sleep(0.01)
    return found


def collect(stream, into) -> None:
    for one in stream:
        into.append(one)


def only(wheel) -> Interaction:
    (found,) = eventually(lambda: wheel.store.records.find(Interaction, "desk"))
    return found


class TestAWholeAnswer:
    def test_its_id_is_the_interaction_and_all_is_known_of_it(self, client, wheel, stub):
        answer = client.chat.completions.create(
            model="loop:desk",
            messages=ASK,
            user="anna",
            metadata={"session": "s1", "channel": "web", "tags": "vip, eu"},
        )
        assert answer.choices[0].message.content == "you said: where is my card?"
        it = stored(wheel, answer.id)
        assert (it.input, it.output, it.message) == ({"messages": ASK}, "you said: where is my card?", None)
        assert (it.variant, it.propensity, it.status, it.error) == ("a", 1.0, "complete", None)
        assert (it.tokens_in, it.tokens_out) == (12, 5)
        assert it.cost == pytest.approx((12 * 1 + 5 * 4) / 1e6)
        assert it.subject == wheel.door.pseudonyms.of("anna")
        assert it.session == "s1"
        assert it.context == {"channel": "web", "tags": ["vip", "eu"], "assigned": "a"}
        assert it.latency_ms > 0

    def test_feedback_speaks_of_it_at_once(self, client, wheel, base):
        answer = client.chat.completions.create(model="loop:desk", messages=ASK)
        assert wheel.get("desk").feedback(answer.id, thumb="up") == "new"

    def test_the_headers_name_variant_and_interaction(self, client):
        raw = client.chat.completions.with_raw_response.create(model="desk", messages=ASK)
        assert raw.headers["x-everloop-variant"] == "a"
        assert raw.headers["x-request-id"] == raw.parse().id

    def test_everything_passes_on_but_what_is_ours(self, client, wheel, stub):
        tools = [{"type": "function", "function": {"name": "track", "parameters": {"type": "object"}}}]
        client.chat.completions.create(
            model="loop:desk", messages=ASK, tools=tools, temperature=0.3, user="anna", metadata={"session": "s"},
            response_format={"type": "json_object"}, extra_body={"top_k": 7, "guided": {"a": [1, None]}},
        )  # fmt: skip
        body = stub.seen[0].body
        assert body["model"] == "stub-1"
        assert body["user"] == wheel.door.pseudonyms.of("anna")
        assert "metadata" not in body
        assert (body["messages"], body["tools"], body["temperature"]) == (ASK, tools, 0.3)
        assert (body["top_k"], body["guided"]) == (7, {"a": [1, None]})
        assert only(wheel).input["response_format"] == {"type": "json_object"}

    def test_tool_calls_are_kept_whole(self, client, wheel, stub):
        call = {"id": "c1", "type": "function", "function": {"name": "track", "arguments": '{"id": 7}'}}
        stub.will(says(200, completion({"content": None, "tool_calls": [call]}, "tool_calls")))
        answer = client.chat.completions.create(model="loop:desk", messages=ASK)
        assert answer.choices[0].message.tool_calls[0].function.arguments == '{"id": 7}'
        it = stored(wheel, answer.id)
        assert it.output == ""
        assert it.message["tool_calls"] == [call]

    def test_the_stored_one_is_redacted_and_the_upstreams_is_not(self, client, wheel, stub):
        text = "write to ada@example.org"
        answer = client.chat.completions.create(model="loop:desk", messages=[{"role": "user", "content": text}])
        assert stub.seen[0].body["messages"][0]["content"] == text
        assert "ada@example.org" in answer.choices[0].message.content
        it = stored(wheel, answer.id)
        assert it.input == {"messages": [{"role": "user", "content": "write to [email]"}]}
        assert it.output == "you said: write to [email]"
        assert it.redacted == {"email": 2}

    def test_a_long_request_is_redacted_too(self, client, wheel, stub):
        text = "my card is lost. " * 600 + "write to ada@example.org"
        answer = client.chat.completions.create(model="loop:desk", messages=[{"role": "user", "content": text}])
        it = stored(wheel, answer.id)
        assert it.redacted == {"email": 2}
        assert "ada@" not in it.output

    def test_prompt_and_parameters_of_the_variant(self, client, wheel, stub):
        wheel.loop("desk", variants=[{"name": "b", "url": stub.url, "model": "m", "prompt": "be brief",
                                      "params": {"temperature": 0.1, "top_p": 0.5}}])  # fmt: skip
        client.chat.completions.create(model="loop:desk", messages=ASK, temperature=0.9)
        body = stub.seen[0].body
        assert body["messages"] == [{"role": "system", "content": "be brief"}, *ASK]
        assert (body["temperature"], body["top_p"]) == (0.9, 0.5)

    def test_sec_gpc_and_consent(self, client, wheel):
        answer = client.chat.completions.create(model="loop:desk", messages=ASK, extra_headers={"sec-gpc": "1"})
        assert stored(wheel, answer.id).consent == ("service",)
        answer = client.chat.completions.create(model="loop:desk", messages=ASK, metadata={"consent": "service, share"})
        assert stored(wheel, answer.id).consent == ("service", "share")

    def test_without_consent_nothing_is_kept(self, client, wheel):
        answer = client.chat.completions.create(model="loop:desk", messages=ASK, metadata={"consent": ""})
        assert answer.id.startswith("unstored-")
        assert wheel.store.records.count(Interaction, "desk") == 0

    def test_an_image_goes_to_the_upstream_and_its_bytes_to_blobs(self, client, wheel, stub):
        url = f"data:image/png;base64,{PIXEL}"
        ask = [
            {
                "role": "user",
                "content": [{"type": "text", "text": "what is it?"}, {"type": "image_url", "image_url": {"url": url}}],
            }
        ]
        answer = client.chat.completions.create(model="loop:desk", messages=ask)
        assert stub.seen[0].body["messages"] == ask
        (attached,) = stored(wheel, answer.id).attachments
        assert attached.media == "image/png"
        assert wheel.store.blobs.has(attached.hash)


class TestAStream:
    def test_words_come_one_by_one_under_the_interactions_id(self, client, wheel, stub):
        chunks = list(client.chat.completions.create(model="loop:desk", messages=ASK, stream=True))
        assert "".join(c.choices[0].delta.content or "" for c in chunks).strip() == "you said: where is my card?"
        assert all(c.choices and c.usage is None for c in chunks)
        (id,) = {c.id for c in chunks}
        it = stored(wheel, id)
        assert it.output.strip() == "you said: where is my card?"
        assert (it.tokens_in, it.tokens_out, it.status) == (12, 5, "complete")
        assert 0 < it.first_token_ms <= it.latency_ms
        assert stub.seen[0].body["stream_options"] == {"include_usage": True}

    def test_it_is_on_disk_before_the_stream_has_ended(self, client, wheel):
        for _ in range(5):
            chunks = list(client.chat.completions.create(model="loop:desk", messages=ASK, stream=True))
            assert wheel.store.records.get(Interaction, chunks[0].id) is not None

    def test_who_asks_for_the_counts_gets_them(self, client):
        *_, last = client.chat.completions.create(
            model="loop:desk", messages=ASK, stream=True, stream_options={"include_usage": True}
        )
        assert last.choices == []
        assert last.usage.completion_tokens == 5

    def test_tool_calls_are_put_together(self, client, wheel, stub):
        def call(**part):
            return chunk({"tool_calls": [{"index": 0, **part}]})

        stub.will(streams(
            call(id="c1", type="function", function={"name": "track", "arguments": ""}),
            call(function={"arguments": '{"id"'}), call(function={"arguments": ": 7}"}), chunk({}, "tool_calls"),
        ))  # fmt: skip
        chunks = list(client.chat.completions.create(model="loop:desk", messages=ASK, stream=True))
        (made,) = stored(wheel, chunks[0].id).message["tool_calls"]
        assert made["function"] == {"name": "track", "arguments": '{"id": 7}'}
        assert made["id"] == "c1"

    def test_an_upstream_that_dies_in_the_middle_leaves_a_partial_one(self, client, wheel, stub):
        stub.will(streams(chunk({"content": "you "}), chunk({"content": "said"}), 0.05, die=True))
        got = []
        stream = client.chat.completions.create(model="loop:desk", messages=ASK, stream=True)
        with pytest.raises(openai.APIError, match="broke off"):
            collect(stream, got)
        assert [one.choices[0].delta.content for one in got] == ["you ", "said"]
        it = stored(wheel, got[0].id)
        assert (it.output, it.status, it.variant) == ("you said", "partial", "a")
        assert "broke off" in it.error

    def test_one_that_ends_without_an_end_is_partial_too(self, client, wheel, stub):
        stub.will(streams(chunk({"content": "you "}), done=False))
        with pytest.raises(openai.APIError, match="ended before the answer did"):
            list(client.chat.completions.create(model="loop:desk", messages=ASK, stream=True))
        assert only(wheel).status == "partial"

    def test_one_that_says_why_it_ended_needs_no_done(self, client, wheel, stub):
        stub.will(streams(chunk({"content": "you "}), chunk({}, "length"), done=False))
        chunks = list(client.chat.completions.create(model="loop:desk", messages=ASK, stream=True))
        it = stored(wheel, chunks[0].id)
        assert it.status == "complete"
        assert it.context["finish_reason"] == "length"

    def test_an_error_in_the_stream_is_passed_on(self, client, wheel, stub):
        stub.will(streams(chunk({"content": "you "}), {"error": {"message": "overloaded", "type": "x"}}))
        with pytest.raises(openai.APIError, match="overloaded"):
            list(client.chat.completions.create(model="loop:desk", messages=ASK, stream=True))
        assert only(wheel).status == "partial"

    def test_garbage_in_the_stream_ends_it(self, client, wheel, stub):
        stub.will(streams(chunk({"content": "you "}), b"data: {nonsense\n\n"))
        with pytest.raises(openai.APIError, match="not JSON"):
            list(client.chat.completions.create(model="loop:desk", messages=ASK, stream=True))
        assert only(wheel).output == "you "

    def test_an_upstream_that_knows_no_streams(self, client, wheel, stub):
        stub.will(says(200, completion({"content": "all at once"})))
        chunks = list(client.chat.completions.create(model="loop:desk", messages=ASK, stream=True))
        assert "".join(c.choices[0].delta.content or "" for c in chunks) == "all at once"
        assert stored(wheel, chunks[0].id).output == "all at once"

    def test_a_client_that_leaves_stops_the_upstream(self, client, wheel, stub):
        stub.will(streams(chunk({"content": "one "}), *[0.05, chunk({"content": "more "})] * 200))
        stream = client.chat.completions.create(model="loop:desk", messages=ASK, stream=True)
        first = next(iter(stream))
        stream.close()
        it = eventually(lambda: wheel.store.records.get(Interaction, first.id))
        assert it.status == "partial"
        assert it.output.startswith("one ")
        assert "client left" in it.error
        assert eventually(lambda: stub.ended) == ["left"]


class TestCancellation:
    def test_before_the_answer_came(self, client, wheel, stub):
        stub.will(hangs())
        with pytest.raises(openai.APITimeoutError):
            client.with_options(timeout=0.2).chat.completions.create(model="loop:desk", messages=ASK)
        assert eventually(lambda: stub.ended) == ["left"]
        it = only(wheel)
        assert (it.status, it.output) == ("partial", None)

    def test_a_task_that_is_cancelled(self, base, wheel, stub):
        stub.will(hangs())

        async def main():
            async with openai.AsyncOpenAI(base_url=base, api_key="x", max_retries=0) as client:
                task = asyncio.create_task(client.chat.completions.create(model="loop:desk", messages=ASK))
                while not stub.seen:
                    await asyncio.sleep(0.01)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task

        asyncio.run(main())
        assert eventually(lambda: stub.ended) == ["left"]
        assert only(wheel).status == "partial"


class TestErrors:
    @pytest.mark.parametrize(
        ("status", "kind"),
        [(400, openai.BadRequestError), (401, openai.AuthenticationError), (403, openai.PermissionDeniedError),
         (422, openai.UnprocessableEntityError), (429, openai.RateLimitError), (500, openai.InternalServerError)],
    )  # fmt: skip
    def test_the_upstreams_are_passed_on(self, client, wheel, stub, status, kind):
        stub.will(error(status, "the upstream's own words", {"retry-after": "7"}))
        with pytest.raises(kind, match="the upstream's own words") as raised:
            client.chat.completions.create(model="loop:desk", messages=ASK)
        assert raised.value.code == "stub"
        assert raised.value.response.headers["retry-after"] == "7"
        it = stored(wheel, raised.value.request_id)
        assert (it.status, it.output, it.variant) == ("failed", None, None)
        assert str(status) in it.error

    def test_an_unknown_loop(self, client):
        with pytest.raises(openai.NotFoundError, match="no loop called 'nope'") as raised:
            client.chat.completions.create(model="loop:nope", messages=ASK)
        assert (raised.value.code, raised.value.param) == ("model_not_found", "model")

    @pytest.mark.parametrize(
        ("given", "says"),
        [({"messages": []}, "messages"), ({"metadata": {"session": 7}}, "session"), ({"user": 7}, "user"),
         ({"metadata": {"consent": "fame"}}, "no purpose 'fame'"), ({"stream": "yes"}, "stream"),
         ({"messages": ["hi"]}, "messages"), ({"metadata": [1]}, "metadata"), ({"stream_options": 3}, "stream_opt")],
    )  # fmt: skip
    def test_mistakes_are_one_line(self, client, given, says):
        with pytest.raises(openai.BadRequestError, match=says):
            client.chat.completions.create(model="loop:desk", messages=ASK, extra_body=given)

    def test_no_json_at_all(self, client):
        with pytest.raises(openai.BadRequestError) as raised:
            client.post(
                "/chat/completions",
                cast_to=object,
                content=b"{nonsense",
                options={"headers": {"content-type": "application/json"}},
            )
        assert raised.value.type == "invalid_request_error"

    def test_nobody_there(self, client, wheel):
        wheel.loop("desk", variants=[{"name": "a", "url": "http://127.0.0.1:9/v1", "model": "m", "retries": 0}])
        with pytest.raises(openai.APIStatusError) as raised:
            client.chat.completions.create(model="loop:desk", messages=ASK)
        assert raised.value.status_code == 502
        assert only(wheel).status == "failed"

    def test_an_upstream_that_is_silent(self, client, wheel, stub):
        wheel.loop("desk", variants=[{"name": "a", "url": stub.url, "model": "m", "retries": 3, "timeout_s": 0.2}])
        stub.will(hangs())
        with pytest.raises(openai.APIStatusError, match=r"silent for 0\.2 s") as raised:
            client.chat.completions.create(model="loop:desk", messages=ASK)
        assert raised.value.status_code == 504

    @pytest.mark.parametrize(
        "body", [b"<html>", b"[]", b'{"choices": []}', b'{"error": {"message": "x"}}', b'{"choices": [7]}']
    )
    def test_an_answer_that_is_none(self, client, wheel, stub, body):
        stub.will(says(200, body))
        with pytest.raises(openai.APIStatusError) as raised:
            client.chat.completions.create(model="loop:desk", messages=ASK)
        assert raised.value.status_code == 502

    def test_a_redirect_is_not_followed(self, client, stub):
        stub.will(says(307, b"", {"location": "http://169.254.169.254/"}))
        with pytest.raises(openai.APIStatusError, match="307"):
            client.chat.completions.create(model="loop:desk", messages=ASK)
        assert len(stub.seen) == 1


class TestFallback:
    @pytest.fixture
    def loop(self, wheel, stub):
        both = [{"name": "a", "url": stub.url, "model": "m-a", "retries": 1},
                {"name": "b", "url": stub.url, "model": "m-b", "weight": 0}]  # fmt: skip
        return wheel.loop("desk", task="chat", variants=both)

    def test_the_same_one_is_asked_again(self, client, wheel, stub):
        stub.will(error(503))
        answer = client.chat.completions.create(model="loop:desk", messages=ASK)
        assert [one.body["model"] for one in stub.seen] == ["m-a", "m-a"]
        assert stored(wheel, answer.id).variant == "a"

    def test_then_the_next(self, client, wheel, stub):
        stub.will(error(500), error(429, headers={"retry-after": "0"}))
        answer = client.chat.completions.create(model="loop:desk", messages=ASK)
        assert [one.body["model"] for one in stub.seen] == ["m-a", "m-a", "m-b"]
        it = stored(wheel, answer.id)
        assert (it.variant, it.propensity, it.context["assigned"]) == ("b", 1.0, "a")

    def test_at_once_when_told_to_wait_for_longer_than_there_is(self, client, wheel, stub):
        stub.will(error(429, headers={"retry-after": "3600"}))
        answer = client.chat.completions.create(model="loop:desk", messages=ASK)
        assert [one.body["model"] for one in stub.seen] == ["m-a", "m-b"]
        assert stored(wheel, answer.id).variant == "b"

    def test_a_mistake_of_the_clients_is_not_asked_again(self, client, stub):
        stub.will(error(400))
        with pytest.raises(openai.BadRequestError):
            client.chat.completions.create(model="loop:desk", messages=ASK)
        assert len(stub.seen) == 1

    def test_a_stream_that_dies_before_it_began(self, client, wheel, stub):
        stub.will(streams(die=True), streams(die=True))
        chunks = list(client.chat.completions.create(model="loop:desk", messages=ASK, stream=True))
        assert stored(wheel, chunks[0].id).variant == "b"

    def test_never_once_the_client_has_got_something(self, client, stub):
        stub.will(streams(chunk({"content": "you "}), 0.05, die=True))
        with pytest.raises(openai.APIError):
            list(client.chat.completions.create(model="loop:desk", messages=ASK, stream=True))
        assert len(stub.seen) == 1

    def test_when_all_fail_the_last_word_is_told(self, client, wheel, stub):
        stub.will(error(500), error(500), error(503, "b is down"), error(503, "b is down"))
        with pytest.raises(openai.InternalServerError, match="b is down"):
            client.chat.completions.create(model="loop:desk", messages=ASK)
        assert only(wheel).status == "failed"


class TestVariants:
    @pytest.fixture
    def loop(self, wheel, stub):
        both = [
            {"name": name, "url": stub.url, "model": f"m-{name}", "weight": weight}
            for name, weight in (("a", 3), ("b", 1))
        ]
        return wheel.loop("desk", task="chat", variants=both)

    def test_a_person_keeps_theirs(self, client, wheel, stub):
        for _ in range(8):
            client.chat.completions.create(model="loop:desk", messages=ASK, user="anna")
        found = wheel.store.records.find(Interaction, "desk")
        assert len({it.variant for it in found}) == 1
        assert found[0].propensity == {"a": 0.75, "b": 0.25}[found[0].variant]

    def test_people_are_shared_out(self, client, wheel):
        for n in range(24):
            client.chat.completions.create(model="loop:desk", messages=ASK, user=f"user {n}")
        assert {it.variant for it in wheel.store.records.find(Interaction, "desk")} == {"a", "b"}


class TestKeys:
    def test_the_environments_key_goes_to_the_upstream(self, client, wheel, stub, monkeypatch):
        monkeypatch.setenv("STUB_KEY", "sk-servers")
        wheel.loop("desk", variants=[{"name": "a", "url": stub.url, "model": "m", "key_env": "STUB_KEY"}])
        client.chat.completions.create(model="loop:desk", messages=ASK)
        assert stub.seen[0].headers["authorization"] == "Bearer sk-servers"

    def test_one_that_is_not_there_is_said(self, client, wheel, stub):
        wheel.loop("desk", variants=[{"name": "a", "url": stub.url, "model": "m", "key_env": "NO_SUCH_KEY"}])
        with pytest.raises(openai.APIStatusError, match="NO_SUCH_KEY"):
            client.chat.completions.create(model="loop:desk", messages=ASK)
        assert stub.seen == []

    def test_without_keys_of_its_own_the_clients_passes_on(self, client, stub):
        client.chat.completions.create(model="loop:desk", messages=ASK)
        assert stub.seen[0].headers["authorization"] == "Bearer sk-clients-own"


class TestTheRest:
    def test_embeddings(self, client, wheel):
        made = client.embeddings.create(model="loop:desk", input=["one", "three"], encoding_format="float")
        assert [one.embedding for one in made.data] == [[3.0, 0.5], [5.0, 0.5]]
        assert wheel.store.records.count(Interaction, "desk") == 0

    def test_embeddings_fall_back_to_the_same_model_only(self, client, wheel, stub):
        wheel.loop("desk", variants=[
            {"name": "a", "url": stub.url, "model": "e1", "retries": 0},
            {"name": "b", "url": stub.url, "model": "e2", "weight": 0},
            {"name": "c", "url": stub.url, "model": "e1", "weight": 0},
        ])  # fmt: skip
        stub.will(error(500), error(500), error(500))
        with pytest.raises(openai.InternalServerError):
            client.embeddings.create(model="loop:desk", input="x")
        assert [one.body["model"] for one in stub.seen] == ["e1", "e1", "e1"]  # a once, c twice

    def test_models(self, client, wheel):
        wheel.loop("other")
        assert [one.id for one in client.models.list()] == ["loop:desk", "loop:other"]
        assert client.models.retrieve("loop:desk").owned_by == "everloop"
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve("loop:nope")

    def test_a_chat_loop_without_variants(self, client, wheel):
        wheel.loop("empty", task="chat")
        with pytest.raises(openai.BadRequestError, match="declare a variant"):
            client.chat.completions.create(model="loop:empty", messages=ASK)

    def test_fifty_at_once(self, base, wheel):
        async def main():
            async with openai.AsyncOpenAI(base_url=base, api_key="x", max_retries=0) as client:
                ask = client.chat.completions.create
                asked = [ask(model="loop:desk", messages=[{"role": "user", "content": f"n{i}"}]) for i in range(50)]
                return await asyncio.gather(*asked)

        answers = asyncio.run(main())
        assert [a.choices[0].message.content for a in answers] == [f"you said: n{i}" for i in range(50)]
        assert {stored(wheel, a.id).output for a in answers} == {f"you said: n{i}" for i in range(50)}

    def test_fifty_streams_at_once(self, base, wheel):
        async def one(client, i):
            stream = await client.chat.completions.create(
                model="loop:desk", messages=[{"role": "user", "content": f"n{i}"}], stream=True
            )
            chunks = [c async for c in stream]
            return "".join(c.choices[0].delta.content or "" for c in chunks).strip(), chunks[0].id

        async def main():
            async with openai.AsyncOpenAI(base_url=base, api_key="x", max_retries=0) as client:
                return await asyncio.gather(*(one(client, i) for i in range(50)))

        for i, (text, id) in enumerate(asyncio.run(main())):
            assert text == f"you said: n{i}"
            assert stored(wheel, id).output.strip() == text


class TestALoopThatClassifies:
    def test_it_abstains_as_a_refusal_that_can_be_corrected(self, client, wheel):
        wheel.loop("intent")
        message = (answer := client.chat.completions.create(model="loop:intent", messages=ASK)).choices[0].message
        assert message.content is None
        assert "nothing learned yet" in message.refusal
        it = stored(wheel, answer.id)
        assert (it.input, it.output) == ("where is my card?", None)
        assert wheel.get("intent").feedback(answer.id, correction="card_arrival") == "new"

    def test_its_label_is_the_message(self, turned):
        with served(turned) as http:
            client = openai.OpenAI(base_url=str(http.base_url).rstrip("/") + "/v1", api_key="x", max_retries=0)
            ask = [
                {"role": "system", "content": "classify"},
                {"role": "user", "content": "card delivery post envelope"},
            ]
            answer = client.chat.completions.create(model="support", messages=ask)
            assert answer.choices[0].message.content == "card_arrival"
            chunks = list(client.chat.completions.create(model="support", messages=ask, stream=True))
            assert "".join(c.choices[0].delta.content or "" for c in chunks) == "card_arrival"
            assert turned.store.records.get(Interaction, answer.id).model is not None
            client.close()


def test_an_answer_is_not_held_back_for_a_full_disk(client, wheel, stub, monkeypatch):
    def full(records):
        raise StoreFull("the disk is full")

    monkeypatch.setattr(wheel.store.records, "submit", full)
    raw = client.chat.completions.with_raw_response.create(model="loop:desk", messages=ASK)
    assert raw.headers["x-everloop-stored"] == "no"
    assert raw.parse().choices[0].message.content == "you said: where is my card?"


def test_json_of_the_raw_stream_is_untouched_but_for_the_id(base, stub):
    odd = chunk({"content": "é\u2028"}, service_tier=None, big=2**60)
    stub.will(streams(odd, chunk({}, "stop")))
    with httpx.Client(trust_env=False) as http:
        raw = http.post(f"{base}/chat/completions", json={"model": "loop:desk", "messages": ASK, "stream": True})
    first, *_, last = [line for line in raw.text.split("\n") if line]
    assert last == "data: [DONE]"
    assert {**json.loads(first.removeprefix("data: ")), "id": "chatcmpl-upstream"} == odd


@pytest.mark.parametrize("stream", [True, False])
def test_a_server_that_stops_says_so_and_keeps_what_there_is(wheel, loop, stub, stream):
    """As uvicorn does it once its patience is over: by cancelling the task."""

    async def main():
        gateway = Gateway(wheel, ThreadPoolExecutor(1))
        body = json.dumps({"model": "loop:desk", "messages": ASK, "stream": stream}).encode()
        stub.will(streams(chunk({"content": "one "}), 60.0) if stream else hangs())
        answer = await gateway.completions(Call("/v1/chat/completions", {}, {}, "application/json", body))
        sent, never = [], asyncio.Event()

        async def send(message):
            sent.append(message)

        task = asyncio.create_task(answer.run(never.wait, send))
        while not (len(sent) > 1 if stream else stub.seen):
            await asyncio.sleep(0.01)
        task.cancel()
        await task
        gateway.close()
        return sent

    sent = asyncio.run(main())
    assert b"server_stopped" in sent[-1]["body"]
    assert not sent[-1].get("more_body")
    assert sent[0]["status"] == (200 if stream else 503)
    it = only(wheel)
    assert (it.status, it.output) == ("partial", "one " if stream else None)

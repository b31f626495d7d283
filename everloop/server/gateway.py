"""The gateway: what an OpenAI client calls, answered by a loop's variants, or by the model the loop has learned.

A client changes its `base_url` and says ``model="loop:<name>"``; the answer's id is the interaction, for feedback to
speak of. Embeddings pass through and are not stored: nobody says what they are worth.
"""

import asyncio
import re
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

import msgspec
from msgspec import Struct

from everloop.collect import consent
from everloop.collect.variants import assign, fallbacks, pinned
from everloop.errors import InvalidInput, NotFound, UserError
from everloop.interop import chat
from everloop.keys import PREFIX as PREFIX_OF_KEYS
from everloop.server.asking import Headers, Refused, first, passed_back, post
from everloop.server.asking import failed as failed_upstream
from everloop.server.commits import Commits
from everloop.server.exchange import STREAM, Desk, Exchange, said
from everloop.server.streams import DONE, event
from everloop.server.table import Operation
from everloop.server.upstream import UpstreamFailed, Upstreams
from everloop.server.wire import JSON, Call, Forbidden, Reply, Streamed, decode, reply
from everloop.types import Interaction, LoopSpec, Variant
from everloop.wheel import Wheel

PREFIX = "loop:"
SPEC_SECONDS = 0.25  # how long a change of what is declared may take to be noticed
LEARNED_NOTHING = "nothing learned yet: this loop abstains until labels or corrections have taught it"

# https://www.w3.org/TR/trace-context/#traceparent-header: a later version may add to its end.
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:-|$)")

_encode = msgspec.json.Encoder().encode


class ChatRequest(Struct):
    """As OpenAI's; what is not named here passes on to the upstream."""

    model: str  # "loop:<name>"
    messages: list[dict[str, Any]]
    stream: bool | None = None
    user: str | None = None  # who asks; stored as a keyed pseudonym
    metadata: dict[str, Any] | None = None  # session, tags, consent; the rest becomes the interaction's context


class ChatAnswer(Struct):
    """As OpenAI's; with "stream" it comes as events instead."""

    id: str  # the interaction: say this in your feedback
    object: str
    created: int
    model: str
    choices: list[dict[str, Any]]
    usage: dict[str, Any] | None = None


class EmbeddingRequest(Struct):
    """As OpenAI's; what is not named here passes on to the upstream."""

    model: str  # "loop:<name>"
    input: str | list[Any]


class EmbeddingAnswer(Struct):
    """As OpenAI's."""

    object: str
    data: list[dict[str, Any]]
    model: str


class GatewayModel(Struct):
    """A loop, as a model that can be asked."""

    id: str  # "loop:<name>"
    created: int
    object: str = "model"
    owned_by: str = "everloop"


class GatewayModels(Struct):
    """Every loop, as OpenAI lists models."""

    data: list[GatewayModel]
    object: str = "list"


class Gateway:
    """Handlers of OpenAI's paths."""

    def __init__(self, wheel: Wheel, threads: Executor):
        self._wheel = wheel
        self._upstreams = Upstreams()
        records = wheel.store.records
        self._desk = Desk(wheel.door, records, Commits(records), self._upstreams, threads)
        self._specs: dict[str, tuple[float, LoopSpec]] = {}

    def operations(self) -> list[Operation]:
        """Its rows of the table."""
        op, kept = Operation, "The answer; the interaction is on disk, or will be before the last byte of a stream."
        rows = [
            op("POST", "/v1/chat/completions", "Ask a loop as an OpenAI client does, streamed or not.",
               self.completions, ChatAnswer, ChatRequest, replies=((200, kept),), events=True),
            op("POST", "/v1/embeddings", "Embed texts through a loop's variants; nothing is stored.",
               self.embeddings, EmbeddingAnswer, EmbeddingRequest),
            op("GET", "/v1/models", "Every loop, as a model.", self.models, GatewayModels),
            op("GET", "/v1/models/{model}", "One loop, as a model.", self.model, GatewayModel),
        ]  # fmt: skip
        return [row._replace(tag="gateway", says=chat.error, bound=True) for row in rows]

    def close(self) -> None:
        """Close the connections to upstreams that are idle."""
        self._upstreams.close()

    async def completions(self, call: Call) -> Reply | Streamed:
        """Chat completions, streamed or not."""
        try:
            return await self.answer(chat.read_request(decode(call.body, dict)), call)
        except UserError as error:
            return _mistake(error)

    async def answer(self, asked: chat.Asked, call: Call) -> Reply | Streamed:
        """The same for a request that was read, by whichever dialect; `call.body` is the request as OpenAI's."""
        try:
            if consent.signalled(call.header("sec-gpc")):
                asked = asked._replace(consent=consent.under_gpc(asked.consent))
            if asked.trace is None:
                asked = asked._replace(trace=trace_of(call.header("traceparent")))
            spec = self._spec(asked.model, call)
            if not spec.variants:
                return await self._own_model(spec, asked)
            if asked.variant is None:
                assigned = assign(spec, self._wheel.door.pseudonyms, asked.subject, asked.session)
            else:
                assigned = pinned(spec, asked.variant)
            return Streamed(Exchange(self._desk, spec, asked, call.body, assigned, _client_key(call)).run)
        except UserError as error:
            return _mistake(error)

    async def embeddings(self, call: Call) -> Reply:
        """Embeddings, as the upstream makes them. Another variant is asked only if it has the same model: vectors of
        two models can't be compared."""
        try:
            body = decode(call.body, dict)
            spec = self._spec(chat.read_model(body), call)
            if not spec.variants:
                raise InvalidInput(
                    f"loop {spec.name!r} has no variants to make embeddings; declare one with a model that does"
                )
            subject = chat.read_subject(body)
            assigned = assign(spec, self._wheel.door.pseudonyms, subject).variant
        except UserError as error:
            return _mistake(error)
        same = [variant for variant in fallbacks(spec, assigned) if variant.model == assigned.model]
        pseudonym = self._wheel.door.pseudonyms.of(subject)
        key = _client_key(call)

        async def ask(variant: Variant) -> Reply:
            sent = _encode(chat.for_upstream(body, variant, pseudonym, chat=False))
            answer = await post(self._upstreams, variant, "/embeddings", sent, key)
            try:
                raw = await answer.read()
            except UpstreamFailed as error:
                raise failed_upstream(variant, error) from None
            own: Headers = ((b"x-everloop-variant", variant.name.encode()),)
            return Reply(200, raw, JSON, (*passed_back(answer.headers), *own))

        try:
            return await first(same, ask)
        except Refused as refused:
            said_body = refused.body or _encode(chat.error(refused.status, refused.says, code="upstream_failed"))
            return Reply(refused.status, said_body, JSON, refused.headers)

    async def models(self, call: Call) -> Reply:
        """Every loop the caller may ask."""
        only = call.key.loop if call.key is not None else ""
        loops = sorted(self._wheel.store.records.find(LoopSpec), key=lambda spec: spec.name)
        return reply(GatewayModels([_as_model(spec) for spec in loops if only in {"", spec.name}]))

    async def model(self, call: Call) -> Reply:
        """One loop."""
        try:
            return reply(_as_model(self._spec(call.params["model"], call)))
        except UserError as error:
            return _mistake(error)

    def _spec(self, model: str, call: Call) -> LoopSpec:
        """The loop that `model` names: "loop:<name>", or its bare name. NotFound, Forbidden."""
        name = model.removeprefix(PREFIX)
        if call.key is not None and call.key.loop and call.key.loop != name:
            raise Forbidden(f"key {call.key.id} is for loop {call.key.loop!r} alone, not for {name[:100]!r}")
        checked, spec = self._specs.get(name, (-1.0, None))
        if spec is None or time.monotonic() - checked > SPEC_SECONDS:
            spec = self._wheel.store.records.get(LoopSpec, name)
            if spec is None:
                self._specs.pop(name, None)
                raise NotFound(
                    f"model: no loop called {name[:100]!r}; say which one is meant, like {PREFIX}{self._example()}"
                )
            self._specs[name] = (time.monotonic(), spec)
        return spec

    def _example(self) -> str:
        return next((spec.name for spec in self._wheel.store.records.find(LoopSpec, limit=1)), "support")

    async def _own_model(self, spec: LoopSpec, asked: chat.Asked) -> Reply:
        """The answer of the model that the loop has learned: the label is the message.

        A loop that abstains says so as a refusal, with an id: a correction of it is what teaches the loop.
        """
        if spec.task != "classify":
            raise InvalidInput(
                f"model: loop {spec.name!r} has nobody to answer; declare a variant: everloop init {spec.name} "
                "--variant name=… url=… model=…"
            )
        text = chat.last_text(asked.input["messages"])
        if not text.strip():
            raise InvalidInput("messages: no text of a user is in them, and that is what this loop classifies")
        loop = self._wheel.get(spec.name)

        def answer() -> Interaction:
            return loop.answer(text, subject=asked.subject, session=asked.session, context=asked.context,
                               consent=asked.consent, trace=asked.trace)  # fmt: skip

        made = await _in_thread(self._desk.threads, answer)
        if consent.stored(made):
            await self._desk.commits.write([made])
        refusal = LEARNED_NOTHING if made.output is None else None
        whole = chat.completion(made.id, f"{PREFIX}{spec.name}", made.at // 1000, made.output, refusal)
        headers: Headers = ((b"x-request-id", made.id.encode("latin-1", "replace")),)
        if not asked.stream:
            return Reply(200, _encode(whole), JSON, headers)
        chunks = [one for one in chat.chunks(whole) if one["choices"] or asked.include_usage]
        return Reply(200, b"".join(event(_encode(one)) for one in chunks) + event(DONE), STREAM, headers)


async def _in_thread(threads: Executor, work: Callable[[], Interaction]) -> Interaction:
    return await asyncio.get_running_loop().run_in_executor(threads, work)


def trace_of(traceparent: str) -> str | None:
    """The trace that a request is part of, by W3C's Trace Context; None for what is no such header.

    >>> trace_of("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    '0af7651916cd43dd8448eb211c80319c'
    >>> trace_of("00-00000000000000000000000000000000-b7ad6b7169203331-01")
    """
    found = _TRACEPARENT.match(traceparent.strip())
    return found[1] if found and found[1].strip("0") else None


def _client_key(call: Call) -> str | None:
    """The client's own Authorization, for an upstream that has no key in the environment: only where the installation
    has no keys, as otherwise it is a key to this server and nobody else's business (and never one that was once)."""
    given = call.header("authorization")
    return given if given and call.key is None and PREFIX_OF_KEYS not in given else None


def _mistake(error: UserError) -> Reply:
    if isinstance(error, NotFound):
        body = chat.error(404, str(error).removeprefix("model: "), param="model", code="model_not_found")
        return Reply(404, _encode(body))
    return said(error)


def _as_model(spec: LoopSpec) -> GatewayModel:
    return GatewayModel(f"{PREFIX}{spec.name}", spec.at // 1000)


__all__ = ["Gateway"]

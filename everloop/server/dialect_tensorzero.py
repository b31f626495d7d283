"""TensorZero's /inference and /feedback, as its client calls them.

A loop that classifies answers with its live model. Any other is asked through the gateway: the request goes in as
OpenAI's, and what the gateway sends back is said again in TensorZero's words, event by event where it is a stream.
"""

from collections import OrderedDict
from typing import Any

import msgspec
from starlette.types import Message, Receive, Send

from everloop.collect.consent import UNSTORED, signalled, stored, under_gpc
from everloop.errors import EverloopError
from everloop.ids import new_id
from everloop.interop import chat, tensorzero
from everloop.server.dialects import OBJECT, Hearing, bind, body_of
from everloop.server.gateway import Gateway
from everloop.server.streams import DONE, Events, event
from everloop.server.table import Operation
from everloop.server.wire import JSON, Call, Reply, Streamed, headers_of, reply
from everloop.types import Interaction

STREAM = b"text/event-stream"
EPISODES = 20_000  # episodes whose last inference is remembered
# Its client wants a UUID even for what is not kept. One that begins so is ours, and feedback on it is for nothing.
NOTHING_KEPT = "00000000-0000-0000-"

_encode = msgspec.json.Encoder().encode


class TensorZero:
    """Handlers of TensorZero's endpoints."""

    def __init__(self, hearing: Hearing, gateway: Gateway | None = None):
        self._hearing = hearing
        self._gateway = gateway
        self._episodes: OrderedDict[str, str] = OrderedDict()

    def operations(self) -> list[Operation]:
        """Its rows of the table."""
        op, says = Operation, tensorzero.says
        return [
            op("POST", "/inference", "Ask a loop, as TensorZero's client does.", self.inference, OBJECT, OBJECT,
               "interop", bound=True, says=says, events=True),
            op("POST", "/feedback", "Say what an inference or episode was worth, as TensorZero's client does.",
               self.feedback, OBJECT, OBJECT, "interop", bound=True, says=says),
        ]  # fmt: skip

    async def inference(self, call: Call) -> Reply | Streamed:
        """An answer, on disk before it is sent; nothing is kept of a dry run."""
        asked = tensorzero.inference(body_of(call))
        loop = self._hearing.wheel.get(asked.loop)
        bind(call.key, loop.name)
        episode = asked.episode or new_id()
        if loop.spec.task == "classify" and not loop.spec.variants:
            consent = under_gpc(None) if signalled(call.header("sec-gpc")) else None
            return await self._classify(asked, episode, consent)
        if self._gateway is None:
            raise EverloopError("this server has no gateway")
        return await self._through_gateway(asked, episode, call)

    async def _classify(
        self, asked: tensorzero.Asked, episode: str, consent: tuple[str, ...] | None
    ) -> Reply | Streamed:
        made = await self._hearing.in_thread(self._compute, asked, episode, consent)
        kept = stored(made) and not asked.dryrun
        if kept:
            await self._hearing.commits.write([made])
            self._remember(episode, made.id)
        id = made.id if kept else nothing_kept(made.id)
        variant = made.model or "none"  # it abstains while nothing was learned
        if not asked.stream:
            message = {"content": made.output}
            return reply(tensorzero.answered(id, episode, variant, message, tokens=(0, 0), finish="stop",
                                             json=asked.json))  # fmt: skip
        delta = {"content": made.output}
        one = tensorzero.chunk(id, episode, variant, delta, calls={}, finish="stop", tokens=(0, 0), json=asked.json)
        body = event(_encode(one)) + event(DONE)
        return Reply(200, body, STREAM)

    def _compute(self, asked: tensorzero.Asked, episode: str, consent: tuple[str, ...] | None) -> Interaction:
        loop = self._hearing.wheel.get(asked.loop)
        made = loop.answer(chat.last_text(asked.chat["messages"]), subject=asked.subject, session=episode,
                           context=asked.context, consent=consent)  # fmt: skip
        return msgspec.structs.replace(made, trace=episode)

    async def _through_gateway(self, asked: tensorzero.Asked, episode: str, call: Call) -> Reply | Streamed:
        metadata = {"session": episode, "tags": asked.context}
        body = {**asked.chat, "model": f"loop:{asked.loop}", "metadata": metadata, "stream": asked.stream}
        if asked.subject is not None:
            body["user"] = asked.subject
        request = chat.read_request(body)._replace(trace=episode, variant=asked.variant)
        if asked.dryrun:
            request = request._replace(consent=())
        assert self._gateway is not None
        answer = await self._gateway.answer(request, call._replace(body=_encode(body)))
        if isinstance(answer, Reply):
            return self._whole(answer, asked, episode)

        async def run(receive: Receive, send: Send) -> None:
            said = _Said(self, asked, episode, send)
            await answer.run(receive, said.take)

        return Streamed(run)

    def _whole(self, answer: Reply, asked: tensorzero.Asked, episode: str) -> Reply:
        """A whole reply of the gateway, in TensorZero's words."""
        try:
            given = msgspec.json.decode(answer.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            given = None
        if answer.status != 200 or not isinstance(given, dict) or not given.get("choices"):
            said = chat.error_said(given) or "the gateway gave no answer"
            return reply(tensorzero.says(answer.status, said, ""), max(answer.status, 400))
        headers = dict(answer.headers)
        choice, usage = given["choices"][0], given.get("usage") or {}
        return reply(tensorzero.answered(
            self.id_of(given, episode), episode, headers.get(b"x-everloop-variant", b"").decode() or "none",
            choice.get("message") or {}, finish=choice.get("finish_reason") or "stop", json=asked.json,
            tokens=(usage.get("prompt_tokens"), usage.get("completion_tokens")),
        ))  # fmt: skip

    def id_of(self, given: dict[str, Any], episode: str) -> str:
        """The inference's id from the gateway's answer; remembered as the last of its episode."""
        id = str(given.get("id") or new_id())
        if id.startswith(UNSTORED):
            return nothing_kept(id.removeprefix(UNSTORED))
        self._remember(episode, id)
        return id

    async def feedback(self, call: Call) -> Reply:
        """Feedback on an inference, or on the newest of an episode."""
        given = body_of(call)
        said, id = tensorzero.about(given), new_id()
        ids = [said.target]
        if said.target in self._episodes:
            ids.insert(0, self._episodes[said.target])
        about = self._hearing.about(ids, call.key)
        fields = [{**one, "interaction": about.interaction}
                  for one in tensorzero.feedback(given, id, about.declared)]  # fmt: skip
        if said.dryrun or said.target.startswith(NOTHING_KEPT):
            self._hearing.build(fields, about, call)
            return reply({"feedback_id": id})
        (state,) = await self._hearing.keep([(fields, about)], call)
        if isinstance(state, EverloopError):
            raise state
        return reply({"feedback_id": id})

    def _remember(self, episode: str, id: str) -> None:
        self._episodes[episode] = id
        self._episodes.move_to_end(episode)
        while len(self._episodes) > EPISODES:
            self._episodes.popitem(last=False)


class _Said:
    """Takes what the gateway sends and sends it on in TensorZero's words."""

    def __init__(self, of: TensorZero, asked: tensorzero.Asked, episode: str, send: Send):
        self._of, self._asked, self._episode, self._send = of, asked, episode, send
        self._start: Message | None = None
        self._streams = False
        self._variant = "none"
        self._body = b""
        self._events = Events()
        self._calls: dict[int, str] = {}

    async def take(self, message: Message) -> None:
        """One message of the gateway's answer."""
        if message["type"] == "http.response.start":
            self._start = message
            headers = dict(message["headers"])
            self._variant = headers.get(b"x-everloop-variant", b"").decode() or "none"
            self._streams = message["status"] == 200 and headers.get(b"content-type", b"").startswith(STREAM)
            if self._streams:
                await self._send({**message, "headers": [(b"content-type", STREAM), (b"cache-control", b"no-cache")]})
            return
        if self._streams:
            more = message.get("more_body", False)
            found = self._events.feed(message.get("body", b"")) + ([] if more else self._events.rest())
            out = b"".join(self._event(data) for data in found)
            if out or not more:
                await self._send({"type": "http.response.body", "body": out, "more_body": more})
            return
        self._body += message.get("body", b"")
        if not message.get("more_body") and self._start is not None:
            answer = Reply(self._start["status"], self._body, JSON, tuple(self._start["headers"]))
            made = self._of._whole(answer, self._asked, self._episode)
            await self._send({"type": "http.response.start", "status": made.status, "headers": headers_of(made)})
            await self._send({"type": "http.response.body", "body": made.body})

    def _event(self, data: bytes) -> bytes:
        if data == DONE:
            return event(DONE)
        given = msgspec.json.decode(data)
        if (error := chat.error_said(given)) is not None:
            return event(_encode({"error": error}))
        id, usage = self._of.id_of(given, self._episode), given.get("usage")
        choice: dict[str, Any] = next(iter(given.get("choices") or ()), {})
        return event(_encode(tensorzero.chunk(
            id, self._episode, self._variant, choice.get("delta") or {}, calls=self._calls, json=self._asked.json,
            finish=choice.get("finish_reason"),
            tokens=(usage.get("prompt_tokens"), usage.get("completion_tokens")) if usage else None,
        )))  # fmt: skip


def nothing_kept(id: str) -> str:
    """A UUID that says that nothing was kept.

    >>> nothing_kept("0199a0aa-0000-7000-8000-000000000001")
    '00000000-0000-0000-8000-000000000001'
    """
    return NOTHING_KEPT + id[len(NOTHING_KEPT) :]

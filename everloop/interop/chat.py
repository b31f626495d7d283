"""OpenAI's chat API: requests as interactions and as what an upstream is asked, answers as what is kept of them.

Pure: JSON in, JSON out. Source: the reference at https://platform.openai.com/docs/api-reference/chat.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from everloop.errors import InvalidInput
from everloop.types import Price, Variant

_NAMES = ("user", "safety_identifier")  # who asks, in the order in which they are believed
_OURS = frozenset({"model", "stream", "stream_options", "metadata", "store", *_NAMES})
_SPOKEN = ("session", "tags", "consent")  # of metadata, what has a meaning here
_SENT_ONCE = frozenset({"role", "type", "id", "name", "index"})  # of a streamed message: said, not appended to
_KINDS = {401: "authentication_error", 403: "permission_error", 404: "invalid_request_error", 429: "rate_limit_error"}


class Asked(NamedTuple):
    """A chat request: who asks and what, as an interaction has it."""

    model: str
    stream: bool
    include_usage: bool  # the client wants the counts of tokens at the end of a stream
    body: dict[str, Any]  # the request as it came
    input: dict[str, Any]  # messages, tools, response_format, …: all that an answer depends on
    subject: str | None
    session: str | None
    context: dict[str, Any]
    consent: tuple[str, ...] | None  # None: nothing was said of it
    trace: str | None = None  # what it is part of, for another dialect's sake
    variant: str | None = None  # who has to answer, for another dialect's sake; None: who is assigned


class Said(NamedTuple):
    """What an answer says, as an interaction keeps it."""

    output: str
    message: dict[str, Any] | None  # the whole, where the text does not say it
    tokens_in: int | None = None
    tokens_out: int | None = None
    cached: int = 0  # of the tokens that went in, those the upstream had already
    finish: str | None = None


def read_request(body: Mapping[str, Any]) -> Asked:
    """A chat request; raises InvalidInput with one line that begins with the field that is wrong.

    >>> asked = read_request({"model": "loop:a", "messages": [{"role": "user", "content": "hi"}], "user": "u",
    ...                       "metadata": {"session": "s", "channel": "web"}})
    >>> asked.subject, asked.session, asked.context
    ('u', 's', {'channel': 'web'})
    """
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(one, dict) for one in messages):
        raise InvalidInput("messages: a list with at least one message is needed")
    options = body.get("stream_options") or {}
    if not isinstance(options, dict):
        raise InvalidInput(f"stream_options: expected an object, got {type(options).__name__}")
    if not isinstance(body.get("stream"), bool | None):
        raise InvalidInput(f"stream: expected true or false, got {type(body['stream']).__name__}")
    context, session, consent = _spoken(body)
    return Asked(
        model=read_model(body), stream=bool(body.get("stream")), include_usage=bool(options.get("include_usage")),
        body=dict(body), input={key: value for key, value in body.items() if key not in _OURS and value is not None},
        subject=read_subject(body), session=session, context=context, consent=consent,
    )  # fmt: skip


def read_model(body: Mapping[str, Any]) -> str:
    """The model that is asked for; raises InvalidInput."""
    model = body.get("model")
    if not isinstance(model, str) or not model.strip():
        raise InvalidInput('model: say which loop is meant, like "loop:support"')
    return model


def read_subject(body: Mapping[str, Any]) -> str | None:
    """Who asks; raises InvalidInput."""
    for name in _NAMES:
        value = body.get(name)
        if value is not None and not isinstance(value, str):
            raise InvalidInput(f"{name}: expected a text, got {type(value).__name__}")
        if value:
            return value
    return None


def _spoken(body: Mapping[str, Any]) -> tuple[dict[str, Any], str | None, tuple[str, ...] | None]:
    """(context, session, consent) of the request's metadata."""
    metadata = body.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise InvalidInput(f"metadata: expected an object, got {type(metadata).__name__}")
    context = {key: value for key, value in metadata.items() if key not in _SPOKEN}
    session, tags, consent = (metadata.get(name) for name in _SPOKEN)
    if isinstance(tags, dict):
        context.update(tags)
    elif tags:
        context["tags"] = list(_words(tags, "metadata.tags"))
    if session is not None and not isinstance(session, str):
        raise InvalidInput(f"metadata.session: expected a text, got {type(session).__name__}")
    return context, session or None, None if consent is None else _words(consent, "metadata.consent")


def _words(value: Any, name: str) -> tuple[str, ...]:
    """A list of texts, or a text with commas: OpenAI's own client lets metadata hold texts only."""
    found = value.split(",") if isinstance(value, str) else value
    if not isinstance(found, list) or not all(isinstance(word, str) for word in found):
        raise InvalidInput(f"{name}: expected texts in a list, or one with commas")
    return tuple(word.strip() for word in found if word.strip())


def for_upstream(
    body: Mapping[str, Any], variant: Variant, pseudonym: str | None, *, chat: bool = True
) -> dict[str, Any]:
    """What the variant's upstream is sent: all of the request but what is ours.

    Who asks goes as the pseudonym. Metadata goes only where the upstream was asked to store it, which is what OpenAI
    takes it for. A stream is always asked for its counts of tokens.
    """
    asked = {**variant.params, **body, "model": variant.model}
    for name in _NAMES:
        if asked.get(name) is not None:
            asked[name] = pseudonym
    metadata = asked.pop("metadata", None)
    if asked.get("store") and isinstance(metadata, dict):
        asked["metadata"] = {key: value for key, value in metadata.items() if key not in _SPOKEN}
    if chat and variant.prompt:
        asked["messages"] = [{"role": "system", "content": variant.prompt}, *asked["messages"]]
    if chat and asked.get("stream"):
        asked["stream_options"] = {**(asked.get("stream_options") or {}), "include_usage": True}
    return asked


def read_completion(completion: Mapping[str, Any]) -> Said:
    """What a completion says; raises InvalidInput for what is none."""
    choices = completion.get("choices")
    if not isinstance(choices, list) or not choices or not all(isinstance(one, dict) for one in choices):
        raise InvalidInput("the upstream's answer has no choices")
    message = choices[0].get("message")
    if not isinstance(message, dict):
        raise InvalidInput("the upstream's answer has no message")
    text = message.get("content")
    finish = choices[0].get("finish_reason")
    plain = isinstance(text, str) and not any(
        value for key, value in message.items() if key not in {"role", "content", "annotations"}
    )
    whole = None if plain and len(choices) == 1 else dict(message) if len(choices) == 1 else {"choices": list(choices)}
    return Said(
        text_of(text), whole, *_usage(completion.get("usage")), finish=finish if isinstance(finish, str) else None
    )


def _usage(usage: Any) -> tuple[int | None, int | None, int]:
    """(tokens in, tokens out, cached)."""
    if not isinstance(usage, dict):
        return None, None, 0
    details = usage.get("prompt_tokens_details")
    cached = _count(details.get("cached_tokens")) if isinstance(details, dict) else None
    return _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens")), cached or 0


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53 else None


def cost(price: Price, said: Said) -> float:
    """What the answer cost; 0 where the upstream did not count.

    >>> cost(Price(input=1, output=4, cached=0.5), Said("", None, 1_000_000, 500_000, cached=400_000))
    2.8
    """
    cached = min(said.cached, said.tokens_in or 0)
    fresh = (said.tokens_in or 0) - cached
    kept = price.input if price.cached is None else price.cached
    return (fresh * price.input + cached * kept + (said.tokens_out or 0) * price.output) / 1_000_000


def text_of(content: Any) -> str:
    """The text of a message's content: a text, or parts of which some are.

    >>> text_of([{"type": "text", "text": "what is"}, {"type": "image_url", "image_url": {"url": "…"}}])
    'what is'
    """
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = [part.get("text") for part in parts if isinstance(part, dict)]
    return "\n".join(text for text in texts if isinstance(text, str))


def last_text(messages: Sequence[Mapping[str, Any]]) -> str:
    """What the person said last: the input of a loop that classifies."""
    said = (text_of(message.get("content")) for message in reversed(messages) if message.get("role") == "user")
    return next(said, "")


class Gathering:
    """The chunks of a stream, put together again."""

    def __init__(self) -> None:
        self.began = False  # something that a person could read has come
        self._whole: dict[str, Any] = {}
        self._choices: dict[int, dict[str, Any]] = {}

    def add(self, chunk: Mapping[str, Any]) -> None:
        """One chunk, in order; what is in no known shape is passed over."""
        if not self._whole:
            self._whole = {key: value for key, value in chunk.items() if key not in {"choices", "usage"}}
        if isinstance(chunk.get("usage"), dict):
            self._whole["usage"] = chunk["usage"]
        choices = chunk.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            index = choice.get("index", 0) if isinstance(choice, dict) else None
            if not isinstance(index, int) or not (index in self._choices or len(self._choices) < 128):
                continue
            there = self._choices.setdefault(index, {"index": index, "message": {}, "finish_reason": None})
            delta = choice.get("delta")
            if isinstance(delta, dict):
                self.began = self.began or any(value for key, value in delta.items() if key != "role")
                _append(there["message"], delta)
            if isinstance(choice.get("finish_reason"), str):
                there["finish_reason"] = choice["finish_reason"]

    @property
    def finished(self) -> bool:
        """Every choice has said why it ended."""
        return bool(self._choices) and all(one["finish_reason"] for one in self._choices.values())

    def said(self) -> Said:
        """What came so far, as if it were all."""
        choices = [self._choices[index] for index in sorted(self._choices)]
        for choice in choices:
            choice["message"].setdefault("content", None)
            _text(choice["message"])
        if not choices:
            return Said("", None, *_usage(self._whole.get("usage")))
        return read_completion({**self._whole, "choices": choices})


class _Pieces(list[str]):
    """A text that grows: joined when it is read, as adding to a text costs its length each time."""


def _append(there: dict[str, Any], delta: Mapping[str, Any]) -> None:
    for key, value in delta.items():
        old = there.get(key)
        if value is None:
            there.setdefault(key, None)
        elif isinstance(value, str) and key not in _SENT_ONCE:
            if not isinstance(old, _Pieces):
                old = there[key] = _Pieces([old] if isinstance(old, str) else [])
            old.append(value)
        elif isinstance(value, dict):
            if not isinstance(old, dict):
                old = there[key] = {}
            _append(old, value)
        elif isinstance(value, list):
            if not isinstance(old, list) or isinstance(old, _Pieces):
                old = there[key] = []
            _append_items(old, value)
        elif value != "" or old is None:
            there[key] = value


def _append_items(there: list[Any], items: Iterable[Any]) -> None:
    """Items that say their index are parts of one that may be there; others are new."""
    known = {item.get("index"): item for item in there if isinstance(item, dict)}
    for item in items:
        index = item.get("index") if isinstance(item, dict) else None
        if index is None:
            there.append(item)
        elif isinstance(index, int):
            if index not in known:
                known[index] = {}
                there.append(known[index])
            _append(known[index], item)


def _text(value: Any) -> None:
    """Join what has grown, in place."""
    for key, inner in list(value.items() if isinstance(value, dict) else enumerate(value)):
        if isinstance(inner, _Pieces):
            value[key] = "".join(inner)
        elif isinstance(inner, dict | list):
            _text(inner)


def completion(id: str, model: str, created: int, text: str | None, refusal: str | None = None) -> dict[str, Any]:
    """A completion of our own: `text` is the answer; without one, `refusal` says why. `created` in seconds."""
    message = {"role": "assistant", "content": text, "refusal": refusal}
    return {
        "id": id, "object": "chat.completion", "created": created, "model": model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
    }  # fmt: skip


def chunks(completion: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A completion as the stream that would have brought it; its counts of tokens, if any, are the last chunk."""
    head = {key: completion[key] for key in ("id", "created", "model", "system_fingerprint") if key in completion}
    head["object"] = "chat.completion.chunk"
    made: list[dict[str, Any]] = []
    for choice in completion["choices"]:
        delta = {key: value for key, value in (choice.get("message") or {}).items() if value is not None}
        if isinstance(delta.get("tool_calls"), list):
            delta["tool_calls"] = [
                {"index": n, **call} if isinstance(call, dict) else call for n, call in enumerate(delta["tool_calls"])
            ]
        index, finish = choice.get("index", 0), choice.get("finish_reason") or "stop"
        made.append({**head, "choices": [{"index": index, "delta": delta, "finish_reason": None}]})
        made.append({**head, "choices": [{"index": index, "delta": {}, "finish_reason": finish}]})
    if completion.get("usage"):
        made.append({**head, "choices": [], "usage": completion["usage"]})
    return made


def error(
    status: int, message: str, kind: str = "", *, param: str | None = None, code: str | None = None
) -> dict[str, Any]:
    """An error in OpenAI's shape. `kind` is ours, and stands as the code where there is no other."""
    fallback = "invalid_request_error" if status < 500 else "server_error"
    return {
        "error": {
            "message": message,
            "type": _KINDS.get(status, fallback),
            "param": param,
            "code": code or kind or None,
        }
    }


def error_said(body: Any) -> str | None:
    """The message of an upstream's error, if it is one."""
    found = body.get("error") if isinstance(body, dict) else None
    if isinstance(found, dict):
        found = found.get("message") or found.get("code") or found.get("type") or "an error without a message"
    return " ".join(found.split())[:500] if isinstance(found, str) and found.strip() else None

"""What OpenTelemetry's GenAI conventions say of a model's call: the current ones, and those before.

Sources: https://opentelemetry.io/docs/specs/semconv/gen-ai/ (spans and events; up to 1.36 one event a message), and the
flattened `gen_ai.prompt.N.*` of OpenLLMetry, which came first and is still sent most.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from everloop.interop import messages
from everloop.interop.flat import unflatten
from everloop.interop.otlp import Event, Span

# Operations that are no answer of a model: what happens around one.
_AROUND = frozenset({
    "embeddings", "execute_tool", "create_agent", "invoke_agent", "invoke_workflow", "retrieval", "rerank", "plan",
})  # fmt: skip
_ROLES = {
    "gen_ai.system.message": "system", "gen_ai.user.message": "user", "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
}  # fmt: skip
_CHOICE = "gen_ai.choice"
# Events whose attributes might as well stand on the span.
_DETAILS = frozenset({
    "gen_ai.client.inference.operation.details", "gen_ai.content.prompt", "gen_ai.content.completion",
})  # fmt: skip
_PARAMETERS = (
    "temperature", "top_p", "top_k", "max_tokens", "seed", "frequency_penalty", "presence_penalty", "stop_sequences",
)  # fmt: skip
_KNOWN = ("gen_ai.provider.name", "gen_ai.system", "gen_ai.request.model", "gen_ai.response.model")


class Heard(NamedTuple):
    """What was asked and what was answered."""

    messages: list[dict[str, Any]]
    answers: list[dict[str, Any]]  # one a choice
    tools: list[dict[str, Any]]
    parameters: dict[str, Any]


def around(span: Span) -> str | None:
    """Why the span is no answer of a model ("embeddings", "execute_tool"); empty if it is; None if it does not say."""
    operation = span.attributes.get("gen_ai.operation.name") or span.attributes.get("llm.request.type")
    if isinstance(operation, str) and operation:
        return operation if operation in _AROUND or operation in {"embedding", "unknown"} else ""
    kind = span.attributes.get("traceloop.span.kind")
    if isinstance(kind, str) and kind:
        return kind
    if any(name in span.attributes for name in _KNOWN) or any(_tells(event) for event in span.events):
        return ""
    return None


def heard(span: Span) -> Heard:
    """What the span and its events say was asked and answered; empty lists where they don't."""
    told = details(span)
    asked = messages.from_parts(told.get("gen_ai.input.messages"))
    answers = messages.from_parts(told.get("gen_ai.output.messages"))
    if not asked:
        asked = _flat(told, "gen_ai.prompt", "llm.prompts") or _told(span.events)
    if not answers:
        answers = _flat(told, "gen_ai.completion", "llm.completions") or _choices(span.events)
    system = messages.parts_text(told.get("gen_ai.system_instructions"))
    if system:
        asked = [{"role": "system", "content": system}, *asked]
    tools = messages.tools_of(told.get("gen_ai.tool.definitions")) or _functions(told)
    parameters = {name: told.get(f"gen_ai.request.{name}") for name in _PARAMETERS}
    return Heard(
        asked,
        [{**answer, "role": "assistant"} for answer in answers],
        tools,
        {name: value for name, value in parameters.items() if value is not None},
    )


def details(span: Span) -> Mapping[str, Any]:
    """The span's attributes, and those of the events that only carry what it does not."""
    told = span.attributes
    for event in span.events:
        if event.name in _DETAILS:
            told = {**event.attributes, **told}
    return told


def _tells(event: Event) -> bool:
    return event.name in _DETAILS or event.name in _ROLES or event.name == _CHOICE


def _flat(told: Mapping[str, Any], *prefixes: str) -> list[dict[str, Any]]:
    """Messages under `gen_ai.prompt.0.role`, or all of them in one attribute, as JSON or as a text."""
    for prefix in prefixes:
        if prefix in told:
            found = messages.loads(told[prefix])
            if isinstance(found, Mapping) and isinstance(found.get("messages"), list):
                found = found["messages"]
            return messages.from_parts(found)
        flat = [_message(one) for one in messages.dicts(unflatten(told, prefix))]
        if found := [one for one in flat if one]:
            return found
    return []


def _message(flat: dict[str, Any]) -> dict[str, Any]:
    """One flattened message as a chat message."""
    content = messages.loads(flat.get("content"))
    calls = [
        messages.tool_call(call.get("id"), call.get("name", _inner(call).get("name")),
                       call.get("arguments", _inner(call).get("arguments")))
        for call in messages.dicts(flat.get("tool_calls"))
    ]  # fmt: skip
    if content is None and not calls:
        return {}
    # A text that only looks like JSON is a text: content is a text or a list of parts.
    parts = isinstance(content, list) and content and all(isinstance(p, dict) and "type" in p for p in content)
    role = flat.get("role")
    made: dict[str, Any] = {
        "role": role if isinstance(role, str) and role else "user",
        "content": content if parts else _as_text(flat.get("content")),
    }
    if calls:
        made["tool_calls"] = calls
    return {**made, **messages.named(tool_call_id=flat.get("tool_call_id"))}


def _inner(call: dict[str, Any]) -> dict[str, Any]:
    function = call.get("function")
    return function if isinstance(function, dict) else {}


def _told(events: tuple[Event, ...]) -> list[dict[str, Any]]:
    """One event a message: `gen_ai.user.message` and its like."""
    found = []
    for event in events:
        if (role := _ROLES.get(event.name)) is None:
            continue
        told = _body(event)
        content, calls = told.get("content"), messages.loads(told.get("tool_calls"))
        if content is None and not calls:
            continue
        made: dict[str, Any] = {"role": role, "content": content if isinstance(content, list) else _as_text(content)}
        if messages.dicts(calls):
            made["tool_calls"] = [_call(call) for call in messages.dicts(calls)]
        found.append({**made, **messages.named(tool_call_id=told.get("id") if role == "tool" else None)})
    return found


def _choices(events: tuple[Event, ...]) -> list[dict[str, Any]]:
    """The events `gen_ai.choice`, in the order of their index."""
    found = []
    for event in events:
        if event.name != _CHOICE:
            continue
        told = _body(event)
        message = messages.loads(told.get("message", told.get("content")))
        if isinstance(message, str):
            message = {"content": message}
        if not isinstance(message, dict):
            message = {}
        calls = messages.dicts(messages.loads(message.get("tool_calls", told.get("tool_calls"))))
        made = {"role": "assistant", "content": message.get("content")}
        if calls:
            made["tool_calls"] = [_call(call) for call in calls]
        finish = told.get("finish_reason")
        found.append((messages.whole(told.get("index")) or 0, {**made, **messages.named(finish_reason=finish)}))
    return [message for _, message in sorted(found, key=lambda pair: pair[0])]


def _body(event: Event) -> Mapping[str, Any]:
    """What an event says; some put it all into one attribute, as JSON."""
    inner = messages.loads(event.attributes.get("gen_ai.event.content"))
    if isinstance(inner, Mapping):
        return {**event.attributes, **inner}
    return event.attributes if inner is None else {"content": inner, **event.attributes}


def _call(call: dict[str, Any]) -> dict[str, Any]:
    inner = _inner(call)
    return messages.tool_call(
        call.get("id"), inner.get("name", call.get("name")), inner.get("arguments", call.get("arguments"))
    )


def _functions(told: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Tools as OpenLLMetry flattens them: `llm.request.functions.0.name`."""
    found = [
        {**one, "parameters": messages.loads(one["parameters"])} if "parameters" in one else one
        for one in messages.dicts(unflatten(told, "llm.request.functions"))
    ]
    return messages.tools_of(found)


def _as_text(content: Any) -> str | None:
    if content is None or isinstance(content, str):
        return content
    return messages.words_of(content) or messages.dumps(content)

"""What OpenInference's conventions say of a model's call: flattened messages, or input and output as they were.

Source: https://github.com/Arize-ai/openinference/blob/main/spec/semantic_conventions.md
"""

from typing import Any

from everloop.interop import messages
from everloop.interop.flat import unflatten
from everloop.interop.genai import Heard
from everloop.interop.otlp import Span

_NOT_ASKED = ("model", "model_name", "stream", "stream_options", "messages", "tools", "user")


def around(span: Span) -> str | None:
    """Why the span is no answer of a model ("retriever", "tool"); empty if it is; None if it does not say."""
    kind = span.attributes.get("openinference.span.kind")
    if isinstance(kind, str) and kind:
        return "" if kind.upper() == "LLM" else kind.lower()
    return "" if "llm.model_name" in span.attributes or "llm.input_messages.0.message.role" in span.attributes else None


def heard(span: Span) -> Heard:
    """What the span says was asked and answered; empty lists where it doesn't."""
    told = span.attributes
    asked = _messages(unflatten(told, "llm.input_messages"))
    answers = _messages(unflatten(told, "llm.output_messages"))
    offered = [_inner(one, "tool") for one in messages.dicts(unflatten(told, "llm.tools"))]
    tools = [messages.loads(one["json_schema"]) for one in offered if "json_schema" in one]
    parameters = messages.loads(told.get("llm.invocation_parameters"))
    parameters = parameters if isinstance(parameters, dict) else {}
    if not asked:
        request = messages.loads(told.get("input.value"))
        found = messages.asked(request if isinstance(request, dict) else {"input": request})
        asked = found["messages"] if found else _prompt(told.get("input.value"))
    if not answers:
        answers = _answers(told.get("output.value"))
    return Heard(
        asked,
        [{**answer, "role": "assistant"} for answer in answers],
        messages.tools_of(tools) or messages.tools_of(parameters.get("tools")),
        {name: value for name, value in parameters.items() if name not in _NOT_ASKED and value is not None},
    )


def _messages(flat: Any) -> list[dict[str, Any]]:
    """Flattened messages as chat messages."""
    return [made for one in messages.dicts(flat) if (made := _message(_inner(one, "message")))]


def _message(flat: dict[str, Any]) -> dict[str, Any]:
    content: Any = flat.get("content")
    if content is None and (parts := messages.dicts(flat.get("contents"))):
        content = [_part(_inner(part, "message_content")) for part in parts]
        if all(part.get("type") == "text" for part in content):
            content = "\n".join(str(part.get("text") or "") for part in content)
    calls = []
    for call in messages.dicts(flat.get("tool_calls")):
        inner = _inner(call, "tool_call")
        function = _inner(inner, "function")
        calls.append(messages.tool_call(inner.get("id"), function.get("name"), function.get("arguments")))
    if "function_call_name" in flat:
        calls.append(messages.tool_call(None, flat["function_call_name"], flat.get("function_call_arguments_json")))
    if content is None and not calls:
        return {}
    role = flat.get("role")
    made: dict[str, Any] = {"role": role if isinstance(role, str) and role else "user"}
    made["content"] = content if content is None or isinstance(content, str | list) else messages.dumps(content)
    if calls:
        made["tool_calls"] = calls
    return {**made, **messages.named(tool_call_id=flat.get("tool_call_id"), name=flat.get("name"))}


def _part(flat: dict[str, Any]) -> dict[str, Any]:
    image = _inner(_inner(flat, "image"), "image")
    if isinstance(image.get("url"), str):
        return {"type": "image_url", "image_url": {"url": image["url"]}}
    if flat.get("type") in ("text", None) or isinstance(flat.get("text"), str):
        return {"type": "text", "text": flat.get("text") if isinstance(flat.get("text"), str) else ""}
    return {**flat, "type": str(flat.get("type"))}


def _answers(value: Any) -> list[dict[str, Any]]:
    """`output.value`: a text, or a whole chat completion as JSON."""
    said = messages.loads(value)
    if isinstance(said, dict):
        fields = messages.answered(said)
        if "message" in fields:
            return [fields["message"]]
        said = fields.get("output") or value
    text = said if isinstance(said, str) else value if isinstance(value, str) else None
    return [{"role": "assistant", "content": text}] if text else []


def _prompt(value: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": value}] if isinstance(value, str) and value.strip() else []


def _inner(value: Any, name: str) -> dict[str, Any]:
    """The object under `name`, an empty one if there is none: each level of the flattened names repeats its kind."""
    inner = value.get(name) if isinstance(value, dict) else None
    return inner if isinstance(inner, dict) else {}

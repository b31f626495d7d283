"""Messages of other tools as chat messages, and their requests and answers as an interaction has them.

Every function takes what strangers sent: whatever has another type than it should counts as not said.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

# What a request says that does not bear on what a good answer is, or that is said in another field.
_NOT_ASKED = frozenset({
    "model", "stream", "stream_options", "user", "metadata", "store", "service_tier", "safety_identifier",
    "prompt_cache_key", "prompt", "input", "instructions", "messages", "system",
})  # fmt: skip
_TEXTS = ("text", "input_text", "output_text")  # kinds of content parts that are text
_PLAIN = frozenset({"role", "content", "annotations", "finish_reason"})  # what a message may hold and still be a text
_SHOWN = 80


class Answer(NamedTuple):
    """What a model answered."""

    output: str | None  # as text, empty where it only called tools; None: nothing
    message: dict[str, Any] | None = None  # the answer whole, where the text is not all of it


def loads(value: Any) -> Any:
    """A text that holds JSON as what it holds; anything else as it is.

    >>> loads('[{"role": "user"}]'), loads("hello"), loads(3)
    ([{'role': 'user'}], 'hello', 3)
    """
    if isinstance(value, str) and value.lstrip()[:1] in {"{", "["}:
        try:
            return msgspec.json.decode(value)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return value
    return value


def words_of(content: Any) -> str | None:
    """The text of a message's content: itself, or that of its text parts, one a line; None if it has none.

    >>> words_of([{"type": "text", "text": "a"}, {"type": "image_url"}]), words_of("b"), words_of(None)
    ('a', 'b', None)
    """
    if isinstance(content, str):
        return content
    if isinstance(content, Mapping):
        content = [content]
    if not isinstance(content, Sequence):
        return None
    said = [part if isinstance(part, str) else _part_text(part) for part in content]
    words = [text for text in said if text is not None]
    return "\n".join(words) if words else None


def asked(request: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a request asks, as an interaction's input: its messages, tools and parameters; None if it asks nothing.

    A completion's `prompt` and a response's `input` count too.

    >>> asked({"model": "m", "messages": [{"role": "user", "content": "hi"}], "temperature": 0})
    {'messages': [{'role': 'user', 'content': 'hi'}], 'temperature': 0}
    """
    messages = dicts(request.get("messages"))
    if not messages:
        said = loads(request.get("prompt", request.get("input")))
        if isinstance(said, str) and said.strip():
            messages = [{"role": "user", "content": said}]
        elif isinstance(said, list) and said and all(isinstance(one, str) for one in said):
            messages = [{"role": "user", "content": "\n".join(said)}]
        else:
            messages = [one for one in dicts(said) if "role" in one]
    if not messages:
        return None
    system = words_of(request.get("instructions", request.get("system")))
    if system:
        messages = [{"role": "system", "content": system}, *messages]
    rest = {name: value for name, value in request.items() if name not in _NOT_ASKED and value is not None}
    return {"messages": messages, **rest}


def answer_of(message: Any) -> Answer:
    """What an assistant's message says; the message itself only where it is more than a text.

    >>> answer_of({"role": "assistant", "content": "hi", "refusal": None})
    Answer(output='hi', message=None)
    """
    if isinstance(message, str):
        return Answer(message)
    if not isinstance(message, Mapping):
        return Answer(None)
    content = message.get("content")
    text = words_of(content)
    more = any(value for name, value in message.items() if name not in _PLAIN and isinstance(name, str))
    if isinstance(content, list):
        more = more or any(not isinstance(part, str) and _part_text(part) is None for part in content)
    if not more:
        return Answer(text)
    return Answer(text or "", {name: value for name, value in message.items() if name != "finish_reason"})


def answered(response: Any) -> dict[str, Any]:
    """The fields of an interaction that a chat completion, a completion or a response says: output, tokens, …"""
    if isinstance(response, str):
        return {"output": response}
    if not isinstance(response, Mapping):
        return {}
    choices = dicts(response.get("choices"))
    if choices:
        said = choices[0].get("message", choices[0].get("text"))
        finish = choices[0].get("finish_reason")
    elif isinstance(response.get("output"), list):  # the Responses API: a list of items, messages among them
        said, finish = _of_items(dicts(response["output"])), response.get("status")
    else:
        whole_message = "content" in response and "role" in response
        said = response if whole_message else response.get("message", response.get("output"))
        finish = response.get("stop_reason")
    answer = answer_of(said)
    usage = response.get("usage")
    usage = usage if isinstance(usage, Mapping) else {}
    fields: dict[str, Any] = {
        "output": answer.output,
        "message": answer.message,
        "tokens_in": whole(usage.get("prompt_tokens", usage.get("input_tokens"))),
        "tokens_out": whole(usage.get("completion_tokens", usage.get("output_tokens"))),
        "variant": name_of(response.get("model")),
        "context": named(finish=finish),
    }
    return {name: value for name, value in fields.items() if value is not None and value != {}}


def from_parts(value: Any) -> list[dict[str, Any]]:
    """OpenTelemetry's messages, `[{"role", "parts": […]}]`, as chat messages; what is a chat message already stays.

    >>> from_parts([{"role": "user", "parts": [{"type": "text", "content": "hi"}]}])
    [{'role': 'user', 'content': 'hi'}]
    """
    value = loads(value)
    if isinstance(value, str):
        return [{"role": "user", "content": value}] if value.strip() else []
    found: list[dict[str, Any]] = []
    for message in dicts([value] if isinstance(value, Mapping) else value):
        if isinstance(message.get("parts"), list):
            found += _unparted(message)
        elif "role" in message or "content" in message:
            found.append({"role": "user", **message})
    return found


def parts_text(value: Any) -> str | None:
    """System instructions, `[{"type": "text", "content"}]` or a text, as one text."""
    value = loads(value)
    if isinstance(value, str):
        return value or None
    said = [part.get("content", part.get("text")) for part in dicts(value)]
    words = [text for text in said if isinstance(text, str)]
    return "\n".join(words) if words else None


def tools_of(value: Any) -> list[dict[str, Any]]:
    """Tool definitions as chat requests have them: a name, description and parameters stand under `function`."""
    found = []
    for tool in dicts(loads(value)):
        flat = "function" not in tool and name_of(tool.get("name")) and tool.get("type", "function") == "function"
        rest = {name: what for name, what in tool.items() if name != "type"}
        found.append({"type": "function", "function": rest} if flat else tool)
    return found


def tool_call(id: Any, name: Any, arguments: Any) -> dict[str, Any]:
    """One call of a tool, as an assistant's message has it: the arguments are a text."""
    said = arguments if isinstance(arguments, str) else dumps(arguments if arguments is not None else {})
    function = {"name": name if isinstance(name, str) else "", "arguments": said}
    return {**named(id=id), "type": "function", "function": function}


def dumps(value: Any) -> str:
    """A value as JSON; what can't be is said in Python's words."""
    try:
        return msgspec.json.encode(value).decode()
    except (TypeError, ValueError, OverflowError, RecursionError):
        return type(value).__name__[:_SHOWN]


def dicts(value: Any) -> list[dict[str, Any]]:
    """The objects of a list; of anything else, none."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def whole(value: Any) -> int | None:
    """A count: a number that is whole and not negative, also one written as a text; else None.

    >>> whole(3), whole("4"), whole(5.0), whole(-1), whole(True), whole("x")
    (3, 4, 5, None, None, None)
    """
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 16:
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53 else None


def named(**values: Any) -> dict[str, Any]:
    """Those of `values` that are texts and not empty: an id or a kind in a context."""
    return {name: value for name, value in values.items() if isinstance(value, str) and value}


def name_of(value: Any) -> str | None:
    """A text that is not empty, or None."""
    return value if isinstance(value, str) and value else None


def _part_text(part: Any) -> str | None:
    if not isinstance(part, Mapping) or part.get("type", "text") not in _TEXTS:
        return None
    text = part.get("text", part.get("content"))
    return text if isinstance(text, str) else None


def _of_items(items: list[dict[str, Any]]) -> dict[str, Any]:
    """The items of a response as one message."""
    said = [item for item in items if item.get("type", "message") == "message"]
    content = [part for item in said for part in dicts(item.get("content"))]
    calls = [
        tool_call(item.get("call_id", item.get("id")), item.get("name"), item.get("arguments"))
        for item in items if item.get("type") == "function_call"
    ]  # fmt: skip
    message: dict[str, Any] = {"role": "assistant", "content": content}
    return {**message, "tool_calls": calls} if calls else message


def _unparted(message: dict[str, Any]) -> list[dict[str, Any]]:
    """One message in parts as one chat message, and one more for each result of a tool."""
    content: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    reasoning: list[str] = []
    for part in dicts(message["parts"]):
        match part.get("type"):
            case "text":
                content.append({"type": "text", "text": words_of(part.get("content", part.get("text"))) or ""})
            case "tool_call":
                calls.append(tool_call(part.get("id"), part.get("name"), part.get("arguments")))
            case "tool_call_response":
                result = part.get("response", part.get("result"))
                said = result if isinstance(result, str) else dumps(result)
                results.append({"role": "tool", "tool_call_id": str(part.get("id") or ""), "content": said})
            case "reasoning":
                reasoning.append(words_of(part.get("content")) or "")
            case _:
                content.append(_medium(part))
    if results and not content and not calls:
        return results
    made: dict[str, Any] = {"role": name_of(message.get("role")) or "user", "content": _joined(content)}
    if calls:
        made["tool_calls"] = calls
    if reasoning:
        made["reasoning_content"] = "\n".join(reasoning)
    return [{**made, **named(name=message.get("name"), finish_reason=message.get("finish_reason"))}, *results]


def _joined(content: list[dict[str, Any]]) -> str | list[dict[str, Any]] | None:
    """Parts as one text where that is all they are."""
    if all(part.get("type") == "text" for part in content):
        return "\n".join(part["text"] for part in content) if content else None
    return content


def _medium(part: dict[str, Any]) -> dict[str, Any]:
    """An image, a recording or a file as a chat request has it; what is none of these stays as it is."""
    kind, media = part.get("modality"), part.get("mime_type")
    match part.get("type"):
        case "uri" if kind == "image" and isinstance(part.get("uri"), str):
            return {"type": "image_url", "image_url": {"url": part["uri"]}}
        case "blob" if kind == "image" and isinstance(part.get("content"), str):
            return {"type": "image_url", "image_url": {"url": f"data:{media or 'image/png'};base64,{part['content']}"}}
        case "blob" if kind == "audio" and isinstance(part.get("content"), str):
            form = media.rpartition("/")[2] if isinstance(media, str) else "wav"
            return {"type": "input_audio", "input_audio": {"data": part["content"], "format": form}}
        case "file" if isinstance(part.get("file_id"), str):
            return {"type": "file", "file": {"file_id": part["file_id"]}}
    return part

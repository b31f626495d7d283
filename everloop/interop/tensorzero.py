"""TensorZero's /inference and /feedback: its request as an OpenAI chat request, our answers in its words.

`function_name` is the loop, `episode_id` the session (and the trace, so that feedback on an episode finds its newest
answer), tags are context. A metric's value becomes what `judgement` says of it; `comment` and `demonstration` are
TensorZero's own names for a comment and for the answer that should have been given.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from everloop.errors import InvalidInput
from everloop.interop.judgement import (
    MAX_NAME,
    NOTHING_DECLARED,
    Declared,
    Judgement,
    feedback_of,
    number,
    object_field,
    optional_text,
    person_of,
    scale_of,
    shown,
    text_field,
)

_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_CANNOT = ("model_name", "credentials", "extra_body", "extra_headers", "provider_tools", "internal",
           "internal_dynamic_variant_config", "include_original_response", "include_raw_response", "include_raw_usage",
           "include_aggregated_response")  # fmt: skip
_PARAMS = ("temperature", "max_tokens", "seed", "top_p", "presence_penalty", "frequency_penalty", "stop_sequences",
           "reasoning_effort", "service_tier", "verbosity")  # fmt: skip
_KNOWN = frozenset((*_CANNOT, "function_name", "input", "episode_id", "namespace", "stream", "params", "variant_name",
                    "dryrun", "output_schema", "allowed_tools", "additional_tools", "tool_choice",
                    "parallel_tool_calls", "tags", "cache_options"))  # fmt: skip
_FINISHED = {"stop": "stop", "length": "length", "tool_calls": "tool_call", "function_call": "tool_call",
             "content_filter": "content_filter"}  # fmt: skip
HUMAN = "tensorzero::human_feedback"  # the tag TensorZero's own pages put on what a reviewer says


class Asked(NamedTuple):
    """An inference request."""

    loop: str
    chat: dict[str, Any]  # an OpenAI chat request without a model
    episode: str | None
    variant: str | None
    dryrun: bool
    stream: bool
    subject: str | None
    context: dict[str, Any]
    json: bool  # the answer is asked for as an object of a schema


def inference(body: Any) -> Asked:
    """What an inference request asks. InvalidInput names the field that Everloop can't do.

    >>> asked = inference({"function_name": "support", "input": {"messages": [{"role": "user", "content": "hi"}]}})
    >>> asked.loop, asked.chat
    ('support', {'messages': [{'role': 'user', 'content': 'hi'}]})
    """
    if not isinstance(body, dict):
        raise InvalidInput(f"send an object, not {shown(body)}")
    for field in body:
        if field not in _KNOWN:
            raise InvalidInput(f"unknown field {str(field)[:60]!r}")
    if optional_text(body, "function_name") is None:
        raise InvalidInput("function_name: name the loop (models are the loop's variants)")
    for field in _CANNOT:
        if body.get(field) not in (None, False, [], {}, ""):
            raise InvalidInput(f"{field}: Everloop does not do this; leave it out")
    if object_field(body, "cache_options").get("enabled") not in (None, "off", False):
        raise InvalidInput("cache_options: answers are not cached; leave it out")
    person, context = person_of(_tags(body))
    if (space := optional_text(body, "namespace")) is not None:
        context["tensorzero::namespace"] = space
    chat = {"messages": _messages(object_field(body, "input")), **_params(object_field(body, "params")), **_tools(body)}
    schema = object_field(body, "output_schema")
    if schema:
        form = {"name": "output", "schema": schema}
        chat["response_format"] = {"type": "json_schema", "json_schema": form}
    return Asked(
        loop=text_field(body, "function_name"), chat=chat, episode=_uuid(body, "episode_id"),
        variant=optional_text(body, "variant_name"), dryrun=_flag(body, "dryrun"), stream=_flag(body, "stream"),
        subject=person, context=context, json=bool(schema),
    )  # fmt: skip


def answered(
    id: str, episode: str, variant: str, message: Mapping[str, Any], *, tokens: tuple[int | None, int | None],
    finish: str | None = None, json: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """An inference response from an OpenAI message.

    >>> answered("i", "e", "v", {"content": "yo"}, tokens=(1, 2))["content"]
    [{'type': 'text', 'text': 'yo'}]
    """
    out: dict[str, Any] = {
        "inference_id": id, "episode_id": episode, "variant_name": variant,
        "usage": {"input_tokens": tokens[0], "output_tokens": tokens[1]},
        "finish_reason": None if finish is None else _FINISHED.get(finish, "unknown"),
    }  # fmt: skip
    text = message.get("content")
    if json:
        return {**out, "output": {"raw": text if isinstance(text, str) else None, "parsed": _parsed(text)}}
    blocks: list[dict[str, Any]] = [{"type": "text", "text": text}] if isinstance(text, str) and text else []
    refused = message.get("refusal")
    if isinstance(refused, str) and refused:
        blocks.append({"type": "text", "text": refused})
    for call in message.get("tool_calls") or ():
        named, raw = call["function"]["name"], call["function"].get("arguments") or ""
        blocks.append({"type": "tool_call", "id": call.get("id") or "", "raw_name": named, "name": named,
                       "raw_arguments": raw, "arguments": _parsed(raw)})  # fmt: skip
    return {**out, "content": blocks}


def chunk(
    id: str, episode: str, variant: str, delta: Mapping[str, Any], *, calls: dict[int, str], finish: str | None = None,
    tokens: tuple[int | None, int | None] | None = None, json: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """One piece of a streamed inference, from the delta of an OpenAI chunk; `calls` remembers ids of tool calls."""
    out: dict[str, Any] = {"inference_id": id, "episode_id": episode, "variant_name": variant}
    if finish is not None:
        out["finish_reason"] = _FINISHED.get(finish, "unknown")
    if tokens is not None:
        out["usage"] = {"input_tokens": tokens[0], "output_tokens": tokens[1]}
    text = delta.get("content") or delta.get("refusal")
    if json:
        return {**out, "raw": text if isinstance(text, str) else ""}
    blocks: list[dict[str, Any]] = [{"type": "text", "id": "0", "text": text}] if isinstance(text, str) and text else []
    for call in delta.get("tool_calls") or ():
        place, function = call.get("index", 0), call.get("function") or {}
        named = calls.setdefault(place, call.get("id") or str(place))
        blocks.append({"type": "tool_call", "id": named, "raw_name": function.get("name") or "",
                       "raw_arguments": function.get("arguments") or ""})  # fmt: skip
    return {**out, "content": blocks}


class Said(NamedTuple):
    """A feedback request."""

    target: str  # inference or episode
    dryrun: bool


def about(body: Any) -> Said:
    """What feedback speaks of."""
    if not isinstance(body, dict):
        raise InvalidInput(f"send an object, not {shown(body)}")
    inference_id, episode_id = optional_text(body, "inference_id"), optional_text(body, "episode_id")
    if (inference_id is None) == (episode_id is None):
        raise InvalidInput("say one of inference_id and episode_id")
    return Said(inference_id or episode_id or "", _flag(body, "dryrun"))


def feedback(body: Mapping[str, Any], id: str, declared: Declared = NOTHING_DECLARED) -> list[dict[str, Any]]:
    """The fields of the feedback that a /feedback request is, under `id`.

    >>> said = {"metric_name": "task_success", "value": True, "inference_id": "i1"}
    >>> [(f["kind"], f["value"], f["interaction"]) for f in feedback(said, "f1")]
    [('thumb', 'up', 'i1')]
    """
    target = about(body).target
    name, value = text_field(body, "metric_name", MAX_NAME), body.get("value")
    tags = _tags(body)
    person, context = person_of(tags)
    scale = scale_of(context)
    human = context.pop(HUMAN, None) in ("true", "True")
    one = Judgement(
        id=id, interaction=target, name=name, value="", source="reviewer" if human else "user", subject=person,
        scale=scale, context={"tool": "tensorzero", **({"tags": context} if context else {})},
    )  # fmt: skip
    if body.get("episode_id"):
        one.context["episode"] = target
    if name == "comment":
        return feedback_of(one._replace(role="words", value=text_field(body, "value")), declared)
    if name == "demonstration":
        made = feedback_of(one._replace(role="words", value=_demonstrated(value)), declared)
        return [{**made[0], "kind": "demonstration"}]
    if isinstance(value, str):
        return feedback_of(one._replace(value=text_field(body, "value")), declared)
    return feedback_of(one._replace(value=value if isinstance(value, bool) else number(value, "value")), declared)


def says(status: int, message: str, kind: str) -> dict[str, Any]:
    """An error as TensorZero words it."""
    return {"error": message}


def _demonstrated(value: Any) -> str:
    if isinstance(value, str) and value.strip():
        return value
    if isinstance(value, dict) and value:  # what a JSON function should have said
        return msgspec.json.encode(value).decode()
    if isinstance(value, list) and value:
        if all(isinstance(block, dict) and isinstance(block.get("text"), str) for block in value):
            return "\n".join(block["text"] for block in value)
        raise InvalidInput("value: a demonstration with blocks other than text can't be kept; send its text")
    raise InvalidInput(f"value: a demonstration is the text that should have been answered, not {shown(value)}")


def _messages(given: Mapping[str, Any]) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    if (system := given.get("system")) is not None:
        if not isinstance(system, str):
            raise InvalidInput("input.system: send the text; Everloop fills no templates")
        out.append({"role": "system", "content": system})
    messages = given.get("messages") or []
    if not isinstance(messages, list):
        raise InvalidInput(f"input.messages: expected a list, got {shown(messages)}")
    for message in messages:
        if not isinstance(message, dict) or message.get("role") not in ("user", "assistant", "system"):
            raise InvalidInput('input.messages: each is {"role": "user" or "assistant", "content": …}')
        out += _message(message["role"], message.get("content"))
    if not any(message["role"] != "system" for message in out):
        raise InvalidInput("input.messages: at least one message is needed")
    return out


def _message(role: str, content: Any) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"role": role, "content": content}]
    if isinstance(content, dict):
        raise InvalidInput("input.messages.content: send text or blocks; Everloop fills no templates")
    if not isinstance(content, list) or not all(isinstance(block, dict) for block in content):
        raise InvalidInput("input.messages.content: expected a text or a list of blocks")
    parts: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for block in content:
        kind = block.get("type")
        if kind == "tool_call":
            calls.append(_call(block))
        elif kind == "tool_result":
            results.append(
                {"role": "tool", "tool_call_id": text_field(block, "id"), "content": _plain(block, "result")}
            )
        else:
            parts.append(_part(kind, block))
    if not parts and not calls:
        return results
    texts = [part["text"] for part in parts if part["type"] == "text"]
    message: dict[str, Any] = {"role": role, "content": "\n".join(texts) if len(texts) == len(parts) else parts}
    if calls:
        message["tool_calls"] = calls
        message["content"] = message["content"] or None
    return [*results, message]


def _part(kind: Any, block: Mapping[str, Any]) -> dict[str, Any]:
    if kind == "text" and isinstance(block.get("text"), str):
        return {"type": "text", "text": block["text"]}
    if kind == "raw_text" and isinstance(block.get("value"), str):
        return {"type": "text", "text": block["value"]}
    if kind in ("file", "image"):
        media = optional_text(block, "mime_type") or ""
        if (url := optional_text(block, "url")) is not None:
            return _file(media or "image/*", url)
        return _file(media, f"data:{text_field(block, 'mime_type')};base64,{text_field(block, 'data')}")
    if kind in ("text", "template"):
        raise InvalidInput("input.messages.content: send the text; Everloop fills no templates")
    raise InvalidInput(f"input.messages.content: a block of type {str(kind)[:40]!r} can't be sent on")


def _file(media: str, address: str) -> dict[str, Any]:
    if media.startswith("image/"):
        return {"type": "image_url", "image_url": {"url": address}}
    return {"type": "file", "file": {"file_data": address}}


def _call(block: Mapping[str, Any]) -> dict[str, Any]:
    named = optional_text(block, "name") or text_field(block, "raw_name")
    raw = block.get("raw_arguments", block.get("arguments"))
    text = raw if isinstance(raw, str) else msgspec.json.encode(raw if raw is not None else {}).decode()
    return {"id": text_field(block, "id"), "type": "function", "function": {"name": named, "arguments": text}}


def _params(given: Mapping[str, Any]) -> dict[str, Any]:
    for kind, value in given.items():
        if kind != "chat_completion" and value:
            raise InvalidInput(f"params.{str(kind)[:40]}: only chat_completion is known")
    out: dict[str, Any] = {}
    for name, value in object_field(given, "chat_completion").items():
        if value is None:
            continue
        if name not in _PARAMS:
            raise InvalidInput(f"params.chat_completion.{str(name)[:40]}: known are {', '.join(_PARAMS)}")
        out["stop" if name == "stop_sequences" else name] = value
    return out


def _tools(body: Mapping[str, Any]) -> dict[str, Any]:
    tools = body.get("additional_tools") or []
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise InvalidInput("additional_tools: expected a list of objects")
    made: list[dict[str, Any]] = []
    for tool in tools:
        if tool.get("type") not in (None, "function", "client_side_function"):
            raise InvalidInput(f"additional_tools: a tool of type {str(tool['type'])[:40]!r} is not known")
        named = {key: tool[key] for key in ("description", "parameters", "strict") if tool.get(key) is not None}
        made.append({"type": "function", "function": {"name": text_field(tool, "name"), **named}})
    allowed = body.get("allowed_tools")
    if allowed is not None and not isinstance(allowed, list):
        raise InvalidInput("allowed_tools: expected a list of names")
    for name in allowed or ():
        if name not in [tool["function"]["name"] for tool in made]:
            raise InvalidInput(f"allowed_tools: {str(name)[:60]!r} is not among additional_tools; loops hold no tools")
    out: dict[str, Any] = {"tools": made} if made else {}
    choice = body.get("tool_choice")
    if isinstance(choice, dict):
        out["tool_choice"] = {"type": "function", "function": {"name": text_field(choice, "specific")}}
    elif choice is not None and choice not in ("auto", "required", "off", "none"):
        raise InvalidInput('tool_choice: one of auto, required, off, {"specific": name}')
    elif choice is not None and made:
        out["tool_choice"] = "none" if choice == "off" else choice
    if body.get("parallel_tool_calls") is not None and made:
        out["parallel_tool_calls"] = _flag(body, "parallel_tool_calls")
    return out


def _plain(block: Mapping[str, Any], field: str) -> str:
    value = block.get(field)
    if not isinstance(value, str):
        raise InvalidInput(f"{field}: expected a text, got {shown(value)}")
    return value


def _parsed(text: Any) -> Any:
    try:
        made = msgspec.json.decode(text) if isinstance(text, str) else None
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return None
    return made if isinstance(made, dict) else None


def _tags(body: Mapping[str, Any]) -> dict[str, Any]:
    tags = object_field(body, "tags")
    for name, value in tags.items():
        if not isinstance(value, str):
            raise InvalidInput(f"tags.{str(name)[:40]}: expected a text, got {shown(value)}")
    return dict(tags)


def _uuid(body: Mapping[str, Any], field: str) -> str | None:
    value = optional_text(body, field)
    if value is not None and not _UUID.fullmatch(value):
        raise InvalidInput(f"{field}: expected a UUID, got {value[:60]!r}")
    return value


def _flag(body: Mapping[str, Any], field: str) -> bool:
    value = body.get(field)
    if value is not None and not isinstance(value, bool):
        raise InvalidInput(f"{field}: expected true or false, got {shown(value)}")
    return bool(value)

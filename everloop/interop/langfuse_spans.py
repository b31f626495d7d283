"""Spans of Langfuse's clients (from version 3 on), which say everything under `langfuse.*`, in GenAI's names."""

from collections.abc import Mapping
from typing import Any

import msgspec

from everloop.errors import InvalidInput
from everloop.interop.otlp import Span
from everloop.interop.times import time_of

_OBSERVATION = "langfuse.observation."
_METADATA = ("langfuse.trace.metadata.", f"{_OBSERVATION}metadata.")
_TOKENS = {"input": "gen_ai.usage.input_tokens", "prompt_tokens": "gen_ai.usage.input_tokens",
           "output": "gen_ai.usage.output_tokens", "completion_tokens": "gen_ai.usage.output_tokens"}  # fmt: skip


def as_genai(span: Span) -> Span:
    """The span with GenAI's attributes beside Langfuse's; another tool's span as it is. What is there already stays."""
    told = span.attributes
    kind = told.get(f"{_OBSERVATION}type")
    if not isinstance(kind, str):
        return span
    made: dict[str, Any] = {}
    for name, value in told.items():
        for prefix in _METADATA:
            if name.startswith(prefix):
                key = name.removeprefix(prefix)
                made["everloop.loop" if key in ("loop", "everloop.loop") else f"everloop.context.{key}"] = value
    if kind == "generation":
        made |= _generation(told, span)
    elif kind == "embedding":
        made["gen_ai.operation.name"] = "embeddings"
    failed = told.get(f"{_OBSERVATION}level") == "ERROR"
    message = told.get(f"{_OBSERVATION}status_message")
    return span._replace(
        attributes={**made, **told}, failed=span.failed or failed,
        message=span.message or (message if failed and isinstance(message, str) else ""),
    )  # fmt: skip


def _generation(told: Mapping[str, Any], span: Span) -> dict[str, Any]:
    names = {"input": "gen_ai.prompt", "output": "gen_ai.completion", "model.name": "gen_ai.request.model",
             "prompt.name": "everloop.context.prompt"}  # fmt: skip
    made: dict[str, Any] = {"gen_ai.operation.name": "chat"}
    made |= {to: told[_OBSERVATION + name] for name, to in names.items() if _OBSERVATION + name in told}
    for name, value in _object(told, "usage_details").items():
        if name in _TOKENS:
            made[_TOKENS[name]] = value
    cost = _object(told, "cost_details")
    numbers = [value for value in cost.values() if isinstance(value, int | float) and not isinstance(value, bool)]
    if numbers:
        made["gen_ai.usage.cost"] = cost.get("total", sum(numbers))
    made |= {f"gen_ai.request.{name}": value for name, value in _object(told, "model.parameters").items()}
    began = told.get(f"{_OBSERVATION}completion_start_time")
    try:
        began = msgspec.json.decode(began) if isinstance(began, str) and began.startswith('"') else began
        at = time_of(began) if isinstance(began, str) else None
    except (msgspec.DecodeError, UnicodeEncodeError, InvalidInput):
        at = None
    if at is not None and at * 1_000_000 >= span.start > 0:
        made["gen_ai.response.time_to_first_chunk"] = at / 1000 - span.start / 1e9
    return made


def _object(told: Mapping[str, Any], name: str) -> dict[str, Any]:
    """An attribute that holds an object as JSON; empty where it is none."""
    value = told.get(_OBSERVATION + name)
    try:
        found = msgspec.json.decode(value) if isinstance(value, str) else value
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}

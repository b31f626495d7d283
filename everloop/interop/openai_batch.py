"""OpenAI's batch files: requests in one, answers in the other, joined by `custom_id`.

Source: https://platform.openai.com/docs/guides/batch.
"""

from collections.abc import Mapping
from typing import Any

from everloop.errors import InvalidInput
from everloop.interop import messages
from everloop.interop.pieces import Piece, moment


def is_request(row: Mapping[str, Any]) -> bool:
    """Whether the row is a line of the input file."""
    return isinstance(row.get("custom_id"), str) and isinstance(row.get("body"), dict) and "response" not in row


def is_answer(row: Mapping[str, Any]) -> bool:
    """Whether the row is a line of the output file, or of the file of errors."""
    return isinstance(row.get("custom_id"), str) and ("response" in row or "error" in row) and "body" not in row


def read(answer: Mapping[str, Any], request: Mapping[str, Any] | None) -> Piece:
    """An answer and the request it is to, as an interaction; InvalidInput where the request is not there.

    What failed is kept as failed: it says that the model did not answer, which is worth knowing.
    """
    if request is None:
        raise InvalidInput(f"no request has custom_id {str(answer.get('custom_id'))[:60]!r}: name the input file too")
    body = request.get("body")
    asked = messages.asked(body) if isinstance(body, Mapping) else None
    if asked is None or not isinstance(body, Mapping):
        raise InvalidInput("body: expected a chat request with messages, or a prompt")
    response = answer.get("response")
    response = response if isinstance(response, Mapping) else {}
    said = response.get("body")
    said = said if isinstance(said, Mapping) else {}
    error = _error(answer.get("error")) or _error(said.get("error"))
    fields = {} if error else messages.answered(said)
    if error is None and fields.get("output") is None:
        error = f"status {response.get('status_code')} and no answer"
    fields["context"] = {**fields.get("context", {}), "call": messages.named(custom_id=answer.get("custom_id"))}
    if said.get("created", said.get("created_at")) is not None:
        fields["at"] = moment(said.get("created", said.get("created_at")), "created")
    if error is not None:
        fields.update(status="failed", error=error)
    for name, value in (("id", answer.get("id")), ("subject", body.get("user"))):
        if isinstance(value, str) and value:
            fields[name] = value
    return Piece({**fields, "input": asked})


def _error(value: Any) -> str | None:
    if isinstance(value, Mapping):
        value = value.get("message") or value.get("code")
    return " ".join(value.split())[:500] if isinstance(value, str) and value.strip() else None

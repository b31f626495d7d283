"""Log records of NVIDIA's Data Flywheel Blueprint: a chat request and its completion, one a line.

Source: the blueprint's README, "Log schema": timestamp (seconds since 1970), workload_id, client_id, request, response.
"""

from collections.abc import Mapping
from typing import Any

from everloop.errors import InvalidInput
from everloop.interop import messages
from everloop.interop.pieces import Piece, moment


def is_record(row: Mapping[str, Any]) -> bool:
    """Whether the row is such a log record."""
    return isinstance(row.get("request"), dict) and "response" in row and ("workload_id" in row or "client_id" in row)


def read(row: Mapping[str, Any]) -> Piece:
    """A record as an interaction: the workload and the client are context. InvalidInput for one without a request.

    >>> read({"timestamp": 1700000000, "workload_id": "w", "client_id": "c",
    ...       "request": {"model": "m", "messages": [{"role": "user", "content": "hi"}]},
    ...       "response": {"choices": [{"message": {"role": "assistant", "content": "yo"}}]}}).fields["output"]
    'yo'
    """
    request = messages.loads(row.get("request"))
    asked = messages.asked(request) if isinstance(request, Mapping) else None
    if asked is None:
        raise InvalidInput("request: expected a chat request with messages, or a prompt")
    fields = messages.answered(messages.loads(row.get("response")))
    named = messages.named(workload=row.get("workload_id"), client=row.get("client_id"))
    subject = messages.name_of(request.get("user"))
    return Piece({
        **fields, "input": asked, "context": {**fields.get("context", {}), **named},
        **({"at": moment(row["timestamp"], "timestamp")} if row.get("timestamp") is not None else {}),
        **({"subject": subject} if subject else {}),
        **({} if fields.get("output") is not None else {"status": "failed", "error": "the record holds no answer"}),
    })  # fmt: skip

"""Which tool wrote a file, from its first rows."""

from collections.abc import Mapping, Sequence
from typing import Any

from everloop.interop import langfuse_export, nvidia, openai_batch

FORMATS = ("everloop", "nvidia", "langfuse", "openai-batch", "otlp", "columns")


def detect(rows: Sequence[Mapping[str, Any]]) -> str:
    """The format of most of the first rows; "columns" for what no tool is known by.

    >>> detect([{"question": "how?", "answer": "so"}]), detect([{"input": "how?", "output": "so"}])
    ('columns', 'everloop')
    """
    found = [_of(row) for row in rows]
    return max(FORMATS, key=lambda name: (found.count(name), name == "columns"))


def _of(row: Mapping[str, Any]) -> str:
    if nvidia.is_record(row):
        return "nvidia"
    if openai_batch.is_request(row) or openai_batch.is_answer(row):
        return "openai-batch"
    if "resourceSpans" in row or "resourceLogs" in row:
        return "otlp"
    if langfuse_export.kind_of(row) is not None:
        return "langfuse"
    if "input" in row or ("kind" in row and "interaction" in row):
        return "everloop"
    return "columns"

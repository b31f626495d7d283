"""Times as other tools write them."""

from datetime import UTC, datetime
from typing import Any

from everloop.errors import InvalidInput
from everloop.interop.judgement import shown


def time_of(value: Any, field: str = "timestamp") -> int | None:
    """ISO 8601 as milliseconds since 1970; a time without a zone is UTC."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise InvalidInput(f"{field}: expected a time as text, got {shown(value)}")
    try:
        made = datetime.fromisoformat(value)
        return round((made if made.tzinfo else made.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise InvalidInput(f"{field}: {value[:40]!r} is no time; use 2026-01-31T12:00:00Z") from None

"""Personal data and secrets out of texts before anything is written. Patterns alone don't find names."""

from everloop.redact.names import presidio
from everloop.redact.recogniser import Finder, Recogniser, Span
from everloop.redact.replacing import BUILT_IN, Redacted, RedactedValue, redact, redact_value

__all__ = [
    "BUILT_IN",
    "Finder",
    "Recogniser",
    "Redacted",
    "RedactedValue",
    "Span",
    "presidio",
    "redact",
    "redact_value",
]

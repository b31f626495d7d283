"""What makes two examples the same, and the content hash of a dataset version; the same for every backend."""

from collections.abc import Iterable
from hashlib import blake2b, sha256
from typing import Any

from msgspec.json import Encoder

from everloop.types import Example

_canonical = Encoder(order="sorted").encode


def subject_key(subject: str) -> int:
    """A 64-bit signed number for a subject, to index by. Among 10 million people two share one with odds of 3e-6.

    >>> subject_key("u42") == subject_key("u42"), subject_key("u42") == subject_key("u43")
    (True, False)
    """
    return int.from_bytes(blake2b(subject.encode(), digest_size=8).digest(), "big", signed=True)


def example_digest(example: Example) -> bytes:
    """SHA-256 of what a model sees of an example: input, target, origin, split, weight, depth and slices.

    Floats are rounded to 6 decimals, so that the last bit of another machine's arithmetic makes no difference; id,
    group, evidence and subjects do not count.
    """
    content = {
        "input": _rounded_input(example.input),
        "target": example.target,
        "origin": example.origin,
        "split": example.split,
        "weight": round(float(example.weight), 6) + 0.0,
        "depth": example.depth,
        "slices": example.slices,
    }
    return sha256(_canonical(content)).digest()


def version_hash(digests: Iterable[bytes]) -> str:
    """SHA-256, as 64 hex digits, over the sorted digests: the order of the examples makes no difference.

    >>> version_hash([b"b" * 32, b"a" * 32]) == version_hash([b"a" * 32, b"b" * 32])
    True
    """
    return sha256(b"".join(sorted(digests))).hexdigest()


def _rounded_input(value: Any) -> Any:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return [round(float(x), 6) + 0.0 for x in value]  # + 0.0 turns -0.0 into 0.0
    return _rounded(value)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 6) + 0.0
    if isinstance(value, dict):
        return {key: _rounded(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(part) for part in value]
    return value

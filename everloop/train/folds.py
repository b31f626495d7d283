"""Which rows are held out: by a hash, so that a new row moves no other."""

import hashlib
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from everloop.errors import InvalidInput
from everloop.types import Input


def keys(inputs: Sequence[Input], groups: Sequence[str] | None) -> list[bytes]:
    """What each row is held out by: its group, or where there is none its input.

    Raises InvalidInput unless there is a group for each.
    """
    if groups is not None:
        if len(groups) != len(inputs):
            raise InvalidInput(f"{len(inputs)} inputs need as many groups, not {len(groups)}")
        return [group.encode("utf-8", "surrogatepass") for group in groups]
    return [
        value.encode("utf-8", "surrogatepass") if isinstance(value, str) else msgspec.json.encode(value, order="sorted")
        for value in inputs
    ]


def assign(keys: Sequence[bytes], folds: int, seed: int) -> NDArray[np.int64]:
    """A fold from 0 to `folds` - 1 for each key; equal keys get the same. Raises InvalidInput below two folds.

    >>> assign([b"a", b"b", b"c", b"a"], 3, seed=0).tolist()
    [2, 2, 0, 2]
    """
    if folds < 2:
        raise InvalidInput(f"holding rows out takes at least 2 folds, not {folds}")
    salt = seed.to_bytes(16, "big", signed=True)
    numbers = [int.from_bytes(hashlib.blake2b(key, digest_size=8, salt=salt).digest(), "big") for key in keys]
    return np.array([number % folds for number in numbers], dtype=np.int64)

"""The vectors of texts one has embedded already: a turn looks at the same rows in several of its steps."""

import hashlib
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from everloop.features import text

MOST = 131_072  # texts whose vectors are kept: 134 MB of 256 numbers each

Embed = Callable[[Sequence[str]], NDArray[np.float32]]


class VectorCache:
    """`embed`, but each text once; by the hash of its content, so that no text is held. The oldest go first.

    >>> asked = []
    >>> cache = VectorCache(lambda texts: asked.extend(texts) or np.ones((len(texts), 2), np.float32))
    >>> cache.vectors(["a", "b", "a"]).shape, cache.vectors(["b", "c"]).shape, asked
    ((3, 2), (2, 2), ['a', 'b', 'c'])
    """

    def __init__(self, embed: Embed = text.vectors, most: int = MOST):
        self._embed = embed
        self._most = most
        self._places: dict[bytes, int] = {}  # in the order in which they came
        self._matrix: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self._places)

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, columns) of `texts`, to the last bit what `embed` makes of them."""
        keys = [hashlib.blake2b(one.encode("utf-8", "surrogatepass"), digest_size=16).digest() for one in texts]
        fresh = {key: n for n, key in enumerate(keys) if key not in self._places}
        made = self._embed([texts[n] for n in fresh.values()])
        new = {key: place for place, key in enumerate(fresh)}
        result = np.empty((len(texts), made.shape[1]), np.float32)
        old = [n for n, key in enumerate(keys) if key not in new]
        if old and self._matrix is not None:
            result[old] = self._matrix[[self._places[keys[n]] for n in old]]
        rest = [n for n, key in enumerate(keys) if key in new]
        result[rest] = made[[new[keys[n]] for n in rest]]
        self._keep(list(new), made)
        return result

    def _keep(self, keys: list[bytes], made: NDArray[np.float32]) -> None:
        keys, made = keys[-self._most :], made[-self._most :]
        if not keys:
            return
        for key in list(self._places)[: max(0, len(self._places) + len(keys) - self._most)]:
            del self._places[key]
        there = [] if self._matrix is None else [self._matrix[list(self._places.values())]]
        self._matrix = np.concatenate([*there, made])
        self._places = {key: n for n, key in enumerate((*self._places, *keys))}

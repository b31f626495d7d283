"""Texts as static embeddings: WordLlama's token vectors, averaged. 19,000 texts a second on one core, no network."""

import threading
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from everloop.errors import EverloopError
from everloop.features.ngrams import LIMIT, batches

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SIZE = 256  # numbers in a vector
_BATCH = 60_000  # characters looked up at once: at worst a token each, so 60 MB

_lock = threading.Lock()
_loaded: "list[_Embedding]" = []


class _Embedding(NamedTuple):
    tokenizer: "Tokenizer"
    table: NDArray[np.float32]  # a vector for each token


def vectors(texts: Sequence[str]) -> NDArray[np.float32]:
    """Unit vectors of `texts`, shape (n, 256); zeros for a text without a token.

    A text's vector does not depend on the texts around it, to the last bit. Only the first 20,000 characters count.
    The first call loads the tokens and their vectors (16 MB, from the files in the ``wordllama`` wheel).

    Source: WordLlama (Miller 2024, https://github.com/dleemiller/WordLlama), configuration l2_supercat_256.

    >>> a = vectors(["my card has not arrived", "where is my new card?", "exchange rates in Spain"])
    >>> a.shape, bool(a[0] @ a[1] > a[0] @ a[2])
    ((3, 256), True)
    """
    tokenizer, table = _embedding()
    result = np.zeros((len(texts), SIZE), np.float32)
    for part in batches(texts, _BATCH):
        # Half a character (a lone surrogate, which JSON can bring) is none: it becomes a question mark.
        cut = [text[:LIMIT].encode("utf-8", "replace").decode() for text in texts[part]]
        # encode_batch starts threads: not worth it for the one text of a request.
        found = tokenizer.encode_batch_fast(cut, add_special_tokens=False) if len(cut) > 8 else [
            tokenizer.encode(text, add_special_tokens=False) for text in cut
        ]  # fmt: skip
        ids = [encoding.ids for encoding in found]
        length = np.array([len(i) for i in ids])
        some = np.flatnonzero(length)
        if not some.size:
            continue
        start = np.cumsum(length[some]) - length[some]
        # reduceat adds a text's tokens one after the other, whatever stands beside it; wordllama's own code pads each
        # batch to its longest text, which changes the last bits.
        token = np.concatenate([np.array(ids[i]) for i in some])
        total = np.add.reduceat(table[np.minimum(token, len(table) - 1)], start, axis=0).astype(np.float64)
        norm = np.sqrt(np.square(total).sum(axis=1, keepdims=True))
        result[part.start + some] = total / np.maximum(norm, 1e-12)
    return result


def _embedding() -> _Embedding:
    """The tokenizer and the table, loaded once a process.

    Straight from the wheel's files: ``import wordllama`` brings requests and its own compiled extensions (0.3 s),
    and its loader would look for the tokenizer in the home folder and on the network.
    """
    if not _loaded:
        with _lock:
            if not _loaded:
                _loaded.append(_read())
    return _loaded[0]


def _read() -> _Embedding:
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    found = find_spec("wordllama")
    if found is None or not found.submodule_search_locations:
        raise EverloopError("the package wordllama is not installed; run: pip install wordllama")
    folder = Path(found.submodule_search_locations[0])
    try:
        tensors = load_file(folder / "weights" / "l2_supercat_256.safetensors")
        tokenizer = Tokenizer.from_file(str(folder / "tokenizers" / "l2_supercat_tokenizer_config.json"))
    except Exception as error:
        raise EverloopError(f"the files of the package wordllama can't be read ({error}); install it again") from None
    tokenizer.no_padding()
    tokenizer.no_truncation()
    table = next(iter(tensors.values())).astype(np.float32)
    return _Embedding(tokenizer, np.ascontiguousarray(table))

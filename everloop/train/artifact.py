"""A model as bytes: named arrays in a safetensors file. Nothing in it can be executed."""

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from everloop.errors import StoreDamaged
from everloop.train.head import Head

_ABOUT = "about"  # what the model is, as JSON bytes: safetensors' own metadata come out in a random order


def pack(kind: str, about: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """`arrays`, and `about` (JSON values), as the bytes of a model of `kind` ("linear_text.v1").

    Equal contents make equal bytes.
    """
    from safetensors.numpy import save

    text = json.dumps({**about, "kind": kind}, sort_keys=True, ensure_ascii=True).encode()
    return save({**{name: np.ascontiguousarray(a) for name, a in arrays.items()}, _ABOUT: np.frombuffer(text, "u1")})


def unpack(data: bytes, kind: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """What `pack` was given; raises StoreDamaged for anything else.

    >>> unpack(pack("a.v1", {"x": 1}, {"y": np.ones(2)}), "a.v1")
    ({'kind': 'a.v1', 'x': 1}, {'y': array([1., 1.])})
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays = dict(load(data))
        about = json.loads(arrays.pop(_ABOUT).tobytes())
    except (SafetensorError, KeyError, ValueError, TypeError, RecursionError, MemoryError) as error:
        raise StoreDamaged(f"these bytes are not a model ({type(error).__name__})") from None
    if not isinstance(about, dict) or about.get("kind") != kind:
        found = about.get("kind") if isinstance(about, dict) else None
        raise StoreDamaged(f"these bytes are a model of kind {found!r}, not {kind!r}")
    return about, arrays


def require(condition: Any, what: str) -> None:
    """Raises StoreDamaged that says `what` is wrong with a model unless `condition` holds."""
    if not condition:
        raise StoreDamaged(f"this model's bytes contradict themselves: {what}")


def pack_head(head: Head, classes: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """A head's part of `about` and of the arrays.

    Weights are kept in half precision: half the bytes, and not an answer of Banking77's test set changes.
    """
    limit = float(np.finfo(np.float16).max)
    weights = np.clip(head.weights, -limit, limit).astype(np.float16)
    return {"classes": list(classes), "temperature": head.temperature}, {"weights": weights, "bias": head.bias}


def unpack_head(
    about: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], features: int
) -> tuple[Head, tuple[str, ...]]:
    """The head over so many `features`, and its classes; raises StoreDamaged if anything about them is off."""
    classes, temperature = about.get("classes"), about.get("temperature")
    require(isinstance(classes, list) and all(isinstance(c, str) for c in classes) and classes, "its classes")
    assert isinstance(classes, list)
    require(classes == sorted(set(classes)), "the order of its classes")
    require(isinstance(temperature, float) and math.isfinite(temperature) and temperature > 0, "its temperature")
    assert isinstance(temperature, float)
    weights = floats(arrays, "weights", (features, len(classes)), np.float16)
    bias = floats(arrays, "bias", (len(classes),), np.float32)
    return Head(weights.astype(np.float32), bias, temperature), tuple(classes)


def floats(
    arrays: Mapping[str, NDArray[Any]], name: str, shape: tuple[int, ...], kind: type[np.floating[Any]]
) -> NDArray[Any]:
    """The array called `name`, of this shape and type and finite; raises StoreDamaged otherwise."""
    array = arrays.get(name)
    require(array is not None and array.shape == shape and array.dtype == kind, f"its {name}")
    assert array is not None
    require(np.isfinite(array).all(), f"its {name} are not finite")
    return array

"""Lists and objects that were flattened into attributes: `llm.input_messages.0.message.role`."""

from collections.abc import Mapping
from typing import Any

_LEVELS = 12  # more than any convention has; a name with a million dots must not become a million objects


def unflatten(attributes: Mapping[str, Any], prefix: str) -> Any:
    """What stands under `prefix`: a list where the names below are numbers, else an object; None if there is nothing.

    Numbers only give the order: a gap makes nothing. Where one name is both a value and the start of others, the value
    is left out.

    >>> unflatten({"a.1.x": 2, "a.0.x": 1, "a.0.y.z": True, "b": 3}, "a")
    [{'x': 1, 'y': {'z': True}}, {'x': 2}]
    """
    start = f"{prefix}."
    tree: dict[str, Any] = {}
    for name, value in attributes.items():
        if not name.startswith(start):
            continue
        *above, last = name[len(start) :].split(".", _LEVELS)
        node = tree
        for step in above:
            below = node.get(step)
            if not isinstance(below, _Node):
                below = node[step] = _Node()
            node = below
        if not isinstance(node.get(last), _Node):
            node[last] = value
    return _settled(tree) if tree else None


class _Node(dict[str, Any]):
    """A branch, told apart from an object that is a value."""


def _settled(node: Mapping[str, Any]) -> Any:
    made = {name: _settled(value) if isinstance(value, _Node) else value for name, value in node.items()}
    if all(name.isascii() and name.isdigit() and len(name) < 10 for name in made):
        return [made[name] for name in sorted(made, key=int)]
    return made

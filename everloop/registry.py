"""Plug-ins by versioned name. Built-ins use the same door as strangers: the entry-point group ``everloop.<kind>``."""

import re
from importlib.metadata import entry_points
from typing import Any

from everloop.errors import InvalidInput

_NAME = re.compile(r"[a-z][a-z0-9_]*\.v[0-9]+")
_plugins: dict[tuple[str, str], Any] = {}
_scanned: set[str] = set()


def register(kind: str, name: str, plugin: Any) -> Any:
    """Make `plugin` known as `name` ("minhash.v1") among the plug-ins of `kind`; returns it.

    Raises InvalidInput for a name without a version, or one that is taken by something else.
    """
    if not _NAME.fullmatch(name):
        raise InvalidInput(f"plug-in name {name!r} needs a version, like 'my_rule.v1'")
    if _plugins.setdefault((kind, name), plugin) is not plugin:
        raise InvalidInput(f"{kind} plug-in {name!r} is registered twice; give yours another name or version")
    return plugin


def find(kind: str, name: str) -> Any:
    """The plug-in called `name`; raises InvalidInput that lists those there are."""
    if kind not in _scanned:
        _scanned.add(kind)
        for point in entry_points(group=f"everloop.{kind}"):
            if (kind, point.name) not in _plugins:
                register(kind, point.name, point.load())
    try:
        return _plugins[kind, name]
    except KeyError:
        raise InvalidInput(f"no {kind} called {name!r}; there are: {', '.join(names(kind)) or 'none'}") from None


def names(kind: str) -> list[str]:
    """The names registered for `kind`, sorted."""
    return sorted(name for k, name in _plugins if k == kind)

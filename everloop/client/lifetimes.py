"""Clients that live in this process: told when it forks, and closed when it ends."""

import atexit
import os
import weakref
from contextlib import suppress
from typing import Protocol

from everloop import ids


class Living(Protocol):
    """What has to know."""

    def _forked(self) -> None: ...

    def _exit(self) -> None: ...


_living: "weakref.WeakSet[Living]" = weakref.WeakSet()


def watch(client: Living) -> None:
    """Tell `client` of forks and of the end, as long as somebody holds it."""
    _living.add(client)


def unwatch(client: Living) -> None:
    """It is closed."""
    _living.discard(client)


def _in_child() -> None:
    for client in list(_living):
        client._forked()


def _at_exit() -> None:
    for client in list(_living):
        with suppress(Exception):  # the process is ending: nobody can do anything about it
            client._exit()


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    # Another thread may be making an id at the moment of the fork; the child would wait for it for ever.
    os.register_at_fork(before=ids._lock.acquire, after_in_parent=ids._lock.release, after_in_child=ids._lock.release)
    os.register_at_fork(after_in_child=_in_child)

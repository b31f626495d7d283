"""A bell that may be rung from anywhere, a signal handler and a finaliser too."""

import _thread
from contextlib import suppress


class Bell:
    """Wakes one waiting thread. Unlike an Event it is one lock, rung in one step: a thread that is interrupted while it
    rings, by a handler that rings as well, does not wait for itself.

    >>> bell = Bell()
    >>> bell.ring(), bell.ring(), bell.rung
    (None, None, True)
    >>> bell.wait(0), bell.wait(0), bell.rung
    (True, False, False)
    """

    def __init__(self) -> None:
        self._silent = _thread.allocate_lock()
        self._silent.acquire()

    @property
    def rung(self) -> bool:
        """Whether nobody has answered it yet."""
        return not self._silent.locked()

    def ring(self) -> None:
        """Wake the waiting thread, or the next that waits."""
        with suppress(RuntimeError):  # rung already
            self._silent.release()

    def wait(self, seconds: float | None) -> bool:
        """Wait until it is rung, for `seconds` at most (None: for ever), and silence it; whether it was."""
        return self._silent.acquire(timeout=-1 if seconds is None else max(0.0, seconds))

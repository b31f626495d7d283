"""Heavy pure functions in processes of their own, so that they use every core and leave the serving process its own.

A worker is a fresh interpreter that imports Everloop and nothing else. `multiprocessing`'s own ways to start one won't
do: a fork copies the locks of a serving process but not its threads, and a spawn runs the user's script once more. What
travels over the pipe between the two is pickled by this program for this program; nothing from outside ever is.
"""

import atexit
import os
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from everloop.engine.interpreter import fresh

A = TypeVar("A")
B = TypeVar("B")

_CODE = "from everloop.engine.local import work; work(*map(int, sys.argv[1:]))"
_ONLY_IN_A_WORKER = "EVERLOOP_ENGINE_WORKER"
# glibc gives arrays of this size and more back to the system at once, instead of keeping them for the next one.
_TIDY = {"MALLOC_MMAP_THRESHOLD_": "262144", "MALLOC_TRIM_THRESHOLD_": "262144", "MALLOC_ARENA_MAX": "2"}
_LOOK_SECONDS = 0.5  # how often a worker looks whether its parent is still there
_lock = threading.Lock()
_workers: list["_Worker"] = []  # those that `each` keeps
_alive: set["_Worker"] = set()


def cores() -> int:
    """Processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def each(function: Callable[[A], B], items: Sequence[A]) -> list[B]:
    """`function` of each item, in order; `function` is a module's own and depends on its argument alone.

    The first item is done here while the others are done elsewhere, so two items take two cores. Where there is one
    core, or a worker can't be started or dies, the work is done here: the result is the same, only later.
    """
    spare = min(cores(), len(items)) - 1
    if spare < 1 or _ONLY_IN_A_WORKER in os.environ or not _lock.acquire(blocking=False):
        return [function(item) for item in items]  # another thread has the workers: two turns at once share the cores
    try:
        while len(_workers) < spare:
            _workers.append(_Worker())
        shares = [list(items[1 + n :: spare]) for n in range(spare)]
        with ThreadPoolExecutor(spare) as senders:
            elsewhere = [
                senders.submit(worker.all, function, share) for worker, share in zip(_workers, shares, strict=False)
            ]
            here = function(items[0])
            found = [done.result() for done in elsewhere]
        return [here, *(found[n % spare][n // spare] for n in range(len(items) - 1))]
    except (OSError, EOFError):
        close()
        return [function(item) for item in items]
    finally:
        _lock.release()


def apart(function: Callable[[A], B], item: A) -> B:
    """`function` of one item in a process that ends with it, so that the memory it took is given back.

    It may use `each` itself. Where no process can be started, or it dies, the work is done here.
    """
    try:
        worker = _Worker(leaf=False)
    except OSError:
        return function(item)
    try:
        return worker.all(function, [item])[0]
    except (OSError, EOFError):
        return function(item)
    finally:
        worker.close()


def work(handle: int, parent: int) -> None:
    """What a worker does: take a function and its argument, give back the result, until the pipe closes.

    A pipe that closes in the middle of the work would only be seen after it, so process `parent` is watched as well:
    killed, it can tell nobody, and its successor needs the cores.
    """
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    with Connection(handle) as pipe:
        try:
            while True:
                function, item = pipe.recv()
                try:
                    answer: tuple[bool, Any] = (True, function(item))
                except Exception as error:  # it is raised again where it was asked for
                    answer = (False, error)
                pipe.send(answer)
        except (EOFError, OSError, KeyboardInterrupt):
            return


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_SECONDS)
    os._exit(1)


class _Worker:
    """One worker process and this end of its pipe."""

    def __init__(self, leaf: bool = True) -> None:
        self._pipe, theirs = Pipe()
        mark = {**_TIDY, _ONLY_IN_A_WORKER: "1"} if leaf else _TIDY
        try:
            self._process = subprocess.Popen(  # noqa: S603  our own interpreter and code
                [*fresh(_CODE), str(theirs.fileno()), str(os.getpid())], pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL, env={**os.environ, **mark}, start_new_session=True,
            )  # fmt: skip
        finally:
            theirs.close()
        _alive.add(self)

    def all(self, function: Callable[[A], B], items: Sequence[A]) -> list[B]:
        """The results of `items`; raises what `function` raised, or EOFError or OSError if the worker is gone."""
        found = []
        for item in items:
            self._pipe.send((function, item))
            well, result = self._pipe.recv()
            if not well:
                raise result
            found.append(result)
        return found

    def close(self) -> None:
        """The worker sees its pipe close, and ends; one in the middle of its work is ended."""
        _alive.discard(self)
        self._pipe.close()
        self._process.terminate()
        self._process.wait()


@atexit.register
def close() -> None:
    """End the workers; the next call starts new ones."""
    _workers.clear()
    for worker in list(_alive):
        worker.close()

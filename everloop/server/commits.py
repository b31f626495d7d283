"""Requests that arrive together are written together: one hand-over to the store at a time, with all that waits."""

import asyncio
import contextlib
from collections.abc import Sequence
from concurrent.futures import Future
from typing import NamedTuple

from msgspec import Struct

from everloop.errors import UserError
from everloop.store import Receipt, Records


class _Waiting(NamedTuple):
    records: Sequence[Struct]
    receipts: "asyncio.Future[list[Receipt]]"


class Commits:
    """Collects what is to be written while the store writes what came before, then hands it over.

    Waking the event loop from the store's thread, and waiting for the disk, is what a request costs most; this way many
    share both. What a group asks for is still all or none, and a group in conflict fails alone.
    """

    def __init__(self, records: Records):
        self._records = records
        self._waiting: list[_Waiting] = []
        self._writing = 0  # hand-overs that the store has not answered yet

    def write(self, records: Sequence[Struct]) -> "asyncio.Future[list[Receipt]]":
        """The receipts of `records` once they are on disk, all or none; fails as `Records.submit` does."""
        loop = asyncio.get_running_loop()
        made: asyncio.Future[list[Receipt]] = loop.create_future()
        if not self._waiting and not self._writing:
            loop.call_soon(self._flush, loop)  # what else came in this moment goes with it
        self._waiting.append(_Waiting(records, made))
        return made

    def _flush(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._waiting and not self._writing:
            groups, self._waiting = self._waiting, []
            self._hand_over(loop, groups)

    def _hand_over(self, loop: asyncio.AbstractEventLoop, groups: list[_Waiting]) -> None:
        def settle(done: "Future[list[Receipt]]") -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits any more
                loop.call_soon_threadsafe(self._settle, loop, groups, done)

        try:
            submitted = self._records.submit([record for group in groups for record in group.records])
        except Exception as error:
            if len(groups) > 1:  # one of them can't be written at all
                for group in groups:
                    self._hand_over(loop, [group])
            else:
                _fail(groups, error)
            return
        self._writing += 1
        submitted.add_done_callback(settle)

    def _settle(self, loop: asyncio.AbstractEventLoop, groups: list[_Waiting], done: "Future[list[Receipt]]") -> None:
        self._writing -= 1
        self._tell(loop, groups, done)
        self._flush(loop)

    def _tell(self, loop: asyncio.AbstractEventLoop, groups: list[_Waiting], done: "Future[list[Receipt]]") -> None:
        error = done.exception()
        if isinstance(error, UserError) and len(groups) > 1:
            for group in groups:  # one of them is in conflict: each on its own, so that it costs only itself
                self._hand_over(loop, [group])
        elif error is not None:
            _fail(groups, error)
        else:
            receipts, start = done.result(), 0
            for group in groups:
                end = start + len(group.records)
                if not group.receipts.done():
                    group.receipts.set_result(receipts[start:end])
                start = end


def _fail(groups: Sequence[_Waiting], error: BaseException) -> None:
    for group in groups:
        if not group.receipts.done():
            group.receipts.set_exception(error)

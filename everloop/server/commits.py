"""Requests that arrive together are written together: one hand-over to the store for each tick of the event loop."""

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
    """Collects what is to be written until the event loop has a moment, then hands it to the store's group commit.

    Waking the event loop from the store's thread is what a request costs most; this way many share one waking. What a
    group asks for is still all or none, and a group in conflict fails alone.
    """

    def __init__(self, records: Records):
        self._records = records
        self._waiting: list[_Waiting] = []

    def write(self, records: Sequence[Struct]) -> "asyncio.Future[list[Receipt]]":
        """The receipts of `records` once they are on disk, all or none; fails as `Records.submit` does."""
        loop = asyncio.get_running_loop()
        made: asyncio.Future[list[Receipt]] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._flush, loop)
        self._waiting.append(_Waiting(records, made))
        return made

    def _flush(self, loop: asyncio.AbstractEventLoop) -> None:
        groups, self._waiting = self._waiting, []
        self._hand_over(loop, groups)

    def _hand_over(self, loop: asyncio.AbstractEventLoop, groups: list[_Waiting]) -> None:
        def settle(done: "Future[list[Receipt]]") -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits any more
                loop.call_soon_threadsafe(self._settle, loop, groups, done)

        try:
            self._records.submit([record for group in groups for record in group.records]).add_done_callback(settle)
        except Exception as error:
            _fail(groups, error)

    def _settle(self, loop: asyncio.AbstractEventLoop, groups: list[_Waiting], done: "Future[list[Receipt]]") -> None:
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

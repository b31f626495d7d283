"""The one thread of a process that writes: many submissions, one transaction, one fsync."""

import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, TypeVar

from everloop.errors import StoreError
from everloop.store.sqlite_connection import BUSY_SECONDS, connect, explain

T = TypeVar("T")
_GROUP = 512  # submissions in one transaction at most, so that the first need not wait long for the last
_SCRUB_SECONDS = 2.0  # how long an erasure waits for readers to let go of the log
_REWRITE_LIMIT = 512 << 20  # bytes; nobody can write meanwhile, and it takes a second for each 80 MB


class _Job(NamedTuple):
    work: Callable[[sqlite3.Connection], Any]  # may be run again from the start after a rollback
    future: "Future[Any]"
    scrub: Callable[[Any], bool]


_Answer = tuple[Any, Exception | None]  # what a job returned, or what it raised


class Writer:
    """Runs jobs in the order they are submitted, in groups that commit together.

    A job that raises undoes only its own part; the others of its group go through. Nothing is told to a caller before
    the transaction is on disk.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = connect(path)
        # A checkpoint syncs the file: less often than SQLite's 4 MB, more often than readers would notice.
        self._connection.execute("PRAGMA wal_autocheckpoint = 4000")
        self._connection.execute(f"PRAGMA journal_size_limit = {64 << 20}")
        self._queue: SimpleQueue[_Job | None] = SimpleQueue()
        self._scrub_due = False
        self._closed = False
        self._closing = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="everloop-writer", daemon=True)
        self._thread.start()

    def submit(
        self, work: Callable[[sqlite3.Connection], T], *, scrub: Callable[[T], bool] = lambda _: False
    ) -> "Future[T]":
        """Queue `work`; the future has what it returned once that is on disk.

        Where `scrub` says so of what it returned, what was deleted is then also made to be gone from the disk.
        """
        future: Future[T] = Future()
        with self._closing:
            if self._closed:
                raise StoreError(f"{self._path} is closed")
            self._queue.put(_Job(work, future, scrub))
        return future

    def close(self) -> None:
        """Finish what was submitted, then stop."""
        with self._closing:
            first, self._closed = not self._closed, True
            if first:
                self._queue.put(None)
        self._thread.join()
        if first:
            self._connection.close()

    def _run(self) -> None:
        while (job := self._queue.get()) is not None:
            jobs, last = [job], False
            with suppress(Empty):
                while len(jobs) < _GROUP:
                    if (job := self._queue.get_nowait()) is None:
                        last = True
                        break
                    jobs.append(job)
            # A caller may have given up waiting; from here on it no longer can.
            self._serve([job for job in jobs if job.future.set_running_or_notify_cancel()])
            if last:
                break
        if self._scrub_due:
            self._scrub()

    def _serve(self, jobs: list[_Job]) -> None:
        # Most groups go through whole. To undo one job alone takes a savepoint for each, which doubles the cost of
        # small ones: so that is only the second try, and the third is each in a transaction of its own.
        answers = self._group(jobs, self._plain) if len(jobs) > 1 else None
        answers = answers or self._group(jobs, self._undoable)
        if answers is None:
            for job in jobs:
                self._serve([job])
            return
        done = [job.scrub(result) for job, (result, error) in zip(jobs, answers, strict=True) if error is None]
        if any(done):
            self._rewrite()
        if self._scrub_due or any(done):
            self._scrub()
        for job, (result, error) in zip(jobs, answers, strict=True):
            if error is None:
                job.future.set_result(result)
            else:
                job.future.set_exception(error)

    def _group(self, jobs: list[_Job], run: Callable[[_Job], _Answer]) -> list[_Answer] | None:
        """What each job returned or raised, committed; None if a group of several could not be committed."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            answers = [run(job) for job in jobs]
            self._connection.execute("COMMIT")
        except Exception as error:
            with suppress(sqlite3.Error):
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
            return [(None, self._told(error))] if len(jobs) == 1 else None
        return answers

    def _plain(self, job: _Job) -> _Answer:
        return job.work(self._connection), None

    def _undoable(self, job: _Job) -> _Answer:
        execute = self._connection.execute
        execute("SAVEPOINT job")
        try:
            answer = self._plain(job)
        except Exception as error:
            # On a full disk SQLite may have undone the whole transaction: then the caller of this finds out.
            if not self._connection.in_transaction:
                raise
            execute("ROLLBACK TO job")
            answer = None, self._told(error)
        execute("RELEASE job")
        return answer

    def _told(self, error: Exception) -> Exception:
        known = isinstance(error, sqlite3.Error | OSError | UnicodeEncodeError | OverflowError)
        return explain(error, self._path) if known else error

    def _rewrite(self) -> None:
        """Write the file anew, so that no page keeps a copy of what it once held.

        SQLite zeroes what it deletes, but rows that a page split or merge moved leave copies behind. A file too large
        for this, or a disk without room for it, keeps those of earlier moves; the rows themselves are blanked.
        """
        with suppress(OSError):
            if self._path.stat().st_size > _REWRITE_LIMIT:
                return
        with suppress(sqlite3.Error):
            self._connection.execute("PRAGMA temp_store = FILE")  # the copy is made there, and memory is for others
            self._connection.execute("VACUUM")
        self._connection.execute("PRAGMA temp_store = MEMORY")

    def _scrub(self) -> None:
        """Empty the write-ahead log; if readers are in the way, after the next group, or when closing."""
        try:
            self._connection.execute(f"PRAGMA busy_timeout = {_SCRUB_SECONDS * 1000:.0f}")
            busy = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            self._scrub_due = bool(busy)
        except sqlite3.Error:
            self._scrub_due = True
        finally:
            self._connection.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000:.0f}")

"""Group commit: threads that commit together what waits, so that many callers share one wait for the disk.

A line is a thread that takes the next things that may be committed together, commits them, and tells who listens. If
the commit of several fails, and the database is not away, each is committed alone, so that one of them spoils no other.
Nobody hears of anything before its commit.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Generic, Protocol, TypeVar

from services.chassis.db import is_unavailable
from services.chassis.log import logger

log = logger(__name__)


class Waiting(Protocol):
    """Something that waits for its commit."""

    error: Exception | None
    """Why it could not be committed; None if it could."""


W = TypeVar("W", bound=Waiting)

# Commits things in one transaction.
Commit = Callable[[Sequence[W]], None]


class Queue(Protocol[W]):
    """What waits."""

    def take(self, done: Sequence[W]) -> Sequence[W]:
        """The next things for one commit; waits for some, and has none once it is closed and empty.

        Args:
            done: what the same line has taken before; nothing of it is on its way any more.
        """

    def close(self) -> None:
        """Take nothing more in; what waits is still handed out."""


def _nobody_listens(_: Sequence[Waiting]) -> None:
    """Tell nobody."""


class GroupCommit(Generic[W]):
    """The lines of a process."""

    def __init__(
        self, name: str, queue: Queue[W], open_line: Callable[[], AbstractContextManager[Commit[W]]], *, lines: int
    ) -> None:
        """Prepare the threads; nothing starts yet.

        Args:
            name: of the threads, for logs.
            queue: what waits.
            open_line: what a thread keeps while it commits, e.g. a connection, and how it commits.
            lines: transactions at once.
        """
        self._name = name
        self._queue = queue
        self._open_line = open_line
        self._finished: Callable[[Sequence[W]], None] = _nobody_listens
        self._threads = [
            threading.Thread(target=self._run, name=f"{name}-{number}", daemon=True) for number in range(lines)
        ]

    def listen(self, finished: Callable[[Sequence[W]], None]) -> None:
        """Call `finished`, in a line's thread, with what was committed together or given up."""
        self._finished = finished

    def start(self) -> None:
        """Begin to commit."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Commit what waits, and end."""
        self._queue.close()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        with self._open_line() as commit:
            taken = self._queue.take(())
            while taken:
                self._commit_together(commit, taken)
                taken = self._queue.take(taken)

    def _commit_together(self, commit: Commit[W], things: Sequence[W]) -> None:
        """Commit things in one transaction; where one of them is at fault, each in its own."""
        try:
            commit(things)
        except Exception as error:
            if len(things) > 1 and not is_unavailable(error):
                log.exception("group_commit_failed", line=self._name, things=len(things))
                for thing in things:
                    self._commit_together(commit, [thing])
                return
            for thing in things:
                thing.error = error
            if not is_unavailable(error):
                log.exception("commit_failed", line=self._name)
        self._finished(things)

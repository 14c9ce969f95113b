"""A batch on its way into the log, and the bounded queue in which it waits for a commit."""

from __future__ import annotations

import threading
from collections import deque

from services.ingest.domain.outcome import Answer
from services.ingest.domain.usage_events import UsageEvents
from services.ingest.pipeline.prepare import Preparation, PreparedUsageEvents
from services.kernel.errors import ResourceExhaustedError, UnavailableError
from services.kernel.ids import OrganizationId

# About a second at the highest rate measured. A later call would wait longer than it takes to come again.
MAX_WAITING_EVENTS = 50_000
# Rows and entries of the waiting batches; the process may need twice as much memory for them.
MAX_WAITING_BYTES = 64 * 1024 * 1024
# With fewer events, a commit costs about as much as with a single one, and the database is not the limit.
PARALLEL_EVENTS = 500
# The queue empties within about a second.
RETRY_AFTER_SECONDS = 1


class Submission:
    """A prepared batch of one organization, and its answers once it is committed.

    Attributes:
        organization: whose events they are.
        events: the events, in order.
        received_us: when the log received them.
        preparation: the prepared batch; replaced if the catalog changed before the commit.
        answers: one for each event, in order; empty before the commit.
        error: why the batch could not be committed; None if it could.
    """

    def __init__(
        self, organization: OrganizationId, events: UsageEvents, received_us: int, preparation: Preparation
    ) -> None:
        self.organization = organization
        self.events = events
        self.received_us = received_us
        self.preparation = preparation
        self.byte_size = preparation.byte_size
        self.answers: list[Answer] = []
        self.error: Exception | None = None

    @property
    def prepared(self) -> PreparedUsageEvents:
        """The prepared events, in order."""
        return self.preparation.events


class Queue:
    """The batches that wait for the committer, limited in events and in bytes."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[Submission] = deque()
        self._events = 0
        self._bytes = 0
        self._commits = 0
        self._is_closed = False

    def put(self, submission: Submission) -> None:
        """Add a batch.

        Raises:
            ResourceExhaustedError: the queue is full; nothing of the batch is stored.
            UnavailableError: the process is stopping.
        """
        with self._changed:
            if self._is_closed:
                raise UnavailableError("STOPPING", "this process takes no more events")
            if self._events and (
                self._events + len(submission.events) > MAX_WAITING_EVENTS
                or self._bytes + submission.byte_size > MAX_WAITING_BYTES
            ):
                raise ResourceExhaustedError(
                    "INGEST_QUEUE_FULL",
                    "the log cannot keep up; nothing was stored",
                    retry_after_seconds=RETRY_AFTER_SECONDS,
                )
            self._waiting.append(submission)
            self._events += len(submission.events)
            self._bytes += submission.byte_size
            if self._is_worth_a_commit():
                self._changed.notify()

    def take(self, max_events: int, max_bytes: int, *, is_after_commit: bool = False) -> list[Submission]:
        """The next batches that fit into one commit, at least one; waits until they are worth a commit.

        Args:
            max_events: how many events one commit may have, unless a single batch has more.
            max_bytes: how many bytes one commit may have, with the same exception.
            is_after_commit: whether the caller has just finished committing the batches it took before.

        Returns:
            The batches; none if the queue is closed and nothing waits.
        """
        with self._changed:
            self._commits -= is_after_commit
            while not self._is_worth_a_commit() and not self._is_closed:
                self._changed.wait()
            taken = self._pop(max_events, max_bytes)
            self._commits += 1
            if self._is_worth_a_commit():
                self._changed.notify()
            return taken

    def _pop(self, max_events: int, max_bytes: int) -> list[Submission]:
        taken: list[Submission] = []
        events = size = 0
        while self._waiting:
            upcoming = self._waiting[0]
            if taken and (events + len(upcoming.events) > max_events or size + upcoming.byte_size > max_bytes):
                break
            taken.append(self._waiting.popleft())
            events += len(upcoming.events)
            size += upcoming.byte_size
        self._events -= events
        self._bytes -= size
        return taken

    def _is_worth_a_commit(self) -> bool:
        """Whether to begin.

        During another commit only many events are worth one of their own; few better share the next.
        """
        return bool(self._waiting) and (self._commits == 0 or self._events >= PARALLEL_EVENTS)

    def close(self) -> None:
        """Accept no more batches; those that wait are still handed out."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

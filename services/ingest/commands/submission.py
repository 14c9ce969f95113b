"""A batch on its way through the committer, and the bounded queue it waits in."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence

from services.ingest.commands.prepare import Preparation, Prepared
from services.ingest.domain.outcome import Answer
from services.ingest.domain.usage_event import UsageEvent
from services.kernel.errors import ResourceExhaustedError, UnavailableError

# About a second of the highest rate measured; whoever comes later would wait longer than it takes to come again.
MAX_WAITING_EVENTS = 50_000
# Rows and entries of the waiting batches; what the process may need for them, twice over.
MAX_WAITING_BYTES = 64 * 1024 * 1024
# The queue empties within about a second.
RETRY_AFTER_SECONDS = 1
# Longer than the longest statement and its retries: an answer is worth waiting for, an unknown outcome is not.
MAX_WAIT_SECONDS = 60.0


class Submission:
    """A prepared batch of one organization, and its answers once it is committed.

    Attributes:
        organization: its 16 bytes.
        events: the events, in order.
        received_us: when the log received them.
        preparation: what was made of them; made again if the catalog changed meanwhile.
        answers: one for each event, in order; empty before the commit.
        error: why the batch could not be committed; None if it could.
    """

    def __init__(
        self, organization: bytes, events: Sequence[UsageEvent], received_us: int, preparation: Preparation
    ) -> None:
        self.organization = organization
        self.events = events
        self.received_us = received_us
        self.preparation = preparation
        self.byte_size = preparation.byte_size
        self.answers: list[Answer] = []
        self.error: Exception | None = None
        # Held until the batch is done. A threading.Event does the same for 2 µs more, of a call's 200.
        self._pending = threading.Lock()
        self._pending.acquire()

    @property
    def prepared(self) -> list[Prepared]:
        """The prepared events, in order."""
        return self.preparation.events

    def finish(self, error: Exception | None = None) -> None:
        """Let the caller go on: the batch is committed, or will never be."""
        self.error = error
        if self._pending.locked():
            self._pending.release()

    def wait(self) -> list[Answer]:
        """The answers, after the commit.

        Raises:
            UnavailableError: the batch was not committed, or its outcome is unknown; sending it again is safe.
        """
        if not self._pending.acquire(timeout=MAX_WAIT_SECONDS):
            raise UnavailableError("COMMIT_OUTCOME_UNKNOWN", "the commit takes too long; send the same batch again")
        if self.error is not None:
            raise self.error
        return self.answers


class Queue:
    """Batches that wait for the committer, bounded by events and by bytes."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[Submission] = deque()
        self._events = 0
        self._bytes = 0
        self._closed = False

    def put(self, submission: Submission) -> None:
        """Add a batch.

        Raises:
            ResourceExhaustedError: the queue is full; nothing of the batch is stored.
            UnavailableError: the process is stopping.
        """
        with self._changed:
            if self._closed:
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
            # The committer only sleeps while nothing waits.
            if len(self._waiting) == 1:
                self._changed.notify()

    def take(self, max_events: int, max_bytes: int) -> list[Submission]:
        """The next batches that fit into one commit, at least one; waits for it. Empty once the queue is closed."""
        with self._changed:
            while not self._waiting and not self._closed:
                self._changed.wait()
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

    def close(self) -> None:
        """Take no more; what waits is still handed out."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

"""Background work that a process does, turn after turn, beside its server. Every loop of the chassis is a Job."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TypeVar

from services.chassis import idempotency, metrics
from services.chassis.db import DATABASE_ERRORS, Database, retrying
from services.chassis.log import logger
from services.kernel.errors import FareboxError

log = logger(__name__)

B = TypeVar("B")

# After a failure (NATS, PostgreSQL or another service is unavailable) a job waits at least this long before it tries
# again.
RETRY_SECONDS = 0.3
# Answers of old requests are deleted one batch at a time; a batch each minute keeps up with 80 commands a second.
PRUNE_SECONDS = 60.0


def drained(batch: Callable[[], B], *, until: Callable[[], bool] = lambda: False) -> Iterator[B]:
    """The results of batch after batch, until one finds nothing to do, or until it is told to stop between two of them.

    A batch is one transaction, which is repeated if it lost a race. Its result is falsy if it did nothing.
    """
    while not until() and (done := retrying(batch)):
        yield done


class Job:
    """Runs turns in a thread of its own. No error ends it: the error is logged, and the next turn tries again.

    Any number of replicas may run the same job: a turn locks what it takes.
    """

    def __init__(
        self,
        name: str,
        turn: Callable[[threading.Event], bool],
        *,
        pause_seconds: float = 0.0,
        wake: threading.Event | None = None,
    ) -> None:
        """Prepare the thread.

        Args:
            name: the name of the thread, for logs.
            turn: one turn; the event tells it to stop early, and it returns whether another turn should follow.
            pause_seconds: the pause between two turns; none for a turn that itself waits if there is nothing to do.
            wake: the event on which a turn waits, so that a stop is noticed at once.
        """
        self._name = name
        self._turn = turn
        self._pause_seconds = pause_seconds
        self._wake = wake
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether it has begun and has not ended."""
        return self._thread.is_alive()

    def signal(self) -> None:
        """Ask it to end without waiting for it, so that many jobs can end at once."""
        self._stopping.set()
        if self._wake is not None:
            self._wake.set()

    def stop(self) -> None:
        """Finish the present turn and end."""
        self.signal()
        self._thread.join()

    def _run(self) -> None:
        again = True
        while again and not self._stopping.is_set():
            pause = self._pause_seconds
            try:
                again = self._turn(self._stopping)
            except (FareboxError, *DATABASE_ERRORS) as error:
                log.warning("job_waits", job=self._name, error=repr(error))
                pause = max(pause, RETRY_SECONDS)
            except Exception:
                # A bug of ours. It must not end this job until the next start of the process.
                log.exception("job_failed", job=self._name)
                metrics.JOB_FAILURES.labels(self._name).inc()
                pause = max(pause, RETRY_SECONDS)
            self._stopping.wait(pause)


def forget_old_requests(db: Database, now: Callable[[], datetime]) -> Job:
    """The job that deletes the answers of requests that nobody repeats any more (chassis.idempotency)."""

    def turn(_: threading.Event) -> bool:
        with db.worker_transaction() as tx:
            idempotency.prune(tx, now())
        return True

    return Job("old-requests", turn, pause_seconds=PRUNE_SECONDS)

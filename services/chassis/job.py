"""Work that a process does by itself, turn after turn, beside its server. Every loop of the chassis is a Job."""

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

# After a failure (NATS, PostgreSQL or a peer away) a job waits at least this long before it tries again.
RETRY_SECONDS = 0.3
# Answers of old requests are forgotten a batch at a time; a batch a minute keeps up with 80 commands a second.
PRUNE_SECONDS = 60.0


def drained(batch: Callable[[], B], *, until: Callable[[], bool] = lambda: False) -> Iterator[B]:
    """What batch after batch has done, until one finds nothing to do, or between two of them until told to stop.

    A batch is one transaction, and is repeated where it lost a race. What it answers is falsy where it did nothing.
    """
    while not until() and (done := retrying(batch)):
        yield done


class Job:
    """Runs turns in a thread of its own. No error ends it: the turn is logged and the next one tries.

    Any number of replicas may run the same job: what a turn takes, it locks.
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
            name: of the thread, for logs.
            turn: one turn, told by the event when to stop early; answers whether another shall follow.
            pause_seconds: between two turns; none for a turn that waits by itself where there is nothing to do.
            wake: what a turn waits on, so that a stop is noticed at once.
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
        """Whether it has begun and not ended."""
        return self._thread.is_alive()

    def signal(self) -> None:
        """Ask to end without waiting for it, so that many jobs end at once."""
        self._stopping.set()
        if self._wake is not None:
            self._wake.set()

    def stop(self) -> None:
        """Finish the turn at hand and end."""
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
                # A mistake of ours. It must not end what this process does for everybody until its next start.
                log.exception("job_failed", job=self._name)
                metrics.JOB_FAILURES.labels(self._name).inc()
                pause = max(pause, RETRY_SECONDS)
            self._stopping.wait(pause)


def forget_old_requests(db: Database, now: Callable[[], datetime]) -> Job:
    """The job that forgets the answers of requests which nobody repeats any more (chassis.idempotency)."""

    def turn(_: threading.Event) -> bool:
        with db.worker_transaction() as tx:
            idempotency.prune(tx, now())
        return True

    return Job("old-requests", turn, pause_seconds=PRUNE_SECONDS)

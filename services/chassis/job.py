"""Work that a process does by itself, turn after turn, beside its server."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime

from services.chassis import idempotency
from services.chassis.db import DATABASE_ERRORS, Database
from services.chassis.log import logger
from services.kernel.errors import FareboxError

log = logger(__name__)

# Answers of old requests are forgotten a batch at a time; a batch a minute keeps up with 80 commands a second.
PRUNE_SECONDS = 60.0


class Job:
    """Runs turns in a thread of its own; one that fails for the database or a peer is logged, and the next one tries.

    Any number of replicas may run the same job: what a turn takes, it locks.
    """

    def __init__(self, name: str, turn: Callable[[threading.Event], bool], *, pause_seconds: float) -> None:
        """Prepare the thread.

        Args:
            name: of the thread, for logs.
            turn: one turn, told by the event when to stop early; answers whether another shall follow.
            pause_seconds: between two turns.
        """
        self._name = name
        self._turn = turn
        self._pause_seconds = pause_seconds
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the turn at hand and end."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        again = True
        while again and not self._stopping.is_set():
            try:
                again = self._turn(self._stopping)
            except (FareboxError, *DATABASE_ERRORS) as error:
                log.warning("job_waits", job=self._name, error=repr(error))
            self._stopping.wait(self._pause_seconds)


def forget_old_requests(db: Database, now: Callable[[], datetime]) -> Job:
    """The job that forgets the answers of requests which nobody repeats any more (chassis.idempotency)."""

    def turn(_: threading.Event) -> bool:
        with db.worker_transaction() as tx:
            idempotency.prune(tx, now())
        return True

    return Job("old-requests", turn, pause_seconds=PRUNE_SECONDS)

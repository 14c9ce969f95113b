"""A thread that does the same thing again and again, and outlives the absence of NATS or PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Callable

from services.chassis.db import DATABASE_ERRORS
from services.chassis.log import logger
from services.kernel.errors import FareboxError

log = logger(__name__)

# After a failure (NATS or PostgreSQL away) a worker waits this long before it tries again.
RETRY_SECONDS = 0.5


class LoopWorker:
    """Runs `turn` until it is stopped; see chassis.process.Worker."""

    def __init__(self, name: str, turn: Callable[[threading.Event], None], wake: threading.Event | None = None) -> None:
        """Prepare the thread.

        Args:
            name: of the thread, for logs.
            turn: one round; is handed the event that says to stop, and waits by itself where there is nothing to do.
            wake: what `turn` waits on, so that a stop is noticed at once.
        """
        self._name = name
        self._turn = turn
        self._wake = wake
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the round at hand and end."""
        self._stopping.set()
        if self._wake is not None:
            self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._turn(self._stopping)
            except (FareboxError, *DATABASE_ERRORS) as error:
                log.warning("worker_waits", worker=self._name, error=repr(error))
                self._stopping.wait(RETRY_SECONDS)

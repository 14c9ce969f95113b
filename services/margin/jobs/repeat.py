"""A job that runs in a thread of its own until it is stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable

import sqlalchemy as sa

from services.chassis.log import logger
from services.kernel.errors import FareboxError

log = logger(__name__)


class Repeat:
    """Runs a job again and again; a failure of the database or a peer is logged, and the next turn tries again."""

    def __init__(self, name: str, job: Callable[[], bool], pause_seconds: float) -> None:
        """Make a job.

        Args:
            name: for the log and the thread.
            job: one turn; whether another shall follow.
            pause_seconds: between two turns.
        """
        self._name = name
        self._job = job
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
                again = self._job()
            except (FareboxError, sa.exc.SQLAlchemyError) as error:
                log.warning("job_waits", job=self._name, error=repr(error))
            self._stopping.wait(self._pause_seconds)

"""Closing what is due in real time; test clocks close their own organization's periods."""

from __future__ import annotations

import threading

import sqlalchemy as sa

from services.chassis.log import logger
from services.kernel.errors import FareboxError
from services.rating.commands.due import run_due
from services.rating.deps import Deps

log = logger(__name__)

# An invoice appears within about a second of its period's end.
EVERY_SECONDS = 1.0


class CloseJob:
    """Runs on every replica; they share the work by locking what they do."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="close", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the batch at hand and end."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(EVERY_SECONDS):
            try:
                report = run_due(self._deps, self._deps.clock.now(), until=self._stopping.is_set)
            except (FareboxError, sa.exc.SQLAlchemyError) as error:
                log.warning("close_waits", error=repr(error))
                continue
            if report.closed or report.finalized:
                log.info("closed", periods=report.closed, finalized=report.finalized)

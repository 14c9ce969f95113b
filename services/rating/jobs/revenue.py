"""Announcing accrued revenue about once a second for every period that usage has touched."""

from __future__ import annotations

import threading

import sqlalchemy as sa

from services.chassis.log import logger
from services.kernel.errors import FareboxError
from services.rating.commands.revenue import accrue_due
from services.rating.deps import Deps

log = logger(__name__)

# Margin shows revenue this much behind usage; more often would announce the same totals again and again.
EVERY_SECONDS = 1.0


class RevenueJob:
    """Runs on every replica; a touched period is taken by one of them."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="revenue", daemon=True)

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
                while accrue_due(self._deps) and not self._stopping.is_set():
                    pass
            except (FareboxError, sa.exc.SQLAlchemyError) as error:
                log.warning("revenue_waits", error=repr(error))

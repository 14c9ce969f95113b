"""Forgetting the answers of requests that nobody repeats any more."""

from __future__ import annotations

import threading

import sqlalchemy as sa

from services.chassis import idempotency
from services.chassis.log import logger
from services.rating.deps import Deps

log = logger(__name__)

# A batch a minute keeps up with 80 commands a second.
EVERY_SECONDS = 60.0


class PruneJob:
    """Runs beside the server on every replica; deleting the same rows twice does no harm."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="prune", daemon=True)

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
                with self._deps.db.worker_transaction() as tx:
                    idempotency.prune(tx, self._deps.clock.now())
            except sa.exc.SQLAlchemyError as error:
                log.warning("prune_waits", error=repr(error))

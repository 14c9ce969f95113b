"""What runs by itself: forgetting the answers of old requests."""

from __future__ import annotations

import threading

import sqlalchemy as sa

from services.chassis import idempotency
from services.chassis.log import logger
from services.entitlements.deps import Deps

log = logger(__name__)

# Often enough that a batch of old requests never grows large, seldom enough to cost nothing.
PRUNE_EVERY_SECONDS = 60.0


class RequestPruner:
    """Forgets answered requests that nobody will repeat any more; any number of replicas may do so."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="request-pruner", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Finish the batch at hand and end."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(PRUNE_EVERY_SECONDS):
            try:
                with self._deps.db.worker_transaction() as tx:
                    idempotency.prune(tx, self._deps.clock.now())
            except sa.exc.SQLAlchemyError as error:
                # What is too old today is still too old in a minute.
                log.warning("requests_not_pruned", error=repr(error))

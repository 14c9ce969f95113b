"""What margin does by itself: import the catalog at start, and give waiting cost events to their customers."""

from __future__ import annotations

import threading
from collections.abc import Callable

from services.chassis.job import Job, forget_old_requests
from services.chassis.log import logger
from services.margin.commands import cost_event as cost_event_commands
from services.margin.commands import price as price_commands
from services.margin.deps import Deps

log = logger(__name__)

# The import runs once; this long it waits for a database that is away or not migrated yet.
IMPORT_RETRY_SECONDS = 0.5
# A cost event that came before its parent is in its customer's margin about a second after the parent.
CLAIM_SECONDS = 1.0


def catalog_import(deps: Deps) -> Job:
    """Stores the price catalog once; costing does not wait for it, since rows have their ids already."""

    def turn(_: threading.Event) -> bool:
        with deps.db.worker_transaction() as tx:
            added = price_commands.import_catalog(deps, tx)
        log.info("catalog_imported", rows=added)
        return False

    return Job("catalog-import", turn, pause_seconds=IMPORT_RETRY_SECONDS)


def waiting_cost_events(deps: Deps) -> Job:
    """Gives cost events that came before their parent to the parent's customer; replicas share the work."""

    def turn(_: threading.Event) -> bool:
        with deps.db.worker_transaction() as tx:
            cost_event_commands.claim_waiting(deps, tx)
        return True

    return Job("waiting-cost-events", turn, pause_seconds=CLAIM_SECONDS)


def _old_requests(deps: Deps) -> Job:
    return forget_old_requests(deps.db, deps.clock.now)


JOBS: tuple[Callable[[Deps], Job], ...] = (catalog_import, waiting_cost_events, _old_requests)

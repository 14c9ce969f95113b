"""Margin's jobs."""

from __future__ import annotations

from services.chassis import idempotency
from services.chassis.log import logger
from services.margin.commands import cost_events, prices
from services.margin.deps import Deps
from services.margin.jobs.repeat import Repeat

log = logger(__name__)

# The import runs once; this long it waits for a database that is away or not migrated yet.
IMPORT_RETRY_SECONDS = 0.5
# A cost event that came before its parent is in its customer's margin about a second after the parent.
CLAIM_SECONDS = 1.0
# Answers are kept for a month; a turn removes at most one batch.
PRUNE_SECONDS = 60.0


def catalog_import(deps: Deps) -> Repeat:
    """Stores the price catalog once; costing does not wait for it, since rows have their ids already."""

    def turn() -> bool:
        with deps.db.worker_transaction() as tx:
            added = prices.import_catalog(deps, tx)
        log.info("catalog_imported", rows=added)
        return False

    return Repeat("catalog-import", turn, IMPORT_RETRY_SECONDS)


def waiting_cost_events(deps: Deps) -> Repeat:
    """Gives cost events that came before their parent to the parent's customer; replicas share the work."""

    def turn() -> bool:
        with deps.db.worker_transaction() as tx:
            cost_events.claim_waiting(deps, tx)
        return True

    return Repeat("waiting-cost-events", turn, CLAIM_SECONDS)


def old_requests(deps: Deps) -> Repeat:
    """Forgets the answers of requests that nobody repeats any more."""

    def turn() -> bool:
        with deps.db.worker_transaction() as tx:
            idempotency.prune(tx, deps.clock.now())
        return True

    return Repeat("old-requests", turn, PRUNE_SECONDS)

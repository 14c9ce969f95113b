"""Margin's background jobs: import the catalog at start, reach test clocks, and settle named usage."""

from __future__ import annotations

import threading
from collections.abc import Callable

from services.chassis.job import Job, forget_old_requests
from services.chassis.log import logger
from services.margin.commands import price as price_commands
from services.margin.commands import projection as projection_commands
from services.margin.commands.cost_event import settle_named
from services.margin.deps import Deps

log = logger(__name__)

# The import runs once; this is how long it waits for a database that is unavailable or not migrated yet.
IMPORT_RETRY_SECONDS = 0.5
# How long a test clock may wait for usage that has just been costed.
CLOCK_SECONDS = 0.05
# How soon usage that was costed while a cost event named it is reversed: rare, and seen by who looks within it.
SETTLE_SECONDS = 0.5


def catalog_import(deps: Deps) -> Job:
    """Stores the price catalog once; costing does not wait for it, since rows have their ids already."""

    def turn(_: threading.Event) -> bool:
        with deps.db.worker_transaction() as tx:
            added = price_commands.import_catalog(deps, tx)
        log.info("catalog_imported", rows=added)
        return False

    return Job("catalog-import", turn, pause_seconds=IMPORT_RETRY_SECONDS)


def waiting_clocks(deps: Deps) -> Job:
    """Takes test clocks to their new time when all usage from before has been costed; replicas share the work."""

    def turn(_: threading.Event) -> bool:
        with deps.db.worker_transaction() as tx:
            projection_commands.reach_waiting_clocks(deps, tx)
        return True

    return Job("waiting-clocks", turn, pause_seconds=CLOCK_SECONDS)


def named_usage(deps: Deps) -> Job:
    """Looks again at usage that cost events named while it may have been costed; replicas share the work."""

    def turn(_: threading.Event) -> bool:
        with deps.db.worker_transaction(quiet=True) as tx:
            settle_named(tx)
        return True

    return Job("named-usage", turn, pause_seconds=SETTLE_SECONDS)


def _old_requests(deps: Deps) -> Job:
    return forget_old_requests(deps.db, deps.clock.now)


JOBS: tuple[Callable[[Deps], Job], ...] = (catalog_import, waiting_clocks, named_usage, _old_requests)

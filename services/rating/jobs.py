"""Rating's background jobs: do what is due in real time, and announce accrued revenue."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from services.chassis import audit
from services.chassis.job import PRUNE_SECONDS, Job, forget_old_requests
from services.chassis.log import logger
from services.rating.calls.commands import forget_old_answers
from services.rating.clock.due import run_due
from services.rating.deps import Deps
from services.rating.invoicing.commands.revenue import accrue_due

log = logger(__name__)

# An invoice appears within about a second after its period's end.
CLOSE_SECONDS = 1.0
# An entry of the audit log has its place in the chain about a second after the change.
CHAIN_SECONDS = 1.0
# Margin shows revenue this much later than usage; announcing more often would repeat the same totals.
ACCRUE_SECONDS = 1.0
# After each turn the job pauses for this many times its duration. With thousands of periods with constant new usage it
# announces less often, only the newest totals: the load grows with the events and not with customers and time.
ACCRUE_PAUSES = 9.0


def close_periods(deps: Deps) -> Job:
    """Does in real time what is due; for an organization with a test clock, its advance does it."""

    def turn(stopping: threading.Event) -> bool:
        report = run_due(deps, deps.clock.now(), until=stopping.is_set)
        if report.closed or report.finalized:
            log.info("closed", periods=report.closed, finalized=report.finalized)
        return True

    return Job("close", turn, pause_seconds=CLOSE_SECONDS)


def accrue_revenue(deps: Deps) -> Job:
    """Announces accrued revenue for every period with new usage: about once a second if they are few."""

    def turn(stopping: threading.Event) -> bool:
        began = time.monotonic()
        while not stopping.is_set() and accrue_due(deps):
            pass
        stopping.wait(ACCRUE_PAUSES * (time.monotonic() - began))
        return True

    return Job("revenue", turn, pause_seconds=ACCRUE_SECONDS)


def _old_requests(deps: Deps) -> Job:
    return forget_old_requests(deps.db, deps.clock.now)


def _old_answers(deps: Deps) -> Job:
    """Forgets the answers of REST calls that nobody repeats any more."""

    def turn(_: threading.Event) -> bool:
        with deps.db.worker_transaction() as tx:
            forget_old_answers(deps, tx)
        return True

    return Job("old-answers", turn, pause_seconds=PRUNE_SECONDS)


def _audit_chain(deps: Deps) -> Job:
    """Closes the chains of the audit log over what was noted since."""

    def turn(stopping: threading.Event) -> bool:
        while not stopping.is_set():
            with deps.db.worker_transaction(quiet=True) as tx:
                if audit.chain(tx) < audit.CHAIN_BATCH:
                    break
        return True

    return Job("audit-chain", turn, pause_seconds=CHAIN_SECONDS)


JOBS: tuple[Callable[[Deps], Job], ...] = (close_periods, accrue_revenue, _old_requests, _old_answers, _audit_chain)

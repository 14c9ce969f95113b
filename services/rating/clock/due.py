"""Everything that falls due by itself: subscription changes, period ends, ends of grace.

For one organization (a test clock's advance) instant by instant; for all others up to now, in batches that any number
of replicas share: a batch is one transaction, and rows that another replica holds are passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.engine import Connection

from services.chassis.db import retrying
from services.chassis.log import logger
from services.kernel.errors import FareboxError, UnavailableError
from services.kernel.ids import OrganizationId
from services.rating.agreements.agreement import Agreement
from services.rating.agreements.store import agreements, organizations_with_due
from services.rating.deps import Deps
from services.rating.invoicing.billing_run import BillingRun, period_end_run
from services.rating.invoicing.commands.finalize import finalize_drafts
from services.rating.invoicing.commands.revenue import accrue_due
from services.rating.invoicing.store import invoices as store
from services.rating.organizations.store import organization as organization_of
from services.rating.subscriptions.commands.due import apply_due_changes, next_change_at
from services.rating.subscriptions.commands.periods import close_runs
from services.rating.usage.store import periods

log = logger(__name__)

# Periods closed in one transaction: enough to spread its cost, few enough that a killed replica loses little and that
# counting, which waits for a period that is being closed, waits a fraction of a second.
BATCH = 200


@dataclass(frozen=True, slots=True)
class DueReport:
    """What was done.

    Attributes:
        closed: billing periods that were closed at their end.
        finalized: invoices that were finalized.
    """

    closed: int = 0
    finalized: int = 0

    @property
    def size(self) -> int:
        """How much was done, to see whether there may be more."""
        return max(self.closed, self.finalized)

    def __add__(self, other: DueReport) -> DueReport:
        return DueReport(
            self.closed + other.closed,
            self.finalized + other.finalized,
        )


def run_due(
    deps: Deps,
    as_of: datetime,
    organization: OrganizationId | None = None,
    *,
    until: Callable[[], bool] = lambda: False,
) -> DueReport:
    """Do everything due until an instant, in order of time; many transactions, each of which leaves a whole state.

    Ends early, between two transactions, where `until` says so; the next call goes on from there.

    Without an organization that of all which have no test clock, sharing the work with the other replicas. With one,
    everything is done when this answers, and its accrued revenue is announced.
    """
    if organization is None:
        return _run_all(deps, as_of, until)
    report = DueReport()
    while (at := _next_at(deps, organization, as_of)) is not None:
        report += _run_at(deps, organization, at)
    while accrue_due(deps, organization):
        pass
    return report


def _next_at(deps: Deps, organization: OrganizationId, as_of: datetime) -> datetime | None:
    """The earliest instant at which something is due for an organization."""
    with deps.db.worker_transaction() as tx:
        due = (
            next_change_at(tx, organization, as_of),
            periods.next_due_at(tx, organization, as_of),
            store.next_grace_end(tx, organization, as_of),
        )
    return min((at for at in due if at is not None), default=None)


def _run_at(deps: Deps, organization: OrganizationId, at: datetime) -> DueReport:
    """Do what is due for one organization at one instant; waits for whoever else is at it."""
    with deps.db.worker_transaction() as tx:
        before = store.last_number(tx, organization)
        apply_due_changes(deps, tx, organization, at)
    report = DueReport()
    while (batch := retrying(lambda: close_batch(deps, at, organization))).size:
        report += batch
    while retrying(lambda: finalize_batch(deps, at, organization)).size:
        pass
    with deps.db.worker_transaction() as tx:
        after = store.last_number(tx, organization)
    # What changes and closings have finalized is counted by the numbers they took, each invoice once.
    return DueReport(report.closed, after - before)


def _run_all(deps: Deps, as_of: datetime, until: Callable[[], bool]) -> DueReport:
    with deps.db.worker_transaction() as tx:
        changing = organizations_with_due(tx, as_of)
    for each in changing:
        _apply_changes(deps, each, as_of)
    report = _until_none(lambda: close_batch(deps, as_of), until)
    return report + _until_none(lambda: finalize_batch(deps, as_of), until)


def _until_none(batch: Callable[[], DueReport], until: Callable[[], bool]) -> DueReport:
    """Do batches until one finds nothing, or until told to stop."""
    report = DueReport()
    while not until() and (done := retrying(batch)).size:
        report += done
    return report


def _apply_changes(deps: Deps, organization: OrganizationId, as_of: datetime) -> None:
    """Move an organization's subscriptions; where that cannot be done now, the others need not wait for it."""
    try:
        with deps.db.worker_transaction() as tx:
            apply_due_changes(deps, tx, organization, as_of)
    except FareboxError as error:
        log.warning("changes_wait", organization_id=organization, reason=error.reason)


def close_batch(deps: Deps, as_of: datetime, organization: OrganizationId | None = None) -> DueReport:
    """Close one batch of periods that have ended; none when none is left that can be closed now."""
    with deps.db.worker_transaction() as tx:
        due = periods.lock_due(tx, organization, as_of, limit=BATCH, skip_locked=organization is None)
        found = agreements(tx, organization, {each.subscription_id for each in due})
        runs: dict[OrganizationId, list[BillingRun]] = {}
        for each in due:
            agreement = found[each.subscription_id]
            if not _ends_itself(agreement, each.period.end):
                runs.setdefault(each.organization_id, []).append(period_end_run(agreement, each))
        report = DueReport()
        for owner, own in runs.items():
            report += (
                _close(deps, tx, owner, own, as_of) if organization else _close_possible(deps, tx, owner, own, as_of)
            )
    return report


def _ends_itself(agreement: Agreement, at: datetime) -> bool:
    """Whether the subscription ends or changes with the period: then that change closes it, and comes first."""
    change = agreement.subscription.pending_change
    ends = (change.effective_at if change else None, agreement.ending_at)
    return not agreement.is_active or any(end is not None and end <= at for end in ends)


def _close(deps: Deps, tx: Connection, owner: OrganizationId, runs: Sequence[BillingRun], at: datetime) -> DueReport:
    bills = close_runs(deps, tx, owner, runs, at)
    return DueReport(len(runs), sum(bill.sequential_id is not None for bill in bills))


def _close_possible(
    deps: Deps, tx: Connection, owner: OrganizationId, runs: Sequence[BillingRun], at: datetime
) -> DueReport:
    """Close the runs of one organization; those that need the log while it is away stay for the next time."""
    try:
        with tx.begin_nested():
            return _close(deps, tx, owner, runs, at)
    except UnavailableError as error:
        if len(runs) == 1:
            log.warning("period_waits", subscription_id=runs[0].subscription_id, reason=error.reason)
            return DueReport()
    report = DueReport()
    for run in runs:
        report += _close_possible(deps, tx, owner, [run], at)
    return report


def finalize_batch(deps: Deps, as_of: datetime, organization: OrganizationId | None = None) -> DueReport:
    """Finalize one batch of drafts whose grace has ended; none when none is left."""
    with deps.db.worker_transaction() as tx:
        drafts = store.lock_grace_ended(tx, organization, as_of, limit=BATCH, skip_locked=organization is None)
        for owner in dict.fromkeys(bill.organization_id for bill in drafts):
            own = [bill for bill in drafts if bill.organization_id == owner]
            finalize_drafts(deps, tx, organization_of(tx, owner), own, as_of)
    return DueReport(0, len(drafts))

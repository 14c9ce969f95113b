"""Everything that falls due by itself: subscription changes, period ends, ends of grace.

For one organization (a test clock's advance) instant by instant; for all others up to now, in batches that any number
of replicas share: a batch is one transaction, and rows that another replica holds are passed over.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.engine import Connection

from services.chassis.job import drained
from services.chassis.log import logger
from services.kernel.errors import FareboxError, UnavailableError
from services.kernel.ids import OrganizationId
from services.rating.agreements.agreement import Agreement
from services.rating.agreements.store import agreements, organizations_with_due
from services.rating.deps import Deps
from services.rating.invoicing.billing_run import BillingRun, period_end_run
from services.rating.invoicing.commands.close import close_runs
from services.rating.invoicing.commands.finalize import finalize_drafts
from services.rating.invoicing.commands.revenue import accrue_due
from services.rating.invoicing.store import invoices
from services.rating.organizations.store import organization as organization_of
from services.rating.subscriptions.commands.due import apply_due_changes, next_change_at
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

    def __bool__(self) -> bool:
        return bool(self.closed or self.finalized)

    def __add__(self, other: DueReport) -> DueReport:
        return DueReport(self.closed + other.closed, self.finalized + other.finalized)


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
        _apply_changes(deps, as_of)
        closed = sum(drained(lambda: close_batch(deps, as_of), until=until), DueReport())
        return closed + sum(drained(lambda: finalize_batch(deps, as_of), until=until), DueReport())
    report = DueReport()
    while (at := _next_at(deps, organization, as_of)) is not None:
        report += _run_at(deps, organization, at)
    for _ in drained(lambda: accrue_due(deps, organization)):
        pass
    return report


def _next_at(deps: Deps, organization: OrganizationId, as_of: datetime) -> datetime | None:
    """The earliest instant at which something is due for an organization."""
    with deps.db.worker_transaction() as tx:
        due = (
            next_change_at(tx, organization, as_of),
            periods.next_due_at(tx, organization, as_of),
            invoices.next_grace_end(tx, organization, as_of),
        )
    return min((at for at in due if at is not None), default=None)


def _run_at(deps: Deps, organization: OrganizationId, at: datetime) -> DueReport:
    """Do what is due for one organization at one instant; waits for whoever else is at it."""
    with deps.db.worker_transaction() as tx:
        before = invoices.last_number(tx, organization)
        apply_due_changes(deps, tx, organization, at)
    report = sum(drained(lambda: close_batch(deps, at, organization)), DueReport())
    for _ in drained(lambda: finalize_batch(deps, at, organization)):
        pass
    with deps.db.worker_transaction() as tx:
        after = invoices.last_number(tx, organization)
    # What changes and closings have finalized is counted by the numbers they took, each invoice once.
    return DueReport(report.closed, after - before)


def _apply_changes(deps: Deps, as_of: datetime) -> None:
    """Move subscriptions; where an organization's cannot be moved now, the others need not wait for it."""
    with deps.db.worker_transaction() as tx:
        changing = organizations_with_due(tx, as_of)
    for organization in changing:
        try:
            with deps.db.worker_transaction() as tx:
                apply_due_changes(deps, tx, organization, as_of)
        except FareboxError as error:
            log.warning("changes_wait", organization_id=organization, reason=error.reason)


def close_batch(deps: Deps, as_of: datetime, organization: OrganizationId | None = None) -> DueReport:
    """Close one batch of periods that have ended; none when none is left that can be closed now."""
    with deps.db.worker_transaction() as tx:
        due = periods.lock_due(tx, organization, as_of, limit=BATCH, skip_locked=organization is None)
        agreed = agreements(tx, organization, {period.subscription_id for period in due})
        runs: dict[OrganizationId, list[BillingRun]] = {}
        for period in due:
            agreement = agreed[period.subscription_id]
            if not _ends_itself(agreement, period.period.end):
                runs.setdefault(period.organization_id, []).append(period_end_run(agreement, period))
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


def _close(
    deps: Deps, tx: Connection, organization: OrganizationId, runs: Sequence[BillingRun], at: datetime
) -> DueReport:
    made = close_runs(deps, tx, organization_of(tx, organization), runs, at)
    return DueReport(len(runs), sum(invoice.sequential_id is not None for invoice in made))


def _close_possible(
    deps: Deps, tx: Connection, organization: OrganizationId, runs: Sequence[BillingRun], at: datetime
) -> DueReport:
    """Close the runs of one organization; those that need the log while it is away stay for the next time."""
    try:
        with tx.begin_nested():
            return _close(deps, tx, organization, runs, at)
    except UnavailableError as error:
        if len(runs) == 1:
            log.warning("period_waits", subscription_id=runs[0].subscription_id, reason=error.reason)
            return DueReport()
    report = DueReport()
    for run in runs:
        report += _close_possible(deps, tx, organization, [run], at)
    return report


def finalize_batch(deps: Deps, as_of: datetime, organization: OrganizationId | None = None) -> DueReport:
    """Finalize one batch of drafts whose grace has ended; none when none is left."""
    with deps.db.worker_transaction() as tx:
        drafts = invoices.lock_grace_ended(tx, organization, as_of, limit=BATCH, skip_locked=organization is None)
        for owner in dict.fromkeys(draft.organization_id for draft in drafts):
            own = [draft for draft in drafts if draft.organization_id == owner]
            finalize_drafts(deps, tx, organization_of(tx, owner), own, as_of)
    return DueReport(0, len(drafts))

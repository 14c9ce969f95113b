"""Scheduled work that becomes due: changes of subscriptions, ends of periods, ends of grace periods.

For one organization (a test clock's advance) this goes instant by instant. For all others it goes up to the present, in
batches that any number of replicas share: a batch is one transaction, and rows that another replica holds are skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from sqlalchemy.engine import Connection

from services.chassis.isolate import isolated
from services.chassis.job import drained
from services.chassis.log import logger
from services.kernel.errors import FareboxError
from services.kernel.ids import OrganizationId
from services.rating.agreements.agreement import Agreement
from services.rating.agreements.store import agreements, next_due_at, organizations_with_due
from services.rating.deps import Deps
from services.rating.invoicing.billing_run import period_end_run
from services.rating.invoicing.commands.close import close_runs
from services.rating.invoicing.commands.finalize import finalize_drafts
from services.rating.invoicing.commands.revenue import accrue_due
from services.rating.invoicing.invoice import Invoice
from services.rating.invoicing.store import invoices
from services.rating.organizations.store import organization as organization_of
from services.rating.shared.set_aside import Work, set_aside
from services.rating.subscriptions.commands.due import apply_due_changes, change_zone
from services.rating.usage.billing_period import BillingPeriod
from services.rating.usage.store import periods

log = logger(__name__)

# How many periods are closed in one transaction: enough to spread its cost, and few enough that a killed replica loses
# little, and that counting, which waits for a period that is being closed, waits only a fraction of a second.
BATCH = 200


@dataclass(frozen=True, slots=True)
class DueReport:
    """What was done.

    Attributes:
        closed: billing periods that were closed at their end.
        finalized: invoices that were finalized.
        set_aside: how much work failed, which is tried again later.
    """

    closed: int = 0
    finalized: int = 0
    set_aside: int = 0

    def __bool__(self) -> bool:
        return self != NOTHING

    def __add__(self, other: DueReport) -> DueReport:
        return DueReport(self.closed + other.closed, self.finalized + other.finalized, self.set_aside + other.set_aside)


NOTHING = DueReport()


def run_due(
    deps: Deps,
    as_of: datetime,
    organization: OrganizationId | None = None,
    *,
    until: Callable[[], bool] = lambda: False,
) -> DueReport:
    """Do everything due until an instant, in order of time; many transactions, each of which leaves a complete state.

    Ends early, between two transactions, if `until` says so; the next call continues from there.

    Without an organization this covers all organizations without a test clock, and shares the work with other replicas.
    With one, everything is done when this returns, and its accrued revenue is announced.
    """
    if organization is None:
        _apply_changes(deps, as_of)
        closed = sum(drained(lambda: close_batch(deps, as_of), until=until), NOTHING)
        return closed + sum(drained(lambda: finalize_batch(deps, as_of), until=until), NOTHING)
    report = NOTHING
    while (at := _next_at(deps, organization, as_of)) is not None:
        report += _run_at(deps, organization, at)
    for _ in drained(lambda: accrue_due(deps, organization)):
        pass
    return report


def _next_at(deps: Deps, organization: OrganizationId, as_of: datetime) -> datetime | None:
    """The earliest instant at which something is due for an organization."""
    machine_now = deps.clock.now()
    with deps.db.worker_transaction() as tx:
        due = (
            next_due_at(tx, organization, as_of, machine_now),
            periods.next_due_at(tx, organization, as_of, machine_now),
            invoices.next_grace_end(tx, organization, as_of, machine_now),
        )
    return min((at for at in due if at is not None), default=None)


def _run_at(deps: Deps, organization: OrganizationId, at: datetime) -> DueReport:
    """Do what is due for one organization at one instant; waits for others that are doing it."""
    with deps.db.worker_transaction() as tx:
        before = invoices.last_number(tx, organization)
        apply_due_changes(deps, tx, organization, at)
    report = sum(drained(lambda: close_batch(deps, at, organization)), NOTHING)
    report += sum(drained(lambda: finalize_batch(deps, at, organization)), NOTHING)
    with deps.db.worker_transaction() as tx:
        after = invoices.last_number(tx, organization)
    # Invoices finalized by changes and closings are counted by the numbers they took, each invoice once.
    return replace(report, finalized=after - before)


def _apply_changes(deps: Deps, as_of: datetime) -> None:
    """Move subscriptions; if those of one organization cannot be moved now, the others need not wait."""
    with deps.db.worker_transaction() as tx:
        changing = organizations_with_due(tx, as_of, deps.clock.now())
    for organization in changing:
        try:
            with deps.db.worker_transaction() as tx:
                apply_due_changes(deps, tx, organization, as_of, may_wait=True)
        except FareboxError as error:
            log.warning("changes_wait", organization_id=organization, reason=error.reason)


def close_batch(deps: Deps, as_of: datetime, organization: OrganizationId | None = None) -> DueReport:
    """Close one batch of periods that have ended; returns no work once none is left that can be closed now.

    A period that cannot be closed is set aside alone; the others of its batch and all other organizations continue.
    """
    now, is_all = deps.clock.now(), organization is None
    report = NOTHING
    with deps.db.worker_transaction() as tx:
        due = periods.lock_due(tx, organization, as_of, now, limit=BATCH, skip_locked=is_all)
        for owner in dict.fromkeys(period.organization_id for period in due):
            own = [period for period in due if period.organization_id == owner]
            closed, failed = isolated(tx, own, partial(_close, deps, tx, owner, as_of))
            for period, error in failed:
                set_aside(tx, owner, Work.CLOSE, period.subscription_id, error, now, may_wait=is_all)
            report += sum(closed, DueReport(set_aside=len(failed)))
    return report


def _close(
    deps: Deps, tx: Connection, organization: OrganizationId, at: datetime, due: Sequence[BillingPeriod]
) -> DueReport:
    """Close the periods of one organization that nothing else closes."""
    agreed = agreements(tx, organization, {period.subscription_id for period in due})
    runs, moved = [], 0
    for period in due:
        agreement, ends_at = agreed[period.subscription_id], period.period.end
        if _ends_itself(agreement, ends_at):
            continue
        if agreement.changes_zone_at(ends_at):
            change_zone(deps, tx, agreement, ends_at)
            moved += 1
        else:
            runs.append(period_end_run(agreement, period))
    made = close_runs(deps, tx, organization_of(tx, organization), runs, at) if runs else []
    return DueReport(len(runs) + moved, sum(invoice.sequential_id is not None for invoice in made))


def _ends_itself(agreement: Agreement, at: datetime) -> bool:
    """Whether the subscription ends or changes with the period: then that change closes it, and comes first."""
    change = agreement.subscription.pending_change
    ends = (change.effective_at if change else None, agreement.ending_at)
    return not agreement.is_active or any(end is not None and end <= at for end in ends)


def finalize_batch(deps: Deps, as_of: datetime, organization: OrganizationId | None = None) -> DueReport:
    """Finalize one batch of drafts whose grace has ended; none when none is left. One that cannot be is set aside."""
    now, is_all = deps.clock.now(), organization is None
    report = NOTHING
    with deps.db.worker_transaction() as tx:
        drafts = invoices.lock_grace_ended(tx, organization, as_of, now, limit=BATCH, skip_locked=is_all)
        for owner in dict.fromkeys(draft.organization_id for draft in drafts):
            own = [draft for draft in drafts if draft.organization_id == owner]
            finalized, failed = isolated(tx, own, partial(_finalize, deps, tx, owner, as_of))
            for draft, error in failed:
                set_aside(tx, owner, Work.FINALIZE, draft.invoice_id, error, now, may_wait=is_all)
            report += DueReport(finalized=sum(finalized), set_aside=len(failed))
    return report


def _finalize(deps: Deps, tx: Connection, organization: OrganizationId, at: datetime, drafts: Sequence[Invoice]) -> int:
    return len(finalize_drafts(deps, tx, organization_of(tx, organization), drafts, at))

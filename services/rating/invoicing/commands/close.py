"""Closing: billing periods are invoiced and closed, and the periods after them are opened.

Closing is idempotent: a period is locked, invoiced and marked as closed in one transaction, and a closed period is
never found again. A replica that dies leaves its periods open for the next one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy.engine import Connection

from services.kernel.period import Period
from services.rating.agreements.agreement import Agreement
from services.rating.agreements.events import SubscriptionChanged
from services.rating.deps import Deps
from services.rating.invoicing.billing_run import BillingRun
from services.rating.invoicing.commands.invoice_runs import invoice_runs
from services.rating.invoicing.invoice import Invoice
from services.rating.organizations.organization import Organization
from services.rating.shared.set_aside import Work, done
from services.rating.usage.billing_period import BillingPeriod
from services.rating.usage.commands.carry_over import carry_into_following
from services.rating.usage.store import future_usage, periods


def close_runs(
    deps: Deps, tx: Connection, organization: Organization, runs: Sequence[BillingRun], at: datetime
) -> list[Invoice]:
    """Invoice runs of one organization, close their periods and open the following ones. The periods are locked.

    The new billing period of each subscription is announced.
    """
    invoices = invoice_runs(deps, tx, organization, runs, at)
    close_periods(tx, [run.usage for run in runs if run.usage is not None], invoices)
    following = [run for run in runs if run.following is not None]
    open_periods(tx, [(run.agreement, run.following) for run in following if run.following is not None])
    carry_into_following(
        tx,
        organization.organization_id,
        [
            (run.agreement, run.usage.period, run.following)
            for run in following
            if run.usage is not None and run.following is not None
        ],
    )
    deps.announce_all(tx, [SubscriptionChanged(run.agreement, run.following) for run in following])
    return invoices


def close_periods(
    tx: Connection, ended: Iterable[BillingPeriod], invoices: Iterable[Invoice], *, is_waived: bool = False
) -> None:
    """Close locked periods of one organization, each with its subscription's invoice if there is one."""
    by_subscription = {invoice.terms.subscription_id: invoice.invoice_id for invoice in invoices}
    closed = {period.key: (period.period, by_subscription.get(period.subscription_id)) for period in ended}
    if closed:
        periods.close(tx, closed, is_waived=is_waived)
        organization = next(iter(closed)).organization_id
        done(tx, organization, Work.CLOSE, [key.subscription_id for key in closed])
        future_usage.forget(tx, {key: span.end for key, (span, _) in closed.items()})


def open_periods(tx: Connection, begun: Iterable[tuple[Agreement, Period]]) -> None:
    """Open billing periods of subscriptions; a period that exists already stays as it is."""
    periods.open_periods(
        tx,
        [
            BillingPeriod(
                agreement.organization_id, agreement.subscription_id, agreement.subscription.customer_id, period
            )
            for agreement, period in begun
        ],
    )

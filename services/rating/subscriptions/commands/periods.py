"""Billing periods: opened as subscriptions begin, closed with an invoice as they end, by any number of replicas.

Closing is idempotent: a period is locked, invoiced and marked closed in one transaction, and one that is closed is
never found again. A replica that dies leaves its periods open for the next.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy.engine import Connection

from services.kernel.cadence import period_containing
from services.kernel.ids import OrganizationId
from services.kernel.period import Period
from services.rating.agreements.agreement import Agreement
from services.rating.agreements.billed import NOTHING_BILLED, Billed
from services.rating.agreements.change import ChangeKind
from services.rating.agreements.resolution import Resolution
from services.rating.deps import Deps
from services.rating.invoicing.bill import Bill
from services.rating.invoicing.billing_run import (
    BillingRun,
    cut_period,
    end_run,
    period_end_run,
    start_run,
    trial_end_run,
)
from services.rating.invoicing.commands.carry_over import carry_over
from services.rating.invoicing.commands.credit_notes import credit_unused_base
from services.rating.invoicing.commands.finalize import finalize_drafts
from services.rating.invoicing.commands.make import bill_runs, mark_billed
from services.rating.invoicing.invoice import InvoiceState
from services.rating.invoicing.kept_credit_note import CreditReason
from services.rating.invoicing.store import invoices as invoice_store
from services.rating.organizations.store import organization
from services.rating.subscriptions.announcing import announce_subscriptions
from services.rating.usage.billing_period import BillingPeriod
from services.rating.usage.commands.carry_over import carry_from_predecessor
from services.rating.usage.commands.refuse_usage_after_end import refuse_usage_after_end
from services.rating.usage.store import future_usage, periods

_REASONS = {ChangeKind.CANCELLATION: CreditReason.ORDER_CANCELLATION}


def start_subscription(deps: Deps, tx: Connection, agreement: Agreement, at: datetime) -> Billed:
    """A subscription became active: open its first period, and invoice a base price that is due in advance."""
    run = start_run(agreement)
    if run.following is not None:
        periods.open_periods(tx, [_opened(agreement, run.following)])
        carry_from_predecessor(tx, agreement, run.following)
    return _bill(deps, tx, run, at)


def end_trial(deps: Deps, tx: Connection, agreement: Agreement, at: datetime) -> Billed:
    """A trial ended within a period: invoice the rest of a base price that is due in advance."""
    return _bill(deps, tx, trial_end_run(agreement, at), at)


def close_subscription_now(
    deps: Deps,
    tx: Connection,
    agreement: Agreement,
    at: datetime,
    reason: ChangeKind,
    *,
    credit_action: Resolution = Resolution.CREDIT,
    skip_final_invoice: bool = False,
) -> Billed:
    """A subscription ended at `at`: credit an unused base price, close its open period there, invoice the rest."""
    billed = NOTHING_BILLED
    while (period := lock_open_period(tx, agreement)) is not None and period.period.end < at:
        # The close run has not come this far yet; what ended before is invoiced by itself.
        billed += _close(deps, tx, period_end_run(agreement, period), period.period.end)
    refuse_usage_after_end(deps, tx, agreement, at)
    opened_at = period.period.start if period is not None else at
    nominal = cut_period(agreement, at, opened_at)
    _finalize_base(deps, tx, agreement, nominal, at)
    # Before the final invoice, which uses what goes to the customer's balance.
    billed += credit_unused_base(
        deps, tx, agreement, at, nominal, credit_action, _REASONS.get(reason, CreditReason.ORDER_CHANGE)
    )
    if period is not None:
        cut = replace(period, period=Period(period.period.start, max(period.period.start, at)))
        if skip_final_invoice:
            periods.close(tx, {cut.key: (cut.period, None)})
            future_usage.forget(tx, {cut.key: at})
        else:
            billed += _close(deps, tx, end_run(agreement, cut), at)
    # The base price is earned from the period it began in, which may have been closed long ago.
    since = period_containing(agreement.cadence, opened_at).start
    periods.mark_accruals(tx, agreement.organization_id, agreement.subscription_id, since=since)
    return billed


def lock_open_period(tx: Connection, agreement: Agreement) -> BillingPeriod | None:
    """The open period, in which nothing is counted until the transaction ends; None when there is none.

    Asked twice: who waits for a period that is being closed cannot see the next one in it.
    """
    key = (agreement.organization_id, agreement.subscription_id)
    return periods.lock_open(tx, *key) or periods.lock_open(tx, *key)


def _finalize_base(deps: Deps, tx: Connection, agreement: Agreement, nominal: Period | None, at: datetime) -> None:
    """Finalize a draft that holds the base price about to be credited: only what is final can be credited."""
    if nominal is None:
        return
    owner = agreement.organization_id
    found = invoice_store.base_fee_within(tx, owner, agreement.subscription_id, nominal)
    if found is not None:
        bill = invoice_store.bill(tx, owner, found[0], lock=True)
        if bill.invoice.state is InvoiceState.DRAFT:
            finalize_drafts(deps, tx, organization(tx, owner), [bill], at)


def _bill(deps: Deps, tx: Connection, run: BillingRun, at: datetime) -> Billed:
    """Invoice a run that closes no period."""
    if run.base is None:
        return NOTHING_BILLED
    return _billed(bill_runs(deps, tx, organization(tx, run.agreement.organization_id), [run], at).values())


def _close(deps: Deps, tx: Connection, run: BillingRun, at: datetime) -> Billed:
    """Invoice one run and close its period."""
    bills = close_runs(deps, tx, run.agreement.organization_id, [run], at)
    return _billed(bills)


def close_runs(
    deps: Deps, tx: Connection, owner: OrganizationId, runs: Sequence[BillingRun], at: datetime
) -> list[Bill]:
    """Invoice runs of one organization, close their periods, open the following ones. The periods are locked."""
    bills = bill_runs(deps, tx, organization(tx, owner), runs, at)
    mark_billed(tx, runs, bills)
    following = [run for run in runs if run.following is not None]
    periods.open_periods(tx, [_opened(run.agreement, run.following) for run in following if run.following])
    carry_over(tx, runs)
    for_all: dict[datetime, list[Agreement]] = {}
    for run in following:
        for_all.setdefault(run.at, []).append(run.agreement)
    for began_at, agreed in for_all.items():
        announce_subscriptions(deps, tx, agreed, began_at)
    return list(bills.values())


def _opened(agreement: Agreement, period: Period) -> BillingPeriod:
    subscription = agreement.subscription
    return BillingPeriod(agreement.organization_id, subscription.subscription_id, subscription.customer_id, period)


def _billed(bills: Iterable[Bill]) -> Billed:
    made = list(bills)
    return Billed(
        invoice_ids=tuple(bill.invoice.invoice_id for bill in made),
        due_amount_cents=sum(bill.invoice.totals.sub_total_cents for bill in made),
    )

"""What a subscription's start, its trial's end and its own end bill at once, and which periods they open and close."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime

from sqlalchemy.engine import Connection

from services.kernel.cadence import period_containing
from services.kernel.errors import UnavailableError
from services.kernel.period import Period
from services.rating.agreements.agreement import Agreement
from services.rating.agreements.billing_outcome import NOTHING_BILLED, BillingOutcome
from services.rating.agreements.change import ChangeKind
from services.rating.deps import Deps
from services.rating.invoicing.billing_run import (
    BillingRun,
    cut_period,
    end_run,
    period_end_run,
    start_run,
    trial_end_run,
)
from services.rating.invoicing.commands.close import close_periods, close_runs, open_periods
from services.rating.invoicing.commands.credit_notes import credit_unused_base
from services.rating.invoicing.commands.finalize import finalize_drafts
from services.rating.invoicing.commands.invoice_runs import invoice_runs
from services.rating.invoicing.credit_note import CreditReason
from services.rating.invoicing.invoice import Invoice, InvoiceState
from services.rating.invoicing.store import invoices as invoice_store
from services.rating.organizations.store import organization
from services.rating.usage.billing_period import BillingPeriod
from services.rating.usage.commands.carry_over import carry_from_predecessor
from services.rating.usage.commands.place import MAX_LOOKS
from services.rating.usage.commands.refuse_usage_after_end import refuse_usage_after_end
from services.rating.usage.store import periods

_REASONS = {ChangeKind.CANCELLATION: CreditReason.ORDER_CANCELLATION}


def bill_start(deps: Deps, tx: Connection, agreement: Agreement) -> BillingOutcome:
    """After a subscription became active: open its first period, and invoice a base price that is due in advance.

    Both are dated at its start.
    """
    run = start_run(agreement)
    if run.following is not None:
        open_periods(tx, [(agreement, run.following)])
        carry_from_predecessor(tx, agreement, run.following)
    return _bill_base(deps, tx, run, agreement.subscription.starts_at)


def bill_trial_end(deps: Deps, tx: Connection, agreement: Agreement, at: datetime) -> BillingOutcome:
    """After a trial ended within a period: invoice the rest of a base price that is due in advance."""
    return _bill_base(deps, tx, trial_end_run(agreement, at), at)


def _bill_base(deps: Deps, tx: Connection, run: BillingRun, at: datetime) -> BillingOutcome:
    """Invoice a run that closes no period."""
    if run.base is None:
        return NOTHING_BILLED
    return _outcome(invoice_runs(deps, tx, organization(tx, run.agreement.organization_id), [run], at))


def bill_end(deps: Deps, tx: Connection, agreement: Agreement, at: datetime, reason: ChangeKind) -> BillingOutcome:
    """After a subscription ended at `at`: credit unused base price, close its open period there, invoice the rest."""
    terms = agreement.end_terms
    outcome, period = _close_ended_periods(deps, tx, agreement, at)
    refuse_usage_after_end(deps, tx, agreement, at)
    opened_at = period.period.start if period is not None else at
    nominal = cut_period(agreement, at, opened_at)
    _finalize_base(deps, tx, agreement, nominal, at)
    # Before the final invoice, which uses what is credited to the customer's balance.
    outcome += credit_unused_base(
        deps, tx, agreement, at, nominal, terms.resolution, _REASONS.get(reason, CreditReason.ORDER_CHANGE)
    )
    if period is not None:
        cut = replace(period, period=Period(period.period.start, max(period.period.start, at)))
        if terms.skip_final_invoice:
            close_periods(tx, [cut], (), is_waived=True)
        else:
            outcome += _close(deps, tx, end_run(agreement, cut), at)
    # The base price is earned from the beginning of its period, which may have been closed long ago.
    since = period_containing(agreement.cadence, opened_at).start
    periods.mark_accruals(tx, agreement.organization_id, agreement.subscription_id, since=since)
    return outcome


def _close_ended_periods(
    deps: Deps, tx: Connection, agreement: Agreement, at: datetime
) -> tuple[BillingOutcome, BillingPeriod | None]:
    """Close the periods that ended before the subscription did, in case the clock is behind.

    Returns also the period that was open at the subscription's end.
    """
    outcome = NOTHING_BILLED
    while (period := lock_open_period(tx, agreement)) is not None and period.period.end < at:
        outcome += _close(deps, tx, period_end_run(agreement, period), period.period.end)
    return outcome, period


def lock_open_period(tx: Connection, agreement: Agreement) -> BillingPeriod | None:
    """The open period, locked so that nothing is counted in it until the transaction ends; None if there is none.

    A transaction that waited for a period while it was being closed cannot see the next one in the same statement, and
    while years of periods are closed one after another it may wait for each. So it looks again as long as one is open:
    a subscription that ended beside its open period would leave that one open for ever.

    Raises:
        UnavailableError: the periods change too fast to be locked; try again.
    """
    key = (agreement.organization_id, agreement.subscription_id)
    for _ in range(MAX_LOOKS):
        period = periods.lock_open(tx, *key)
        if period is not None or not periods.has_open(tx, *key):
            return period
    raise UnavailableError("PERIODS_MOVE", f"the billing periods of subscription {key[1]} are being closed")


def _finalize_base(deps: Deps, tx: Connection, agreement: Agreement, nominal: Period | None, at: datetime) -> None:
    """Finalize a draft with the base price that is about to be credited: only a final invoice can be credited."""
    if nominal is None:
        return
    billed = invoice_store.base_fee_within(tx, agreement.organization_id, agreement.subscription_id, nominal)
    if billed is not None:
        invoice = invoice_store.invoice(tx, agreement.organization_id, billed[0], lock=True)
        if invoice.state is InvoiceState.DRAFT:
            finalize_drafts(deps, tx, organization(tx, agreement.organization_id), [invoice], at)


def _close(deps: Deps, tx: Connection, run: BillingRun, at: datetime) -> BillingOutcome:
    """Invoice one run and close its period."""
    return _outcome(close_runs(deps, tx, organization(tx, run.agreement.organization_id), [run], at))


def _outcome(invoices: Iterable[Invoice]) -> BillingOutcome:
    made = list(invoices)
    return BillingOutcome(
        invoice_ids=tuple(invoice.invoice_id for invoice in made),
        due_amount_cents=sum(invoice.totals.sub_total_amount_cents for invoice in made),
    )

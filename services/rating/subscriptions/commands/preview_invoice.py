"""The next invoice of a subscription, made by what will make it; the caller undoes everything afterwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy.engine import Connection

from services.kernel.errors import AlreadyExistsError, FailedPreconditionError
from services.kernel.ids import InvoiceId, OrganizationId
from services.rating.agreements import store as agreements
from services.rating.agreements.agreement import Agreement
from services.rating.agreements.subscription_change import NewSubscription
from services.rating.customers.commands import upsert_customer
from services.rating.customers.coupons import Agreed, apply_coupon
from services.rating.customers.customer import Customer
from services.rating.deps import Deps
from services.rating.invoicing.billing_run import period_end_run
from services.rating.invoicing.commands.close import close_runs
from services.rating.invoicing.invoice import Invoice, InvoiceState, PaymentState
from services.rating.invoicing.store import invoices
from services.rating.organizations.store import organization as organization_of
from services.rating.subscriptions.commands.billing import bill_start, bill_trial_end, lock_open_period
from services.rating.subscriptions.commands.change_plan import living
from services.rating.subscriptions.commands.create import create_subscription
from services.rating.subscriptions.commands.start import activated
from services.rating.usage.billing_period import BillingPeriod

# More coupons than anybody gives at once.
MAX_COUPONS = 20


@dataclass(frozen=True, slots=True)
class InvoicePreview:
    """Whose invoice is previewed.

    Attributes:
        new: who would subscribe to what; None for an existing subscription.
        revise: what would be known of that customer.
        coupon_codes: the coupons that the customer would be given.
        external_subscription_id: the existing subscription; empty for a new one.
    """

    new: NewSubscription | None = None
    revise: Callable[[Customer], Mapping[str, Any]] = lambda _: {}
    coupon_codes: tuple[str, ...] = ()
    external_subscription_id: str = ""


def preview_invoice(deps: Deps, tx: Connection, organization: OrganizationId, wanted: InvoicePreview) -> Invoice:
    """The next invoice, as a draft without a number. Everything in `tx` must be undone.

    Raises:
        NotFoundError: `SUBSCRIPTION_UNKNOWN`, `PLAN_UNKNOWN`, `COUPON_UNKNOWN`.
        InvalidArgumentError: names what is wrong.
        FailedPreconditionError: `CHANGE_ALREADY_PENDING`, `NOTHING_TO_INVOICE`, or why the customer cannot subscribe.
    """
    if wanted.new is None:
        agreement, made = living(tx, organization, wanted.external_subscription_id, ""), None
    else:
        agreement, made = _subscribed(deps, tx, organization, wanted.new, wanted)
    invoice = invoices.invoice(tx, organization, made) if made else _next_invoice(deps, tx, agreement)
    return replace(
        invoice,
        state=InvoiceState.DRAFT,
        sequential_id=None,
        number=None,
        finalized_at=None,
        payment_state=PaymentState.PENDING,
    )


def _subscribed(
    deps: Deps, tx: Connection, organization: OrganizationId, new: NewSubscription, wanted: InvoicePreview
) -> tuple[Agreement, InvoiceId | None]:
    """A new subscription that has begun, and the invoice that its start made, if any."""
    upsert_customer(deps, tx, organization, new.external_customer_id, wanted.revise)
    for code in wanted.coupon_codes:
        # A coupon that the customer holds reduces the invoice as it is.
        with suppress(AlreadyExistsError):
            apply_coupon(deps, tx, organization, new.external_customer_id, code, Agreed())
    change = create_subscription(deps, tx, organization, new)
    agreement, billed = change.agreement, change.billed
    if not agreement.is_active:
        agreement = activated(agreement, agreement.subscription.starts_at)
        agreements.save_agreements(tx, [agreement])
        billed = bill_start(deps, tx, agreement)
    return agreement, next(iter(billed.invoice_ids), None)


def _next_invoice(deps: Deps, tx: Connection, agreement: Agreement) -> Invoice:
    """What the end of the open period will invoice or, if that comes earlier, the end of a trial."""
    period = lock_open_period(tx, agreement)
    if period is None:
        raise FailedPreconditionError("NOTHING_TO_INVOICE", "the subscription is in no billing period")
    _require_going_on(agreement, period)
    trial_ends_at = agreement.trial_end_due_at
    if trial_ends_at is not None and trial_ends_at < period.period.end:
        billed = bill_trial_end(deps, tx, agreement, trial_ends_at)
        for invoice_id in billed.invoice_ids:
            return invoices.invoice(tx, agreement.organization_id, invoice_id)
    seller = organization_of(tx, agreement.organization_id)
    made = close_runs(deps, tx, seller, [period_end_run(agreement, period)], period.period.end)
    if not made:
        raise FailedPreconditionError("NOTHING_TO_INVOICE", "the period bills nothing")
    return made[0]


def _require_going_on(agreement: Agreement, period: BillingPeriod) -> None:
    change = agreement.subscription.pending_change
    ends = (change.effective_at if change is not None else None, agreement.ending_at)
    if any(end is not None and end <= period.period.end for end in ends):
        raise FailedPreconditionError(
            "CHANGE_ALREADY_PENDING", "the subscription changes or ends with its period; preview that change"
        )

"""Invoices. Their state moves by the verbs below and by nothing else.

draft ──refresh──▶ draft ──finalize──▶ finalized ──void──▶ voided
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum

from services.kernel.cadence import local_date
from services.kernel.errors import FailedPreconditionError
from services.kernel.ids import CustomerId, InvoiceId, OrganizationId, SubscriptionId
from services.kernel.money import Currency
from services.kernel.period import Period
from services.rating.customers.customer import Customer
from services.rating.invoicing.invoice_fee import InvoiceFee
from services.rating.invoicing.totals import NO_TOTALS, Totals
from services.rating.pricing.fee import FeeKind


class InvoiceKind(StrEnum):
    """What an invoice is for."""

    SUBSCRIPTION = "subscription"
    ONE_OFF = "one_off"


class InvoiceState(StrEnum):
    """Where an invoice is in its life."""

    DRAFT = "draft"
    FINALIZED = "finalized"
    VOIDED = "voided"


class PaymentState(StrEnum):
    """What is known of an invoice's payment."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class DraftTerms:
    """What a draft is computed again from.

    Attributes:
        subscription_id: the subscription whose run made it; None for one-off invoices.
        usage_start: start of the billing period whose usage it bills; None when it bills none.
        commitment, commitment_of: the part of the plan's period on which a minimum commitment is due, and the full
            period; None when none is.
    """

    subscription_id: SubscriptionId | None = None
    usage_start: datetime | None = None
    commitment: Period | None = None
    commitment_of: Period | None = None


@dataclass(frozen=True, slots=True)
class Invoice:
    """What a customer is asked to pay, and how it came about. All instants are aware and in UTC.

    Attributes:
        invoice_id: its identity.
        organization_id: owner.
        kind: what it is for.
        customer: the customer as it was when the invoice was made or finalized.
        currency: of every amount on it.
        timezone: zone its days are counted in.
        created_at: when it was made, which is the end of what it bills.
        grace_ends_at: until when it stays a draft; late events count until it is finalized.
        issuing_date, payment_due_date: days in `timezone`; on a draft those that are expected.
        fees: its lines.
        totals: what they come to.
        period: the span whose closing made it; None for one-off invoices.
        terms: what a draft is computed again from.
        state: see the module.
        sequential_id, number: given at finalization, without gaps per organization; None on a draft.
        finalized_at: when it became immutable.
        voided_at: when it was taken back.
        payment_state: pending until a payment succeeds or fails.
        paid_amount_cents: what was paid, in minor units.
    """

    invoice_id: InvoiceId
    organization_id: OrganizationId
    kind: InvoiceKind
    customer: Customer
    currency: Currency
    timezone: str
    created_at: datetime
    grace_ends_at: datetime
    issuing_date: date
    payment_due_date: date
    fees: tuple[InvoiceFee, ...] = ()
    totals: Totals = NO_TOTALS
    period: Period | None = None
    terms: DraftTerms = DraftTerms()
    state: InvoiceState = InvoiceState.DRAFT
    sequential_id: int | None = None
    number: str | None = None
    finalized_at: datetime | None = None
    voided_at: datetime | None = None
    payment_state: PaymentState = PaymentState.PENDING
    paid_amount_cents: int = 0

    @property
    def customer_id(self) -> CustomerId:
        """Who is billed."""
        return self.customer.customer_id

    @property
    def open_amount_cents(self) -> int:
        """What is still to be paid, in minor units."""
        return self.totals.total_amount_cents - self.paid_amount_cents

    @property
    def due_amount_cents(self) -> int:
        """What is asked for and not yet paid, in minor units; nothing of a draft or a voided invoice."""
        return self.open_amount_cents if self.state is InvoiceState.FINALIZED else 0

    def is_overdue(self, at: datetime) -> bool:
        """Whether something is due and the day it was due has passed for the customer; that day itself is in time."""
        return self.due_amount_cents > 0 and local_date(at, self.timezone) > self.payment_due_date

    @property
    def net_payment_term_days(self) -> int:
        """Days from issue until it is due."""
        return (self.payment_due_date - self.issuing_date).days

    @property
    def billed_subscriptions(self) -> tuple[BilledSubscription, ...]:
        """What it bills of each subscription, in the order of the fees; what corrects earlier periods is left out."""
        by_subscription: dict[SubscriptionId, list[InvoiceFee]] = {}
        for fee in self.fees:
            if fee.fee.subscription_id is not None and fee.fee.kind is not FeeKind.ADJUSTMENT:
                by_subscription.setdefault(fee.fee.subscription_id, []).append(fee)
        return tuple(BilledSubscription.of(fees) for fees in by_subscription.values())

    @property
    def subscription_ids(self) -> tuple[SubscriptionId, ...]:
        """The subscriptions on it, in the order of the fees."""
        known = (self.terms.subscription_id, *(invoice_fee.fee.subscription_id for invoice_fee in self.fees))
        return tuple(dict.fromkeys(subscription for subscription in known if subscription))

    def with_totals(self, fees: Sequence[InvoiceFee], totals: Totals) -> Invoice:
        """The invoice with these fees, each with its own shares of coupons and taxes, and what they come to."""
        shared = zip(fees, totals.coupon_amounts, strict=True)
        return replace(self, fees=tuple(fee.with_share(amount, self.currency) for fee, amount in shared), totals=totals)


@dataclass(frozen=True, slots=True)
class BilledSubscription:
    """What an invoice bills of one subscription.

    Attributes:
        subscription_id, external_id: the subscription, by Farebox id and by the organization's.
        plan_code: the plan.
        base_period, usage_period: the spans of base price and usage; None where none is billed.
    """

    subscription_id: SubscriptionId | None
    external_id: str
    plan_code: str
    base_period: Period | None
    usage_period: Period | None

    @classmethod
    def of(cls, fees: Sequence[InvoiceFee]) -> BilledSubscription:
        """What fees of one subscription, at least one, bill of it."""
        first = fees[0]
        return cls(
            first.fee.subscription_id,
            first.external_subscription_id,
            first.fee.plan_code,
            _span(fee.fee.period for fee in fees if fee.fee.kind is FeeKind.SUBSCRIPTION),
            _span(fee.fee.period for fee in fees if fee.fee.kind in {FeeKind.CHARGE, FeeKind.TRUE_UP}),
        )


def _span(periods: Iterable[Period]) -> Period | None:
    known = list(periods)
    return Period(min(period.start for period in known), max(period.end for period in known)) if known else None


def first_given(*levels: int | None) -> int:
    """The first number that is given: the customer's own, else its plan's, else the organization's, which always is."""
    return next(level for level in levels if level is not None)


def refresh(invoice: Invoice, fees: Sequence[InvoiceFee], totals: Totals) -> Invoice:
    """The draft with its fees and totals computed anew.

    Raises:
        FailedPreconditionError: `INVOICE_NOT_DRAFT`.
    """
    require_draft(invoice)
    return invoice.with_totals(fees, totals)


def finalize(invoice: Invoice, *, at: datetime, sequential_id: int, prefix: str, net_payment_term_days: int) -> Invoice:
    """Freeze a draft under its running number. With nothing to pay it is paid at once.

    Raises:
        FailedPreconditionError: `INVOICE_NOT_DRAFT`.
    """
    require_draft(invoice)
    issued_on = local_date(at, invoice.timezone)
    return replace(
        invoice,
        state=InvoiceState.FINALIZED,
        sequential_id=sequential_id,
        number=f"{prefix}-{sequential_id:06d}",
        finalized_at=at,
        issuing_date=issued_on,
        payment_due_date=issued_on + timedelta(days=net_payment_term_days),
        payment_state=PaymentState.PENDING if invoice.totals.total_amount_cents else PaymentState.SUCCEEDED,
    )


def void(invoice: Invoice, *, at: datetime) -> Invoice:
    """Take a finalized invoice back; it keeps its number.

    Raises:
        FailedPreconditionError: `INVOICE_NOT_FINALIZED`, or `INVOICE_PAID` when money was received for it.
    """
    require_finalized(invoice)
    if invoice.paid_amount_cents:
        raise FailedPreconditionError("INVOICE_PAID", "an invoice that was paid is credited, not voided")
    return replace(invoice, state=InvoiceState.VOIDED, voided_at=at)


def record_payment(invoice: Invoice, amount_cents: int) -> Invoice:
    """The invoice after money was received; the payment succeeded once all of it was.

    Raises:
        FailedPreconditionError: `INVOICE_NOT_FINALIZED`, or `PAYMENT_EXCEEDS_INVOICE`.
    """
    require_finalized(invoice)
    if not 0 < amount_cents <= invoice.open_amount_cents:
        raise FailedPreconditionError("PAYMENT_EXCEEDS_INVOICE", "the payment is not within what is still to pay")
    is_paid = amount_cents == invoice.open_amount_cents
    payment_state = PaymentState.SUCCEEDED if is_paid else invoice.payment_state
    return replace(invoice, paid_amount_cents=invoice.paid_amount_cents + amount_cents, payment_state=payment_state)


def record_failed_payment(invoice: Invoice) -> Invoice:
    """The invoice after an attempt to collect it failed; another may still succeed.

    Raises:
        FailedPreconditionError: `INVOICE_NOT_FINALIZED`, or `INVOICE_PAID`.
    """
    require_finalized(invoice)
    if invoice.payment_state is PaymentState.SUCCEEDED:
        raise FailedPreconditionError("INVOICE_PAID", "the invoice is paid")
    return replace(invoice, payment_state=PaymentState.FAILED)


def require_draft(invoice: Invoice) -> None:
    """Refuse a verb that only drafts know.

    Raises:
        FailedPreconditionError: `INVOICE_NOT_DRAFT`.
    """
    if invoice.state is not InvoiceState.DRAFT:
        raise FailedPreconditionError(
            "INVOICE_NOT_DRAFT", f"the invoice is {invoice.state}, not a draft", state=invoice.state
        )


def require_finalized(invoice: Invoice) -> None:
    """Refuse a verb that only finalized invoices know.

    Raises:
        FailedPreconditionError: `INVOICE_NOT_FINALIZED`.
    """
    if invoice.state is not InvoiceState.FINALIZED:
        raise FailedPreconditionError(
            "INVOICE_NOT_FINALIZED", f"the invoice is {invoice.state}, not finalized", state=invoice.state
        )

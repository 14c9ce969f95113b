"""Invoices. Only the verbs below change their state.

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
    """The state of an invoice."""

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
    """What is needed to compute a draft again.

    Attributes:
        subscription_id: the subscription whose run made it; None for one-off invoices.
        usage_start: the start of the billing period whose usage it bills; None if it bills none.
        commitment, commitment_of: the part of the plan's period for which a minimum commitment is due, and the full
            period; None if none is due.
    """

    subscription_id: SubscriptionId | None = None
    usage_start: datetime | None = None
    commitment: Period | None = None
    commitment_of: Period | None = None


@dataclass(frozen=True, slots=True)
class Invoice:
    """What a customer is asked to pay, and how it was computed. All instants are aware and in UTC.

    Attributes:
        invoice_id: its identity.
        organization_id: the organization it belongs to.
        kind: what it is for.
        customer: the customer as it was when the invoice was made or finalized.
        currency: the currency of every amount on it.
        timezone: the zone in which its days are counted.
        created_at: when it was made, which is the end of what it bills.
        grace_ends_at: until when it stays a draft; late events count until it is finalized.
        issuing_date, payment_due_date: days in `timezone`; on a draft, the expected ones.
        fees: its lines.
        totals: the totals of the fees.
        period: the span whose closing made it; None for one-off invoices.
        terms: what is needed to compute a draft again.
        state: see the module.
        sequential_id, number: assigned at finalization, without gaps within the organization; None on a draft.
        finalized_at: when it became immutable.
        voided_at: when it was voided.
        payment_state: pending until a payment succeeds or fails.
        paid_amount_cents: how much was paid, in minor units.
        dispute_lost_at: when a dispute about its payment was lost, which writes it off; None if none was.
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
    dispute_lost_at: datetime | None = None

    @property
    def customer_id(self) -> CustomerId:
        """The customer who is billed."""
        return self.customer.customer_id

    @property
    def open_amount_cents(self) -> int:
        """What still has to be paid, in minor units."""
        return self.totals.total_amount_cents - self.paid_amount_cents

    @property
    def due_amount_cents(self) -> int:
        """What is due and not paid yet, in minor units; 0 for a draft or a voided invoice."""
        return self.open_amount_cents if self.state is InvoiceState.FINALIZED else 0

    def is_overdue(self, at: datetime) -> bool:
        """Whether something is due and the customer's due day has passed; on that day itself it is still in time.

        What a lost dispute is about is written off, and not overdue.
        """
        if self.dispute_lost_at is not None:
            return False
        return self.due_amount_cents > 0 and local_date(at, self.timezone) > self.payment_due_date

    @property
    def net_payment_term_days(self) -> int:
        """Days from issue until it is due."""
        return (self.payment_due_date - self.issuing_date).days

    @property
    def billed_subscriptions(self) -> tuple[BilledSubscription, ...]:
        """What it bills for each subscription, in the order of the fees, without corrections of earlier periods."""
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
        """The invoice with these fees, each with its shares of coupons and taxes, and with these totals."""
        shared = zip(fees, totals.coupon_amounts, strict=True)
        return replace(self, fees=tuple(fee.with_share(amount, self.currency) for fee, amount in shared), totals=totals)


@dataclass(frozen=True, slots=True)
class BilledSubscription:
    """What an invoice bills for one subscription.

    Attributes:
        subscription_id, external_id: the subscription, by Farebox id and by the organization's.
        plan_code: the plan.
        base_period, usage_period: the spans of base price and usage; None if none is billed.
    """

    subscription_id: SubscriptionId | None
    external_id: str
    plan_code: str
    base_period: Period | None
    usage_period: Period | None

    @classmethod
    def of(cls, fees: Sequence[InvoiceFee]) -> BilledSubscription:
        """What fees of one subscription, at least one, bill for it."""
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
    """The first given number: the customer's own, otherwise its plan's, otherwise the organization's, which exists."""
    return next(level for level in levels if level is not None)


def refresh(invoice: Invoice, fees: Sequence[InvoiceFee], totals: Totals) -> Invoice:
    """The draft with its fees and totals computed again.

    Raises:
        FailedPreconditionError: `INVOICE_NOT_DRAFT`.
    """
    require_draft(invoice)
    return invoice.with_totals(fees, totals)


def finalize(invoice: Invoice, *, at: datetime, sequential_id: int, prefix: str, net_payment_term_days: int) -> Invoice:
    """Freeze a draft under its running number. If there is nothing to pay, it is paid at once.

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
    """Void a finalized invoice; it keeps its number.

    Raises:
        FailedPreconditionError: `INVOICE_NOT_FINALIZED`, `INVOICE_PAID` if money was received for it, or
            `DISPUTE_LOST` if it was written off.
    """
    require_finalized(invoice)
    if invoice.dispute_lost_at is not None:
        raise FailedPreconditionError("DISPUTE_LOST", "an invoice whose dispute was lost stays as it was")
    if invoice.paid_amount_cents:
        raise FailedPreconditionError("INVOICE_PAID", "an invoice that was paid is credited, not voided")
    return replace(invoice, state=InvoiceState.VOIDED, voided_at=at)


def lose_dispute(invoice: Invoice, *, at: datetime) -> Invoice:
    """The invoice after a dispute about its payment was lost; losing it twice changes nothing.

    Raises:
        FailedPreconditionError: `INVOICE_NOT_FINALIZED`.
    """
    require_finalized(invoice)
    return invoice if invoice.dispute_lost_at is not None else replace(invoice, dispute_lost_at=at)


def record_payment(invoice: Invoice, amount_cents: int) -> Invoice:
    """The invoice after money was received; the payment has succeeded once everything is paid.

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
    """The invoice after a failed attempt to collect its amount; another attempt may still succeed.

    Raises:
        FailedPreconditionError: `INVOICE_NOT_FINALIZED`, or `INVOICE_PAID`.
    """
    require_finalized(invoice)
    if invoice.payment_state is PaymentState.SUCCEEDED:
        raise FailedPreconditionError("INVOICE_PAID", "the invoice is paid")
    return replace(invoice, payment_state=PaymentState.FAILED)


def require_draft(invoice: Invoice) -> None:
    """Refuse a verb that is only for drafts.

    Raises:
        FailedPreconditionError: `INVOICE_NOT_DRAFT`.
    """
    if invoice.state is not InvoiceState.DRAFT:
        raise FailedPreconditionError(
            "INVOICE_NOT_DRAFT", f"the invoice is {invoice.state}, not a draft", state=invoice.state
        )


def require_finalized(invoice: Invoice) -> None:
    """Refuse a verb that is only for finalized invoices.

    Raises:
        FailedPreconditionError: `INVOICE_NOT_FINALIZED`.
    """
    if invoice.state is not InvoiceState.FINALIZED:
        raise FailedPreconditionError(
            "INVOICE_NOT_FINALIZED", f"the invoice is {invoice.state}, not finalized", state=invoice.state
        )

"""Invoices: the bill. State moves by the verbs below and by nothing else.

    draft ──refresh──▶ draft ──finalize──▶ finalized ──void──▶ voided

Totals are computed in one order: fees, coupons, taxes, credit notes, prepaid credits. A fee is rounded when
it is made, a tax once for the whole invoice; nothing else rounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from services.kernel.errors import FailedPreconditionError
from services.kernel.ids import CustomerId, InvoiceId
from services.kernel.money import Currency
from services.rating.pricing.coupon import CouponCredit, CouponTerms, apply_coupons
from services.rating.pricing.fee import Fee
from services.rating.pricing.tax import InvoiceTax, total_taxes


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
class Balance:
    """Money a customer already has with the organization, in minor units.

    Attributes:
        balance_id: the credit note or prepaid credit it comes from.
        amount_cents: what is left of it.
    """

    balance_id: str
    amount_cents: int


@dataclass(frozen=True, slots=True)
class Totals:
    """What an invoice comes to, in minor units unless said otherwise.

    Attributes:
        fees_cents: sum of the fees.
        coupons: what each coupon took off.
        coupon_amounts: exact amount taken off each fee, in major units, in the order of the fees.
        taxes: each tax, rounded once.
        credit_notes: what was used of each credit note's balance.
        prepaid_credits: what was used of each prepaid credit.
    """

    fees_cents: int = 0
    coupons: tuple[CouponCredit, ...] = ()
    coupon_amounts: tuple[Decimal, ...] = ()
    taxes: tuple[InvoiceTax, ...] = ()
    credit_notes: tuple[Balance, ...] = ()
    prepaid_credits: tuple[Balance, ...] = ()

    @property
    def coupons_cents(self) -> int:
        """All that coupons took off."""
        return sum(each.amount_cents for each in self.coupons)

    @property
    def sub_total_cents(self) -> int:
        """Fees less coupons, before taxes."""
        return self.fees_cents - self.coupons_cents

    @property
    def taxes_cents(self) -> int:
        """All taxes."""
        return sum(each.amount_cents for each in self.taxes)

    @property
    def credit_notes_cents(self) -> int:
        """What credit notes covered."""
        return sum(each.amount_cents for each in self.credit_notes)

    @property
    def prepaid_credits_cents(self) -> int:
        """What prepaid credits covered."""
        return sum(each.amount_cents for each in self.prepaid_credits)

    @property
    def total_cents(self) -> int:
        """What is left to pay."""
        covered = self.credit_notes_cents + self.prepaid_credits_cents
        return self.sub_total_cents + self.taxes_cents - covered


NO_TOTALS = Totals()


@dataclass(frozen=True, slots=True)
class Invoice:
    """The bill of a customer. All instants are aware and in UTC.

    Attributes:
        invoice_id: its identity.
        customer_id: who is billed.
        currency: of every amount on it.
        issued_at: the end of what it bills; late events count until it is finalized.
        fees: its lines.
        totals: what they come to.
        state: see the module.
        number: given at finalization, without gaps per organization.
        finalized_at: when it became immutable.
        voided_at: when it was taken back.
        due_at: when it is to be paid.
        payment_state: pending until a payment succeeds or fails.
        paid_cents: what was paid.
    """

    invoice_id: InvoiceId
    customer_id: CustomerId
    currency: Currency
    issued_at: datetime
    fees: tuple[Fee, ...] = ()
    totals: Totals = NO_TOTALS
    state: InvoiceState = InvoiceState.DRAFT
    number: str | None = None
    finalized_at: datetime | None = None
    voided_at: datetime | None = None
    due_at: datetime | None = None
    payment_state: PaymentState = PaymentState.PENDING
    paid_cents: int = 0


def compute_totals(
    fees: Sequence[Fee],
    currency: Currency,
    *,
    coupons: Sequence[CouponTerms] = (),
    credit_notes: Sequence[Balance] = (),
    prepaid_credits: Sequence[Balance] = (),
) -> Totals:
    """Fees, then coupons, then taxes, then credit notes, then prepaid credits; balances are used in the given order.

    Adjustments below zero must be outweighed by other fees (`adjustment.settle`), so that the total is never
    below zero.
    """
    discount = apply_coupons(fees, coupons, currency)
    bases = [
        (fee.taxes, currency.to_major(fee.amount_cents) - taken)
        for fee, taken in zip(fees, discount.by_fee, strict=True)
    ]
    totals = Totals(
        fees_cents=sum(fee.amount_cents for fee in fees),
        coupons=discount.credits,
        coupon_amounts=discount.by_fee,
        taxes=total_taxes(bases, currency),
    )
    totals = replace(totals, credit_notes=_draw(totals.total_cents, credit_notes))
    return replace(totals, prepaid_credits=_draw(totals.total_cents, prepaid_credits))


def refresh(invoice: Invoice, fees: Sequence[Fee], totals: Totals) -> Invoice:
    """The draft with its fees computed anew.

    Raises:
        FailedPreconditionError: `INVOICE_NOT_DRAFT`.
    """
    _require(invoice, InvoiceState.DRAFT)
    return replace(invoice, fees=tuple(fees), totals=totals)


def finalize(invoice: Invoice, *, at: datetime, number: str, due_at: datetime) -> Invoice:
    """Freeze a draft under its number. With nothing to pay it is paid at once.

    Raises:
        FailedPreconditionError: `INVOICE_NOT_DRAFT`.
    """
    _require(invoice, InvoiceState.DRAFT)
    payment_state = PaymentState.PENDING if invoice.totals.total_cents else PaymentState.SUCCEEDED
    return replace(
        invoice,
        state=InvoiceState.FINALIZED,
        number=number,
        finalized_at=at,
        due_at=due_at,
        payment_state=payment_state,
    )


def void(invoice: Invoice, *, at: datetime) -> Invoice:
    """Take a finalized invoice back; it keeps its number.

    Raises:
        FailedPreconditionError: `INVOICE_NOT_FINALIZED`, or `INVOICE_PAID` when money was received for it.
    """
    _require(invoice, InvoiceState.FINALIZED)
    if invoice.paid_cents:
        raise FailedPreconditionError("INVOICE_PAID", "an invoice that was paid is credited, not voided")
    return replace(invoice, state=InvoiceState.VOIDED, voided_at=at)


def record_payment(invoice: Invoice, amount_cents: int) -> Invoice:
    """The invoice after money was received; the payment succeeded once all of it was.

    Raises:
        FailedPreconditionError: `INVOICE_NOT_FINALIZED`, or `PAYMENT_EXCEEDS_INVOICE`.
    """
    _require(invoice, InvoiceState.FINALIZED)
    paid_cents = invoice.paid_cents + amount_cents
    if amount_cents <= 0 or paid_cents > invoice.totals.total_cents:
        raise FailedPreconditionError("PAYMENT_EXCEEDS_INVOICE", "the payment is not within what is still to pay")
    is_paid = paid_cents == invoice.totals.total_cents
    payment_state = PaymentState.SUCCEEDED if is_paid else invoice.payment_state
    return replace(invoice, paid_cents=paid_cents, payment_state=payment_state)


def record_failed_payment(invoice: Invoice) -> Invoice:
    """The invoice after an attempt to collect it failed; another may still succeed.

    Raises:
        FailedPreconditionError: `INVOICE_NOT_FINALIZED`, or `INVOICE_PAID`.
    """
    _require(invoice, InvoiceState.FINALIZED)
    if invoice.payment_state is PaymentState.SUCCEEDED:
        raise FailedPreconditionError("INVOICE_PAID", "the invoice is paid")
    return replace(invoice, payment_state=PaymentState.FAILED)


def _draw(amount_cents: int, balances: Sequence[Balance]) -> tuple[Balance, ...]:
    """What is used of each balance, in order, to cover an amount."""
    used = []
    for balance in balances:
        drawn = min(amount_cents, balance.amount_cents)
        if drawn > 0:
            used.append(Balance(balance.balance_id, drawn))
            amount_cents -= drawn
    return tuple(used)


def _require(invoice: Invoice, state: InvoiceState) -> None:
    if invoice.state is not state:
        raise FailedPreconditionError(
            f"INVOICE_NOT_{state.name}", f"the invoice is {invoice.state}, not {state}", state=invoice.state
        )

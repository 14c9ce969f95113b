"""Credit notes: what is given back of an invoice, how it is taxed, and where it goes.

Items keep five decimals of a minor unit, and the rest is cut off. Sub-total and taxes are rounded, but never beyond
what is left of the invoice's own; the credit note that gives the last part back takes exactly what is left. So the
credit notes of a whole invoice add up to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from enum import StrEnum

from services.kernel.errors import FailedPreconditionError
from services.kernel.money import ZERO, Currency
from services.rating.agreements.resolution import Resolution
from services.rating.pricing.fee import Fee
from services.rating.pricing.proration import DayShare
from services.rating.pricing.tax import Tax

# How many decimals of a minor unit a credited item keeps.
_ITEM_DECIMALS = 5


class CreditNoteState(StrEnum):
    """The state of a credit note."""

    FINALIZED = "finalized"
    VOIDED = "voided"


@dataclass(frozen=True, slots=True)
class CreditableFee:
    """A fee as it was invoiced. Amounts are in major currency units.

    Attributes:
        fee: the fee.
        coupons_amount: the exact amount that coupons took off it.
        credited_amount: what earlier credit notes gave back of it, before coupons and taxes.
    """

    fee: Fee
    coupons_amount: Decimal = ZERO
    credited_amount: Decimal = ZERO

    def after_coupons(self, amount: Decimal, currency: Currency) -> Decimal:
        """A part of the fee, less its share of the coupons."""
        fee_amount = currency.to_major(self.fee.amount_cents)
        return amount - (self.coupons_amount * amount / fee_amount if fee_amount else ZERO)

    def total_amount_cents(self, amount: Decimal, currency: Currency) -> int:
        """What a part of the fee came to on its invoice: after coupons, with taxes, each rounded."""
        after = self.after_coupons(amount, currency)
        return currency.to_minor(after) + sum(currency.to_minor(tax.of(after)) for tax in self.fee.taxes)


@dataclass(frozen=True, slots=True)
class CreditableInvoice:
    """A finalized invoice, and what earlier credit notes have given back of it. Amounts are in minor units.

    Attributes:
        fees: its fees.
        sub_total_amount_cents: fees less coupons.
        taxes_amount_cents: its taxes.
        paid_amount_cents: how much of it was paid.
        credited_sub_total_amount_cents: sub-totals of earlier credit notes.
        credited_taxes_amount_cents: their taxes.
        is_voided: whether it was voided, so that nothing can be given back.
    """

    fees: tuple[CreditableFee, ...]
    sub_total_amount_cents: int
    taxes_amount_cents: int
    paid_amount_cents: int = 0
    credited_sub_total_amount_cents: int = 0
    credited_taxes_amount_cents: int = 0
    is_voided: bool = False

    @property
    def total_amount_cents(self) -> int:
        """What had to be paid."""
        return self.sub_total_amount_cents + self.taxes_amount_cents


@dataclass(frozen=True, slots=True)
class CreditItem:
    """What is given back of one fee.

    Attributes:
        fee_number: position of the fee on its invoice, from 0.
        precise_amount: the amount before coupons and taxes, in major currency units, to five decimals of a minor unit.
    """

    fee_number: int
    precise_amount: Decimal


@dataclass(frozen=True, slots=True)
class CreditAmounts:
    """What is given back of an invoice, in minor units.

    Attributes:
        items: the parts of fees that it gives back, exact.
        item_amounts_cents: each item rounded, before coupons and taxes.
        sub_total_amount_cents: their sum less the coupons' share, before taxes.
        taxes_amount_cents: the taxes given back.
        credit_amount_cents: what goes to the customer's balance.
        refund_amount_cents: what is paid back.
        offset_amount_cents: what lowers the open amount of the invoice.
        used_amount_cents: what later invoices have used of the balance.
        state: finalized, or voided if nothing more may be used.
    """

    items: tuple[CreditItem, ...]
    item_amounts_cents: tuple[int, ...]
    sub_total_amount_cents: int
    taxes_amount_cents: int
    credit_amount_cents: int
    refund_amount_cents: int = 0
    offset_amount_cents: int = 0
    used_amount_cents: int = 0
    state: CreditNoteState = CreditNoteState.FINALIZED

    @property
    def total_amount_cents(self) -> int:
        """Everything that is given back."""
        return self.sub_total_amount_cents + self.taxes_amount_cents

    @property
    def balance_amount_cents(self) -> int:
        """What later invoices can still use."""
        return 0 if self.state is CreditNoteState.VOIDED else self.credit_amount_cents - self.used_amount_cents


def credit(invoice: CreditableInvoice, items: Iterable[CreditItem], currency: Currency) -> CreditAmounts:
    """A credit note to the customer's balance for parts of the fees of one invoice.

    Raises:
        FailedPreconditionError: `INVOICE_VOIDED`, or `CREDIT_EXCEEDS_FEE` for more than is left of a fee.
    """
    if invoice.is_voided:
        raise FailedPreconditionError("INVOICE_VOIDED", "a voided invoice has nothing to give back")
    kept = tuple(replace(item, precise_amount=_cut(item.precise_amount, currency)) for item in items)
    is_last = _check_left(invoice, kept, currency)
    sub_total, taxes = _amounts(invoice, kept, currency)
    sub_total_left = invoice.sub_total_amount_cents - invoice.credited_sub_total_amount_cents
    taxes_left = invoice.taxes_amount_cents - invoice.credited_taxes_amount_cents
    sub_total_amount_cents = sub_total_left if is_last else min(sub_total, sub_total_left)
    taxes_amount_cents = taxes_left if is_last else min(taxes, taxes_left)
    item_amounts_cents = tuple(currency.to_minor(item.precise_amount) for item in kept)
    return CreditAmounts(
        kept,
        item_amounts_cents,
        sub_total_amount_cents,
        taxes_amount_cents,
        sub_total_amount_cents + taxes_amount_cents,
    )


def credit_unused(
    invoice: CreditableInvoice,
    fee_number: int,
    unused: DayShare,
    currency: Currency,
    resolution: Resolution = Resolution.CREDIT,
) -> CreditAmounts | None:
    """The credit note for days of a base price that were billed in advance and will not be used.

    It is at most the fee itself, less what was already credited of it. None if nothing is left to give back, the
    invoice was voided, or the resolution is `none`.
    """
    if invoice.is_voided or resolution is Resolution.NONE:
        return None
    invoiced = invoice.fees[fee_number]
    amount = unused_amount(invoiced.fee, unused, currency)
    left = amount - invoiced.credited_amount
    if left <= 0:
        return None
    note = credit(invoice, [CreditItem(fee_number, left)], currency)
    if resolution is Resolution.CREDIT:
        return note
    unused_amount_cents = invoiced.total_amount_cents(_cut(amount, currency), currency)
    fee_amount_cents = invoiced.total_amount_cents(currency.to_major(invoiced.fee.amount_cents), currency)
    return _resolve(note, resolution, invoice, fee_amount_cents, unused_amount_cents)


def unused_amount(fee: Fee, unused: DayShare, currency: Currency) -> Decimal:
    """What a base price billed in advance came to for the days that will not be used; at most the fee itself."""
    fee_amount = currency.to_major(fee.amount_cents)
    return min(unused.of(fee.full_period_amount or fee_amount), fee_amount)


def for_used_days(fee: Fee, unused: DayShare, currency: Currency) -> Fee:
    """The base price without the item that a credit note gives back of it for unused days."""
    item = _cut(unused_amount(fee, unused, currency), currency)
    return replace(fee, amount_cents=fee.amount_cents - currency.to_minor(item))


def use(note: CreditAmounts, amount_cents: int) -> CreditAmounts:
    """The credit note after an invoice used some of its balance.

    Raises:
        FailedPreconditionError: `CREDIT_NOTE_VOIDED`, or `CREDIT_NOTE_USED_UP` for more than its balance.
    """
    if note.state is CreditNoteState.VOIDED:
        raise FailedPreconditionError("CREDIT_NOTE_VOIDED", "the credit note was voided")
    if amount_cents > note.balance_amount_cents:
        raise FailedPreconditionError("CREDIT_NOTE_USED_UP", "the credit note has less than that left")
    return replace(note, used_amount_cents=note.used_amount_cents + amount_cents)


def void(note: CreditAmounts) -> CreditAmounts:
    """The credit note after it was voided, without its unused rest.

    Raises:
        FailedPreconditionError: `CREDIT_NOTE_VOIDED`, or `CREDIT_NOTE_USED_UP` if nothing is left.
    """
    if note.state is CreditNoteState.VOIDED:
        raise FailedPreconditionError("CREDIT_NOTE_VOIDED", "the credit note was voided")
    if not note.balance_amount_cents:
        raise FailedPreconditionError("CREDIT_NOTE_USED_UP", "nothing is left of the credit note")
    return replace(note, state=CreditNoteState.VOIDED)


def _resolve(
    note: CreditAmounts,
    resolution: Resolution,
    invoice: CreditableInvoice,
    fee_amount_cents: int,
    unused_amount_cents: int,
) -> CreditAmounts:
    """Split a credit between refund, open invoice and balance.

    A payment covers all fees of the invoice alike; only the part of it that is this fee's, beyond its used days, is
    paid back.
    """
    paid_amount_cents = 0
    if invoice.total_amount_cents:
        paid = Decimal(invoice.paid_amount_cents) * fee_amount_cents / invoice.total_amount_cents
        paid_amount_cents = int(paid.to_integral_value(ROUND_HALF_UP))
    refund_amount_cents = max(
        0, min(note.total_amount_cents, paid_amount_cents - (fee_amount_cents - unused_amount_cents))
    )
    rest_amount_cents = note.total_amount_cents - refund_amount_cents
    offset_amount_cents = 0
    if resolution is Resolution.OFFSET:
        offset_amount_cents = min(rest_amount_cents, invoice.total_amount_cents - invoice.paid_amount_cents)
    return replace(
        note,
        refund_amount_cents=refund_amount_cents,
        offset_amount_cents=offset_amount_cents,
        credit_amount_cents=rest_amount_cents - offset_amount_cents,
    )


def _check_left(invoice: CreditableInvoice, items: Sequence[CreditItem], currency: Currency) -> bool:
    """Refuse more than is left of a fee; returns whether these items give back all that is left of the invoice."""
    left = [currency.to_major(creditable.fee.amount_cents) - creditable.credited_amount for creditable in invoice.fees]
    for item in items:
        left[item.fee_number] -= item.precise_amount
        if left[item.fee_number] < 0:
            raise FailedPreconditionError("CREDIT_EXCEEDS_FEE", "the fee has less than that left to give back")
    return not any(left)


def _amounts(invoice: CreditableInvoice, items: Sequence[CreditItem], currency: Currency) -> tuple[int, int]:
    """The sub-total of items after coupons and the taxes on it, each tax rounded once."""
    sub_total = ZERO
    bases: dict[Tax, Decimal] = {}
    for item in items:
        invoiced = invoice.fees[item.fee_number]
        after = invoiced.after_coupons(item.precise_amount, currency)
        sub_total += after
        for tax in invoiced.fee.taxes:
            bases[tax] = bases.get(tax, ZERO) + after
    return currency.to_minor(sub_total), sum(currency.to_minor(tax.of(base)) for tax, base in bases.items())


def _cut(amount: Decimal, currency: Currency) -> Decimal:
    """The amount to five decimals of a minor unit, with the rest cut off."""
    return amount.quantize(Decimal(1).scaleb(-currency.exponent - _ITEM_DECIMALS), rounding=ROUND_DOWN)

"""The totals of an invoice, computed in a fixed order: fees, coupons, taxes, credit notes, prepaid credits.

A fee is rounded when it is made, and a tax once for the whole invoice; nothing else is rounded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from services.kernel.money import Currency
from services.rating.pricing.coupon import CouponCredit, CouponTerms, apply_coupons
from services.rating.pricing.fee import Fee, require_amount_within
from services.rating.pricing.tax import InvoiceTax, total_taxes


@dataclass(frozen=True, slots=True)
class Balance:
    """Money a customer already has with the organization, in minor units.

    Attributes:
        balance_id: the credit note or prepaid credit from which it comes.
        amount_cents: what is left of it.
    """

    balance_id: str
    amount_cents: int


@dataclass(frozen=True, slots=True)
class Totals:
    """The totals of an invoice, in minor units by default.

    Attributes:
        fees_amount_cents: sum of the fees.
        coupons: what each coupon took off.
        coupon_amounts: the exact amount taken off each fee, in major units, in the order of the fees.
        taxes: each tax, rounded once.
        credit_notes: what was used of each credit note's balance.
        prepaid_credits: what was used of each prepaid credit.
    """

    fees_amount_cents: int = 0
    coupons: tuple[CouponCredit, ...] = ()
    coupon_amounts: tuple[Decimal, ...] = ()
    taxes: tuple[InvoiceTax, ...] = ()
    credit_notes: tuple[Balance, ...] = ()
    prepaid_credits: tuple[Balance, ...] = ()

    @property
    def coupons_amount_cents(self) -> int:
        """Everything that coupons took off."""
        return sum(coupon.amount_cents for coupon in self.coupons)

    @property
    def sub_total_amount_cents(self) -> int:
        """Fees less coupons, before taxes."""
        return self.fees_amount_cents - self.coupons_amount_cents

    @property
    def taxes_amount_cents(self) -> int:
        """All taxes."""
        return sum(tax.amount_cents for tax in self.taxes)

    @property
    def credit_notes_amount_cents(self) -> int:
        """What credit notes covered."""
        return sum(balance.amount_cents for balance in self.credit_notes)

    @property
    def prepaid_credits_amount_cents(self) -> int:
        """What prepaid credits covered."""
        return sum(balance.amount_cents for balance in self.prepaid_credits)

    @property
    def total_amount_cents(self) -> int:
        """What is left to pay."""
        covered = self.credit_notes_amount_cents + self.prepaid_credits_amount_cents
        return self.sub_total_amount_cents + self.taxes_amount_cents - covered


NO_TOTALS = Totals()


def compute_totals(
    fees: Sequence[Fee],
    currency: Currency,
    *,
    coupons: Sequence[CouponTerms] = (),
    credit_notes: Sequence[Balance] = (),
    prepaid_credits: Sequence[Balance] = (),
) -> Totals:
    """Fees, then coupons, then taxes, then credit notes, then prepaid credits; balances are used in the given order.

    Adjustments below zero must be outweighed by other fees (`adjustment.settle`), so that the total is never below
    zero.

    Raises:
        FailedPreconditionError: `AMOUNT_TOO_LARGE`.
    """
    discount = apply_coupons(fees, coupons, currency)
    bases = [
        (fee.taxes, currency.to_major(fee.amount_cents) - taken)
        for fee, taken in zip(fees, discount.by_fee, strict=True)
    ]
    totals = Totals(
        fees_amount_cents=require_amount_within(sum(fee.amount_cents for fee in fees)),
        coupons=discount.credits,
        coupon_amounts=discount.by_fee,
        taxes=total_taxes(bases, currency),
    )
    totals = replace(totals, credit_notes=_draw(totals.total_amount_cents, credit_notes))
    return replace(totals, prepaid_credits=_draw(totals.total_amount_cents, prepaid_credits))


def _draw(amount_cents: int, balances: Sequence[Balance]) -> tuple[Balance, ...]:
    """What is used of each balance, in order, to cover an amount."""
    used = []
    for balance in balances:
        drawn = min(amount_cents, balance.amount_cents)
        if drawn > 0:
            used.append(Balance(balance.balance_id, drawn))
            amount_cents -= drawn
    return tuple(used)

"""Coupons: what they take off an invoice, and how that amount spreads over its fees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum

from services.kernel.errors import FailedPreconditionError, InvalidArgumentError
from services.kernel.money import ZERO, Currency
from services.rating.pricing.fee import Fee

_WHOLE_PERCENT = 100
_SMALLEST_SHARE = Decimal("1e-12")


class CouponFrequency(StrEnum):
    """How long an applied coupon lasts: until its amount is used up, for a number of invoices, or forever."""

    ONCE = "once"
    RECURRING = "recurring"
    FOREVER = "forever"


@dataclass(frozen=True, slots=True)
class CouponTerms:
    """The terms of a coupon: a fixed amount or a percentage, never both.

    Attributes:
        code: the coupon's name.
        frequency: how long it lasts.
        amount_cents: the fixed amount: in total for `once`, for each invoice otherwise; None for a percentage.
        rate_percent: the percentage, above 0 and at most 100; None for a fixed amount.
        used_amount_cents: what a fixed `once` coupon has already taken off.
        invoices_left: how many invoices a `recurring` coupon still covers.
        plan_codes: the plans to whose fees it is limited; empty for no limit.
        metric_codes: the billable metrics to whose fees it is limited; empty for no limit.
        is_used_up: whether nothing is left of it.
    """

    code: str
    frequency: CouponFrequency
    amount_cents: int | None = None
    rate_percent: Decimal | None = None
    used_amount_cents: int = 0
    invoices_left: int | None = None
    plan_codes: tuple[str, ...] = ()
    metric_codes: tuple[str, ...] = ()
    is_used_up: bool = False

    def __post_init__(self) -> None:
        """Refuse a coupon without a value or with two; the InvalidArgumentError names the field."""
        if (self.amount_cents is None) == (self.rate_percent is None):
            raise InvalidArgumentError.of_field("amount_cents", "value_is_invalid", "is given, or rate_percent is")
        if self.amount_cents is not None and self.amount_cents <= 0:
            raise InvalidArgumentError.of_field("amount_cents", "value_is_out_of_range", "is more than zero")
        if self.rate_percent is not None and not 0 < self.rate_percent <= _WHOLE_PERCENT:
            raise InvalidArgumentError.of_field("rate_percent", "value_is_out_of_range", "is above 0 to 100")
        if self.frequency is CouponFrequency.RECURRING and self.invoices_left is None:
            raise InvalidArgumentError.of_field("invoices_left", "value_is_mandatory", "says for how many invoices")

    def covers(self, fee: Fee) -> bool:
        """Whether the coupon's limits allow it to reduce this fee."""
        if self.metric_codes:
            return fee.metric_code in self.metric_codes
        return not self.plan_codes or fee.plan_code in self.plan_codes

    def amount_off(self, base_amount: Decimal, currency: Currency) -> int:
        """The minor units that it takes off a base in major units: never more than the base."""
        if self.is_used_up or base_amount <= 0:
            return 0
        if self.rate_percent is not None:
            return currency.to_minor(base_amount * self.rate_percent.scaleb(-2))
        available = self.amount_cents or 0
        if self.frequency is CouponFrequency.ONCE:
            available -= self.used_amount_cents
        return min(available, currency.to_minor(base_amount))

    def use(self, amount_cents: int) -> CouponTerms:
        """The coupon after an invoice was finalized with this much taken off.

        Raises:
            FailedPreconditionError: `COUPON_USED_UP`.
        """
        if self.is_used_up:
            raise FailedPreconditionError("COUPON_USED_UP", f"coupon {self.code!r} is used up", code=self.code)
        used_amount_cents = self.used_amount_cents + amount_cents
        if self.frequency is CouponFrequency.ONCE:
            # A percentage that applies once is used up by one invoice, a fixed amount when all of it is spent.
            is_used_up = self.amount_cents is None or used_amount_cents >= self.amount_cents
            return replace(self, used_amount_cents=used_amount_cents, is_used_up=is_used_up)
        if self.frequency is CouponFrequency.RECURRING:
            left = (self.invoices_left or 0) - 1
            return replace(self, used_amount_cents=used_amount_cents, invoices_left=left, is_used_up=left <= 0)
        return replace(self, used_amount_cents=used_amount_cents)

    @property
    def is_spent(self) -> bool:
        """Whether invoices have used all of it; False if it was taken away instead."""
        if self.frequency is CouponFrequency.ONCE:
            return self.used_amount_cents > 0 and self.used_amount_cents >= (self.amount_cents or 0)
        return self.frequency is CouponFrequency.RECURRING and (self.invoices_left or 0) <= 0

    def give_back(self, amount_cents: int) -> CouponTerms:
        """The coupon after an invoice from which it took this amount was voided: the reverse of `use`.

        A coupon that was used up reduces invoices again; one that was taken away stays taken away.
        """
        left = None if self.invoices_left is None else self.invoices_left + 1
        return replace(
            self,
            used_amount_cents=max(0, self.used_amount_cents - amount_cents),
            invoices_left=left,
            is_used_up=self.is_used_up and not self.is_spent,
        )


@dataclass(frozen=True, slots=True)
class CouponCredit:
    """What one coupon took off one invoice.

    Attributes:
        coupon: its terms before it was used.
        amount_cents: what it took off, in minor units.
        applied_coupon_id: the applied coupon; empty if only the arithmetic matters.
    """

    coupon: CouponTerms
    amount_cents: int
    applied_coupon_id: str = ""


@dataclass(frozen=True, slots=True)
class Discount:
    """The effect of all coupons of an invoice.

    Attributes:
        credits: what each coupon took off, in the order in which they applied.
        by_fee: the exact amount taken off each fee, in major units, in the order of the fees; their sum is that of the
            credits.
    """

    credits: tuple[CouponCredit, ...]
    by_fee: tuple[Decimal, ...]


def apply_coupons(fees: Sequence[Fee], coupons: Sequence[CouponTerms], currency: Currency) -> Discount:
    """Take coupons off fees, one after the other: first those limited to metrics, then those limited to plans."""
    left = _net_amounts(fees, currency)
    taken = [ZERO] * len(fees)
    applied = []
    for coupon in sorted(coupons, key=_breadth):
        bases = [amount if coupon.covers(fee) else ZERO for fee, amount in zip(fees, left, strict=True)]
        amount_cents = coupon.amount_off(sum(bases, ZERO), currency)
        for index, share in enumerate(spread(currency.to_major(amount_cents), bases)):
            left[index] -= share
            taken[index] += share
        applied.append(CouponCredit(coupon, amount_cents))
    return Discount(tuple(applied), tuple(taken))


def _net_amounts(fees: Sequence[Fee], currency: Currency) -> list[Decimal]:
    """What is left of each fee after adjustments below zero were set against the fees with the same taxes."""
    amounts = [currency.to_major(fee.amount_cents) for fee in fees]
    net = list(amounts)
    for taxes in {fee.taxes for fee, amount in zip(fees, amounts, strict=True) if amount < 0}:
        same = [index for index, fee in enumerate(fees) if fee.taxes == taxes]
        owed = [max(ZERO, amounts[index]) for index in same]
        back = sum((-amounts[index] for index in same if amounts[index] < 0), ZERO)
        for index, amount, share in zip(same, owed, spread(min(back, sum(owed, ZERO)), owed), strict=True):
            net[index] = amount - share
    return net


def spread(amount: Decimal, bases: Sequence[Decimal]) -> tuple[Decimal, ...]:
    """Divide an amount in proportion to bases, none of them below zero, so that the shares sum to it exactly."""
    total = sum(bases, ZERO)
    if not total:
        return (ZERO,) * len(bases)
    shares, running, given = [], ZERO, ZERO
    for base in bases:
        running += base
        upto = amount if running == total else (amount * running / total).quantize(_SMALLEST_SHARE)
        shares.append(upto - given)
        given = upto
    return tuple(shares)


def _breadth(coupon: CouponTerms) -> int:
    """Narrow coupons go first, so that a broad one does not use up fees that only they could have reduced."""
    if coupon.metric_codes:
        return 0
    return 1 if coupon.plan_codes else 2

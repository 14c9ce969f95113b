"""Taxes and coupons: messages to domain and back."""

from __future__ import annotations

from datetime import UTC, datetime

from farebox.common.v1 import money_pb2
from farebox.rating.v1 import coupon_pb2 as pb
from farebox.rating.v1 import tax_pb2
from services.kernel.checks import inside
from services.kernel.errors import InvalidArgumentError
from services.kernel.money import currency
from services.rating.pricing.catalog import AppliedCoupon, CatalogTax, Coupon
from services.rating.pricing.coupon import CouponFrequency, CouponTerms
from services.rating.pricing.tax import Tax
from services.wire.values import decimal_of, decimal_to_pb, instant_or_none_of, instant_to_pb

# A draft has no identity and age of its own: the command gives it both.
NOT_YET = datetime.min.replace(tzinfo=UTC)

_FREQUENCIES = {
    pb.Coupon.FREQUENCY_ONCE: CouponFrequency.ONCE,
    pb.Coupon.FREQUENCY_RECURRING: CouponFrequency.RECURRING,
    pb.Coupon.FREQUENCY_FOREVER: CouponFrequency.FOREVER,
}
_FREQUENCIES_TO_PB = {value: key for key, value in _FREQUENCIES.items()}


def tax_from_pb(message: tax_pb2.Tax) -> CatalogTax:
    """The draft of a tax, or a refusal that names its fields."""
    rate_percent = decimal_of(message, "rate_percent", "tax")
    with inside("tax"):
        return CatalogTax(
            tax_id="",
            tax=Tax(message.code, rate_percent, message.name or message.code),
            created_at=NOT_YET,
            description=message.description,
            applied_to_organization=message.applied_to_organization,
        )


def tax_to_pb(tax: CatalogTax) -> tax_pb2.Tax:
    """The tax as it is."""
    return tax_pb2.Tax(
        id=tax.tax_id,
        code=tax.tax.code,
        name=tax.tax.name,
        description=tax.description,
        rate_percent=decimal_to_pb(tax.tax.rate_percent),
        applied_to_organization=tax.applied_to_organization,
        created_at=instant_to_pb(tax.created_at),
    )


def coupon_from_pb(message: pb.Coupon) -> Coupon:
    """The draft of a coupon, or a refusal that names its fields."""
    frequency = _FREQUENCIES.get(message.frequency)
    if frequency is None:
        raise InvalidArgumentError.of_field("coupon.frequency", "value_is_mandatory", "is once, recurring or forever")
    recurring = frequency is CouponFrequency.RECURRING
    if recurring and message.frequency_duration < 1:
        raise InvalidArgumentError.of_field("coupon.frequency_duration", "value_is_mandatory", "counts invoices")
    is_rate = message.HasField("rate_percent")
    rate_percent = decimal_of(message, "rate_percent", "coupon") if is_rate else None
    amount = money_from_pb(message.amount, "coupon.amount") if message.HasField("amount") else (None, "")
    expires_at = instant_or_none_of(message, "expires_at", "coupon")
    with inside("coupon", {"invoices_left": "frequency_duration"}):
        terms = CouponTerms(
            code=message.code,
            frequency=frequency,
            amount_cents=amount[0],
            rate_percent=rate_percent,
            invoices_left=message.frequency_duration if recurring else None,
            plan_codes=tuple(message.plan_codes),
            metric_codes=tuple(message.metric_codes),
        )
        return Coupon("", message.name or message.code, terms, amount[1], NOT_YET, expires_at)


def coupon_to_pb(coupon: Coupon) -> pb.Coupon:
    """The coupon as it is."""
    terms = coupon.terms
    fixed = terms.amount_cents is not None
    return pb.Coupon(
        id=coupon.coupon_id,
        code=terms.code,
        name=coupon.name,
        amount=money_pb2.Money(amount_cents=terms.amount_cents or 0, currency=coupon.currency) if fixed else None,
        rate_percent=None if terms.rate_percent is None else decimal_to_pb(terms.rate_percent),
        frequency=_FREQUENCIES_TO_PB[terms.frequency],
        frequency_duration=terms.invoices_left or 0,
        expires_at=instant_to_pb(coupon.expires_at),
        plan_codes=terms.plan_codes,
        metric_codes=terms.metric_codes,
        created_at=instant_to_pb(coupon.created_at),
    )


def applied_coupon_to_pb(applied: AppliedCoupon) -> pb.AppliedCoupon:
    """The coupon in a customer's hand as it is."""
    terms = applied.coupon.terms
    once = terms.frequency is CouponFrequency.ONCE and terms.amount_cents is not None
    state = pb.AppliedCoupon.STATE_TERMINATED if applied.terminated_at else pb.AppliedCoupon.STATE_ACTIVE
    return pb.AppliedCoupon(
        id=applied.applied_coupon_id,
        coupon=coupon_to_pb(applied.coupon),
        external_customer_id=applied.external_customer_id,
        state=state,
        remaining_amount_cents=(terms.amount_cents or 0) - terms.used_cents if once else None,
        remaining_duration=terms.invoices_left if terms.frequency is CouponFrequency.RECURRING else None,
        created_at=instant_to_pb(applied.created_at),
    )


def money_from_pb(message: money_pb2.Money, path: str) -> tuple[int, str]:
    """Minor units, more than none, and a known currency."""
    if message.amount_cents <= 0:
        raise InvalidArgumentError.of_field(f"{path}.amount_cents", "value_is_out_of_range", "is more than zero")
    return message.amount_cents, currency(message.currency, field=f"{path}.currency").code

"""Coupons: messages to domain and back."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from decimal import Decimal

from farebox.common.v1 import money_pb2
from farebox.rating.v1 import catalog_service_pb2
from farebox.rating.v1 import coupon_pb2 as pb
from services.kernel.checks import inside
from services.kernel.errors import InvalidArgumentError
from services.kernel.money import currency
from services.rating.pricing.catalog import AppliedCoupon, Coupon
from services.rating.pricing.coupon import CouponFrequency, CouponTerms
from services.rating.shared.limits import MAX_AMOUNT_CENTS, require_code
from services.wire.masks import patched
from services.wire.values import decimal_of, decimal_to_pb, instant_or_none_of, instant_to_pb

PATH = "coupon"
# The fields that Farebox sets and nobody can change.
_GIVEN = ("id", "created_at", "deleted_at")
# A draft has no identity and no creation time yet: the command sets both.
NOT_YET = datetime.min.replace(tzinfo=UTC)
# Stand-ins for a reduction that is refused, so that the rest of the coupon can be checked.
_ANY_AMOUNT = (1, "USD")
_ANY_RATE = Decimal(1)

_FREQUENCIES: dict[int, CouponFrequency] = {
    pb.Coupon.FREQUENCY_ONCE: CouponFrequency.ONCE,
    pb.Coupon.FREQUENCY_RECURRING: CouponFrequency.RECURRING,
    pb.Coupon.FREQUENCY_FOREVER: CouponFrequency.FOREVER,
}
_FREQUENCIES_TO_PB = {
    CouponFrequency.ONCE: pb.Coupon.FREQUENCY_ONCE,
    CouponFrequency.RECURRING: pb.Coupon.FREQUENCY_RECURRING,
    CouponFrequency.FOREVER: pb.Coupon.FREQUENCY_FOREVER,
}
_WIRE_NAMES = {"invoices_left": "frequency_duration", "amount_cents": "amount.amount_cents"}


def coupon_from_pb(message: pb.Coupon) -> Coupon:
    """The draft of a coupon, or a refusal that names every wrong field."""
    with inside(PATH, _WIRE_NAMES) as checks:
        checks(require_code, "code", message.code)
        for name in ("plan_codes", "metric_codes"):
            checks(_require_different, name, getattr(message, name))
        frequency = checks.read(CouponFrequency.FOREVER, frequency_from_pb, message.frequency)
        is_recurring = frequency is CouponFrequency.RECURRING
        if is_recurring and message.frequency_duration < 1:
            checks.refuse("frequency_duration", "value_is_mandatory", "counts invoices")
        amount_cents, currency_code = (
            checks.read(_ANY_AMOUNT, money_from_pb, message.amount, "amount")
            if message.HasField("amount")
            else (None, "")
        )
        is_rate = message.HasField("rate_percent")
        terms = CouponTerms(
            code=message.code,
            frequency=frequency,
            amount_cents=amount_cents,
            rate_percent=checks.read(_ANY_RATE, decimal_of, message, "rate_percent") if is_rate else None,
            invoices_left=message.frequency_duration if is_recurring else None,
            plan_codes=tuple(message.plan_codes),
            metric_codes=tuple(message.metric_codes),
        )
        return Coupon(
            coupon_id="",
            name=message.name or message.code,
            terms=terms,
            currency=currency_code,
            created_at=NOT_YET,
            expires_at=checks.read(None, instant_or_none_of, message, "expires_at"),
            description=message.description,
            is_reusable=message.reusable if message.HasField("reusable") else True,
        )


def revised_coupon_from_pb(request: catalog_service_pb2.UpdateCouponRequest, current: Coupon) -> Coupon:
    """The new content of a coupon after a request that changes it in full or in part, or a refusal with its fields."""
    return coupon_from_pb(patched(coupon_to_pb(current), request, PATH, given=_GIVEN))


def frequency_from_pb(frequency: int) -> CouponFrequency:
    """How often a coupon reduces invoices."""
    known = _FREQUENCIES.get(frequency)
    if known is None:
        raise InvalidArgumentError.of_field("frequency", "value_is_mandatory", "is once, recurring or forever")
    return known


def _require_different(field: str, codes: Collection[str]) -> None:
    if len(set(codes)) != len(codes):
        raise InvalidArgumentError.of_field(field, "value_already_exist", "name each once")


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
        description=coupon.description,
        reusable=coupon.is_reusable,
        deleted_at=instant_to_pb(coupon.deleted_at),
    )


def applied_coupon_to_pb(applied: AppliedCoupon) -> pb.AppliedCoupon:
    """The applied coupon as it is."""
    terms = applied.coupon.terms
    once = terms.frequency is CouponFrequency.ONCE and terms.amount_cents is not None
    state = pb.AppliedCoupon.STATE_TERMINATED if applied.terminated_at else pb.AppliedCoupon.STATE_ACTIVE
    coupon = coupon_to_pb(applied.coupon)
    # The coupon's terms say what is left; what was given is told in fields beside it.
    coupon.frequency_duration = applied.frequency_duration or 0
    return pb.AppliedCoupon(
        id=applied.applied_coupon_id,
        coupon=coupon,
        external_customer_id=applied.external_customer_id,
        state=state,
        remaining_amount_cents=(terms.amount_cents or 0) - terms.used_amount_cents if once else None,
        remaining_duration=terms.invoices_left if terms.frequency is CouponFrequency.RECURRING else None,
        created_at=instant_to_pb(applied.created_at),
        terminated_at=instant_to_pb(applied.terminated_at),
        customer_id=applied.customer_id,
    )


def money_from_pb(message: money_pb2.Money, path: str) -> tuple[int, str]:
    """An amount in minor units, above zero, and a known currency."""
    with inside(path) as checks:
        if not 0 < message.amount_cents <= MAX_AMOUNT_CENTS:
            checks.refuse("amount_cents", "value_is_out_of_range", f"is 1 to {MAX_AMOUNT_CENTS}")
        return message.amount_cents, currency(message.currency).code

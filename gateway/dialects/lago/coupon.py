"""Coupons."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from farebox.rating.v1 import catalog_service_pb2 as rpc
from farebox.rating.v1.coupon_pb2 import Coupon as CouponMessage
from gateway.decode.refusals import Refusals
from gateway.dialects.lago.common import Description, Identified, Name
from gateway.projection import exact, given, patch, project
from gateway.resource import Listing, resource
from gateway.schema import Cents, Code, Count, CurrencyCode, DecimalInput, DecimalText, Instant, InstantInput, Words, of
from services.kernel.money import ZERO, plain

FREQUENCY = Words(CouponMessage.Frequency, "FREQUENCY_")
# More than the limits of a coupon can have; the service decides the exact number.
_MOST = Meta(max_length=1000)

CouponType = Literal["fixed_amount", "percentage"]
Expiration = Literal["no_expiration", "time_limit"]
Amount = Annotated[Cents, Meta(description="What is taken off, in minor units.")]
Percentage = Annotated[DecimalInput, Meta(description="Percent of the fees, e.g. 10.")]
Frequency = Annotated[str, FREQUENCY.meta]
Invoices = Annotated[Count, Meta(description="How many invoices a recurring coupon reduces.")]


class CouponLimits(Struct, kw_only=True):
    """Which fees a coupon reduces; an empty list means all."""

    plan_codes: Annotated[list[Code], _MOST] | UnsetType | None = UNSET
    billable_metric_codes: Annotated[list[Code], _MOST, of("metric_codes")] | UnsetType | None = UNSET


class CouponChange(Struct, kw_only=True):
    """The content of a coupon: an amount with its currency, or a percentage, which has no currency."""

    code: Code | UnsetType = UNSET
    name: Name | UnsetType = UNSET
    description: Description | UnsetType | None = UNSET
    coupon_type: CouponType | UnsetType = UNSET
    amount_cents: Amount | UnsetType | None = UNSET
    amount_currency: CurrencyCode | UnsetType | None = UNSET
    percentage_rate: Percentage | UnsetType | None = UNSET
    reusable: (
        Annotated[bool, Meta(description="Whether a customer who had it may be given it again.")] | UnsetType | None
    ) = UNSET
    frequency: Frequency | UnsetType = UNSET
    frequency_duration: Invoices | UnsetType | None = UNSET
    expiration: Expiration | UnsetType = UNSET
    expiration_at: Annotated[InstantInput, of("expires_at")] | UnsetType | None = UNSET
    applies_to: CouponLimits | UnsetType | None = UNSET


class NewCoupon(CouponChange, kw_only=True):
    """A new coupon; its frequency is `once` unless it says otherwise."""

    code: Code


class Reduction(Identified, kw_only=True):
    """What a coupon takes off, as answers show it."""

    coupon_type: CouponType
    amount_cents: Cents | None
    amount_currency: str | None
    percentage_rate: DecimalText | None
    frequency: Annotated[str, FREQUENCY.told] | None
    frequency_duration: Annotated[int | None, Meta(description="Invoices of a recurring coupon.")]
    expiration_at: Annotated[Instant | None, of("expires_at")]


class Coupon(Reduction, kw_only=True):
    """A reduction that customers can be given. `amount_cents` is in minor units, `percentage_rate` in percent."""

    code: str
    name: str
    description: str | None
    reusable: bool
    expiration: Expiration
    limited_plans: bool
    plan_codes: list[str]
    limited_billable_metrics: bool
    billable_metric_codes: Annotated[list[str], of("metric_codes")]
    created_at: Instant | None
    terminated_at: Annotated[Instant | None, of("deleted_at")]


def reduction(coupon: CouponMessage) -> dict[str, object]:
    """The fields of a `Reduction` that say what is taken off."""
    is_amount = coupon.HasField("amount")
    return {
        "coupon_type": "fixed_amount" if is_amount else "percentage",
        "amount_cents": coupon.amount.amount_cents if is_amount else None,
        "amount_currency": coupon.amount.currency if is_amount else None,
        "percentage_rate": plain(exact(coupon.rate_percent)) if coupon.HasField("rate_percent") else None,
    }


def coupon_to_api(coupon: CouponMessage) -> Coupon:
    """A coupon as Lago's clients read it."""
    return project(
        Coupon,
        coupon,
        **reduction(coupon),
        reusable=coupon.reusable or not coupon.HasField("reusable"),
        expiration="time_limit" if coupon.HasField("expires_at") else "no_expiration",
        limited_plans=bool(coupon.plan_codes),
        limited_billable_metrics=bool(coupon.metric_codes),
    )


def coupon_from_api(coupon: CouponMessage, body: CouponChange) -> list[str]:
    """Fill a message from a body and return the names of its fields: an update mask.

    Raises:
        Problem: 422, the body contradicts itself.
    """
    refusals = Refusals()
    by_hand = ("coupon_type", "amount_cents", "amount_currency", "percentage_rate", "expiration", "applies_to")
    _, paths = patch(coupon, body, skip=by_hand)
    paths += [*_say_reduction(coupon, body, refusals), *_say_expiration(body, refusals)]
    if body.applies_to is not UNSET:
        # Null removes all limits.
        limits = body.applies_to or CouponLimits(plan_codes=None, billable_metric_codes=None)
        paths += patch(coupon, limits)[1]
    refusals.raise_any()
    return list(dict.fromkeys(paths))


def _say_reduction(coupon: CouponMessage, body: CouponChange, refusals: Refusals) -> list[str]:
    """Write an amount or a percentage; `coupon_type` may say which of the two it is."""
    amount, currency, rate = given(body.amount_cents), given(body.amount_currency), given(body.percentage_rate)
    assumed = "percentage" if rate is not None and amount is None else "fixed_amount"
    is_percentage = (given(body.coupon_type) or assumed) == "percentage"
    if is_percentage and amount is not None:
        refusals.add("amount_cents", "value_is_invalid", "does not belong to a percentage")
    if rate is not None and not is_percentage:
        refusals.add("percentage_rate", "value_is_invalid", "does not belong to a fixed amount")
    for kind, name, value in (("fixed_amount", "amount_cents", amount), ("percentage", "percentage_rate", rate)):
        if body.coupon_type == kind and value is None:
            refusals.add(name, "value_is_mandatory", "is missing")
    if is_percentage:
        # A percentage has no currency; Lago's clients may send one with it.
        coupon.rate_percent.value = plain(rate or ZERO)
        return ["rate_percent"]
    if amount is not None or currency is not None:
        coupon.amount.amount_cents, coupon.amount.currency = amount or 0, currency or ""
        return ["amount"]
    return []


def _say_expiration(body: CouponChange, refusals: Refusals) -> list[str]:
    """Without `expiration`, a time alone means that there is a limit."""
    if body.expiration == "time_limit" and given(body.expiration_at) is None:
        refusals.add("expiration_at", "value_is_mandatory", "is missing")
    if body.expiration == "no_expiration" and given(body.expiration_at) is not None:
        refusals.add("expiration_at", "value_is_invalid", "is given for a coupon without expiration")
    return ["expires_at"] if body.expiration == "no_expiration" else []


def _complete(coupon: CouponMessage) -> None:
    coupon.name = coupon.name or coupon.code
    coupon.frequency = coupon.frequency or CouponMessage.FREQUENCY_ONCE


OPERATIONS = resource(
    "/coupons",
    root="coupon",
    plural="coupons",
    creates=NewCoupon,
    changes=CouponChange,
    answers=Coupon,
    to_api=coupon_to_api,
    from_api=coupon_from_api,
    complete=_complete,
    names={
        "amount": "amount_cents",
        "amount.currency": "amount_currency",
        "amount.amount_cents": "amount_cents",
        "rate_percent": "percentage_rate",
        "plan_codes": "applies_to.plan_codes",
        "plan_codes[]": "applies_to.plan_codes[]",
        "metric_codes": "applies_to.billable_metric_codes",
        "metric_codes[]": "applies_to.billable_metric_codes[]",
    },
    create=rpc.CreateCouponRequest,
    get=rpc.GetCouponRequest,
    list=Listing(rpc.ListCouponsRequest),
    update=rpc.UpdateCouponRequest,
    delete=rpc.DeleteCouponRequest,
)

"""Coupons that customers hold."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from farebox.rating.v1 import customer_service_pb2 as rpc
from farebox.rating.v1.coupon_pb2 import AppliedCoupon as AppliedCouponMessage
from gateway.dialects.lago.coupon import FREQUENCY, Amount, Frequency, Invoices, Percentage, Reduction, reduction
from gateway.engine.paging import PageQuery
from gateway.listing import listed
from gateway.operation import ByCustomer, Listed, Nothing, Request, operation
from gateway.projection import aware, callers_names, given, patch, project
from gateway.schema import Code, CurrencyCode, Instant, Words, of

STATUS = Words(AppliedCouponMessage.State, "STATE_")


class NewAppliedCoupon(Struct, kw_only=True):
    """A coupon for a customer, on its own terms or on the terms given here."""

    external_customer_id: Code
    coupon_code: Code
    amount_cents: Amount | UnsetType | None = UNSET
    amount_currency: CurrencyCode | UnsetType | None = UNSET
    percentage_rate: Annotated[Percentage, of("rate_percent")] | UnsetType | None = UNSET
    frequency: Frequency | UnsetType | None = UNSET
    frequency_duration: Invoices | UnsetType | None = UNSET


class AppliedCoupon(Reduction, kw_only=True):
    """A coupon that a customer holds, on the terms it was given; what is left is in minor units, or in invoices."""

    lago_coupon_id: str
    coupon_code: str
    coupon_name: str
    coupon_deleted_at: Instant | None
    lago_customer_id: Annotated[str, of("customer_id")]
    external_customer_id: str
    status: Annotated[str, STATUS.told, of("state")] | None
    amount_cents_remaining: Annotated[int | None, of("remaining_amount_cents")]
    frequency_duration_remaining: Annotated[int | None, of("remaining_duration")]
    created_at: Instant | None
    terminated_at: Instant | None


class HeldQuery(PageQuery, kw_only=True):
    """Which coupons of a customer; every filter that is given must hold."""

    status: Annotated[str, STATUS.meta, of("states")] | UnsetType = UNSET
    coupon_code: Annotated[list[Code], Meta(max_length=1000), of("coupon_codes")] | UnsetType = UNSET


class AppliedCouponQuery(HeldQuery, kw_only=True):
    """Which applied coupons; every filter that is given must hold."""

    external_customer_id: Code | UnsetType = UNSET


class ByHeldCoupon(Struct):
    """An applied coupon."""

    external_customer_id: Code
    id: Code


async def apply(request: Request[Nothing, Nothing, NewAppliedCoupon]) -> AppliedCoupon:
    """Give a customer a coupon."""
    call, body = request.call, request.body
    message = rpc.ApplyCouponRequest(request_id=call.mutation_id)
    patch(message, body, skip=("amount_cents", "amount_currency"))
    if given(body.amount_cents) is not None or given(body.amount_currency) is not None:
        message.amount.amount_cents = given(body.amount_cents) or 0
        message.amount.currency = given(body.amount_currency) or ""
    return applied_coupon_to_api((await call.ask(call.clients.customers.ApplyCoupon, message)).applied_coupon)


async def find_applied(request: Request[Nothing, AppliedCouponQuery, Nothing]) -> Listed[AppliedCoupon]:
    """List applied coupons, newest first."""
    return await listed(request.call, rpc.ListAppliedCouponsRequest, request.query, applied_coupon_to_api)


async def find_of_customer(request: Request[ByCustomer, HeldQuery, Nothing]) -> Listed[AppliedCoupon]:
    """List the coupons of a customer, newest first."""
    asked, whose = rpc.ListAppliedCouponsRequest, request.path.external_customer_id
    return await listed(request.call, asked, request.query, applied_coupon_to_api, external_customer_id=whose)


async def terminate(request: Request[ByHeldCoupon, Nothing, Nothing]) -> AppliedCoupon:
    """Take a coupon away from a customer."""
    call, path = request.call, request.path
    message = rpc.TerminateAppliedCouponRequest(
        request_id=call.mutation_id, applied_coupon_id=path.id, external_customer_id=path.external_customer_id
    )
    return applied_coupon_to_api(
        (await call.ask(call.clients.customers.TerminateAppliedCoupon, message)).applied_coupon
    )


def applied_coupon_to_api(held: AppliedCouponMessage) -> AppliedCoupon:
    """An applied coupon as Lago's clients read it."""
    return project(
        AppliedCoupon,
        held,
        **reduction(held.coupon),
        lago_coupon_id=held.coupon.id,
        coupon_code=held.coupon.code,
        coupon_name=held.coupon.name,
        coupon_deleted_at=aware(held.coupon.deleted_at) if held.coupon.HasField("deleted_at") else None,
        frequency=FREQUENCY.word(held.coupon.frequency),
        frequency_duration=held.coupon.frequency_duration or None,
        expiration_at=aware(held.coupon.expires_at) if held.coupon.HasField("expires_at") else None,
    )


_NAMES = callers_names(NewAppliedCoupon, rpc.ApplyCouponRequest) | {
    "amount": "amount_cents",
    "amount.currency": "amount_currency",
    "amount.amount_cents": "amount_cents",
}
_OF_CUSTOMER = "/customers/{external_customer_id}/applied_coupons"
OPERATIONS = (
    operation("POST", "/applied_coupons", apply, root="applied_coupon", names=_NAMES),
    operation("GET", "/applied_coupons", find_applied, answer_root="applied_coupons"),
    operation("GET", _OF_CUSTOMER, find_of_customer, answer_root="applied_coupons"),
    operation("DELETE", f"{_OF_CUSTOMER}/{{id}}", terminate, answer_root="applied_coupon"),
)

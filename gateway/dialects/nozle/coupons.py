"""Coupons, and coupons in customers' hands."""

from __future__ import annotations

from typing import Any

from farebox.common.v1.money_pb2 import Money
from farebox.common.v1.page_pb2 import PageRequest
from farebox.rating.v1 import catalog_service_pb2
from farebox.rating.v1 import customer_service_pb2 as service
from farebox.rating.v1.coupon_pb2 import AppliedCoupon, Coupon
from gateway.call import Call
from gateway.dialects.nozle import pages, write
from gateway.dialects.nozle.read import Reader
from gateway.problem import not_available, not_found

FREQUENCIES = {
    "once": Coupon.FREQUENCY_ONCE,
    "recurring": Coupon.FREQUENCY_RECURRING,
    "forever": Coupon.FREQUENCY_FOREVER,
}
STATES = {"active": AppliedCoupon.STATE_ACTIVE, "terminated": AppliedCoupon.STATE_TERMINATED}


async def create(call: Call) -> Any:
    """`POST /coupons`."""
    coupon = read_coupon(Reader(call.wrapped("coupon")))
    request = catalog_service_pb2.CreateCouponRequest(request_id=call.mutation_id, coupon=coupon)
    return {"coupon": coupon_json((await call.ask(call.clients.catalog.CreateCoupon, request)).coupon)}


async def find_all(call: Call) -> Any:
    """`GET /coupons`."""
    page = pages.read(call.query)
    answer = await call.ask(call.clients.catalog.ListCoupons, catalog_service_pb2.ListCouponsRequest(page=page))
    coupons = [coupon_json(coupon) for coupon in answer.coupons]
    return {"coupons": coupons, "meta": pages.meta(page, answer.page, len(coupons))}


async def find(call: Call) -> Any:
    """`GET /coupons/{code}`."""
    request = catalog_service_pb2.ListCouponsRequest(page=PageRequest(page_size=pages.MAX_PER_PAGE))
    coupons = (await call.ask(call.clients.catalog.ListCoupons, request)).coupons
    found = next((coupon for coupon in coupons if coupon.code == call.path["code"]), None)
    if found is None:
        raise not_found("coupon", f"no coupon has the code {call.path['code']!r}")
    return {"coupon": coupon_json(found)}


async def apply(call: Call) -> Any:
    """`POST /applied_coupons`: give a customer a coupon."""
    body = Reader(call.wrapped("applied_coupon"))
    for name in ("percentage_rate", "frequency", "frequency_duration"):
        if body.value(name):
            raise not_available(name)
    amount = Money(amount_cents=body.integer("amount_cents"), currency=body.text("amount_currency"))
    request = service.ApplyCouponRequest(
        request_id=call.mutation_id,
        external_customer_id=body.required("external_customer_id"),
        coupon_code=body.required("coupon_code"),
        amount=amount if body.has("amount_cents") else None,
    )
    answer = await call.ask(call.clients.customers.ApplyCoupon, request)
    return {"applied_coupon": applied_coupon_json(answer.applied_coupon)}


async def find_applied(call: Call) -> Any:
    """`GET /applied_coupons`, and `GET /customers/{external_customer_id}/applied_coupons`."""
    page = pages.read(call.query)
    customer = call.path.get("external_customer_id") or call.query.get("external_customer_id", "")
    request = service.ListAppliedCouponsRequest(page=page, external_customer_id=customer)
    answer = await call.ask(call.clients.customers.ListAppliedCoupons, request)
    held = [applied_coupon_json(each) for each in answer.applied_coupons]
    return {"applied_coupons": held, "meta": pages.meta(page, answer.page, len(held))}


async def terminate(call: Call) -> Any:
    """`DELETE /customers/{external_customer_id}/applied_coupons/{id}`."""
    request = service.TerminateAppliedCouponRequest(request_id=call.mutation_id, applied_coupon_id=call.path["id"])
    answer = await call.ask(call.clients.customers.TerminateAppliedCoupon, request)
    return {"applied_coupon": applied_coupon_json(answer.applied_coupon)}


def read_coupon(body: Reader) -> Coupon:
    """A coupon for the wire.

    Raises:
        Problem: 422, a field is missing or cannot be read.
    """
    limits = body.object("applies_to")
    coupon = Coupon(
        code=body.required("code"),
        name=body.text("name") or body.text("code"),
        frequency=body.choice("frequency", FREQUENCIES, Coupon.FREQUENCY_ONCE),
        frequency_duration=body.integer("frequency_duration"),
        expires_at=body.instant("expiration_at"),
        plan_codes=limits.texts("plan_codes"),
        metric_codes=limits.texts("billable_metric_codes"),
    )
    rate = body.decimal("percentage_rate")
    if rate is not None and not body.has("amount_cents"):
        coupon.rate_percent.CopyFrom(rate)
    else:
        body.required("percentage_rate" if body.text("coupon_type") == "percentage" else "amount_cents")
        amount = Money(amount_cents=body.integer("amount_cents"), currency=body.text("amount_currency"))
        coupon.amount.CopyFrom(amount)
    return coupon


def coupon_json(coupon: Coupon) -> dict[str, Any]:
    """A coupon as Lago's clients read it."""
    return {
        **write.ids(coupon.id),
        "code": coupon.code,
        "name": coupon.name,
        "description": None,
        **_reduction(coupon),
        "frequency": write.word(FREQUENCIES, coupon.frequency),
        "frequency_duration": coupon.frequency_duration or None,
        "expiration": "time_limit" if coupon.HasField("expires_at") else "no_expiration",
        "expiration_at": write.instant(coupon, "expires_at"),
        "reusable": True,
        "limited_plans": bool(coupon.plan_codes),
        "plan_codes": list(coupon.plan_codes),
        "limited_billable_metrics": bool(coupon.metric_codes),
        "billable_metric_codes": list(coupon.metric_codes),
        "created_at": write.instant(coupon, "created_at"),
        "terminated_at": None,
    }


def applied_coupon_json(held: AppliedCoupon) -> dict[str, Any]:
    """A coupon in a customer's hand as Lago's clients read it."""
    coupon = held.coupon
    return {
        **write.ids(held.id),
        "lago_coupon_id": coupon.id,
        "coupon_code": coupon.code,
        "coupon_name": coupon.name,
        # Applied coupons know the customer by the organization's id only; Lago's clients insist on a text.
        "lago_customer_id": "",
        "external_customer_id": held.external_customer_id,
        "status": write.word(STATES, held.state),
        **_reduction(coupon),
        "amount_cents_remaining": held.remaining_amount_cents if held.HasField("remaining_amount_cents") else None,
        "frequency": write.word(FREQUENCIES, coupon.frequency),
        "frequency_duration": coupon.frequency_duration or None,
        "frequency_duration_remaining": held.remaining_duration if held.HasField("remaining_duration") else None,
        "expiration_at": write.instant(coupon, "expires_at"),
        "created_at": write.instant(held, "created_at"),
        "terminated_at": None,
    }


def _reduction(coupon: Coupon) -> dict[str, Any]:
    is_amount = coupon.HasField("amount")
    return {
        "coupon_type": "fixed_amount" if is_amount else "percentage",
        "amount_cents": coupon.amount.amount_cents if is_amount else None,
        "amount_currency": coupon.amount.currency or None,
        "percentage_rate": write.decimal(coupon, "rate_percent"),
    }

"""What somebody would be invoiced who subscribes, or what a subscription will be invoiced next. Nothing is stored."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import UNSET, Meta, Struct, UnsetType

from farebox.rating.v1 import subscription_service_pb2 as rpc
from gateway.dialects.lago.customer import UPSERTED, CustomerUpsert, customer_from_api
from gateway.dialects.lago.invoice_shapes import WholeInvoice, whole_invoice_to_api
from gateway.dialects.lago.subscription import BILLING_TIME
from gateway.operation import Nothing, Request, operation
from gateway.problem import invalid
from gateway.projection import given, patch
from gateway.schema import Code, InstantInput, keys, of

MAX_COUPONS = 20


class PreviewCustomer(CustomerUpsert, kw_only=True):
    """Who would subscribe: a customer by its id, with what would change; else somebody new. Null says nothing."""

    external_id: Code | UnsetType | None = UNSET  # type: ignore[assignment]


class PreviewCoupon(Struct, kw_only=True):
    """A coupon that the customer would be given."""

    NOT_OFFERED: ClassVar = keys(
        "name amount_cents amount_currency applies_to coupon_type description expiration expiration_at frequency "
        "frequency_duration percentage_rate reusable"
    )

    code: Code


class PreviewedSubscriptions(Struct, kw_only=True):
    """An existing subscription. Subscriptions never share an invoice, so that it is one."""

    NOT_OFFERED: ClassVar = keys("plan_code terminated_at")

    external_ids: Annotated[list[Code], Meta(min_length=1, max_length=1)]


class NewPreview(Struct, kw_only=True):
    """Who would subscribe to which plan, or which subscription; not both."""

    NOT_OFFERED: ClassVar = keys("billing_entity_code")

    plan_code: Code | UnsetType | None = UNSET
    billing_time: Annotated[str, BILLING_TIME.meta] | UnsetType | None = UNSET
    subscription_at: Annotated[InstantInput, of("started_at")] | UnsetType | None = UNSET
    coupons: Annotated[list[PreviewCoupon], Meta(max_length=MAX_COUPONS)] | UnsetType | None = UNSET
    customer: PreviewCustomer | UnsetType | None = UNSET
    subscriptions: PreviewedSubscriptions | UnsetType | None = UNSET


async def preview(request: Request[Nothing, Nothing, NewPreview]) -> WholeInvoice:
    """Preview an invoice: the first one of who subscribes to a plan, or the next one of a subscription.

    It is a draft without a number, and its ids are of nothing that is stored.
    """
    call, body = request.call, request.body
    asked = _of_subscription(body) if isinstance(body.subscriptions, PreviewedSubscriptions) else _of_plan(body)
    answer = await call.ask(call.clients.subscriptions.PreviewInvoice, asked)
    return whole_invoice_to_api(answer.invoice, call.organization, None)


def _of_subscription(body: NewPreview) -> rpc.PreviewInvoiceRequest:
    for name in ("plan_code", "billing_time", "subscription_at", "coupons"):
        if given(getattr(body, name)) is not None:
            raise invalid(name, "value_is_invalid", "is for a subscription to come, not for an existing one")
    subscriptions = given(body.subscriptions)
    return rpc.PreviewInvoiceRequest(external_subscription_id=subscriptions.external_ids[0] if subscriptions else "")


def _of_plan(body: NewPreview) -> rpc.PreviewInvoiceRequest:
    if given(body.plan_code) is None:
        raise invalid("plan_code", "value_is_mandatory", "is missing; or name an existing one in `subscriptions`")
    asked, _ = patch(rpc.PreviewInvoiceRequest(), body, skip=("coupons", "customer", "subscriptions"))
    if isinstance(body.coupons, list):
        asked.coupon_codes.extend(coupon.code for coupon in body.coupons)
    if isinstance(body.customer, PreviewCustomer):
        for name in PreviewCustomer.__struct_fields__:
            # Clients send null for what they leave out.
            if getattr(body.customer, name) is None:
                setattr(body.customer, name, UNSET)
        paths = customer_from_api(asked.customer.customer, body.customer)
        asked.customer.update_mask.paths.extend(paths)
    return asked


_NAMES = {"started_at": "subscription_at", "coupon_codes": "coupons", "external_subscription_id": "subscriptions"} | {
    # Some of what is wrong with a customer is named within it.
    part: f"customer.{field}"
    for name, field in UPSERTED.items()
    for part in (name, name.removeprefix("customer."))
}
OPERATIONS = (operation("POST", "/invoices/preview", preview, answer_root="invoice", names=_NAMES),)

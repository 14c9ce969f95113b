"""Previews of invoices: messages to what is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from farebox.rating.v1 import customer_service_pb2
from farebox.rating.v1 import subscription_service_pb2 as service_pb2
from services.kernel.errors import InvalidArgumentError
from services.kernel.ids import new_id
from services.rating.agreements.convert import new_subscription_from_pb
from services.rating.customers.convert import details_from_pb
from services.rating.customers.customer import Customer
from services.rating.subscriptions.commands.preview_invoice import MAX_COUPONS, InvoicePreview


def preview_from_pb(request: service_pb2.PreviewInvoiceRequest) -> InvoicePreview:
    """Whose invoice is previewed, or a refusal that names the wrong fields."""
    if request.external_subscription_id:
        if request.plan_code:
            raise InvalidArgumentError.of_field("plan_code", "value_is_invalid", "is for a subscription to come")
        return InvoicePreview(external_subscription_id=request.external_subscription_id)
    if len(request.coupon_codes) > MAX_COUPONS:
        raise InvalidArgumentError.of_field("coupon_codes", "value_is_invalid", f"are at most {MAX_COUPONS}")
    upsert = customer_service_pb2.UpsertCustomerRequest()
    upsert.CopyFrom(request.customer)
    upsert.customer.external_id = upsert.customer.external_id or new_id()

    def revise(current: Customer) -> Mapping[str, Any]:
        return details_from_pb(upsert, current)

    asked = service_pb2.CreateSubscriptionRequest(
        external_customer_id=upsert.customer.external_id,
        plan_code=request.plan_code,
        plan_version=request.plan_version,
        billing_time=request.billing_time,
    )
    if request.HasField("started_at"):
        asked.started_at.CopyFrom(request.started_at)
    return InvoicePreview(new_subscription_from_pb(asked), revise, tuple(request.coupon_codes))

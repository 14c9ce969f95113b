"""Previews of invoices over REST: who would subscribe to what, or whose next invoice."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from lago_python_client.models.coupon import Coupon, CouponsList
from lago_python_client.models.customer import Customer
from lago_python_client.models.invoice import InvoicePreview, InvoiceResponse
from lago_python_client.models.subscription import Subscriptions

from farebox.rating.v1 import subscription_service_pb2 as rpc
from farebox.rating.v1.customer_pb2 import Customer as CustomerMessage
from farebox.rating.v1.invoice_pb2 import Invoice
from farebox.rating.v1.subscription_pb2 import Subscription
from tests.support.gateway import Gateway, new_gateway

MADE = Timestamp(seconds=1704067200)
PATH = "/api/v1/invoices/preview"


@pytest.fixture
def gateway() -> Gateway:
    gateway = new_gateway()
    invoice = Invoice(id="i1", state=Invoice.STATE_DRAFT, currency="EUR", total_amount_cents=1200)
    invoice.payment_state, invoice.kind = Invoice.PAYMENT_STATE_PENDING, Invoice.KIND_SUBSCRIPTION
    invoice.customer.CopyFrom(CustomerMessage(id="u1", external_id="acme", created_at=MADE, updated_at=MADE))
    gateway.services.on("PreviewInvoice", rpc.PreviewInvoiceResponse(invoice=invoice))
    return gateway


def asked(gateway: Gateway, *, is_client: bool = True, **said: Any) -> rpc.PreviewInvoiceRequest:
    response = gateway.post(PATH, json=InvoicePreview(**said).dict() if is_client else said)
    assert response.status_code == 200, response.text
    told = InvoiceResponse.parse_obj(response.json()["invoice"])
    assert (told.status, told.number, told.total_amount_cents, told.file_url) == ("draft", "", 1200, None)
    request: rpc.PreviewInvoiceRequest = gateway.services.requests("PreviewInvoice")[-1]
    return request


def test_who_would_subscribe_is_a_customer_or_somebody_new(gateway: Gateway) -> None:
    """What the client sends as null is not said."""
    coupons = CouponsList(__root__=[Coupon(code="ten")])
    customer = Customer(external_id="acme", tax_codes=["vat"])
    request = asked(
        gateway,
        plan_code="pro",
        billing_time="anniversary",
        subscription_at="2024-02-01",
        coupons=coupons,
        customer=customer,
    )
    assert (request.plan_code, request.billing_time) == ("pro", Subscription.BILLING_TIME_ANNIVERSARY)
    assert (request.started_at.seconds, list(request.coupon_codes)) == (1706745600, ["ten"])
    assert request.customer.customer.external_id == "acme"
    assert list(request.customer.update_mask.paths) == ["tax_codes"]
    bare = asked(gateway, is_client=False, plan_code="pro", customer={"name": "Somebody"})
    assert (bare.customer.customer.external_id, bare.customer.customer.name) == ("", "Somebody")
    assert asked(gateway, plan_code="pro") == rpc.PreviewInvoiceRequest(plan_code="pro")


def test_the_next_invoice_of_a_subscription(gateway: Gateway) -> None:
    request = asked(gateway, subscriptions=Subscriptions(external_ids=["s1"]))
    assert request == rpc.PreviewInvoiceRequest(external_subscription_id="s1")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "plan_code"),
        ({"plan_code": "pro", "subscriptions": {"external_ids": ["s1"]}}, "plan_code"),
        ({"subscriptions": {"external_ids": ["s1", "s2"]}}, "subscriptions.external_ids"),
        ({"subscriptions": {"external_ids": ["s1"], "terminated_at": "2024-01-01"}}, "subscriptions.terminated_at"),
        ({"plan_code": "pro", "coupons": [{"code": "ten", "amount_cents": 5}]}, "coupons[0].amount_cents"),
    ],
)
def test_what_is_no_preview_is_refused(gateway: Gateway, body: Any, field: str) -> None:
    answer = gateway.post(PATH, json=body)
    assert (answer.status_code, list(answer.json()["error_details"])) == (422, [field])

"""Previews of invoices: they are what would be invoiced, and nothing of them is stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest

from farebox.common.v1 import money_pb2
from farebox.rating.v1 import catalog_service_pb2, coupon_pb2, customer_pb2, customer_service_pb2, invoice_pb2, tax_pb2
from farebox.rating.v1 import subscription_service_pb2 as pb
from services.chassis.config import Settings
from services.chassis.rpc.errors import error_info
from tests.support.rating.billing import Billing, running_billing
from tests.support.rating.server import decimal, standard_charge, timestamp

JANUARY, FEBRUARY = (datetime(2024, month, 1, tzinfo=UTC) for month in (1, 2))
Invoice = invoice_pb2.Invoice


@pytest.fixture
def billing(settings_for: Callable[[str], Settings]) -> Iterator[Billing]:
    with running_billing(settings_for("rating")) as running:
        running.clock(JANUARY)
        running.tenant.metric("calls")
        running.tenant.plan(charges=[standard_charge("calls", "1")])
        running.tenant.plan("advance", amount_cents=6200, pay_in_advance=True)
        tax = tax_pb2.Tax(code="vat", rate_percent=decimal("20"))
        running.tenant.call(running.rating.catalog.CreateTax, catalog_service_pb2.CreateTaxRequest(tax=tax))
        coupon = coupon_pb2.Coupon(
            code="ten",
            frequency=coupon_pb2.Coupon.FREQUENCY_ONCE,
            amount=money_pb2.Money(amount_cents=1000, currency="USD"),
        )
        request = catalog_service_pb2.CreateCouponRequest(coupon=coupon)
        running.tenant.call(running.rating.catalog.CreateCoupon, request)
        yield running


def preview(billing: Billing, **fields: Any) -> Invoice:
    request = pb.PreviewInvoiceRequest(**fields)
    return billing.tenant.call(billing.rating.subscriptions.PreviewInvoice, request).invoice


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(grpc.RpcError) as error:
        call()
    return error_info(error.value)[0]


def test_somebody_new_sees_the_first_invoice_with_coupons_and_taxes(billing: Billing) -> None:
    """And afterwards there is no customer, no subscription, no invoice and no used number."""
    customer = customer_service_pb2.UpsertCustomerRequest(customer=customer_pb2.Customer(tax_codes=["vat"]))
    seen = preview(billing, plan_code="advance", customer=customer, coupon_codes=["ten"])
    assert (seen.state, seen.number, seen.payment_state) == (Invoice.STATE_DRAFT, "", Invoice.PAYMENT_STATE_PENDING)
    assert (seen.fees_amount_cents, seen.coupons_amount_cents, seen.taxes_amount_cents) == (6200, 1000, 1040)
    assert seen.total_amount_cents == 6240
    listed = billing.tenant.call(billing.rating.customers.ListCustomers, customer_service_pb2.ListCustomersRequest())
    assert list(listed.customers) == []
    assert billing.invoices() == []
    billing.subscribe(plan_code="advance")
    assert [invoice.number for invoice in billing.invoices()] == ["FBX-000001"]


def test_a_start_to_come_and_a_plan_in_arrears_are_previewed(billing: Billing) -> None:
    """The first is invoiced from its start, the second at the end of its first period, by days."""
    later = timestamp(datetime(2024, 1, 17, tzinfo=UTC))
    assert preview(billing, plan_code="advance", started_at=later).total_amount_cents == 3000
    seen = preview(billing, plan_code="pro", started_at=later)
    assert (seen.total_amount_cents, seen.issuing_date) == (1452, "2024-02-01")


def test_a_preview_of_the_next_invoice_is_the_invoice(billing: Billing) -> None:
    """With the usage so far, figure by figure; and the period stays open."""
    subscription = billing.subscribe()
    billing.event(subscription, "calls", JANUARY)
    seen = preview(billing, external_subscription_id=subscription.external_id)
    billing.event(subscription, "calls", JANUARY)
    again = preview(billing, external_subscription_id=subscription.external_id)
    assert again.total_amount_cents == seen.total_amount_cents + 100
    billing.advance(FEBRUARY)
    (invoice,) = billing.invoices()
    assert [(fee.name, fee.amount_cents) for fee in again.fees] == [
        (fee.name, fee.amount_cents) for fee in invoice.fees
    ]
    assert again.total_amount_cents == invoice.total_amount_cents


def test_what_cannot_be_previewed_says_why(billing: Billing) -> None:
    subscription = billing.subscribe()
    which = subscription.external_id
    assert refusal(lambda: preview(billing, plan_code="none")) == "PLAN_UNKNOWN"
    assert refusal(lambda: preview(billing, external_subscription_id="none")) == "SUBSCRIPTION_UNKNOWN"
    assert refusal(lambda: preview(billing, plan_code="pro", coupon_codes=["none"])) == "COUPON_UNKNOWN"
    assert refusal(lambda: preview(billing, plan_code="pro", external_subscription_id=which)) == "FIELD_INVALID"
    ending = pb.CancelSubscriptionRequest(external_id=which, timing=pb.CHANGE_TIMING_PERIOD_END)
    billing.tenant.call(billing.rating.subscriptions.CancelSubscription, ending)
    assert refusal(lambda: preview(billing, external_subscription_id=which)) == "CHANGE_ALREADY_PENDING"

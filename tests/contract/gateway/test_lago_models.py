"""Every answer satisfies the models of Lago's Python client, which refuse an answer that lacks a field."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from lago_python_client.models.applied_coupon import AppliedCouponResponse
from lago_python_client.models.billable_metric import BillableMetricResponse
from lago_python_client.models.billing_entity import BillingEntityResponse
from lago_python_client.models.coupon import CouponResponse
from lago_python_client.models.credit_note import CreditNoteEstimatedResponse, CreditNoteResponse
from lago_python_client.models.customer import CustomerResponse
from lago_python_client.models.customer_projected_usage import CustomerProjectedUsageResponse
from lago_python_client.models.customer_usage import CustomerUsageResponse
from lago_python_client.models.fee import FeeResponse
from lago_python_client.models.invoice import InvoiceResponse
from lago_python_client.models.plan import PlanResponse
from lago_python_client.models.subscription import SubscriptionResponse
from lago_python_client.models.tax import TaxResponse

from farebox.common.v1.decimal_pb2 import Decimal
from farebox.common.v1.page_pb2 import PageResponse
from farebox.common.v1.period_pb2 import Period
from farebox.rating.v1 import (
    catalog_service_pb2,
    customer_service_pb2,
    invoice_service_pb2,
    organization_service_pb2,
    subscription_service_pb2,
    usage_service_pb2,
)
from farebox.rating.v1.billable_metric_pb2 import BillableMetric
from farebox.rating.v1.charge_pb2 import Charge, ChargeModel
from farebox.rating.v1.coupon_pb2 import AppliedCoupon, Coupon
from farebox.rating.v1.credit_note_pb2 import CreditNote
from farebox.rating.v1.customer_pb2 import Customer
from farebox.rating.v1.fee_pb2 import Fee, FeeLine
from farebox.rating.v1.invoice_pb2 import AppliedTax, Invoice
from farebox.rating.v1.organization_pb2 import Organization
from farebox.rating.v1.plan_pb2 import BillingInterval, Plan
from farebox.rating.v1.subscription_pb2 import Subscription
from farebox.rating.v1.tax_pb2 import Tax
from tests.support.gateway import Gateway, new_gateway

JANUARY = Period(start=Timestamp(seconds=1704067200), end=Timestamp(seconds=1706745600))
CREATED = Timestamp(seconds=1704067200)
ONE = PageResponse(total_size=1)
METRIC = BillableMetric(
    id="m1", code="calls", name="Calls", aggregation=BillableMetric.AGGREGATION_SUM, field_name="n", created_at=CREATED
)
PLAN = Plan(
    id="p1",
    code="pro",
    name="Pro",
    interval=BillingInterval(unit=BillingInterval.UNIT_MONTH, count=3),
    amount_cents=2900,
    currency="USD",
    minimum_commitment_cents=5000,
    created_at=CREATED,
    charges=[
        Charge(
            id="c1",
            metric_code="calls",
            model=ChargeModel(standard=ChargeModel.Standard(unit_amount=Decimal(value="0.1"))),
            filters=[
                Charge.FilteredPrice(
                    values={"region": Charge.PropertyValues(values=["eu"])},
                    model=ChargeModel(standard=ChargeModel.Standard(unit_amount=Decimal(value="0.2"))),
                )
            ],
        )
    ],
)
CUSTOMER = Customer(
    id="u1",
    external_id="acme",
    name="Acme",
    address_lines=["1 Road", "Paris"],
    created_at=CREATED,
    updated_at=CREATED,
    sequential_id=1,
)
SUBSCRIPTION = Subscription(
    id="s1",
    external_id="acme-pro",
    external_customer_id="acme",
    customer_id="u1",
    plan_code="pro",
    plan_version=1,
    state=Subscription.STATE_ACTIVE,
    billing_time=Subscription.BILLING_TIME_ANNIVERSARY,
    started_at=CREATED,
    current_period=JANUARY,
    pending_change=Subscription.PendingChange(plan_code="basic", effective_at=JANUARY.end),
    created_at=CREATED,
)
FEE = Fee(
    id="f1",
    kind=Fee.KIND_CHARGE,
    name="Calls",
    subscription_id="s1",
    external_subscription_id="acme-pro",
    external_customer_id="acme",
    charge_id="c1",
    metric_code="calls",
    metric_id="m1",
    metric_name="Calls",
    metric_aggregation=BillableMetric.AGGREGATION_SUM,
    charge_model="standard",
    period=JANUARY,
    units=Decimal(value="12.5"),
    event_count=3,
    precise_amount=Decimal(value="1.255"),
    amount_cents=126,
    currency="USD",
    taxes_amount_cents=25,
    taxes_rate_percent=Decimal(value="20"),
    lines=[FeeLine(description="units", unit_amount=Decimal(value="0.1"), amount=Decimal(value="1.25"))],
    invoice_id="i1",
)
INVOICE = Invoice(
    id="i1",
    number="FBX-000001",
    kind=Invoice.KIND_SUBSCRIPTION,
    state=Invoice.STATE_FINALIZED,
    payment_state=Invoice.PAYMENT_STATE_PENDING,
    customer=CUSTOMER,
    currency="USD",
    fees=[FEE],
    fees_amount_cents=126,
    coupons_amount_cents=26,
    taxes_amount_cents=20,
    total_amount_cents=120,
    issuing_date="2024-02-01",
    payment_due_date="2024-03-02",
    due_amount_cents=120,
    is_overdue=True,
    net_payment_term_days=30,
    applied_taxes=[AppliedTax(code="vat", name="VAT", rate_percent=Decimal(value="20"), amount_cents=20)],
    created_at=CREATED,
    finalized_at=JANUARY.end,
    subscription_ids=["s1"],
)
COUPON = Coupon(id="k1", code="ten", name="Ten", rate_percent=Decimal(value="10"), created_at=CREATED)
NOTE = CreditNote(
    id="n1",
    number="FBX-000001-CN1",
    invoice_id="i1",
    currency="USD",
    reason=CreditNote.REASON_OTHER,
    sub_total_amount_cents=100,
    taxes_amount_cents=20,
    total_amount_cents=120,
    credit_amount_cents=120,
    balance_amount_cents=120,
    items=[CreditNote.Item(fee_id="f1", amount_cents=100)],
    created_at=CREATED,
)


@pytest.fixture
def gateway() -> Gateway:
    gateway = new_gateway()
    on = gateway.services.on
    on("GetBillableMetric", catalog_service_pb2.GetBillableMetricResponse(billable_metric=METRIC))
    on("ListBillableMetrics", catalog_service_pb2.ListBillableMetricsResponse(billable_metrics=[METRIC], page=ONE))
    on("GetPlan", catalog_service_pb2.GetPlanResponse(plan=PLAN))
    on("GetCustomer", customer_service_pb2.GetCustomerResponse(customer=CUSTOMER))
    on("GetSubscription", subscription_service_pb2.GetSubscriptionResponse(subscription=SUBSCRIPTION))
    on("GetInvoice", invoice_service_pb2.GetInvoiceResponse(invoice=INVOICE))
    on("ListInvoices", invoice_service_pb2.ListInvoicesResponse(invoices=[INVOICE], page=ONE))
    on("ListFees", invoice_service_pb2.ListFeesResponse(fees=[FEE], page=ONE))
    on("GetCoupon", catalog_service_pb2.GetCouponResponse(coupon=COUPON))
    held = AppliedCoupon(id="a1", coupon=COUPON, external_customer_id="acme", customer_id="u1", created_at=CREATED)
    on("ListAppliedCoupons", customer_service_pb2.ListAppliedCouponsResponse(applied_coupons=[held], page=ONE))
    tax = Tax(id="t1", code="vat", name="VAT", rate_percent=Decimal(value="20"), created_at=CREATED)
    on("GetTax", catalog_service_pb2.GetTaxResponse(tax=tax))
    organization = Organization(id="o1", name="Acme", default_currency="EUR", created_at=CREATED)
    on("GetOrganization", organization_service_pb2.GetOrganizationResponse(organization=organization))
    on("GetCreditNote", invoice_service_pb2.GetCreditNoteResponse(credit_note=NOTE))
    on("CreateCreditNote", invoice_service_pb2.CreateCreditNoteResponse(credit_note=NOTE))
    usage = usage_service_pb2.UsageSummary(period=JANUARY, currency="USD", amount_cents=126, fees=[FEE])
    on("GetCurrentUsage", usage_service_pb2.GetCurrentUsageResponse(usage=usage))
    on("ListPastUsage", usage_service_pb2.ListPastUsageResponse(usage=[usage]))
    on("GetProjectedUsage", usage_service_pb2.GetProjectedUsageResponse(usage=usage, projected=usage))
    return gateway


@pytest.mark.parametrize(
    ("path", "root", "model"),
    [
        ("/billable_metrics/calls", "billable_metric", BillableMetricResponse),
        ("/plans/pro", "plan", PlanResponse),
        ("/customers/acme", "customer", CustomerResponse),
        ("/subscriptions/acme-pro", "subscription", SubscriptionResponse),
        ("/invoices/i1", "invoice", InvoiceResponse),
        ("/fees/f1", "fee", FeeResponse),
        ("/coupons/ten", "coupon", CouponResponse),
        ("/taxes/vat", "tax", TaxResponse),
        ("/credit_notes/n1", "credit_note", CreditNoteResponse),
        ("/billing_entities/default", "billing_entity", BillingEntityResponse),
        ("/customers/acme/current_usage?external_subscription_id=acme-pro", "customer_usage", CustomerUsageResponse),
        (
            "/customers/acme/projected_usage?external_subscription_id=acme-pro",
            "customer_projected_usage",
            CustomerProjectedUsageResponse,
        ),
    ],
)
def test_one_of_each(gateway: Gateway, path: str, root: str, model: Any) -> None:
    response = gateway.get(f"/api/v1{path}")
    assert response.status_code == 200, response.text
    assert model.parse_obj(response.json()[root])


@pytest.mark.parametrize(
    ("path", "root", "model"),
    [
        ("/billable_metrics", "billable_metrics", BillableMetricResponse),
        ("/invoices?external_customer_id=acme", "invoices", InvoiceResponse),
        ("/customers/acme/invoices", "invoices", InvoiceResponse),
        ("/fees", "fees", FeeResponse),
        ("/applied_coupons", "applied_coupons", AppliedCouponResponse),
        ("/customers/acme/past_usage?external_subscription_id=acme-pro", "usage_periods", CustomerUsageResponse),
    ],
)
def test_lists_come_with_meta(gateway: Gateway, path: str, root: str, model: Any) -> None:
    body = gateway.get(f"/api/v1{path}").json()
    assert [model.parse_obj(thing) for thing in body[root]]
    assert body["meta"]["total_count"] == 1


def test_an_estimate(gateway: Gateway) -> None:
    body = {"credit_note": {"invoice_id": "i1", "items": [{"fee_id": "f1", "amount_cents": 100}]}}
    response = gateway.post("/api/v1/credit_notes/estimate", json=body)
    assert CreditNoteEstimatedResponse.parse_obj(response.json()["estimated_credit_note"])
    assert gateway.services.requests("CreateCreditNote")[0].validate_only


def test_both_names_of_an_id(gateway: Gateway) -> None:
    plan = gateway.get("/api/v1/plans/pro").json()["plan"]
    assert plan["lago_id"] == plan["nozle_id"] == "p1"


def test_an_invoice_adds_up(gateway: Gateway) -> None:
    invoice = gateway.get("/api/v1/invoices/i1").json()["invoice"]
    assert invoice["sub_total_excluding_taxes_amount_cents"] == 100
    assert invoice["sub_total_including_taxes_amount_cents"] == 120
    assert invoice["total_due_amount_cents"] == 120
    assert invoice["payment_overdue"] is True
    assert invoice["net_payment_term"] == 30
    assert invoice["file_url"] == "http://farebox/api/v1/invoices/i1.pdf"
    (fee,) = invoice["fees"]
    assert (fee["external_subscription_id"], fee["external_customer_id"]) == ("acme-pro", "acme")
    assert fee["amount_details"]["lines"][0]["unit_amount"] == "0.1"


def test_the_drawing_of_an_invoice(gateway: Gateway) -> None:
    gateway.services.on("RenderInvoice", invoice_service_pb2.RenderInvoiceResponse(pdf=b"%PDF-1.7"))
    response = gateway.get("/api/v1/invoices/i1.pdf")
    assert (response.content, response.headers["Content-Type"]) == (b"%PDF-1.7", "application/pdf")


def test_the_drawing_of_a_credit_note(gateway: Gateway) -> None:
    note = gateway.post("/api/v1/credit_notes/n1/download").json()["credit_note"]
    assert note["file_url"] == "http://farebox/api/v1/credit_notes/n1.pdf"
    gateway.services.on("RenderCreditNote", invoice_service_pb2.RenderCreditNoteResponse(pdf=b"%PDF-1.7"))
    response = gateway.get("/api/v1/credit_notes/n1.pdf")
    assert (response.content, response.headers["Content-Type"]) == (b"%PDF-1.7", "application/pdf")


def test_an_organization_is_its_one_billing_entity(gateway: Gateway) -> None:
    listed = gateway.get("/api/v1/billing_entities").json()
    assert ([entity["code"] for entity in listed["billing_entities"]], listed["meta"]["total_count"]) == (
        ["default"],
        1,
    )
    assert gateway.get("/api/v1/billing_entities/other").status_code == 404
    changed = organization_service_pb2.UpdateOrganizationResponse(organization=Organization(id="o1", name="Acme"))
    gateway.services.on("UpdateOrganization", changed)
    body = {"name": "Acme", "billing_configuration": {"invoice_grace_period": 3}}
    assert gateway.send("PUT", "/api/v1/billing_entities/default", json={"billing_entity": body}).is_success
    (asked,) = gateway.services.requests("UpdateOrganization")
    assert sorted(asked.update_mask.paths) == ["invoice_grace_period_days", "name"]


def test_the_shape_of_the_react_components(gateway: Gateway) -> None:
    (invoice,) = gateway.get("/api/v1/invoices?customer_id=acme").json()["invoices"]
    assert invoice == {
        "id": "i1",
        "number": "FBX-000001",
        "date": "2024-02-01",
        "amount": 120,
        "currency": "USD",
        "status": "open",
        "pdf_url": "http://farebox/api/v1/invoices/i1.pdf",
    }


def test_a_span_ends_with_its_last_second_as_in_lago(gateway: Gateway) -> None:
    path = "/api/v1/customers/acme/current_usage?external_subscription_id=acme-pro"
    usage = gateway.get(path).json()["customer_usage"]
    assert (usage["from_datetime"], usage["to_datetime"]) == ("2024-01-01T00:00:00Z", "2024-01-31T23:59:59Z")
    assert usage["charges_usage"][0]["billable_metric"]["aggregation_type"] == "sum_agg"


def test_usage_asks_for_no_metric(gateway: Gateway) -> None:
    """A fee itself says what it counted, so a removed metric can still be read, and no call is made for each row."""
    path = "/api/v1/customers/acme/current_usage?external_subscription_id=acme-pro"
    assert CustomerUsageResponse.parse_obj(gateway.get(path).json()["customer_usage"])
    assert gateway.services.requests("GetBillableMetric") == []

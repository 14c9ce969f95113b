"""Payments over REST: reported on an invoice, and read with their receipts as Lago's client reads them."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from lago_python_client.models.payment import PaymentResponse
from lago_python_client.models.payment_receipt import PaymentReceiptResponse

from farebox.common.v1.page_pb2 import PageResponse
from farebox.rating.v1 import invoice_service_pb2 as rpc
from farebox.rating.v1.invoice_pb2 import Invoice
from farebox.rating.v1.payment_pb2 import Payment
from services.kernel import errors
from tests.support.gateway import Gateway, new_gateway

MADE = Timestamp(seconds=1704067200)
PAYMENT = Payment(
    id="p1",
    invoice_id="i1",
    invoice_number="FBX-000001",
    customer_id="u1",
    external_customer_id="acme",
    currency="EUR",
    amount_cents=4000,
    reference="wire-1",
    receipt_number="FBX-000001-P1",
    paid_at=MADE,
    created_at=MADE,
)
REPORT: dict[str, Any] = {"invoice_id": "i1", "amount_cents": 4000, "reference": "wire-1"}


@pytest.fixture
def gateway() -> Gateway:
    gateway = new_gateway()
    gateway.services.on("RecordPayment", rpc.RecordPaymentResponse(payment=PAYMENT))
    gateway.services.on("GetPayment", rpc.GetPaymentResponse(payment=PAYMENT))
    page = PageResponse(total_size=1)
    gateway.services.on("ListPayments", rpc.ListPaymentsResponse(payments=[PAYMENT], page=page))
    return gateway


def test_a_payment_is_money_that_was_received(gateway: Gateway) -> None:
    answer = gateway.post("/api/v1/payments", json={"payment": {**REPORT, "paid_at": "2024-01-01"}})
    told = PaymentResponse.parse_obj(answer.json()["payment"])
    assert (told.invoice_ids, told.invoice_numbers, told.amount_currency) == (["i1"], ["FBX-000001"], "EUR")
    assert (told.payment_status, told.type, told.reference) == ("succeeded", "manual", "wire-1")
    (asked,) = gateway.services.requests("RecordPayment")
    assert (asked.id, asked.payment_state, asked.amount_cents) == ("i1", Invoice.PAYMENT_STATE_SUCCEEDED, 4000)
    assert (asked.reference, asked.paid_at, bool(asked.request_id)) == ("wire-1", MADE, True)


def test_payments_and_receipts_are_listed(gateway: Gateway) -> None:
    for path in ("/payments?external_customer_id=acme&invoice_id=i1", "/customers/acme/payments?invoice_id=i1"):
        assert gateway.get(f"/api/v1{path}").json()["payments"][0]["lago_id"] == "p1"
        asked = gateway.services.requests("ListPayments")[-1]
        assert (asked.external_customer_id, asked.invoice_id) == ("acme", "i1")
    listed = gateway.get("/api/v1/payment_receipts?invoice_id=i1").json()
    found = gateway.get("/api/v1/payment_receipts/p1").json()["payment_receipt"]
    assert (listed["payment_receipts"], listed["meta"]["total_count"]) == ([found], 1)
    assert PaymentReceiptResponse.parse_obj(found).number == "FBX-000001-P1"
    assert gateway.get("/api/v1/payments/p1").json()["payment"] == found["payment"]


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"amount_cents": 0}, "amount_cents"),
        ({"amount_cents": "40.00"}, "amount_cents"),
        ({"reference": ""}, "reference"),
        ({"payment_status": "failed"}, "payment_status"),
    ],
)
def test_what_is_no_payment_is_refused(gateway: Gateway, said: Any, field: str) -> None:
    answer = gateway.post("/api/v1/payments", json={"payment": REPORT | said})
    assert (answer.status_code, list(answer.json()["error_details"])) == (422, [field])


def test_another_payment_under_the_reference_is_refused_by_its_name(gateway: Gateway) -> None:
    reused = errors.AlreadyExistsError("PAYMENT_REFERENCE_REUSED", "another one", field="reference")
    gateway.services.on("RecordPayment", reused)
    answer = gateway.post("/api/v1/payments", json={"payment": REPORT})
    assert (answer.status_code, answer.json()["error_details"]) == (422, {"reference": ["value_already_exist"]})
    gateway.services.on("RecordPayment", errors.FailedPreconditionError("PAYMENT_EXCEEDS_INVOICE", "too much"))
    assert gateway.post("/api/v1/payments", json={"payment": REPORT}).status_code == 409

"""Payments: what is paid of an invoice is what its payments come to, reported once each, whoever reports together."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest

from farebox.rating.v1 import credit_note_pb2, figures_pb2, invoice_pb2, payment_pb2
from farebox.rating.v1 import invoice_service_pb2 as pb
from services.chassis.rpc.errors import error_info, field_violations
from tests.support.rating.billing import Billing
from tests.support.rating.server import decimal, timestamp

JANUARY = datetime(2024, 1, 1, tzinfo=UTC)
PAID = invoice_pb2.Invoice.PAYMENT_STATE_SUCCEEDED
PENDING = invoice_pb2.Invoice.PAYMENT_STATE_PENDING


@pytest.fixture
def invoice(billing: Billing) -> invoice_pb2.Invoice:
    """An invoice of 100.00."""
    item = pb.CreateOneOffInvoiceRequest.Item(name="Setup", units=decimal("1"), unit_amount_cents=10000)
    request = pb.CreateOneOffInvoiceRequest(items=[item], external_customer_id="acme")
    return billing.tenant.call(billing.invoicing.CreateOneOffInvoice, request).invoice


def pay(billing: Billing, invoice: invoice_pb2.Invoice, cents: int = 0, **fields: Any) -> pb.RecordPaymentResponse:
    request = pb.RecordPaymentRequest(id=invoice.id, payment_state=PAID, amount_cents=cents, **fields)
    return billing.tenant.call(billing.invoicing.RecordPayment, request)


def payments(billing: Billing, **wanted: str) -> list[payment_pb2.Payment]:
    return list(billing.tenant.call(billing.invoicing.ListPayments, pb.ListPaymentsRequest(**wanted)).payments)


def refusal(call: Callable[[], object]) -> str:
    with pytest.raises(grpc.RpcError) as error:
        call()
    return error_info(error.value)[0]


def test_an_invoice_is_paid_once_its_payments_come_to_its_total(billing: Billing, invoice: invoice_pb2.Invoice) -> None:
    """Each has a receipt in order, and not a cent more is taken."""
    first = pay(billing, invoice, 4000, reference="wire-1")
    assert (first.invoice.payment_state, first.invoice.due_amount_cents) == (PENDING, 6000)
    assert refusal(lambda: pay(billing, invoice, 6001, reference="wire-2")) == "PAYMENT_EXCEEDS_INVOICE"
    rest = pay(billing, invoice, 6000, reference="wire-2", paid_at=timestamp(JANUARY - timedelta(days=1)))
    assert (rest.invoice.payment_state, rest.invoice.due_amount_cents) == (PAID, 0)
    assert [payment.receipt_number for payment in (first.payment, rest.payment)] == ["FBX-000001-P1", "FBX-000001-P2"]
    assert payments(billing) == [rest.payment, first.payment]
    assert rest.payment.paid_at == timestamp(JANUARY - timedelta(days=1))
    found = billing.tenant.call(billing.invoicing.GetPayment, pb.GetPaymentRequest(id=first.payment.id))
    assert found.payment == first.payment


def test_an_estimate_says_how_much_may_be_paid_back_and_taken_off(
    billing: Billing, invoice: invoice_pb2.Invoice
) -> None:
    """Each is at most what the items come to, what was received, and what is open; a cent more is refused."""
    pay(billing, invoice, 4000, reference="wire-1")
    item = credit_note_pb2.CreditNote.Item(fee_id=invoice.fees[0].id, amount_cents=5000)
    request = pb.CreateCreditNoteRequest(invoice_id=invoice.id, items=[item])

    def noted(**fields: Any) -> credit_note_pb2.CreditNote:
        asked = pb.CreateCreditNoteRequest(**fields)
        asked.MergeFrom(request)
        return billing.tenant.call(billing.invoicing.CreateCreditNote, asked).credit_note

    most = noted(validate_only=True)
    assert (most.credit_amount_cents, most.refund_amount_cents, most.offset_amount_cents) == (5000, 4000, 5000)
    excess = refusal(lambda: noted(validate_only=True, refund_amount_cents=4001, credit_amount_cents=999))
    assert excess == "CREDIT_EXCEEDS_PAYMENT"
    noted(refund_amount_cents=4000, credit_amount_cents=1000)
    rest = noted(validate_only=True)
    assert (rest.credit_amount_cents, rest.refund_amount_cents, rest.offset_amount_cents) == (5000, 0, 5000)


def test_a_payment_is_reported_once_under_its_reference(billing: Billing, invoice: invoice_pb2.Invoice) -> None:
    """A repeat is answered with the payment that is there; other content under the reference is refused."""
    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(lambda _: pay(billing, invoice, 4000, reference="wire-1").payment, range(5)))
    assert len({payment.id for payment in answers}) == 1
    assert len(payments(billing, invoice_id=invoice.id)) == 1
    assert refusal(lambda: pay(billing, invoice, 100, reference="wire-1")) == "PAYMENT_REFERENCE_REUSED"
    pay(billing, invoice, 6000)
    assert pay(billing, invoice, 4000, reference="wire-1").payment == answers[0], "also once the invoice is paid"


def test_payments_at_once_never_come_to_more_than_the_invoice(billing: Billing, invoice: invoice_pb2.Invoice) -> None:
    def attempt(number: int) -> str:
        try:
            return pay(billing, invoice, 3000, reference=f"wire-{number}").payment.reference
        except grpc.RpcError as error:
            return error_info(error)[0]

    with ThreadPoolExecutor(6) as pool:
        outcomes = list(pool.map(attempt, range(6)))
    assert outcomes.count("PAYMENT_EXCEEDS_INVOICE") == 3
    assert sum(payment.amount_cents for payment in payments(billing, external_customer_id="acme")) == 9000


def test_what_was_set_off_is_no_payment(billing: Billing, invoice: invoice_pb2.Invoice) -> None:
    """Payments and set-off credit notes together are what is paid."""
    credited = pb.CreateCreditNoteRequest(
        invoice_id=invoice.id,
        items=[credit_note_pb2.CreditNote.Item(fee_id=invoice.fees[0].id, amount_cents=2500)],
        offset_amount_cents=2500,
    )
    billing.tenant.call(billing.invoicing.CreateCreditNote, credited)
    paid = pay(billing, invoice)
    assert (paid.payment.amount_cents, paid.invoice.paid_amount_cents) == (7500, 10000)


def test_a_lost_dispute_is_written_off(billing: Billing, invoice: invoice_pb2.Invoice) -> None:
    """It is not overdue, not revenue, not voided any more; losing it again changes nothing."""

    def lost() -> invoice_pb2.Invoice:
        return billing.tenant.call(billing.invoicing.LoseDispute, pb.LoseDisputeRequest(id=invoice.id)).invoice

    def revenue() -> list[int]:
        asked = pb.ListMonthlyFiguresRequest(figures=figures_pb2.FIGURES_GROSS_REVENUE)
        return [
            figure.amount_cents for figure in billing.tenant.call(billing.invoicing.ListMonthlyFigures, asked).figures
        ]

    billing.advance(JANUARY + timedelta(days=9))
    overdue = pb.ListInvoicesRequest(is_overdue=True)
    assert [late.id for late in billing.tenant.call(billing.invoicing.ListInvoices, overdue).invoices] == [invoice.id]
    assert revenue() == [10000]
    first = lost()
    assert (first.dispute_lost_at, first.is_overdue) == (timestamp(JANUARY + timedelta(days=9)), False)
    assert lost() == first
    assert list(billing.tenant.call(billing.invoicing.ListInvoices, overdue).invoices) == []
    assert revenue() == []
    void = pb.VoidInvoiceRequest(id=invoice.id)
    assert refusal(lambda: billing.tenant.call(billing.invoicing.VoidInvoice, void)) == "DISPUTE_LOST"


def test_what_cannot_be_said_of_a_payment_is_named(billing: Billing, invoice: invoice_pb2.Invoice) -> None:
    def fields(**said: Any) -> list[str]:
        request = pb.RecordPaymentRequest(**{"id": invoice.id, "payment_state": PAID, "amount_cents": 1, **said})
        with pytest.raises(grpc.RpcError) as error:
            billing.tenant.call(billing.invoicing.RecordPayment, request)
        return [violation.field for violation in field_violations(error.value)]

    assert fields(paid_at=timestamp(JANUARY + timedelta(days=1)), reference="x" * 256) == ["reference", "paid_at"]
    failed = invoice_pb2.Invoice.PAYMENT_STATE_FAILED
    assert fields(payment_state=failed, amount_cents=0, reference="wire") == ["reference"]
    assert refusal(lambda: billing.tenant.call(billing.invoicing.GetPayment, pb.GetPaymentRequest(id="x"))) == (
        "PAYMENT_UNKNOWN"
    )

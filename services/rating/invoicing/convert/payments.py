"""Payments: domain to messages, and callers' reports to domain."""

from __future__ import annotations

from farebox.rating.v1 import invoice_service_pb2 as service_pb2
from farebox.rating.v1 import payment_pb2 as pb
from services.kernel.checks import inside
from services.rating.invoicing.convert.invoices import payment_state_from_pb
from services.rating.invoicing.convert.words import id_from_pb
from services.rating.invoicing.invoice import PaymentState
from services.rating.invoicing.payment import Payment, ReportedPayment
from services.rating.shared.limits import MAX_CODE, require_text
from services.wire.values import instant_or_none_of, instant_to_pb


def report_from_pb(request: service_pb2.RecordPaymentRequest) -> tuple[str, PaymentState, ReportedPayment]:
    """The invoice, the outcome of its payment, and what is reported of it."""
    state = payment_state_from_pb(request.payment_state)
    return (
        request.id,
        state,
        ReportedPayment(request.amount_cents, request.reference, instant_or_none_of(request, "paid_at")),
    )


def payments_wanted_from_pb(request: service_pb2.ListPaymentsRequest) -> tuple[str, str]:
    """The customer and the invoice whose payments are listed; empty for all."""
    with inside() as checks:
        checks(require_text, "external_customer_id", request.external_customer_id, MAX_CODE)
        return request.external_customer_id, checks.read("", id_from_pb, request.invoice_id, "invoice_id")


def payment_to_pb(payment: Payment) -> pb.Payment:
    """The payment as it was reported."""
    return pb.Payment(
        id=payment.payment_id,
        invoice_id=payment.invoice_id,
        invoice_number=payment.invoice_number,
        customer_id=payment.customer_id,
        external_customer_id=payment.external_customer_id,
        currency=payment.currency.code,
        amount_cents=payment.amount_cents,
        reference=payment.reference,
        receipt_number=payment.receipt_number,
        paid_at=instant_to_pb(payment.paid_at),
        created_at=instant_to_pb(payment.created_at),
    )

"""Payments as somebody reports them: Farebox collects none. Each has a receipt, which is the payment with a number."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from farebox.rating.v1 import invoice_service_pb2 as rpc
from farebox.rating.v1.invoice_pb2 import Invoice
from farebox.rating.v1.payment_pb2 import Payment as PaymentMessage
from gateway.dialects.lago.common import Identified
from gateway.engine.paging import PageQuery
from gateway.listing import listed
from gateway.operation import ByCustomer, ById, Listed, Nothing, Request, operation
from gateway.projection import callers_names, patch, project
from gateway.schema import MAX_INTEGER, Cents, Code, Instant, InstantInput, of

PaidAmount = Annotated[int, Meta(ge=1, le=MAX_INTEGER, description="In minor units; at most what is still to pay.")]
Reference = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=255,
        description="What the caller calls the payment; a repeat with the same reference is the same payment.",
    ),
]


class NewPayment(Struct, kw_only=True):
    """Money that was received for an invoice, wholly or in part."""

    invoice_id: Annotated[Code, of("id")]
    amount_cents: PaidAmount
    reference: Reference
    paid_at: Annotated[InstantInput, Meta(description="When it was received; now by default.")] | UnsetType | None = (
        UNSET
    )


class PaymentFilters(PageQuery, kw_only=True):
    """Which payments."""

    invoice_id: Code | UnsetType = UNSET


class PaymentQuery(PaymentFilters, kw_only=True):
    """Which payments, of which customer."""

    external_customer_id: Code | UnsetType = UNSET


class Payment(Identified, kw_only=True):
    """Money that was received for an invoice."""

    lago_customer_id: Annotated[str, of("customer_id")]
    external_customer_id: str
    invoice_ids: list[str]
    invoice_numbers: list[str]
    amount_cents: Cents
    amount_currency: Annotated[str, of("currency")]
    payment_status: str = "succeeded"
    type: str = "manual"
    reference: str
    external_payment_id: None = None
    paid_at: Instant | None
    created_at: Instant | None


class PaymentReceipt(Identified, kw_only=True):
    """The receipt of a payment, which has the payment's id."""

    number: Annotated[str, of("receipt_number")]
    payment: Payment
    created_at: Instant | None


async def create(request: Request[Nothing, Nothing, NewPayment]) -> Payment:
    """Report money that was received for an invoice; it is paid once everything is.

    More than is still to pay is refused.
    """
    call = request.call
    asked = rpc.RecordPaymentRequest(request_id=call.mutation_id, payment_state=Invoice.PAYMENT_STATE_SUCCEEDED)
    patch(asked, request.body)
    return payment_to_api((await call.ask(call.clients.invoices.RecordPayment, asked)).payment)


async def find(request: Request[ById, Nothing, Nothing]) -> Payment:
    """Find a payment by its id."""
    return payment_to_api(await _find(request))


async def find_all(request: Request[Nothing, PaymentQuery, Nothing]) -> Listed[Payment]:
    """List payments, newest first."""
    return await listed(request.call, rpc.ListPaymentsRequest, request.query, payment_to_api)


async def find_of_customer(request: Request[ByCustomer, PaymentFilters, Nothing]) -> Listed[Payment]:
    """List a customer's payments, newest first."""
    asked, whose = rpc.ListPaymentsRequest, request.path.external_customer_id
    return await listed(request.call, asked, request.query, payment_to_api, external_customer_id=whose)


async def find_receipt(request: Request[ById, Nothing, Nothing]) -> PaymentReceipt:
    """Find the receipt of a payment by its id."""
    return receipt_to_api(await _find(request))


async def find_receipts(request: Request[Nothing, PaymentFilters, Nothing]) -> Listed[PaymentReceipt]:
    """List receipts of payments, newest first."""
    return await listed(request.call, rpc.ListPaymentsRequest, request.query, receipt_to_api)


async def _find(request: Request[ById, Nothing, Nothing]) -> PaymentMessage:
    call, asked = request.call, rpc.GetPaymentRequest(id=request.path.id)
    return (await call.ask(call.clients.invoices.GetPayment, asked)).payment


def payment_to_api(payment: PaymentMessage) -> Payment:
    """A payment as Lago's clients read it."""
    return project(Payment, payment, invoice_ids=[payment.invoice_id], invoice_numbers=[payment.invoice_number])


def receipt_to_api(payment: PaymentMessage) -> PaymentReceipt:
    """The receipt of a payment as Lago's clients read it."""
    return project(PaymentReceipt, payment, payment=payment_to_api(payment))


OPERATIONS = (
    operation("POST", "/payments", create, root="payment", names=callers_names(NewPayment, rpc.RecordPaymentRequest)),
    operation("GET", "/payments", find_all, answer_root="payments"),
    operation("GET", "/payments/{id}", find, answer_root="payment"),
    operation("GET", "/customers/{external_customer_id}/payments", find_of_customer, answer_root="payments"),
    operation("GET", "/payment_receipts", find_receipts, answer_root="payment_receipts"),
    operation("GET", "/payment_receipts/{id}", find_receipt, answer_root="payment_receipt"),
)

"""Invoices: read, refreshed, finalized, voided, rendered as PDF, paid, and made of one-off items."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, ClassVar

from msgspec import UNSET, Meta, Struct, UnsetType

from farebox.rating.v1 import invoice_service_pb2 as rpc
from farebox.rating.v1.invoice_pb2 import Invoice as InvoiceMessage
from gateway.call import Call, Reply
from gateway.decode.refusals import Refusals
from gateway.dialects.lago.invoice_shapes import (
    KIND,
    PAYMENT_STATE,
    STATE,
    Invoice,
    ListedInvoices,
    RebuiltInvoice,
    WholeInvoice,
    invoice_to_api,
    listed_invoice,
    whole_invoice_to_api,
)
from gateway.engine.paging import PAGING, PageQuery, page_request
from gateway.limit_terms import Budget
from gateway.listing import listed
from gateway.operation import ENCODER, ByCustomer, ById, Listed, Nothing, Request, operation
from gateway.problem import refuse_both_names
from gateway.projection import given, patch
from gateway.schema import Cents, Code, Date, DecimalInput, keys, of

MAX_ITEMS = 100
_PDF = "application/pdf"

State = Annotated[str, STATE.meta]
PaymentState = Annotated[str, PAYMENT_STATE.meta]


class InvoiceFilters(PageQuery, kw_only=True):
    """Which invoices. States may be given under either of two names, and several at once."""

    NOT_OFFERED: ClassVar = keys("search_term payment_dispute_lost self_billed metadata billing_entity_codes")

    status: Annotated[list[State], of("states")] | UnsetType = UNSET
    statuses: Annotated[list[State], of("states")] | UnsetType = UNSET
    payment_status: Annotated[list[PaymentState], of("payment_states")] | UnsetType = UNSET
    payment_statuses: Annotated[list[PaymentState], of("payment_states")] | UnsetType = UNSET
    payment_overdue: Annotated[bool, of("is_overdue")] | UnsetType = UNSET
    issuing_date_from: Annotated[Date, of("issued_from")] | UnsetType = UNSET
    issuing_date_to: Annotated[Date, of("issued_until")] | UnsetType = UNSET
    currency: Annotated[str, Meta(max_length=3)] | UnsetType = UNSET
    invoice_type: Annotated[str, KIND.meta, of("kinds")] | UnsetType = UNSET
    amount_from: Annotated[Cents, of("amount_from_cents")] | UnsetType = UNSET
    amount_to: Annotated[Cents, of("amount_until_cents")] | UnsetType = UNSET


class InvoiceQuery(InvoiceFilters, kw_only=True):
    """Which invoices, and whose; with `customer_id` the answer has the shape that Nozle's React components read."""

    external_customer_id: Code | UnsetType = UNSET
    customer_id: Code | UnsetType = UNSET


class OneOffItem(Struct, kw_only=True):
    """A one-off item; its name is the first given of `invoice_display_name`, `description` and `name`.

    What an item leaves out is its add-on's: name, price and taxes. If no add-on has the `add_on_code`, it is only the
    caller's own name for the item, which says its price.
    """

    NOT_OFFERED: ClassVar = keys("from_datetime to_datetime")

    add_on_code: Code | UnsetType = UNSET
    name: Annotated[str, Meta(max_length=255)] | UnsetType | None = UNSET
    invoice_display_name: Annotated[str, Meta(max_length=255)] | UnsetType | None = UNSET
    description: Annotated[str, Meta(max_length=255)] | UnsetType | None = UNSET
    units: Annotated[DecimalInput, Meta(description="How many; 1 by default.")] = Decimal(1)
    unit_amount_cents: Cents | UnsetType | None = UNSET
    tax_codes: list[Code] | UnsetType = UNSET


class NewInvoice(Struct, kw_only=True):
    """One-off items, invoiced and finalized now."""

    NOT_OFFERED: ClassVar = keys(
        "error_details payment_method invoice_custom_section billing_entity_code purchase_order_number "
        "net_payment_term skip_psp metadata"
    )

    external_customer_id: Code
    currency: Annotated[str, Meta(max_length=3)] | UnsetType = UNSET
    fees: Annotated[list[OneOffItem], Meta(min_length=1, max_length=MAX_ITEMS)]


class PaymentReport(Struct, kw_only=True):
    """The outcome of a payment; our own `paid_amount_cents` says how much, if only a part was paid."""

    NOT_OFFERED: ClassVar = keys("metadata")

    payment_status: Annotated[PaymentState, of("payment_state")]
    paid_amount_cents: Annotated[int, Meta(ge=0), of("amount_cents")] | UnsetType = UNSET


class VoidOptions(Struct, kw_only=True):
    """Whether the paid amount becomes a credit note."""

    NOT_OFFERED: ClassVar = keys("refund_amount credit_amount")

    generate_credit_note: bool = False


async def create(request: Request[Nothing, Nothing, NewInvoice]) -> WholeInvoice:
    """Invoice one-off items now."""
    call, body, refusals = request.call, request.body, Refusals()
    asked, _ = patch(rpc.CreateOneOffInvoiceRequest(request_id=call.mutation_id), body, skip=("fees",))
    for index, item in enumerate(body.fees):
        _say_item(asked.items.add(), item, f"fees[{index}]", refusals)
    refusals.raise_any()
    return _whole(call, (await call.ask(call.clients.invoices.CreateOneOffInvoice, asked)).invoice)


async def find(request: Request[ById, Nothing, Nothing]) -> WholeInvoice:
    """Find an invoice by its id."""
    return await _find(request)


async def download(request: Request[ById, Nothing, Nothing]) -> WholeInvoice:
    """Find an invoice with the address of its PDF, `file_url`."""
    return await _find(request)


async def draw(request: Request[ById, Nothing, Nothing]) -> Reply:
    """Render an invoice as PDF."""
    call, asked = request.call, rpc.RenderInvoiceRequest(id=request.path.id)
    answer = await call.ask(call.clients.invoices.RenderInvoice, asked)
    shown = {"Content-Disposition": 'inline; filename="invoice.pdf"'}
    return Reply(answer.pdf, media_type=_PDF, headers=shown)


async def find_all(request: Request[Nothing, InvoiceQuery, Nothing]) -> Listed[Invoice] | Reply:
    """List invoices, newest first.

    With `customer_id` the answer is a `ListedInvoices`, which Nozle's React components read.
    """
    call, query = request.call, request.query
    if query.customer_id is not UNSET:
        answer = await _list(call, query, query.customer_id)
        invoices = [listed_invoice(invoice, _pdf_url(call, invoice)) for invoice in answer.invoices]
        return Reply(ENCODER.encode(ListedInvoices(invoices)))
    return await _page(call, query)


async def find_of_customer(request: Request[ByCustomer, InvoiceFilters, Nothing]) -> Listed[Invoice]:
    """List a customer's invoices, newest first."""
    return await _page(request.call, request.query, external_customer_id=request.path.external_customer_id)


async def record_payment(request: Request[ById, Nothing, PaymentReport]) -> WholeInvoice:
    """Report the outcome of an invoice's payment."""
    call = request.call
    asked, _ = patch(rpc.RecordPaymentRequest(request_id=call.mutation_id, id=request.path.id), request.body)
    return _whole(call, (await call.ask(call.clients.invoices.RecordPayment, asked)).invoice)


async def lose_dispute(request: Request[ById, Nothing, Nothing]) -> WholeInvoice:
    """Report that a dispute about an invoice's payment was lost: it is neither overdue nor revenue any more."""
    call, asked = request.call, rpc.LoseDisputeRequest(request_id=request.call.mutation_id, id=request.path.id)
    return _whole(call, (await call.ask(call.clients.invoices.LoseDispute, asked)).invoice)


async def refresh(request: Request[ById, Nothing, Nothing]) -> WholeInvoice:
    """Compute a draft again from the usage known now."""
    call, asked = request.call, rpc.RefreshInvoiceRequest(request_id=request.call.mutation_id, id=request.path.id)
    return _whole(call, (await call.ask(call.clients.invoices.RefreshInvoice, asked)).invoice)


async def finalize(request: Request[ById, Nothing, Nothing]) -> WholeInvoice:
    """Finalize a draft before its grace period ends; it gets its number."""
    call, asked = request.call, rpc.FinalizeInvoiceRequest(request_id=request.call.mutation_id, id=request.path.id)
    return _whole(call, (await call.ask(call.clients.invoices.FinalizeInvoice, asked)).invoice)


async def void(request: Request[ById, Nothing, VoidOptions]) -> WholeInvoice:
    """Void a finalized invoice."""
    call = request.call
    asked, _ = patch(rpc.VoidInvoiceRequest(request_id=call.mutation_id, id=request.path.id), request.body)
    return _whole(call, (await call.ask(call.clients.invoices.VoidInvoice, asked)).invoice)


async def rebuild(request: Request[ById, Nothing, Nothing]) -> RebuiltInvoice:
    """Compute an invoice again from the event log, and compare both."""
    call, asked = request.call, rpc.RebuildInvoiceRequest(id=request.path.id)
    answer = await call.ask(call.clients.invoices.RebuildInvoice, asked)
    rebuilt = _whole(call, answer.rebuilt)
    return RebuiltInvoice(invoice=rebuilt, equal=answer.equal, differences=list(answer.differences))


async def _find(request: Request[ById, Nothing, Nothing]) -> WholeInvoice:
    call, asked = request.call, rpc.GetInvoiceRequest(id=request.path.id)
    return _whole(call, (await call.ask(call.clients.invoices.GetInvoice, asked)).invoice)


async def _page(call: Call, query: InvoiceFilters, **whose: str) -> Listed[Invoice]:
    _refuse_both_names(query)

    def to_api(invoice: InvoiceMessage) -> Invoice:
        return invoice_to_api(invoice, call.organization, _pdf_url(call, invoice))

    return await listed(call, rpc.ListInvoicesRequest, query, to_api, without_fees=True, **whose)


async def _list(call: Call, query: InvoiceFilters, external_customer_id: str) -> rpc.ListInvoicesResponse:
    _refuse_both_names(query)
    asked, _ = patch(
        rpc.ListInvoicesRequest(page=page_request(query), external_customer_id=external_customer_id, without_fees=True),
        query,
        skip=(*PAGING, "external_customer_id", "customer_id"),
    )
    return await call.ask(call.clients.invoices.ListInvoices, asked)


def _refuse_both_names(query: InvoiceFilters) -> None:
    refuse_both_names(query, "status", "statuses")
    refuse_both_names(query, "payment_status", "payment_statuses")


def _say_item(asked: rpc.CreateOneOffInvoiceRequest.Item, item: OneOffItem, path: str, refusals: Refusals) -> None:
    """Say in a message what a body says of an item."""
    names = (item.invoice_display_name, item.description, item.name)
    asked.name = next((name for name in names if isinstance(name, str) and name), "")
    asked.code = "" if item.add_on_code is UNSET else item.add_on_code
    asked.add_on_price = given(item.unit_amount_cents) is None
    if not asked.code:
        for name, is_missing in (("invoice_display_name", not asked.name), ("unit_amount_cents", asked.add_on_price)):
            if is_missing:
                refusals.add(f"{path}.{name}", "value_is_mandatory", "is missing")
    patch(asked, item, skip=("add_on_code", "name", "invoice_display_name", "description"))


def _whole(call: Call, invoice: InvoiceMessage) -> WholeInvoice:
    return whole_invoice_to_api(invoice, call.organization, _pdf_url(call, invoice))


def _pdf_url(call: Call, invoice: InvoiceMessage) -> str | None:
    return f"{call.base_url}/api/v1/invoices/{invoice.id}.pdf" if invoice.id else None


_ONE_OFF_NAMES = {
    "currency": "currency",
    "items[].name": "fees[].invoice_display_name",
    "items[].code": "fees[].add_on_code",
    "items[]": "fees[]",
    "items": "fees",
}
_PAYMENT_NAMES = {"payment_state": "payment_status", "amount_cents": "paid_amount_cents"}
_ONE = "/invoices/{id}"
OPERATIONS = (
    operation("POST", "/invoices", create, root="invoice", names=_ONE_OFF_NAMES),
    operation("GET", "/invoices", find_all, answer_root="invoices"),
    operation("GET", f"{_ONE}.pdf", draw, media_type=_PDF, budget=Budget.DOCUMENTS),
    operation("GET", _ONE, find, answer_root="invoice"),
    operation("PUT", _ONE, record_payment, root="invoice", names=_PAYMENT_NAMES),
    operation("PUT", f"{_ONE}/finalize", finalize, answer_root="invoice"),
    operation("PUT", f"{_ONE}/refresh", refresh, answer_root="invoice"),
    operation("POST", f"{_ONE}/lose_dispute", lose_dispute, answer_root="invoice"),
    operation("PUT", f"{_ONE}/lose_dispute", lose_dispute, answer_root="invoice"),
    operation("POST", f"{_ONE}/void", void, answer_root="invoice"),
    operation("POST", f"{_ONE}/download", download, answer_root="invoice"),
    operation("POST", f"{_ONE}/rebuild", rebuild, answer_root="rebuild", budget=Budget.FORECASTS),
    operation("GET", "/customers/{external_customer_id}/invoices", find_of_customer, answer_root="invoices"),
)

"""Invoices: read, refreshed, finalized, voided, drawn as PDF, paid, and made of one-off items."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from farebox.rating.v1 import invoice_service_pb2 as service
from farebox.rating.v1.invoice_pb2 import Invoice
from gateway.call import Call, Reply
from gateway.dialects.nozle import pages
from gateway.dialects.nozle.fees import subscriptions_of
from gateway.dialects.nozle.invoice_json import PAYMENT_STATES, STATES, invoice_json, react_invoice_json
from gateway.dialects.nozle.read import Reader
from gateway.problem import not_available

PDF = ".pdf"


async def find(call: Call) -> Any:
    """`GET /invoices/{id}`, and `GET /invoices/{id}.pdf` for the drawing."""
    identity = call.path["id"]
    if identity.endswith(PDF):
        return await _draw(call, identity.removesuffix(PDF))
    request = service.GetInvoiceRequest(id=identity)
    return await _one(call, (await call.ask(call.clients.invoices.GetInvoice, request)).invoice)


async def find_all(call: Call) -> Any:
    """`GET /invoices`: newest first. With `customer_id` it answers in the shape that the React components read."""
    if "customer_id" in call.query:
        _, answer = await _list(call, call.query["customer_id"])
        return {"invoices": [react_invoice_json(each, _pdf_url(call, each.id)) for each in answer.invoices]}
    return await _page(call, call.query.get("external_customer_id", ""))


async def find_of_customer(call: Call) -> Any:
    """`GET /customers/{external_customer_id}/invoices`."""
    return await _page(call, call.path["external_customer_id"])


async def create(call: Call) -> Any:
    """`POST /invoices`: invoice one-off items now."""
    body = Reader(call.wrapped("invoice"))
    request = service.CreateOneOffInvoiceRequest(
        request_id=call.mutation_id,
        external_customer_id=body.required("external_customer_id"),
        currency=body.text("currency"),
        items=[_read_item(each) for each in body.objects("fees")],
    )
    return await _one(call, (await call.ask(call.clients.invoices.CreateOneOffInvoice, request)).invoice)


async def update(call: Call) -> Any:
    """`PUT /invoices/{id}`: say what became of its payment; `paid_amount_cents`, ours, where a part was paid."""
    body = Reader(call.wrapped("invoice"))
    body.required("payment_status")
    request = service.RecordPaymentRequest(
        request_id=call.mutation_id,
        id=call.path["id"],
        payment_state=body.choice("payment_status", PAYMENT_STATES, Invoice.PAYMENT_STATE_UNSPECIFIED),
        amount_cents=body.integer("paid_amount_cents"),
    )
    return await _one(call, (await call.ask(call.clients.invoices.RecordPayment, request)).invoice)


async def refresh(call: Call) -> Any:
    """`PUT /invoices/{id}/refresh`: compute a draft again."""
    request = service.RefreshInvoiceRequest(request_id=call.mutation_id, id=call.path["id"])
    return await _one(call, (await call.ask(call.clients.invoices.RefreshInvoice, request)).invoice)


async def finalize(call: Call) -> Any:
    """`PUT /invoices/{id}/finalize`: fix and number a draft."""
    request = service.FinalizeInvoiceRequest(request_id=call.mutation_id, id=call.path["id"])
    return await _one(call, (await call.ask(call.clients.invoices.FinalizeInvoice, request)).invoice)


async def void(call: Call) -> Any:
    """`POST /invoices/{id}/void`: take a finalized invoice back."""
    body = Reader(call.json())
    for name in ("refund_amount", "credit_amount"):
        if body.integer(name):
            raise not_available(name)
    request = service.VoidInvoiceRequest(
        request_id=call.mutation_id, id=call.path["id"], generate_credit_note=body.flag("generate_credit_note")
    )
    return await _one(call, (await call.ask(call.clients.invoices.VoidInvoice, request)).invoice)


async def download(call: Call) -> Any:
    """`POST /invoices/{id}/download`: the invoice with the URL of its drawing."""
    request = service.GetInvoiceRequest(id=call.path["id"])
    return await _one(call, (await call.ask(call.clients.invoices.GetInvoice, request)).invoice)


async def rebuild(call: Call) -> Any:
    """`POST /invoices/{id}/rebuild`: compute an invoice anew from the event log, and compare."""
    request = service.RebuildInvoiceRequest(id=call.path["id"])
    answer = await call.ask(call.clients.invoices.RebuildInvoice, request)
    rebuilt = await _one(call, answer.rebuilt)
    return {"rebuild": {**rebuilt, "equal": answer.equal, "differences": list(answer.differences)}}


async def _draw(call: Call, identity: str) -> Reply:
    answer = await call.ask(call.clients.invoices.RenderInvoice, service.RenderInvoiceRequest(id=identity))
    shown = {"Content-Disposition": f'inline; filename="invoice{PDF}"'}
    return Reply(answer.pdf, media_type="application/pdf", headers=shown)


async def _one(call: Call, invoice: Invoice) -> dict[str, Any]:
    """One invoice with its fees and subscriptions."""
    held = await subscriptions_of(call, invoice.fees)
    now = await _time_for_due_dates(call, [invoice])
    body = invoice_json(invoice, call.organization, now, held)
    return {"invoice": {**body, "file_url": _pdf_url(call, invoice.id)}}


async def _page(call: Call, external_customer_id: str) -> Any:
    """A page of invoices, without their fees."""
    page, answer = await _list(call, external_customer_id)
    now = await _time_for_due_dates(call, answer.invoices)
    invoices = [
        {**invoice_json(each, call.organization, now), "file_url": _pdf_url(call, each.id)} for each in answer.invoices
    ]
    return {"invoices": invoices, "meta": pages.meta(page, answer.page, len(invoices))}


async def _list(call: Call, external_customer_id: str) -> Any:
    query, page = call.query, pages.read(call.query)
    if query.get("payment_overdue"):
        raise not_available("payment_overdue")
    request = service.ListInvoicesRequest(
        page=page,
        external_customer_id=external_customer_id,
        states=_words(call, ("status", "status[]", "statuses[]"), STATES),
        payment_states=_words(call, ("payment_status", "payment_status[]", "payment_statuses[]"), PAYMENT_STATES),
        issued_from=query.get("issuing_date_from", ""),
        issued_until=query.get("issuing_date_to", ""),
    )
    return page, await call.ask(call.clients.invoices.ListInvoices, request)


def _words(call: Call, names: tuple[str, ...], known: dict[str, Any]) -> list[Any]:
    """The values of a filter that callers write in several ways."""
    words = [word for name in names for word in call.query.getlist(name)]
    return [Reader({names[0]: word}).choice(names[0], known, None) for word in words]


async def _time_for_due_dates(call: Call, invoices: Any) -> datetime | None:
    """The present time where an invoice could be overdue; asking for it may cost a call."""
    open_states = (Invoice.PAYMENT_STATE_PENDING, Invoice.PAYMENT_STATE_FAILED)
    could_be = any(each.payment_due_date and each.payment_state in open_states for each in invoices)
    return await call.now() if could_be else None


def _pdf_url(call: Call, identity: str) -> str | None:
    return f"{call.base_url}/api/v1/invoices/{identity}{PDF}" if identity else None


def _read_item(body: Reader) -> service.CreateOneOffInvoiceRequest.Item:
    name = body.text("invoice_display_name") or body.text("description") or body.text("name")
    return service.CreateOneOffInvoiceRequest.Item(
        name=name or body.text("add_on_code"),
        code=body.text("add_on_code"),
        units=body.decimal("units"),
        unit_amount_cents=body.integer("unit_amount_cents"),
        tax_codes=body.texts("tax_codes"),
    )

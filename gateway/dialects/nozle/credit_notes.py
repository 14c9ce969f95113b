"""Credit notes: money given back on an invoice."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from farebox.rating.v1 import invoice_service_pb2 as service
from farebox.rating.v1.credit_note_pb2 import CreditNote
from gateway.call import Call
from gateway.dialects.nozle import pages, write
from gateway.dialects.nozle.read import Reader

REASONS = {
    "duplicated_charge": CreditNote.REASON_DUPLICATED_CHARGE,
    "product_unsatisfactory": CreditNote.REASON_PRODUCT_UNSATISFACTORY,
    "order_change": CreditNote.REASON_ORDER_CHANGE,
    "order_cancellation": CreditNote.REASON_ORDER_CANCELLATION,
    "fraudulent_charge": CreditNote.REASON_FRAUDULENT_CHARGE,
    "other": CreditNote.REASON_OTHER,
}
# As many as Lago shows of a rate.
RATE_DECIMALS = 5
_DATE_LENGTH = 10
_HUNDRED = Decimal(100)


async def create(call: Call) -> Any:
    """`POST /credit_notes`."""
    request = _read(Reader(call.wrapped("credit_note")))
    request.request_id = call.mutation_id
    answer = await call.ask(call.clients.invoices.CreateCreditNote, request)
    return {"credit_note": credit_note_json(answer.credit_note)}


async def estimate(call: Call) -> Any:
    """`POST /credit_notes/estimate`: what items come to; nothing is kept."""
    request = _read(Reader(call.wrapped("credit_note")))
    request.validate_only = True
    note = (await call.ask(call.clients.invoices.CreateCreditNote, request)).credit_note
    return {
        "estimated_credit_note": {
            "lago_invoice_id": note.invoice_id,
            "invoice_number": note.invoice_number,
            "currency": note.currency,
            **_amounts(note),
            "max_creditable_amount_cents": note.total_amount_cents,
            "max_refundable_amount_cents": note.refund_amount_cents,
            "max_offsettable_amount_cents": note.offset_amount_cents,
            "items": [{"lago_fee_id": item.fee_id, "amount_cents": item.amount_cents} for item in note.items],
            "applied_taxes": [],
        }
    }


async def find(call: Call) -> Any:
    """`GET /credit_notes/{id}`."""
    request = service.GetCreditNoteRequest(id=call.path["id"])
    return {"credit_note": credit_note_json((await call.ask(call.clients.invoices.GetCreditNote, request)).credit_note)}


async def find_all(call: Call) -> Any:
    """`GET /credit_notes`, and `GET /customers/{external_customer_id}/credit_notes`."""
    page = pages.read(call.query)
    customer = call.path.get("external_customer_id") or call.query.get("external_customer_id", "")
    request = service.ListCreditNotesRequest(
        page=page, external_customer_id=customer, invoice_id=call.query.get("invoice_id", "")
    )
    answer = await call.ask(call.clients.invoices.ListCreditNotes, request)
    notes = [credit_note_json(note) for note in answer.credit_notes]
    return {"credit_notes": notes, "meta": pages.meta(page, answer.page, len(notes))}


async def void(call: Call) -> Any:
    """`PUT /credit_notes/{id}/void`: take the unused credit back."""
    request = service.VoidCreditNoteRequest(request_id=call.mutation_id, id=call.path["id"])
    answer = await call.ask(call.clients.invoices.VoidCreditNote, request)
    return {"credit_note": credit_note_json(answer.credit_note)}


def credit_note_json(note: CreditNote) -> dict[str, Any]:
    """A credit note as Lago's clients read it."""
    created_at = write.instant(note, "created_at")
    return {
        **write.ids(note.id),
        "number": note.number,
        "lago_invoice_id": note.invoice_id,
        "invoice_number": note.invoice_number,
        "external_customer_id": note.external_customer_id,
        "issuing_date": created_at[:_DATE_LENGTH] if created_at else None,
        "credit_status": _credit_status(note),
        "refund_status": "pending" if note.refund_amount_cents else None,
        "reason": write.word(REASONS, note.reason),
        "description": note.description or None,
        "currency": note.currency,
        "total_amount_cents": note.total_amount_cents,
        "credit_amount_cents": note.credit_amount_cents,
        "refund_amount_cents": note.refund_amount_cents,
        "offset_amount_cents": note.offset_amount_cents,
        "balance_amount_cents": note.balance_amount_cents,
        **_amounts(note),
        "items": [
            {
                "amount_cents": item.amount_cents,
                "amount_currency": note.currency,
                "fee": write.ids(item.fee_id),
            }
            for item in note.items
        ],
        "applied_taxes": [],
        "created_at": created_at,
        "updated_at": write.instant(note, "voided_at") or created_at,
    }


def _amounts(note: CreditNote) -> dict[str, Any]:
    return {
        "taxes_amount_cents": note.taxes_amount_cents,
        "taxes_rate": _taxes_rate(note),
        "sub_total_excluding_taxes_amount_cents": note.sub_total_amount_cents,
        "coupons_adjustment_amount_cents": note.coupons_adjustment_amount_cents,
    }


def _taxes_rate(note: CreditNote) -> Any:
    """Percent of all its taxes together; a note may hold fees of several rates, so the amounts are what counts."""
    if not note.sub_total_amount_cents:
        return 0
    rate = Decimal(note.taxes_amount_cents) * _HUNDRED / Decimal(note.sub_total_amount_cents)
    return write.json_number(round(rate, RATE_DECIMALS))


def _credit_status(note: CreditNote) -> str | None:
    if not note.credit_amount_cents:
        return None
    if note.HasField("voided_at"):
        return "voided"
    return "available" if note.balance_amount_cents else "consumed"


def _read(body: Reader) -> service.CreateCreditNoteRequest:
    return service.CreateCreditNoteRequest(
        invoice_id=body.required("invoice_id"),
        reason=body.choice("reason", REASONS, CreditNote.REASON_OTHER),
        description=body.text("description"),
        items=[
            CreditNote.Item(fee_id=each.required("fee_id"), amount_cents=each.integer("amount_cents"))
            for each in body.objects("items")
        ],
        credit_amount_cents=body.integer("credit_amount_cents"),
        refund_amount_cents=body.integer("refund_amount_cents"),
        offset_amount_cents=body.integer("offset_amount_cents"),
    )

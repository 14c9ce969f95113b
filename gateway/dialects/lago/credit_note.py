"""Credit notes: money given back on an invoice."""

from __future__ import annotations

from functools import partial
from typing import Annotated, ClassVar, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from farebox.rating.v1 import invoice_service_pb2 as rpc
from farebox.rating.v1.credit_note_pb2 import CreditNote as CreditNoteMessage
from gateway.call import Call, Reply
from gateway.dialects.lago.common import Description, Identified
from gateway.engine.paging import PageQuery
from gateway.listing import listed
from gateway.operation import ByCustomer, ById, Listed, Nothing, Request, operation
from gateway.projection import aware, callers_names, patch, project
from gateway.schema import Cents, Code, Date, ExactNumber, Instant, Words, keys, of

REASON = Words(CreditNoteMessage.Reason, "REASON_")
CREDIT_STATE = Words(CreditNoteMessage.CreditState, "CREDIT_STATE_")
# More than any invoice has fees.
MAX_ITEMS = 1000
PDF = "application/pdf"

Amount = Annotated[int, Meta(ge=0, description="Minor units, with taxes.")]


class CreditNoteFilters(PageQuery, kw_only=True):
    """Which credit notes."""

    NOT_OFFERED: ClassVar = keys("search_term refund_status self_billed billing_entity_codes")

    invoice_id: Code | UnsetType = UNSET
    invoice_number: Code | UnsetType = UNSET
    issuing_date_from: Annotated[Date, of("issued_from")] | UnsetType = UNSET
    issuing_date_to: Annotated[Date, of("issued_until")] | UnsetType = UNSET
    currency: Annotated[str, Meta(max_length=3)] | UnsetType = UNSET
    reason: Annotated[str, REASON.meta, of("reasons")] | UnsetType = UNSET
    credit_status: Annotated[str, CREDIT_STATE.meta, of("credit_states")] | UnsetType = UNSET
    amount_from: Annotated[Cents, of("amount_from_cents")] | UnsetType = UNSET
    amount_to: Annotated[Cents, of("amount_until_cents")] | UnsetType = UNSET


class CreditNoteQuery(CreditNoteFilters, kw_only=True):
    """Which credit notes, of which customer."""

    external_customer_id: Code | UnsetType = UNSET


class CreditedItem(Struct, kw_only=True):
    """A fee, and what is given back of it without taxes, in minor units."""

    fee_id: Code
    amount_cents: Annotated[int, Meta(ge=0)]


class CreditNoteDraft(Struct, kw_only=True):
    """What an estimate is made of."""

    invoice_id: Code
    items: Annotated[list[CreditedItem], Meta(min_length=1, max_length=MAX_ITEMS)]


class NewCreditNote(CreditNoteDraft, kw_only=True):
    """The amounts that are given back, and where they go: to later invoices, back, or off the unpaid invoice itself."""

    NOT_OFFERED: ClassVar = keys("metadata")

    reason: Annotated[str, REASON.meta] = "other"
    description: Description | UnsetType | None = UNSET
    credit_amount_cents: Amount | UnsetType = UNSET
    refund_amount_cents: Amount | UnsetType = UNSET
    offset_amount_cents: Amount | UnsetType = UNSET


class CreditedFee(Identified, kw_only=True):
    """The fee that is credited, by its id."""


class CreditNoteItem(Struct, kw_only=True):
    """A credited fee."""

    amount_cents: Cents
    amount_currency: str
    fee: CreditedFee


class CreditNote(Identified, kw_only=True):
    """Money given back on an invoice; `balance_amount_cents` is what is left of its credit."""

    number: str
    lago_invoice_id: Annotated[str, of("invoice_id")]
    invoice_number: str
    external_customer_id: str
    issuing_date: str | None
    credit_status: Annotated[str, CREDIT_STATE.told, of("credit_state")] | None
    refund_status: Annotated[
        Literal["pending"] | None, Meta(description="Farebox itself pays nothing back, so this stays pending.")
    ]
    reason: Annotated[str, REASON.told] | None
    description: str | None
    currency: str
    total_amount_cents: Cents
    credit_amount_cents: Cents
    refund_amount_cents: Cents
    offset_amount_cents: Cents
    balance_amount_cents: Cents
    taxes_amount_cents: Cents
    taxes_rate: Annotated[ExactNumber, of("taxes_rate_percent")]
    sub_total_excluding_taxes_amount_cents: Annotated[Cents, of("sub_total_amount_cents")]
    coupons_adjustment_amount_cents: Cents
    items: list[CreditNoteItem]
    applied_taxes: list[CreditNoteTax]
    metadata: dict[str, str]
    file_url: Annotated[str, Meta(description="The address of its PDF.")]
    created_at: Instant | None
    updated_at: Instant | None


class CreditNoteTax(Struct, kw_only=True):
    """A tax that is given back; the rate is in percent."""

    tax_code: Annotated[str, of("code")]
    tax_name: Annotated[str, of("name")]
    tax_rate: Annotated[ExactNumber, of("rate_percent")]
    amount_cents: Cents


class EstimatedItem(Struct, kw_only=True):
    """A fee, and how much of it could be given back."""

    lago_fee_id: Annotated[str, of("fee_id")]
    amount_cents: Cents


class EstimatedCreditNote(Struct, kw_only=True):
    """The amounts of the items, and how much of them may go where."""

    lago_invoice_id: Annotated[str, of("invoice_id")]
    invoice_number: str
    currency: str
    taxes_amount_cents: Cents
    taxes_rate: Annotated[ExactNumber, of("taxes_rate_percent")]
    sub_total_excluding_taxes_amount_cents: Annotated[Cents, of("sub_total_amount_cents")]
    coupons_adjustment_amount_cents: Cents
    max_creditable_amount_cents: Annotated[Cents, of("total_amount_cents")]
    max_refundable_amount_cents: Annotated[Cents, of("refund_amount_cents")]
    max_offsettable_amount_cents: Annotated[Cents, of("offset_amount_cents")]
    items: list[EstimatedItem]
    applied_taxes: list[CreditNoteTax]


async def create(request: Request[Nothing, Nothing, NewCreditNote]) -> CreditNote:
    """Give money back on a finalized invoice."""
    call = request.call
    asked, _ = patch(rpc.CreateCreditNoteRequest(request_id=call.mutation_id), request.body)
    return credit_note_to_api((await call.ask(call.clients.invoices.CreateCreditNote, asked)).credit_note, call)


async def estimate(request: Request[Nothing, Nothing, CreditNoteDraft]) -> EstimatedCreditNote:
    """Estimate the amounts of items; nothing is stored."""
    call = request.call
    asked, _ = patch(rpc.CreateCreditNoteRequest(request_id=call.mutation_id, validate_only=True), request.body)
    answer = await call.ask(call.clients.invoices.CreateCreditNote, asked)
    return project(EstimatedCreditNote, answer.credit_note)


async def find(request: Request[ById, Nothing, Nothing]) -> CreditNote:
    """Find a credit note by its id."""
    call, asked = request.call, rpc.GetCreditNoteRequest(id=request.path.id)
    return credit_note_to_api((await call.ask(call.clients.invoices.GetCreditNote, asked)).credit_note, call)


async def find_all(request: Request[Nothing, CreditNoteQuery, Nothing]) -> Listed[CreditNote]:
    """List credit notes, newest first."""
    to_api = partial(credit_note_to_api, call=request.call)
    return await listed(request.call, rpc.ListCreditNotesRequest, request.query, to_api)


async def find_of_customer(request: Request[ByCustomer, CreditNoteFilters, Nothing]) -> Listed[CreditNote]:
    """List a customer's credit notes, newest first."""
    asked, whose = rpc.ListCreditNotesRequest, request.path.external_customer_id
    to_api = partial(credit_note_to_api, call=request.call)
    return await listed(request.call, asked, request.query, to_api, external_customer_id=whose)


async def download(request: Request[ById, Nothing, Nothing]) -> CreditNote:
    """Find a credit note with the address of its PDF, `file_url`."""
    return await find(request)


async def draw(request: Request[ById, Nothing, Nothing]) -> Reply:
    """Render a credit note as PDF."""
    call, asked = request.call, rpc.RenderCreditNoteRequest(id=request.path.id)
    answer = await call.ask(call.clients.invoices.RenderCreditNote, asked)
    shown = {"Content-Disposition": 'inline; filename="credit_note.pdf"'}
    return Reply(answer.pdf, media_type=PDF, headers=shown)


async def void(request: Request[ById, Nothing, Nothing]) -> CreditNote:
    """Take the unused credit of a credit note back."""
    call, asked = request.call, rpc.VoidCreditNoteRequest(request_id=request.call.mutation_id, id=request.path.id)
    return credit_note_to_api((await call.ask(call.clients.invoices.VoidCreditNote, asked)).credit_note, call)


def credit_note_to_api(note: CreditNoteMessage, call: Call) -> CreditNote:
    """A credit note as Lago's clients read it."""
    created = note.created_at if note.HasField("created_at") else None
    changed = note.voided_at if note.HasField("voided_at") else created
    return project(
        CreditNote,
        note,
        refund_status="pending" if note.refund_amount_cents else None,
        items=[
            CreditNoteItem(
                amount_cents=item.amount_cents,
                amount_currency=note.currency,
                fee=CreditedFee(lago_id=item.fee_id, nozle_id=item.fee_id),
            )
            for item in note.items
        ],
        metadata=dict(note.metadata),
        file_url=f"{call.base_url}/api/v1/credit_notes/{note.id}.pdf",
        updated_at=None if changed is None else aware(changed),
    )


_NAMES = callers_names(NewCreditNote, rpc.CreateCreditNoteRequest)
OPERATIONS = (
    operation("POST", "/credit_notes", create, root="credit_note", names=_NAMES),
    operation(
        "POST",
        "/credit_notes/estimate",
        estimate,
        root="credit_note",
        answer_root="estimated_credit_note",
        names=_NAMES,
    ),
    operation("GET", "/credit_notes", find_all, answer_root="credit_notes"),
    operation("GET", "/credit_notes/{id}.pdf", draw, media_type=PDF),
    operation("POST", "/credit_notes/{id}/download", download, answer_root="credit_note"),
    operation("GET", "/credit_notes/{id}", find, answer_root="credit_note"),
    operation("PUT", "/credit_notes/{id}/void", void, answer_root="credit_note"),
    operation("GET", "/customers/{external_customer_id}/credit_notes", find_of_customer, answer_root="credit_notes"),
)

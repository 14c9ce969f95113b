"""Giving money back on invoices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from sqlalchemy.engine import Connection

from services.kernel.errors import FailedPreconditionError, InvalidArgumentError
from services.kernel.ids import FeeId, OrganizationId, new_id
from services.kernel.period import Period
from services.rating.agreements.agreement import Agreement
from services.rating.agreements.billed import NOTHING_BILLED, Billed
from services.rating.agreements.resolution import Resolution
from services.rating.deps import Deps
from services.rating.invoicing import credit_note as notes
from services.rating.invoicing import invoice as invoices
from services.rating.invoicing.bill import Bill
from services.rating.invoicing.billing_run import unused_share
from services.rating.invoicing.credit_note import CreditItem, CreditNote
from services.rating.invoicing.events import InvoiceChanged
from services.rating.invoicing.invoice import InvoiceState
from services.rating.invoicing.kept_credit_note import CreditReason, GivenCredit, creditable
from services.rating.invoicing.store import credit_notes as store
from services.rating.invoicing.store import invoices as invoice_store
from services.rating.organizations.clock_store import now_of
from services.rating.shared.limits import MAX_DESCRIPTION, require_text

# As many as an invoice has fees that a person would pick one by one.
MAX_ITEMS = 1000


@dataclass(frozen=True, slots=True)
class CreditWanted:
    """What is to be given back.

    Attributes:
        invoice_id: of which invoice.
        items: fee and amount without taxes, in minor units.
        reason, description: why.
        credit_cents, refund_cents, offset_cents: where the total with taxes goes.
        is_estimate: only say what the items come to; the three amounts may be 0.
    """

    invoice_id: str
    items: tuple[tuple[FeeId, int], ...]
    reason: CreditReason = CreditReason.OTHER
    description: str = ""
    credit_cents: int = 0
    refund_cents: int = 0
    offset_cents: int = 0
    is_estimate: bool = False


def create_credit_note(deps: Deps, tx: Connection, organization: OrganizationId, wanted: CreditWanted) -> GivenCredit:
    """Give money back on a finalized invoice, or say what the items come to.

    Raises:
        NotFoundError: `INVOICE_UNKNOWN`.
        InvalidArgumentError: the items or where their total goes.
        FailedPreconditionError: `INVOICE_NOT_FINALIZED`, `CREDIT_EXCEEDS_FEE`, `CREDIT_EXCEEDS_PAYMENT`.
    """
    require_text("description", wanted.description, MAX_DESCRIPTION)
    bill = invoice_store.bill(tx, organization, wanted.invoice_id, lock=True)
    if bill.invoice.state is InvoiceState.DRAFT:
        raise FailedPreconditionError("INVOICE_NOT_FINALIZED", "a draft is refreshed, not credited")
    earlier = store.of_invoice(tx, organization, bill.invoice.invoice_id)
    note = notes.credit(creditable(bill, earlier), _items(bill, wanted), bill.invoice.currency)
    at = now_of(deps, tx, organization)
    if wanted.is_estimate and not (wanted.credit_cents or wanted.refund_cents or wanted.offset_cents):
        return _given(bill, note, wanted.reason, wanted.description, at, earlier=None)
    note = _distributed(bill, note, wanted, earlier)
    given = _given(bill, note, wanted.reason, wanted.description, at, earlier=earlier)
    return _keep(deps, tx, bill, given)


def _items(bill: Bill, wanted: CreditWanted) -> list[CreditItem]:
    if not 1 <= len(wanted.items) <= MAX_ITEMS:
        raise InvalidArgumentError.of_field("items", "value_is_invalid", f"has 1 to {MAX_ITEMS} entries")
    position = {each.fee_id: number for number, each in enumerate(bill.fees)}
    items = []
    for index, (fee_id, amount_cents) in enumerate(wanted.items):
        if fee_id not in position:
            raise InvalidArgumentError.of_field(f"items[{index}].fee_id", "value_is_invalid", "is not on the invoice")
        if amount_cents <= 0:
            raise InvalidArgumentError.of_field(f"items[{index}].amount_cents", "value_is_invalid", "is more than zero")
        items.append(CreditItem(position[fee_id], bill.invoice.currency.to_major(amount_cents)))
    return items


def _distributed(bill: Bill, note: CreditNote, wanted: CreditWanted, earlier: Sequence[GivenCredit]) -> CreditNote:
    """The note with its total where it was asked to go."""
    parts = {
        "credit_amount_cents": wanted.credit_cents,
        "refund_amount_cents": wanted.refund_cents,
        "offset_amount_cents": wanted.offset_cents,
    }
    for field, amount_cents in parts.items():
        if amount_cents < 0:
            raise InvalidArgumentError.of_field(field, "value_is_out_of_range", "is zero or more")
    if sum(parts.values()) != note.total_cents:
        raise InvalidArgumentError.of_field(
            "credit_amount_cents", "value_is_invalid", f"and refund and offset sum to {note.total_cents}"
        )
    given_back = sum(each.note.refund_cents + each.note.offset_cents for each in earlier)
    if wanted.refund_cents > bill.invoice.paid_cents - given_back:
        raise FailedPreconditionError("CREDIT_EXCEEDS_PAYMENT", "more than was paid cannot be paid back")
    if wanted.offset_cents > bill.invoice.totals.total_cents - bill.invoice.paid_cents:
        raise FailedPreconditionError("CREDIT_EXCEEDS_OPEN", "more than is open cannot be taken off the invoice")
    return replace(
        note,
        credit_cents=wanted.credit_cents,
        refund_cents=wanted.refund_cents,
        offset_cents=wanted.offset_cents,
    )


def credit_unused_base(
    deps: Deps,
    tx: Connection,
    agreement: Agreement,
    at: datetime,
    nominal: Period | None,
    resolution: Resolution,
    reason: CreditReason,
) -> Billed:
    """Give back the days of a base price that were billed in advance and will not be used.

    A draft that holds them is finalized by `billing` before; what is billed there is credited here. `nominal` is the
    plan's period that was cut (`billing_run.cut_period`), None where none was.
    """
    if nominal is None or resolution is Resolution.NONE:
        return NOTHING_BILLED
    found = invoice_store.base_fee_within(tx, agreement.organization_id, agreement.subscription_id, nominal)
    if found is None:
        return NOTHING_BILLED
    invoice_id, fee_id = found
    bill = invoice_store.bill(tx, agreement.organization_id, invoice_id, lock=True)
    earlier = store.of_invoice(tx, agreement.organization_id, invoice_id)
    number, billed = next((index, each) for index, each in enumerate(bill.fees) if each.fee_id == fee_id)
    share = unused_share(agreement, nominal, billed.fee.period)
    if share is None:
        return NOTHING_BILLED
    note = notes.credit_unused(creditable(bill, earlier), number, share, bill.invoice.currency, resolution)
    if note is None or not note.total_cents:
        return NOTHING_BILLED
    given = _keep(deps, tx, bill, _given(bill, _within_open(bill, note), reason, "", at, earlier=earlier))
    return Billed(
        credit_amount_cents=given.note.credit_cents,
        refund_amount_cents=given.note.refund_cents,
        offset_amount_cents=given.note.offset_cents,
    )


def _within_open(bill: Bill, note: CreditNote) -> CreditNote:
    """The note with no more taken off the invoice than is open; the rest goes to the balance."""
    open_cents = bill.invoice.totals.total_cents - bill.invoice.paid_cents
    offset_cents = min(note.offset_cents, open_cents)
    return replace(note, offset_cents=offset_cents, credit_cents=note.credit_cents + note.offset_cents - offset_cents)


def void_credit_note(deps: Deps, tx: Connection, organization: OrganizationId, credit_note_id: str) -> GivenCredit:
    """Take back what is left of a credit note's balance.

    Raises:
        NotFoundError: `CREDIT_NOTE_UNKNOWN`.
        FailedPreconditionError: `CREDIT_NOTE_VOIDED`, `CREDIT_NOTE_USED_UP`.
    """
    given = store.credit_note(tx, organization, credit_note_id, lock=True)
    voided = replace(given.moved(notes.void(given.note)), voided_at=now_of(deps, tx, organization))
    store.save(tx, voided)
    return voided


def give_back_voided(tx: Connection, deps: Deps, bill: Bill, at: datetime) -> GivenCredit | None:
    """A credit note over what was paid of an invoice that is being taken back; None when nothing was."""
    earlier = store.of_invoice(tx, bill.organization_id, bill.invoice.invoice_id)
    known = creditable(bill, earlier)
    items = [
        CreditItem(number, left)
        for number, each in enumerate(known.fees)
        if (left := bill.invoice.currency.to_major(each.fee.amount_cents) - each.credited_amount) > Decimal(0)
    ]
    given_back = sum(each.note.refund_cents + each.note.offset_cents for each in earlier)
    paid_cents = bill.invoice.paid_cents - given_back
    if not items or paid_cents <= 0:
        return None
    note = notes.credit(known, items, bill.invoice.currency)
    note = replace(note, credit_cents=min(note.total_cents, paid_cents))
    given = _given(bill, note, CreditReason.OTHER, "the invoice was voided", at, earlier=earlier)
    return _keep(deps, tx, bill, given)


def _given(
    bill: Bill,
    note: CreditNote,
    reason: CreditReason,
    description: str,
    at: datetime,
    *,
    earlier: Sequence[GivenCredit] | None,
) -> GivenCredit:
    """The record of a note; without `earlier` ones it is only an estimate."""
    return GivenCredit(
        organization_id=bill.organization_id,
        credit_note_id="" if earlier is None else new_id(),
        invoice_id=bill.invoice.invoice_id,
        invoice_number=bill.invoice.number or "",
        sequence=0 if earlier is None else len(earlier) + 1,
        customer_id=bill.invoice.customer_id,
        external_customer_id=bill.customer.external_id,
        currency=bill.invoice.currency,
        reason=reason,
        description=description,
        note=note,
        fee_ids=tuple(bill.fees[item.fee_number].fee_id for item in note.items),
        created_at=at,
    )


def _keep(deps: Deps, tx: Connection, bill: Bill, given: GivenCredit) -> GivenCredit:
    """Keep a new note; what it takes off the open invoice counts as paid."""
    store.insert(tx, given)
    if given.note.offset_cents:
        settled = bill.moved(invoices.record_payment(bill.invoice, given.note.offset_cents))
        invoice_store.save(tx, [settled])
        deps.announce(tx, InvoiceChanged(bill.organization_id, settled))
    return given

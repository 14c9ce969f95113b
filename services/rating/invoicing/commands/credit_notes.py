"""Credit notes: money given back on an invoice: on request, for unused days, or because the invoice is voided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy.engine import Connection

from services.kernel.errors import FailedPreconditionError, InvalidArgumentError
from services.kernel.ids import FeeId, OrganizationId, new_id
from services.kernel.period import Period
from services.rating.agreements.agreement import Agreement
from services.rating.agreements.billing_outcome import NOTHING_BILLED, BillingOutcome
from services.rating.agreements.resolution import Resolution
from services.rating.deps import Deps
from services.rating.invoicing.billing_run import unused_share
from services.rating.invoicing.credit_amounts import CreditAmounts, CreditItem, credit, credit_unused
from services.rating.invoicing.credit_note import CreditNote, CreditReason, creditable, void
from services.rating.invoicing.events import InvoiceChanged
from services.rating.invoicing.invoice import Invoice, InvoiceState, record_payment
from services.rating.invoicing.store import credit_notes as store
from services.rating.invoicing.store import invoices as invoice_store
from services.rating.organizations.clock_store import now_of
from services.rating.shared.limits import MAX_DESCRIPTION, require_metadata, require_text
from services.rating.shared.metadata import MetadataEdit

# More than the fees that a person would pick one by one.
MAX_ITEMS = 1000


@dataclass(frozen=True, slots=True)
class CreditWanted:
    """The request for a credit note.

    Attributes:
        invoice_id: the invoice.
        items: fees and amounts without taxes, in minor units.
        reason, description: why it is given back.
        credit_amount_cents, refund_amount_cents, offset_amount_cents: where the total with taxes goes.
        is_estimate: whether this only previews the amounts of the items; the three amounts may then be 0.
    """

    invoice_id: str
    items: tuple[tuple[FeeId, int], ...]
    reason: CreditReason = CreditReason.OTHER
    description: str = ""
    credit_amount_cents: int = 0
    refund_amount_cents: int = 0
    offset_amount_cents: int = 0
    is_estimate: bool = False

    @property
    def is_distributed(self) -> bool:
        """Whether it says where the total goes."""
        return bool(self.credit_amount_cents or self.refund_amount_cents or self.offset_amount_cents)


def create_credit_note(deps: Deps, tx: Connection, organization: OrganizationId, wanted: CreditWanted) -> CreditNote:
    """Give money back on a finalized invoice, or preview the amounts of the items.

    Raises:
        NotFoundError: `INVOICE_UNKNOWN`.
        InvalidArgumentError: the items, or where their total goes, are wrong.
        FailedPreconditionError: `INVOICE_NOT_FINALIZED`, `CREDIT_EXCEEDS_FEE`, `CREDIT_EXCEEDS_PAYMENT`.
    """
    require_text("description", wanted.description, MAX_DESCRIPTION)
    invoice = invoice_store.invoice(tx, organization, wanted.invoice_id, lock=True)
    if invoice.state is InvoiceState.DRAFT:
        raise FailedPreconditionError("INVOICE_NOT_FINALIZED", "a draft is refreshed, not credited")
    earlier = store.of_invoice(tx, organization, invoice.invoice_id)
    amounts = credit(creditable(invoice, earlier), _items(invoice, wanted), invoice.currency)
    at = now_of(deps, tx, organization)
    estimate = _estimate(invoice, amounts, wanted.reason, wanted.description, at)
    if wanted.is_estimate and not wanted.is_distributed:
        return replace(estimate, amounts=_most(invoice, amounts, earlier))
    _check_distribution(invoice, amounts, wanted, earlier)
    distributed = replace(
        amounts,
        credit_amount_cents=wanted.credit_amount_cents,
        refund_amount_cents=wanted.refund_amount_cents,
        offset_amount_cents=wanted.offset_amount_cents,
    )
    return _keep(deps, tx, invoice, replace(estimate, amounts=distributed), earlier)


def _items(invoice: Invoice, wanted: CreditWanted) -> list[CreditItem]:
    if not 1 <= len(wanted.items) <= MAX_ITEMS:
        raise InvalidArgumentError.of_field("items", "value_is_invalid", f"has 1 to {MAX_ITEMS} entries")
    position = {fee.fee_id: number for number, fee in enumerate(invoice.fees)}
    items = []
    for index, (fee_id, amount_cents) in enumerate(wanted.items):
        if fee_id not in position:
            raise InvalidArgumentError.of_field(f"items[{index}].fee_id", "value_is_invalid", "is not on the invoice")
        if amount_cents <= 0:
            raise InvalidArgumentError.of_field(f"items[{index}].amount_cents", "value_is_invalid", "is more than zero")
        items.append(CreditItem(position[fee_id], invoice.currency.to_major(amount_cents)))
    return items


def _check_distribution(
    invoice: Invoice, amounts: CreditAmounts, wanted: CreditWanted, earlier: Sequence[CreditNote]
) -> None:
    """Refuse a total that does not go, or cannot go, where it was requested to go."""
    parts = {
        "credit_amount_cents": wanted.credit_amount_cents,
        "refund_amount_cents": wanted.refund_amount_cents,
        "offset_amount_cents": wanted.offset_amount_cents,
    }
    for field, amount_cents in parts.items():
        if amount_cents < 0:
            raise InvalidArgumentError.of_field(field, "value_is_out_of_range", "is zero or more")
    if sum(parts.values()) != amounts.total_amount_cents:
        raise InvalidArgumentError.of_field(
            "credit_amount_cents", "value_is_invalid", f"and refund and offset sum to {amounts.total_amount_cents}"
        )
    if wanted.refund_amount_cents > received_amount_cents(invoice, earlier):
        raise FailedPreconditionError("CREDIT_EXCEEDS_PAYMENT", "more than was paid cannot be paid back")
    if wanted.offset_amount_cents > invoice.open_amount_cents:
        raise FailedPreconditionError("CREDIT_EXCEEDS_OPEN", "more than is open cannot be taken off the invoice")


def _most(invoice: Invoice, amounts: CreditAmounts, earlier: Sequence[CreditNote]) -> CreditAmounts:
    """The amounts with the most that may be paid back, and the most that may be taken off the invoice."""
    total = amounts.total_amount_cents
    return replace(
        amounts,
        refund_amount_cents=min(total, received_amount_cents(invoice, earlier)),
        offset_amount_cents=min(total, invoice.open_amount_cents),
    )


def received_amount_cents(invoice: Invoice, notes: Sequence[CreditNote]) -> int:
    """The part of an invoice that was paid and not paid back yet, in minor units.

    An offset lowers what is open like a payment, but brought no money.
    """
    moved = sum(note.amounts.refund_amount_cents + note.amounts.offset_amount_cents for note in notes)
    return max(0, invoice.paid_amount_cents - moved)


def credit_unused_base(
    deps: Deps,
    tx: Connection,
    agreement: Agreement,
    at: datetime,
    nominal: Period | None,
    resolution: Resolution,
    reason: CreditReason,
) -> BillingOutcome:
    """Give back the days of a base price that were billed in advance and will not be used.

    A draft that holds them has been finalized before, so what it bills is credited here. `nominal` is the plan's period
    that was cut (`billing_run.cut_period`), or None.
    """
    if nominal is None or resolution is Resolution.NONE:
        return NOTHING_BILLED
    billed = invoice_store.base_fee_within(tx, agreement.organization_id, agreement.subscription_id, nominal)
    if billed is None:
        return NOTHING_BILLED
    invoice_id, fee_id = billed
    invoice = invoice_store.invoice(tx, agreement.organization_id, invoice_id, lock=True)
    earlier = store.of_invoice(tx, agreement.organization_id, invoice_id)
    number, fee = next(
        (index, invoice_fee) for index, invoice_fee in enumerate(invoice.fees) if invoice_fee.fee_id == fee_id
    )
    share = unused_share(agreement, nominal, fee.fee.period)
    if share is None:
        return NOTHING_BILLED
    amounts = credit_unused(creditable(invoice, earlier), number, share, invoice.currency, resolution)
    if amounts is None or not amounts.total_amount_cents:
        return NOTHING_BILLED
    note = _keep(deps, tx, invoice, _estimate(invoice, _within_open(invoice, amounts), reason, "", at), earlier)
    return BillingOutcome(
        credit_amount_cents=note.amounts.credit_amount_cents,
        refund_amount_cents=note.amounts.refund_amount_cents,
        offset_amount_cents=note.amounts.offset_amount_cents,
    )


def _within_open(invoice: Invoice, amounts: CreditAmounts) -> CreditAmounts:
    """The amounts, with no more taken off the invoice than is open; the rest goes to the balance."""
    offset = min(amounts.offset_amount_cents, invoice.open_amount_cents)
    rest = amounts.offset_amount_cents - offset
    return replace(amounts, offset_amount_cents=offset, credit_amount_cents=amounts.credit_amount_cents + rest)


def credit_payment(
    deps: Deps, tx: Connection, invoice: Invoice, earlier: Sequence[CreditNote], at: datetime
) -> CreditNote | None:
    """A credit note for the part of a voided invoice that was paid and not given back yet; None if there is none."""
    known = creditable(invoice, earlier)
    items = [
        CreditItem(number, left)
        for number, fee in enumerate(known.fees)
        if (left := invoice.currency.to_major(fee.fee.amount_cents) - fee.credited_amount) > 0
    ]
    left_amount_cents = received_amount_cents(invoice, earlier) - sum(note.given_amount_cents for note in earlier)
    if not items or left_amount_cents <= 0:
        return None
    amounts = credit(known, items, invoice.currency)
    amounts = replace(amounts, credit_amount_cents=min(amounts.total_amount_cents, left_amount_cents))
    note = _estimate(invoice, amounts, CreditReason.OTHER, "the invoice was voided", at)
    return _keep(deps, tx, invoice, note, earlier)


def edit_metadata(tx: Connection, organization: OrganizationId, credit_note_id: str, edit: MetadataEdit) -> CreditNote:
    """Change the metadata of a credit note, which is locked meanwhile.

    Raises:
        NotFoundError: `CREDIT_NOTE_UNKNOWN`.
        InvalidArgumentError: the metadata would be too much.
    """
    note = store.credit_note(tx, organization, credit_note_id, lock=True)
    changed = replace(note, metadata=edit.apply(note.metadata))
    require_metadata("metadata", changed.metadata)
    store.save_metadata(tx, changed)
    return changed


def void_credit_note(deps: Deps, tx: Connection, organization: OrganizationId, credit_note_id: str) -> CreditNote:
    """Take back what is left of a credit note's balance.

    Raises:
        NotFoundError: `CREDIT_NOTE_UNKNOWN`.
        FailedPreconditionError: `CREDIT_NOTE_VOIDED`, `CREDIT_NOTE_USED_UP`.
    """
    note = store.credit_note(tx, organization, credit_note_id, lock=True)
    voided = void(note, at=now_of(deps, tx, organization))
    store.save(tx, [voided])
    return voided


def _estimate(
    invoice: Invoice, amounts: CreditAmounts, reason: CreditReason, description: str, at: datetime
) -> CreditNote:
    """A note that is not stored, and therefore has neither identity nor number."""
    return CreditNote(
        organization_id=invoice.organization_id,
        credit_note_id="",
        invoice_id=invoice.invoice_id,
        invoice_number=invoice.number or "",
        sequence=0,
        customer_id=invoice.customer_id,
        external_customer_id=invoice.customer.external_id,
        currency=invoice.currency,
        reason=reason,
        description=description,
        amounts=amounts,
        fee_ids=tuple(invoice.fees[item.fee_number].fee_id for item in amounts.items),
        created_at=at,
        timezone=invoice.timezone,
    )


def _keep(
    deps: Deps, tx: Connection, invoice: Invoice, estimate: CreditNote, earlier: Sequence[CreditNote]
) -> CreditNote:
    """Store a new note; what it takes off the open invoice counts as paid."""
    note = replace(estimate, credit_note_id=new_id(), sequence=len(earlier) + 1)
    store.insert(tx, note)
    if note.amounts.offset_amount_cents:
        settled = record_payment(invoice, note.amounts.offset_amount_cents)
        invoice_store.save(tx, [settled])
        deps.announce(tx, InvoiceChanged(invoice.organization_id, settled))
    return note

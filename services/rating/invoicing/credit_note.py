"""Credit notes: money given back on an invoice, with identity, reason, and the ids of the fees."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType

from services.kernel.cadence import local_date
from services.kernel.errors import FailedPreconditionError
from services.kernel.ids import CustomerId, FeeId, InvoiceId, OrganizationId
from services.kernel.money import ZERO, Currency
from services.rating.invoicing import credit_amounts
from services.rating.invoicing.credit_amounts import CreditableFee, CreditableInvoice, CreditAmounts, CreditNoteState
from services.rating.invoicing.invoice import Invoice, InvoiceState

# As many decimals of a rate as people are shown.
RATE_DECIMALS = 5


class CreditState(StrEnum):
    """The state of a credit note's credit."""

    AVAILABLE = "available"
    CONSUMED = "consumed"
    VOIDED = "voided"


_EMPTY: Mapping[str, str] = MappingProxyType({})


class CreditReason(StrEnum):
    """Why money is given back."""

    DUPLICATED_CHARGE = "duplicated_charge"
    PRODUCT_UNSATISFACTORY = "product_unsatisfactory"
    ORDER_CHANGE = "order_change"
    ORDER_CANCELLATION = "order_cancellation"
    FRAUDULENT_CHARGE = "fraudulent_charge"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class CreditNote:
    """Money given back on an invoice.

    Attributes:
        organization_id: the organization it belongs to.
        credit_note_id: its identity; empty while it is only estimated.
        invoice_id, invoice_number: the invoice.
        sequence: 1 for the invoice's first; 0 while it is only estimated.
        customer_id, external_customer_id: the customer who gets it.
        currency: the currency of every amount.
        reason, description: why it is given.
        amounts: how much, and where it goes.
        fee_ids: the credited fees, in the order of the amounts' items.
        created_at: when it was given.
        voided_at: when it was voided: the unused rest is no longer available.
        timezone: the zone in which the invoice's days are counted.
        metadata: free text by key.
    """

    organization_id: OrganizationId
    credit_note_id: str
    invoice_id: InvoiceId
    invoice_number: str
    sequence: int
    customer_id: CustomerId
    external_customer_id: str
    currency: Currency
    reason: CreditReason
    description: str
    amounts: CreditAmounts
    fee_ids: tuple[FeeId, ...]
    created_at: datetime
    voided_at: datetime | None = None
    timezone: str = "UTC"
    metadata: Mapping[str, str] = field(default_factory=lambda: _EMPTY)

    @property
    def number(self) -> str:
        """The number for people; empty while it is only estimated."""
        return f"{self.invoice_number}-CN{self.sequence}" if self.sequence else ""

    @property
    def credit_state(self) -> CreditState | None:
        """The state of its credit; None if nothing of it reduces later invoices."""
        if not self.amounts.credit_amount_cents:
            return None
        if self.is_voided:
            return CreditState.VOIDED
        return CreditState.AVAILABLE if self.amounts.balance_amount_cents else CreditState.CONSUMED

    @property
    def taxes_rate_percent(self) -> Decimal:
        """The rate of all its taxes together; it may hold fees with several rates, so the amounts are what counts."""
        if not self.amounts.sub_total_amount_cents:
            return ZERO
        share = Decimal(self.amounts.taxes_amount_cents) / Decimal(self.amounts.sub_total_amount_cents)
        return round(share.scaleb(2), RATE_DECIMALS)

    @property
    def issuing_date(self) -> date:
        """The day on which it was given, in the customer's zone."""
        return local_date(self.created_at, self.timezone)

    @property
    def is_voided(self) -> bool:
        """Whether nothing of it may be used any more."""
        return self.amounts.state is CreditNoteState.VOIDED

    @property
    def given_amount_cents(self) -> int:
        """The amount that it gave to the customer's balance, without a voided rest, in minor units."""
        return self.amounts.used_amount_cents + self.amounts.balance_amount_cents

    @property
    def coupons_adjustment_amount_cents(self) -> int:
        """The coupons' share that is taken back with the items, in minor units."""
        return sum(self.amounts.item_amounts_cents) - self.amounts.sub_total_amount_cents


def void(note: CreditNote, *, at: datetime) -> CreditNote:
    """The credit note after it was voided, without its unused rest.

    Raises:
        FailedPreconditionError: `CREDIT_NOTE_VOIDED`, or `CREDIT_NOTE_USED_UP` if nothing is left.
    """
    return replace(note, amounts=credit_amounts.void(note.amounts), voided_at=at)


def take_back(notes: Sequence[CreditNote], left_amount_cents: int, *, at: datetime) -> list[CreditNote]:
    """The credit notes that change when their invoice is voided: together they keep at most `left_amount_cents`.

    The newest lose their balance first. If nothing of the invoice was paid, nothing is left.

    Raises:
        FailedPreconditionError: `CREDIT_NOTE_USED`, later invoices have used more than that.
    """
    excess = sum(note.given_amount_cents for note in notes) - left_amount_cents
    changed = []
    for note in sorted(notes, key=lambda note: note.sequence, reverse=True):
        balance = note.amounts.balance_amount_cents
        if excess <= 0 or not balance:
            continue
        taken = min(balance, excess)
        excess -= taken
        changed.append(
            void(note, at=at) if taken == balance else replace(note, amounts=credit_amounts.use(note.amounts, taken))
        )
    if excess > 0:
        raise FailedPreconditionError(
            "CREDIT_NOTE_USED", "later invoices have used credit that was given on this one", amount_cents=excess
        )
    return changed


def creditable(invoice: Invoice, earlier: Iterable[CreditNote]) -> CreditableInvoice:
    """An invoice as credit notes need it, with what earlier ones have given back."""
    given = list(earlier)
    credited: dict[FeeId, Decimal] = {}
    for note in given:
        for fee_id, item in zip(note.fee_ids, note.amounts.items, strict=True):
            credited[fee_id] = credited.get(fee_id, ZERO) + item.precise_amount
    totals = invoice.totals
    return CreditableInvoice(
        fees=tuple(CreditableFee(fee.fee, fee.coupons_amount, credited.get(fee.fee_id, ZERO)) for fee in invoice.fees),
        sub_total_amount_cents=totals.sub_total_amount_cents,
        taxes_amount_cents=totals.taxes_amount_cents,
        paid_amount_cents=invoice.paid_amount_cents,
        credited_sub_total_amount_cents=sum(note.amounts.sub_total_amount_cents for note in given),
        credited_taxes_amount_cents=sum(note.amounts.taxes_amount_cents for note in given),
        is_voided=invoice.state is InvoiceState.VOIDED,
    )

"""Credit notes as they are kept: with identity, reason and the fees by id."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from services.kernel.ids import CustomerId, FeeId, InvoiceId, OrganizationId
from services.kernel.money import ZERO, Currency
from services.rating.invoicing.bill import Bill
from services.rating.invoicing.credit_note import CreditableInvoice, CreditNote, InvoicedFee
from services.rating.invoicing.invoice import InvoiceState


class CreditReason(StrEnum):
    """Why money is given back."""

    DUPLICATED_CHARGE = "duplicated_charge"
    PRODUCT_UNSATISFACTORY = "product_unsatisfactory"
    ORDER_CHANGE = "order_change"
    ORDER_CANCELLATION = "order_cancellation"
    FRAUDULENT_CHARGE = "fraudulent_charge"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class GivenCredit:
    """A credit note as it is kept.

    Attributes:
        organization_id: owner.
        credit_note_id: its identity; empty while it is only estimated.
        invoice_id, invoice_number: the invoice.
        sequence: 1 for the invoice's first; 0 while it is only estimated.
        customer_id, external_customer_id: who gets it.
        currency: of every amount.
        reason, description: why.
        note: the amounts.
        fee_ids: the credited fees, in the order of the note's items.
        created_at: when it was given.
        voided_at: when what was left of it was taken back.
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
    note: CreditNote
    fee_ids: tuple[FeeId, ...]
    created_at: datetime
    voided_at: datetime | None = None

    @property
    def number(self) -> str:
        """The number for people; empty while it is only estimated."""
        return f"{self.invoice_number}-CN{self.sequence}" if self.sequence else ""

    @property
    def coupons_adjustment_cents(self) -> int:
        """The coupons' share that is taken back with the items, in minor units."""
        return sum(self.note.item_cents) - self.note.sub_total_cents

    def moved(self, note: CreditNote) -> GivenCredit:
        """The credit note after a verb moved it."""
        return replace(self, note=note)


def creditable(bill: Bill, earlier: Iterable[GivenCredit]) -> CreditableInvoice:
    """An invoice as credit notes see it, with what earlier ones have given back."""
    given = list(earlier)
    credited: dict[FeeId, Decimal] = {}
    for each in given:
        for fee_id, item in zip(each.fee_ids, each.note.items, strict=True):
            credited[fee_id] = credited.get(fee_id, ZERO) + item.precise_amount
    totals = bill.invoice.totals
    return CreditableInvoice(
        fees=tuple(InvoicedFee(each.fee, each.coupon_amount, credited.get(each.fee_id, ZERO)) for each in bill.fees),
        sub_total_cents=totals.sub_total_cents,
        taxes_cents=totals.taxes_cents,
        paid_cents=bill.invoice.paid_cents,
        credited_sub_total_cents=sum(each.note.sub_total_cents for each in given),
        credited_taxes_cents=sum(each.note.taxes_cents for each in given),
        is_voided=bill.invoice.state is InvoiceState.VOIDED,
    )

"""What a verb of a subscription did to the money."""

from __future__ import annotations

from dataclasses import dataclass

from services.kernel.ids import InvoiceId


@dataclass(frozen=True, slots=True)
class BillingOutcome:
    """The invoices and credits that result from a start, an end or a change. Amounts are in minor units.

    Attributes:
        invoice_ids: the invoices it made.
        due_amount_cents: what is due now, before taxes.
        credit_amount_cents: what is credited for the unused part of a base price paid in advance.
        refund_amount_cents: what is refunded instead of credited.
        offset_amount_cents: what is taken off an unpaid invoice.
    """

    invoice_ids: tuple[InvoiceId, ...] = ()
    due_amount_cents: int = 0
    credit_amount_cents: int = 0
    refund_amount_cents: int = 0
    offset_amount_cents: int = 0

    def __add__(self, other: BillingOutcome) -> BillingOutcome:
        return BillingOutcome(
            self.invoice_ids
            + tuple(invoice_id for invoice_id in other.invoice_ids if invoice_id not in self.invoice_ids),
            self.due_amount_cents + other.due_amount_cents,
            self.credit_amount_cents + other.credit_amount_cents,
            self.refund_amount_cents + other.refund_amount_cents,
            self.offset_amount_cents + other.offset_amount_cents,
        )


NOTHING_BILLED = BillingOutcome()

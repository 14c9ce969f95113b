"""Payments: money that was received for an invoice, as somebody reported it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from services.kernel.checks import inside
from services.kernel.errors import AlreadyExistsError
from services.kernel.ids import CustomerId, InvoiceId, OrganizationId
from services.kernel.money import Currency
from services.rating.shared.limits import MAX_NAME, require_text


@dataclass(frozen=True, slots=True)
class Payment:
    """Money that was received for an invoice. All payments and set-off credit notes come to what is paid of it.

    Attributes:
        payment_id: its identity.
        organization_id: the organization it belongs to.
        invoice_id, invoice_number: the invoice.
        customer_id, external_customer_id: who paid, by Farebox id and by the organization's.
        currency: the invoice's currency.
        sequence: 1 for the first payment of the invoice.
        amount_cents: how much, in minor units.
        reference: what the organization calls it, unique on the invoice; empty if it gave no name.
        paid_at: when it was received.
        created_at: when it was reported.
    """

    payment_id: str
    organization_id: OrganizationId
    invoice_id: InvoiceId
    invoice_number: str
    customer_id: CustomerId
    external_customer_id: str
    currency: Currency
    sequence: int
    amount_cents: int
    reference: str
    paid_at: datetime
    created_at: datetime

    @property
    def receipt_number(self) -> str:
        """The number of its receipt."""
        return f"{self.invoice_number}-P{self.sequence}"

    def require_same(self, reported: ReportedPayment) -> None:
        """Refuse another report under the same reference.

        Raises:
            AlreadyExistsError: `PAYMENT_REFERENCE_REUSED`.
        """
        if reported.amount_cents not in {0, self.amount_cents} or reported.paid_at not in {None, self.paid_at}:
            raise AlreadyExistsError(
                "PAYMENT_REFERENCE_REUSED",
                "another payment of this invoice has the reference",
                field="reference",
                payment_id=self.payment_id,
            )


@dataclass(frozen=True, slots=True)
class ReportedPayment:
    """What somebody reports of a payment.

    Attributes:
        amount_cents: how much, in minor units; 0 means all that is open.
        reference: what the organization calls it; a repeat with the same one is the same payment. Empty for no name.
        paid_at: when it was received; None means now.
    """

    amount_cents: int = 0
    reference: str = ""
    paid_at: datetime | None = None

    def check(self, now: datetime) -> None:
        """Refuse a payment that lies ahead, or a reference that is too long; the InvalidArgumentError names them."""
        with inside() as checks:
            checks(require_text, "reference", self.reference, MAX_NAME)
            if self.paid_at is not None and self.paid_at > now:
                checks.refuse("paid_at", "value_is_out_of_range", "lies ahead")

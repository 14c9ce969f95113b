"""Invoices as the tests of their verbs need them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from services.kernel.ids import CustomerId, FeeId, InvoiceId, OrganizationId
from services.kernel.money import currency
from services.rating.customers.customer import Customer
from services.rating.invoicing.invoice import Invoice, InvoiceKind
from services.rating.invoicing.invoice_fee import InvoiceFee
from services.rating.pricing.fee import Fee

EUR = currency("EUR")


def draft_at(at: datetime) -> Invoice:
    """A draft in euros without fees, made at an instant."""
    customer = Customer(CustomerId("c"), "acme", 1, at, at)
    return Invoice(
        invoice_id=InvoiceId("i"),
        organization_id=OrganizationId("o"),
        kind=InvoiceKind.SUBSCRIPTION,
        customer=customer,
        currency=EUR,
        timezone="UTC",
        created_at=at,
        grace_ends_at=at,
        issuing_date=at.date(),
        payment_due_date=at.date(),
    )


def on_invoice(fees: Sequence[Fee]) -> tuple[InvoiceFee, ...]:
    """Fees, each with an identity, as on an invoice."""
    return tuple(InvoiceFee(FeeId(str(number)), fee) for number, fee in enumerate(fees))

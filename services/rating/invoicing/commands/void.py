"""Voiding: a finalized invoice is taken back, with what it used and what was given on it."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy.engine import Connection

from services.kernel.ids import OrganizationId
from services.rating.catalog.store.coupons import give_back_applied
from services.rating.deps import Deps
from services.rating.invoicing import invoice as verbs
from services.rating.invoicing.commands.credit_notes import credit_payment, received_amount_cents
from services.rating.invoicing.credit_note import CreditNote, take_back
from services.rating.invoicing.events import InvoiceChanged
from services.rating.invoicing.invoice import Invoice
from services.rating.invoicing.store import credit_notes
from services.rating.invoicing.store import invoices as store
from services.rating.organizations.clock_store import now_of


def void_invoice(
    deps: Deps, tx: Connection, organization: OrganizationId, invoice_id: str, *, generate_credit_note: bool = False
) -> tuple[Invoice, CreditNote | None]:
    """Void a finalized invoice, which keeps its number. Coupons and credit notes get back what it used of them.

    Credit notes that were given on it keep no more in the customer's balance than was paid for it. Its billing periods
    stay settled: later changes of their usage are adjusted, not billed again.

    Raises:
        NotFoundError: `INVOICE_UNKNOWN`.
        FailedPreconditionError: `INVOICE_NOT_FINALIZED`, `INVOICE_PAID` if something was paid and no credit note is
            requested, or `CREDIT_NOTE_USED` if later invoices have used more credit than was paid.
    """
    invoice = store.invoice(tx, organization, invoice_id, lock=True)
    at = now_of(deps, tx, organization)
    unpaid = replace(invoice, paid_amount_cents=0) if generate_credit_note else invoice
    voided = replace(verbs.void(unpaid, at=at), paid_amount_cents=invoice.paid_amount_cents)
    give_back_applied(tx, organization, invoice.customer_id, invoice.totals.coupons)
    earlier = credit_notes.of_invoice(tx, organization, invoice.invoice_id, lock=True)
    credit_notes.save(tx, take_back(earlier, received_amount_cents(invoice, earlier), at=at))
    notes = credit_notes.of_invoice(tx, organization, invoice.invoice_id)
    given = credit_payment(deps, tx, invoice, notes, at) if generate_credit_note else None
    store.save(tx, [voided])
    credit_notes.use(
        tx, organization, {balance.balance_id: -balance.amount_cents for balance in invoice.totals.credit_notes}
    )
    deps.announce(tx, InvoiceChanged(organization, voided))
    return voided, given

"""Payments: what is known of the money that an invoice asks for."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy.engine import Connection

from services.kernel.errors import InvalidArgumentError
from services.kernel.ids import OrganizationId
from services.rating.deps import Deps
from services.rating.invoicing import invoice as verbs
from services.rating.invoicing.events import InvoiceChanged
from services.rating.invoicing.invoice import Invoice, InvoiceState, PaymentState
from services.rating.invoicing.store import invoices as store


def record_payment(
    deps: Deps,
    tx: Connection,
    organization: OrganizationId,
    invoice_id: str,
    payment_state: PaymentState,
    amount_cents: int = 0,
) -> Invoice:
    """Record that an invoice, or a part, was paid, that a payment failed, or that it is pending again after a failure.

    Args:
        deps: what commands need.
        tx: the caller's transaction.
        organization: the organization whose invoice it is.
        invoice_id: the invoice.
        payment_state: the outcome of the payment.
        amount_cents: the paid amount, in minor units; 0 means all that is open.

    Raises:
        NotFoundError: `INVOICE_UNKNOWN`.
        InvalidArgumentError: an amount is given although nothing was paid.
        FailedPreconditionError: `INVOICE_NOT_FINALIZED`, `INVOICE_PAID`, `PAYMENT_EXCEEDS_INVOICE`.
    """
    if amount_cents and payment_state is not PaymentState.SUCCEEDED:
        raise InvalidArgumentError.of_field("amount_cents", "value_is_invalid", "is for payments that succeeded")
    invoice = store.invoice(tx, organization, invoice_id, lock=True)
    if invoice.state is InvoiceState.FINALIZED and invoice.payment_state is payment_state and not amount_cents:
        return invoice
    if payment_state is PaymentState.SUCCEEDED:
        moved = verbs.record_payment(invoice, amount_cents or invoice.open_amount_cents)
    else:
        moved = replace(verbs.record_failed_payment(invoice), payment_state=payment_state)
    store.save(tx, [moved])
    deps.announce(tx, InvoiceChanged(organization, moved))
    return moved

"""Payments: what is known of the money that an invoice asks for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy.engine import Connection

from services.kernel.errors import InvalidArgumentError
from services.kernel.ids import OrganizationId, new_id
from services.rating.deps import Deps
from services.rating.invoicing import invoice as verbs
from services.rating.invoicing.events import InvoiceChanged
from services.rating.invoicing.invoice import Invoice, InvoiceState, PaymentState
from services.rating.invoicing.payment import Payment, ReportedPayment
from services.rating.invoicing.store import invoices as store
from services.rating.invoicing.store import payments
from services.rating.organizations.clock_store import now_of


@dataclass(frozen=True, slots=True)
class Recorded:
    """An invoice after a report, and the payment; None if nothing was paid."""

    invoice: Invoice
    payment: Payment | None = None


def record_payment(
    deps: Deps,
    tx: Connection,
    organization: OrganizationId,
    invoice_id: str,
    payment_state: PaymentState,
    reported: ReportedPayment,
) -> Recorded:
    """Record that an invoice, or a part, was paid, that a payment failed, or that it is pending again after a failure.

    The invoice is locked, so that payments at the same time come one after the other and never to more than it asks
    for. A payment that was reported before under the same reference is answered as it is.

    Raises:
        NotFoundError: `INVOICE_UNKNOWN`.
        InvalidArgumentError: names what is wrong, or what is given although nothing was paid.
        AlreadyExistsError: `PAYMENT_REFERENCE_REUSED`.
        FailedPreconditionError: `INVOICE_NOT_FINALIZED`, `INVOICE_PAID`, `PAYMENT_EXCEEDS_INVOICE`.
    """
    _require_paid(payment_state, reported)
    invoice = store.invoice(tx, organization, invoice_id, lock=True)
    now = now_of(deps, tx, organization)
    reported.check(now)
    known = payments.find_by_reference(tx, organization, invoice.invoice_id, reported.reference)
    if known is not None:
        known.require_same(reported)
        return Recorded(invoice, known)
    if invoice.state is InvoiceState.FINALIZED and invoice.payment_state is payment_state and not reported.amount_cents:
        return Recorded(invoice)
    if payment_state is PaymentState.SUCCEEDED:
        amount_cents = reported.amount_cents or invoice.open_amount_cents
        moved = verbs.record_payment(invoice, amount_cents)
        payment = _payment(tx, moved, replace(reported, amount_cents=amount_cents), now)
        payments.insert(tx, payment)
    else:
        moved, payment = replace(verbs.record_failed_payment(invoice), payment_state=payment_state), None
    store.save(tx, [moved])
    deps.announce(tx, InvoiceChanged(organization, moved))
    return Recorded(moved, payment)


def lose_dispute(deps: Deps, tx: Connection, organization: OrganizationId, invoice_id: str) -> Invoice:
    """Record that a dispute about an invoice's payment was lost: it is neither overdue nor revenue any more.

    Raises:
        NotFoundError: `INVOICE_UNKNOWN`.
        FailedPreconditionError: `INVOICE_NOT_FINALIZED`.
    """
    invoice = store.invoice(tx, organization, invoice_id, lock=True)
    moved = verbs.lose_dispute(invoice, at=now_of(deps, tx, organization))
    if moved != invoice:
        store.save(tx, [moved])
        deps.announce(tx, InvoiceChanged(organization, moved))
    return moved


def _require_paid(payment_state: PaymentState, reported: ReportedPayment) -> None:
    """Refuse what is said of a payment although nothing was paid."""
    if payment_state is not PaymentState.SUCCEEDED and reported != ReportedPayment():
        said = (
            ("amount_cents", reported.amount_cents),
            ("reference", reported.reference),
            ("paid_at", reported.paid_at),
        )
        field = next(name for name, value in said if value)
        raise InvalidArgumentError.of_field(field, "value_is_invalid", "is for payments that succeeded")


def _payment(tx: Connection, invoice: Invoice, reported: ReportedPayment, now: datetime) -> Payment:
    return Payment(
        payment_id=new_id(),
        organization_id=invoice.organization_id,
        invoice_id=invoice.invoice_id,
        invoice_number=invoice.number or "",
        customer_id=invoice.customer_id,
        external_customer_id=invoice.customer.external_id,
        currency=invoice.currency,
        sequence=payments.next_sequence(tx, invoice.organization_id, invoice.invoice_id),
        amount_cents=reported.amount_cents,
        reference=reported.reference,
        paid_at=reported.paid_at or now,
        created_at=now,
    )

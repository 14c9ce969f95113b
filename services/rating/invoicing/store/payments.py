"""Payments in SQL."""

from __future__ import annotations

from typing import Any

from sqlalchemy.engine import Connection, Row

from services.chassis.newest_first import NewestFirst, read_newest, within
from services.chassis.page import Listed, Page
from services.kernel.errors import NotFoundError
from services.kernel.ids import CustomerId, InvoiceId, OrganizationId, uuid_or_none
from services.kernel.money import CURRENCIES
from services.rating.invoicing.payment import Payment

_COLUMNS = (
    "p.organization_id::text, p.payment_id::text, p.invoice_id::text, i.number AS invoice_number, p.customer_id::text, "
    "u.external_id AS external_customer_id, i.currency, p.sequence, p.amount_cents, p.reference, p.paid_at, "
    "p.created_at"
)
_SOURCE = (
    "payments p JOIN invoices i USING (organization_id, invoice_id) "
    "JOIN customers u ON u.organization_id = p.organization_id AND u.id = p.customer_id"
)
_LIST = NewestFirst(
    _COLUMNS,
    f"{_SOURCE} WHERE p.organization_id = %(organization)s",
    "p.payment_id",
    customer="p.customer_id = (SELECT c.id FROM customers c WHERE c.organization_id = p.organization_id "
    "AND c.external_id = %(customer)s)",
    invoice="p.invoice_id = %(invoice)s::uuid",
)


def insert(tx: Connection, payment: Payment) -> None:
    """Store a new payment."""
    tx.exec_driver_sql(
        "INSERT INTO payments (organization_id, payment_id, invoice_id, customer_id, sequence, amount_cents, "
        "reference, paid_at, created_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            payment.organization_id,
            payment.payment_id,
            payment.invoice_id,
            payment.customer_id,
            payment.sequence,
            payment.amount_cents,
            payment.reference,
            payment.paid_at,
            payment.created_at,
        ),
    )


def next_sequence(tx: Connection, organization: OrganizationId, invoice: InvoiceId) -> int:
    """The number of the next payment of a locked invoice."""
    found: int = tx.exec_driver_sql(
        "SELECT count(*) + 1 FROM payments WHERE organization_id = %s AND invoice_id = %s", (organization, invoice)
    ).scalar_one()
    return found


def payment(tx: Connection, organization: OrganizationId, payment_id: str) -> Payment:
    """The payment with this Farebox id.

    Raises:
        NotFoundError: `PAYMENT_UNKNOWN`.
    """
    row = None
    if uuid_or_none(payment_id) is not None:
        row = tx.exec_driver_sql(
            f"SELECT {_COLUMNS} FROM {_SOURCE} WHERE p.organization_id = %s AND p.payment_id = %s",
            (organization, payment_id),
        ).first()
    if row is None:
        raise NotFoundError("PAYMENT_UNKNOWN", "no payment has this id", payment_id=payment_id)
    return _payment(row)


def find_by_reference(
    tx: Connection, organization: OrganizationId, invoice: InvoiceId, reference: str
) -> Payment | None:
    """The payment of an invoice with this reference, or None; an empty reference names none."""
    row = tx.exec_driver_sql(
        f"SELECT {_COLUMNS} FROM {_SOURCE} WHERE p.organization_id = %s AND p.invoice_id = %s AND p.reference = %s "
        "AND p.reference <> ''",
        (organization, invoice, reference),
    ).first()
    return _payment(row) if row is not None else None


def list_payments(
    tx: Connection, organization: OrganizationId, page: Page, *, external_customer_id: str, invoice_id: str
) -> Listed[Payment]:
    """Payments, newest first; of a customer or an invoice, if one is named."""
    values = {
        **within(page),
        "organization": organization,
        "customer": external_customer_id,
        "invoice": invoice_id,
    }
    return read_newest(tx, _LIST.rows.text(values), _LIST.count.text(values), values, page).map(_payment)


def _payment(row: Row[Any]) -> Payment:
    return Payment(
        payment_id=row.payment_id,
        organization_id=OrganizationId(row.organization_id),
        invoice_id=InvoiceId(row.invoice_id),
        invoice_number=row.invoice_number,
        customer_id=CustomerId(row.customer_id),
        external_customer_id=row.external_customer_id,
        currency=CURRENCIES[row.currency],
        sequence=row.sequence,
        amount_cents=row.amount_cents,
        reference=row.reference,
        paid_at=row.paid_at,
        created_at=row.created_at,
    )

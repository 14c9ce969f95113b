"""Lists of invoices and of fees, newest first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy.engine import Connection

from services.chassis.page import Listed, Page
from services.kernel.errors import InvalidArgumentError
from services.kernel.ids import InvoiceId, OrganizationId, SubscriptionId, uuid_or_none
from services.rating.invoicing.invoice import Invoice, InvoiceState, PaymentState
from services.rating.invoicing.invoice_fee import InvoiceFee
from services.rating.invoicing.store.invoices import invoices_by_id, invoices_of
from services.rating.invoicing.store.rows import FEE_SELECT, INVOICE_SELECT, fee_of_row


@dataclass(frozen=True, slots=True)
class InvoicesWanted:
    """Which invoices; every filter that is set must hold.

    Attributes:
        external_customer_id: only this customer's.
        states, payment_states: only in these; empty for all.
        issued_from, issued_until: only issued on or between these days.
        subscription_id: only with this subscription on it.
    """

    external_customer_id: str = ""
    states: tuple[InvoiceState, ...] = ()
    payment_states: tuple[PaymentState, ...] = ()
    issued_from: date | None = None
    issued_until: date | None = None
    subscription_id: SubscriptionId | None = None


def list_of_invoices(
    tx: Connection, organization: OrganizationId, wanted: InvoicesWanted, page: Page
) -> Listed[Invoice]:
    """Invoices, newest first."""
    conditions, values = ["i.organization_id = %s"], [organization]

    def where(condition: str, value: Any) -> None:
        if value:
            conditions.append(condition)
            values.append(value)

    where("i.customer->>'external_id' = %s", wanted.external_customer_id)
    where("i.state = ANY(%s)", [str(each) for each in wanted.states])
    where("i.payment_state = ANY(%s)", [str(each) for each in wanted.payment_states])
    where("i.issuing_date >= %s", wanted.issued_from)
    where("i.issuing_date <= %s", wanted.issued_until)
    where("%s::uuid = ANY(i.subscription_ids)", wanted.subscription_id)
    where("i.invoice_id < %s::uuid", _after(page))
    invoices = invoices_of(
        tx,
        f"SELECT {INVOICE_SELECT} FROM invoices i WHERE {' AND '.join(conditions)} "
        "ORDER BY i.invoice_id DESC OFFSET %s LIMIT %s",
        (*values, page.skip, page.size + 1),
    )
    return Listed.of(invoices, page, lambda invoice: (invoice.invoice_id,))


@dataclass(frozen=True, slots=True)
class FeesWanted:
    """Which fees; every filter that is set must hold."""

    external_customer_id: str = ""
    external_subscription_id: str = ""
    metric_code: str = ""
    fee_id: str = ""


def list_fees(
    tx: Connection, organization: OrganizationId, wanted: FeesWanted, page: Page
) -> Listed[tuple[Invoice, InvoiceFee]]:
    """Fees across invoices, newest first, each with its invoice."""
    conditions, values = ["f.organization_id = %s"], [organization]

    def where(condition: str, value: str) -> None:
        if value:
            conditions.append(condition)
            values.append(OrganizationId(value))

    where("i.customer->>'external_id' = %s", wanted.external_customer_id)
    where(
        "f.subscription_id IN (SELECT s.id FROM subscriptions s WHERE s.organization_id = f.organization_id "
        "AND s.external_id = %s)",
        wanted.external_subscription_id,
    )
    where("f.metric_code = %s", wanted.metric_code)
    where("f.fee_id::text = %s", wanted.fee_id)
    where("f.fee_id < %s::uuid", _after(page))
    rows = tx.exec_driver_sql(
        f"SELECT {FEE_SELECT} FROM fees f JOIN invoices i USING (organization_id, invoice_id) "
        f"WHERE {' AND '.join(conditions)} ORDER BY f.fee_id DESC OFFSET %s LIMIT %s",
        (*values, page.skip, page.size + 1),
    ).all()
    listed = Listed.of(rows, page, lambda row: (row.fee_id,))
    invoices = invoices_by_id(tx, organization, {InvoiceId(row.invoice_id) for row in listed.items})
    return listed.map(lambda row: (invoices[InvoiceId(row.invoice_id)], fee_of_row(row)))


def _after(page: Page) -> str:
    """The id that a page follows."""
    if page.after and uuid_or_none(page.after[0]) is None:
        raise InvalidArgumentError.of_field("page.page_token", "value_is_invalid", "is not a token of this list")
    return page.after[0] if page.after else ""

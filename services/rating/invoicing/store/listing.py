"""Lists of invoices and of fees, newest first."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from itertools import accumulate
from typing import Any

from sqlalchemy.engine import Connection

from services.chassis.page import Listed, Page
from services.chassis.statement import Filtered
from services.kernel.errors import InvalidArgumentError
from services.kernel.ids import InvoiceId, OrganizationId, SubscriptionId, uuid_or_none
from services.rating.invoicing.invoice import Invoice, InvoiceState, PaymentState
from services.rating.invoicing.invoice_fee import InvoiceFee
from services.rating.invoicing.store.invoices import invoices_by_id
from services.rating.invoicing.store.rows import FEE_SELECT, fee_of_row

_PAGE = "OFFSET %(skip)s LIMIT %(limit)s"
# Fees of a page of invoices, so that it is some 4 to 20 MB however many groups their usage falls into; a page ends
# before it has more, unless its first invoice alone does.
MAX_FEES_OF_PAGE = 10_000
_INVOICES = Filtered(
    "SELECT i.invoice_id::text AS invoice_id, (SELECT count(*) FROM fees f WHERE f.organization_id = i.organization_id "
    "AND f.invoice_id = i.invoice_id) AS fee_count FROM invoices i "
    f"WHERE i.organization_id = %(organization)s {{filters}} ORDER BY i.invoice_id DESC {_PAGE}",
    customer="i.customer->>'external_id' = %(customer)s",
    states="i.state = ANY(%(states)s)",
    payment_states="i.payment_state = ANY(%(payment_states)s)",
    issued_from="i.issuing_date >= %(issued_from)s",
    issued_until="i.issuing_date <= %(issued_until)s",
    subscription="%(subscription)s::uuid = ANY(i.subscription_ids)",
    after="i.invoice_id < %(after)s::uuid",
)
_FEES = Filtered(
    f"SELECT {FEE_SELECT} FROM fees f JOIN invoices i USING (organization_id, invoice_id) "
    f"WHERE f.organization_id = %(organization)s {{filters}} ORDER BY f.fee_id DESC {_PAGE}",
    customer="i.customer->>'external_id' = %(customer)s",
    subscription="f.subscription_id IN (SELECT s.id FROM subscriptions s "
    "WHERE s.organization_id = f.organization_id AND s.external_id = %(subscription)s)",
    metric="f.metric_code = %(metric)s",
    fee="f.fee_id::text = %(fee)s",
    after="f.fee_id < %(after)s::uuid",
)


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
    """Invoices, newest first. A page of invoices with very many fees is shorter than asked for."""
    values = {
        **_span(organization, page),
        "customer": wanted.external_customer_id,
        "states": [str(state) for state in wanted.states],
        "payment_states": [str(state) for state in wanted.payment_states],
        "issued_from": wanted.issued_from,
        "issued_until": wanted.issued_until,
        "subscription": wanted.subscription_id,
    }
    rows = tx.exec_driver_sql(_INVOICES.text(values), values).all()
    fees_so_far = accumulate(row.fee_count for row in rows)
    fitting = sum(fee_count <= MAX_FEES_OF_PAGE for fee_count in fees_so_far)
    listed = Listed.of(rows, replace(page, size=max(1, min(page.size, fitting))), lambda row: (row.invoice_id,))
    invoices = invoices_by_id(tx, organization, [InvoiceId(row.invoice_id) for row in listed.items])
    return listed.map(lambda row: invoices[InvoiceId(row.invoice_id)])


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
    """Fees across invoices, newest first, each with the head of its invoice."""
    values = {
        **_span(organization, page),
        "customer": wanted.external_customer_id,
        "subscription": wanted.external_subscription_id,
        "metric": wanted.metric_code,
        "fee": wanted.fee_id,
    }
    rows = tx.exec_driver_sql(_FEES.text(values), values).all()
    listed = Listed.of(rows, page, lambda row: (row.fee_id,))
    ids = {InvoiceId(row.invoice_id) for row in listed.items}
    invoices = invoices_by_id(tx, organization, ids, with_fees=False)
    return listed.map(lambda row: (invoices[InvoiceId(row.invoice_id)], fee_of_row(row)))


def _span(organization: OrganizationId, page: Page) -> dict[str, Any]:
    """Whose list it is, and which part of it."""
    return {"organization": organization, "after": _after(page), "skip": page.skip, "limit": page.size + 1}


def _after(page: Page) -> str:
    """The id that a page follows."""
    if page.after and uuid_or_none(page.after[0]) is None:
        raise InvalidArgumentError.of_field("page.page_token", "value_is_invalid", "is not a token of this list")
    return page.after[0] if page.after else ""

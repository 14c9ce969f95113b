"""Lists of invoices and of fees, newest first."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime
from itertools import accumulate

from sqlalchemy.engine import Connection

from services.chassis.newest_first import NewestFirst, read_newest, within
from services.chassis.page import Listed, Page
from services.kernel.ids import InvoiceId, OrganizationId, SubscriptionId
from services.rating.invoicing.invoice import Invoice, InvoiceKind, InvoiceState, PaymentState
from services.rating.invoicing.invoice_fee import InvoiceFee
from services.rating.invoicing.store.invoices import invoices_by_id
from services.rating.invoicing.store.rows import FEE_SELECT, fee_of_row
from services.rating.pricing.fee import FeeKind

# How many fees a page of invoices has, so that it is some 4 to 20 MB however many groups their usage falls into. A page
# ends before it has more, unless its first invoice alone does.
MAX_FEES_OF_PAGE = 10_000
OF_CUSTOMER = (
    "i.customer_id = (SELECT c.id FROM customers c WHERE c.organization_id = i.organization_id "
    "AND c.external_id = %(customer)s)"
)
_OPEN = "i.state = 'finalized' AND i.total_amount_cents > i.paid_amount_cents AND i.dispute_lost_at IS NULL"
# The day is the customer's; the first half lets the index be used, since no zone is a day behind another.
OVERDUE = (
    f"({_OPEN} AND i.payment_due_date <= %(at)s::timestamptz::date + 1 "
    "AND i.payment_due_date < (%(at)s::timestamptz AT TIME ZONE i.timezone)::date)"
)
_INVOICES = NewestFirst(
    "i.invoice_id::text AS invoice_id, (SELECT count(*) FROM fees f WHERE f.organization_id = i.organization_id "
    "AND f.invoice_id = i.invoice_id) AS fee_count",
    "invoices i WHERE i.organization_id = %(organization)s",
    "i.invoice_id",
    customer=OF_CUSTOMER,
    states="i.state = ANY(%(states)s)",
    payment_states="i.payment_state = ANY(%(payment_states)s)",
    kinds="i.kind = ANY(%(kinds)s)",
    issued_from="i.issuing_date >= %(issued_from)s",
    issued_until="i.issuing_date <= %(issued_until)s",
    currency="i.currency = %(currency)s",
    amount_from="i.total_amount_cents >= %(amount_from)s",
    amount_until="i.total_amount_cents <= %(amount_until)s",
    overdue=OVERDUE,
    not_overdue=f"NOT {OVERDUE}",
    # The customer's invoices are found by an index; among them, the subscription's are found by searching.
    subscription="i.customer_id = (SELECT s.customer_id FROM subscriptions s "
    "WHERE s.organization_id = i.organization_id AND s.id = %(subscription)s) "
    "AND %(subscription)s::uuid = ANY(i.subscription_ids)",
)


def _on_invoice(condition: str) -> str:
    """What must hold of a fee's invoice; not a join, which would be made for each fee that is counted only."""
    return (
        "EXISTS (SELECT FROM invoices i WHERE i.organization_id = f.organization_id AND i.invoice_id = f.invoice_id "
        f"AND {condition})"
    )


_FEES = NewestFirst(
    FEE_SELECT,
    "fees f WHERE f.organization_id = %(organization)s",
    "f.fee_id",
    customer=_on_invoice(OF_CUSTOMER),
    subscription="f.subscription_id IN (SELECT s.id FROM subscriptions s "
    "WHERE s.organization_id = f.organization_id AND s.external_id = %(subscription)s)",
    metric="f.metric_code = %(metric)s",
    fee="f.fee_id = %(fee)s::uuid",
    invoice="f.invoice_id = %(invoice)s::uuid",
    kinds="f.kind = ANY(%(kinds)s)",
    currency=_on_invoice("i.currency = %(currency)s"),
    payment_states=_on_invoice("i.state = 'finalized' AND i.payment_state = ANY(%(payment_states)s)"),
    created_from=_on_invoice("i.created_at >= %(created_from)s"),
    created_until=_on_invoice("i.created_at <= %(created_until)s"),
)


@dataclass(frozen=True, slots=True)
class InvoicesWanted:
    """The filters of a list of invoices; every filter that is set must hold.

    Attributes:
        external_customer_id: only this customer's.
        states, payment_states, kinds: only in these; empty means all.
        issued_from, issued_until: only issued between these days, inclusive.
        subscription_id: only with this subscription on it.
        currency: only in this currency.
        is_overdue: True for overdue ones, False for the others; None for both.
        amount_from_cents, amount_until_cents: only with a total between these, inclusive, in minor units.
        without_fees: whether to leave out the fees.
    """

    external_customer_id: str = ""
    states: tuple[InvoiceState, ...] = ()
    payment_states: tuple[PaymentState, ...] = ()
    issued_from: date | None = None
    issued_until: date | None = None
    subscription_id: SubscriptionId | None = None
    currency: str = ""
    kinds: tuple[InvoiceKind, ...] = ()
    is_overdue: bool | None = None
    amount_from_cents: int | None = None
    amount_until_cents: int | None = None
    without_fees: bool = False


def list_of_invoices(
    tx: Connection, organization: OrganizationId, wanted: InvoicesWanted, page: Page, at: datetime
) -> Listed[Invoice]:
    """Invoices, newest first; `at` decides which are overdue.

    A page of invoices with very many fees is shorter than requested.
    """
    values = {
        **within(page),
        "organization": organization,
        "at": at,
        "customer": wanted.external_customer_id,
        "states": [str(state) for state in wanted.states],
        "payment_states": [str(state) for state in wanted.payment_states],
        "kinds": [str(kind) for kind in wanted.kinds],
        "issued_from": wanted.issued_from,
        "issued_until": wanted.issued_until,
        "currency": wanted.currency,
        "amount_from": wanted.amount_from_cents,
        "amount_until": wanted.amount_until_cents,
        "overdue": wanted.is_overdue or None,
        "not_overdue": wanted.is_overdue is False or None,
        "subscription": wanted.subscription_id,
    }
    listed = read_newest(tx, _INVOICES.rows.text(values), _INVOICES.count.text(values), values, page)
    if not wanted.without_fees:
        fees_so_far = accumulate(row.fee_count for row in listed.items)
        fitting = max(1, sum(fee_count <= MAX_FEES_OF_PAGE for fee_count in fees_so_far))
        if fitting < len(listed.items):
            short = replace(page, size=fitting)
            listed = Listed.of(listed.items, short, lambda row: (row.page_key,), total=listed.total)
    ids = [InvoiceId(row.invoice_id) for row in listed.items]
    invoices = invoices_by_id(tx, organization, ids, with_fees=not wanted.without_fees)
    return listed.map(lambda row: invoices[InvoiceId(row.invoice_id)])


@dataclass(frozen=True, slots=True)
class FeesWanted:
    """The filters of a list of fees; every filter that is set must hold.

    Attributes:
        external_customer_id, external_subscription_id: only this customer's, only this subscription's.
        metric_code: only of this metric.
        fee_id, invoice_id: only this one, only on this invoice.
        currency: only in this currency.
        kinds: only for these; empty means all.
        payment_states: only on finalized invoices in these payment states; empty means all.
        created_from, created_until: only made between these instants, inclusive.
    """

    external_customer_id: str = ""
    external_subscription_id: str = ""
    metric_code: str = ""
    fee_id: str = ""
    invoice_id: str = ""
    currency: str = ""
    kinds: tuple[FeeKind, ...] = ()
    payment_states: tuple[PaymentState, ...] = ()
    created_from: datetime | None = None
    created_until: datetime | None = None


def list_fees(
    tx: Connection, organization: OrganizationId, wanted: FeesWanted, page: Page
) -> Listed[tuple[Invoice, InvoiceFee]]:
    """Fees across invoices, newest first, each with the head of its invoice."""
    values = {
        **within(page),
        "organization": organization,
        "customer": wanted.external_customer_id,
        "subscription": wanted.external_subscription_id,
        "metric": wanted.metric_code,
        "fee": wanted.fee_id,
        "invoice": wanted.invoice_id,
        "kinds": [str(kind) for kind in wanted.kinds],
        "currency": wanted.currency,
        "payment_states": [str(state) for state in wanted.payment_states],
        "created_from": wanted.created_from,
        "created_until": wanted.created_until,
    }
    listed = read_newest(tx, _FEES.rows.text(values), _FEES.count.text(values), values, page)
    ids = {InvoiceId(row.invoice_id) for row in listed.items}
    invoices = invoices_by_id(tx, organization, ids, with_fees=False)
    return listed.map(lambda row: (invoices[InvoiceId(row.invoice_id)], fee_of_row(row)))

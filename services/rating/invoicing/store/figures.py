"""Figures over many invoices and subscriptions in SQL."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from sqlalchemy.engine import Connection, Row

from services.chassis.statement import Filtered
from services.kernel.ids import InvoiceId, OrganizationId, PlanId
from services.rating.invoicing.figures import Figures, MonthlyFigure, Movement
from services.rating.invoicing.invoice import PaymentState
from services.rating.invoicing.store.listing import OF_CUSTOMER, OVERDUE

# How many invoices an overdue balance names; all of them are a list of its own.
MAX_NAMED_INVOICES = 1000
_CURRENCY = "i.currency = %(currency)s"
_ISSUED = "i.organization_id = %(organization)s AND i.state = 'finalized' AND i.issuing_date >= %(since)s"
_MONTH = "date_trunc('month', i.issuing_date)::date"
_GROSS_REVENUE = Filtered(
    f"SELECT {_MONTH} AS month, i.currency, sum(i.total_amount_cents - coalesce(r.refund_amount_cents, 0))::bigint "
    "AS amount_cents, count(*) AS invoice_count, '' AS metric_code, '' AS payment_state, '{}'::text[] AS invoice_ids "
    "FROM invoices i LEFT JOIN LATERAL (SELECT sum(c.refund_amount_cents) AS refund_amount_cents FROM credit_notes c "
    "WHERE c.organization_id = i.organization_id AND c.invoice_id = i.invoice_id) AS r ON true "
    "WHERE " + _ISSUED + " AND i.dispute_lost_at IS NULL {filters} GROUP BY 1, 2 ORDER BY 1, 2",
    customer=OF_CUSTOMER,
    currency=_CURRENCY,
)
_COLLECTION = Filtered(
    f"SELECT {_MONTH} AS month, i.currency, sum(i.total_amount_cents)::bigint AS amount_cents, "
    "count(*) AS invoice_count, '' AS metric_code, i.payment_state, '{}'::text[] AS invoice_ids "
    "FROM invoices i WHERE " + _ISSUED + " {filters} GROUP BY 1, 2, 6 ORDER BY 1, 2, 6",
    customer=OF_CUSTOMER,
    currency=_CURRENCY,
)
_USAGE = Filtered(
    f"SELECT {_MONTH} AS month, i.currency, sum(f.amount_cents)::bigint AS amount_cents, 0 AS invoice_count, "
    "f.metric_code, '' AS payment_state, '{}'::text[] AS invoice_ids "
    "FROM invoices i JOIN fees f ON f.organization_id = i.organization_id AND f.invoice_id = i.invoice_id "
    "WHERE " + _ISSUED + " AND f.kind IN ('charge', 'adjustment') AND f.metric_code IS NOT NULL {filters} "
    "GROUP BY 1, 2, 5 ORDER BY 1, 2, 5",
    customer=OF_CUSTOMER,
    currency=_CURRENCY,
)
_OVERDUE = Filtered(
    "SELECT date_trunc('month', i.payment_due_date)::date AS month, i.currency, "
    "sum(i.total_amount_cents - i.paid_amount_cents)::bigint AS amount_cents, count(*) AS invoice_count, "
    "'' AS metric_code, '' AS payment_state, "
    f"(array_agg(i.invoice_id::text ORDER BY i.invoice_id DESC))[1:{MAX_NAMED_INVOICES}] AS invoice_ids "
    "FROM invoices i WHERE i.organization_id = %(organization)s AND " + OVERDUE + " {filters} "
    "GROUP BY 1, 2 ORDER BY 1, 2",
    customer=OF_CUSTOMER,
    currency=_CURRENCY,
)
# Each subscription once, however many months are wanted: where its revenue begins, and where it ends.
_MOVEMENTS = Filtered(
    "WITH held AS (SELECT s.plan_id, s.ended_at, greatest(s.starts_at, "
    "s.first_started_at + make_interval(days => (p.content->>'trial_days')::int)) AS begins_at "
    "FROM subscriptions s JOIN plans p ON p.organization_id = s.organization_id AND p.id = s.plan_id "
    "WHERE s.organization_id = %(organization)s AND s.state IN ('active', 'terminated') {filters}) "
    "SELECT plan_id::text, greatest(date_trunc('month', begins_at AT TIME ZONE %(timezone)s)::date, %(since)s::date) "
    "AS month, count(*) AS moved FROM held WHERE begins_at <= %(at)s AND (ended_at IS NULL OR begins_at < ended_at) "
    "GROUP BY 1, 2 UNION ALL "
    "SELECT plan_id::text, greatest(date_trunc('month', ended_at AT TIME ZONE %(timezone)s)::date, %(since)s::date), "
    "-count(*) FROM held WHERE begins_at < ended_at AND begins_at <= %(at)s GROUP BY 1, 2",
    currency="p.currency = %(currency)s",
)


def figures_of_invoices(
    tx: Connection,
    organization: OrganizationId,
    wanted: Figures,
    *,
    since: date,
    at: datetime,
    currency: str,
    external_customer_id: str,
) -> list[MonthlyFigure]:
    """Figures of the invoices that were issued since a day; of overdue ones `at` an instant, whenever issued."""
    values = {
        "organization": organization,
        "since": since,
        "at": at,
        "currency": currency,
        "customer": external_customer_id,
    }
    match wanted:
        case Figures.GROSS_REVENUE:
            rows = tx.exec_driver_sql(_GROSS_REVENUE.text(values), values)
        case Figures.INVOICE_COLLECTION:
            rows = tx.exec_driver_sql(_COLLECTION.text(values), values)
        case Figures.INVOICED_USAGE:
            rows = tx.exec_driver_sql(_USAGE.text(values), values)
        case Figures.OVERDUE_BALANCE:
            rows = tx.exec_driver_sql(_OVERDUE.text(values), values)
        case Figures.RECURRING_REVENUE:
            raise ValueError("recurring revenue is of subscriptions, not of invoices")
    return [_figure(row) for row in rows]


def movements(
    tx: Connection, organization: OrganizationId, *, since: date, at: datetime, timezone: str, currency: str
) -> list[Movement]:
    """Starts and ends of subscriptions until an instant, by plan version and month; earlier ones in the first month."""
    values = {"organization": organization, "since": since, "at": at, "timezone": timezone, "currency": currency}
    rows = tx.exec_driver_sql(_MOVEMENTS.text(values), values)
    return [Movement(PlanId(row.plan_id), row.month, row.moved) for row in rows]


def _figure(row: Row[Any]) -> MonthlyFigure:
    return MonthlyFigure(
        month=row.month,
        currency=row.currency,
        amount_cents=row.amount_cents,
        invoice_count=row.invoice_count,
        metric_code=row.metric_code,
        payment_state=PaymentState(row.payment_state) if row.payment_state else None,
        invoice_ids=tuple(InvoiceId(invoice_id) for invoice_id in row.invoice_ids),
    )

"""Invoices: numbers without gaps, fees that sum to the total, taxes and credits that add up, and no later changes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from sqlalchemy.engine import Connection

from benchmarks.simulate.snapshot import Snapshots

_GAPS = """
SELECT organization_id::text AS name, count(*) AS kept, max(sequential_id) AS newest FROM invoices
WHERE state <> 'draft' GROUP BY 1 HAVING count(*) <> max(sequential_id) OR min(sequential_id) <> 1
"""
# The tax of each rate is rounded once for the whole invoice.
_TOTALS = """
WITH sums AS (
    SELECT f.organization_id, f.invoice_id, sum(f.amount_cents) AS fees,
        round(sum(f.amount_cents * coalesce((f.taxes->0->>'rate_percent')::numeric, 0)) / 100) AS taxes
    FROM fees f GROUP BY 1, 2)
SELECT i.invoice_id::text AS name, i.fees_amount_cents, s.fees, i.taxes_amount_cents, s.taxes, i.total_amount_cents
FROM invoices i JOIN sums s USING (organization_id, invoice_id)
WHERE i.fees_amount_cents <> s.fees OR i.taxes_amount_cents <> s.taxes OR i.total_amount_cents < 0
    OR i.coupons_amount_cents <> 0
    OR i.total_amount_cents <> i.fees_amount_cents + i.taxes_amount_cents - i.credit_notes_amount_cents
"""
_EMPTY = (
    "SELECT i.invoice_id::text FROM invoices i WHERE NOT EXISTS (SELECT 1 FROM fees f "
    "WHERE f.organization_id = i.organization_id AND f.invoice_id = i.invoice_id)"
)
_LATE_DRAFTS = "SELECT invoice_id::text FROM invoices WHERE state = 'draft' AND grace_ends_at <= %s"
_CREDITS = """
WITH used AS (
    SELECT customer_id, sum(credit_notes_amount_cents) AS cents FROM invoices WHERE state <> 'draft' GROUP BY 1),
given AS (SELECT customer_id, sum(used_amount_cents) AS cents FROM credit_notes GROUP BY 1)
SELECT customer_id::text AS name, used.cents AS used, given.cents AS given FROM used FULL JOIN given USING (customer_id)
WHERE coalesce(used.cents, 0) <> coalesce(given.cents, 0)
"""
_NOTES = """
SELECT number AS name FROM credit_notes
WHERE credit_amount_cents + refund_amount_cents + offset_amount_cents <> sub_total_amount_cents + taxes_amount_cents
    OR sub_total_amount_cents < 0
"""
# A closed period is on one invoice, which is made for it.
_CLOSED_TWICE = """
SELECT subscription_id::text AS name, period_start, count(*) AS invoices FROM (
    SELECT (terms->>'subscription_id')::uuid AS subscription_id, (terms->>'usage_start')::timestamptz AS period_start
    FROM invoices WHERE terms->>'usage_start' IS NOT NULL) made
GROUP BY 1, 2 HAVING count(*) > 1
"""
_NOT_ITS_OWN = """
SELECT p.subscription_id::text AS name, p.period_start FROM billing_periods p
LEFT JOIN invoices i ON i.organization_id = p.organization_id AND i.invoice_id = p.invoice_id
WHERE p.state = 'closed' AND p.invoice_id IS NOT NULL AND ((i.terms->>'subscription_id')::uuid IS DISTINCT FROM
    p.subscription_id OR (i.terms->>'usage_start')::timestamptz IS DISTINCT FROM p.period_start)
"""


def check_invoices(tx: Connection, now: datetime, snapshots: Snapshots) -> Iterator[str]:
    """Every law of invoices."""
    for row in tx.exec_driver_sql(_GAPS):
        yield f"organization {row.name} has {row.kept} numbers up to {row.newest}"
    for row in tx.exec_driver_sql(_TOTALS):
        yield f"invoice {row.name} does not add up: {row._asdict()}"
    for row in tx.exec_driver_sql(_EMPTY):
        yield f"invoice {row[0]} has no fee"
    for row in tx.exec_driver_sql(_LATE_DRAFTS, (now,)):
        yield f"invoice {row[0]} is a draft after its grace"
    for row in tx.exec_driver_sql(_CREDITS):
        yield f"customer {row.name} used {row.used} of credits on invoices, {row.given} by credit notes"
    for row in tx.exec_driver_sql(_NOTES):
        yield f"credit note {row.name} does not add up"
    for row in tx.exec_driver_sql(_CLOSED_TWICE):
        yield f"subscription {row.name}: the period of {row.period_start} is on {row.invoices} invoices"
    for row in tx.exec_driver_sql(_NOT_ITS_OWN):
        yield f"subscription {row.name}: the period of {row.period_start} points at another's invoice"
    for invoice in snapshots.changed():
        yield f"invoice {invoice} changed after it was finalized"

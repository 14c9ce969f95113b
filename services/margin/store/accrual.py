"""Accrued revenue: the newest revision of each subscription's billing period."""

from __future__ import annotations

from sqlalchemy.engine import Connection

from services.margin.domain.revenue import Accrual


def replace(tx: Connection, accrual: Accrual) -> bool:
    """Replace an earlier revision by an accrual; returns whether it was newer. Locks the accrual's row."""
    key = (accrual.organization_id, accrual.subscription_id, accrual.billing_period.start)
    newer = tx.exec_driver_sql(
        "INSERT INTO accruals (organization_id, subscription_id, period_start, period_end, revision, "
        "external_customer_id, plan_code, currency) VALUES (%s, %s, %s, %s, %s, %s, %s, %s) "
        "ON CONFLICT (organization_id, subscription_id, period_start) DO UPDATE SET period_end = excluded.period_end, "
        "revision = excluded.revision, external_customer_id = excluded.external_customer_id, "
        "plan_code = excluded.plan_code, currency = excluded.currency "
        "WHERE accruals.revision < excluded.revision RETURNING true",
        (
            *key,
            accrual.billing_period.end,
            accrual.revision,
            accrual.external_customer_id,
            accrual.plan_code,
            accrual.currency,
        ),
    ).first()
    if newer:
        _replace_entries(tx, accrual, key)
    return newer is not None


def _replace_entries(tx: Connection, accrual: Accrual, key: tuple[object, ...]) -> None:
    tx.exec_driver_sql(
        "DELETE FROM accrual_entries WHERE organization_id = %s AND subscription_id = %s AND period_start = %s", key
    )
    if not accrual.entries:
        return
    entries = accrual.entries
    tx.exec_driver_sql(
        "INSERT INTO accrual_entries (organization_id, subscription_id, period_start, position, kind, metric_code, "
        "span_start, span_end, amount, provider, model) SELECT %s::uuid, %s::uuid, %s::timestamptz, * FROM unnest("
        "%s::integer[], %s::text[], %s::text[], %s::timestamptz[], %s::timestamptz[], %s::numeric[], %s::text[], "
        "%s::text[])",
        (
            *key,
            list(range(len(entries))),
            [entry.kind.value for entry in entries],
            [entry.metric_code for entry in entries],
            [entry.period.start for entry in entries],
            [entry.period.end for entry in entries],
            [entry.amount for entry in entries],
            [entry.provider for entry in entries],
            [entry.model for entry in entries],
        ),
    )

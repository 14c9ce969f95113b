"""Alerts, as they are defined."""

from __future__ import annotations

from typing import Any

from sqlalchemy.engine import Connection, Row

from services.chassis.page import Page
from services.margin.domain.alert import Alert, AlertMetric

_COLUMNS = (
    "id, code, name, metric, external_customer_id, warning_threshold, critical_threshold, recovery_threshold, "
    "raise_after, clear_after, created_at"
)
_SELECTED = f"id::text, {_COLUMNS.removeprefix('id, ')}"


def add_once(tx: Connection, organization_id: str, alert: Alert) -> bool:
    """Add an alert; returns whether its code was free."""
    added = tx.exec_driver_sql(
        f"INSERT INTO alerts (organization_id, {_COLUMNS}) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) "
        "ON CONFLICT DO NOTHING RETURNING true",
        (
            organization_id,
            alert.id,
            alert.code,
            alert.name,
            alert.metric.value,
            alert.external_customer_id,
            alert.warning_threshold,
            alert.critical_threshold,
            alert.recovery_threshold,
            alert.raise_after,
            alert.clear_after,
            alert.created_at,
        ),
    ).first()
    return added is not None


def get(tx: Connection, organization_id: str, code: str) -> Alert | None:
    """The alert with this code, or None."""
    row = tx.exec_driver_sql(
        f"SELECT {_SELECTED} FROM alerts WHERE organization_id = %s AND code = %s", (organization_id, code)
    ).first()
    return _alert(row) if row else None


def page(tx: Connection, organization_id: str, wanted: Page) -> list[Alert]:
    """A page of an organization's alerts by code, with one more if the list continues."""
    rows = tx.exec_driver_sql(
        f"SELECT {_SELECTED} FROM alerts WHERE organization_id = %s AND code > %s ORDER BY code LIMIT %s OFFSET %s",
        (organization_id, wanted.after[0] if wanted.after else "", wanted.size + 1, wanted.skip),
    )
    return [_alert(row) for row in rows]


def remove(tx: Connection, organization_id: str, code: str) -> Alert | None:
    """Remove an alert and return it; None if there was none."""
    row = tx.exec_driver_sql(
        f"DELETE FROM alerts WHERE organization_id = %s AND code = %s RETURNING {_SELECTED}", (organization_id, code)
    ).first()
    return _alert(row) if row else None


def _alert(row: Row[Any]) -> Alert:
    return Alert(
        row.id,
        row.code,
        row.name,
        AlertMetric(row.metric),
        row.external_customer_id,
        row.warning_threshold,
        row.critical_threshold,
        row.recovery_threshold,
        row.raise_after,
        row.clear_after,
        row.created_at,
    )

"""The ledger of what was consumed, and the holds."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

from sqlalchemy.engine import Connection

from services.entitlements.domain.hold import Hold, HoldState
from services.kernel.ids import OrganizationId, new_id


def add(
    tx: Connection,
    organization: OrganizationId,
    key: tuple[str, str],
    units: Decimal,
    *,
    request_id: str,
    at: datetime,
    day: date,
    hold_id: str | None = None,
) -> None:
    """Record that units of a (subscription, feature) were consumed, on a local day of the customer."""
    tx.exec_driver_sql(
        "INSERT INTO consumptions (organization_id, consumption_id, subscription_id, feature_code, units, "
        "request_id, hold_id, consumed_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
        (organization, new_id(), *key, units, request_id, hold_id, at),
    )
    tx.exec_driver_sql(
        "INSERT INTO consumed_days AS d (organization_id, subscription_id, feature_code, day, units) "
        "VALUES (%s, %s, %s, %s, %s) ON CONFLICT (organization_id, subscription_id, feature_code, day) "
        "DO UPDATE SET units = d.units + excluded.units",
        (organization, *key, day, units),
    )


def add_hold(tx: Connection, organization: OrganizationId, hold: Hold, *, at: datetime) -> None:
    """Store a new hold; its entitlement row must be locked."""
    tx.exec_driver_sql(
        "INSERT INTO holds (organization_id, hold_id, subscription_id, feature_code, units, state, created_at, "
        "expires_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
        (
            organization,
            hold.id,
            hold.subscription_id,
            hold.feature_code,
            hold.units,
            hold.state,
            at,
            hold.expires_at,
        ),
    )


def find_hold(tx: Connection, organization: OrganizationId, hold_id: str) -> Hold | None:
    """A hold by its id."""
    row = tx.exec_driver_sql(
        "SELECT hold_id::text, subscription_id::text, feature_code, units, state, expires_at FROM holds "
        "WHERE organization_id = %s AND hold_id = %s",
        (organization, hold_id),
    ).first()
    return Hold(row[0], row[1], row[2], row[3], HoldState(row[4]), row[5]) if row else None


def settle_hold(tx: Connection, organization: OrganizationId, hold: Hold, *, at: datetime) -> None:
    """Store that a hold was committed or released; its entitlement row must be locked."""
    tx.exec_driver_sql(
        "UPDATE holds SET state = %s, settled_at = %s WHERE organization_id = %s AND hold_id = %s",
        (hold.state, at, organization, hold.id),
    )

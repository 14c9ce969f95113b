"""The ledger of what was consumed, and the holds. Whose rows are written, their entitlement row is locked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy.engine import Connection

from services.entitlements.domain.counting import Key, LedgerLine
from services.entitlements.domain.hold import Hold, HoldState
from services.kernel.ids import OrganizationId, new_id
from services.kernel.money import ZERO


class FoundHold(NamedTuple):
    """A hold, and whether its subscription is active."""

    hold: Hold
    is_active: bool


def add(tx: Connection, organization: OrganizationId, consumptions: Sequence[LedgerLine], *, at: datetime) -> None:
    """Write down what was consumed, and count it by the customer's local days."""
    if not consumptions:
        return
    tx.exec_driver_sql(
        "INSERT INTO consumptions (organization_id, consumption_id, subscription_id, feature_code, units, "
        "request_id, hold_id, consumed_at) SELECT %s::uuid, consumption_id, subscription_id, feature_code, units, "
        "request_id, hold_id, %s::timestamptz FROM unnest(%s::uuid[], %s::uuid[], %s::text[], %s::numeric[], "
        "%s::text[], %s::uuid[]) "
        "AS fresh (consumption_id, subscription_id, feature_code, units, request_id, hold_id)",
        (
            organization,
            at,
            [new_id() for _ in consumptions],
            [consumption.key[0] for consumption in consumptions],
            [consumption.key[1] for consumption in consumptions],
            [consumption.units for consumption in consumptions],
            [consumption.request_id for consumption in consumptions],
            [consumption.hold_id for consumption in consumptions],
        ),
    )
    days: defaultdict[tuple[Key, date], Decimal] = defaultdict(lambda: ZERO)
    for consumption in consumptions:
        days[consumption.key, consumption.day] += consumption.units
    tx.exec_driver_sql(
        "INSERT INTO consumed_days AS d (organization_id, subscription_id, feature_code, day, units) "
        "SELECT %s::uuid, * FROM unnest(%s::uuid[], %s::text[], %s::date[], %s::numeric[]) "
        "ON CONFLICT (organization_id, subscription_id, feature_code, day) "
        "DO UPDATE SET units = d.units + excluded.units",
        (
            organization,
            [key[0] for key, _ in days],
            [key[1] for key, _ in days],
            [day for _, day in days],
            list(days.values()),
        ),
    )


def add_holds(tx: Connection, organization: OrganizationId, holds: Sequence[Hold], *, at: datetime) -> None:
    """Store new holds."""
    if holds:
        tx.exec_driver_sql(
            "INSERT INTO holds (organization_id, hold_id, subscription_id, feature_code, units, state, created_at, "
            "expires_at) SELECT %s::uuid, hold_id, subscription_id, feature_code, units, state, %s::timestamptz, "
            "expires_at "
            "FROM unnest(%s::uuid[], %s::uuid[], %s::text[], %s::numeric[], %s::text[], %s::timestamptz[]) "
            "AS fresh (hold_id, subscription_id, feature_code, units, state, expires_at)",
            (
                organization,
                at,
                [hold.id for hold in holds],
                [hold.subscription_id for hold in holds],
                [hold.feature_code for hold in holds],
                [hold.units for hold in holds],
                [str(hold.state) for hold in holds],
                [hold.expires_at for hold in holds],
            ),
        )


def find_holds(tx: Connection, organization: OrganizationId, hold_ids: Sequence[str]) -> dict[str, FoundHold]:
    """Holds by their ids."""
    if not hold_ids:
        return {}
    rows = tx.exec_driver_sql(
        "SELECT h.hold_id::text, h.subscription_id::text, h.feature_code, h.units, h.state, h.expires_at, "
        "coalesce(s.state = 'active', false) FROM holds h LEFT JOIN subscriptions s "
        "ON s.organization_id = h.organization_id AND s.subscription_id = h.subscription_id "
        "WHERE h.organization_id = %s AND h.hold_id = ANY(%s::uuid[])",
        (organization, list(hold_ids)),
    )
    return {row[0]: FoundHold(Hold(row[0], row[1], row[2], row[3], HoldState(row[4]), row[5]), row[6]) for row in rows}


def settle_holds(tx: Connection, organization: OrganizationId, holds: Sequence[Hold], *, at: datetime) -> None:
    """Store that holds were committed or released."""
    if holds:
        tx.exec_driver_sql(
            "UPDATE holds h SET state = settled.state, settled_at = %s "
            "FROM unnest(%s::uuid[], %s::text[]) AS settled (hold_id, state) "
            "WHERE h.organization_id = %s AND h.hold_id = settled.hold_id",
            (at, [hold.id for hold in holds], [str(hold.state) for hold in holds], organization),
        )

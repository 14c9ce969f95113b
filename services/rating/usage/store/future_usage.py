"""Counted events that their subscription may still lose, one row for each until their period is closed.

They were ahead of their organization's time when they were counted, or their subscription had not begun. Every writer
and reader of these rows has locked the subscription's open billing period (store/periods.py) or, if there is none, its
own row: shared to count, exclusively to end or cancel the subscription, so that no event slips through.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
from sqlalchemy.engine import Connection, Row

from services.kernel.ids import OrganizationId, SubscriptionId
from services.rating.shared.bulk import rows_json, upsert_sql
from services.rating.shared.usage_log import UsageEntry
from services.rating.usage.aggregate import PeriodKey

# Numbers keep their digits in both directions.
_WRITE = msgspec.json.Encoder(decimal_format="number")
_READ = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal)
_KEEP = upsert_sql(
    "usage_ahead",
    {
        "organization_id": "uuid",
        "subscription_id": "uuid",
        "event_key": "uuid",
        "occurred_at": "timestamptz",
        "metric_code": "text",
        "transaction_id": "text",
        "properties": "text",
        "precise_amount_cents": "numeric",
        "shard": "smallint",
        "number": "bigint",
    },
    "organization_id, subscription_id, event_key",
    "DO NOTHING",
)
_DROP = """
DELETE FROM usage_ahead a USING json_to_recordset(%s::json)
    AS r(organization_id uuid, subscription_id uuid, event_key uuid)
WHERE a.organization_id = r.organization_id AND a.subscription_id = r.subscription_id AND a.event_key = r.event_key
"""
_FORGET = """
DELETE FROM usage_ahead a USING json_to_recordset(%s::json)
    AS r(organization_id uuid, subscription_id uuid, until timestamptz)
WHERE a.organization_id = r.organization_id AND a.subscription_id = r.subscription_id AND a.occurred_at < r.until
"""


def keep(tx: Connection, entries: Iterable[UsageEntry]) -> None:
    """Remember counted events that their subscription may still lose."""
    rows = [
        {
            **_identity(entry),
            "occurred_at": entry.occurred_at,
            "metric_code": entry.code,
            "transaction_id": entry.transaction_id,
            "properties": _WRITE.encode(entry.properties).decode(),
            "precise_amount_cents": entry.precise_amount_cents,
            "shard": entry.shard,
            "number": entry.number,
        }
        for entry in entries
    ]
    if rows:
        tx.exec_driver_sql(_KEEP, (rows_json(rows),))


def drop(tx: Connection, voids: Iterable[UsageEntry]) -> None:
    """Forget events that are voided."""
    rows = [_identity(entry) for entry in voids]
    if rows:
        tx.exec_driver_sql(_DROP, (rows_json(rows),))


def voids_from(
    tx: Connection, organization: OrganizationId, subscription: SubscriptionId, at: datetime
) -> list[UsageEntry]:
    """The remembered events of a subscription from an instant on, as entries that take them back."""
    rows = tx.exec_driver_sql(
        "SELECT organization_id::text, subscription_id::text, metric_code, transaction_id, event_key, occurred_at, "
        "properties, precise_amount_cents, shard, number FROM usage_ahead "
        "WHERE organization_id = %s AND subscription_id = %s AND occurred_at >= %s ORDER BY event_key",
        (organization, subscription, at),
    )
    return [_entry(row) for row in rows]


def forget(tx: Connection, ended: Mapping[PeriodKey, datetime]) -> None:
    """Forget events before the ends of these periods, which nothing can cut any more."""
    rows = [
        {"organization_id": key.organization_id, "subscription_id": key.subscription_id, "until": end}
        for key, end in ended.items()
    ]
    tx.exec_driver_sql(_FORGET, (rows_json(rows),))


def _identity(entry: UsageEntry) -> dict[str, Any]:
    return {
        "organization_id": entry.organization_id,
        "subscription_id": entry.subscription_id,
        "event_key": uuid.UUID(bytes=entry.event_key),
    }


def _entry(row: Row[Any]) -> UsageEntry:
    return UsageEntry(
        OrganizationId(row.organization_id),
        SubscriptionId(row.subscription_id),
        row.metric_code,
        row.transaction_id,
        row.event_key.bytes,
        is_void=True,
        occurred_at=row.occurred_at,
        properties=_READ.decode(row.properties),
        precise_amount_cents=row.precise_amount_cents,
        shard=row.shard,
        number=row.number,
    )

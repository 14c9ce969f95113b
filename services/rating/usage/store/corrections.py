"""What happened to events after their period was closed."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy.engine import Connection

from services.kernel.ids import OrganizationId, SubscriptionId
from services.rating.shared.bulk import rows_json, upsert_sql
from services.rating.shared.usage_log import UsageEntry
from services.rating.usage.aggregate import PeriodKey
from services.rating.usage.events_of_fee import Correction

_NOTE = upsert_sql(
    "usage_corrections",
    {
        "organization_id": "uuid",
        "subscription_id": "uuid",
        "period_start": "timestamptz",
        "metric_code": "text",
        "transaction_id": "text",
        "is_void": "boolean",
        "shard": "smallint",
        "number": "bigint",
    },
    "organization_id, subscription_id, period_start, metric_code, transaction_id, is_void",
    "DO NOTHING",
)


def note(tx: Connection, entries: Iterable[tuple[PeriodKey, UsageEntry]]) -> None:
    """Remember which entries came after their period was closed."""
    rows = [
        {
            **period._asdict(),
            "metric_code": entry.code,
            "transaction_id": entry.transaction_id,
            "is_void": entry.is_void,
            "shard": entry.shard,
            "number": entry.number,
        }
        for period, entry in entries
    ]
    if rows:
        tx.exec_driver_sql(_NOTE, (rows_json(rows),))


def of_metric(
    tx: Connection, organization: OrganizationId, subscriptions: Iterable[SubscriptionId], metric_code: str
) -> dict[str, Correction]:
    """The corrections of one metric of subscriptions, by transaction id, for any period."""
    rows = tx.exec_driver_sql(
        "SELECT transaction_id, max(number) FILTER (WHERE NOT is_void), max(number) FILTER (WHERE is_void) "
        "FROM usage_corrections WHERE organization_id = %s AND subscription_id = ANY(%s::uuid[]) "
        "AND metric_code = %s GROUP BY transaction_id",
        (organization, list(subscriptions), metric_code),
    )
    return {transaction_id: Correction(accepted, voided) for transaction_id, accepted, voided in rows}

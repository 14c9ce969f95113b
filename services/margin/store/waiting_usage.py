"""Usage events whose cost waits until their metric is announced."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy.engine import Connection

from services.margin.domain.projection import UsageEvent

_COLUMNS = "organization_id, transaction_id, external_customer_id, subscription_id, code, occurred_at, properties"


def add(tx: Connection, events: Sequence[UsageEvent]) -> None:
    """Let events wait; an event that waits already stays as it is."""
    if events:
        tx.exec_driver_sql(
            f"INSERT INTO waiting_usage ({_COLUMNS}) SELECT * FROM unnest(%s::uuid[], %s::text[], %s::text[], "
            "%s::uuid[], %s::text[], %s::timestamptz[], %s::bytea[]) ON CONFLICT DO NOTHING",
            (
                [event.organization_id for event in events],
                [event.transaction_id for event in events],
                [event.external_customer_id for event in events],
                [event.subscription_id for event in events],
                [event.code for event in events],
                [event.occurred_at for event in events],
                [event.properties for event in events],
            ),
        )


def take(tx: Connection, organization_id: str, code: str) -> list[UsageEvent]:
    """Take out the events that waited for a metric, in the order of their ids."""
    rows = tx.exec_driver_sql(
        "DELETE FROM waiting_usage WHERE organization_id = %s AND code = %s RETURNING organization_id::text, "
        "transaction_id, external_customer_id, subscription_id::text, code, occurred_at, properties",
        (organization_id, code),
    )
    events = (
        UsageEvent(
            row.organization_id,
            row.transaction_id,
            row.external_customer_id,
            row.subscription_id,
            row.code,
            row.occurred_at,
            bytes(row.properties),
        )
        for row in rows
    )
    return sorted(events, key=lambda event: event.transaction_id)


def remove(tx: Connection, keys: Iterable[tuple[str, str]]) -> None:
    """Forget events that were voided, by (organization, transaction id)."""
    wanted = sorted(keys)
    tx.exec_driver_sql(
        "DELETE FROM waiting_usage w USING unnest(%s::uuid[], %s::text[]) AS voided(organization, transaction_id) "
        "WHERE w.organization_id = organization AND w.transaction_id = voided.transaction_id",
        ([organization for organization, _ in wanted], [transaction_id for _, transaction_id in wanted]),
    )

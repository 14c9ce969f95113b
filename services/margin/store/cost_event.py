"""Cost events as they were sent, and the usage events that they name as parents."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.engine import Connection

from services.margin.domain.cost_event import CostEvent
from services.margin.domain.projection import UsageEvent


@dataclass(frozen=True)
class Owner:
    """Who an event belongs to.

    Attributes:
        external_customer_id: the customer by the organization's id; empty while unknown.
        subscription_id: UUID as text; None where unknown.
    """

    external_customer_id: str
    subscription_id: str | None


@dataclass(frozen=True)
class Known:
    """An event that was recorded before: its identities and what tells its content."""

    cost_event_id: str
    natural_key: bytes | None
    content_hash: bytes


@dataclass(frozen=True)
class Claimed:
    """A cost event that waited for its parent, and whose it turned out to be."""

    organization_id: str
    cost_event_id: str
    owner: Owner


def add_once(
    tx: Connection,
    organization_id: str,
    events: Sequence[CostEvent],
    customers: Sequence[str],
    times: Sequence[datetime],
) -> set[tuple[str, bytes]]:
    """Add events whose identities are both new; id and content hash of those that were added.

    The constraints decide, within the batch too.
    """
    rows = tx.exec_driver_sql(
        "INSERT INTO cost_events (organization_id, cost_event_id, natural_key, content_hash, external_customer_id, "
        "parent_transaction_id, request_id, occurred_at) SELECT %s::uuid, * FROM unnest(%s::text[], %s::bytea[], "
        "%s::bytea[], %s::text[], %s::text[], %s::text[], %s::timestamptz[]) "
        "ON CONFLICT DO NOTHING RETURNING cost_event_id, content_hash",
        (
            organization_id,
            [event.cost_event_id for event in events],
            [event.natural_key for event in events],
            [event.content_hash for event in events],
            list(customers),
            [event.parent_transaction_id for event in events],
            [event.request_id for event in events],
            list(times),
        ),
    )
    return {(row.cost_event_id, bytes(row.content_hash)) for row in rows}


def known(tx: Connection, organization_id: str, events: Sequence[CostEvent]) -> list[Known]:
    """What is recorded under any identity of these events."""
    rows = tx.exec_driver_sql(
        "SELECT cost_event_id, natural_key, content_hash FROM cost_events WHERE organization_id = %(organization)s "
        "AND cost_event_id = ANY(%(ids)s) UNION SELECT cost_event_id, natural_key, content_hash FROM cost_events "
        "WHERE organization_id = %(organization)s AND natural_key = ANY(%(keys)s::bytea[])",
        {
            "organization": organization_id,
            "ids": [event.cost_event_id for event in events],
            "keys": [event.natural_key for event in events if event.natural_key],
        },
    )
    return [
        Known(r.cost_event_id, bytes(r.natural_key) if r.natural_key else None, bytes(r.content_hash)) for r in rows
    ]


def claim_waiting(tx: Connection, since: datetime, limit: int) -> list[Claimed]:
    """Give waiting cost events to the customers of their parents that arrived meanwhile; locks what it gives."""
    rows = tx.exec_driver_sql(
        """
        WITH found AS (
            SELECT c.organization_id, c.cost_event_id, p.external_customer_id, p.subscription_id
            FROM cost_events c JOIN usage_parents p
                ON p.organization_id = c.organization_id AND p.transaction_id = c.parent_transaction_id
            WHERE c.external_customer_id = '' AND c.recorded_at >= %s AND p.external_customer_id <> ''
            ORDER BY c.recorded_at LIMIT %s FOR UPDATE OF c SKIP LOCKED)
        UPDATE cost_events SET external_customer_id = found.external_customer_id FROM found
        WHERE cost_events.organization_id = found.organization_id AND cost_events.cost_event_id = found.cost_event_id
        RETURNING found.organization_id::text, found.cost_event_id, found.external_customer_id,
            found.subscription_id::text
        """,
        (since, limit),
    )
    return [Claimed(r.organization_id, r.cost_event_id, Owner(r.external_customer_id, r.subscription_id)) for r in rows]


def add_parents(tx: Connection, events: Sequence[UsageEvent]) -> None:
    """Remember whose usage events these are, for cost events that name them."""
    tx.exec_driver_sql(
        "INSERT INTO usage_parents (organization_id, transaction_id, external_customer_id, subscription_id) "
        "SELECT * FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::uuid[]) ON CONFLICT DO NOTHING",
        (
            [event.organization_id for event in events],
            [event.transaction_id for event in events],
            [event.external_customer_id for event in events],
            [event.subscription_id for event in events],
        ),
    )


def parents(tx: Connection, organization_id: str, transaction_ids: Iterable[str]) -> dict[str, Owner]:
    """Whose usage events these are, by transaction id; those that did not arrive are missing."""
    rows = tx.exec_driver_sql(
        "SELECT transaction_id, external_customer_id, subscription_id::text FROM usage_parents "
        "WHERE organization_id = %s AND transaction_id = ANY(%s)",
        (organization_id, sorted(set(transaction_ids))),
    )
    return {row.transaction_id: Owner(row.external_customer_id, row.subscription_id) for row in rows}

"""Cost events as they were sent, the requests of which they are parts, and the usage events they name as parents."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.engine import Connection, Row

from services.kernel.ids import OrganizationId
from services.margin.domain.cost_event import CostEvent, RequestKey
from services.margin.domain.token import TokenType
from services.margin.store.usage_parent import Owner, ParentKey

_COLUMNS = (
    "cost_event_id, natural_key, content_hash, external_customer_id, parent_transaction_id, request_id, occurred_at, "
    "cost_meter_code, operation_key, provider, model, token_type, service_tier, tokens, amount, currency"
)
_TYPES = (
    *("text", "bytea", "bytea", "text", "text", "text", "timestamptz"),
    *("text", "text", "text", "text", "text", "text", "bigint", "numeric", "text"),
)


@dataclass(frozen=True)
class Known:
    """An event that was recorded before: its identities, and the hash of its content."""

    cost_event_id: str
    natural_key: bytes | None
    content_hash: bytes


@dataclass(frozen=True)
class Claimed:
    """A cost event that waited for its parent, and the owner it turned out to have."""

    organization_id: str
    cost_event_id: str
    owner: Owner


def lock_requests(tx: Connection, organization: OrganizationId, requests: Iterable[RequestKey]) -> None:
    """Lock requests, in one order, until the end of the transaction: their parts are priced one after another."""
    keys = sorted(requests)
    tx.exec_driver_sql(
        "INSERT INTO cost_requests AS r (organization_id, parent_transaction_id, request_id, revision) "
        "SELECT %s::uuid, parent, request, 1 FROM unnest(%s::text[], %s::text[]) AS named(parent, request) "
        "ORDER BY parent, request ON CONFLICT (organization_id, parent_transaction_id, request_id) "
        "DO UPDATE SET revision = r.revision + 1",
        (organization, [key.parent_transaction_id for key in keys], [key.request_id for key in keys]),
    )


def add_once(
    tx: Connection, organization: OrganizationId, events: Sequence[CostEvent], customers: Sequence[str]
) -> set[tuple[str, bytes]]:
    """Add events whose identities are both new; returns id and content hash of those that were added.

    The constraints decide, also within the batch. Each event must have a time.
    """
    rows = [(organization, *_values(event, customer)) for event, customer in zip(events, customers, strict=True)]
    arrays = ", ".join(f"%s::{kind}[]" for kind in ("uuid", *_TYPES))
    added = tx.exec_driver_sql(
        f"INSERT INTO cost_events (organization_id, {_COLUMNS}) SELECT * FROM unnest({arrays}) "
        "ON CONFLICT DO NOTHING RETURNING cost_event_id, content_hash",
        tuple(list(column) for column in zip(*rows, strict=True)),
    )
    return {(row.cost_event_id, bytes(row.content_hash)) for row in added}


def known(tx: Connection, organization: OrganizationId, events: Sequence[CostEvent]) -> list[Known]:
    """What is recorded under any of the identities of these events."""
    rows = tx.exec_driver_sql(
        "SELECT cost_event_id, natural_key, content_hash FROM cost_events WHERE organization_id = %(organization)s "
        "AND cost_event_id = ANY(%(ids)s) UNION SELECT cost_event_id, natural_key, content_hash FROM cost_events "
        "WHERE organization_id = %(organization)s AND natural_key = ANY(%(keys)s::bytea[])",
        {
            "organization": organization,
            "ids": [event.cost_event_id for event in events],
            "keys": [event.natural_key for event in events if event.natural_key],
        },
    )
    return [
        Known(row.cost_event_id, bytes(row.natural_key) if row.natural_key else None, bytes(row.content_hash))
        for row in rows
    ]


def parts(tx: Connection, organization: OrganizationId, requests: Iterable[RequestKey], limit: int) -> list[CostEvent]:
    """Everything recorded for these requests, at most `limit` of each, in the order of their ids."""
    keys = sorted(requests)
    rows = tx.exec_driver_sql(
        f"SELECT part.* FROM unnest(%s::text[], %s::text[]) AS named(parent, request) CROSS JOIN LATERAL ("
        f"SELECT {_COLUMNS} FROM cost_events WHERE organization_id = %s AND parent_transaction_id = parent "
        "AND request_id = request ORDER BY cost_event_id LIMIT %s) AS part",
        ([key.parent_transaction_id for key in keys], [key.request_id for key in keys], organization, limit),
    )
    return [_event(row) for row in rows]


def claim_waiting(tx: Connection, parents: Iterable[ParentKey]) -> list[Claimed]:
    """Give the cost events that waited for these usage events to their customers; locks the events."""
    keys = sorted(parents)
    rows = tx.exec_driver_sql(
        """
        UPDATE cost_events AS c SET external_customer_id = p.external_customer_id
        FROM unnest(%s::uuid[], %s::text[]) AS arrived(organization, transaction_id)
        JOIN usage_parents p ON p.organization_id = organization AND p.transaction_id = arrived.transaction_id
        WHERE c.organization_id = organization AND c.parent_transaction_id = arrived.transaction_id
            AND c.external_customer_id = '' AND p.external_customer_id <> ''
        RETURNING c.organization_id::text, c.cost_event_id, p.external_customer_id, p.subscription_id::text
        """,
        ([organization for organization, _ in keys], [transaction_id for _, transaction_id in keys]),
    )
    return [
        Claimed(row.organization_id, row.cost_event_id, Owner(row.external_customer_id, row.subscription_id))
        for row in rows
    ]


def _values(event: CostEvent, customer: str) -> tuple[object, ...]:
    return (
        event.cost_event_id,
        event.natural_key,
        event.content_hash,
        customer,
        event.parent_transaction_id,
        event.request_id,
        event.occurred_at,
        event.cost_meter_code,
        event.operation_key,
        event.provider,
        event.model,
        event.token_type.value,
        event.service_tier,
        event.tokens,
        event.amount,
        event.currency,
    )


def _event(row: Row[Any]) -> CostEvent:
    return CostEvent(
        cost_event_id=row.cost_event_id,
        cost_meter_code=row.cost_meter_code,
        parent_transaction_id=row.parent_transaction_id,
        external_customer_id=row.external_customer_id,
        request_id=row.request_id,
        operation_key=row.operation_key,
        occurred_at=row.occurred_at,
        provider=row.provider,
        model=row.model,
        token_type=TokenType(row.token_type),
        tokens=row.tokens,
        amount=row.amount,
        currency=row.currency,
        service_tier=row.service_tier,
    )

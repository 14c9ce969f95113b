"""Voided events."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import datetime

from sqlalchemy.engine import Connection

from services.kernel.ids import OrganizationId


def add(
    tx: Connection,
    organization: OrganizationId,
    key: bytes,
    reason: str,
    actor: str,
    replaced_by: str | None,
    at: datetime,
) -> bool:
    """Note that an event is void; False if it was void already. Of two concurrent writers, one waits for the other."""
    added = tx.exec_driver_sql(
        "INSERT INTO voided_usage_events (organization_id, event_key, reason, actor, replaced_by, voided_at) "
        "VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
        (organization, uuid.UUID(bytes=key), reason, actor, replaced_by, at),
    )
    return added.rowcount == 1


def lock_quarantined(tx: Connection, organization: OrganizationId, key: bytes) -> None:
    """Lock the event's row in the quarantine, if it has one, so that a release of the event waits or has finished."""
    tx.exec_driver_sql(
        "SELECT FROM quarantined_usage_events WHERE organization_id = %s AND event_key = %s FOR UPDATE",
        (organization, uuid.UUID(bytes=key)),
    )


def remove_quarantined(tx: Connection, organization: OrganizationId, key: bytes) -> None:
    """Take an event out of the quarantine without releasing it."""
    tx.exec_driver_sql(
        "DELETE FROM quarantined_usage_events WHERE organization_id = %s AND event_key = %s",
        (organization, uuid.UUID(bytes=key)),
    )


def lock_events(tx: Connection, keys: Iterable[bytes]) -> None:
    """Keep other transactions from changing the state of these events until this transaction ends.

    The log's own rows cannot be locked, because nobody may update them. Half of a key is enough: two events that share
    a lock merely wait for each other.
    """
    tx.exec_driver_sql(
        "SELECT pg_advisory_xact_lock(lock) FROM unnest(%s::bigint[]) AS lock",
        (sorted({int.from_bytes(key[8:], signed=True) for key in keys}),),
    )

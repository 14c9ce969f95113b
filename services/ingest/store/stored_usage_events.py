"""Reading events back, each with its state.

Every condition names the organization, although the database also hides the rows of other organizations from calls.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy.engine import Connection

from services.ingest.domain.stored_usage_event import State, StoredUsageEvent
from services.kernel.ids import OrganizationId
from services.kernel.instant import from_us, to_us

# A row of the log never changes; its state is kept in tables beside it.
_SELECT = """
SELECT e.transaction_id, coalesce(q.released_customer_id, e.external_customer_id) AS external_customer_id,
    e.external_subscription_id, e.code, e.properties, e.precise_total_amount_cents, e.occurred_at, e.received_at,
    coalesce(q.subscription_id, e.subscription_id) AS subscription_id, e.event_key, e.commit_id,
    q.event_key IS NOT NULL AND q.released_at IS NULL AS is_quarantined, q.reason AS quarantine_reason,
    v.event_key IS NOT NULL AS is_voided, v.reason AS void_reason, v.actor, v.replaced_by
FROM usage_events AS e
LEFT JOIN quarantined_usage_events AS q ON q.organization_id = e.organization_id AND q.event_key = e.event_key
LEFT JOIN voided_usage_events AS v ON v.organization_id = e.organization_id AND v.event_key = e.event_key
"""


def _stored_usage_event(row: Any) -> StoredUsageEvent:
    """An event from a row of _SELECT."""
    state, reason = State.ACCEPTED, ""
    if row.is_voided:
        state, reason = State.VOIDED, row.void_reason
    elif row.is_quarantined:
        state, reason = State.QUARANTINED, row.quarantine_reason
    return StoredUsageEvent(
        transaction_id=row.transaction_id,
        external_customer_id=row.external_customer_id,
        external_subscription_id=row.external_subscription_id,
        code=row.code,
        properties=bytes(row.properties),
        amount=row.precise_total_amount_cents,
        occurred_us=to_us(row.occurred_at),
        received_us=to_us(row.received_at),
        state=state,
        reason=reason,
        subscription_id="" if row.subscription_id is None else str(row.subscription_id),
        voided_by=row.actor or "",
        replaced_by=row.replaced_by or "",
        key=row.event_key.bytes,
        commit_id=row.commit_id,
    )


class Filter(NamedTuple):
    """Which events to list; empty text and None mean no restriction.

    Attributes:
        customer: only events of this customer, by the organization's id.
        external_subscription_id: only events that name this subscription.
        subscription_id: only events that count for this subscription, by its Farebox id.
        code: only events of this metric.
        from_us, until_us: only events that occurred in this half-open span.
    """

    customer: str = ""
    external_subscription_id: str = ""
    subscription_id: uuid.UUID | None = None
    code: str = ""
    from_us: int | None = None
    until_us: int | None = None


class Position(NamedTuple):
    """A position in the order of receipt: a commit, and an event within it."""

    commit_id: int
    key: uuid.UUID


def by_key(tx: Connection, organization: OrganizationId, key: bytes) -> StoredUsageEvent | None:
    """The event with this identity."""
    row = tx.exec_driver_sql(
        _SELECT + "WHERE e.event_key = %s AND e.organization_id = %s", (uuid.UUID(bytes=key), organization)
    ).one_or_none()
    return None if row is None else _stored_usage_event(row)


def by_keys(tx: Connection, organization: OrganizationId, keys: Sequence[uuid.UUID]) -> dict[bytes, StoredUsageEvent]:
    """Events by their identities."""
    rows = tx.exec_driver_sql(
        _SELECT.replace(
            "FROM usage_events AS e",
            "FROM unnest(%s::uuid[]) AS wanted(key) CROSS JOIN LATERAL ("
            "SELECT * FROM usage_events WHERE event_key = wanted.key LIMIT 1) AS e",
        )
        + "WHERE e.organization_id = %s",
        (list(keys), organization),
    )
    return {event.key: event for event in map(_stored_usage_event, rows)}


_WANTED = f"""
FROM ({_SELECT} WHERE e.organization_id = %(organization)s AND e.commit_id = ANY(%(commits)s)) AS e
WHERE (commit_id, event_key) > (%(commit)s, %(key)s)
    AND (%(customer)s = '' OR external_customer_id = %(customer)s)
    AND (%(named)s = '' OR external_subscription_id = %(named)s)
    AND (%(subscription)s::uuid IS NULL OR subscription_id = %(subscription)s)
    AND (%(code)s = '' OR code = %(code)s)
    AND (%(from)s::timestamptz IS NULL OR occurred_at >= %(from)s)
    AND (%(until)s::timestamptz IS NULL OR occurred_at < %(until)s)
"""


def in_commits(
    tx: Connection,
    organization: OrganizationId,
    commits: Sequence[int],
    after: Position,
    wanted: Filter,
    *,
    skip: int,
    limit: int,
) -> list[StoredUsageEvent]:
    """The events of these commits that are wanted, in the order of receipt, after a position and `skip` more."""
    values = _values(organization, commits, after, wanted) | {"skip": skip, "limit": limit}
    rows = tx.exec_driver_sql(
        f"SELECT * {_WANTED} ORDER BY commit_id, event_key LIMIT %(limit)s OFFSET %(skip)s", values
    )
    return [_stored_usage_event(row) for row in rows]


def count_in_commits(
    tx: Connection, organization: OrganizationId, commits: Sequence[int], after: Position, wanted: Filter
) -> int:
    """How many events of these commits are wanted, after a position: a fiftieth of what reading them costs."""
    values = _values(organization, commits, after, wanted)
    count: int = tx.exec_driver_sql(f"SELECT count(*) {_WANTED}", values).scalar_one()
    return count


def _values(organization: OrganizationId, commits: Sequence[int], after: Position, wanted: Filter) -> dict[str, object]:
    return {
        "organization": organization,
        "commits": list(commits),
        "commit": after.commit_id,
        "key": after.key,
        "customer": wanted.customer,
        "named": wanted.external_subscription_id,
        "subscription": wanted.subscription_id,
        "code": wanted.code,
        "from": _instant(wanted.from_us),
        "until": _instant(wanted.until_us),
    }


def customers_of(
    tx: Connection, organization: OrganizationId, *, external_id: str, subscription_id: uuid.UUID | None
) -> set[str]:
    """The customers of a subscription, by its external id (several may have had it) or its Farebox id.

    Events that name a subscription which their customer has not are in quarantine, and count by whom they name.
    """
    rows = tx.exec_driver_sql(
        "SELECT external_customer_id FROM subscriptions WHERE organization_id = %(organization)s "
        "AND (external_id = %(named)s OR subscription_id = %(id)s) "
        "UNION SELECT external_customer_id FROM quarantined_usage_events WHERE organization_id = %(organization)s "
        "AND external_subscription_id = %(named)s AND %(named)s <> '' AND released_at IS NULL",
        {"organization": organization, "named": external_id, "id": subscription_id},
    )
    return set(rows.scalars())


def _instant(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else from_us(microseconds)

"""Events that cannot be billed yet, and requests to check them again."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy.engine import Connection

from services.chassis.db import driver_connection
from services.chassis.page import MAX_TOTAL
from services.chassis.statement import Filtered
from services.ingest.domain.identity import LOWEST_KEY
from services.ingest.domain.stored_usage_event import StoredUsageEvent
from services.ingest.store import catalog
from services.ingest.store.catalog import Change
from services.kernel.ids import OrganizationId
from services.kernel.instant import from_us


class Quarantined(NamedTuple):
    """An event that cannot be billed.

    Attributes:
        organization: whose event it is.
        key: its identity in the log.
        reason, field, description: why it cannot be billed.
        code, customer, subscription: as the log has them; a change of the metric, or of the customer or, without one,
            of the subscription asks for its release. They stay as they were when the event came into quarantine first.
    """

    organization: OrganizationId
    key: uuid.UUID
    reason: str
    field: str
    description: str
    code: str
    customer: str
    subscription: str


class Request(NamedTuple):
    """A change of the catalog that may have made quarantined events billable.

    Attributes:
        organization: whose catalog changed.
        number: the number of the request.
        kind: METRIC or CUSTOMER, or SUBSCRIPTION for events without a customer.
        key: the code or external id that changed.
        after_key: events up to this key have been checked already.
    """

    organization: OrganizationId
    number: int
    kind: str
    key: str
    after_key: uuid.UUID


_CONDITIONS = {
    catalog.METRIC: "code = %(key)s",
    catalog.CUSTOMER: "external_customer_id = %(key)s",
    catalog.SUBSCRIPTION: "external_customer_id = '' AND external_subscription_id = %(key)s",
}
# The same the other way round: what the release of a row is requested by. Only the row itself says it: an event that
# was quarantined without a customer is found by its subscription also after a release has told whose it is.
_OWNER = (
    f"CASE WHEN q.external_customer_id = '' THEN '{catalog.SUBSCRIPTION}' ELSE '{catalog.CUSTOMER}' END, "
    "CASE WHEN q.external_customer_id = '' THEN q.external_subscription_id ELSE q.external_customer_id END"
)
_TAKEN_OVER = "s.subscription_id <> q.left_id AND s.starts_at <= q.at AND (s.ends_at IS NULL OR q.at < s.ends_at)"
# Two joins instead of one with OR, so that each finds its few subscriptions in an index.
_RELEASE_SUCCEEDED = (
    "WITH refused AS (SELECT q.*, g.left_id, g.at "
    "FROM unnest(%(keys)s::uuid[], %(subscriptions)s::uuid[], %(times)s::timestamptz[]) AS g(event_key, left_id, at) "
    "JOIN quarantined_usage_events q ON q.organization_id = %(organization)s AND q.event_key = g.event_key) "
    "INSERT INTO release_requests (organization_id, kind, key) "
    f"SELECT q.organization_id, {_OWNER} FROM refused q JOIN subscriptions s "
    "ON s.organization_id = q.organization_id AND s.external_customer_id = q.external_customer_id "
    f"AND (q.external_subscription_id = '' OR s.external_id = q.external_subscription_id) AND {_TAKEN_OVER} "
    f"UNION SELECT q.organization_id, {_OWNER} FROM refused q JOIN subscriptions s "
    "ON s.organization_id = q.organization_id AND s.external_id = q.external_subscription_id "
    f"AND q.external_customer_id = '' AND {_TAKEN_OVER}"
)


# Whose an event is that names no customer: its subscription's, by whoever has had that id.
_IS_OF_CUSTOMER = (
    "(external_customer_id = %(customer)s OR (external_customer_id = '' AND external_subscription_id IN ("
    "SELECT external_id FROM subscriptions s WHERE s.organization_id = %(organization)s "
    "AND s.external_customer_id = %(customer)s)))"
)
_LIST = Filtered(
    "SELECT quarantined_at, event_key FROM quarantined_usage_events WHERE organization_id = %(organization)s "
    "AND released_at IS NULL AND (quarantined_at, event_key) > (%(at)s, %(key)s) {filters} "
    "ORDER BY quarantined_at, event_key LIMIT %(limit)s",
    reason="reason = %(reason)s",
    customer=_IS_OF_CUSTOMER,
)
_COUNT = Filtered(
    "SELECT count(*) FROM (SELECT FROM quarantined_usage_events WHERE organization_id = %(organization)s "
    "AND released_at IS NULL {filters} LIMIT %(limit)s) AS counted",
    reason="reason = %(reason)s",
    customer=_IS_OF_CUSTOMER,
)


class Wanted(NamedTuple):
    """Which quarantined events are wanted; an empty text wants all.

    Attributes:
        reason: why they are quarantined.
        customer: whose they are, by the organization's id.
    """

    reason: str = ""
    customer: str = ""


def listed_after(
    tx: Connection, organization: OrganizationId, after: tuple[datetime, uuid.UUID], wanted: Wanted, limit: int
) -> list[tuple[datetime, uuid.UUID]]:
    """The next quarantined events: when they were quarantined, and their keys; oldest first."""
    values = {"organization": organization, "at": after[0], "key": after[1], "limit": limit, **wanted._asdict()}
    return [(at, key) for at, key in tx.exec_driver_sql(_LIST.text(values), values)]


def count(tx: Connection, organization: OrganizationId, wanted: Wanted) -> int | None:
    """How many events are quarantined; None beyond `MAX_TOTAL`, where counting ends."""
    values = {"organization": organization, "limit": MAX_TOTAL + 1, **wanted._asdict()}
    counted: int = tx.exec_driver_sql(_COUNT.text(values), values).scalar_one()
    return counted if counted <= MAX_TOTAL else None


def add(tx: Connection, events: Sequence[Quarantined], at: datetime) -> None:
    """Quarantine events; an event that was released before goes back into quarantine."""
    if not events:
        return
    columns: list[list[Any]] = [list(column) for column in zip(*events, strict=True)]
    driver_connection(tx).execute(
        "INSERT INTO quarantined_usage_events (organization_id, event_key, reason, field, description, code, "
        "external_customer_id, external_subscription_id, quarantined_at) "
        "SELECT g.*, %s FROM unnest(%s::uuid[], %s::uuid[], %s::text[], %s::text[], %s::text[], %s::text[], "
        "%s::text[], %s::text[]) AS g "
        "ON CONFLICT (organization_id, event_key) DO UPDATE SET reason = excluded.reason, field = excluded.field, "
        "description = excluded.description, released_at = NULL, "
        "quarantined_at = excluded.quarantined_at, subscription_id = NULL, released_customer_id = NULL",
        [at, *columns],
    )


def request_release(tx: Connection, changes: Sequence[Change]) -> None:
    """Request another check of the events that these changes may have made billable."""
    relevant = [change for change in changes if change.kind in _CONDITIONS]
    tx.exec_driver_sql(
        "INSERT INTO release_requests (organization_id, kind, key) "
        "SELECT * FROM unnest(%s::uuid[], %s::text[], %s::text[])",
        (
            [change.organization for change in relevant],
            [change.kind for change in relevant],
            [change.key for change in relevant],
        ),
    )


def request_release_of_changed(
    tx: Connection, organization: OrganizationId, announced: Mapping[uuid.UUID, int]
) -> None:
    """Request another check of quarantined events of which something has changed since they were announced.

    Args:
        tx: the transaction that quarantined them.
        organization: whose events they are.
        announced: by key, the revision of the catalog at which each was announced. If the log no longer knows what has
            changed since, everything may have changed.
    """
    if not announced:
        return
    tx.exec_driver_sql(
        "WITH changed AS (SELECT kind, key, max(revision) AS revision FROM catalog_changes "
        "WHERE organization_id = %(organization)s AND revision > %(first)s GROUP BY kind, key), "
        "oldest AS (SELECT min(revision) AS revision FROM catalog_changes) "
        "INSERT INTO release_requests (organization_id, kind, key) "
        "SELECT DISTINCT q.organization_id, thing.kind, thing.key "
        "FROM unnest(%(keys)s::uuid[], %(revisions)s::bigint[]) AS g(event_key, revision) "
        "JOIN quarantined_usage_events q ON q.organization_id = %(organization)s AND q.event_key = g.event_key "
        f"CROSS JOIN LATERAL (VALUES ('{catalog.METRIC}', q.code), ({_OWNER})) AS thing(kind, key) "
        "CROSS JOIN oldest LEFT JOIN changed USING (kind, key) "
        "WHERE changed.revision > g.revision OR oldest.revision > g.revision + 1",
        {
            "organization": organization,
            "first": min(announced.values()),
            "keys": list(announced.keys()),
            "revisions": list(announced.values()),
        },
    )


def request_release_of_succeeded(
    tx: Connection, organization: OrganizationId, events: Sequence[StoredUsageEvent]
) -> None:
    """Request another check of quarantined events at whose time a subscription other than theirs has taken over.

    The log may have taken over the change behind this before it quarantined these events.
    """
    if not events:
        return
    tx.exec_driver_sql(
        _RELEASE_SUCCEEDED,
        {
            "organization": organization,
            "keys": [uuid.UUID(bytes=event.key) for event in events],
            "subscriptions": [event.subscription_id for event in events],
            "times": [from_us(event.occurred_us) for event in events],
        },
    )


def next_request(tx: Connection) -> Request | None:
    """The oldest request that no other process works on; it stays locked until the transaction ends."""
    row = tx.exec_driver_sql(
        "SELECT organization_id, id, kind, key, coalesce(after_key, %s) FROM release_requests "
        "ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED",
        (LOWEST_KEY,),
    ).one_or_none()
    return None if row is None else Request(OrganizationId(str(row[0])), *row[1:])


def candidates(tx: Connection, request: Request, limit: int) -> list[uuid.UUID]:
    """The next quarantined events that a request covers, by key; locked until the transaction ends."""
    rows = tx.exec_driver_sql(
        "SELECT event_key FROM quarantined_usage_events WHERE organization_id = %(organization)s "
        f"AND {_CONDITIONS[request.kind]} AND released_at IS NULL AND event_key > %(after)s "
        "ORDER BY event_key LIMIT %(limit)s FOR UPDATE",
        {"organization": request.organization, "key": request.key, "after": request.after_key, "limit": limit},
    )
    return list(rows.scalars())


def advance(tx: Connection, request: Request, after_key: uuid.UUID) -> None:
    """Remember how far a request has come."""
    tx.exec_driver_sql(
        "UPDATE release_requests SET after_key = %s WHERE organization_id = %s AND id = %s",
        (after_key, request.organization, request.number),
    )


def close(tx: Connection, request: Request) -> None:
    """Remove a request that has been carried out."""
    tx.exec_driver_sql(
        "DELETE FROM release_requests WHERE organization_id = %s AND id = %s", (request.organization, request.number)
    )


def release(
    tx: Connection, organization: OrganizationId, released: Sequence[tuple[uuid.UUID, str, str]], at: datetime
) -> None:
    """Mark events as released; each is given as (key, subscription id, customer)."""
    tx.exec_driver_sql(
        "UPDATE quarantined_usage_events AS q SET released_at = %s, subscription_id = g.subscription_id, "
        "released_customer_id = g.customer "
        "FROM unnest(%s::uuid[], %s::uuid[], %s::text[]) AS g(key, subscription_id, customer) "
        "WHERE q.organization_id = %s AND q.event_key = g.key",
        (at, [r[0] for r in released], [r[1] for r in released], [r[2] for r in released], organization),
    )


def give_reason(
    tx: Connection, organization: OrganizationId, reasons: Sequence[tuple[uuid.UUID, str, str, str]]
) -> None:
    """Store why events are still quarantined; each is given as (key, reason, field, description)."""
    tx.exec_driver_sql(
        "UPDATE quarantined_usage_events AS q SET reason = g.reason, field = g.field, description = g.description "
        "FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::text[]) AS g(key, reason, field, description) "
        "WHERE q.organization_id = %s AND q.event_key = g.key AND q.reason <> g.reason",
        (*([reason[column] for reason in reasons] for column in range(4)), organization),
    )

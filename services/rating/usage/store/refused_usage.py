"""Events that were refused, until the log has taken them back: one row for each event and subscription.

The log announces an event, rating refuses it, the log quarantines it and announces that it is taken back. Only this row
shows that such an event was never counted, or no longer is; an entry that takes back an event without a row here is
taken out of an aggregate (docs/flows-ingest-rating.md). It is written and read under the inbox row's lock of the
event's shard, or under the lock of the subscription that ended.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy.engine import Connection

from services.kernel.ids import OrganizationId, SubscriptionId
from services.rating.shared.bulk import rows_json
from services.rating.shared.usage_log import UsageEntry

_TYPES = "organization_id uuid, subscription_id uuid, event_key uuid"
_KEEP = (
    "INSERT INTO refused_usage (organization_id, subscription_id, event_key) "
    f"SELECT * FROM json_to_recordset(%s::json) AS r({_TYPES}) ORDER BY 1, 2, 3 ON CONFLICT DO NOTHING"
)
_TAKE = f"""
DELETE FROM refused_usage u USING json_to_recordset(%s::json) AS r({_TYPES})
WHERE u.organization_id = r.organization_id AND u.subscription_id = r.subscription_id AND u.event_key = r.event_key
RETURNING u.organization_id::text, u.subscription_id::text, u.event_key
"""


class RefusedUsage(NamedTuple):
    """One event that one subscription did not take."""

    organization_id: OrganizationId
    subscription_id: SubscriptionId
    event_key: bytes

    @classmethod
    def of(cls, entry: UsageEntry) -> RefusedUsage:
        """The event of an entry."""
        return cls(entry.organization_id, entry.subscription_id, entry.event_key)


def keep(tx: Connection, refused: Iterable[RefusedUsage]) -> None:
    """Remember refused events."""
    rows = [_row(event) for event in refused]
    if rows:
        tx.exec_driver_sql(_KEEP, (rows_json(rows),))


def take(tx: Connection, refused: Iterable[RefusedUsage]) -> set[RefusedUsage]:
    """Forget those of these events that are stored here, and return them."""
    rows = [_row(event) for event in refused]
    if not rows:
        return set()
    return {
        RefusedUsage(OrganizationId(organization), SubscriptionId(subscription), key.bytes)
        for organization, subscription, key in tx.exec_driver_sql(_TAKE, (rows_json(rows),))
    }


def _row(refused: RefusedUsage) -> dict[str, object]:
    return {
        "organization_id": refused.organization_id,
        "subscription_id": refused.subscription_id,
        "event_key": uuid.UUID(bytes=refused.event_key),
    }

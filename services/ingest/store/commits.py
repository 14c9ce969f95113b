"""In which commits to look for events: by shard as they are stored, by customer and metric a moment later.

An index on the events themselves would cost each of them as much as half of its storing. So a job notes behind the
commits, for many at a time, which customers and metrics each of them holds (`note_next`); lists read what is noted, and
look into the few newest commits that are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy.engine import Connection

from services.ingest.store.log import CATALOG_LOCK
from services.kernel.ids import OrganizationId

# Some hundred thousand events at the most, which take less than a second.
NOTED_COMMITS = 64


class Places(NamedTuple):
    """Where events may be.

    Attributes:
        shards: in these.
        customers: of one of these; empty for all.
        code: of this metric; empty for all.
        since, until: that occurred in this half-open span; None for an open end.
        is_counted: whether all events of the customer, or of the metric, are wanted, so that what is noted counts them.
    """

    shards: Sequence[int]
    customers: Sequence[str]
    code: str
    since: datetime | None
    until: datetime | None
    is_counted: bool = False


class Commit(NamedTuple):
    """A commit to look into, and how many of the wanted events it holds; None where only a look tells."""

    commit_id: int
    event_count: int | None


# Each shard, customer or metric gives its own next commits: one scan over several of them would have to read and sort
# all that follow.
_IN_SPAN = """(%(since)s::timestamptz IS NULL OR c.last_occurred_at >= %(since)s)
    AND (%(until)s::timestamptz IS NULL OR c.first_occurred_at < %(until)s)"""
_OF_SHARDS = f"""
SELECT DISTINCT found.commit_id, NULL::integer FROM unnest(%(shards)s::smallint[]) AS wanted(shard) CROSS JOIN LATERAL (
    SELECT c.commit_id FROM usage_event_commits c WHERE c.organization_id = %(organization)s
        AND c.shard = wanted.shard AND c.commit_id >= %(begin)s AND {_IN_SPAN}
    ORDER BY c.commit_id LIMIT %(limit)s
) AS found ORDER BY 1 LIMIT %(limit)s
"""
_HOLDS_SPAN = f"""((%(since)s::timestamptz IS NULL AND %(until)s::timestamptz IS NULL) OR EXISTS (
    SELECT FROM usage_event_commits c WHERE c.organization_id = %(organization)s AND c.shard = ANY(%(shards)s)
        AND c.commit_id = noted.commit_id AND {_IN_SPAN}))"""
# Events that no customer is named in may have been released to one since: how many, only a look tells.
_OF_CUSTOMERS = f"""
SELECT found.commit_id, CASE WHEN %(is_counted)s AND NOT bool_or(wanted.customer = '') THEN sum(found.event_count) END
FROM unnest(%(customers)s::text[]) AS wanted(customer) CROSS JOIN LATERAL (
    SELECT noted.commit_id, noted.event_count FROM commits_by_customer AS noted
    WHERE noted.organization_id = %(organization)s AND noted.external_customer_id = wanted.customer
        AND noted.commit_id >= %(begin)s AND noted.commit_id <= %(end)s AND {_HOLDS_SPAN}
        AND (%(code)s = '' OR EXISTS (SELECT FROM commits_by_code k WHERE k.organization_id = %(organization)s
            AND k.code = %(code)s AND k.commit_id = noted.commit_id))
    ORDER BY noted.commit_id LIMIT %(limit)s
) AS found GROUP BY found.commit_id ORDER BY 1 LIMIT %(limit)s
"""
_OF_CODE = f"""
SELECT noted.commit_id, CASE WHEN %(is_counted)s THEN noted.event_count END FROM commits_by_code AS noted
WHERE noted.organization_id = %(organization)s AND noted.code = %(code)s
    AND noted.commit_id >= %(begin)s AND noted.commit_id <= %(end)s AND {_HOLDS_SPAN}
ORDER BY noted.commit_id LIMIT %(limit)s
"""
_NOTE_CUSTOMERS = """
INSERT INTO commits_by_customer (organization_id, external_customer_id, commit_id, event_count)
SELECT organization_id, external_customer_id, commit_id, count(*) FROM usage_events
WHERE commit_id > %s AND commit_id <= %s GROUP BY 1, 2, 3
"""
_NOTE_CODES = """
INSERT INTO commits_by_code (organization_id, code, commit_id, event_count)
SELECT organization_id, code, commit_id, count(*) FROM usage_events
WHERE commit_id > %s AND commit_id <= %s GROUP BY 1, 2, 3
"""


def noted_until(tx: Connection) -> int:
    """The commit up to which customers and metrics are noted."""
    until: int = tx.exec_driver_sql("SELECT commit_id FROM commits_listed").scalar_one()
    return until


def next_commits(
    tx: Connection, organization: OrganizationId, places: Places, begin: int, noted: int, limit: int
) -> list[Commit]:
    """The next commits, from `begin` on, that may hold what is wanted; `noted` is what `noted_until` said."""
    values = {"organization": organization, "begin": begin, "end": noted, "limit": limit, **places._asdict()}
    is_narrow = bool(places.customers or places.code)
    if is_narrow and begin <= noted:
        found = tx.exec_driver_sql(_OF_CUSTOMERS if places.customers else _OF_CODE, values).all()
        if found:
            return [Commit(*row) for row in found]
        values["begin"] = noted + 1
    return [Commit(*row) for row in tx.exec_driver_sql(_OF_SHARDS, values)]


def note_next(tx: Connection) -> int:
    """Note the customers and metrics of the next commits; how many numbers were passed, 0 where all is noted.

    Commits end in another order than their numbers. Each holds the catalog from before it takes its number to its end,
    so once all who held it have let go, what was numbered before is complete.
    """
    head = tx.exec_driver_sql(
        "SELECT commit_id, next_commit_id, next_holders FROM commits_listed FOR UPDATE SKIP LOCKED"
    ).one_or_none()
    if head is None:
        # Another replica is at it.
        return 0
    begin, end, holders = head
    if begin == end:
        _look_ahead(tx)
        return 0
    if set(holders) & set(_holders(tx)):
        return 0
    until = min(end, begin + NOTED_COMMITS)
    tx.exec_driver_sql(_NOTE_CUSTOMERS, (begin, until))
    tx.exec_driver_sql(_NOTE_CODES, (begin, until))
    tx.exec_driver_sql("UPDATE commits_listed SET commit_id = %s", (until,))
    return int(until - begin)


def _look_ahead(tx: Connection) -> None:
    """Remember the newest number, and who may still commit one that is not newer."""
    newest = tx.exec_driver_sql("SELECT coalesce(pg_sequence_last_value('usage_event_commit_ids'), 0)").scalar_one()
    tx.exec_driver_sql(
        "UPDATE commits_listed SET next_commit_id = %s, next_holders = %s WHERE next_commit_id <> %s",
        (newest, _holders(tx), newest),
    )


def _holders(tx: Connection) -> list[str]:
    """The transactions that hold the catalog."""
    rows = tx.exec_driver_sql(
        "SELECT virtualtransaction FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND classid = 0 "
        "AND objid = %s AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        (CATALOG_LOCK,),
    )
    return list(rows.scalars())

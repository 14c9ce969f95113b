"""Writing the log and looking up identities, always in a worker's transaction (COPY refuses row-level security)."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence
from typing import NamedTuple

import psycopg
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from services.chassis.db import driver_connection
from services.ingest.domain.repeat import Content, Original
from services.ingest.store import copy_rows
from services.kernel.instant import to_us

# Any number that nothing else in this database uses. Resolving events against the catalog takes the lock shared,
# changing the catalog takes it exclusively. An advisory lock writes nothing; a row's shared lock would dirty its page.
CATALOG_LOCK = 0x6361_7461


class CommitHead(NamedTuple):
    """The first facts of a commit.

    Attributes:
        commit_id: the number of the commit; numbers roughly follow the order of commits.
        revision: the catalog's revision, which cannot change before the transaction ends.
    """

    commit_id: int
    revision: int


_HOLD_SQL = f"SELECT pg_advisory_xact_lock_shared({CATALOG_LOCK})"
_HEAD_SQL = "SELECT nextval('usage_event_commit_ids'), revision FROM catalog_head"
# Two statements: the snapshot of the second must be taken after the lock was granted.
BEGIN_COMMIT = f"{_HOLD_SQL}; {_HEAD_SQL}"


def begin_commit(tx: Connection) -> CommitHead:
    """Hold the catalog still (shared CATALOG_LOCK until the end of the transaction) and take a commit number."""
    tx.exec_driver_sql(_HOLD_SQL)
    commit_id, revision = tx.exec_driver_sql(_HEAD_SQL).one()
    return CommitHead(commit_id, revision)


def hold_catalog(tx: Connection) -> int:
    """Hold the catalog still until the end of the transaction; returns its revision."""
    tx.exec_driver_sql(_HOLD_SQL)
    revision: int = tx.exec_driver_sql("SELECT revision FROM catalog_head").scalar_one()
    return revision


def copy_in(tx: Connection, commit_id: int, new_rows: Sequence[bytes]) -> None:
    """Append rows made by `copy_rows.write_rows`.

    Raises:
        psycopg.errors.UniqueViolation: an identity is stored already; the transaction is lost.
    """
    with driver_connection(tx).cursor() as cursor, cursor.copy(copy_rows.COPY_SQL) as copy:
        copy.write(copy_rows.copy_data(commit_id, new_rows))


def is_repeat_of_stored(error: BaseException) -> bool:
    """Whether an error means that an identity is stored already."""
    cause = error.orig if isinstance(error, sa.exc.DBAPIError) else error
    return isinstance(cause, psycopg.errors.UniqueViolation)


# One index descent for each key, in the only partition that can hold it; a plain `= ANY` would search every partition.
_FIND_SQL = """
SELECT e.* FROM unnest(%s::uuid[]) AS wanted(key)
CROSS JOIN LATERAL (
    SELECT {columns} FROM usage_events WHERE event_key = wanted.key LIMIT 1
) AS e
"""


def find_originals(tx: Connection, keys: Collection[bytes]) -> dict[bytes, Original]:
    """The first events of these identities, by key; identities that are not stored are left out."""
    rows = tx.exec_driver_sql(
        _FIND_SQL.format(columns="event_key, content_hash, occurred_at, occurred_at_given, received_at"),
        (_uuids(keys),),
    )
    return {
        key.bytes: Original(digest.bytes, to_us(occurred), given, to_us(received))
        for key, digest, occurred, given, received in rows
    }


def find_contents(tx: Connection, keys: Collection[bytes]) -> dict[bytes, Content]:
    """Properties and amounts of stored events, by key."""
    rows = tx.exec_driver_sql(
        _FIND_SQL.format(columns="event_key, properties, precise_total_amount_cents"), (_uuids(keys),)
    )
    return {key.bytes: Content(bytes(properties), amount) for key, properties, amount in rows}


def _uuids(keys: Collection[bytes]) -> list[uuid.UUID]:
    return [uuid.UUID(bytes=key) for key in keys]

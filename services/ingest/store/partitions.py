"""The partitions of the log: ranges of identities. Only the owner of the tables may change them.

An id that is a UUIDv7 lies in the range of the month in which it was made; all other ids share the last partition.
"""

from __future__ import annotations

import re
import uuid
from datetime import datetime
from typing import Any, NamedTuple

import psycopg
from psycopg import sql

from services.ingest.domain.identity import LOWEST_KEY
from services.ingest.store.log import CATALOG_LOCK
from services.kernel.ids import OrganizationId
from services.kernel.instant import to_us

SCHEMA = "usage_partitions"
_BOUNDS = re.compile(r"FROM \((?:'([0-9a-f-]+)'|MINVALUE)\) TO \((?:'([0-9a-f-]+)'|MAXVALUE)\)")

Owner = psycopg.Connection[tuple[Any, ...]]
# Changing a partition waits for running commits, and later commits wait behind it; so it gives up soon.
LOCK_TIMEOUT_MS = 2_000
CONNECT_SECONDS = 2


class Partition(NamedTuple):
    """One range of the log.

    Attributes:
        name: the name of its table.
        first: its first key.
        end: the first key after it; None for the last one.
    """

    name: str
    first: uuid.UUID
    end: uuid.UUID | None


def owner_connection(url: str) -> Owner:
    """A connection as the owner of the tables; it commits if its block ends without an error."""
    options = f"-c lock_timeout={LOCK_TIMEOUT_MS} -c timezone=UTC"
    return psycopg.connect(url, options=options, connect_timeout=CONNECT_SECONDS)


def key_at(instant: datetime) -> uuid.UUID:
    """The first key of the UUIDv7 ids made at an instant."""
    return uuid.UUID(int=(to_us(instant) // 1000) << 80)


def listed(owner: Owner) -> list[Partition]:
    """All partitions, in the order of their keys."""
    rows = owner.execute(
        "SELECT c.relname, pg_get_expr(c.relpartbound, c.oid) FROM pg_inherits AS i "
        "JOIN pg_class AS c ON c.oid = i.inhrelid WHERE i.inhparent = 'usage_events'::regclass"
    ).fetchall()
    return sorted((_partition(name, bounds) for name, bounds in rows), key=lambda partition: partition.first)


def _partition(name: str, bounds: str) -> Partition:
    match = _BOUNDS.search(bounds)
    if match is None:
        raise ValueError(f"the partition {name} has unknown bounds {bounds}")
    first, end = match.groups()
    return Partition(name, uuid.UUID(first) if first else LOWEST_KEY, uuid.UUID(end) if end else None)


def split_last(owner: Owner, last: Partition, at: uuid.UUID) -> None:
    """End the last time range at a key, and begin a new one there.

    The ids beyond the key move to the new range. If this is done ahead of time, they are the few whose sender's clock
    is wrong.
    """
    old = _table(last.name)
    new = _table(f"ids_{at.hex[:12]}")
    owner.execute(sql.SQL("ALTER TABLE usage_events DETACH PARTITION {}").format(old))
    owner.execute(
        sql.SQL("CREATE TABLE {} PARTITION OF usage_events FOR VALUES FROM ({}) TO ({})").format(
            new, sql.Literal(at), sql.Literal(last.end)
        )
    )
    owner.execute(
        sql.SQL(
            "WITH moved AS (DELETE FROM {} WHERE event_key >= {} RETURNING *) INSERT INTO {} SELECT * FROM moved"
        ).format(old, sql.Literal(at), new)
    )
    owner.execute(
        sql.SQL("ALTER TABLE usage_events ATTACH PARTITION {} FOR VALUES FROM ({}) TO ({})").format(
            old, sql.SQL("MINVALUE") if last.first == LOWEST_KEY else sql.Literal(last.first), sql.Literal(at)
        )
    )


def count(owner: Owner, partition: Partition) -> tuple[int, datetime | None, datetime | None]:
    """How many events a partition holds, and when the first and the last of them occurred."""
    row = owner.execute(
        sql.SQL("SELECT count(*), min(occurred_at), max(occurred_at) FROM {}").format(_table(partition.name))
    ).fetchone()
    if row is None:
        raise RuntimeError("an aggregate always answers")
    return row[0], row[1], row[2]


def count_quarantined(owner: Owner, partition: Partition) -> int:
    """How many events of a partition are in quarantine; read as the worker, which sees all organizations."""
    return _as_worker(
        owner,
        "SELECT count(*) FROM quarantined_usage_events "
        "WHERE released_at IS NULL AND event_key >= %s AND event_key < %s",
        (partition.first, partition.end),
    )


def hold_alone(owner: Owner) -> None:
    """Let no commit run until the transaction ends."""
    owner.execute("SELECT pg_advisory_xact_lock(%s)", (CATALOG_LOCK,))


def drop(owner: Owner, partition: Partition, event_count: int) -> None:
    """Remove a range and remember it, so that its ids are refused from now on and never counted again."""
    owner.execute(
        "INSERT INTO retired_key_ranges (first_key, end_key, event_count) VALUES (%s, %s, %s)",
        (partition.first, partition.end, event_count),
    )
    owner.execute(sql.SQL("DROP TABLE {}").format(_table(partition.name)))


def note_retirement(owner: Owner, organization: OrganizationId, kind: str) -> None:
    """Count the change, so that every process learns of it at its next commit."""
    owner.execute("UPDATE catalog_head SET revision = revision + 1")
    owner.execute("INSERT INTO catalog_changes SELECT revision, %s, %s, '' FROM catalog_head", (organization, kind))


def _as_worker(owner: Owner, question: str, values: tuple[Any, ...]) -> int:
    row = owner.execute("SELECT current_user").fetchone()
    role = sql.Identifier(f"{row[0] if row else ''}_worker")
    owner.execute(sql.SQL("SET LOCAL ROLE {}").format(role))
    answer = owner.execute(question, values).fetchone()
    owner.execute("RESET ROLE")
    return int(answer[0]) if answer else 0


def _table(name: str) -> sql.Identifier:
    return sql.Identifier(SCHEMA, name)

"""The shards: batches of announced entries numbered without gaps, and how far they have been published."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from sqlalchemy.engine import Connection

from services.chassis.db import driver_connection
from services.kernel.ids import OrganizationId
from services.kernel.instant import from_us


class Batch(NamedTuple):
    """One numbered batch of a shard.

    Attributes:
        shard: the shard.
        number: its number; a shard's numbers have no gaps.
        entry_count: how many entries it has.
        payload: serialized entries, as they were announced.
    """

    shard: int
    number: int
    entry_count: int
    payload: bytes


class Draft(NamedTuple):
    """A batch that has no number yet."""

    shard: int
    event_count: int
    payload: bytes


class Touched(NamedTuple):
    """What a commit added to the log, so that listing events can find it.

    Attributes:
        commit_id: the commit.
        shards: pairs of an organization and a shard of it that the commit touched.
        first_us, last_us: earliest and latest time that one of its events occurred.
    """

    commit_id: int
    shards: Sequence[tuple[OrganizationId, int]]
    first_us: int
    last_us: int


NOTHING = Touched(0, (), 0, 0)

# One statement for everything at the end of a commit: each statement is a wait, which costs the process more than the
# database's work on it.
_APPEND_SQL = """
WITH given AS (
    SELECT g.shard, g.event_count, g.payload, row_number() OVER (PARTITION BY g.shard ORDER BY g.place) AS place
    FROM unnest(%s::smallint[], %s::int[], %b::bytea[]) WITH ORDINALITY AS g(shard, event_count, payload, place)
), counted AS (
    SELECT shard, max(place) AS batches FROM given GROUP BY shard
), locked AS MATERIALIZED (
    SELECT h.shard, c.batches FROM shard_heads AS h JOIN counted AS c USING (shard) ORDER BY h.shard FOR UPDATE OF h
), moved AS (
    UPDATE shard_heads AS h SET last_number = h.last_number + l.batches FROM locked AS l
    WHERE h.shard = l.shard RETURNING h.shard, h.last_number - l.batches AS before
), noted AS (
    INSERT INTO usage_event_commits (organization_id, shard, commit_id, first_occurred_at, last_occurred_at)
    SELECT n.organization_id, n.shard, %s, %s, %s FROM unnest(%s::uuid[], %s::smallint[]) AS n(organization_id, shard)
    ON CONFLICT DO NOTHING
)
INSERT INTO shard_batches (shard, number, event_count, payload)
SELECT shard, moved.before + given.place, given.event_count, given.payload FROM given JOIN moved USING (shard)
"""


def append(tx: Connection, drafts: Sequence[Draft], touched: Touched = NOTHING) -> None:
    """Number batches and store them in the order given; note what their commit added to the log.

    The rows of the shards stay locked until the transaction ends, so this should be the last step before the commit.
    They are locked in ascending order, so that writers never deadlock.
    """
    if not drafts and not touched.shards:
        return
    driver_connection(tx).execute(
        _APPEND_SQL,
        (
            [draft.shard for draft in drafts],
            [draft.event_count for draft in drafts],
            [draft.payload for draft in drafts],
            touched.commit_id,
            from_us(touched.first_us),
            from_us(touched.last_us),
            [organization for organization, _ in touched.shards],
            [shard for _, shard in touched.shards],
        ),
    )


class ShardPosition(NamedTuple):
    """How far a shard has come.

    Attributes:
        shard: the shard.
        last_number: of its newest batch.
        published_number: of the newest batch that was published.
    """

    shard: int
    last_number: int
    published_number: int


def positions(tx: Connection) -> list[ShardPosition]:
    """Every shard's position."""
    rows = tx.exec_driver_sql(
        "SELECT shard, h.last_number, p.published_number FROM shard_heads AS h JOIN shard_publications AS p "
        "USING (shard) ORDER BY shard"
    )
    return [ShardPosition(*row) for row in rows]


def read(tx: Connection, shard: int, first: int, last: int, limit: int) -> list[Batch]:
    """Batches of a shard in order, from one number to another, at most `limit`."""
    return _batches(
        tx,
        "SELECT shard, number, event_count, payload FROM shard_batches WHERE shard = %s AND number BETWEEN %s AND %s "
        "ORDER BY number LIMIT %s",
        (shard, first, last, limit),
    )


def unpublished(tx: Connection, limit: int) -> list[Batch]:
    """The batches that wait to be published, in order, at most `limit` of each shard."""
    return _batches(
        tx,
        """
        SELECT p.shard, b.number, b.event_count, b.payload FROM shard_publications AS p CROSS JOIN LATERAL (
            SELECT number, event_count, payload FROM shard_batches
            WHERE shard = p.shard AND number > p.published_number ORDER BY number LIMIT %s
        ) AS b ORDER BY p.shard, b.number
        """,
        (limit,),
    )


def _batches(tx: Connection, question: str, values: tuple[int, ...]) -> list[Batch]:
    """Payloads as bytes: the text format would double them and make both sides convert."""
    with driver_connection(tx).cursor(binary=True) as cursor:
        return [Batch(*row) for row in cursor.execute(question, values)]


def mark_published(tx: Connection, positions_: dict[int, int]) -> None:
    """Remember up to which number each shard was published."""
    tx.exec_driver_sql(
        "UPDATE shard_publications AS p SET published_number = g.number "
        "FROM unnest(%s::smallint[], %s::bigint[]) AS g(shard, number) WHERE p.shard = g.shard",
        (list(positions_), list(positions_.values())),
    )


def merge(batches: Sequence[Batch], max_bytes: int) -> Iterator[list[Batch]]:
    """Split batches into runs of one shard, each of which can travel as one message of about `max_bytes`."""
    run: list[Batch] = []
    size = 0
    for batch in batches:
        if run and (batch.shard != run[0].shard or size + len(batch.payload) > max_bytes):
            yield run
            run, size = [], 0
        run.append(batch)
        size += len(batch.payload)
    if run:
        yield run

"""The batches that the shards announced, for services that missed some. Covers all organizations."""

from __future__ import annotations

from collections.abc import Iterator

from services.chassis.db import Database
from services.ingest.store import shards as store
from services.ingest.store.shards import Batch, ShardPosition
from services.kernel.errors import InvalidArgumentError, NotFoundError
from services.wire.shards import SHARD_COUNT

# Batches read at a time: at most 32 MiB if each had the maximum size, usually well below one.
READ_BATCHES = 64
# Size of one message, as on the bus; a single batch may be slightly larger.
MESSAGE_BYTES = 512 * 1024


def positions(db: Database) -> list[ShardPosition]:
    """How far every shard has come."""
    with db.worker_transaction(quiet=True) as tx:
        return store.positions(tx)


def replay(db: Database, shard: int, first: int, last: int) -> Iterator[list[Batch]]:
    """Batches of a shard in order, in runs of which each makes one message.

    Args:
        db: the log.
        shard: which shard.
        first: the first number, from 1.
        last: the last number; 0 for the newest at present.

    Raises:
        InvalidArgumentError: there is no such shard or number.
        NotFoundError: retention removed the first number.
    """
    if not 0 <= shard < SHARD_COUNT:
        raise InvalidArgumentError.of_field("shard", "value_is_invalid", f"must be 0 to {SHARD_COUNT - 1}")
    if first < 1 or last < 0:
        raise InvalidArgumentError.of_field("from_number", "value_is_invalid", "numbers begin with 1")
    newest = positions(db)[shard].last_number
    last = min(last, newest) if last else newest
    while first <= last:
        with db.worker_transaction(quiet=True) as tx:
            batches = store.read(tx, shard, first, last, READ_BATCHES)
        if not batches or batches[0].number != first:
            raise NotFoundError("BATCH_REMOVED", "retention has removed this batch", shard=shard, number=first)
        yield from store.merge(batches, MESSAGE_BYTES)
        first = batches[-1].number + 1

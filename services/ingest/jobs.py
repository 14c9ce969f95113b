"""What the log does by itself: publish its shards, release quarantined events, create partitions in advance."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

import psycopg
from sqlalchemy.engine import Connection

from services.chassis import failpoint, metrics
from services.chassis.job import Job
from services.chassis.log import logger
from services.chassis.messages import Outgoing
from services.chassis.outbox import numbered
from services.ingest.commands.release import release_next
from services.ingest.deps import Deps
from services.ingest.store import partitions, shards
from services.ingest.store.encoding import announcement
from services.ingest.store.shards import Batch
from services.wire.streams import USAGE, shard_subject

log = logger(__name__)

# Batches of each shard read at a time; for 16 shards they are a few MB.
READ_BATCHES = 32
# NATS takes 1 MiB per message; a batch may be half of it, and an event of 64 KiB may come on top.
MESSAGE_BYTES = 512 * 1024
# How long an idle relay waits if nothing wakes it; it sees the commits of other replicas after this time.
RELAY_IDLE_SECONDS = 0.05
# The pause after a round, so that a busy shard's batches travel together: each message costs as much as a hundred
# events, and a sender who waits for a single one does not notice the pause.
GATHER_SECONDS = 0.04
# How long a replica waits before it checks again whether the leading one is gone.
FOLLOW_SECONDS = 0.5
# How soon a change of the catalog is noticed; a check costs one look into an empty table.
RELEASE_IDLE_SECONDS = 0.2
# How many months are created in advance: enough that even after weeks of failure only stray ids have to move.
MONTHS_AHEAD = 2
PARTITION_CHECK_SECONDS = 6 * 3600.0
# Splitting waits for running commits, and later commits wait behind it; so it gives up soon and tries again.
PARTITION_RETRY_SECONDS = 30.0
_MONTHS_A_YEAR = 12


def publish_shards(deps: Deps) -> Job:
    """Publishes the shards' batches in order; of several replicas only one works at a time.

    Correctness does not depend on it: followers of a shard recognise a batch that is published twice, put batches in
    order, and fetch those that never arrive (ReplayUsageEvents).
    """

    def lead(stopping: threading.Event) -> bool:
        """Publish while this process holds the relay's lock, which ends with its connection; then try again."""
        with deps.db.worker_session() as session:
            is_leading = session.exec_driver_sql(
                "SELECT pg_try_advisory_lock(hashtextextended('farebox.shards', 0))"
            ).scalar_one()
            if not is_leading:
                stopping.wait(FOLLOW_SECONDS)
                return True
            deps.bus.ensure_stream(USAGE.name, USAGE.subjects)
            while not stopping.is_set():
                deps.wake.clear()
                if publish_waiting(deps, session) == 0:
                    deps.wake.wait(RELAY_IDLE_SECONDS)
                else:
                    stopping.wait(GATHER_SECONDS)
        return True

    return Job("shard-relay", lead, wake=deps.wake)


def publish_waiting(deps: Deps, session: Connection) -> int:
    """Publish one round and return the number of messages. A relay whose session has lost the lock fails here.

    A shard of which no message can be made holds up no other: its error is raised once those are published.
    """
    waiting = shards.unpublished(session, READ_BATCHES)
    if not waiting:
        return 0
    messages, reached, errors = _messages(shards.merge(waiting, MESSAGE_BYTES))
    failpoint.hit("ingest.before_publish")
    deps.bus.publish(messages)
    failpoint.hit("ingest.after_publish")
    shards.mark_published(session, reached)
    failpoint.hit("ingest.after_mark")
    metrics.PUBLISHED.labels(USAGE.name).inc(len(messages))
    for error in errors.values():
        raise error
    return len(messages)


def _messages(runs: Iterable[list[Batch]]) -> tuple[list[Outgoing], dict[int, int], dict[int, Exception]]:
    """The messages of runs; by shard, the last number that they hold; and by shard, why no message could be made."""
    messages: list[Outgoing] = []
    reached: dict[int, int] = {}
    errors: dict[int, Exception] = {}
    for run in runs:
        shard, first, last = run[0].shard, run[0].number, run[-1].number
        if shard in errors:
            continue
        try:
            messages.append(numbered(shard_subject(shard), USAGE.name, announcement(run), first, last))
        except Exception as error:  # noqa: BLE001 - the relay raises it
            errors[shard] = error
        else:
            reached[shard] = last
    return messages, reached, errors


def release_quarantined(deps: Deps) -> Job:
    """Releases quarantined events that a change of the catalog has made billable."""

    def turn(stopping: threading.Event) -> bool:
        looked_at = release_next(deps)
        if looked_at is None:
            stopping.wait(RELEASE_IDLE_SECONDS)
        elif looked_at:
            deps.wake.set()
        return True

    return Job("releaser", turn)


def keep_partitions(deps: Deps) -> Job:
    """Creates the partitions of the coming months. Nothing fails without them, but retention becomes coarser."""

    def turn(stopping: threading.Event) -> bool:
        try:
            make_partitions(deps.owner_url, deps.clock.now())
        except psycopg.Error as error:
            log.warning("partitions_wait", error=repr(error))
            stopping.wait(PARTITION_RETRY_SECONDS)
        else:
            stopping.wait(PARTITION_CHECK_SECONDS)
        return True

    return Job("partitions", turn)


def make_partitions(owner_url: str, now: datetime) -> None:
    """Let a range begin with each of the coming months; done as the owner of the tables."""
    for ahead in range(1, MONTHS_AHEAD + 1):
        with partitions.owner_connection(owner_url) as owner:
            partitions.hold_alone(owner)
            ranges = [partition for partition in partitions.listed(owner) if partition.end is not None]
            first_key = partitions.key_at(month_after(now, ahead))
            if ranges and first_key > ranges[-1].first:
                partitions.split_last(owner, ranges[-1], first_key)
                log.info("partition_made", first_key=str(first_key))


def month_after(instant: datetime, months: int) -> datetime:
    """The beginning of the month `months` after the month of an instant, in UTC."""
    index = instant.year * _MONTHS_A_YEAR + instant.month - 1 + months
    return datetime(index // _MONTHS_A_YEAR, index % _MONTHS_A_YEAR + 1, 1, tzinfo=UTC)


JOBS: tuple[Callable[[Deps], Job], ...] = (keep_partitions, publish_shards, release_quarantined)

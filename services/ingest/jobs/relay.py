"""Publishes the shards' batches in order; of several replicas one is at work at a time.

Nothing depends on it for correctness: a batch that is published twice, out of order or never is told apart, put in
order or fetched (ReplayUsageEvents) by whoever follows the shard.
"""

from __future__ import annotations

import threading

from sqlalchemy.engine import Connection

from services.chassis import failpoint, metrics
from services.chassis.bus import Bus
from services.chassis.db import Database
from services.chassis.outbox import numbered
from services.chassis.streams import USAGE, shard_subject
from services.ingest.convert.wire import announcement
from services.ingest.store import shards as store

# Batches read of each shard at a time; 16 shards of them are a few MB.
READ_BATCHES = 32
# NATS takes 1 MiB a message; one batch may be half of it, and one event of 64 KiB may lie on top.
MESSAGE_BYTES = 512 * 1024
# How long an idle relay waits when nobody wakes it; commits of other replicas are seen after this.
IDLE_SECONDS = 0.05
# Pause after a round, so that a busy shard's batches travel together: each message costs as much as a hundred events,
# and whoever waits for a single one does not notice.
GATHER_SECONDS = 0.04
# How long a replica waits before it asks again whether the leading one is gone.
FOLLOW_SECONDS = 0.5


class ShardRelay:
    """Publishes what is committed; `lead` is a turn of chassis.job.Job."""

    def __init__(self, db: Database, bus: Bus, wake: threading.Event) -> None:
        """Prepare; `wake` is set after each commit of this process that announced something."""
        self._db = db
        self._bus = bus
        self._wake = wake

    def lead(self, stopping: threading.Event) -> bool:
        """Publish for as long as this process holds the relay's lock, which dies with its connection; always again."""
        with self._db.worker_session() as session:
            leading = session.exec_driver_sql(
                "SELECT pg_try_advisory_lock(hashtextextended('farebox.shards', 0))"
            ).scalar_one()
            if not leading:
                stopping.wait(FOLLOW_SECONDS)
                return True
            self._bus.ensure_stream(USAGE.name, USAGE.subjects)
            while not stopping.is_set():
                self._wake.clear()
                if self._publish_waiting(session) == 0:
                    self._wake.wait(IDLE_SECONDS)
                else:
                    stopping.wait(GATHER_SECONDS)
        return True

    def _publish_waiting(self, session: Connection) -> int:
        """Publish one round; how many messages that were. Whoever lost the lock with its session fails here."""
        waiting = store.unpublished(session, READ_BATCHES)
        if not waiting:
            return 0
        runs = list(store.merge(waiting, MESSAGE_BYTES))
        failpoint.hit("ingest.before_publish")
        self._bus.publish(
            [
                numbered(shard_subject(run[0].shard), USAGE.name, announcement(run), run[0].number, run[-1].number)
                for run in runs
            ]
        )
        failpoint.hit("ingest.after_publish")
        store.mark_published(session, {run[-1].shard: run[-1].number for run in runs})
        failpoint.hit("ingest.after_mark")
        metrics.PUBLISHED.labels(USAGE.name).inc(len(runs))
        return len(runs)

"""Transactional outbox: a domain event is a row in the same transaction as the change it reports.

The relay numbers the rows of a service right after the commit (chassis.numbering) and publishes them in that order.
Consumers apply number after number (chassis.follower), so a message that is published twice, or out of order after a
lost connection, takes effect once.

A stream that was lost with NATS's store has another creation time. The relay then announces everything it still keeps,
and consumers skip what they have.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy.engine import Connection

from services.chassis import metrics
from services.chassis.bus import Bus, Stream
from services.chassis.db import Database
from services.chassis.job import Job
from services.chassis.log import logger
from services.chassis.messages import ID_HEADER, LAST_NUMBER_HEADER, NUMBER_HEADER, Outgoing
from services.chassis.numbering import BATCH, Numbering, hold_head
from services.kernel.clock import Clock, SystemClock

log = logger(__name__)

# How many bytes are published at a time (a larger message alone): after a failure they are all sent again.
BATCH_BYTES = 16 * 1024 * 1024
# How long an idle relay sleeps if nothing wakes it; it sees other replicas' commits after this.
IDLE_SECONDS = 0.05
# How often the relay checks that its stream is still the one to which it published.
STREAM_CHECK_SECONDS = 2.0
# How long a replica waits before it checks again whether the leading one is gone.
FOLLOW_SECONDS = 0.5
# How long announced rows are kept, so that a lost NATS store can be filled again.
KEEP = timedelta(days=30)
# How many rows are removed at a time, so that pruning never holds a long transaction.
PRUNE_BATCH = 5000
PRUNE_EVERY_SECONDS = 60.0


def numbered(subject: str, stream: str, body: bytes, first: int, last: int) -> Outgoing:
    """A message of a numbered log: its numbers travel as headers, so the chassis need not read the body."""
    headers = {
        ID_HEADER: f"{stream}-{subject}-{first}-{last}",
        NUMBER_HEADER: str(first),
        LAST_NUMBER_HEADER: str(last),
    }
    return Outgoing(subject, body, headers)


def announce(tx: Connection, subject: str, body: bytes) -> None:
    """Write a domain event into the outbox, in the caller's transaction."""
    tx.exec_driver_sql("INSERT INTO outbox (subject, body) VALUES (%s, %s)", (subject, body))


def announce_all(tx: Connection, messages: Sequence[tuple[str, bytes]]) -> None:
    """Write many domain events (subject and body) into the outbox in their order, with one statement."""
    if messages:
        tx.exec_driver_sql(
            "INSERT INTO outbox (subject, body) SELECT * FROM unnest(%s::text[], %s::bytea[])",
            ([subject for subject, _ in messages], [body for _, body in messages]),
        )


# An idle relay runs this twenty times a second, so it is one look into a small index.
_ANY_WAITING_SQL = "SELECT EXISTS (SELECT FROM outbox WHERE published_at IS NULL)"
_WAITING_SQL = """
SELECT number, subject, body FROM (
    SELECT number, subject, body, sum(octet_length(body)) OVER (ORDER BY number) - octet_length(body) AS bytes_before
    FROM (
        SELECT number, subject, body FROM outbox
        WHERE published_at IS NULL AND number IS NOT NULL ORDER BY number LIMIT %s
    ) AS next_ones
) AS waiting WHERE bytes_before < %s ORDER BY number
"""


class Relay:
    """Publishes a service's outbox to its stream; of several replicas only one works at a time."""

    def __init__(self, db: Database, bus: Bus, *, stream: Stream, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._db = db
        self._bus = bus
        self._stream = stream.name
        self._subjects = stream.subjects
        self._numbers = Numbering(stream)
        self._job = Job("outbox-relay", self._lead, wake=db.committed)
        self._next_check = datetime.min.replace(tzinfo=UTC)
        self._next_prune = datetime.min.replace(tzinfo=UTC)

    def start(self) -> None:
        """Begin to publish."""
        self._job.start()

    def stop(self) -> None:
        """Finish the present batch and stop."""
        self._job.stop()

    def _lead(self, stopping: threading.Event) -> bool:
        """Publish while this process holds the relay's lock, which ends with its connection; then try again."""
        with self._db.worker_session() as session:
            leading = session.exec_driver_sql(
                "SELECT pg_try_advisory_lock(hashtextextended('farebox.outbox', 0))"
            ).scalar_one()
            if not leading:
                stopping.wait(FOLLOW_SECONDS)
                return True
            while not stopping.is_set():
                # This also shows whether the session, and with it the lock, is still ours.
                waits = session.exec_driver_sql(_ANY_WAITING_SQL).scalar_one()
                self._check_stream()
                self._prune()
                if not waits or self.publish_waiting() == 0:
                    self._db.committed.wait(IDLE_SECONDS)
                    self._db.committed.clear()
        return True

    def publish_waiting(self) -> int:
        """Number and publish one batch, outside of any transaction; returns how many messages that were."""
        with self._db.worker_transaction(quiet=True) as tx:
            self._numbers.give(tx)
            rows = tx.exec_driver_sql(_WAITING_SQL, (BATCH, BATCH_BYTES)).all()
        metrics.OUTBOX_WAITING.set(len(rows))
        if not rows:
            return 0
        self._bus.publish(
            [numbered(subject, self._stream, bytes(body), number, number) for number, subject, body in rows]
        )
        with self._db.worker_transaction(quiet=True) as tx:
            tx.exec_driver_sql(
                "UPDATE outbox SET published_at = now() WHERE number = ANY(%s)", ([row[0] for row in rows],)
            )
        metrics.PUBLISHED.labels(self._stream).inc(len(rows))
        return len(rows)

    def _check_stream(self) -> None:
        """Announce everything again if the stream is not the one to which the relay published."""
        now = self._clock.now()
        if now < self._next_check:
            return
        self._next_check = now + timedelta(seconds=STREAM_CHECK_SECONDS)
        place = self._bus.ensure_stream(self._stream, self._subjects)
        with self._db.worker_transaction() as tx:
            known = hold_head(tx)
            if known == place.created:
                return
            again = tx.exec_driver_sql("UPDATE outbox SET published_at = NULL WHERE published_at IS NOT NULL").rowcount
            tx.exec_driver_sql("UPDATE outbox_head SET stream_created_at = %s WHERE singleton", (place.created,))
        log.info("stream_is_new", stream=self._stream, announced_again=again)

    def _prune(self) -> None:
        now = self._clock.now()
        if now < self._next_prune:
            return
        self._next_prune = now + timedelta(seconds=PRUNE_EVERY_SECONDS)
        with self._db.worker_transaction() as tx:
            tx.exec_driver_sql(
                "DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE published_at < %s ORDER BY id LIMIT %s)",
                (now - KEEP, PRUNE_BATCH),
            )

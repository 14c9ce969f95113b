"""Numbers for the rows of an outbox: without gaps, in an order in which no cause comes after its effect.

They are given right after the commit, by one transaction at a time, so that writers never wait for each other
(numbering inside the writers' transactions would serialise them). The relay does it on its way (chassis.outbox), and so
may whoever must know the number of a change at once (rating's NewestChanges).

A message that can never be sent (too large for any consumer, or with a subject that the stream does not take) is set
aside as a dead letter before it gets a number, so that it blocks nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy.engine import Connection

from services.chassis import metrics
from services.chassis.bus import Stream
from services.chassis.log import logger
from services.chassis.messages import MAX_BODY_BYTES

log = logger(__name__)

# How many rows are numbered, or published, at a time: few enough for a short transaction.
BATCH = 500
# The name under which dead letters show that they were never sent.
OUTBOX = "outbox"

_HOLD_SQL = "SELECT stream_created_at FROM outbox_head WHERE singleton FOR UPDATE"
_NUMBER_SQL = """
WITH head AS (SELECT last_number FROM outbox_head WHERE singleton FOR UPDATE),
     fresh AS (
        SELECT id, row_number() OVER (ORDER BY id) AS place FROM outbox
        WHERE number IS NULL AND published_at IS NULL ORDER BY id LIMIT %s),
     given AS (
        UPDATE outbox SET number = head.last_number + fresh.place FROM head, fresh
        WHERE outbox.id = fresh.id RETURNING outbox.number)
UPDATE outbox_head SET last_number = GREATEST(last_number, (SELECT max(number) FROM given))
WHERE singleton AND EXISTS (SELECT 1 FROM given)
RETURNING (SELECT count(*) FROM given)
"""
# Messages that can never be sent are found before they get a number, because consumers wait for every number.
_SET_ASIDE_SQL = """
WITH unsendable AS (
    SELECT id, subject, body,
        CASE WHEN octet_length(body) > %(largest)s THEN 'MESSAGE_TOO_LARGE' ELSE 'SUBJECT_UNKNOWN' END AS reason
    FROM outbox
    WHERE number IS NULL AND published_at IS NULL AND (octet_length(body) > %(largest)s OR subject !~ %(subjects)s)
    ORDER BY id LIMIT %(limit)s
), kept AS (
    INSERT INTO dead_letters (log, number, subject, body, error)
    SELECT %(log)s, id, subject, body, reason FROM unsendable ON CONFLICT DO NOTHING
)
DELETE FROM outbox USING unsendable WHERE outbox.id = unsendable.id
RETURNING outbox.id, outbox.subject, unsendable.reason
"""


class Numbering:
    """Gives numbers to what was committed, for one stream."""

    def __init__(self, stream: Stream) -> None:
        self._sendable = subject_pattern(stream.subjects)

    def give(self, tx: Connection) -> int:
        """Number the oldest `BATCH` rows that have no number yet; returns how many.

        After fewer than `BATCH`, every row that was committed before has its number.
        """
        # Before the statement that numbers, not within it: one that waits for another's numbers sees rows as they were.
        hold_head(tx)
        self._set_aside(tx)
        return tx.exec_driver_sql(_NUMBER_SQL, (BATCH,)).scalar_one_or_none() or 0

    def _set_aside(self, tx: Connection) -> None:
        """Set aside the messages that can never be sent, and report them."""
        values = {"largest": MAX_BODY_BYTES, "subjects": self._sendable, "limit": BATCH, "log": OUTBOX}
        for number, subject, reason in tx.exec_driver_sql(_SET_ASIDE_SQL, values):
            metrics.DEAD_LETTERS.labels(OUTBOX).inc()
            log.error("dead_letter", log=OUTBOX, number=number, subject=subject, error=reason)


def hold_head(tx: Connection) -> datetime | None:
    """Be alone at the numbers until the transaction ends; when the stream was made that they were published to."""
    held = tx.exec_driver_sql(_HOLD_SQL).one_or_none()
    if held is None:
        tx.exec_driver_sql("INSERT INTO outbox_head DEFAULT VALUES ON CONFLICT DO NOTHING")
        held = tx.exec_driver_sql(_HOLD_SQL).one()
    created: datetime | None = held[0]
    return created


def subject_pattern(subjects: Sequence[str]) -> str:
    """A regular expression for the subjects that a stream takes, which are written in NATS's notation."""
    words = [re.escape(subject).replace(r"\*", r"[\w-]+").replace(">", r"[\w.-]+") for subject in subjects]
    return f"^({'|'.join(words)})$"

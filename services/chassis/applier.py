"""Apply the waiting messages of several logs in one transaction, which also moves all of their positions.

A transaction has a fixed cost, so the next messages of all logs of a process share one. If the content of a message
fails, each log is applied alone, then each message; the culprit is set aside as a dead letter after a few attempts, and
reported.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.engine import Connection

from services.chassis import metrics
from services.chassis.db import Database, is_passing, ran_too_long
from services.chassis.followed import Apply, Log, Message
from services.chassis.log import logger
from services.kernel.errors import UnavailableError

log = logger(__name__)

# A message that fails this often in a row for its own content is set aside. Few attempts with short pauses: a sender of
# one such message can send a thousand, and the messages of all others wait behind them.
MAX_ATTEMPTS = 3
ATTEMPT_PAUSE_SECONDS = 0.02
# If the statements of a message take too long, the database may just be busy: the message gets some minutes.
MAX_SLOW_ATTEMPTS = 10
# Characters of an error that are stored: enough to recognize it.
_MAX_ERROR = 2000


@dataclass(frozen=True, slots=True)
class Due:
    """The messages of one log that can be applied now.

    Attributes:
        log: the log.
        messages: the next messages; empty if only the log's place in the stream is to be stored.
        resume_after: returns the place in the stream where reading continues after a number is applied.
    """

    log: Log
    messages: Sequence[Message]
    resume_after: Callable[[int], int]


@dataclass(frozen=True, slots=True)
class Position:
    """The position up to which a log is applied.

    Attributes:
        number: the last number that was applied.
        sequence: the place in the stream where reading continues.
    """

    number: int
    sequence: int


_START = "INSERT INTO inbox (log, last_number) SELECT unnest(%s::text[]), 0 ON CONFLICT DO NOTHING"
# Always in the order of their names, so that two readers never wait for each other in a circle.
_HOLD = "SELECT log, last_number, stream_sequence FROM inbox WHERE log = ANY(%s) ORDER BY log FOR UPDATE"
_MOVE = """
UPDATE inbox SET last_number = moved.number, stream_sequence = moved.sequence
FROM unnest(%s::text[], %s::bigint[], %s::bigint[]) AS moved(log, number, sequence) WHERE inbox.log = moved.log
"""


def hold_positions(tx: Connection, names: Sequence[str]) -> dict[str, Position]:
    """The positions of logs, whose rows stay locked until the transaction ends; a new log is at its start."""
    rows = {
        row.log: Position(row.last_number, row.stream_sequence) for row in tx.exec_driver_sql(_HOLD, (list(names),))
    }
    if len(rows) < len(set(names)):
        tx.exec_driver_sql(_START, (list(names),))
        return hold_positions(tx, names)
    return rows


class Applier:
    """Applies messages exactly once: a position is locked, compared and moved with their effect."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def apply(self, due: Sequence[Due], stopping: threading.Event) -> Mapping[str, Position]:
        """Apply the next messages of some logs; returns their positions afterwards.

        Raises:
            UnavailableError: a message waits for something else; everything that is not behind it in its log is
                applied.
            Exception: a temporary error; some of the messages may be applied.
        """
        try:
            return self._commit(due)
        except Exception as error:
            # A message that waits for something else must not hold back those before it: what it waits for may depend
            # on them (margin's test clock waits for costs, which wait for an earlier message's metric).
            waits = isinstance(error, UnavailableError) and sum(len(log_due.messages) for log_due in due) > 1
            if is_passing(error) and not waits:
                raise
            if not waits:
                log.exception("log_batch_failed", logs=[log_due.log.name for log_due in due])
        return self._apply_apart(due, stopping)

    def _apply_apart(self, due: Sequence[Due], stopping: threading.Event) -> Mapping[str, Position]:
        """Apply each log alone, so that one that waits for something else delays no other."""
        moved: dict[str, Position] = {}
        waiting: UnavailableError | None = None
        for log_due in due:
            try:
                moved |= self._apply_log(log_due, stopping, is_alone=len(due) == 1)
            except UnavailableError as error:
                waiting = waiting or error
        if waiting is not None:
            raise waiting
        return moved

    def _apply_log(self, due: Due, stopping: threading.Event, *, is_alone: bool) -> Mapping[str, Position]:
        """Apply a log's messages together, or one by one if that fails; it has failed already if the log was alone."""
        if not is_alone:
            try:
                return self._commit([due])
            except Exception as error:
                waits = isinstance(error, UnavailableError) and len(due.messages) > 1
                if is_passing(error) and not waits:
                    raise
        moved: Mapping[str, Position] = {}
        for message in due.messages:
            moved = self._apply_alone(Due(due.log, [message], due.resume_after), stopping)
        return moved

    def _apply_alone(self, due: Due, stopping: threading.Event) -> Mapping[str, Position]:
        attempt = 1
        while True:
            try:
                return self._commit([due])
            except Exception as error:
                if is_passing(error):
                    raise
                if attempt >= (MAX_SLOW_ATTEMPTS if ran_too_long(error) else MAX_ATTEMPTS):
                    return self._set_aside(due, error)
            stopping.wait(ATTEMPT_PAUSE_SECONDS * attempt)
            attempt += 1

    def _commit(self, due: Sequence[Due]) -> Mapping[str, Position]:
        """One transaction: the new messages of each log have their effect, and all positions move."""
        with self._db.worker_transaction() as tx:
            held = hold_positions(tx, [log_due.log.name for log_due in due])
            fresh = [
                (log_due, _beyond(log_due.log, log_due.messages, held[log_due.log.name].number)) for log_due in due
            ]
            for apply, messages in _by_effect(fresh):
                apply(tx, messages)
            moved = {log_due.log.name: _moved(log_due, messages, held[log_due.log.name]) for log_due, messages in fresh}
            tx.exec_driver_sql(
                _MOVE,
                (
                    list(moved),
                    [position.number for position in moved.values()],
                    [position.sequence for position in moved.values()],
                ),
            )
        for log_due, messages in fresh:
            metrics.APPLIED.labels(log_due.log.name).inc(len(messages))
            metrics.LOG_POSITION.labels(log_due.log.name).set(moved[log_due.log.name].number)
        return moved

    def _set_aside(self, due: Due, error: Exception) -> Mapping[str, Position]:
        """Skip a message that cannot be applied, and store it as a dead letter for a person."""
        (message,) = due.messages
        with self._db.worker_transaction() as tx:
            held = hold_positions(tx, [due.log.name])[due.log.name]
            tx.exec_driver_sql(
                "INSERT INTO dead_letters (log, number, subject, body, error) VALUES (%s, %s, %s, %s, %s) "
                "ON CONFLICT DO NOTHING",
                (due.log.name, message.first, message.subject, message.body, repr(error)[:_MAX_ERROR]),
            )
            moved = _moved(due, [message], held)
            tx.exec_driver_sql(_MOVE, ([due.log.name], [moved.number], [moved.sequence]))
        metrics.DEAD_LETTERS.labels(due.log.name).inc()
        log.error("dead_letter", log=due.log.name, number=message.first, subject=message.subject, error=repr(error))
        return {due.log.name: moved}


def _moved(due: Due, messages: Sequence[Message], held: Position) -> Position:
    number = max([held.number, *(message.last for message in messages[-1:])])
    return Position(number, due.resume_after(number))


def _beyond(log_: Log, messages: Sequence[Message], number: int) -> list[Message]:
    """The messages, or parts of them, beyond a position. Another reader may have moved it; a message may straddle it.

    Raises:
        UnavailableError: `LOG_POSITION_MOVED`, the position lies further back than the messages, so it was moved back.
    """
    fresh: list[Message] = []
    for message in messages:
        if message.last <= number:
            continue
        if message.first > number + 1 or (message.first <= number and log_.source is None):
            raise UnavailableError("LOG_POSITION_MOVED", f"{log_.name} moved to {number} meanwhile")
        fresh += [message] if message.first > number or log_.source is None else log_.source.beyond(message, number)
        number = message.last
    return fresh


def _by_effect(fresh: Sequence[tuple[Due, Sequence[Message]]]) -> list[tuple[Apply, list[Message]]]:
    """The messages of all logs by the function that applies them; those of one log in their order."""
    gathered: dict[Apply, list[Message]] = {}
    for due, messages in fresh:
        if messages:
            gathered.setdefault(due.log.apply, []).extend(messages)
    return list(gathered.items())

"""Follow numbered logs so that each message has its effect exactly once.

A log is a subject whose messages carry consecutive numbers (chassis.outbox, or a shard of the usage-event log). The
position of a log is a row of the consumer's own database, locked and moved in the same transaction as the effect:

- a number at or below the position was applied before: passed over;
- the next number: applied;
- a later number: something is missing. It is fetched from the log's source where there is one, else waited for.

So at-least-once delivery, reordering, two readers at once, a killed process and a wiped NATS store all end in the same
place. A message that fails for its own content is set aside as a dead letter after a few attempts, and reported.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from services.chassis import metrics
from services.chassis.bus import Bus, Incoming, Reader
from services.chassis.db import DATABASE_ERRORS, Database, is_unavailable, lost_a_race
from services.chassis.lease import Leases
from services.chassis.log import logger
from services.chassis.outbox import LAST_NUMBER_HEADER, NUMBER_HEADER
from services.chassis.streams import Stream
from services.kernel.errors import FareboxError, UnavailableError

log = logger(__name__)

# Messages applied in one transaction: enough to spread its cost, few enough to be quick to repeat.
BATCH = 64
# Longest wait for a message before the reader makes sure that it is still alive.
FETCH_SECONDS = 1.0
# Pause after the bus or the database was away.
RETRY_SECONDS = 0.3
# A message that fails this often in a row for its own content is set aside.
MAX_ATTEMPTS = 5
# Messages that came before their turn and wait in memory for a missing one.
MAX_EARLY = 10_000
# How often the sources of the logs are asked whether the bus has lost their newest messages.
TAIL_CHECK_SECONDS = 2.0


@dataclass(frozen=True)
class Message:
    """One message of a numbered log.

    Attributes:
        subject: where it was published.
        first, last: its consecutive numbers; equal for a domain event.
        body: serialized protobuf.
        sequence: its place in the stream; 0 where it came from the source.
    """

    subject: str
    first: int
    last: int
    body: bytes
    sequence: int = 0


@dataclass(frozen=True)
class Log:
    """A log to follow.

    Attributes:
        name: key of the position, e.g. `ingest.usage_events.3` or `rating`.
        stream: JetStream stream that carries it.
        subject: subject filter within the stream.
        apply: takes the effect of messages in order, inside the transaction it is given.
        replay: fetches the messages from the first to the last number from the source; None where there is no source.
        newest: the last number the source has; asked from time to time, to notice a lost tail. None where unknown.
    """

    name: str
    stream: Stream
    subject: str
    apply: Callable[[Connection, Sequence[Message]], None]
    replay: Callable[[int, int], Iterable[Message]] | None = None
    newest: Callable[[], int] | None = None


def tables(metadata: sa.MetaData) -> tuple[sa.Table, sa.Table]:
    """The positions and the dead letters; every consuming service's migrations create both."""
    inbox = sa.Table(
        "inbox",
        metadata,
        sa.Column("log", sa.Text, primary_key=True),
        sa.Column("last_number", sa.BigInteger, nullable=False),
        sa.Column("stream_sequence", sa.BigInteger, nullable=False, server_default="0"),
    )
    dead_letters = sa.Table(
        "dead_letters",
        metadata,
        sa.Column("log", sa.Text, primary_key=True),
        sa.Column("number", sa.BigInteger, primary_key=True),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("set_aside_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()),
    )
    return inbox, dead_letters


def position(tx: Connection, log_name: str) -> tuple[int, int]:
    """Last applied number and its stream sequence; the row is locked until the transaction ends."""
    tx.exec_driver_sql("INSERT INTO inbox (log, last_number) VALUES (%s, 0) ON CONFLICT DO NOTHING", (log_name,))
    row = tx.exec_driver_sql(
        "SELECT last_number, stream_sequence FROM inbox WHERE log = %s FOR UPDATE", (log_name,)
    ).one()
    return row[0], row[1]


class _LogReader:
    """One log's thread: reads, orders, fills gaps, applies."""

    def __init__(self, db: Database, bus: Bus, log_: Log) -> None:
        self._db = db
        self._bus = bus
        self._log = log_
        self._early: dict[int, Message] = {}
        # The last sequence received, and what it was at the check before: without progress there is something wrong.
        self._sequence = 0
        self._checked_sequence = -1
        self._stopping = threading.Event()
        self._tail_missing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"log-{log_.name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self.signal()
        self._thread.join()

    def signal(self) -> None:
        """Ask to stop without waiting, so that many readers stop at once."""
        self._stopping.set()

    def check_tail(self) -> None:
        """Ask the reader to fetch what its source has and the bus did not bring."""
        self._tail_missing.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._read()
            except (FareboxError, *DATABASE_ERRORS) as error:
                log.warning("log_waits", log=self._log.name, error=repr(error))
                self._stopping.wait(RETRY_SECONDS)

    def _read(self) -> None:
        with self._db.worker_transaction() as tx:
            number, sequence = position(tx, self._log.name)
        reader = self._open(sequence)
        try:
            while not self._stopping.is_set():
                if self._tail_missing.is_set():
                    self._tail_missing.clear()
                    number = self._catch_up(number)
                incoming = [_message(m) for m in reader.fetch(BATCH, FETCH_SECONDS)]
                if incoming:
                    self._sequence = incoming[-1].sequence
                number = self._take(number, incoming)
        finally:
            reader.close()

    def _open(self, sequence: int) -> Reader:
        """Read on after the position; a sequence beyond the stream's end means that the stream is a new one."""
        place = self._bus.ensure_stream(self._log.stream.name, self._log.stream.subjects)
        after = sequence if sequence <= place.last_sequence else 0
        self._early.clear()
        self._sequence, self._checked_sequence = after, -1
        return self._bus.open_reader(self._log.stream.name, self._log.subject, after_sequence=after)

    def _take(self, number: int, incoming: Sequence[Message]) -> int:
        """Apply what is next in line; returns the new position."""
        for message in incoming:
            if message.last > number:
                self._early[message.first] = message
        if len(self._early) > MAX_EARLY:
            raise UnavailableError("LOG_GAP", f"{self._log.name}: number {number + 1} is missing")
        while self._early and not self._stopping.is_set():
            ready = self._in_line(number)
            if not ready:
                if self._log.replay is None:
                    return number
                ready = self._fetch_missing(number)
            number = self._apply(ready)
            self._early = {first: m for first, m in self._early.items() if m.last > number}
        return number

    def _in_line(self, number: int) -> list[Message]:
        ready: list[Message] = []
        for first in sorted(self._early):
            message = self._early[first]
            if message.first > number + 1 or len(ready) == BATCH:
                break
            if message.last > number:
                ready.append(message)
                number = message.last
        return ready

    def _fetch_missing(self, number: int) -> list[Message]:
        upcoming = min(self._early)
        log.info("log_gap", log=self._log.name, after=number, before=upcoming)
        return self._replay(number + 1, upcoming - 1)

    def _catch_up(self, number: int) -> int:
        """Fetch the tail that the source has and the bus has lost; without a source, see that the bus brings it."""
        if self._log.newest is None or self._log.replay is None:
            self._require_progress()
            return number
        newest = self._log.newest()
        while number < newest and not self._stopping.is_set():
            number = self._apply(self._replay(number + 1, newest))
        return number

    def _require_progress(self) -> None:
        """Start over from the position where the stream holds more, or numbers are missing, and nothing comes."""
        last = self._bus.ensure_stream(self._log.stream.name, self._log.stream.subjects).last_sequence
        is_behind = bool(self._early) or last > self._sequence
        if is_behind and self._checked_sequence == self._sequence:
            raise UnavailableError("LOG_STALLED", f"{self._log.name} is at {self._sequence} of {last}")
        self._checked_sequence = self._sequence

    def _replay(self, first: int, last: int) -> list[Message]:
        assert self._log.replay is not None  # noqa: S101 - narrowed by both callers
        messages: list[Message] = []
        for message in self._log.replay(first, last):
            messages.append(message)
            if len(messages) == BATCH:
                break
        if not messages or messages[0].first > first:
            raise UnavailableError("LOG_SOURCE_GAP", f"{self._log.name}: the source lacks number {first}")
        metrics.REPLAYED.labels(self._log.name).inc(len(messages))
        return messages

    def _apply(self, messages: Sequence[Message]) -> int:
        """Apply messages in one transaction; where their content fails, one by one, setting the culprit aside."""
        try:
            return self._apply_once(messages)
        except Exception as error:
            # A message that waits for something else must not hold back those before it: what it waits for may depend
            # on them (margin's test clock waits for costs, which wait for an earlier message's metric).
            waits = isinstance(error, UnavailableError) and len(messages) > 1
            if _passes(error) and not waits:
                raise
            if not waits:
                log.exception("log_batch_failed", log=self._log.name, first=messages[0].first)
        number = 0
        for message in messages:
            number = self._apply_alone(message)
        return number

    def _apply_alone(self, message: Message) -> int:
        for attempt in range(1, MAX_ATTEMPTS + 1):
            try:
                return self._apply_once([message])
            except Exception as error:
                if _passes(error):
                    raise
                if attempt == MAX_ATTEMPTS:
                    return self._set_aside(message, error)
                self._stopping.wait(RETRY_SECONDS * attempt)
        raise AssertionError("unreachable")

    def _apply_once(self, messages: Sequence[Message]) -> int:
        with self._db.worker_transaction() as tx:
            number, sequence = position(tx, self._log.name)
            fresh = [m for m in messages if m.last > number]
            if not fresh:
                return number
            if any(m.first <= number for m in fresh[:1]) or fresh[0].first != number + 1:
                # Only a second reader can cause this; whoever is right, starting over from the position is.
                raise UnavailableError("LOG_POSITION_MOVED", f"{self._log.name} moved to {number} meanwhile")
            self._log.apply(tx, fresh)
            self._advance(tx, fresh[-1], sequence)
        metrics.APPLIED.labels(self._log.name).inc(len(fresh))
        metrics.LOG_POSITION.labels(self._log.name).set(fresh[-1].last)
        return fresh[-1].last

    def _advance(self, tx: Connection, message: Message, sequence: int) -> None:
        tx.exec_driver_sql(
            "UPDATE inbox SET last_number = %s, stream_sequence = %s WHERE log = %s",
            (message.last, message.sequence or sequence, self._log.name),
        )

    def _set_aside(self, message: Message, error: Exception) -> int:
        with self._db.worker_transaction() as tx:
            _, sequence = position(tx, self._log.name)
            tx.exec_driver_sql(
                "INSERT INTO dead_letters (log, number, subject, body, error) VALUES (%s, %s, %s, %s, %s) "
                "ON CONFLICT DO NOTHING",
                (self._log.name, message.first, message.subject, message.body, repr(error)[:2000]),
            )
            self._advance(tx, message, sequence)
        metrics.DEAD_LETTERS.labels(self._log.name).inc()
        log.error("dead_letter", log=self._log.name, number=message.first, error=repr(error))
        return message.last


def _passes(error: Exception) -> bool:
    """Whether an error has nothing to do with the message: the same message will succeed later."""
    return isinstance(error, UnavailableError) or is_unavailable(error) or lost_a_race(error)


def _message(incoming: Incoming) -> Message:
    first = int(incoming.headers[NUMBER_HEADER])
    last = int(incoming.headers.get(LAST_NUMBER_HEADER, first))
    return Message(incoming.subject, first, last, incoming.body, incoming.sequence)


class Follower:
    """Follows logs, sharing them with the other replicas of the service."""

    def __init__(self, db: Database, bus: Bus, logs: Sequence[Log]) -> None:
        self._db = db
        self._bus = bus
        self._logs = {log_.name: log_ for log_ in logs}
        self._readers: dict[str, _LogReader] = {}
        self._guard = threading.Lock()
        self._leases = Leases(db, list(self._logs), on_won=self._win, on_lost=self._lose)
        self._stopping = threading.Event()
        self._tail_checker = threading.Thread(target=self._check_tails, name="log-tails", daemon=True)

    def start(self) -> None:
        """Begin to follow."""
        self._leases.start()
        self._tail_checker.start()

    def stop(self) -> None:
        """Finish the batches at hand and hand the logs over."""
        self._stopping.set()
        self._tail_checker.join()
        with self._guard:
            for reader in self._readers.values():
                reader.signal()
        self._leases.stop()

    def _win(self, name: str) -> None:
        reader = _LogReader(self._db, self._bus, self._logs[name])
        with self._guard:
            self._readers[name] = reader
        reader.start()

    def _lose(self, name: str) -> None:
        with self._guard:
            reader = self._readers.pop(name)
        reader.stop()

    def _check_tails(self) -> None:
        while not self._stopping.wait(TAIL_CHECK_SECONDS):
            with self._guard:
                readers = list(self._readers.values())
            for reader in readers:
                reader.check_tail()

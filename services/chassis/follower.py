"""Follow numbered logs so that each message has its effect exactly once.

A log is a subject whose messages carry consecutive numbers (chassis.outbox, or a shard of the usage-event log). The
position of a log is a row of the consumer's own database, locked and moved in the same transaction as the effect:

- a number at or below the position was applied before: passed over;
- the next number: applied;
- a later number: something is missing. It is fetched from the log's source where there is one, else waited for.

So at-least-once delivery, reordering, two readers at once, a killed process and a wiped NATS store all end in the same
place. A message that fails for its own content is set aside as a dead letter after a few attempts, and reported; one
that is no message of a log at all is passed over, and reported. Messages that came in parts are joined first
(chassis.messages).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy.engine import Connection

from services.chassis import metrics
from services.chassis.bus import Bus, Reader, Stream
from services.chassis.db import Database, is_passing, ran_too_long
from services.chassis.job import Job
from services.chassis.lease import Leases
from services.chassis.log import logger
from services.chassis.messages import Incoming, Joiner
from services.kernel.errors import UnavailableError

log = logger(__name__)

# Messages applied in one transaction: enough to spread its cost, few enough to be quick to repeat.
BATCH = 64
# Bytes applied in one transaction, a larger message by itself.
BATCH_BYTES = 16 * 1024 * 1024
# Longest wait for a message before the reader makes sure that it is still alive.
FETCH_SECONDS = 1.0
# A message that fails this often in a row for its own content is set aside. Few attempts with short pauses: whoever
# can make one such message can make a thousand, and everybody's messages stand behind them.
MAX_ATTEMPTS = 3
ATTEMPT_PAUSE_SECONDS = 0.02
# A message whose statements are given up for taking too long may suffer from a busy database: it gets some minutes.
MAX_SLOW_ATTEMPTS = 10
# Messages that came before their turn and wait in memory for a missing one.
MAX_EARLY = 10_000
# Bytes of such messages, and of parts whose other parts are still to come.
MAX_EARLY_BYTES = 256 * 1024 * 1024
# How often the sources of the logs are asked whether the bus has lost their newest messages.
TAIL_CHECK_SECONDS = 2.0


@dataclass(frozen=True)
class Message:
    """One message of a numbered log.

    Attributes:
        subject: where it was published.
        first, last: its consecutive numbers; equal for a domain event.
        body: serialized protobuf.
        sequence: its place in the stream, or that of its last part; 0 where it came from the source.
        begins: the place of its first part in the stream.
    """

    subject: str
    first: int
    last: int
    body: bytes
    sequence: int = 0
    begins: int = 0


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
        self._joiner = Joiner()
        # The last sequence received, and what it was at the check before: without progress there is something wrong.
        self._sequence = 0
        self._checked_sequence = -1
        self._tail_missing = threading.Event()
        self.job = Job(f"log-{log_.name}", self._read)

    def check_tail(self) -> None:
        """Ask the reader to fetch what its source has and the bus did not bring."""
        self._tail_missing.set()

    def _read(self, stopping: threading.Event) -> bool:
        """Read from the position on until asked to stop; always again, since only an error ends it earlier."""
        with self._db.worker_transaction() as tx:
            number, sequence = position(tx, self._log.name)
        reader = self._open(sequence)
        try:
            while not stopping.is_set():
                if self._tail_missing.is_set():
                    self._tail_missing.clear()
                    number = self._catch_up(number, stopping)
                incoming = reader.fetch(BATCH, FETCH_SECONDS)
                if incoming:
                    self._sequence = incoming[-1].sequence
                number = self._take(number, self._messages(incoming), stopping)
        finally:
            reader.close()
        return True

    def _messages(self, incoming: Sequence[Incoming]) -> list[Message]:
        """What came, whole; parts wait for the others."""
        messages: list[Message] = []
        for received in incoming:
            try:
                whole = self._joiner.join(received)
            except ValueError:
                metrics.DEAD_LETTERS.labels(self._log.name).inc()
                log.exception("foreign_message", log=self._log.name, sequence=received.sequence)
                continue
            if whole is not None:
                messages.append(Message(whole.subject, *whole.numbers, whole.body, whole.sequence, whole.begins))
        return messages

    def _open(self, sequence: int) -> Reader:
        """Read on after the position; a sequence beyond the stream's end means that the stream is a new one."""
        place = self._bus.ensure_stream(self._log.stream.name, self._log.stream.subjects)
        after = sequence if sequence <= place.last_sequence else 0
        self._early.clear()
        self._joiner.clear()
        self._sequence, self._checked_sequence = after, -1
        return self._bus.open_reader(self._log.stream.name, self._log.subject, after_sequence=after)

    def _take(self, number: int, messages: Sequence[Message], stopping: threading.Event) -> int:
        """Apply what is next in line; returns the new position."""
        self._joiner.forget(number)
        for message in messages:
            if message.last > number:
                self._early[message.first] = message
        early_bytes = self._joiner.held_bytes + sum(len(message.body) for message in self._early.values())
        if len(self._early) > MAX_EARLY or early_bytes > MAX_EARLY_BYTES:
            raise UnavailableError("LOG_GAP", f"{self._log.name}: number {number + 1} is missing")
        while self._early and not stopping.is_set():
            ready = self._in_line(number)
            if not ready:
                if self._log.replay is None:
                    return number
                ready = self._fetch_missing(number)
            number = self._apply(ready, stopping)
            self._early = {first: m for first, m in self._early.items() if m.last > number}
        return number

    def _in_line(self, number: int) -> list[Message]:
        """What may be applied now, as much as one transaction should hold."""
        ready: list[Message] = []
        size = 0
        for first in sorted(self._early):
            message = self._early[first]
            size += len(message.body)
            if message.first > number + 1 or len(ready) == BATCH or (ready and size > BATCH_BYTES):
                break
            if message.last > number:
                ready.append(message)
                number = message.last
        return ready

    def _fetch_missing(self, number: int) -> list[Message]:
        upcoming = min(self._early)
        log.info("log_gap", log=self._log.name, after=number, before=upcoming)
        return self._replay(number + 1, upcoming - 1)

    def _catch_up(self, number: int, stopping: threading.Event) -> int:
        """Fetch the tail that the source has and the bus has lost; without a source, see that the bus brings it."""
        if self._log.newest is None or self._log.replay is None:
            self._require_progress()
            return number
        newest = self._log.newest()
        while number < newest and not stopping.is_set():
            number = self._apply(self._replay(number + 1, newest), stopping)
        return number

    def _require_progress(self) -> None:
        """Start over from the position where the stream holds more, or numbers are missing, and nothing comes."""
        last = self._bus.ensure_stream(self._log.stream.name, self._log.stream.subjects).last_sequence
        is_behind = bool(self._early or self._joiner.held_bytes) or last > self._sequence
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

    def _apply(self, messages: Sequence[Message], stopping: threading.Event) -> int:
        """Apply messages in one transaction; where their content fails, one by one, setting the culprit aside."""
        try:
            return self._apply_once(messages)
        except Exception as error:
            # A message that waits for something else must not hold back those before it: what it waits for may depend
            # on them (margin's test clock waits for costs, which wait for an earlier message's metric).
            waits = isinstance(error, UnavailableError) and len(messages) > 1
            if is_passing(error) and not waits:
                raise
            if not waits:
                log.exception("log_batch_failed", log=self._log.name, first=messages[0].first)
        number = 0
        for message in messages:
            number = self._apply_alone(message, stopping)
        return number

    def _apply_alone(self, message: Message, stopping: threading.Event) -> int:
        attempt = 1
        while True:
            try:
                return self._apply_once([message])
            except Exception as error:
                if is_passing(error):
                    raise
                if attempt >= (MAX_SLOW_ATTEMPTS if ran_too_long(error) else MAX_ATTEMPTS):
                    return self._set_aside(message, error)
            stopping.wait(ATTEMPT_PAUSE_SECONDS * attempt)
            attempt += 1

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
        """Move the position; reading goes on before whatever came early, or the next reader would never see it."""
        waiting = [early.begins for early in self._early.values() if early.last > message.last]
        waiting += self._joiner.begins(message.last)
        resume = min([message.sequence or sequence, *(begins - 1 for begins in waiting)])
        tx.exec_driver_sql(
            "UPDATE inbox SET last_number = %s, stream_sequence = %s WHERE log = %s",
            (message.last, max(0, resume), self._log.name),
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


class Follower:
    """Follows logs, sharing them with the other replicas of the service."""

    def __init__(self, db: Database, bus: Bus, logs: Sequence[Log]) -> None:
        self._db = db
        self._bus = bus
        self._logs = {log_.name: log_ for log_ in logs}
        self._readers: dict[str, _LogReader] = {}
        self._ending: list[_LogReader] = []
        self._guard = threading.Lock()
        self._leases = Leases(db, list(self._logs), on_won=self._win, on_lost=self._lose)
        self._tail_checker = Job("log-tails", self._check_tails, pause_seconds=TAIL_CHECK_SECONDS)

    def start(self) -> None:
        """Begin to follow."""
        self._leases.start()
        self._tail_checker.start()

    def stop(self) -> None:
        """Finish the batches at hand and hand the logs over."""
        self._tail_checker.stop()
        with self._guard:
            for reader in self._readers.values():
                reader.job.signal()
        self._leases.stop()
        for reader in self._ending:
            reader.job.stop()

    def _win(self, name: str) -> None:
        reader = _LogReader(self._db, self._bus, self._logs[name])
        reader.job.start()
        with self._guard:
            self._readers[name] = reader

    def _lose(self, name: str) -> None:
        """Ask the reader to end; waiting for it here would let one slow batch cost this process all its leases."""
        with self._guard:
            reader = self._readers.pop(name)
            self._ending = [ending for ending in self._ending if ending.job.is_alive] + [reader]
        reader.job.signal()

    def _check_tails(self, _: threading.Event) -> bool:
        with self._guard:
            readers = list(self._readers.values())
        for reader in readers:
            reader.check_tail()
        return True

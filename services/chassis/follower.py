"""Follow numbered logs so that each message has its effect exactly once.

A log is a subject whose messages carry consecutive numbers (chassis.outbox, or a shard of the usage-event log). The
position of a log is a row of the consumer's own database, locked and moved in the same transaction as the effect
(chassis.applier):

- a number at or below the position was applied before: skipped;
- the next number: applied;
- a later number: something is missing. The bus may still bring it; if it does not, it is fetched from the log's
  source, if there is one.

So at-least-once delivery, reordering, two readers at once, a killed process and a wiped NATS store all have the same
result. Anything that is not a message of a log is skipped and reported. Messages that came in parts are joined first
(chassis.messages).

    bus ──▶ Reader ──▶ Ordering, one a log ──▶ Applier: one transaction for what is in line of all logs of a stream
                            ▲
                 source ────┘  what the bus has lost, and nothing else
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from functools import partial

from services.chassis import metrics
from services.chassis.applier import Applier, Due, hold_positions
from services.chassis.bus import Bus, Stream
from services.chassis.db import Database
from services.chassis.followed import Log, Message
from services.chassis.job import Job
from services.chassis.lease import Leases
from services.chassis.log import logger
from services.chassis.messages import Incoming
from services.chassis.ordering import Ordering
from services.chassis.reader import Reader
from services.kernel.errors import FareboxError, UnavailableError

log = logger(__name__)

# Messages applied in one transaction: enough to spread its cost, few enough to be quick to repeat.
BATCH = 256
# Bytes applied in one transaction, a larger message by itself: some 8,000 usage events, a third of a second.
BATCH_BYTES = 2 * 1024 * 1024
# A transaction costs some milliseconds whatever it holds. So after one that held few bytes (fewer than some 250 usage
# events have), the next ones are left to gather for a while: so many times as long as that one took, and at most so
# long. Events that come singly, hundreds a second, then cost a third; one that comes alone waits for nothing.
FEW_BYTES = 64 * 1024
GATHER_TIMES = 2.0
MAX_GATHER_SECONDS = 0.03
# Longest wait for a message before the follower checks for missing ones.
FETCH_SECONDS = 1.0
# A number that is missing this long, while later ones are here, is fetched from the source. A relay that died between
# two messages, or sends some again, closes the gap itself within this time.
GAP_SECONDS = 0.5
# Interval of the question to the sources of the logs whether the bus has lost their newest messages.
TAIL_CHECK_SECONDS = 2.0
# A log's place in the stream is stored with its position. If it was not touched while the others went on by this many
# messages, it is stored again; otherwise the log's next reader would read all of those again.
SEQUENCE_LAG = 1_000


class _StreamFollower:
    """One stream's thread: reads the logs that this process holds, orders them, fills gaps, applies."""

    def __init__(self, db: Database, bus: Bus, stream: Stream) -> None:
        self._db = db
        self._bus = bus
        self._stream = stream
        self._applier = Applier(db)
        self._guard = threading.Lock()
        self._held: dict[str, Log] = {}
        self._published: dict[str, int] = {}
        self._is_changed = threading.Event()
        self._orderings: dict[str, Ordering] = {}
        self._of_subject: dict[str, Ordering | None] = {}
        # The numbers up to which the source repeats messages that the bus has lost.
        self._lost: dict[str, int] = {}
        self._gaps: dict[str, tuple[int, float]] = {}
        self._read_up_to = 0
        self._turns = 0
        self._progress = _Progress()
        self.job = Job(f"follow-{stream.name}", self._follow, wake=self._is_changed)

    def hold(self, log_: Log) -> None:
        """Begin to follow a log."""
        with self._guard:
            self._held[log_.name] = log_
        self._is_changed.set()

    def let_go(self, name: str) -> None:
        """Stop following a log after the present batch."""
        with self._guard:
            self._held.pop(name, None)
        self._is_changed.set()

    def check_tails(self) -> None:
        """Ask the sources of the logs how far they have published; one that does not answer affects no other."""
        with self._guard:
            held = list(self._held.values())
        for log_ in held:
            if log_.source is None:
                continue
            try:
                published = log_.source.published()
            except FareboxError as error:
                log.warning("log_source_waits", log=log_.name, error=repr(error))
            except Exception:
                log.exception("log_source_failed", log=log_.name)
            else:
                self._published[log_.name] = published

    def _follow(self, stopping: threading.Event) -> bool:
        """Read from the positions on until asked to stop or to follow other logs; always again."""
        self._is_changed.clear()
        with self._guard:
            held = dict(self._held)
        if not held:
            self._is_changed.wait(FETCH_SECONDS)
            return True
        reader = self._open(held)
        try:
            while not stopping.is_set() and not self._is_changed.is_set():
                self._turn(reader, stopping)
        finally:
            reader.close()
        return True

    def _open(self, held: Mapping[str, Log]) -> Reader:
        """Read on after the positions; a sequence beyond the stream's end means that the stream is a new one."""
        with self._db.worker_transaction(quiet=True) as tx:
            positions = hold_positions(tx, list(held))
        self._orderings = {
            name: Ordering(log_, positions[name].number, positions[name].sequence) for name, log_ in held.items()
        }
        self._of_subject.clear()
        self._lost.clear()
        self._gaps.clear()
        place = self._bus.ensure_stream(self._stream.name, self._stream.subjects)
        is_new = any(position.sequence > place.last_sequence for position in positions.values())
        after = 0 if is_new else min(position.sequence for position in positions.values())
        self._read_up_to = after
        self._progress = _Progress()
        return self._bus.open_reader(self._stream.name, *(log_.subject for log_ in held.values()), after_sequence=after)

    def _turn(self, reader: Reader, stopping: threading.Event) -> None:
        """Take the messages that have arrived, and apply the next ones."""
        due = self._due()
        if not due:
            patience = GAP_SECONDS / 2 if self._gaps or self._lost else FETCH_SECONDS
            self._take(reader.fetch(BATCH, patience))
            due = self._due()
        elif sum(len(log_due.messages) for log_due in due) < BATCH:
            self._take(reader.fetch(BATCH, 0))
            due = self._due()
        if due:
            self._apply(due, stopping)
        self._find_lost(reader)
        self._replay_lost()
        is_waiting = any(ordering.is_waiting for ordering in self._orderings.values())
        self._progress.require(reader, self._read_up_to, self._turns, is_waiting=is_waiting)

    def _apply(self, due: Sequence[Due], stopping: threading.Event) -> None:
        """Apply messages in one transaction; after few, leave the next ones time to gather."""
        began = time.monotonic()
        for name, position in self._applier.apply(due, stopping).items():
            self._orderings[name].applied(position.number, position.sequence)
        self._turns += 1
        messages = [message for log_due in due for message in log_due.messages]
        size = sum(len(message.body) for message in messages)
        stopping.wait(gather_seconds(len(messages), size, time.monotonic() - began))

    def _take(self, incoming: Sequence[Incoming]) -> None:
        """Hand each message to its log."""
        for received in incoming:
            try:
                ordering = self._ordering_of(received.subject)
                if ordering is not None:
                    ordering.take(received)
            except ValueError:
                metrics.DEAD_LETTERS.labels(self._stream.name).inc()
                log.exception("foreign_message", stream=self._stream.name, sequence=received.sequence)
            self._read_up_to = received.sequence

    def _ordering_of(self, subject: str) -> Ordering | None:
        if subject not in self._of_subject:
            found = (ordering for ordering in self._orderings.values() if matches(ordering.log.subject, subject))
            self._of_subject[subject] = next(found, None)
        return self._of_subject[subject]

    def _due(self) -> list[Due]:
        """The next messages, as many as one transaction should hold, and the logs whose stored place is far behind."""
        due: list[Due] = []
        count, size = BATCH, BATCH_BYTES
        # A log that had to wait is first the next time.
        for ordering in sorted(self._orderings.values(), key=lambda ordering: ordering.sequence):
            messages = ordering.next_in_line(count, size) if count > 0 and size > 0 else []
            count -= len(messages)
            size -= sum(len(message.body) for message in messages)
            if messages or (self._read_up_to - ordering.sequence > SEQUENCE_LAG and not ordering.is_waiting):
                resume_after = partial(ordering.resume_after, read_up_to=self._read_up_to)
                due.append(Due(ordering.log, messages, resume_after))
        return due

    def _find_lost(self, reader: Reader) -> None:
        """Find messages that the bus has lost: missing for a while, although everything on the bus was read."""
        suspected: dict[str, int] = {}
        now = time.monotonic()
        for name, ordering in self._orderings.items():
            if ordering.log.source is None:
                continue
            missing = ordering.missing()
            if missing is None:
                self._gaps.pop(name, None)
            elif self._gaps.get(name, (0, now))[0] != missing[0]:
                self._gaps[name] = (missing[0], now)
            elif now - self._gaps[name][1] >= GAP_SECONDS:
                suspected[name] = missing[1]
            published = self._published.pop(name, None)
            if published is not None and (tail := ordering.suspect_after(published)):
                suspected[name] = max(suspected.get(name, 0), tail)
        if suspected and reader.place().is_read_up_to(self._read_up_to):
            self._lost |= suspected

    def _replay_lost(self) -> None:
        """Fetch messages that the bus has lost from their source, a batch of each log at a time."""
        for name, last in list(self._lost.items()):
            ordering = self._orderings[name]
            if ordering.number >= last or ordering.log.source is None:
                del self._lost[name]
            elif not ordering.next_in_line(1, 0):
                ordering.take_replayed(_replayed(ordering.log, ordering.number + 1, last))


class _Progress:
    """Makes sure that a reader brings what its stream holds: after two checks without progress it is opened again."""

    def __init__(self) -> None:
        self._next_look = time.monotonic() + TAIL_CHECK_SECONDS
        self._stood_at: tuple[int, int] | None = None

    def require(self, reader: Reader, read_up_to: int, turns: int, *, is_waiting: bool) -> None:
        """Check from time to time.

        Args:
            reader: the reader.
            read_up_to: the place in the stream up to which everything was read.
            turns: how many batches were applied.
            is_waiting: whether a message waits for its turn.

        Raises:
            UnavailableError: `LOG_STALLED`.
        """
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + TAIL_CHECK_SECONDS
        place = (read_up_to, turns)
        is_behind = is_waiting or not reader.place().is_read_up_to(read_up_to)
        if is_behind and self._stood_at == place:
            raise UnavailableError("LOG_STALLED", f"{read_up_to} was read last, and the stream holds more")
        self._stood_at = place if is_behind else None


def _replayed(log_: Log, first: int, last: int) -> list[Message]:
    """A batch of a source's messages from the first to the last number."""
    messages: list[Message] = []
    size = 0
    if log_.source is None:
        return messages
    log.info("log_replay", log=log_.name, first=first, last=last)
    for message in log_.source.replay(first, last):
        messages.append(message)
        size += len(message.body)
        if len(messages) == BATCH or size > BATCH_BYTES:
            break
    if not messages or messages[0].first > first:
        raise UnavailableError("LOG_SOURCE_GAP", f"{log_.name}: the source lacks number {first}")
    metrics.REPLAYED.labels(log_.name).inc(len(messages))
    return messages


def gather_seconds(count: int, size: int, took: float) -> float:
    """How long the next messages are left to gather after a transaction.

    Args:
        count: how many messages it held.
        size: their bytes.
        took: how many seconds it took.
    """
    return min(GATHER_TIMES * took, MAX_GATHER_SECONDS) if count > 1 and size < FEW_BYTES else 0.0


def matches(pattern: str, subject: str) -> bool:
    """Whether a subject matches a pattern of NATS."""
    wanted, words = pattern.split("."), subject.split(".")
    for place, word in enumerate(wanted):
        if word == ">":
            return len(words) > place
        if place >= len(words) or word not in ("*", words[place]):
            return False
    return len(wanted) == len(words)


class Follower:
    """Follows logs, sharing them with the other replicas of the service."""

    def __init__(self, db: Database, bus: Bus, logs: Sequence[Log]) -> None:
        self._logs = {log_.name: log_ for log_ in logs}
        streams = {log_.stream.name: log_.stream for log_ in logs}
        self._streams = {name: _StreamFollower(db, bus, stream) for name, stream in streams.items()}
        self._leases = Leases(db, list(self._logs), on_won=self._win, on_lost=self._lose)
        self._tail_checker = Job("log-tails", self._check_tails, pause_seconds=TAIL_CHECK_SECONDS)

    def start(self) -> None:
        """Begin to follow."""
        for stream in self._streams.values():
            stream.job.start()
        self._leases.start()
        self._tail_checker.start()

    def stop(self) -> None:
        """Finish the batches at hand and hand the logs over."""
        self._tail_checker.stop()
        for stream in self._streams.values():
            stream.job.signal()
        self._leases.stop()
        for stream in self._streams.values():
            stream.job.stop()

    def _win(self, name: str) -> None:
        self._streams[self._logs[name].stream.name].hold(self._logs[name])

    def _lose(self, name: str) -> None:
        """Let a log go; waiting for its batch here would let one slow batch cost this process all its leases."""
        self._streams[self._logs[name].stream.name].let_go(name)

    def _check_tails(self, _: threading.Event) -> bool:
        for stream in self._streams.values():
            stream.check_tails()
        return True

"""A numbered log has its effect exactly once, whatever happens to the bus, the readers and the messages."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace

import psycopg
import pytest
from sqlalchemy.engine import Connection

from services.chassis import follower as follower_module
from services.chassis.applier import Applier, Due, Position, hold_positions
from services.chassis.followed import Log, Message
from services.chassis.follower import Follower
from services.chassis.messages import Incoming
from services.chassis.outbox import Relay, announce, numbered
from services.chassis.reader import Reader
from services.chassis.wait import wait_until
from services.kernel.errors import UnavailableError
from services.local.nats_server import NatsServer
from services.wire.streams import RATING
from tests.support.chassis.logs import ORGANIZATION, SUBJECT, FakeSource, Side, log_of, remember
from tests.support.patience import PATIENCE_SECONDS


def test_two_replicas_apply_each_event_once_and_survive_a_wiped_nats(
    side: Callable[[], Side], nats_server: NatsServer
) -> None:
    """What was announced before, while and after NATS lost its whole store is applied once each, in order."""
    publisher, consumer = side(), side()
    relay = Relay(publisher.db, publisher.bus, stream=RATING)
    followers = [Follower(consumer.db, consumer.bus, [log_of()]) for _ in range(2)]
    for worker in (relay, *followers):
        worker.start()
    publisher.post(range(100))
    wait_until(lambda: len(consumer.seen()) >= 100, timeout=PATIENCE_SECONDS, what="the first hundred")
    nats_server.kill9()
    publisher.post(range(100, 150))
    nats_server.wipe_store()
    nats_server.start()
    publisher.post(range(150, 160))
    wait_until(lambda: len(consumer.seen()) >= 160, timeout=PATIENCE_SECONDS, what="everything after the wipe")
    for worker in (*followers, relay):
        worker.stop()
    assert consumer.seen() == list(range(160))


def test_disorder_and_repetition_on_the_bus_change_nothing(side: Callable[[], Side]) -> None:
    """Numbers 1 to 9, published in any order and some of them twice, are applied once each and in order."""
    consumer = side()
    consumer.bus.ensure_stream(RATING.name, RATING.subjects)
    order: list[int] = []

    def remember_order(tx: Connection, messages: Sequence[Message]) -> None:
        order.extend(message.first for message in messages)
        remember(tx, messages)

    follower = Follower(consumer.db, consumer.bus, [log_of(remember_order)])
    follower.start()
    for number in (2, 1, 1, 5, 4, 4, 3, 2, 9, 8, 7, 6, 6):
        consumer.bus.publish([numbered("rating.x", f"test-{uuid.uuid4()}", str(number).encode(), number, number)])
    wait_until(lambda: len(consumer.seen()) >= 9, timeout=PATIENCE_SECONDS, what="nine numbers")
    follower.stop()
    assert order == list(range(1, 10))


def test_a_gap_is_filled_from_the_source(side: Callable[[], Side]) -> None:
    """Numbers that never reached the bus are fetched from where they came from, a lost tail included."""
    consumer = side()
    consumer.bus.ensure_stream(RATING.name, RATING.subjects)
    source = FakeSource()
    follower = Follower(consumer.db, consumer.bus, [log_of(source=source.as_source)])
    follower.start()
    consumer.bus.publish([numbered("rating.x", "test", b"4", 4, 4)])
    wait_until(lambda: len(consumer.seen()) >= 4, timeout=PATIENCE_SECONDS, what="the gap before number 4")
    source.published = 7
    wait_until(lambda: len(consumer.seen()) >= 7, timeout=PATIENCE_SECONDS, what="the tail after number 4")
    follower.stop()
    assert consumer.seen() == list(range(1, 8))
    assert source.asked == [(1, 3), (5, 7)]


def test_with_a_healthy_bus_nothing_is_fetched_from_the_source(
    side: Callable[[], Side], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is under way, or waits behind a slow effect, comes by itself, however far the source says to be."""
    monkeypatch.setattr(follower_module, "TAIL_CHECK_SECONDS", 0.05)
    consumer = side()
    consumer.bus.ensure_stream(RATING.name, RATING.subjects)
    source, looks = FakeSource(), threading.Semaphore(0)

    def published() -> int:
        looks.release()
        return source.published

    def slow(tx: Connection, messages: Sequence[Message]) -> None:
        for _ in range(3):
            assert looks.acquire(timeout=PATIENCE_SECONDS)
        remember(tx, messages)

    follower = Follower(consumer.db, consumer.bus, [log_of(slow, replace(source.as_source, published=published))])
    follower.start()
    for number in range(1, 11):
        consumer.bus.publish([numbered("rating.x", "test", str(number).encode(), number, number)])
        source.published = number
    wait_until(lambda: len(consumer.seen()) >= 10, timeout=PATIENCE_SECONDS, what="ten numbers")
    follower.stop()
    assert source.asked == []


def test_a_message_that_straddles_the_position_is_cut(side: Callable[[], Side]) -> None:
    """A relay that sends some numbers again, joined otherwise, neither repeats an effect nor stops the log."""
    consumer = side()
    consumer.bus.ensure_stream(RATING.name, RATING.subjects)
    source = FakeSource()

    def remember_words(tx: Connection, messages: Sequence[Message]) -> None:
        for message in messages:
            for word in message.body.split():
                tx.exec_driver_sql("INSERT INTO seen VALUES (%s, 0)", (int(word),))

    follower = Follower(consumer.db, consumer.bus, [log_of(remember_words, source.as_source)])
    follower.start()
    consumer.bus.publish([numbered("rating.x", "test", b"1 2 3", 1, 3)])
    wait_until(lambda: len(consumer.seen()) == 3, timeout=PATIENCE_SECONDS, what="the first three")
    consumer.bus.publish([numbered("rating.x", "test", b"2 3 4 5", 2, 5), numbered("rating.x", "test", b"6", 6, 6)])
    wait_until(lambda: len(consumer.seen()) >= 6, timeout=PATIENCE_SECONDS, what="the others")
    follower.stop()
    assert consumer.seen() == [1, 2, 3, 4, 5, 6]
    assert source.asked == []


def test_what_waits_in_several_logs_shares_a_transaction(side: Callable[[], Side]) -> None:
    """Logs that share an effect are applied by one call, each in its order, and their positions move together."""
    consumer = side()
    calls: list[list[tuple[str, int]]] = []

    def gather(tx: Connection, messages: Sequence[Message]) -> None:
        calls.append([(message.log, message.first) for message in messages])
        remember(tx, messages)

    due = [
        Due(
            Log(name, RATING, f"rating.{name}", gather),
            [Message(SUBJECT, n, n, b"1", log=name) for n in (1, 2)],
            lambda number: 10 * number,
        )
        for name in ("a", "b")
    ]
    moved = Applier(consumer.db).apply(due, threading.Event())
    assert calls == [[("a", 1), ("a", 2), ("b", 1), ("b", 2)]]
    assert moved == {"a": Position(2, 20), "b": Position(2, 20)}
    assert Applier(consumer.db).apply(due, threading.Event()) == moved
    assert len(consumer.seen()) == 4, "what was applied before is passed over"


def test_a_log_that_waits_for_something_else_holds_up_no_other(side: Callable[[], Side]) -> None:
    """Its neighbours in the same transaction are applied, and so is what stands before its waiting message."""
    consumer = side()

    def wait_at_two(tx: Connection, messages: Sequence[Message]) -> None:
        if any((message.log, message.first) == ("b", 2) for message in messages):
            raise UnavailableError("NOT_YET", "number 2 waits for something else")
        remember(tx, messages)

    due = [
        Due(
            Log(name, RATING, f"rating.{name}", wait_at_two),
            [Message(SUBJECT, n, n, str(n).encode(), log=name) for n in (1, 2)],
            lambda _: 0,
        )
        for name in ("a", "b", "c")
    ]
    with pytest.raises(UnavailableError, match="waits for something else"):
        Applier(consumer.db).apply(due, threading.Event())
    with consumer.db.worker_transaction() as tx:
        numbers = {name: position.number for name, position in hold_positions(tx, ["a", "b", "c"]).items()}
    assert numbers == {"a": 2, "b": 1, "c": 2}
    assert consumer.seen() == [1, 1, 1, 2, 2]


def test_a_poison_message_is_set_aside_and_its_neighbours_are_applied(side: Callable[[], Side]) -> None:
    """A message whose content cannot be applied becomes a dead letter; the ones around it have their effect."""
    publisher, consumer = side(), side()
    relay = Relay(publisher.db, publisher.bus, stream=RATING)
    follower = Follower(consumer.db, consumer.bus, [log_of()])
    publisher.post([1, 2])
    with publisher.db.transaction(ORGANIZATION) as tx:
        announce(tx, "rating.thing.changed", b"not a number")
    publisher.post([4])
    relay.start()
    follower.start()
    wait_until(lambda: len(consumer.seen()) >= 3, timeout=PATIENCE_SECONDS, what="the neighbours")
    follower.stop()
    relay.stop()
    assert consumer.seen() == [1, 2, 4]
    assert [(log, number) for log, number, _ in consumer.dead_letters()] == [("rating", 3)]


def test_a_message_that_is_early_by_a_dead_publisher_waits(side: Callable[[], Side]) -> None:
    """Without a source, a later number waits for the missing one and is applied after it."""
    consumer = side()
    consumer.bus.ensure_stream(RATING.name, RATING.subjects)
    follower = Follower(consumer.db, consumer.bus, [log_of()])
    follower.start()
    consumer.bus.publish([numbered("rating.x", "test", b"1", 1, 1), numbered("rating.x", "test", b"3", 3, 3)])
    wait_until(lambda: consumer.seen() == [1], timeout=PATIENCE_SECONDS, what="number 1")
    consumer.bus.publish([numbered("rating.x", "test", b"2", 2, 2)])
    wait_until(lambda: consumer.seen() == [1, 2, 3], timeout=PATIENCE_SECONDS, what="numbers 2 and 3")
    follower.stop()


def test_what_a_reader_loses_is_read_again(side: Callable[[], Side], monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages that were delivered and lost on the way to us are noticed by the stream's end, and read again."""
    consumer = side()
    consumer.bus.ensure_stream(RATING.name, RATING.subjects)
    consumer.bus.publish([numbered("rating.x", "test", str(n).encode(), n, n) for n in (1, 2, 3)])
    fetch, lost = Reader.fetch, []

    def fetch_and_lose(reader: Reader, count: int, timeout: float) -> list[Incoming]:
        found = fetch(reader, count, timeout)
        if found and not lost:
            lost.extend(found)
            return []
        return found

    monkeypatch.setattr(Reader, "fetch", fetch_and_lose)
    follower = Follower(consumer.db, consumer.bus, [log_of()])
    follower.start()
    wait_until(lambda: consumer.seen() == [1, 2, 3], timeout=PATIENCE_SECONDS, what="all three")
    follower.stop()
    assert lost


def test_a_driver_error_does_not_end_alog_of(side: Callable[[], Side]) -> None:
    """An effect that speaks to the driver directly may meet its errors; the log waits and goes on."""
    consumer = side()
    consumer.bus.ensure_stream(RATING.name, RATING.subjects)
    consumer.bus.publish([numbered("rating.x", "test", b"1", 1, 1)])
    failures = [psycopg.OperationalError("the server went away")]

    def fail_once(tx: Connection, messages: Sequence[Message]) -> None:
        if failures:
            raise failures.pop()
        remember(tx, messages)

    follower = Follower(consumer.db, consumer.bus, [log_of(fail_once)])
    follower.start()
    wait_until(lambda: consumer.seen() == [1], timeout=PATIENCE_SECONDS, what="number 1")
    follower.stop()
    assert consumer.dead_letters() == []

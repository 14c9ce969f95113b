"""A numbered log has its effect exactly once, whatever happens to the bus, the readers and the messages."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Sequence

import psycopg
import pytest
from sqlalchemy.engine import Connection

from services.chassis.bus import Reader
from services.chassis.follower import Follower, Message
from services.chassis.messages import Incoming
from services.chassis.outbox import Relay, announce, numbered
from services.chassis.wait import wait_until
from services.local.nats_server import NatsServer
from services.wire.streams import RATING
from tests.support.chassis.logs import ORGANIZATION, Side, log_of, remember
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
    newest = 0

    def replay(first: int, last: int) -> Iterable[Message]:
        return [Message("rating.x", number, number, str(number).encode()) for number in range(first, last + 1)]

    follower = Follower(consumer.db, consumer.bus, [log_of(replay=replay, newest=lambda: newest)])
    follower.start()
    consumer.bus.publish([numbered("rating.x", "test", b"4", 4, 4)])
    wait_until(lambda: len(consumer.seen()) >= 4, timeout=PATIENCE_SECONDS, what="the gap before number 4")
    newest = 7
    wait_until(lambda: len(consumer.seen()) >= 7, timeout=PATIENCE_SECONDS, what="the tail after number 4")
    follower.stop()
    assert consumer.seen() == list(range(1, 8))


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

"""One bad neighbour stops nobody: whatever a message, an item or a callback does, the others go on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import pytest
from sqlalchemy.engine import Connection

from services.chassis import messages as wire
from services.chassis import numbering
from services.chassis.applier import Position, hold_positions
from services.chassis.bus import Bus
from services.chassis.followed import Log, Message, Source
from services.chassis.follower import Follower
from services.chassis.lease import Leases
from services.chassis.messages import Outgoing
from services.chassis.outbox import Relay, numbered
from services.chassis.process import Worker
from services.chassis.wait import wait_until
from services.local.nats_server import NatsServer
from services.wire.streams import RATING
from tests.support.chassis.logs import SUBJECT, Side, log_of, remember
from tests.support.patience import PATIENCE_SECONDS

# Five parts; NATS takes two of them at a time.
LARGE = 5 * wire.PART_BYTES - 1
SLOW_STATEMENT_MS = 300


@contextmanager
def running(*workers: Worker) -> Iterator[None]:
    """Run workers for the length of a block, and stop them in reverse order."""
    with ExitStack() as stack:
        for worker in workers:
            worker.start()
            stack.callback(worker.stop)
        yield


def relay_of(publisher: Side) -> Relay:
    """The publisher's relay."""
    return Relay(publisher.db, publisher.bus, stream=RATING)


def test_a_message_larger_than_nats_takes_arrives_whole_and_in_its_place(side: Callable[..., Side]) -> None:
    """It travels in parts and is applied as one, between its neighbours."""
    publisher, consumer = side(), side()
    order: list[int] = []

    def apply(tx: Connection, messages: Sequence[Message]) -> None:
        order.extend(int(message.body) for message in messages)
        remember(tx, messages)

    publisher.post([1, 2])
    publisher.post([3], size=LARGE)
    publisher.post([4])
    with running(relay_of(publisher), Follower(consumer.db, consumer.bus, [log_of(apply)])):
        wait_until(lambda: len(consumer.seen()) >= 4, timeout=PATIENCE_SECONDS, what="the large one and its neighbours")
    assert order == [1, 2, 3, 4]
    assert consumer.sizes()[3] == LARGE


def test_large_messages_survive_a_wiped_nats(side: Callable[..., Side], nats_server: NatsServer) -> None:
    """Parts that were lost with NATS's store are sent again, and joined with none of another attempt."""
    publisher, consumer = side(), side()
    with running(relay_of(publisher), Follower(consumer.db, consumer.bus, [log_of()])):
        publisher.post([1, 2], size=LARGE)
        wait_until(lambda: consumer.seen() == [1, 2], timeout=PATIENCE_SECONDS, what="the first two")
        nats_server.kill9()
        publisher.post([3], size=LARGE)
        nats_server.wipe_store()
        nats_server.start()
        publisher.post([4])
        wait_until(lambda: len(consumer.seen()) >= 4, timeout=PATIENCE_SECONDS, what="everything after the wipe")
    assert consumer.seen() == [1, 2, 3, 4]


def test_parts_come_twice_and_in_any_order(side: Callable[..., Side]) -> None:
    """A relay that lost its connection in between sends all parts again; the effect is one."""
    consumer = side()
    consumer.bus.ensure_stream(RATING.name, RATING.subjects)
    whole = numbered(SUBJECT, "attempt", b"1".ljust(LARGE), 1, 1)
    parts = [Outgoing(part.subject, part.body, _without_id(part)) for part in wire.split(whole)]
    with running(Follower(consumer.db, consumer.bus, [log_of()])):
        consumer.bus.publish([parts[3], parts[1], parts[3], parts[0]])
        consumer.bus.publish([numbered(SUBJECT, "attempt", b"2", 2, 2)])
        consumer.bus.publish([*parts[:3], *parts[3:]])
        wait_until(lambda: consumer.seen() == [1, 2], timeout=PATIENCE_SECONDS, what="both")
    assert consumer.sizes()[1] == LARGE


def _without_id(part: Outgoing) -> dict[str, str]:
    """Headers with which NATS tells no repeat apart."""
    return {name: text for name, text in part.headers.items() if name != wire.ID_HEADER}


def test_what_can_never_be_sent_is_set_aside(side: Callable[..., Side], monkeypatch: pytest.MonkeyPatch) -> None:
    """Too large for anybody, or of a subject that the stream does not take: a dead letter, and the others are sent."""
    publisher, consumer = side(), side()
    monkeypatch.setattr(numbering, "MAX_BODY_BYTES", LARGE)
    publisher.post([1])
    publisher.post([2], size=LARGE + 1)
    publisher.post([3], subject="nobody.takes.this")
    publisher.post([4], subject="rating.a b")
    publisher.post([5])
    with running(relay_of(publisher), Follower(consumer.db, consumer.bus, [log_of()])):
        wait_until(lambda: len(consumer.seen()) >= 2, timeout=PATIENCE_SECONDS, what="the neighbours")
    assert consumer.seen() == [1, 5]
    assert publisher.dead_letters() == [
        ("outbox", 2, "MESSAGE_TOO_LARGE"),
        ("outbox", 3, "SUBJECT_UNKNOWN"),
        ("outbox", 4, "SUBJECT_UNKNOWN"),
    ]


def test_an_error_that_nobody_foresaw_does_not_end_the_relay(
    side: Callable[..., Side], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mistake of ours in one turn is reported, and the next turn publishes."""
    publisher, consumer = side(), side()
    publish, failures = Bus.publish, [KeyError("a mistake")]

    def fail_once(bus: Bus, messages: Sequence[Outgoing]) -> None:
        if failures:
            raise failures.pop()
        publish(bus, messages)

    monkeypatch.setattr(Bus, "publish", fail_once)
    publisher.post([1])
    with running(relay_of(publisher), Follower(consumer.db, consumer.bus, [log_of()])):
        wait_until(lambda: consumer.seen() == [1], timeout=PATIENCE_SECONDS, what="the message")
    assert not failures


def test_a_message_that_somebody_else_wrote_is_passed_over(side: Callable[..., Side]) -> None:
    """A message without numbers, or with a part that is not one, is not a message of a log."""
    consumer = side()
    consumer.bus.ensure_stream(RATING.name, RATING.subjects)
    strange = {wire.NUMBER_HEADER: "7", wire.PART_HEADER: "one of two"}
    with running(Follower(consumer.db, consumer.bus, [log_of()])):
        consumer.bus.publish([Outgoing(SUBJECT, b"1"), Outgoing(SUBJECT, b"1", strange)])
        consumer.bus.publish([numbered(SUBJECT, "test", b"1", 1, 1)])
        wait_until(lambda: consumer.seen() == [1], timeout=PATIENCE_SECONDS, what="our own message")


def test_a_message_whose_statement_takes_too_long_is_set_aside(
    side: Callable[..., Side], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server gives its statement up each time; that is the message's own fault and not the database's absence."""
    monkeypatch.setattr("services.chassis.applier.MAX_SLOW_ATTEMPTS", 2)
    consumer = side(statement_timeout_ms=SLOW_STATEMENT_MS)
    consumer.bus.ensure_stream(RATING.name, RATING.subjects)

    def apply(tx: Connection, messages: Sequence[Message]) -> None:
        for message in messages:
            if message.first == 2:
                tx.exec_driver_sql("SELECT pg_sleep(60)")
        remember(tx, messages)

    consumer.bus.publish([numbered(SUBJECT, "test", str(n).encode(), n, n) for n in (1, 2, 3)])
    with running(Follower(consumer.db, consumer.bus, [log_of(apply)])):
        wait_until(lambda: consumer.seen() == [1, 3], timeout=PATIENCE_SECONDS, what="the neighbours")
    assert [(log, number) for log, number, _ in consumer.dead_letters()] == [("rating", 2)]


def test_a_statement_that_is_too_much_for_the_server_is_the_messages_own_fault(side: Callable[..., Side]) -> None:
    """The driver counts it among the server's troubles, and the log would wait for ever."""
    consumer = side()
    consumer.bus.ensure_stream(RATING.name, RATING.subjects)

    def apply(tx: Connection, messages: Sequence[Message]) -> None:
        if messages[0].first == 1:
            columns = ", ".join(["1"] * 2000)
            tx.exec_driver_sql(f"SELECT {columns}")
        remember(tx, messages)

    consumer.bus.publish([numbered(SUBJECT, "test", str(n).encode(), n, n) for n in (1, 2)])
    with running(Follower(consumer.db, consumer.bus, [log_of(apply)])):
        wait_until(lambda: consumer.seen() == [2], timeout=PATIENCE_SECONDS, what="the neighbour")
    assert [(log, number) for log, number, _ in consumer.dead_letters()] == [("rating", 1)]


def test_a_log_that_fails_does_not_stop_the_other_logs(side: Callable[..., Side]) -> None:
    """One whose source cannot even be asked is alone with that."""
    consumer = side()
    consumer.bus.ensure_stream(RATING.name, RATING.subjects)

    def fail() -> int:
        raise KeyError("a mistake")

    source = Source(lambda *_: [], fail, lambda *_: [])
    poisoned = Log("poisoned", RATING, "rating.poisoned.>", remember, source)
    healthy = Log("healthy", RATING, SUBJECT, remember)
    with running(Follower(consumer.db, consumer.bus, [poisoned, healthy])):
        consumer.bus.publish([numbered(SUBJECT, "test", b"1", 1, 1)])
        wait_until(lambda: consumer.seen() == [1], timeout=PATIENCE_SECONDS, what="the healthy log")


def test_a_position_never_passes_over_what_came_early(side: Callable[..., Side]) -> None:
    """Who reads on from it sees the part of a later message again that lies before it in the stream."""
    consumer = side()
    consumer.bus.ensure_stream(RATING.name, RATING.subjects)
    large = list(wire.split(numbered(SUBJECT, "test", b"3".ljust(LARGE), 3, 3)))
    consumer.bus.publish([large[0], numbered(SUBJECT, "test", b"2", 2, 2), numbered(SUBJECT, "test", b"1", 1, 1)])
    with running(Follower(consumer.db, consumer.bus, [log_of()])):
        wait_until(lambda: consumer.seen() == [1, 2], timeout=PATIENCE_SECONDS, what="numbers 1 and 2")
    with consumer.db.worker_transaction() as tx:
        assert hold_positions(tx, ["rating"]) == {"rating": Position(2, 0)}
    consumer.bus.publish(large[1:])
    with running(Follower(consumer.db, consumer.bus, [log_of()])):
        wait_until(lambda: consumer.seen() == [1, 2, 3], timeout=PATIENCE_SECONDS, what="the large message")


def test_a_batch_that_takes_long_does_not_cost_a_replica_its_other_leases(side: Callable[..., Side]) -> None:
    """A log that is lost during a batch finishes on its own; the leases of the other logs are renewed meanwhile."""
    consumer = side()
    consumer.bus.ensure_stream(RATING.name, RATING.subjects)
    begun, go_on = threading.Event(), threading.Event()

    def wait_for_the_test(tx: Connection, messages: Sequence[Message]) -> None:
        begun.set()
        assert go_on.wait(PATIENCE_SECONDS)
        remember(tx, messages)

    logs = [Log(name, RATING, f"rating.{name}.>", wait_for_the_test) for name in ("a", "b")]
    follower = Follower(consumer.db, consumer.bus, logs)
    with running(follower):
        consumer.bus.publish([numbered(f"rating.{name}.x", "test", b"1", 1, 1) for name in ("a", "b")])
        assert begun.wait(PATIENCE_SECONDS)
        other = Leases(consumer.db, ["a", "b"], on_won=lambda _: None, on_lost=lambda _: None)
        with running(other):
            wait_until(lambda: _holders(consumer) == 2, timeout=PATIENCE_SECONDS, what="a log to change hands")
            renewed = _renewals(consumer)
            wait_until(lambda: _renewals(consumer) > renewed, timeout=PATIENCE_SECONDS, what="the next renewals")
        go_on.set()


def _holders(consumer: Side) -> int:
    with consumer.db.worker_transaction() as tx:
        return int(tx.exec_driver_sql("SELECT count(DISTINCT holder) FROM consumer_leases").scalar_one())


def _renewals(consumer: Side) -> object:
    """The earliest instant at which a living replica was last seen: it moves on when all of them were seen again."""
    with consumer.db.worker_transaction() as tx:
        return tx.exec_driver_sql("SELECT min(seen_at) FROM consumer_members").scalar_one()

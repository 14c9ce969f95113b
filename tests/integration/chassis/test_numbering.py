"""Numbers without gaps, each given once, whoever gives them."""

from __future__ import annotations

import threading
from collections.abc import Callable

from services.chassis.follower import Follower
from services.chassis.numbering import Numbering
from services.chassis.outbox import Relay
from services.chassis.wait import wait_until
from services.wire.streams import RATING
from tests.support.chassis.logs import Side, log_of
from tests.support.patience import PATIENCE_SECONDS

WRITERS, ROWS_OF_ONE, NUMBERERS = 4, 100, 4


def test_many_may_give_numbers_at_once(side: Callable[[], Side]) -> None:
    """Who waited for another's numbers gives none of them again, so that no consumer misses a row or sees one twice."""
    publisher, consumer = side(), side()
    numbers, is_written = Numbering(RATING), threading.Event()

    def write(writer: int) -> None:
        publisher.post(range(writer * ROWS_OF_ONE, (writer + 1) * ROWS_OF_ONE))

    def give() -> None:
        while not is_written.is_set():
            with publisher.db.worker_transaction() as tx:
                numbers.give(tx)

    relay = Relay(publisher.db, publisher.bus, stream=RATING)
    follower = Follower(consumer.db, consumer.bus, [log_of()])
    writers = [threading.Thread(target=write, args=(writer,)) for writer in range(WRITERS)]
    numberers = [threading.Thread(target=give) for _ in range(NUMBERERS)]
    for worker in (relay, follower, *writers, *numberers):
        worker.start()
    for writer in writers:
        writer.join()
    is_written.set()
    for numberer in numberers:
        numberer.join()
    total = WRITERS * ROWS_OF_ONE
    wait_until(lambda: len(consumer.seen()) >= total, timeout=PATIENCE_SECONDS, what="every row")
    follower.stop()
    relay.stop()
    assert consumer.seen() == list(range(total))
    with publisher.db.worker_transaction() as tx:
        given = tx.exec_driver_sql("SELECT number FROM outbox ORDER BY number").scalars().all()
        head = tx.exec_driver_sql("SELECT last_number FROM outbox_head").scalar_one()
    assert (list(given), head) == (list(range(1, total + 1)), total)

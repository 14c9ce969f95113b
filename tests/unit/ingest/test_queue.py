"""The queue is bounded, refuses early, hands out whole batches in order, and only as many as are worth a commit."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

import pytest

from services.chassis.wait import wait_until
from services.ingest.domain.usage_event import UsageEvent
from services.ingest.domain.usage_events import UsageEvents
from services.ingest.pipeline.prepare import Preparation, PreparedUsageEvents
from services.ingest.pipeline.queue import (
    MAX_WAITING_BYTES,
    MAX_WAITING_EVENTS,
    PARALLEL_EVENTS,
    Queue,
    Submission,
)
from services.kernel.errors import ResourceExhaustedError, UnavailableError
from services.kernel.ids import OrganizationId
from tests.support.patience import PATIENCE_SECONDS

ORGANIZATION = OrganizationId("00000000-0000-7000-8000-000000000000")
EVENT = UsageEvent("id", "acme", "", "code", None, b"{}", None)
LARGE = 1_000_000


class Waits(Exception):  # noqa: N818 - it is no error that a taker waits
    """Raised where a taker would wait, so that one thread can play all parts."""


class Impatient(threading.Condition):
    """A condition that says so instead of waiting."""

    def wait(self, timeout: float | None = None) -> NoReturn:
        raise Waits(timeout)


def _batch(size: int, byte_size: int = 0) -> Submission:
    events = UsageEvents.of([EVENT] * size)
    prepared = PreparedUsageEvents(events, [], [], [], [], [], [], {})
    preparation = Preparation(0, are_duplicates_rejected=False, events=prepared, byte_size=byte_size, present_us=0)
    return Submission(ORGANIZATION, events, 0, preparation)


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> Queue:
    """A queue whose takers raise `Waits` where they would wait."""
    with monkeypatch.context() as patched:
        patched.setattr(threading, "Condition", Impatient)
        return Queue()


def _take(queue: Queue, **options: Any) -> list[int] | None:
    """The sizes of what a taker gets; None if it would wait."""
    try:
        return [len(submission.events) for submission in queue.take(LARGE, LARGE, **options)]
    except Waits:
        return None


def test_full_queue_refuses_before_anything_is_stored() -> None:
    queue = Queue()
    queue.put(_batch(MAX_WAITING_EVENTS))
    with pytest.raises(ResourceExhaustedError) as caught:
        queue.put(_batch(1))
    assert caught.value.retry_after_seconds == 1
    assert len(queue.take(10, 10)) == 1
    queue.put(_batch(1))


def test_bytes_are_bounded_too_but_a_batch_of_any_size_gets_in_alone() -> None:
    queue = Queue()
    queue.put(_batch(1, MAX_WAITING_BYTES + 1))
    with pytest.raises(ResourceExhaustedError):
        queue.put(_batch(1, 1))
    assert len(queue.take(10, 10)) == 1
    queue.put(_batch(1, MAX_WAITING_BYTES))
    queue.put(_batch(1))


def test_commit_takes_whole_batches_in_order() -> None:
    queue = Queue()
    batches = [_batch(size) for size in (3, 4, 5)]
    for batch in batches:
        queue.put(batch)
    assert queue.take(8, 1000) == batches[:2]
    assert queue.take(1, 1000, is_after_commit=True) == batches[2:]


def test_commit_takes_no_more_bytes_than_it_may() -> None:
    queue = Queue()
    batches = [_batch(1, size) for size in (60, 40, 1, 200)]
    for batch in batches:
        queue.put(batch)
    assert queue.take(1000, 100) == batches[:2]
    assert queue.take(1000, 100, is_after_commit=True) == batches[2:3]
    assert queue.take(1000, 100, is_after_commit=True) == batches[3:]


def test_nobody_waits_while_nothing_is_committed(queue: Queue) -> None:
    assert _take(queue) is None
    queue.put(_batch(1))
    assert _take(queue) == [1]


def test_beside_a_commit_few_events_wait_for_its_end(queue: Queue) -> None:
    queue.put(_batch(1))
    assert _take(queue) == [1]
    queue.put(_batch(PARALLEL_EVENTS - 2))
    queue.put(_batch(1))
    assert _take(queue) is None
    assert _take(queue, is_after_commit=True) == [PARALLEL_EVENTS - 2, 1]


def test_beside_a_commit_many_events_are_worth_another(queue: Queue) -> None:
    queue.put(_batch(1))
    assert _take(queue) == [1]
    queue.put(_batch(PARALLEL_EVENTS - 1))
    assert _take(queue) is None
    queue.put(_batch(1))
    assert _take(queue) == [PARALLEL_EVENTS - 1, 1]


def test_the_end_of_one_of_two_commits_leaves_one_on_its_way(queue: Queue) -> None:
    for _ in range(2):
        queue.put(_batch(PARALLEL_EVENTS))
        assert _take(queue) == [PARALLEL_EVENTS]
    queue.put(_batch(1))
    assert _take(queue, is_after_commit=True) is None
    # The taker that waits has ended its commit already; now the other ends its own.
    assert _take(queue, is_after_commit=True) == [1]


def test_closed_queue_hands_out_what_waits_and_takes_no_more() -> None:
    queue = Queue()
    batch = _batch(1)
    queue.put(batch)
    queue.close()
    with pytest.raises(UnavailableError):
        queue.put(_batch(1))
    assert queue.take(10, 10) == [batch]
    assert queue.take(10, 10, is_after_commit=True) == []


def test_closed_queue_hands_out_what_is_not_worth_a_commit_beside_another(queue: Queue) -> None:
    queue.put(_batch(1))
    assert _take(queue) == [1]
    queue.put(_batch(2))
    queue.close()
    assert _take(queue) == [2]
    assert _take(queue) == []


def test_close_wakes_every_taker() -> None:
    queue = Queue()
    with ThreadPoolExecutor(2) as takers:
        waiting = [takers.submit(queue.take, 10, 10) for _ in range(2)]
        queue.close()
        assert [future.result(PATIENCE_SECONDS) for future in waiting] == [[], []]


def test_two_takers_hand_out_each_batch_once() -> None:
    queue, taken = Queue(), list[int]()
    batches = [_batch(size) for size in (1, PARALLEL_EVENTS, 2, 3, PARALLEL_EVENTS, 5) * 20]

    def commit() -> None:
        batch = queue.take(LARGE, LARGE)
        while batch:
            taken.extend(map(id, batch))
            batch = queue.take(LARGE, LARGE, is_after_commit=True)

    with ThreadPoolExecutor(2) as takers:
        ended = [takers.submit(commit) for _ in range(2)]
        for batch in batches:
            queue.put(batch)
        # Nothing is left behind while the queue is open, however little it is.
        wait_until(lambda: len(taken) == len(batches), timeout=PATIENCE_SECONDS, what="every batch to be taken")
        queue.close()
        for future in ended:
            future.result(PATIENCE_SECONDS)
    assert sorted(taken) == sorted(map(id, batches))

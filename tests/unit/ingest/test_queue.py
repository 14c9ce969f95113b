"""The queue is bounded, refuses early, and hands out whole batches in order."""

from __future__ import annotations

import pytest

from services.ingest.commands.prepare import Preparation
from services.ingest.commands.submission import MAX_WAITING_EVENTS, Queue, Submission
from services.ingest.domain.usage_event import UsageEvent
from services.kernel.errors import ResourceExhaustedError, UnavailableError

EVENT = UsageEvent("id", "acme", "", "code", None, b"{}", None)


def _batch(size: int) -> Submission:
    return Submission(bytes(16), [EVENT] * size, 0, Preparation(0, rejects_duplicates=False, events=[], byte_size=0))


def test_full_queue_refuses_before_anything_is_stored() -> None:
    queue = Queue()
    queue.put(_batch(MAX_WAITING_EVENTS))
    with pytest.raises(ResourceExhaustedError) as caught:
        queue.put(_batch(1))
    assert caught.value.retry_after_seconds == 1
    assert len(queue.take(10, 10)) == 1
    queue.put(_batch(1))


def test_commit_takes_whole_batches_in_order() -> None:
    queue = Queue()
    batches = [_batch(size) for size in (3, 4, 5)]
    for batch in batches:
        queue.put(batch)
    assert queue.take(8, 1000) == batches[:2]
    assert queue.take(1, 1000) == batches[2:]


def test_closed_queue_hands_out_what_waits_and_takes_no_more() -> None:
    queue = Queue()
    batch = _batch(1)
    queue.put(batch)
    queue.close()
    with pytest.raises(UnavailableError):
        queue.put(_batch(1))
    assert queue.take(10, 10) == [batch]
    assert queue.take(10, 10) == []

"""What is committed is answered, batch by batch."""

from __future__ import annotations

from typing import Any

import pytest

from services.ingest.domain.outcome import Outcome
from services.ingest.domain.usage_event import UsageEvent
from services.ingest.domain.usage_events import UsageEvents
from services.ingest.pipeline import answer
from services.ingest.pipeline.dedupe import Deduplication
from services.ingest.pipeline.prepare import Preparation, PreparedUsageEvents
from services.ingest.pipeline.queue import Submission
from services.ingest.pipeline.resolve import Target
from services.kernel.ids import OrganizationId, new_id

ORGANIZATION = OrganizationId(new_id())
TARGET = Target(ORGANIZATION, 0, "acme", None, b"", b"")


def _submission(*transaction_ids: str) -> Submission:
    """A batch whose keys, hashes and rows are its transaction ids."""
    events = UsageEvents.of(
        UsageEvent(transaction_id, "acme", "", "code", 1, b"{}", None) for transaction_id in transaction_ids
    )
    columns = [[transaction_id.encode() for transaction_id in transaction_ids] for _ in range(4)]
    prepared = PreparedUsageEvents(events, *columns, [TARGET] * len(events), [1] * len(events), {})
    preparation = Preparation(0, are_duplicates_rejected=False, events=prepared, byte_size=0, present_us=1)
    return Submission(ORGANIZATION, events, 1, preparation)


def test_a_batch_that_cannot_be_answered_harms_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its callers get the error; those of the other batches of the commit get the answers to their events."""
    compare = answer.is_repeat

    def fail(event: UsageEvent, *others: Any) -> bool:
        if event.transaction_id == "poison":
            raise RecursionError(event.transaction_id)
        return compare(event, *others)

    monkeypatch.setattr(answer, "is_repeat", fail)
    commit = Deduplication([])
    batches = [_submission("a", "poison"), _submission("poison", "b"), _submission("a", "c")]
    for batch in batches:
        commit.add(batch)
    answer.answer_all(commit)
    first, poisoned, last = batches
    assert [answer.outcome for answer in first.answers] == [Outcome.ACCEPTED, Outcome.ACCEPTED]
    assert isinstance(poisoned.error, RecursionError)
    assert [answer.outcome for answer in last.answers] == [Outcome.DUPLICATE, Outcome.ACCEPTED]
    assert (first.error, last.error) == (None, None)

"""Concurrent single events of an organization become one call to the log; each caller hears of its own event."""

from __future__ import annotations

from dataclasses import dataclass

from google.protobuf.timestamp_pb2 import Timestamp

from farebox.ingest.v1 import usage_event_service_pb2, usage_event_service_pb2_grpc
from farebox.ingest.v1.usage_event_pb2 import IngestDetail, IngestOutcome, UsageEvent
from gateway import clients
from gateway.changes import Changes
from gateway.engine.gathering import Bounds, Gathering

BOUNDS = Bounds(
    # A quarter of what one call may hold: larger batches gain nothing, and make every caller in them wait longer.
    batch=250,
    # Below the 4 MiB of a call.
    batch_bytes=2 * 1024 * 1024,
    # Two commits overlap (one is written while the next is checked); more would only split the batches.
    under_way=2,
    # A second's worth at the log's own rate; callers beyond it would time out in the queue.
    waiting=10_000,
    things="events",
)
_NOTHING_MORE = IngestDetail()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one event.

    Attributes:
        outcome: accepted, duplicate, conflict, quarantined or rejected.
        detail: why, where it was not plainly accepted; empty otherwise.
        received_at: when the log received the batch.
        present_at: the organization's time then, at which an event without a time of its own occurred.
        subscription_id: Farebox id of the subscription that the event counts for; empty for none.
    """

    outcome: IngestOutcome
    detail: IngestDetail
    received_at: Timestamp
    present_at: Timestamp
    subscription_id: str


class Coalescer:
    """Folds single events into batches; use it from one event loop."""

    def __init__(
        self,
        log: usage_event_service_pb2_grpc.UsageEventServiceAsyncStub,
        changes: Changes,
        bounds: Bounds = BOUNDS,
    ) -> None:
        self._log = log
        self._changes = changes
        self._gathering: Gathering[UsageEvent, Outcome] = Gathering(self._deliver, bounds)

    async def ingest(self, organization_id: str, event: UsageEvent) -> Outcome:
        """Store one event; returns when it is committed.

        Raises:
            Problem: 429, too many events are waiting.
            grpc.RpcError: the log refused the whole batch or could not be reached.
        """
        return await self._gathering.ask(organization_id, event)

    async def drain(self) -> None:
        """Wait until everything taken is answered."""
        await self._gathering.drain()

    async def _deliver(self, organization_id: str, events: list[UsageEvent]) -> list[Outcome]:
        request = usage_event_service_pb2.IngestUsageEventsRequest(events=events, tells_subscriptions=True)
        return read_outcomes(await clients.begin(self._log.IngestUsageEvents, request, organization_id, self._changes))


def read_outcomes(response: usage_event_service_pb2.IngestUsageEventsResponse) -> list[Outcome]:
    """One outcome for each event of a batch, in order."""
    details = {detail.index: detail for detail in response.details}
    received_at, present_at = response.received_at, response.present_at
    # None where the request did not ask for them.
    subscriptions = response.subscription_ids or [""] * len(response.outcomes)
    return [
        Outcome(outcome, details.get(index, _NOTHING_MORE), received_at, present_at, subscription_id)
        for index, (outcome, subscription_id) in enumerate(zip(response.outcomes, subscriptions, strict=True))
    ]

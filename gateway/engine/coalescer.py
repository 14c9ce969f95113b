"""Concurrent single events of an organization become one call to the log; each caller hears of its own event.

Callers that come while calls are under way gather into the next one, so batches grow with the load and a lone
caller waits for `LINGER_SECONDS` at the most. Everything is bounded: events in a batch, its bytes, calls under way
for an organization, and events waiting in all; beyond the last bound a caller is refused before anything is stored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from google.protobuf.timestamp_pb2 import Timestamp

from farebox.ingest.v1 import usage_event_service_pb2, usage_event_service_pb2_grpc
from farebox.ingest.v1.usage_event_pb2 import IngestDetail, IngestOutcome, UsageEvent
from gateway import clients
from gateway.problem import overloaded

# Well inside the milliseconds that a durable commit takes anyway.
LINGER_SECONDS = 0.001
# A quarter of what one call may hold: larger batches gain nothing, and make every caller in them wait longer.
MAX_BATCH = 250
# Below the 4 MiB of a call; a single larger event still travels, alone.
MAX_BATCH_BYTES = 2 * 1024 * 1024
# Two commits overlap (one is written while the next is checked); more would only split the batches.
MAX_UNDER_WAY = 4
# A second's worth at the log's own rate; callers beyond it would time out in the queue.
MAX_WAITING = 10_000


@dataclass(frozen=True)
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


@dataclass
class _Lane:
    """The waiting events of one organization."""

    waiting: list[tuple[UsageEvent, asyncio.Future[Outcome]]] = field(default_factory=list)
    under_way: int = 0
    timer: asyncio.TimerHandle | None = None


class Coalescer:
    """Folds single events into batches; use it from one event loop."""

    def __init__(self, log: usage_event_service_pb2_grpc.UsageEventServiceAsyncStub) -> None:
        self._log = log
        self._lanes: dict[str, _Lane] = {}
        self._waiting = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def ingest(self, organization_id: str, event: UsageEvent) -> Outcome:
        """Store one event; returns when it is committed.

        Raises:
            Problem: 429, too many events are waiting.
            grpc.RpcError: the log refused the whole batch or could not be reached.
        """
        if self._waiting >= MAX_WAITING:
            raise overloaded(f"{MAX_WAITING} events are waiting already")
        lane = self._lanes.setdefault(organization_id, _Lane())
        outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        lane.waiting.append((event, outcome))
        self._waiting += 1
        self._schedule(organization_id, lane)
        return await outcome

    async def drain(self) -> None:
        """Wait until everything taken is answered."""
        while self._tasks or self._waiting:
            await asyncio.gather(*self._tasks)
            await asyncio.sleep(LINGER_SECONDS)

    def _schedule(self, organization_id: str, lane: _Lane) -> None:
        if lane.under_way >= MAX_UNDER_WAY:
            return
        if len(lane.waiting) >= MAX_BATCH:
            self._flush(organization_id, lane)
        elif lane.timer is None and lane.waiting:
            loop = asyncio.get_running_loop()
            lane.timer = loop.call_later(LINGER_SECONDS, self._flush, organization_id, lane)

    def _flush(self, organization_id: str, lane: _Lane) -> None:
        if lane.timer is not None:
            lane.timer.cancel()
            lane.timer = None
        if not lane.waiting or lane.under_way >= MAX_UNDER_WAY:
            return
        batch = _take(lane)
        self._waiting -= len(batch)
        lane.under_way += 1
        task = asyncio.ensure_future(self._deliver(organization_id, lane, batch))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(
        self, organization_id: str, lane: _Lane, batch: list[tuple[UsageEvent, asyncio.Future[Outcome]]]
    ) -> None:
        events = [event for event, _ in batch]
        request = usage_event_service_pb2.IngestUsageEventsRequest(events=events, tells_subscriptions=True)
        try:
            outcomes = read_outcomes(await clients.ask(self._log.IngestUsageEvents, request, organization_id))
        except Exception as error:  # noqa: BLE001 - every caller of the batch hears it
            failure = error
            _answer(batch, lambda future, _: future.set_exception(failure))
        else:
            _answer(batch, lambda future, index: future.set_result(outcomes[index]))
        finally:
            lane.under_way -= 1
            if lane.waiting:
                self._schedule(organization_id, lane)
            elif not lane.under_way:
                self._lanes.pop(organization_id, None)


def read_outcomes(response: usage_event_service_pb2.IngestUsageEventsResponse) -> list[Outcome]:
    """One outcome for each event of a batch, in order."""
    details = {detail.index: detail for detail in response.details}
    # None where the request did not ask for them.
    subscriptions = response.subscription_ids or [""] * len(response.outcomes)
    return [
        Outcome(
            outcome,
            details.get(index, IngestDetail()),
            response.received_at,
            response.present_at,
            subscriptions[index],
        )
        for index, outcome in enumerate(response.outcomes)
    ]


def _take(lane: _Lane) -> list[tuple[UsageEvent, asyncio.Future[Outcome]]]:
    """The next batch, within both bounds; at least one event."""
    size, count = 0, 0
    for event, _ in lane.waiting[:MAX_BATCH]:
        size += event.ByteSize()
        if count and size > MAX_BATCH_BYTES:
            break
        count += 1
    batch, lane.waiting = lane.waiting[:count], lane.waiting[count:]
    return batch


def _answer(
    batch: list[tuple[UsageEvent, asyncio.Future[Outcome]]], tell: Callable[[asyncio.Future[Outcome], int], None]
) -> None:
    for index, (_, future) in enumerate(batch):
        # A caller that hung up has cancelled its future; its event is stored all the same.
        if not future.done():
            tell(future, index)

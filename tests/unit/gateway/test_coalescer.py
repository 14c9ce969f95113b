"""Single events are folded into batches; each caller gets the answer to its own event."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from farebox.ingest.v1 import usage_event_service_pb2
from farebox.ingest.v1.usage_event_pb2 import IngestDetail, IngestOutcome, UsageEvent
from gateway.changes import Changes
from gateway.engine.coalescer import BOUNDS, Coalescer
from gateway.problem import Problem
from services.chassis.rpc.calls import ORGANIZATION_KEY


def event(number: int) -> UsageEvent:
    return UsageEvent(transaction_id=f"t{number}", code="api_call")


class Log:
    """Accepts even numbers, rejects odd ones; waits for `gate` if there is one."""

    def __init__(self, gate: asyncio.Event | None = None) -> None:
        self.batches: list[tuple[str, int]] = []
        self.called = asyncio.Event()
        self._gate = gate

    async def IngestUsageEvents(
        self, request: Any, metadata: Any, **options: float
    ) -> usage_event_service_pb2.IngestUsageEventsResponse:
        assert options["timeout"] > 0
        organization = dict(metadata)[ORGANIZATION_KEY]
        self.batches.append((organization, len(request.events)))
        self.called.set()
        if self._gate is not None:
            await self._gate.wait()
        answer = usage_event_service_pb2.IngestUsageEventsResponse()
        for index, sent in enumerate(request.events):
            is_odd = int(sent.transaction_id[1:]) % 2
            answer.outcomes.append(
                IngestOutcome.INGEST_OUTCOME_REJECTED if is_odd else IngestOutcome.INGEST_OUTCOME_ACCEPTED
            )
            if is_odd:
                answer.details.append(IngestDetail(index=index, transaction_id=sent.transaction_id))
        return answer


def test_concurrent_events_are_one_call_and_each_caller_gets_its_own_outcome() -> None:
    async def story() -> None:
        log = Log()
        folding = Coalescer(log, Changes())
        outcomes = await asyncio.gather(*(folding.ingest("a", event(number)) for number in range(10)))
        assert log.batches == [("a", 10)]
        for number, outcome in enumerate(outcomes):
            assert (outcome.outcome == IngestOutcome.INGEST_OUTCOME_REJECTED) == bool(number % 2)
            assert outcome.detail.transaction_id == (f"t{number}" if number % 2 else "")

    asyncio.run(story())


def test_organizations_are_never_mixed() -> None:
    async def story() -> None:
        log = Log()
        folding = Coalescer(log, Changes())
        await asyncio.gather(*(folding.ingest("ab"[number % 2], event(number)) for number in range(6)))
        assert sorted(log.batches) == [("a", 3), ("b", 3)]

    asyncio.run(story())


def test_batches_are_bounded_in_number() -> None:
    async def story() -> None:
        log = Log()
        folding = Coalescer(log, Changes(), replace(BOUNDS, batch=4))
        await asyncio.gather(*(folding.ingest("a", event(number)) for number in range(10)))
        assert sum(size for _, size in log.batches) == 10
        assert max(size for _, size in log.batches) == 4

    asyncio.run(story())


def test_batches_are_bounded_in_bytes_and_a_large_event_travels_alone() -> None:
    async def story() -> None:
        log = Log()
        folding = Coalescer(log, Changes(), replace(BOUNDS, batch_bytes=64))
        large = UsageEvent(transaction_id="t0", properties=b"x" * 100)
        await asyncio.gather(*(folding.ingest("a", sent) for sent in (large, event(2), event(4))))
        assert sorted(size for _, size in log.batches) == [1, 2]

    asyncio.run(story())


def test_while_calls_are_under_way_events_gather() -> None:
    async def story() -> None:
        gate = asyncio.Event()
        log = Log(gate)
        folding = Coalescer(log, Changes(), replace(BOUNDS, under_way=1))
        first = asyncio.ensure_future(folding.ingest("a", event(0)))
        await log.called.wait()
        others = [asyncio.ensure_future(folding.ingest("a", event(number))) for number in range(2, 12, 2)]
        gate.set()
        await asyncio.gather(first, *others)
        assert log.batches == [("a", 1), ("a", 5)]

    asyncio.run(story())


def test_beyond_the_bound_callers_are_refused_before_anything_is_stored() -> None:
    async def story() -> None:
        folding = Coalescer(Log(), Changes(), replace(BOUNDS, waiting=2))
        results = await asyncio.gather(
            *(folding.ingest("a", event(number)) for number in (0, 2, 4)), return_exceptions=True
        )
        assert isinstance(results[2], Problem)
        assert results[2].status == 429
        assert results[2].headers["Retry-After"]

    asyncio.run(story())


def test_a_failed_call_fails_every_caller_and_the_next_batch_goes_on() -> None:
    async def story() -> None:
        broken = [True]

        class AwayOnce(Log):
            async def IngestUsageEvents(self, request: Any, metadata: Any, **options: float) -> Any:
                if broken.pop() if broken else False:
                    raise ConnectionError("away")
                return await super().IngestUsageEvents(request, metadata, **options)

        folding = Coalescer(AwayOnce(), Changes())
        results = await asyncio.gather(
            folding.ingest("a", event(0)), folding.ingest("a", event(2)), return_exceptions=True
        )
        assert all(isinstance(result, ConnectionError) for result in results)
        assert (await folding.ingest("a", event(4))).outcome == IngestOutcome.INGEST_OUTCOME_ACCEPTED

    asyncio.run(story())


def test_a_caller_that_hangs_up_does_not_disturb_the_others() -> None:
    async def story() -> None:
        gate = asyncio.Event()
        folding = Coalescer(Log(gate), Changes())
        leaving = asyncio.ensure_future(folding.ingest("a", event(0)))
        staying = asyncio.ensure_future(folding.ingest("a", event(2)))
        await asyncio.sleep(0)
        leaving.cancel()
        gate.set()
        assert (await staying).outcome == IngestOutcome.INGEST_OUTCOME_ACCEPTED

    asyncio.run(story())


def test_drain_waits_for_what_was_taken() -> None:
    async def story() -> None:
        log = Log()
        folding = Coalescer(log, Changes())
        waiting = asyncio.ensure_future(folding.ingest("a", event(0)))
        await asyncio.sleep(0)
        await folding.drain()
        assert log.batches == [("a", 1)]
        await waiting

    asyncio.run(story())

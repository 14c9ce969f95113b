"""Margin's whole process, with an ingest that can replay, and a client of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from google.protobuf.message import Message as Proto

from farebox.ingest.v1 import domain_events_pb2 as ingest_events
from farebox.ingest.v1 import usage_event_service_pb2 as ingest_pb
from farebox.ingest.v1 import usage_event_service_pb2_grpc as ingest_grpc
from farebox.margin.v1 import cost_model_service_pb2 as cost_pb
from farebox.margin.v1 import cost_model_service_pb2_grpc as cost_grpc
from farebox.margin.v1 import domain_events_pb2 as margin_events
from farebox.margin.v1 import margin_pb2
from farebox.margin.v1 import margin_service_pb2 as margin_pb
from farebox.margin.v1 import margin_service_pb2_grpc as margin_grpc
from services.chassis.bus import Bus
from services.chassis.config import Settings
from services.chassis.outbox import numbered
from services.chassis.rpc.calls import ORGANIZATION_KEY
from services.chassis.rpc.channel import open_channel
from services.margin.main import Parts, build
from services.wire.streams import RATING, USAGE, shard_subject
from tests.support.margin import (
    ACME,
    announced,
    batch,
    usage_entry,
)

METADATA = [(ORGANIZATION_KEY, str(ACME))]
TOKENS = {"model": "gpt-4o", "type": "input", "tokens": 1_000_000}


class Ingest(ingest_grpc.UsageEventServiceServicer):
    """An ingest that keeps batches by shard and number and sends them again when asked."""

    def __init__(self) -> None:
        self.batches: dict[int, list[ingest_events.UsageEventsAccepted]] = {}

    def ReplayUsageEvents(self, request: ingest_pb.ReplayUsageEventsRequest, _: object) -> Iterator[Proto]:
        last = request.to_number or len(self.batches[request.shard])
        for accepted in self.batches[request.shard][request.from_number - 1 : last]:
            yield ingest_pb.ReplayUsageEventsResponse(batch=accepted)

    def ListShardPositions(self, *_: object) -> Proto:
        return ingest_pb.ListShardPositionsResponse(
            positions=[
                ingest_events.ShardPosition(shard=shard, last_number=len(batches), published_number=len(batches))
                for shard, batches in self.batches.items()
            ]
        )


@contextmanager
def running(settings: Settings) -> Iterator[Parts]:
    parts = build(settings)
    for worker in parts.workers:
        worker.start()
    parts.server.start(parts.service_names)
    try:
        yield parts
    finally:
        parts.server.drain()
        for worker in reversed(parts.workers):
            worker.stop()
        parts.close()


class Client:
    """The service over the wire."""

    def __init__(self, parts: Parts) -> None:
        wire = open_channel(f"127.0.0.1:{parts.server.port}")
        self.costs = cost_grpc.CostModelServiceStub(wire)
        self.margins = margin_grpc.MarginServiceStub(wire)

    def create_cost_model(self, **rule: object) -> None:
        model = {"metric_code": "llm_tokens", **rule}
        request = cost_pb.CreateCostModelRequest(request_id="once", cost_model=model)
        first = self.costs.CreateCostModel(request, metadata=METADATA)
        assert self.costs.CreateCostModel(request, metadata=METADATA) == first

    def margins_of_all(self) -> Sequence[margin_pb2.Margin]:
        """The whole organization's figures, in each currency."""
        return self.margins.GetMarginSummary(margin_pb.GetMarginSummaryRequest(), metadata=METADATA).margins

    def summary(self) -> tuple[str, str, str]:
        """Revenue, cost and percent in the organization's own currency."""
        found = self.margins_of_all()[0]
        return found.revenue.value, found.cost.value, found.margin_percent.value


def publish_usage(bus: Bus, batches: Sequence[ingest_events.UsageEventsAccepted]) -> None:
    bus.ensure_stream(USAGE.name, USAGE.subjects)
    bus.publish(
        [
            numbered(shard_subject(b.shard), USAGE.name, b.SerializeToString(), b.first_number, b.last_number)
            for b in batches
        ]
    )


def publish_rating(bus: Bus, events: Sequence[tuple[str, Proto]]) -> None:
    bus.ensure_stream(RATING.name, RATING.subjects)
    bus.publish(
        [
            numbered(subject, RATING.name, event.SerializeToString(), number, number)
            for number, (subject, event) in enumerate(events, 1)
        ]
    )


def batches_of(shard: int, count: int) -> list[ingest_events.UsageEventsAccepted]:
    return [batch(shard, n, usage_entry(f"t{shard}-{n}", TOKENS)) for n in range(1, count + 1)]


def reached(parts: Parts) -> list[int]:
    with parts.deps.db.worker_transaction() as tx:
        events = [body for subject, body in announced(tx) if subject == "margin.test_clock.reached"]
    return [margin_events.TestClockReached.FromString(body).revision for body in events]

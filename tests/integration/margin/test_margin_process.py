"""The whole service on real PostgreSQL and NATS, with an ingest that can replay."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal

import grpc
import pytest
from google.protobuf.message import Message as Proto

from farebox.ingest.v1 import domain_events_pb2 as ingest_events
from farebox.ingest.v1 import usage_event_service_pb2 as ingest_pb
from farebox.ingest.v1 import usage_event_service_pb2_grpc as ingest_grpc
from farebox.margin.v1 import cost_model_service_pb2 as cost_pb
from farebox.margin.v1 import cost_model_service_pb2_grpc as cost_grpc
from farebox.margin.v1 import domain_events_pb2 as margin_events
from farebox.margin.v1 import margin_service_pb2 as margin_pb
from farebox.margin.v1 import margin_service_pb2_grpc as margin_grpc
from services.chassis.bus import Bus
from services.chassis.config import Settings
from services.chassis.outbox import numbered
from services.chassis.rpc.calls import ORGANIZATION_KEY
from services.chassis.rpc.channel import open_channel
from services.chassis.wait import wait_until
from services.kernel.period import Period
from services.margin.main import Parts, build
from services.wire.streams import MARGIN, RATING, USAGE, shard_subject
from tests.support.margin import (
    ACME,
    NOW,
    accrued,
    accrued_entry,
    announced,
    batch,
    clock_advanced,
    metric_changed,
    usage_entry,
)
from tests.support.patience import PATIENCE_SECONDS

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
                ingest_events.ShardPosition(shard=shard, last_number=len(batches))
                for shard, batches in self.batches.items()
            ]
        )


@pytest.fixture
def ingest() -> Iterator[tuple[Ingest, str]]:
    servicer = Ingest()
    server = grpc.server(ThreadPoolExecutor(4))
    ingest_grpc.add_UsageEventServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield servicer, f"127.0.0.1:{port}"
    server.stop(None).wait()


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


@pytest.fixture
def settings(settings_for: Callable[[str], Settings], ingest: tuple[Ingest, str]) -> Settings:
    quick = {"ingest_address": ingest[1], "drain_notice_seconds": 0.0, "drain_seconds": 1}
    return settings_for("margin").model_copy(update=quick)


@pytest.fixture
def margin(settings: Settings) -> Iterator[Parts]:
    with running(settings) as parts:
        yield parts


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

    def summary(self) -> tuple[str, str, str]:
        (found,) = self.margins.GetMarginSummary(margin_pb.GetMarginSummaryRequest(), metadata=METADATA).margins
        return found.revenue.value, found.cost.value, found.margin_percent.value


@pytest.fixture
def client(margin: Parts) -> Client:
    return Client(margin)


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


def test_usage_and_revenue_meet_in_the_margin(client: Client, bus: Bus) -> None:
    client.create_cost_model(per_model={})
    publish_usage(bus, [*batches_of(0, 3), *batches_of(7, 1)])
    month = Period(NOW - timedelta(days=1), NOW + timedelta(days=29))
    events = [accrued(month, accrued_entry("usage", "40", month, "llm_tokens"))]
    publish_rating(bus, [("rating.unknown.subject", events[0]), ("rating.revenue.accrued", events[0])])
    wait_until(lambda: client.summary() == ("40", "10", "75"), timeout=PATIENCE_SECONDS, what="the margin")
    rows = client.margins.ListMargins(margin_pb.ListMarginsRequest(group_by="GROUP_BY_MODEL"), metadata=METADATA)
    assert [(row.group, row.margin.value) for row in rows.margins] == [("gpt-4o", "30")]
    entries = client.costs.ListCostEntries(cost_pb.ListCostEntriesRequest(), metadata=METADATA).entries
    assert [entry.amount.value for entry in entries] == ["2.5"] * 4


def test_what_the_bus_has_lost_is_asked_from_ingest(client: Client, bus: Bus, ingest: tuple[Ingest, str]) -> None:
    client.create_cost_model(per_model={})
    ingest[0].batches[3] = batches_of(3, 6)
    publish_usage(bus, [ingest[0].batches[3][number] for number in (3, 0, 3)])
    wait_until(lambda: client.summary()[1] == "15", timeout=PATIENCE_SECONDS, what="the lost batches and the lost tail")


def test_a_test_clock_waits_for_the_usage_before_it(margin: Parts, client: Client, bus: Bus) -> None:
    client.create_cost_model(per_model={})
    later = NOW + timedelta(days=40)
    publish_rating(bus, [("rating.test_clock.advanced", clock_advanced(later, 1, {2: 2}))])
    publish_usage(bus, batches_of(2, 1))
    wait_until(lambda: client.summary()[1] == "2.5", timeout=PATIENCE_SECONDS, what="the first batch")
    assert reached(margin) == []
    publish_usage(bus, batches_of(2, 2))
    wait_until(lambda: reached(margin) == [1], timeout=PATIENCE_SECONDS, what="the test clock")
    assert client.summary()[1] == "5"
    place = bus.ensure_stream(MARGIN.name, MARGIN.subjects)
    wait_until(
        lambda: place.created and bus.ensure_stream(MARGIN.name, MARGIN.subjects).last_sequence == 1,
        timeout=PATIENCE_SECONDS,
        what="the announcement",
    )


def test_a_clock_does_not_hold_back_what_its_usage_needs(margin: Parts, client: Client, bus: Bus) -> None:
    """A cost per unit waits for its metric, which is announced right before the clock that waits for the cost."""
    client.create_cost_model(per_unit={"unit_amount": {"value": "0.000001"}})
    ready = ("rating.test_clock.advanced", clock_advanced(NOW, 1, {2: 1}))
    publish_rating(bus, [("rating.catalog.metric_changed", metric_changed("llm_tokens", sums="tokens")), ready])
    publish_usage(bus, batches_of(2, 1))
    wait_until(lambda: reached(margin) == [1], timeout=PATIENCE_SECONDS, what="the test clock")
    assert Decimal(client.summary()[1]) == 1


def test_two_replicas_count_once(settings: Settings, bus: Bus) -> None:
    with running(settings) as one, running(settings) as two:
        client = Client(one)
        client.create_cost_model(per_model={})
        publish_usage(bus, [b for shard in range(16) for b in batches_of(shard, 4)])
        wait_until(lambda: Client(two).summary()[1] == "160", timeout=PATIENCE_SECONDS, what="all batches")
        entries = client.costs.ListCostEntries(cost_pb.ListCostEntriesRequest(), metadata=METADATA).entries
        assert len({entry.source_id for entry in entries}) == len(entries) == 64

"""The whole service on real PostgreSQL and NATS, with an ingest that can replay."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from farebox.margin.v1 import cost_model_service_pb2 as cost_pb
from farebox.margin.v1 import margin_service_pb2 as margin_pb
from services.chassis.bus import Bus
from services.chassis.config import Settings
from services.chassis.wait import wait_until
from services.kernel.period import Period
from services.margin.main import Parts
from services.wire.streams import MARGIN
from tests.support.margin import (
    NOW,
    accrued,
    accrued_entry,
    clock_advanced,
    metric_changed,
)
from tests.support.margin_process import (
    METADATA,
    Client,
    Ingest,
    batches_of,
    publish_rating,
    publish_usage,
    reached,
    running,
)
from tests.support.patience import PATIENCE_SECONDS


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

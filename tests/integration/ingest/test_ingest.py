"""The log from the outside: what is sent, what is answered, what is stored and announced."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from farebox.common.v1 import page_pb2
from farebox.ingest.v1 import usage_event_pb2 as pb
from farebox.ingest.v1 import usage_event_service_pb2 as service_pb
from services.chassis.bus import Bus
from services.chassis.wait import wait_until
from services.ingest.domain.billability import Metric, Needs
from services.ingest.domain.catalog_update import MetricUpdate, SubscriptionUpdate
from services.ingest.domain.catalog_update import TestClockUpdate as ClockUpdate
from services.ingest.domain.usage_events import UsageEvents
from services.ingest.pipeline.prepare import Preparer
from services.kernel.ids import OrganizationId
from services.wire.streams import USAGE, shard_subject
from tests.support.ingest.process import Ingest, at, subscription, teach, usage_event
from tests.support.patience import PATIENCE_SECONDS


def test_event_is_stored_announced_and_found(ingest: Ingest) -> None:
    event = usage_event(properties=b'{"tokens": 1.50, "model": "gpt-4o"}')
    assert ingest.outcomes(event) == ["accepted"]
    found = ingest.call("GetUsageEvent", service_pb.GetUsageEventRequest(transaction_id=event.transaction_id)).event
    assert found.state == pb.StoredUsageEvent.STATE_ACCEPTED
    assert found.event.properties == event.properties
    [entry] = ingest.announced()
    assert entry.properties == event.properties
    assert entry.subscription_id == found.subscription_id == subscription("sub-acme", "acme").subscription_id
    assert entry.occurred_at == found.event.occurred_at == found.received_at


def test_repeat_is_a_duplicate_whatever_its_time(ingest: Ingest) -> None:
    event = usage_event()
    assert ingest.outcomes(event, event) == ["accepted", "duplicate"]
    event.occurred_at.GetCurrentTime()
    assert ingest.outcomes(event) == ["duplicate"]
    assert ingest.stored() == len(ingest.announced()) == 1


def test_the_answer_says_when_each_event_occurred(ingest: Ingest) -> None:
    """A sender need not ask for an event it has just sent: not for its time, its receipt or its subscription."""
    clock = datetime(2024, 5, 1, 12, tzinfo=UTC)
    teach(ingest.db, [ClockUpdate(OrganizationId(ingest.organization), clock, 1)])
    given, late = usage_event(), usage_event(code="unknown")
    given.occurred_at.FromDatetime(datetime(2024, 4, 1, tzinfo=UTC))
    first = ingest.send(usage_event("server-time"), given, late, tells_subscriptions=True)
    assert first.present_at.ToDatetime(UTC) == clock
    assert abs(first.received_at.ToDatetime(UTC) - at()) < timedelta(minutes=1)
    counted_for = subscription("sub-acme", "acme").subscription_id
    assert first.subscription_ids == [counted_for, counted_for, ""]
    for transaction_id, occurred_at in (("server-time", first.present_at), (given.transaction_id, given.occurred_at)):
        request = service_pb.GetUsageEventRequest(transaction_id=transaction_id)
        stored = ingest.call("GetUsageEvent", request).event
        assert (stored.event.occurred_at, stored.received_at) == (occurred_at, first.received_at)
    # A repeat is answered with the first event's times, whatever the organization's time is by now.
    teach(ingest.db, [ClockUpdate(OrganizationId(ingest.organization), clock + timedelta(days=9), 2)])
    again = ingest.send(usage_event("server-time"), given, usage_event("server-time", code="other"))
    assert list(again.outcomes) == [
        pb.INGEST_OUTCOME_DUPLICATE,
        pb.INGEST_OUTCOME_DUPLICATE,
        pb.INGEST_OUTCOME_CONFLICT,
    ]
    told = [(detail.occurred_at, detail.received_at) for detail in again.details]
    assert told == [(first.present_at, first.received_at), (given.occurred_at, first.received_at), told[0]]
    assert (again.present_at.ToDatetime(UTC), again.subscription_ids) == (clock + timedelta(days=9), [])


def test_rewritten_properties_are_the_same_content(ingest: Ingest) -> None:
    first = usage_event(properties=b'{"a": 1, "b": "x"}')
    assert ingest.outcomes(first) == ["accepted"]
    first.properties = b'{"b":"x","a":1.0}'
    assert ingest.outcomes(first) == ["duplicate"]
    first.properties = b'{"b":"x","a":true}'
    response = ingest.send(first)
    assert response.outcomes == [pb.INGEST_OUTCOME_CONFLICT]
    assert response.details[0].reason == "TRANSACTION_ID_REUSED"


def test_batch_reports_each_event(ingest: Ingest) -> None:
    events = [
        usage_event(),
        usage_event(code=""),
        usage_event(code="unknown"),
        usage_event(properties=b"[1]"),
        usage_event(code="llm_tokens", properties=b'{"tokens": "many"}'),
        usage_event(code="llm_tokens", properties=b'{"tokens": "1e3"}'),
    ]
    response = ingest.send(*events)
    assert [(d.index, d.reason, d.field) for d in response.details] == [
        (1, "value_is_mandatory", "code"),
        (2, "METRIC_UNKNOWN", "code"),
        (3, "invalid_format", "properties"),
        (4, "PROPERTY_NOT_NUMERIC", "properties.tokens"),
    ]
    assert ingest.stored() == 4
    assert len(ingest.announced()) == 2


def quarantined(ingest: Ingest, **wanted: str) -> tuple[list[str], int]:
    """What is in quarantine, and how much that is said to be."""
    request = service_pb.ListQuarantinedUsageEventsRequest(page=page_pb2.PageRequest(with_total=True), **wanted)
    listed = ingest.call("ListQuarantinedUsageEvents", request)
    return [entry.event.transaction_id for entry in listed.events], listed.page.total_size


def test_quarantined_events_are_released_by_themselves(ingest: Ingest) -> None:
    name = OrganizationId(ingest.organization)
    early = usage_event(code="later_metric")
    stranger = usage_event(external_customer_id="initech")
    assert ingest.outcomes(early, stranger) == ["quarantined", "quarantined"]
    listed = ingest.call("ListQuarantinedUsageEvents", service_pb.ListQuarantinedUsageEventsRequest())
    assert {entry.reason for entry in listed.events} == {"METRIC_UNKNOWN", "SUBSCRIPTION_NOT_FOUND"}
    nameless = usage_event(code="later_metric", external_customer_id="", external_subscription_id="sub-acme")
    assert ingest.outcomes(nameless) == ["quarantined"]
    assert quarantined(ingest, external_customer_id="acme") == ([early.transaction_id, nameless.transaction_id], 2)
    assert quarantined(ingest, external_customer_id="initech") == ([stranger.transaction_id], 1)
    assert quarantined(ingest, external_customer_id="acme", reason="SUBSCRIPTION_NOT_FOUND") == ([], 0)
    void = service_pb.VoidUsageEventRequest(transaction_id=nameless.transaction_id, reason="wrong", actor="test")
    ingest.call("VoidUsageEvent", void)
    assert quarantined(ingest, external_customer_id="acme") == ([early.transaction_id], 1)
    teach(ingest.db, [MetricUpdate(name, Metric("later_metric", Needs.NOTHING, ""), is_deleted=False)])
    teach(ingest.db, [SubscriptionUpdate(name, subscription("sub-initech", "initech"))])
    wait_until(lambda: len(ingest.announced()) == 2, timeout=PATIENCE_SECONDS, what="the release")
    listed = ingest.call("ListQuarantinedUsageEvents", service_pb.ListQuarantinedUsageEventsRequest())
    assert not listed.events
    assert ingest.outcomes(early, stranger) == ["duplicate", "duplicate"]


def test_void_with_replacement_moves_the_announcement(ingest: Ingest) -> None:
    event, replacement = usage_event(), usage_event(external_customer_id="globex")
    ingest.send(event)
    request = service_pb.VoidUsageEventRequest(
        transaction_id=event.transaction_id, reason="wrong customer", actor="ops@example.com", replacement=replacement
    )
    first, again = ingest.call("VoidUsageEvent", request), ingest.call("VoidUsageEvent", request)
    assert first == again
    assert first.event.state == pb.StoredUsageEvent.STATE_VOIDED
    assert (first.event.voided_by, first.event.replaced_by) == ("ops@example.com", replacement.transaction_id)
    kinds = sorted((entry.kind, entry.transaction_id) for entry in ingest.announced())
    assert kinds == sorted([(1, event.transaction_id), (2, event.transaction_id), (1, replacement.transaction_id)])


def test_shards_are_published_in_order(ingest: Ingest, bus: Bus) -> None:
    for _ in range(5):
        ingest.send(usage_event())
    [entry] = {(e.external_customer_id) for e in ingest.announced()}
    assert entry == "acme"
    shard = next(
        position.shard
        for position in ingest.call("ListShardPositions", service_pb.ListShardPositionsRequest()).positions
        if position.last_number == 5
    )
    published = lambda: ingest.scalar(  # noqa: E731
        "SELECT published_number FROM shard_publications WHERE shard = %s", shard
    )
    wait_until(lambda: published() == 5, timeout=PATIENCE_SECONDS, what="the publication")
    reader = bus.open_reader(USAGE.name, shard_subject(shard), after_sequence=0)
    numbers: list[str] = []

    def all_came() -> bool:
        numbers.extend(message.headers["Farebox-Last-Number"] for message in reader.fetch(10, 1))
        return "5" in numbers

    wait_until(all_came, timeout=PATIENCE_SECONDS, what="the messages of the shard")
    assert numbers == sorted(numbers)


def test_list_pages_by_customer_and_time(ingest: Ingest) -> None:
    for customer in ("acme", "globex"):
        ingest.send(*[usage_event(f"{customer}-{n}", external_customer_id=customer) for n in range(7)])
    request = service_pb.ListUsageEventsRequest(external_customer_id="globex")
    request.page.page_size = 3
    seen: list[str] = []
    while True:
        answer = ingest.call("ListUsageEvents", request)
        seen += [stored.event.transaction_id for stored in answer.events]
        request.page.page_token = answer.page.next_page_token
        if not request.page.page_token:
            break
    assert sorted(seen) == [f"globex-{n}" for n in range(7)]


def test_an_event_that_cannot_be_released_holds_up_nobody(ingest: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stays in quarantine; the other events, and those of the next organization, are released."""
    again = Preparer.prepare_again

    def fail(preparer: Preparer, tx: Any, organization: OrganizationId, events: UsageEvents, received_us: int) -> Any:
        if "poison" in events.transaction_ids:
            raise ArithmeticError("poison")
        return again(preparer, tx, organization, events, received_us)

    events = [usage_event(transaction_id, code="later") for transaction_id in ("a", "b", "poison", "c", "d")]
    assert ingest.outcomes(*events) == ["quarantined"] * 5
    monkeypatch.setattr(Preparer, "prepare_again", fail)
    metric = Metric("later", Needs.NOTHING, "")
    teach(ingest.db, [MetricUpdate(OrganizationId(ingest.organization), metric, is_deleted=False)])
    wait_until(lambda: len(ingest.announced()) == 4, timeout=PATIENCE_SECONDS, what="the neighbours")
    assert {entry.transaction_id for entry in ingest.announced()} == {"a", "b", "c", "d"}
    # The organization behind it in the queue is not held up either.
    wait_until(
        lambda: ingest.scalar("SELECT count(*) FROM release_requests") == 0,
        timeout=PATIENCE_SECONDS,
        what="all requests",
    )

"""What rating tells over the bus: the catalog, test clocks, and events that no period takes."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

import pytest

from farebox.ingest.v1 import domain_events_pb2 as own_pb
from farebox.ingest.v1 import usage_event_pb2
from farebox.ingest.v1 import usage_event_service_pb2 as service_pb
from farebox.rating.v1 import billable_metric_pb2, organization_pb2, subscription_pb2
from farebox.rating.v1 import domain_events_pb2 as pb
from services.chassis.bus import Bus
from services.chassis.outbox import numbered
from services.chassis.wait import wait_until
from services.kernel.ids import new_id
from services.wire.streams import INGEST, RATING
from tests.support.ingest.process import Ingest, usage_event
from tests.support.patience import PATIENCE_SECONDS

KINDS = own_pb.UsageEventEntry.Kind
# How an event may have come to be announced: what it names, and whether it had to wait in quarantine first.
PLACES = {
    "by customer": {"external_customer_id": "initech"},
    "by both": {"external_customer_id": "initech", "external_subscription_id": "sub-initech"},
    "by subscription": {"external_customer_id": "", "external_subscription_id": "sub-initech"},
}


class Rating:
    """Announces what rating would announce."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._number = 0
        bus.ensure_stream(RATING.name, RATING.subjects)

    def tell(self, subject: str, message: Any) -> None:
        self._number += 1
        self._bus.publish([numbered(subject, RATING.name, message.SerializeToString(), self._number, self._number)])


@pytest.fixture
def rating(bus: Bus) -> Rating:
    """Rating's voice."""
    return Rating(bus)


def _subscription(organization: str, external_id: str, customer: str) -> pb.SubscriptionChanged:
    subscription = subscription_pb2.Subscription(
        id=new_id(),
        external_id=external_id,
        external_customer_id=customer,
        state=subscription_pb2.Subscription.STATE_ACTIVE,
    )
    subscription.started_at.FromDatetime(datetime(2020, 1, 1, tzinfo=UTC))
    return pb.SubscriptionChanged(organization_id=organization, subscription=subscription)


def test_metric_and_subscription_release_what_waited(ingest: Ingest, rating: Rating) -> None:
    waiting = usage_event(code="new", external_customer_id="initech", properties=b'{"n": 5}')
    assert ingest.outcomes(waiting) == ["quarantined"]
    metric = billable_metric_pb2.BillableMetric(
        code="new", aggregation=billable_metric_pb2.BillableMetric.AGGREGATION_SUM, field_name="n"
    )
    rating.tell(
        "rating.catalog.metric_changed",
        pb.BillableMetricChanged(organization_id=ingest.organization, billable_metric=metric),
    )
    rating.tell("rating.subscription.changed", _subscription(ingest.organization, "sub-initech", "initech"))
    wait_until(lambda: len(ingest.announced()) == 1, timeout=PATIENCE_SECONDS, what="the release")
    [entry] = ingest.announced()
    found = ingest.call("GetUsageEvent", service_pb.GetUsageEventRequest(transaction_id=waiting.transaction_id)).event
    assert (entry.kind, entry.subscription_id) == (KINDS.Value("KIND_ACCEPTED"), found.subscription_id)
    assert entry.received_at == found.received_at
    assert ingest.outcomes(usage_event(code="new", external_customer_id="initech", properties=b'{"n": 6}')) == [
        "accepted"
    ]


def test_organization_that_rejects_duplicates_hears_of_them(ingest: Ingest, rating: Rating) -> None:
    event = usage_event()
    ingest.send(event)
    organization = organization_pb2.Organization(
        id=ingest.organization, duplicate_events=organization_pb2.Organization.DUPLICATE_EVENTS_REJECT
    )
    rating.tell("rating.organization.changed", pb.OrganizationChanged(organization=organization))
    reason = lambda: ingest.send(event).details[0].reason  # noqa: E731
    wait_until(lambda: reason() == "value_already_exist", timeout=PATIENCE_SECONDS, what="the policy")


def test_test_clock_is_the_organizations_time(ingest: Ingest, rating: Rating, bus: Bus) -> None:
    advanced = pb.TestClockAdvanced(organization_id=ingest.organization, revision=3)
    advanced.now.FromDatetime(datetime(2031, 5, 1, tzinfo=UTC))
    assert ingest.outcomes(usage_event(occurred_at=advanced.now)) == ["rejected"]
    rating.tell("rating.test_clock.advanced", advanced)
    bus.ensure_stream(INGEST.name, INGEST.subjects)
    reader = bus.open_reader(INGEST.name, "ingest.test_clock.reached", after_sequence=0)
    messages = wait_until(lambda: reader.fetch(2, 1), timeout=PATIENCE_SECONDS, what="the answer")
    reached = own_pb.TestClockReached.FromString(messages[0].body)
    assert (reached.organization_id, reached.revision, reached.now) == (ingest.organization, 3, advanced.now)
    assert ingest.outcomes(usage_event("ahead", occurred_at=advanced.now)) == ["accepted"]
    ingest.send(usage_event("now"))
    found = ingest.call("GetUsageEvent", service_pb.GetUsageEventRequest(transaction_id="now")).event
    assert found.event.occurred_at == advanced.now
    assert found.received_at != advanced.now


def test_refused_event_is_quarantined_and_taken_back(ingest: Ingest, rating: Rating) -> None:
    """It stays in quarantine until a change comes; the changes that made the catalog have been looked at before."""
    waiting = "SELECT count(*) FROM release_requests"
    wait_until(lambda: ingest.scalar(waiting) == 0, timeout=PATIENCE_SECONDS, what="what the catalog asked for")
    event = usage_event()
    ingest.send(event)
    [entry] = ingest.announced()
    refusal = pb.UsageRefused.Refusal(
        organization_id=ingest.organization, event_key=entry.event_key, reason="PERIOD_CLOSED"
    )
    rating.tell("rating.usage.refused", pb.UsageRefused(refusals=[refusal, refusal]))
    wait_until(lambda: len(ingest.announced()) == 2, timeout=PATIENCE_SECONDS, what="the quarantine")
    assert [entry.kind for entry in ingest.announced()] == [KINDS.Value("KIND_ACCEPTED"), KINDS.Value("KIND_VOIDED")]
    found = ingest.call("GetUsageEvent", service_pb.GetUsageEventRequest(transaction_id=event.transaction_id)).event
    assert (found.state, found.reason) == (usage_event_pb2.StoredUsageEvent.STATE_QUARANTINED, "PERIOD_CLOSED")
    again = _subscription(ingest.organization, "sub-acme", "acme")
    again.subscription.id = str(uuid.UUID(entry.subscription_id))
    rating.tell("rating.subscription.changed", again)
    wait_until(lambda: len(ingest.announced()) == 3, timeout=PATIENCE_SECONDS, what="the release")
    assert ingest.announced()[-1].kind == KINDS.Value("KIND_ACCEPTED")


@pytest.mark.parametrize("has_waited", [False, True], ids=["accepted at once", "released"])
@pytest.mark.parametrize("place", ["by both", "by subscription"])
def test_refused_event_goes_to_the_subscription_that_took_over(
    ingest: Ingest, rating: Rating, place: str, *, has_waited: bool
) -> None:
    """Also when the log sees the change before it sees the refusal."""
    old, new = (_subscription(ingest.organization, "sub-initech", "initech") for _ in range(2))
    event = usage_event(**PLACES[place])
    if has_waited:
        ingest.send(event)
    rating.tell("rating.subscription.changed", old)
    known = "SELECT count(*) FROM subscriptions WHERE external_id = 'sub-initech' AND organization_id = %s"
    wait_until(lambda: ingest.scalar(known, ingest.organization), timeout=PATIENCE_SECONDS, what="the subscription")
    ingest.send(event)
    [entry] = wait_until(ingest.announced, timeout=PATIENCE_SECONDS, what="the event")
    old.subscription.terminated_at.CopyFrom(entry.occurred_at)
    new.subscription.started_at.CopyFrom(entry.occurred_at)
    rating.tell("rating.subscription.changed", old)
    rating.tell("rating.subscription.changed", new)
    refusal = pb.UsageRefused.Refusal(
        organization_id=ingest.organization, event_key=entry.event_key, reason="SUBSCRIPTION_NOT_ACTIVE"
    )
    rating.tell("rating.usage.refused", pb.UsageRefused(refusals=[refusal]))
    wait_until(lambda: len(ingest.announced()) == 3, timeout=PATIENCE_SECONDS, what="the release")
    assert [(entry.kind, entry.subscription_id) for entry in ingest.announced()[1:]] == [
        (KINDS.Value("KIND_VOIDED"), old.subscription.id),
        (KINDS.Value("KIND_ACCEPTED"), new.subscription.id),
    ]


def _metric(organization: str, code: str) -> pb.BillableMetricChanged:
    metric = billable_metric_pb2.BillableMetric(
        code=code, aggregation=billable_metric_pb2.BillableMetric.AGGREGATION_COUNT
    )
    return pb.BillableMetricChanged(organization_id=organization, billable_metric=metric)


@pytest.mark.parametrize("has_waited", [False, True], ids=["accepted at once", "released"])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("changed", ["subscription", "metric"])
def test_a_change_between_announcement_and_refusal_is_not_lost(
    ingest: Ingest, rating: Rating, changed: str, place: str, *, has_waited: bool
) -> None:
    """Whatever the log has taken over since it announced an event, it looks at the event again once it is refused."""

    def announced(count: int) -> list[Any]:
        return wait_until(
            lambda: len(ingest.announced()) == count and ingest.announced(),
            timeout=PATIENCE_SECONDS,
            what=f"{count} entries",
        )

    def tell(message: Any) -> None:
        """Announce a change of the catalog, and wait until nothing has to be looked at because of it."""
        revision = ingest.scalar("SELECT revision FROM catalog_head")
        is_metric = isinstance(message, pb.BillableMetricChanged)
        rating.tell("rating.catalog.metric_changed" if is_metric else "rating.subscription.changed", message)
        waiting = "SELECT (SELECT revision FROM catalog_head) > %s AND NOT EXISTS (SELECT FROM release_requests)"
        wait_until(lambda: ingest.scalar(waiting, revision), timeout=PATIENCE_SECONDS, what="the change")

    metric = _metric(ingest.organization, "api_call")
    subscription = _subscription(ingest.organization, "sub-initech", "initech")
    event = usage_event(**PLACES[place])
    if has_waited:
        assert ingest.outcomes(event) == ["quarantined"]
        tell(subscription)
    else:
        tell(subscription)
        assert ingest.outcomes(event) == ["accepted"]
    [entry] = announced(1)
    tell(subscription if changed == "subscription" else metric)
    refusal = pb.UsageRefused.Refusal(
        organization_id=ingest.organization,
        event_key=entry.event_key,
        reason="SUBSCRIPTION_NOT_ACTIVE",
        catalog_revision=entry.catalog_revision,
    )
    rating.tell("rating.usage.refused", pb.UsageRefused(refusals=[refusal]))
    assert [again.kind for again in announced(3)[1:]] == [KINDS.Value("KIND_VOIDED"), KINDS.Value("KIND_ACCEPTED")]
    # Refused once more without a change in between, it stays where it is.
    refusal.catalog_revision = ingest.announced()[-1].catalog_revision
    rating.tell("rating.usage.refused", pb.UsageRefused(refusals=[refusal]))
    announced(4)
    assert ingest.scalar("SELECT count(*) FROM release_requests") == 0

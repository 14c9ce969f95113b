"""One organization never stops another: whatever is wrong with what the log is told or holds, its neighbours go on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime
from typing import Any

import psycopg
import pytest

from farebox.rating.v1 import billable_metric_pb2, organization_pb2, subscription_pb2
from farebox.rating.v1 import domain_events_pb2 as pb
from services.chassis.bus import Bus
from services.chassis.config import Settings
from services.chassis.wait import wait_until
from services.ingest import jobs
from services.ingest.consumers import HANDLERS
from services.ingest.domain.catalog_update import SubscriptionUpdate
from services.ingest.domain.identity import shard_of
from services.ingest.store.shards import Batch
from services.kernel.ids import OrganizationId, new_id
from services.wire.shards import SHARD_COUNT
from tests.support.ingest.process import Ingest, running, subscription, teach, usage_event
from tests.support.patience import PATIENCE_SECONDS
from tests.support.rating.events import RatingLog

VICTIM = new_id()
# What no message can hold: a number beyond the years that a time has, and text where an id must be.
BEYOND, NO_ID = 2**40, "no id"


def metric(organization: str, code: str) -> tuple[str, bytes]:
    """A count metric, announced."""
    counted = billable_metric_pb2.BillableMetric(
        code=code, aggregation=billable_metric_pb2.BillableMetric.AGGREGATION_COUNT
    )
    message = pb.BillableMetricChanged(organization_id=organization, billable_metric=counted)
    return "rating.catalog.metric_changed", message.SerializeToString()


def poisoned_organization() -> tuple[str, bytes]:
    message = pb.OrganizationChanged(organization=organization_pb2.Organization(id=NO_ID))
    return "rating.organization.changed", message.SerializeToString()


def poisoned_metric() -> tuple[str, bytes]:
    return metric(NO_ID, "calls")


def poisoned_subscription() -> tuple[str, bytes]:
    subscription = subscription_pb2.Subscription(id=new_id(), external_id="s", external_customer_id="c")
    subscription.started_at.seconds = BEYOND
    message = pb.SubscriptionChanged(organization_id=VICTIM, subscription=subscription)
    return "rating.subscription.changed", message.SerializeToString()


def poisoned_clock() -> tuple[str, bytes]:
    message = pb.TestClockAdvanced(organization_id=VICTIM, revision=1)
    message.now.seconds = BEYOND
    return "rating.test_clock.advanced", message.SerializeToString()


def refusal(organization: str, key: bytes) -> Any:
    return pb.UsageRefused.Refusal(organization_id=organization, event_key=key, reason="PERIOD_CLOSED")


def poisoned_refusal() -> tuple[str, bytes]:
    return "rating.usage.refused", pb.UsageRefused(refusals=[refusal(VICTIM, b"short")]).SerializeToString()


POISON = {
    "rating.organization.changed": poisoned_organization,
    "rating.catalog.metric_changed": poisoned_metric,
    "rating.subscription.changed": poisoned_subscription,
    "rating.test_clock.advanced": poisoned_clock,
    "rating.usage.refused": poisoned_refusal,
}


@pytest.fixture
def told(bus: Bus) -> RatingLog:
    """Rating's voice."""
    return RatingLog(bus)


def dead_letters(ingest: Ingest) -> int:
    return int(ingest.scalar("SELECT count(*) FROM dead_letters"))


def column(ingest: Ingest, question: str) -> list[Any]:
    """The first column of an answer, as the worker."""
    with ingest.db.worker_transaction() as tx:
        return list(tx.exec_driver_sql(question).scalars())


def until_known(ingest: Ingest, code: str) -> None:
    question = "SELECT EXISTS (SELECT FROM billable_metrics WHERE organization_id = %s AND code = %s)"
    wait_until(
        lambda: ingest.scalar(question, ingest.organization, code), timeout=PATIENCE_SECONDS, what=f"metric {code}"
    )


def test_there_is_a_poison_for_every_handler() -> None:
    """A subject that is followed without a poisoned neighbour in this file would be followed untested."""
    assert POISON.keys() == HANDLERS.keys()


def test_poisoned_announcements_stop_nobody(ingest: Ingest, told: RatingLog) -> None:
    """Each is set aside alone, one of every kind and one that cannot be read, and what is between them is applied."""
    unreadable = ("rating.usage.refused", b"\xff\xff\xff")
    for place, poison in enumerate([*(make() for make in POISON.values()), unreadable]):
        told.announce(metric(ingest.organization, f"before-{place}"), poison)
    told.announce(metric(ingest.organization, "last"))
    until_known(ingest, "last")
    known = ingest.scalar(
        "SELECT count(*) FROM billable_metrics WHERE organization_id = %s AND code LIKE 'before-%%'",
        ingest.organization,
    )
    assert (known, dead_letters(ingest)) == (len(POISON) + 1, len(POISON) + 1)


def test_a_poisoned_refusal_stops_none_of_its_message(ingest: Ingest, told: RatingLog) -> None:
    """One message carries refusals of many organizations: only the one that cannot be applied is set aside."""
    sent = [usage_event() for _ in range(4)]
    assert ingest.outcomes(*sent) == ["accepted"] * 4
    keys = [key.bytes for key in column(ingest, "SELECT event_key FROM usage_events")]
    refusals = [refusal(ingest.organization, key) for key in keys]
    refusals.insert(2, refusal(VICTIM, b"short"))
    told.announce(("rating.usage.refused", pb.UsageRefused(refusals=refusals).SerializeToString()))
    question = "SELECT count(*) FROM quarantined_usage_events WHERE released_at IS NULL"
    wait_until(lambda: ingest.scalar(question) == 4, timeout=PATIENCE_SECONDS, what="the neighbours' refusals")
    (letter,) = column(ingest, "SELECT log FROM dead_letters")
    assert letter.partition("/")[0] == "rating"


def test_a_shard_that_cannot_be_published_holds_up_no_other(ingest: Ingest, monkeypatch: pytest.MonkeyPatch) -> None:
    """One job publishes all shards in one round; once its fault is gone, the one that stood goes on."""
    announcement, broken = jobs.announcement, {0}

    def fail(run: list[Batch]) -> bytes:
        if run[0].shard in broken:
            raise ArithmeticError("poison")
        return announcement(run)

    monkeypatch.setattr(jobs, "announcement", fail)
    organization = OrganizationId(ingest.organization)
    customers: dict[int, str] = {}
    while len(customers) < SHARD_COUNT:
        customer = new_id()
        customers.setdefault(shard_of(organization, customer, SHARD_COUNT), customer)
    teach(
        ingest.db,
        [SubscriptionUpdate(organization, subscription(customer, customer)) for customer in customers.values()],
    )
    sent = [usage_event(external_customer_id=customer) for customer in customers.values()]
    assert set(ingest.outcomes(*sent)) == {"accepted"}
    wait_until(
        lambda: published(ingest) == list(range(1, SHARD_COUNT)), timeout=PATIENCE_SECONDS, what="the other shards"
    )
    broken.clear()
    wait_until(
        lambda: published(ingest) == list(range(SHARD_COUNT)), timeout=PATIENCE_SECONDS, what="the shard that stood"
    )


def test_partitions_that_cannot_be_made_stop_nobody(
    settings_for: Callable[[str], Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever keeps them from being made, events are taken meanwhile, and the next try makes them."""
    make, is_made = jobs.make_partitions, threading.Event()
    failures: list[Exception] = [psycopg.OperationalError("the database is away"), KeyError("a mistake")]

    def fail_first(owner_url: str, now: datetime) -> None:
        if failures:
            raise failures.pop(0)
        make(owner_url, now)
        is_made.set()

    monkeypatch.setattr(jobs, "make_partitions", fail_first)
    monkeypatch.setattr(jobs, "PARTITION_RETRY_SECONDS", 0.0)
    with running(settings_for("ingest")) as ingest:
        assert ingest.outcomes(usage_event()) == ["accepted"]
        assert is_made.wait(PATIENCE_SECONDS)
        assert ingest.outcomes(usage_event()) == ["accepted"]


def published(ingest: Ingest) -> list[int]:
    """The shards of which something was published."""
    return column(ingest, "SELECT shard FROM shard_publications WHERE published_number > 0 ORDER BY shard")

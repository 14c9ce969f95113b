"""Ingest and rating side by side, as processes run them: what one accepts and the other counts, and whether both agree.

Everything is real: PostgreSQL, NATS, followers, relays, jobs, the machine's time. `Flow.settle` waits until no message
is on its way; then `Flow.drift` must be empty.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from farebox.ingest.v1 import usage_event_pb2
from farebox.ingest.v1 import usage_event_service_pb2 as ingest_pb
from farebox.ingest.v1 import usage_event_service_pb2_grpc as ingest_grpc
from farebox.rating.v1 import (
    catalog_service_pb2,
    catalog_service_pb2_grpc,
    organization_pb2,
    organization_service_pb2,
    organization_service_pb2_grpc,
    plan_pb2,
    subscription_pb2,
    subscription_service_pb2,
    subscription_service_pb2_grpc,
)
from services.chassis.config import Settings
from services.chassis.db import Database
from services.chassis.process import Parts
from services.chassis.rpc.calls import ORGANIZATION_KEY
from services.chassis.rpc.channel import open_channel
from services.chassis.wait import wait_until
from services.ingest import main as ingest_main
from services.kernel.ids import new_id
from services.local.ports import Port
from services.rating import main as rating_main
from services.rating.settings import RatingSettings
from tests.support.rating.server import metric, plan, standard_charge

CALL_SECONDS = 60.0
# Everything on its way arrives within a second; on a busy machine it may take much longer.
SETTLE_SECONDS = 120.0
# Everything must be quiet for this long before it counts as settled: jobs run once a second.
CALM_SECONDS = 2.5
# Scheduled work within this time is waited for as well.
DUE_SECONDS = 10.0
METRIC = "api_call"


class Flow:
    """Two services and one organization.

    Attributes:
        organization: its id.
        log, ledger: the databases of ingest and of rating.
        events: the client of ingest.
        catalog, subscriptions: clients of rating.
    """

    def __init__(self, ingest: Settings, rating: Settings, to_ingest: grpc.Channel, to_rating: grpc.Channel) -> None:
        self.log, self.ledger = Database(ingest), Database(rating)
        self.events = ingest_grpc.UsageEventServiceStub(to_ingest)
        self.catalog = catalog_service_pb2_grpc.CatalogServiceStub(to_rating)
        self.subscriptions = subscription_service_pb2_grpc.SubscriptionServiceStub(to_rating)
        organizations = organization_service_pb2_grpc.OrganizationServiceStub(to_rating)
        request = organization_service_pb2.CreateOrganizationRequest(
            organization=organization_pb2.Organization(name="Flow", default_currency="USD")
        )
        self.organization: str = organizations.CreateOrganization(request, timeout=CALL_SECONDS).organization.id

    def call(self, method: Any, request: Any) -> Any:
        """One call as the organization."""
        return method(request, metadata=((ORGANIZATION_KEY, self.organization),), timeout=CALL_SECONDS)

    def sell(self, code: str = "pro", *, metrics: Sequence[str] = (METRIC,), **fields: Any) -> None:
        """Make count metrics and a plan with a charge on each, and wait until ingest knows the metrics."""
        for name in metrics:
            self.metric(name)
        charges = [standard_charge(name, "1") for name in metrics]
        message = plan(code, charges=charges, **fields)
        self.call(self.catalog.CreatePlan, catalog_service_pb2.CreatePlanRequest(plan=message))
        self.until_known("billable_metrics", len(metrics))

    def metric(self, code: str) -> None:
        """Make a count metric."""
        request = catalog_service_pb2.CreateBillableMetricRequest(billable_metric=metric(code))
        self.call(self.catalog.CreateBillableMetric, request)

    def subscribe(self, customer: str, plan_code: str = "pro", **fields: Any) -> subscription_pb2.Subscription:
        """Put a customer on a plan."""
        request = subscription_service_pb2.CreateSubscriptionRequest(
            external_customer_id=customer, plan_code=plan_code, **fields
        )
        return self.call(self.subscriptions.CreateSubscription, request).change.subscription

    def change(self, method: str, external_id: str, **fields: Any) -> None:
        """Call a verb of a subscription: Cancel…, Change…Plan, Withdraw…Change."""
        request = getattr(subscription_service_pb2, f"{method}Request")(external_id=external_id, **fields)
        self.call(getattr(self.subscriptions, method), request)

    def remove_metric(self, code: str) -> None:
        """Remove a metric that no plan charges for."""
        request = catalog_service_pb2.DeleteBillableMetricRequest(code=code)
        self.call(self.catalog.DeleteBillableMetric, request)

    def look_again(self) -> None:
        """Request that everything in quarantine is resolved again, as if its whole catalog had changed."""
        with self.log.worker_transaction() as tx:
            tx.exec_driver_sql(
                "INSERT INTO release_requests (organization_id, kind, key) "
                "SELECT DISTINCT organization_id, 'metric', code FROM quarantined_usage_events"
            )

    def quarantined(self) -> set[str]:
        """The keys of the events in quarantine."""
        with self.log.worker_transaction() as tx:
            rows = tx.exec_driver_sql("SELECT event_key::text FROM quarantined_usage_events WHERE released_at IS NULL")
            return set(rows.scalars())

    def refused(self) -> int:
        """How many refusals wait for the log to void their event; none at rest."""
        return int(self._scalar(self.ledger, "SELECT count(*) FROM refused_usage"))

    def until_known(self, table: str, count: int) -> None:
        """Wait until ingest's projection has this many rows of the organization."""
        question = f"SELECT count(*) FROM {table} WHERE organization_id = %s"
        wait_until(
            lambda: self._scalar(self.log, question, self.organization) >= count,
            timeout=SETTLE_SECONDS,
            what=f"{count} {table}",
        )

    def send(self, events: Sequence[usage_event_pb2.UsageEvent]) -> list[str]:
        """Send a batch; its outcomes in lower case."""
        response = self.call(self.events.IngestUsageEvents, ingest_pb.IngestUsageEventsRequest(events=events))
        names = [usage_event_pb2.IngestOutcome.Name(outcome) for outcome in response.outcomes]
        return [name.removeprefix("INGEST_OUTCOME_").lower() for name in names]

    def void(self, transaction_id: str) -> None:
        """Take an event back."""
        request = ingest_pb.VoidUsageEventRequest(transaction_id=transaction_id, reason="test", actor="test")
        self.call(self.events.VoidUsageEvent, request)

    def stored(self) -> dict[str, int]:
        """How many events the log has, by their current state."""
        question = """
        SELECT count(*), count(v.event_key), count(q.event_key) FILTER (WHERE v.event_key IS NULL)
        FROM usage_events e LEFT JOIN voided_usage_events v USING (organization_id, event_key)
        LEFT JOIN quarantined_usage_events q ON q.organization_id = e.organization_id
            AND q.event_key = e.event_key AND q.released_at IS NULL WHERE e.organization_id = %s
        """
        with self.log.worker_transaction() as tx:
            total, voided, quarantined = tx.exec_driver_sql(question, (self.organization,)).one()
        return {"stored": total, "voided": voided, "quarantined": quarantined}

    def counted(self) -> int:
        """How many events rating has in the aggregates of metrics."""
        question = (
            "SELECT coalesce(sum(event_count), 0) FROM usage_aggregates WHERE organization_id = %s AND charge_id = ''"
        )
        return int(self._scalar(self.ledger, question, self.organization))

    def drift(self) -> dict[str, Any]:
        """What does not add up, by subscription and metric: empty where every event has one disposition."""
        accepted = self._by_place(
            self.log,
            """
            SELECT coalesce(q.subscription_id, e.subscription_id)::text, e.code, count(*) FROM usage_events e
            LEFT JOIN quarantined_usage_events q ON q.organization_id = e.organization_id AND q.event_key = e.event_key
            WHERE e.organization_id = %s AND (q.event_key IS NULL OR q.released_at IS NOT NULL) AND NOT EXISTS (
                SELECT FROM voided_usage_events v
                WHERE v.organization_id = e.organization_id AND v.event_key = e.event_key)
            GROUP BY 1, 2
            """,
        )
        aggregated = self._by_place(
            self.ledger,
            "SELECT subscription_id::text, metric_code, sum(event_count) FROM usage_aggregates "
            "WHERE organization_id = %s AND charge_id = '' GROUP BY 1, 2",
        )
        places = accepted.keys() | aggregated.keys()
        drift: dict[str, Any] = {
            str(place): (accepted.get(place, 0), aggregated.get(place, 0))
            for place in places
            if accepted.get(place, 0) != aggregated.get(place, 0)
        }
        below = self._scalar(self.ledger, "SELECT count(*) FROM usage_aggregates WHERE event_count < 0 OR total < 0")
        return {**drift, **({"below zero": below} if below else {})}

    def _by_place(self, db: Database, question: str) -> dict[tuple[str, str], int]:
        with db.worker_transaction() as tx:
            rows = tx.exec_driver_sql(question, (self.organization,))
            return {(subscription, code): int(count) for subscription, code, count in rows if count}

    def reasons(self) -> dict[str, int]:
        """Why events are in quarantine."""
        with self.log.worker_transaction() as tx:
            rows = tx.exec_driver_sql(
                "SELECT reason, count(*) FROM quarantined_usage_events WHERE organization_id = %s "
                "AND released_at IS NULL GROUP BY reason",
                (self.organization,),
            )
            return {reason: int(count) for reason, count in rows}

    def settle(self) -> None:
        """Wait until no message has been on its way for `CALM_SECONDS`."""
        calm_since, seen = time.monotonic(), None

        def is_calm() -> bool:
            nonlocal calm_since, seen
            now = self._under_way()
            if now != seen or not now[0]:
                calm_since, seen = time.monotonic(), now
            return time.monotonic() - calm_since >= CALM_SECONDS

        wait_until(is_calm, timeout=SETTLE_SECONDS, what="rest")

    def _under_way(self) -> tuple[bool, Any]:
        """Whether both services have applied what the other announced; and all positions."""
        with self.log.worker_transaction() as tx:
            heads = dict(tuple(row) for row in tx.exec_driver_sql("SELECT shard, last_number FROM shard_heads"))
            heard = tx.exec_driver_sql("SELECT last_number FROM inbox WHERE log = 'rating'").scalar()
            requests = tx.exec_driver_sql("SELECT count(*) FROM release_requests").scalar_one()
        with self.ledger.worker_transaction() as tx:
            inbox = dict(tuple(row) for row in tx.exec_driver_sql("SELECT log, last_number FROM inbox"))
            said = tx.exec_driver_sql("SELECT last_number FROM outbox_head").scalar_one()
            waiting = tx.exec_driver_sql("SELECT count(*) FROM outbox WHERE published_at IS NULL").scalar_one()
            due = tx.exec_driver_sql(
                "SELECT (SELECT count(*) FROM billing_periods WHERE state = 'open' AND period_end <= now()) "
                "+ (SELECT count(*) FROM subscriptions WHERE due_at <= now() + %s * interval '1 second')",
                (DUE_SECONDS,),
            ).scalar_one()
        is_read = all(inbox.get(f"usage.{shard}", 0) == number for shard, number in heads.items())
        return is_read and heard == said and not (requests or waiting or due), (heads, said)

    @staticmethod
    def _scalar(db: Database, question: str, *values: Any) -> Any:
        with db.worker_transaction() as tx:
            return tx.exec_driver_sql(question, values).scalar_one()


def event(customer: str, at: datetime | None = None, **fields: Any) -> usage_event_pb2.UsageEvent:
    """A usage event; without a time it gets the server's."""
    defaults: dict[str, Any] = {"transaction_id": new_id(), "code": METRIC, "external_customer_id": customer}
    message = usage_event_pb2.UsageEvent(**{**defaults, **fields})
    if at is not None:
        message.occurred_at.FromDatetime(at)
    return message


def stamp(at: datetime) -> Timestamp:
    """An instant on the wire."""
    message = Timestamp()
    message.FromDatetime(at)
    return message


def daily() -> plan_pb2.BillingInterval:
    """A billing interval of one day."""
    return plan_pb2.BillingInterval(unit=plan_pb2.BillingInterval.UNIT_DAY, count=1)


def now() -> datetime:
    """The machine's time."""
    return datetime.now(UTC)


@contextmanager
def running(settings_for: Callable[[str], Settings], *, replicas: int = 1) -> Iterator[Flow]:
    """Run `replicas` processes of each service in this process; stop them at the end."""
    ingest, rating = settings_for("ingest"), settings_for("rating")
    with ExitStack() as stack:
        # Each asks the other: rating's first process listens where ingest was told before it began.
        door = Port()
        stack.callback(door.release)
        ingest = ingest.model_copy(update={"rating_address": door.address})
        logs = [stack.enter_context(_started(ingest_main.build(ingest))) for _ in range(replicas)]
        rating = RatingSettings(**{**rating.model_dump(), "ingest_address": f"127.0.0.1:{logs[0].server.port}"})
        first = rating.model_copy(update={"grpc_bind": door.address})
        ledgers = [
            stack.enter_context(_started(rating_main.build(settings)))
            for settings in (first, *(replicas - 1) * [rating])
        ]
        channels = [
            stack.enter_context(open_channel(f"127.0.0.1:{parts.server.port}")) for parts in (logs[0], ledgers[0])
        ]
        flow = Flow(ingest, rating, *channels)
        stack.callback(flow.log.dispose)
        stack.callback(flow.ledger.dispose)
        yield flow


@contextmanager
def _started(parts: Parts) -> Iterator[Parts]:
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

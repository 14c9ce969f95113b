"""Rating on a loopback server with a real database and a clock that stands still, and messages with defaults."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from farebox.common.v1 import decimal_pb2
from farebox.rating.v1 import (
    billable_metric_pb2,
    catalog_service_pb2,
    catalog_service_pb2_grpc,
    charge_pb2,
    customer_service_pb2_grpc,
    domain_events_pb2,
    invoice_service_pb2_grpc,
    organization_pb2,
    organization_service_pb2,
    organization_service_pb2_grpc,
    plan_pb2,
    subscription_service_pb2_grpc,
    test_clock_service_pb2_grpc,
    usage_service_pb2_grpc,
)
from services.chassis.config import Settings
from services.chassis.db import Database
from services.chassis.rpc.calls import ORGANIZATION_KEY
from services.chassis.rpc.channel import open_channel
from services.chassis.rpc.server import Server
from services.kernel.clock import FrozenClock
from services.kernel.ids import OrganizationId
from services.rating.deps import Deps
from services.rating.main import add_servicers, announce_all
from services.rating.shared.newest_changes import NewestChanges
from services.rating.shared.usage_log import UsageEventPage, UsageEventsWanted
from services.wire.streams import RATING
from tests.support.patience import PATIENCE_SECONDS

NOW = datetime(2024, 1, 15, 12, tzinfo=UTC)


class EmptyLog:
    """A usage-event log without events."""

    def page(self, wanted: UsageEventsWanted, *, size: int, token: str) -> UsageEventPage:  # noqa: ARG002 - a protocol's
        """No events."""
        return UsageEventPage(())


def build_test_deps(db: Database, clock: FrozenClock, **changes: Any) -> Deps:
    """Dependencies without ingest and without anybody to wait for."""
    deps = Deps(
        db=db,
        clock=clock,
        announce=lambda tx, event: announce_all(tx, [event]),
        announce_all=announce_all,
        pepper="test pepper",
        shard_positions=dict,
        usage_log=EmptyLog(),
        known_features=lambda _, codes: codes,
        newest_change=NewestChanges(db, RATING).of_one,
        clock_followers=(),
    )
    return replace(deps, **changes)


class Rating:
    """A running server, its database and its clients."""

    def __init__(self, deps: Deps, channel: grpc.Channel, clock: FrozenClock) -> None:
        self.deps = deps
        self.clock = clock
        self.channel = channel
        self.organizations = organization_service_pb2_grpc.OrganizationServiceStub(channel)
        self.catalog = catalog_service_pb2_grpc.CatalogServiceStub(channel)
        self.customers = customer_service_pb2_grpc.CustomerServiceStub(channel)
        self.subscriptions = subscription_service_pb2_grpc.SubscriptionServiceStub(channel)
        self.invoices = invoice_service_pb2_grpc.InvoiceServiceStub(channel)
        self.usage = usage_service_pb2_grpc.UsageServiceStub(channel)
        self.test_clock = test_clock_service_pb2_grpc.TestClockServiceStub(channel)

    def tenant(self, **settings: Any) -> Tenant:
        """A new organization in test mode."""
        wanted = organization_pb2.Organization(**{"name": "Acme", "test_mode": True, **settings})
        request = organization_service_pb2.CreateOrganizationRequest(organization=wanted)
        made = self.organizations.CreateOrganization(request, timeout=PATIENCE_SECONDS).organization
        return Tenant(self, OrganizationId(made.id))

    def announced(self, subject: str) -> list[bytes]:
        """The bodies of the domain events with a subject, in order."""
        with self.deps.db.worker_transaction() as tx:
            rows = tx.exec_driver_sql("SELECT body FROM outbox WHERE subject = %s ORDER BY id", (subject,))
            return [bytes(row.body) for row in rows]


class Tenant:
    """Calls in the name of one organization."""

    def __init__(self, rating: Rating, organization_id: OrganizationId) -> None:
        self.rating = rating
        self.organization_id = organization_id

    def call(self, method: Any, request: Any) -> Any:
        """One call; raises grpc.RpcError."""
        metadata = [(ORGANIZATION_KEY, self.organization_id)]
        return method(request, metadata=metadata, timeout=PATIENCE_SECONDS)

    def metric(self, code: str = "api_call", **fields: Any) -> billable_metric_pb2.BillableMetric:
        """A metric that is created."""
        request = catalog_service_pb2.CreateBillableMetricRequest(billable_metric=metric(code, **fields))
        return self.call(self.rating.catalog.CreateBillableMetric, request).billable_metric

    def plan(self, code: str = "pro", **fields: Any) -> plan_pb2.Plan:
        """A plan that is created."""
        request = catalog_service_pb2.CreatePlanRequest(plan=plan(code, **fields))
        return self.call(self.rating.catalog.CreatePlan, request).plan

    def subscription_events(self) -> list[domain_events_pb2.SubscriptionChanged]:
        """What was announced of this organization's subscriptions."""
        bodies = self.rating.announced("rating.subscription.changed")
        events = [domain_events_pb2.SubscriptionChanged.FromString(body) for body in bodies]
        return [event for event in events if event.organization_id == self.organization_id]


@contextmanager
def running_rating(settings: Settings, **changes: Any) -> Iterator[Rating]:
    """Rating's servicers on a loopback port; no followers and no jobs."""
    clock = FrozenClock(NOW)
    db = Database(settings)
    server = Server(settings)
    deps = build_test_deps(db, clock, **changes)
    add_servicers(server.grpc, deps)
    server.start(())
    with open_channel(f"127.0.0.1:{server.port}") as channel:
        yield Rating(deps, channel, clock)
    server.drain()
    db.dispose()


def metric(code: str = "api_call", **fields: Any) -> billable_metric_pb2.BillableMetric:
    """A metric message; a count by default."""
    defaults = {"name": code, "aggregation": billable_metric_pb2.BillableMetric.AGGREGATION_COUNT}
    return billable_metric_pb2.BillableMetric(code=code, **{**defaults, **fields})


def plan(code: str = "pro", **fields: Any) -> plan_pb2.Plan:
    """A plan message; monthly, 30 USD, in arrears by default."""
    month = plan_pb2.BillingInterval(unit=plan_pb2.BillingInterval.UNIT_MONTH, count=1)
    defaults: Mapping[str, Any] = {"name": code, "currency": "USD", "amount_cents": 3000, "interval": month}
    return plan_pb2.Plan(code=code, **{**defaults, **fields})


def standard_charge(metric_code: str, unit_amount: str, **fields: Any) -> charge_pb2.Charge:
    """A charge with one price for each unit."""
    model = charge_pb2.ChargeModel(standard=charge_pb2.ChargeModel.Standard(unit_amount=decimal(unit_amount)))
    return charge_pb2.Charge(metric_code=metric_code, model=model, **fields)


def decimal(text: str) -> decimal_pb2.Decimal:
    """A number on the wire."""
    return decimal_pb2.Decimal(value=text)


def timestamp(instant: datetime) -> Timestamp:
    """An instant on the wire."""
    message = Timestamp()
    message.FromDatetime(instant)
    return message

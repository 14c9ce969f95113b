"""A whole ingest process inside a test: real server, real database, real bus; and a catalog to bill against."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc

from farebox.ingest.v1 import usage_event_pb2 as pb
from farebox.ingest.v1 import usage_event_service_pb2 as service_pb
from farebox.ingest.v1 import usage_event_service_pb2_grpc as service_grpc
from services.chassis.config import Settings
from services.chassis.db import Database
from services.chassis.rpc.calls import ORGANIZATION_KEY
from services.chassis.rpc.channel import open_channel
from services.ingest import main
from services.ingest.commands.catalog import apply_updates
from services.ingest.domain.billability import FOREVER_US, Metric, Needs, Subscription
from services.ingest.domain.catalog_update import CatalogUpdate, MetricUpdate, SubscriptionUpdate
from services.kernel.ids import OrganizationId, new_id
from services.kernel.instant import to_us
from tests.support.patience import PATIENCE_SECONDS

STARTED_AT = datetime(2020, 1, 1, tzinfo=UTC)


def usage_event(transaction_id: str | None = None, **changes: Any) -> pb.UsageEvent:
    """An event that can be billed against `standard_catalog`; its time is the server's."""
    fields: dict[str, Any] = {
        "transaction_id": new_id() if transaction_id is None else transaction_id,
        "external_customer_id": "acme",
        "code": "api_call",
        "properties": b'{"tokens": 12}',
    }
    return pb.UsageEvent(**{**fields, **changes})


def subscription(external_id: str, customer: str, **changes: Any) -> Subscription:
    """A subscription that is active since 2020."""
    fields: dict[str, Any] = {
        "subscription_id": str(uuid.uuid5(uuid.NAMESPACE_OID, external_id)),
        "external_id": external_id,
        "external_customer_id": customer,
        "starts_us": to_us(STARTED_AT),
        "ends_us": FOREVER_US,
    }
    return Subscription(**{**fields, **changes})


def standard_catalog(organization: str) -> list[CatalogUpdate]:
    """Two metrics and two customers with one subscription each."""
    name = OrganizationId(organization)
    return [
        MetricUpdate(name, Metric("api_call", Needs.NOTHING, ""), is_deleted=False),
        MetricUpdate(name, Metric("llm_tokens", Needs.NUMBER, "tokens"), is_deleted=False),
        SubscriptionUpdate(name, subscription("sub-acme", "acme")),
        SubscriptionUpdate(name, subscription("sub-globex", "globex")),
    ]


def teach(db: Database, updates: Iterable[CatalogUpdate]) -> None:
    """Apply updates as if rating had announced them."""
    with db.worker_transaction() as tx:
        apply_updates(tx, list(updates), main.announce)


class Ingest:
    """A running process and a client of it.

    Attributes:
        db: its database.
        stub: the client, as `organization`.
        organization: a fresh organization that knows the standard catalog.
    """

    def __init__(self, settings: Settings, parts: main.Parts, channel: grpc.Channel) -> None:
        self.settings = settings
        self.db = Database(settings)
        self.stub = service_grpc.UsageEventServiceStub(channel)
        self.port = parts.server.port
        self.organization = new_id()
        teach(self.db, standard_catalog(self.organization))

    @property
    def metadata(self) -> list[tuple[str, str]]:
        """The caller's metadata."""
        return [(ORGANIZATION_KEY, self.organization)]

    def call(self, method: str, request: Any) -> Any:
        """Call a method as the organization."""
        return getattr(self.stub, method)(request, metadata=self.metadata, timeout=PATIENCE_SECONDS)

    def send(self, *events: pb.UsageEvent, **options: Any) -> Any:
        """Send a batch."""
        return self.call("IngestUsageEvents", service_pb.IngestUsageEventsRequest(events=events, **options))

    def outcomes(self, *events: pb.UsageEvent) -> list[str]:
        """Send a batch; its outcomes in lower case, without their prefix."""
        return [
            pb.IngestOutcome.Name(outcome).removeprefix("INGEST_OUTCOME_").lower()
            for outcome in self.send(*events).outcomes
        ]

    def stored(self) -> int:
        """How many events the organization has in the log."""
        return int(self.scalar("SELECT count(*) FROM usage_events WHERE organization_id = %s", self.organization))

    def scalar(self, question: str, *values: Any) -> Any:
        """One value from the database, as the worker."""
        with self.db.worker_transaction() as tx:
            return tx.exec_driver_sql(question, values).scalar_one()

    def announced(self) -> list[Any]:
        """Every entry of the organization that the shards announced, in the order of each shard."""
        entries: list[Any] = []
        for position in self.call("ListShardPositions", service_pb.ListShardPositionsRequest()).positions:
            if position.last_number:
                request = service_pb.ReplayUsageEventsRequest(shard=position.shard, from_number=1)
                for message in self.call("ReplayUsageEvents", request):
                    entries += [entry for entry in message.batch.entries if entry.organization_id == self.organization]
        return entries


@contextmanager
def running(settings: Settings) -> Iterator[Ingest]:
    """A started process in this one, stopped at the end."""
    parts = main.build(settings)
    for worker in parts.workers:
        worker.start()
    parts.server.start(parts.service_names)
    channel = open_channel(f"127.0.0.1:{parts.server.port}")
    ingest = Ingest(settings, parts, channel)
    try:
        yield ingest
    finally:
        channel.close()
        ingest.db.dispose()
        parts.server.drain()
        for worker in reversed(parts.workers):
            worker.stop()
        parts.close()


def at(instant: datetime | None = None, **ahead: float) -> datetime:
    """An instant some time after another, or after now."""
    return (instant or datetime.now(UTC)) + timedelta(**ahead)

"""The rating process: builds its parts from settings, and runs them.

python -m services.rating.main [--print-config]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy.engine import Connection

from farebox.rating.v1 import (
    audit_log_service_pb2_grpc,
    catalog_service_pb2_grpc,
    change_service_pb2_grpc,
    customer_service_pb2_grpc,
    invoice_service_pb2_grpc,
    kept_answer_service_pb2_grpc,
    organization_service_pb2_grpc,
    subscription_service_pb2_grpc,
    test_clock_service_pb2_grpc,
    usage_service_pb2_grpc,
)
from services.chassis import outbox, process
from services.chassis.bus import Bus
from services.chassis.db import Database
from services.chassis.follower import Follower
from services.chassis.process import Parts
from services.chassis.rpc.channel import open_channel
from services.chassis.rpc.server import Server
from services.kernel.clock import Clock, SystemClock
from services.rating.announcements import billing as billing_events
from services.rating.announcements import catalog as domain_events
from services.rating.consumers import acknowledgement_logs, usage_logs
from services.rating.deps import Deps
from services.rating.ingest_log import IngestLog
from services.rating.jobs import JOBS
from services.rating.organizations.bootstrap import ensure_bootstrap_key
from services.rating.rpc.audit_log import AuditLogServicer
from services.rating.rpc.catalog import CatalogServicer
from services.rating.rpc.change import ChangeServicer
from services.rating.rpc.customer import CustomerServicer
from services.rating.rpc.invoice import InvoiceServicer
from services.rating.rpc.kept_answer import KeptAnswerServicer
from services.rating.rpc.organization import OrganizationServicer
from services.rating.rpc.subscription import SubscriptionServicer
from services.rating.rpc.test_clock import TestClockServicer
from services.rating.rpc.usage import UsageServicer
from services.rating.settings import RatingSettings
from services.rating.shared.newest_changes import NewestChanges
from services.wire.features import FeaturesClient
from services.wire.streams import RATING
from services.wire.usage_log import UsageLogClient

ENCODERS: dict[type, Callable[[Any], tuple[str, bytes]]] = {**domain_events.ENCODERS, **billing_events.ENCODERS}

SERVICE_NAMES = tuple(
    f"farebox.rating.v1.{name}Service"
    for name in (
        *("Organization", "Catalog", "Customer", "Subscription", "TestClock", "Usage", "Invoice", "Change"),
        *("KeptAnswer", "AuditLog"),
    )
)


def announce_all(tx: Connection, events: Sequence[Any]) -> None:
    """Write domain events into the outbox, in order, in the caller's transaction."""
    outbox.announce_all(tx, [ENCODERS[type(event)](event) for event in events])


def build_deps(
    settings: RatingSettings, db: Database, ingest: UsageLogClient, features: FeaturesClient, clock: Clock | None = None
) -> Deps:
    """The dependencies of rating's commands."""
    return Deps(
        db=db,
        clock=clock or SystemClock(),
        announce=lambda tx, event: announce_all(tx, [event]),
        announce_all=announce_all,
        pepper=settings.api_key_pepper.get_secret_value(),
        shard_positions=ingest.newest_positions,
        usage_log=IngestLog(ingest),
        known_features=features.known,
        newest_change=NewestChanges(db, RATING).of_one,
    )


def add_servicers(server: Any, deps: Deps) -> None:
    """Add every servicer of rating to a gRPC server."""
    organization_service_pb2_grpc.add_OrganizationServiceServicer_to_server(OrganizationServicer(deps), server)
    catalog_service_pb2_grpc.add_CatalogServiceServicer_to_server(CatalogServicer(deps), server)
    customer_service_pb2_grpc.add_CustomerServiceServicer_to_server(CustomerServicer(deps), server)
    subscription_service_pb2_grpc.add_SubscriptionServiceServicer_to_server(SubscriptionServicer(deps), server)
    test_clock_service_pb2_grpc.add_TestClockServiceServicer_to_server(TestClockServicer(deps), server)
    usage_service_pb2_grpc.add_UsageServiceServicer_to_server(UsageServicer(deps), server)
    invoice_service_pb2_grpc.add_InvoiceServiceServicer_to_server(InvoiceServicer(deps), server)
    kept_answer_service_pb2_grpc.add_KeptAnswerServiceServicer_to_server(KeptAnswerServicer(deps), server)
    audit_log_service_pb2_grpc.add_AuditLogServiceServicer_to_server(AuditLogServicer(deps), server)
    change_service_pb2_grpc.add_ChangeServiceServicer_to_server(ChangeServicer(NewestChanges(deps.db, RATING)), server)


def build(settings: RatingSettings) -> Parts[Deps]:
    """Build the process from its settings; nothing runs yet, except what must be done before the first call."""
    db, bus = Database(settings), Bus(settings)
    channels = [open_channel(settings.ingest_address), open_channel(settings.entitlements_address)]
    ingest, features = UsageLogClient(channels[0]), FeaturesClient(channels[1])
    deps = build_deps(settings, db, ingest, features)
    if key := settings.bootstrap_secret_key.get_secret_value():
        ensure_bootstrap_key(deps, key)
    server = Server(settings)
    add_servicers(server.grpc, deps)
    logs = [*usage_logs(deps, ingest), *acknowledgement_logs()]
    workers: list[process.Worker] = [
        outbox.Relay(db, bus, stream=RATING),
        Follower(db, bus, logs),
        *(job(deps) for job in JOBS),
    ]

    def close() -> None:
        for channel in channels:
            channel.close()
        bus.close()
        db.dispose()

    return Parts(server, SERVICE_NAMES, workers, close, deps)


if __name__ == "__main__":
    process.run("rating", RatingSettings, build)

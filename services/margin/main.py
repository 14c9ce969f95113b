"""The process of the margin service: `python -m services.margin.main`."""

from __future__ import annotations

from sqlalchemy.engine import Connection

from farebox.margin.v1 import alert_service_pb2_grpc, cost_model_service_pb2_grpc, margin_service_pb2_grpc
from services.chassis import outbox, process
from services.chassis.bus import Bus
from services.chassis.db import Database
from services.chassis.follower import Follower
from services.chassis.freshness import Freshness
from services.chassis.process import Parts, Worker
from services.chassis.rpc.channel import open_channel
from services.chassis.rpc.server import Server
from services.kernel.clock import Clock, SystemClock
from services.margin.consumers import LOG, rating_log, usage_logs
from services.margin.convert import price_catalog
from services.margin.convert.domain_event import domain_event_to_pb
from services.margin.deps import Deps
from services.margin.domain.projection import ClockReached
from services.margin.jobs import JOBS
from services.margin.rpc.alert import AlertServicer
from services.margin.rpc.cost_model import CostModelServicer
from services.margin.rpc.margin import MarginServicer
from services.margin.settings import MarginSettings
from services.wire.changes import NewestChangesClient
from services.wire.streams import MARGIN
from services.wire.subjects import announcement
from services.wire.usage_log import UsageLogClient

SERVICE_NAMES = (
    "farebox.margin.v1.CostModelService",
    "farebox.margin.v1.MarginService",
    "farebox.margin.v1.AlertService",
)


def announce(tx: Connection, event: ClockReached) -> None:
    """Write a domain event into the outbox."""
    outbox.announce(tx, *announcement(domain_event_to_pb(event)))


def build(settings: MarginSettings, *, clock: Clock | None = None) -> Parts[Deps]:
    """Wire the service; nothing runs yet."""
    db, bus = Database(settings), Bus(settings)
    deps = Deps(db, clock or SystemClock(), announce, price_catalog.book())
    ingest, rating = open_channel(settings.ingest_address), open_channel(settings.rating_address, retries=False)
    freshness = Freshness(db, LOG, NewestChangesClient(rating).newest, wait_seconds=settings.freshness_seconds)
    server = Server(settings)
    cost_model_service_pb2_grpc.add_CostModelServiceServicer_to_server(CostModelServicer(deps, freshness), server.grpc)
    margin_service_pb2_grpc.add_MarginServiceServicer_to_server(MarginServicer(deps), server.grpc)
    alert_service_pb2_grpc.add_AlertServiceServicer_to_server(AlertServicer(deps), server.grpc)
    logs = [*usage_logs(deps, UsageLogClient(ingest)), rating_log(deps)]
    workers: list[Worker] = [
        *(job(deps) for job in JOBS),
        outbox.Relay(db, bus, stream=MARGIN),
        Follower(db, bus, logs),
        freshness,
    ]

    def close() -> None:
        ingest.close()
        rating.close()
        bus.close()
        db.dispose()

    return Parts(server, SERVICE_NAMES, workers, close, deps)


if __name__ == "__main__":
    process.run("margin", MarginSettings, build)

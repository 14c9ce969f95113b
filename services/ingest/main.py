"""The ingest process: the usage-event log over gRPC, its follower and its jobs.

python -m services.ingest.main
"""

from __future__ import annotations

import threading

from sqlalchemy.engine import Connection

from farebox.ingest.v1 import usage_event_service_pb2 as pb
from farebox.ingest.v1 import usage_event_service_pb2_grpc as pb_grpc
from services.chassis import outbox, process
from services.chassis.bus import Bus
from services.chassis.config import Settings
from services.chassis.db import Database
from services.chassis.follower import Follower
from services.chassis.freshness import Freshness
from services.chassis.process import Parts
from services.chassis.rpc.channel import open_channel
from services.chassis.rpc.lenient import lenient
from services.chassis.rpc.server_async import AsyncServer, add_servicer
from services.ingest.consumers import LOG, rating_log
from services.ingest.convert.catalog import test_clock_reached_to_pb
from services.ingest.convert.usage_event import events_from_pb
from services.ingest.deps import Deps
from services.ingest.domain.catalog_update import TestClockReached
from services.ingest.jobs import JOBS
from services.ingest.pipeline.catalog_cache import CatalogCache
from services.ingest.pipeline.commit import Committer
from services.ingest.pipeline.intake import Intake
from services.ingest.pipeline.prepare import Preparer
from services.ingest.rpc.usage_event import SERVICE_NAME, UsageEventServicer
from services.ingest.settings import IngestSettings
from services.kernel.clock import SystemClock
from services.wire.changes import NewestChangesClient
from services.wire.streams import INGEST
from services.wire.subjects import announcement

# Enough for ten batches of 1,000 events.
GC_THRESHOLD = 50_000
# So that an event with broken text does no harm to the other events of its batch.
DESERIALIZERS = {
    "IngestUsageEvents": lenient(pb.IngestUsageEventsRequest),
    "StreamUsageEvents": lenient(pb.StreamUsageEventsRequest),
}


def announce(tx: Connection, event: TestClockReached) -> None:
    """Write a domain event of ours into the outbox."""
    outbox.announce(tx, *announcement(test_clock_reached_to_pb(event)))


def make_deps(settings: Settings, db: Database, bus: Bus) -> Deps:
    """What the commands are given."""
    wake, cache = threading.Event(), CatalogCache()
    preparer = Preparer(db, cache)
    return Deps(
        db=db,
        clock=SystemClock(),
        preparer=preparer,
        committer=Committer(db, cache, preparer, wake),
        announce=announce,
        bus=bus,
        wake=wake,
        owner_url=settings.database_url.get_secret_value(),
    )


def build(settings: Settings) -> Parts[Deps]:
    """Wire the process together; nothing runs yet."""
    db, bus = Database(settings), Bus(settings)
    deps = make_deps(settings, db, bus)
    server = AsyncServer(settings)
    rating = open_channel(settings.rating_address, retries=False)
    freshness = Freshness(db, LOG, NewestChangesClient(rating).newest, wait_seconds=settings.freshness_seconds)
    intake = Intake(deps.clock, deps.preparer, deps.committer, freshness, server.loop, server.pool, events_from_pb)
    servicer = UsageEventServicer(deps, intake, freshness)
    add_servicer(server.grpc, pb_grpc.add_UsageEventServiceServicer_to_server, servicer, DESERIALIZERS)
    workers: list[process.Worker] = [
        *(job(deps) for job in JOBS),
        outbox.Relay(db, bus, stream=INGEST),
        Follower(db, bus, [rating_log(deps)]),
        freshness,
        deps.committer,
    ]

    def close() -> None:
        server.close()
        rating.close()
        bus.close()
        db.dispose()

    return Parts(server, [SERVICE_NAME], workers, close, deps)


if __name__ == "__main__":
    process.run("ingest", IngestSettings, build)

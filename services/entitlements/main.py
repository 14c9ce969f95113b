"""The entitlements process: `python -m services.entitlements.main`."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.engine import Connection

from farebox.entitlements.v1 import access_service_pb2_grpc, credit_service_pb2_grpc, feature_service_pb2_grpc
from services.chassis import outbox, process
from services.chassis.bus import Bus
from services.chassis.db import Database
from services.chassis.follower import Follower
from services.chassis.freshness import Freshness
from services.chassis.outbox import Relay
from services.chassis.process import Parts, Worker
from services.chassis.rpc.channel import open_channel
from services.chassis.rpc.server_async import AsyncServer, add_servicer
from services.entitlements.commands.together import Counting
from services.entitlements.consumers import LOG, rating_log
from services.entitlements.convert.access import event_to_pb
from services.entitlements.deps import Deps
from services.entitlements.domain.event import DomainEvent
from services.entitlements.jobs import JOBS
from services.entitlements.memory.memory import Memory
from services.entitlements.queries.watch import Watches
from services.entitlements.rpc.access import AccessServicer
from services.entitlements.rpc.credit import CreditServicer
from services.entitlements.rpc.feature import FeatureServicer
from services.entitlements.settings import EntitlementsSettings
from services.kernel.clock import Clock, SystemClock
from services.wire.changes import NewestChangesClient
from services.wire.streams import ENTITLEMENTS

SERVICE_NAMES = (
    "farebox.entitlements.v1.FeatureService",
    "farebox.entitlements.v1.AccessService",
    "farebox.entitlements.v1.CreditService",
)


def announce(tx: Connection, events: Sequence[DomainEvent]) -> None:
    """Write domain events into the outbox."""
    outbox.announce_all(tx, [event_to_pb(event) for event in events])


def make_deps(db: Database, clock: Clock | None = None) -> Deps:
    """What the commands and queries work with."""
    chosen = clock or SystemClock()
    return Deps(db, chosen, announce, Memory(db, chosen))


def build(settings: EntitlementsSettings, clock: Clock | None = None) -> Parts[Deps]:
    """Wire the process; nothing runs yet."""
    db, bus, server = Database(settings), Bus(settings), AsyncServer(settings)
    deps = make_deps(db, clock)
    counting = Counting(deps, server.loop)
    rating = open_channel(settings.rating_address, retries=False)
    freshness = Freshness(
        db,
        LOG,
        NewestChangesClient(rating).newest,
        know=deps.memory.catch_up,
        wait_seconds=settings.freshness_seconds,
    )
    watches = Watches(
        deps, limit=settings.watch_limit, poll_seconds=settings.watch_poll_seconds, ending=server.draining
    )
    features, access = FeatureServicer(deps, freshness), AccessServicer(deps, watches, counting, freshness)
    add_servicer(server.grpc, feature_service_pb2_grpc.add_FeatureServiceServicer_to_server, features)
    add_servicer(server.grpc, access_service_pb2_grpc.add_AccessServiceServicer_to_server, access)
    add_servicer(server.grpc, credit_service_pb2_grpc.add_CreditServiceServicer_to_server, CreditServicer(deps))
    workers: list[Worker] = [
        counting,
        Relay(db, bus, stream=ENTITLEMENTS),
        Follower(db, bus, [rating_log(deps)]),
        freshness,
        *(job(deps) for job in JOBS),
    ]

    def close() -> None:
        server.close()
        rating.close()
        bus.close()
        deps.memory.close()
        db.dispose()

    return Parts(server, SERVICE_NAMES, workers, close, deps)


if __name__ == "__main__":
    process.run("entitlements", EntitlementsSettings, build)

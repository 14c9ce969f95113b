"""The ingest process: the usage-event log over gRPC, its relay, its follower and its keepers.

python -m services.ingest.main
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy.engine import Connection

from services.chassis import outbox, process
from services.chassis.bus import Bus
from services.chassis.config import Settings
from services.chassis.db import Database
from services.chassis.follower import Follower
from services.chassis.job import Job
from services.chassis.outbox import Relay
from services.chassis.rpc.server_async import AsyncServer
from services.chassis.streams import INGEST
from services.ingest.commands.catalog_cache import CatalogCache
from services.ingest.commands.committer import Committer
from services.ingest.commands.ingest import Deps
from services.ingest.commands.prepare import Preparer
from services.ingest.consumers import rating_log
from services.ingest.convert.catalog import TEST_CLOCK_REACHED_SUBJECT, test_clock_reached_to_pb
from services.ingest.convert.wire import WireCodec
from services.ingest.domain.catalog_update import TestClockReached
from services.ingest.jobs.partitions import PartitionKeeper
from services.ingest.jobs.relay import ShardRelay
from services.ingest.jobs.releaser import Releaser
from services.ingest.rpc.intake import Intake
from services.ingest.rpc.lenient import add_to_server
from services.ingest.rpc.servicer import SERVICE_NAME, UsageEventServicer
from services.kernel.clock import SystemClock

# Ten batches of 1,000 events.
GC_THRESHOLD = 50_000


@dataclass(frozen=True)
class Parts:
    """What the process is made of; see chassis.process.Parts."""

    server: AsyncServer
    service_names: Sequence[str]
    workers: Sequence[process.Worker]
    close: Callable[[], None]


def announce(tx: Connection, event: TestClockReached) -> None:
    """Write a domain event of ours into the outbox."""
    outbox.announce(tx, TEST_CLOCK_REACHED_SUBJECT, test_clock_reached_to_pb(event).SerializeToString())


def make_deps(db: Database, wake: threading.Event) -> Deps:
    """What the commands work with; `wake` is set when the shards have something to publish."""
    codec = WireCodec()
    cache = CatalogCache(codec)
    preparer = Preparer(db, cache, codec)
    committer = Committer(db, cache, preparer, wake)
    return Deps(db, SystemClock(), preparer, committer, codec, announce)


def build(settings: Settings) -> Parts:
    """Wire the process together; nothing runs yet."""
    db, bus, wake = Database(settings), Bus(settings), threading.Event()
    deps = make_deps(db, wake)
    server = AsyncServer(settings)
    intake = Intake(deps, server.loop, server.pool)
    add_to_server(UsageEventServicer(deps, intake), server.grpc)
    workers: list[process.Worker] = [
        Job("partitions", PartitionKeeper(settings, deps.clock).turn),
        Job("shard-relay", ShardRelay(db, bus, wake).lead, wake=wake),
        Relay(db, bus, stream=INGEST),
        Follower(db, bus, [rating_log(deps)]),
        Job("releaser", Releaser(deps, wake).turn),
        deps.committer,
    ]

    def close() -> None:
        server.close()
        bus.close()
        db.dispose()

    return Parts(server, [SERVICE_NAME], workers, close)


def tune_memory() -> None:
    """Look for garbage cycles rarely: a batch makes thousands of objects and no cycle, and 15 % of the rate is lost."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)


if __name__ == "__main__":
    tune_memory()
    process.run("ingest", Settings, build)
